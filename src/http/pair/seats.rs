//! How many may follow the live log: what was upgraded to a websocket is no connection of the server's
//! any more, and without a bound of its own could use up the files that the system allows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::accounts::AccountId;

/// Websockets at once, in all and of one account: a few windows on each of a few screens.
pub const SEATS: usize = 64;
const OF_ONE: usize = 16;

/// Who follows just now, once for each websocket.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<Vec<AccountId>>>);

/// Given back when it goes.
pub struct Seat {
    seats: Seats,
    holder: AccountId,
}

impl Seats {
    pub fn take(&self, holder: AccountId) -> Option<Seat> {
        let mut taken = self.taken();
        let seat = has_room(&taken, holder).then(|| Seat { seats: self.clone(), holder })?;
        taken.push(holder);
        Some(seat)
    }

    fn taken(&self) -> MutexGuard<'_, Vec<AccountId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_room(taken: &[AccountId], holder: AccountId) -> bool {
    taken.len() < SEATS && taken.iter().filter(|one| **one == holder).count() < OF_ONE
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(place) = taken.iter().position(|one| *one == self.holder) {
            taken.swap_remove(place);
        }
    }
}
