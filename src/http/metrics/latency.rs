//! How long requests take, by dialect and class of status: two additions for each request.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use poem::http::StatusCode;

/// Upper ends of the buckets, in microseconds and as they are told, in seconds. From a token that is
/// looked up in memory to a sign-in that waited for a lane.
pub const ENDS: [(u64, &str); 9] = [
    (1_000, "0.001"),
    (5_000, "0.005"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (2_500_000, "2.5"),
    (10_000_000, "10"),
    (u64::MAX, "+Inf"),
];

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Native,
    Pin,
    Pair,
    Signup,
    Gpodder,
    Pages,
    /// Health, documents, and whatever is nobody's.
    Other,
}

impl Room {
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Native, "native"),
        (Self::Pin, "pin"),
        (Self::Pair, "pair"),
        (Self::Signup, "signup"),
        (Self::Gpodder, "gpodder"),
        (Self::Pages, "pages"),
        (Self::Other, "other"),
    ];
}

/// Classes of status. What becomes a websocket (101) is counted as good.
pub const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Requests of one room and class.
#[derive(Default)]
struct Cell {
    buckets: [AtomicU64; ENDS.len()],
    micros: AtomicU64,
}

/// A histogram as it is told: counts up to each end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub up_to: [u64; ENDS.len()],
    pub micros: u64,
}

/// Every request since the process began.
#[derive(Default)]
pub struct Latencies([[Cell; CLASSES.len()]; Room::ALL.len()]);

impl Latencies {
    pub fn note(&self, room: Room, status: StatusCode, elapsed: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(2, 5) - 2;
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let bucket = ENDS.iter().position(|(end, _)| micros <= *end).unwrap_or(ENDS.len() - 1);
        let cell = &self.0[room as usize][class];
        cell.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        cell.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub fn read(&self, room: Room, class: usize) -> Told {
        let cell = &self.0[room as usize][class];
        let mut told = Told { micros: cell.micros.load(Ordering::Relaxed), ..Told::default() };
        let mut sum = 0;
        for (up_to, bucket) in told.up_to.iter_mut().zip(&cell.buckets) {
            sum += bucket.load(Ordering::Relaxed);
            *up_to = sum;
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_fall_into_their_buckets_and_all_above() {
        let all = Latencies::default();
        let note = |status, micros| {
            let status = StatusCode::from_u16(status).expect("a status");
            all.note(Room::Pair, status, Duration::from_micros(micros));
        };
        note(200, 0);
        note(101, 1_000);
        note(204, 1_001);
        note(299, 11_000_000);
        note(404, 40_000);
        let good = all.read(Room::Pair, 0);
        assert_eq!(good.up_to, [2, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!(good.micros, 11_002_001);
        assert_eq!(all.read(Room::Pair, 2).up_to, [0, 0, 0, 1, 1, 1, 1, 1, 1]);
        assert_eq!(all.read(Room::Pin, 0), Told::default());
        for (at, (room, _)) in Room::ALL.iter().enumerate() {
            assert_eq!(*room as usize, at);
        }
    }
}
