//! Where they wait who try more at once than may fail.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Subject;
use crate::domain::error::{Error, Result};

/// There are so many times the places that one address may have.
const ADDRESSES: usize = 2;

/// The places, and how many of them each address has.
pub(super) struct Room {
    places: Semaphore,
    most: usize,
    taken: Mutex<HashMap<Subject, usize>>,
}

/// One who waits; the place is given back when they do not any more.
pub(super) struct Waiting<'a> {
    room: &'a Room,
    subject: Subject,
    _place: SemaphorePermit<'a>,
}

impl Room {
    /// One address may have `most` places.
    pub fn of(most: usize) -> Self {
        Self { places: Semaphore::new(most * ADDRESSES), most, taken: Mutex::default() }
    }

    /// # Errors
    /// [`Error::Busy`] when all places are taken, or all that one address may have.
    pub fn enter(&self, subject: Subject) -> Result<Waiting<'_>> {
        let busy = || Error::Busy { retry_after: Duration::from_secs(1) };
        let mut taken = self.taken();
        let own = taken.get(&subject).copied().unwrap_or_default();
        if own >= self.most {
            return Err(busy());
        }
        let place = self.places.try_acquire().map_err(|_| busy())?;
        taken.insert(subject, own + 1);
        Ok(Waiting { room: self, subject, _place: place })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Subject, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        match taken.get_mut(&self.subject) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.subject)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(last: u8) -> Subject {
        Subject::of([192, 0, 2, last].into())
    }

    #[test]
    fn one_address_leaves_places_to_others_and_gives_all_of_its_own_back() {
        let room = Room::of(2);
        let is_full = |last| matches!(room.enter(subject(last)), Err(Error::Busy { .. }));
        let own = [(); 2].map(|()| room.enter(subject(1)).expect("a place"));
        assert!(is_full(1));
        let others = [2, 3].map(|last| room.enter(subject(last)).expect("a place"));
        assert!(is_full(4), "all places are taken");
        drop((own, others));
        assert!(!is_full(1) && !is_full(4));
        assert!(room.taken().is_empty() && room.places.available_permits() == 4);
    }
}
