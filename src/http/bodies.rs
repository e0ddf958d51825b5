//! Bodies in memory: what all of them may take, what one client may, and how long they may come.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use poem::Body;

use super::voice::Trouble;
use crate::domain::{error::Error, throttle::Subject};

/// Up to so many bytes a body is small: whatever signs somebody in is.
const SMALL: usize = 64 * 1024;
/// One client holds at most this part of a share.
const PART: usize = 4;
/// What a request takes beside its head while its body is awaited, in bytes: measured, with all of HTTP/2.
const WAITER: usize = 9 * 1024;
/// Clients go by so many numbers; those who fall on the same one have their part together.
const CLIENTS: usize = 1024;

/// What bodies that are being read, or that somebody works on, may take.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// A body has to be there within this time.
    pub time: Duration,
    /// All small bodies share this much memory, in KiB, which large ones cannot take.
    pub small: usize,
    /// All others share this much, in KiB.
    pub large: usize,
    /// Requests whose bodies have not come share this much, in KiB, with their heads.
    pub waiting: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        let (small, large, waiting) = (8 * 1024, 32 * 1024, 16 * 1024);
        Self { time: Duration::from_secs(30), small, large, waiting }
    }
}

/// What all bodies take.
pub struct Bodies {
    time: Duration,
    small: Arc<Store>,
    large: Arc<Store>,
    waiting: Arc<Store>,
    /// Keyed anew in each process, so that nobody can choose whom to fall together with.
    numbers: RandomState,
}

/// A body in memory and its share of what all bodies may take.
pub struct Read {
    pub bytes: Bytes,
    pub share: Share,
}

impl Bodies {
    pub fn new(limits: BodyLimits) -> Self {
        Self {
            time: limits.time,
            small: Store::of(limits.small),
            large: Store::of(limits.large),
            waiting: Store::of(limits.waiting),
            numbers: RandomState::new(),
        }
    }

    /// Reads a body of at most `max` bytes, whose request has a head of `head` bytes.
    pub async fn read(
        &self,
        (head, body): (usize, Body),
        max: usize,
        client: Subject,
    ) -> Result<Read, Trouble> {
        let client = self.number(client);
        let mut reading = std::pin::pin!(self.collect(body, max, client));
        if let Some(read) = reading.as_mut().now_or_never() {
            return read;
        }
        // A client may have thousands of requests wait for nothing. Given back once the body is there:
        // what is done then has bounds of its own.
        let mut waiting = Share::of(&self.waiting, client);
        waiting.grow((WAITER + head).div_ceil(1024))?;
        match tokio::time::timeout(self.time, reading).await {
            Ok(read) => read,
            Err(_) => Err(Trouble::BodyTooSlow),
        }
    }

    /// What counts is what has come, not what was announced: a body is small until it is not.
    async fn collect(&self, body: Body, max: usize, client: usize) -> Result<Read, Trouble> {
        let mut stream = std::pin::pin!(body.into_bytes_stream());
        let (mut bytes, mut share) = (BytesMut::new(), Share::of(&self.small, client));
        let mut is_small = true;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Trouble::Unreadable)?;
            let length = bytes.len() + chunk.len();
            if length > max {
                return Err(Trouble::BodyTooLarge);
            }
            if is_small && length > SMALL {
                (is_small, share) = (false, Share::of(&self.large, client));
            }
            share.grow(length.div_ceil(1024))?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(Read { bytes: bytes.freeze(), share })
    }

    fn number(&self, client: Subject) -> usize {
        // Less than CLIENTS, which fits.
        (self.numbers.hash_one(client) % CLIENTS as u64) as usize
    }
}

/// Memory that bodies share, in KiB.
struct Store {
    most: usize,
    taken: Mutex<Taken>,
}

struct Taken {
    all: usize,
    /// By the clients' numbers.
    of: Box<[usize]>,
}

impl Store {
    fn of(most: usize) -> Arc<Self> {
        let taken = Taken { all: 0, of: vec![0; CLIENTS].into() };
        Arc::new(Self { most, taken: Mutex::new(taken) })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one body has of it; given back when it goes.
pub struct Share {
    store: Arc<Store>,
    client: usize,
    kib: usize,
}

impl Share {
    fn of(store: &Arc<Store>, client: usize) -> Self {
        Self { store: Arc::clone(store), client, kib: 0 }
    }

    /// # Errors
    /// [`Error::Busy`] when all is taken, or all that one client may have.
    fn grow(&mut self, kib: usize) -> Result<(), Error> {
        let mut taken = self.store.taken();
        let more = kib.saturating_sub(self.kib);
        let (all, own) = (taken.all + more, taken.of[self.client] + more);
        if all > self.store.most || own > self.store.most / PART {
            return Err(Error::Busy { retry_after: Duration::from_secs(2) });
        }
        (taken.all, taken.of[self.client]) = (all, own);
        self.kib += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.store.taken();
        taken.all -= self.kib;
        taken.of[self.client] -= self.kib;
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::stream;

    use super::*;

    const LIMITS: BodyLimits = BodyLimits {
        time: Duration::from_millis(50),
        small: 64 * 4,
        large: 128 * 4,
        waiting: 20 * 4,
    };
    /// Two of them are all that one client may have wait.
    const HEAD: usize = 1024;

    fn client(last: u8) -> Subject {
        Subject::of([192, 0, 2, last].into())
    }

    /// So many KiB, of which the last byte comes or does not.
    fn body(kib: usize, ends: bool) -> Body {
        let begun = stream::iter([Ok::<_, io::Error>(Bytes::from(vec![b' '; kib * 1024 - 1]))]);
        match ends {
            true => Body::from_bytes_stream(begun),
            false => Body::from_bytes_stream(begun.chain(stream::pending())),
        }
    }

    fn is_busy(read: &Result<Read, Trouble>) -> bool {
        matches!(read, Err(Trouble::Deed(Error::Busy { .. })))
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_let_go_in_time_and_gives_back_its_share() {
        let bodies = Bodies::new(LIMITS);
        for kib in [64, 128] {
            for _ in 0..2 {
                let slow = bodies.read((HEAD, body(kib, false)), usize::MAX, client(1));
                let other = bodies.read((HEAD, body(kib, true)), usize::MAX, client(1));
                let (slow, other) = tokio::join!(slow, other);
                assert!(is_busy(&other), "{kib}: the slow one had it all");
                assert!(matches!(slow, Err(Trouble::BodyTooSlow)), "{kib}");
            }
            let read = bodies.read((HEAD, body(kib, true)), usize::MAX, client(1)).await;
            assert_eq!(read.expect("room").bytes.len(), kib * 1024 - 1);
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_body_has_a_share_for_its_head_and_who_has_it_needs_none() {
        let bodies = Bodies::new(LIMITS);
        let read = |head, body| bodies.read((head, body), usize::MAX, client(1));
        for _ in 0..2 {
            let never = || Body::from_bytes_stream(stream::pending::<io::Result<Bytes>>());
            let (first, second, third, whole) = tokio::join!(
                read(HEAD, never()),
                read(HEAD, never()),
                read(0, never()),
                read(HEAD, body(1, true)),
            );
            for slow in [first, second] {
                assert!(matches!(slow, Err(Trouble::BodyTooSlow)));
            }
            assert!(is_busy(&third) && whole.is_ok());
        }
        let large = 12 * HEAD;
        assert!(is_busy(&read(large, body(1, false)).await), "a head alone is too much");
    }

    #[tokio::test]
    async fn one_client_holds_a_part_of_the_share_and_large_bodies_nothing_of_the_small_ones() {
        let bodies = Bodies::new(LIMITS);
        let read = |kib, who| bodies.read((HEAD, body(kib, true)), usize::MAX, client(who));
        // What is kept holds its share on.
        let mut kept: Vec<Read> = Vec::new();
        let mut who = 0;
        while kept.len() < 4 {
            who += 1;
            // Two may have fallen on one number.
            kept.extend(read(128, who).await.ok());
            assert!(is_busy(&read(65, who).await), "{who} has its part");
            assert!(who < 100);
        }
        for stranger in 100..110 {
            assert!(is_busy(&read(65, stranger).await), "all is taken");
            assert!(read(64, stranger).await.is_ok(), "{stranger} is small");
        }
        drop(kept);
        assert!(read(128, 1).now_or_never().expect("at once").is_ok());
    }
}
