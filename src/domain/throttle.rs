//! Failed tries and requests by client address: both in bounded memory, both by a clock that
//! never jumps.

mod room;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use self::room::Room;
use super::{
    Clock, Core,
    caller::Caller,
    error::{Error, Noun, Result},
    permissions::SYSTEM_ADMIN,
};

/// Entries kept for each of the two maps: about 2 MB at the most, if nothing more is known of each
/// address than that it failed.
const MAX_ENTRIES: usize = 16_384;

/// `throttle.max_attempts` and `window_seconds`, `rate_limit.requests_per_second` and `burst`.
#[derive(Clone, Copy, Debug)]
pub struct ThrottlePolicy {
    /// Failed tries in one window; 0 switches the throttle off.
    pub max_attempts: u32,
    pub window: Duration,
    /// Tries of one address that may wait for others of it; of all together twice as many.
    pub waiting: usize,
    /// 0 switches the bucket off.
    pub requests_per_second: u32,
    pub burst: u32,
}

/// A client as the throttle sees it: one IPv4 address or one IPv6 /64, since a household or a
/// cheap server has a whole /64 to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject(IpAddr);

impl Subject {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
            v4 => v4,
        })
    }

    /// The address, or the first of the /64.
    pub fn address(self) -> IpAddr {
        self.0
    }
}

/// A credential that failed, by its keyed digest, and how often accounts had changed when it did.
#[derive(Clone, Copy)]
struct KnownWrong {
    digest: [u8; 32],
    generation: u64,
}

/// How a try ended.
#[derive(Clone, Copy)]
enum Verdict {
    Right,
    Wrong,
    WrongAs(KnownWrong),
}

impl Verdict {
    const fn is_failure(self) -> bool {
        !matches!(self, Self::Right)
    }
}

#[derive(Default)]
struct Window {
    ends: Duration,
    failures: u32,
    in_flight: u32,
    /// Few have any: thousands of invented addresses must be small.
    more: Option<Box<More>>,
}

/// What clients leave behind that repeat a credential, or try more at once than may fail.
#[derive(Default)]
struct More {
    wrong: Vec<KnownWrong>,
    freed: Arc<Notify>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Duration,
}

struct Inner {
    policy: ThrottlePolicy,
    clock: Clock,
    windows: Mutex<HashMap<Subject, Window>>,
    buckets: Mutex<HashMap<Subject, Bucket>>,
    room: Room,
    tries_refused: AtomicU64,
    requests_refused: AtomicU64,
}

#[derive(Clone)]
pub struct Throttle(Arc<Inner>);

/// One try under way. It counts as failed unless [`Reservation::succeeded`] is called, also when
/// the client hangs up: otherwise hanging up early would make guesses free.
pub struct Reservation {
    throttle: Throttle,
    subject: Subject,
    counts: bool,
}

/// Both maps at one moment; what was refused counts since the process began.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Addresses with failed tries in a window that lasts, and those of them that must wait.
    pub known: usize,
    pub blocked: usize,
    pub tries_refused: u64,
    pub requests_refused: u64,
}

/// Who is being throttled, for an admin.
#[derive(Clone, Copy, Debug)]
pub struct Throttled {
    pub subject: Subject,
    pub attempts: u32,
    pub blocked: bool,
}

impl Throttle {
    pub fn new(policy: ThrottlePolicy, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            policy,
            clock,
            windows: Mutex::new(HashMap::new()),
            buckets: Mutex::new(HashMap::new()),
            room: Room::of(policy.waiting),
            tries_refused: AtomicU64::new(0),
            requests_refused: AtomicU64::new(0),
        }))
    }

    pub fn policy(&self) -> ThrottlePolicy {
        self.0.policy
    }

    /// One request from the bucket.
    ///
    /// # Errors
    /// [`Error::Throttled`] when it is empty.
    pub fn request(&self, subject: Subject) -> Result<()> {
        let rate = f64::from(self.0.policy.requests_per_second);
        if rate == 0.0 {
            return Ok(());
        }
        let burst = f64::from(self.0.policy.burst);
        let now = self.0.clock.ticks();
        let mut buckets = lock(&self.0.buckets);
        if buckets.len() >= MAX_ENTRIES && !buckets.contains_key(&subject) {
            make_room(&mut buckets, |bucket| bucket.is_full(now, rate, burst), |_| true);
        }
        let bucket = buckets.entry(subject).or_insert(Bucket { tokens: burst, filled: now });
        let gained = now.saturating_sub(bucket.filled).as_secs_f64() * rate;
        bucket.tokens = (bucket.tokens + gained).min(burst);
        bucket.filled = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        self.0.requests_refused.fetch_add(1, Ordering::Relaxed);
        let wait = Duration::from_secs_f64((1.0 - bucket.tokens) / rate);
        Err(Error::Throttled { retry_after: wait.max(Duration::from_secs(1)) })
    }

    /// Whether this address may try at all.
    ///
    /// # Errors
    /// [`Error::Throttled`] until its window ends.
    pub fn check(&self, subject: Subject) -> Result<()> {
        let now = self.0.clock.ticks();
        match lock(&self.0.windows).get(&subject) {
            Some(window) => self.refuse_if_full(window, now),
            None => Ok(()),
        }
    }

    fn refuse_if_full(&self, window: &Window, now: Duration) -> Result<()> {
        if self.is_blocked(window, now) {
            self.0.tries_refused.fetch_add(1, Ordering::Relaxed);
            let left = window.ends.saturating_sub(now);
            return Err(Error::Throttled { retry_after: Duration::from_secs(ceil_seconds(left)) });
        }
        Ok(())
    }

    fn is_blocked(&self, window: &Window, now: Duration) -> bool {
        let most = self.0.policy.max_attempts;
        most > 0 && window.failures >= most && now < window.ends
    }

    /// How many are known, wait and were refused. Looks at each entry of a bounded map.
    pub fn crowd(&self) -> Crowd {
        let now = self.0.clock.ticks();
        let windows = lock(&self.0.windows);
        let lasting = || windows.values().filter(|one| one.failures > 0 && now < one.ends);
        Crowd {
            known: lasting().count(),
            blocked: lasting().filter(|one| self.is_blocked(one, now)).count(),
            tries_refused: self.0.tries_refused.load(Ordering::Relaxed),
            requests_refused: self.0.requests_refused.load(Ordering::Relaxed),
        }
    }

    /// Reserves a try before anything is hashed. When as many are under way as may still fail,
    /// it waits for one of them, so that parallel guesses do not slip through and a household
    /// that signs in at once is not refused.
    ///
    /// # Errors
    /// [`Error::Throttled`] until the window ends; [`Error::Busy`] when too many wait already.
    pub async fn reserve(&self, subject: Subject) -> Result<Reservation> {
        if self.0.policy.max_attempts == 0 {
            return Ok(Reservation { throttle: self.clone(), subject, counts: false });
        }
        let mut room = None;
        loop {
            let freed = {
                let now = self.0.clock.ticks();
                let mut windows = lock(&self.0.windows);
                let window = self.window(&mut windows, subject, now);
                self.refuse_if_full(window, now)?;
                if window.failures + window.in_flight < self.0.policy.max_attempts {
                    window.in_flight += 1;
                    return Ok(Reservation { throttle: self.clone(), subject, counts: true });
                }
                Arc::clone(&window.more().freed).notified_owned()
            };
            if room.is_none() {
                room = Some(self.0.room.enter(subject)?);
            }
            freed.await;
        }
    }

    fn window<'a>(
        &self,
        windows: &'a mut HashMap<Subject, Window>,
        subject: Subject,
        now: Duration,
    ) -> &'a mut Window {
        if windows.len() >= MAX_ENTRIES && !windows.contains_key(&subject) {
            // Whoever waits for a try under way would wait for ever. There are no more of those than
            // connections.
            make_room(windows, |window| window.is_over(now), |window| window.in_flight == 0);
        }
        let window = windows.entry(subject).or_default();
        if now >= window.ends {
            window.forgive();
        }
        window
    }

    /// Whether this credential has failed in this window, and the generation of that failure.
    pub fn known_wrong(&self, subject: Subject, digest: &[u8; 32]) -> Option<u64> {
        let now = self.0.clock.ticks();
        let windows = lock(&self.0.windows);
        let window = windows.get(&subject).filter(|window| now < window.ends)?;
        let mut wrong = window.more.as_ref()?.wrong.iter();
        wrong.find(|known| known.digest == *digest).map(|known| known.generation)
    }

    /// Everybody with failures in a window that lasts.
    pub fn list(&self) -> Vec<Throttled> {
        let now = self.0.clock.ticks();
        let max = self.0.policy.max_attempts;
        lock(&self.0.windows)
            .iter()
            .filter(|(_, window)| window.failures > 0 && now < window.ends)
            .map(|(subject, window)| Throttled {
                subject: *subject,
                attempts: window.failures,
                blocked: max > 0 && window.failures >= max,
            })
            .collect()
    }

    /// Forgets the failures of one address; `false` when there were none.
    pub fn clear(&self, subject: Subject) -> bool {
        let now = self.0.clock.ticks();
        let mut windows = lock(&self.0.windows);
        let Some(window) = windows.get_mut(&subject) else { return false };
        let counted = window.failures > 0 && now < window.ends;
        window.forgive();
        window.wake();
        counted
    }

    /// Forgets what says nothing any more, so that a flood of addresses leaves nothing behind.
    pub fn sweep(&self) {
        let now = self.0.clock.ticks();
        let ThrottlePolicy { requests_per_second, burst, .. } = self.0.policy;
        lock(&self.0.windows).retain(|_, window| !window.is_over(now));
        let (rate, burst) = (f64::from(requests_per_second), f64::from(burst));
        lock(&self.0.buckets).retain(|_, bucket| !bucket.is_full(now, rate, burst));
    }

    /// Whether the try counted as a failure.
    fn settle(&self, subject: Subject, verdict: Verdict) -> bool {
        let now = self.0.clock.ticks();
        let limit = self.0.policy.max_attempts as usize;
        let mut windows = lock(&self.0.windows);
        let Some(window) = windows.get_mut(&subject) else { return verdict.is_failure() };
        window.in_flight = window.in_flight.saturating_sub(1);
        if verdict.is_failure() && now >= window.ends {
            window.forgive();
            window.ends = now + self.0.policy.window;
        }
        let counts = match verdict {
            Verdict::Right => false,
            Verdict::Wrong => true,
            Verdict::WrongAs(wrong) => window.remember(wrong, limit.min(16)),
        };
        window.failures += u32::from(counts);
        window.wake();
        if window.in_flight == 0 && window.failures == 0 {
            windows.remove(&subject);
        }
        counts
    }
}

impl Bucket {
    /// As a new one would be.
    fn is_full(&self, now: Duration, rate: f64, burst: f64) -> bool {
        self.tokens + now.saturating_sub(self.filled).as_secs_f64() * rate >= burst
    }
}

impl Window {
    fn is_over(&self, now: Duration) -> bool {
        self.in_flight == 0 && now >= self.ends
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    fn forgive(&mut self) {
        self.failures = 0;
        if let Some(more) = &mut self.more {
            more.wrong.clear();
        }
    }

    /// Whoever waits for a try of the same address looks again.
    fn wake(&self) {
        if let Some(more) = &self.more {
            more.freed.notify_waiters();
        }
    }

    /// Whether this wrong credential is a new one.
    fn remember(&mut self, wrong: KnownWrong, limit: usize) -> bool {
        let known = &mut self.more().wrong;
        let before = known.len();
        known.retain(|known| known.digest != wrong.digest);
        let is_new = known.len() == before;
        if known.len() < limit {
            known.push(wrong);
        }
        is_new
    }
}

impl Core {
    /// Addresses with failed tries, and the rule that they wait by.
    pub fn throttled_list(&self, caller: &Caller) -> Result<(ThrottlePolicy, Vec<Throttled>)> {
        caller.must(SYSTEM_ADMIN)?;
        Ok((self.throttle.policy(), self.throttle.list()))
    }

    /// Lets an address try again.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it had no failed tries.
    pub fn throttled_clear(&self, caller: &Caller, address: Result<IpAddr>) -> Result<()> {
        caller.must(SYSTEM_ADMIN)?;
        if self.throttle.clear(Subject::of(address?)) {
            Ok(())
        } else {
            Err(Error::NotFound(Noun::Page))
        }
    }
}

impl Reservation {
    /// The credential was right (or its owner hid nothing new by it): the try does not count.
    pub fn succeeded(mut self) {
        self.settle(Verdict::Right);
    }

    /// The try failed; the same as dropping it, said aloud.
    pub fn failed(mut self) {
        self.settle(Verdict::Wrong);
    }

    /// The try failed with a credential that its client may repeat, a forgotten phone say: the
    /// same one counts once in a window. Whether it counted.
    pub fn failed_with(mut self, digest: [u8; 32], generation: u64) -> bool {
        self.settle(Verdict::WrongAs(KnownWrong { digest, generation }))
    }

    fn settle(&mut self, verdict: Verdict) -> bool {
        if std::mem::take(&mut self.counts) {
            return self.throttle.settle(self.subject, verdict);
        }
        verdict.is_failure()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.settle(Verdict::Wrong);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ceil_seconds(span: Duration) -> u64 {
    (span.as_secs() + u64::from(span.subsec_nanos() > 0)).max(1)
}

/// Drops what has lost its meaning; a map that is full of live entries loses some of them, which
/// forgives a few failures. It grows by those only that may not be lost.
fn make_room<V>(
    map: &mut HashMap<Subject, V>,
    is_over: impl Fn(&V) -> bool,
    may_be_lost: impl Fn(&V) -> bool,
) {
    map.retain(|_, value| !is_over(value));
    if map.len() >= MAX_ENTRIES {
        let some = map.iter().filter(|(_, value)| may_be_lost(value)).map(|(subject, _)| *subject);
        let some: Vec<Subject> = some.take(MAX_ENTRIES / 16).collect();
        for subject in some {
            map.remove(&subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn throttle(max_attempts: u32) -> (Throttle, Clock) {
        let clock = Clock::fixed(Timestamp::from_seconds(1_000_000));
        let policy = ThrottlePolicy {
            max_attempts,
            window: Duration::from_secs(300),
            waiting: 2,
            requests_per_second: 20,
            burst: 60,
        };
        (Throttle::new(policy, clock.clone()), clock)
    }

    fn subject(text: &str) -> Subject {
        Subject::of(text.parse().expect("an address"))
    }

    #[tokio::test]
    async fn the_sixth_try_is_refused_until_the_window_ends() {
        let (throttle, clock) = throttle(5);
        let me = subject("192.0.2.1");
        for _ in 0..5 {
            throttle.reserve(me).await.expect("a try").failed();
            clock.advance(Duration::from_secs(10));
        }
        let Err(Error::Throttled { retry_after }) = throttle.reserve(me).await else {
            panic!("not refused")
        };
        assert_eq!(
            retry_after,
            Duration::from_secs(250),
            "the window began with the first failure"
        );
        assert!(throttle.reserve(subject("192.0.2.2")).await.is_ok(), "others are not refused");
        clock.advance(Duration::from_secs(250));
        throttle.reserve(me).await.expect("the window has ended").succeeded();
    }

    #[tokio::test]
    async fn success_does_not_reset_the_window() {
        let (throttle, _) = throttle(2);
        let me = subject("192.0.2.1");
        throttle.reserve(me).await.expect("a try").failed();
        throttle.reserve(me).await.expect("a try").succeeded();
        throttle.reserve(me).await.expect("a try").failed();
        assert!(throttle.check(me).is_err());
    }

    #[tokio::test]
    async fn parallel_tries_wait_and_do_not_slip_through() {
        let (throttle, _) = throttle(2);
        let me = subject("192.0.2.1");
        let first = throttle.reserve(me).await.expect("a try");
        let second = throttle.reserve(me).await.expect("a try");
        let third = tokio::spawn({
            let throttle = throttle.clone();
            async move { throttle.reserve(me).await.map(Reservation::succeeded) }
        });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        first.failed();
        drop(second);
        assert!(third.await.expect("no panic").is_err(), "a dropped try counts as failed");
    }

    #[tokio::test]
    async fn those_who_wait_are_bounded_and_keep_nobody_else_out() {
        let (throttle, _) = throttle(1);
        let me = subject("192.0.2.1");
        let under_way = throttle.reserve(me).await.expect("a try");
        let waiting = [(); 2].map(|()| {
            let throttle = throttle.clone();
            tokio::spawn(async move { throttle.reserve(me).await.map(Reservation::succeeded) })
        });
        tokio::task::yield_now().await;
        assert!(matches!(throttle.reserve(me).await, Err(Error::Busy { .. })));
        assert!(throttle.reserve(subject("192.0.2.2")).await.is_ok(), "others need no room");
        under_way.succeeded();
        for one in waiting {
            one.await.expect("no panic").expect("its turn");
        }
        assert!(throttle.0.room.enter(me).is_ok(), "their places are given back");
    }

    #[test]
    fn an_ipv6_household_is_one_subject() {
        assert_eq!(subject("2001:db8:1:2::1"), subject("2001:db8:1:2:ffff::9"));
        assert_ne!(subject("2001:db8:1:2::1"), subject("2001:db8:1:3::1"));
        assert_eq!(subject("::ffff:192.0.2.1"), subject("192.0.2.1"));
    }

    #[tokio::test]
    async fn maps_stay_bounded_under_invented_addresses() {
        let (throttle, _) = throttle(5);
        for number in 0..3 * MAX_ENTRIES as u32 {
            let invented = Subject(IpAddr::from(number.to_be_bytes()));
            throttle.reserve(invented).await.expect("a try").failed();
            throttle.request(invented).expect("a request");
        }
        assert!(lock(&throttle.0.windows).len() <= MAX_ENTRIES);
        assert!(lock(&throttle.0.buckets).len() <= MAX_ENTRIES);
    }

    #[tokio::test]
    async fn a_window_that_makes_room_strands_nobody() {
        let (throttle, _) = throttle(1);
        let me = subject("192.0.2.1");
        let under_way = throttle.reserve(me).await.expect("a try");
        let waiting = tokio::spawn({
            let throttle = throttle.clone();
            async move { throttle.reserve(me).await.map(Reservation::succeeded) }
        });
        tokio::task::yield_now().await;
        // Room is made often enough that nothing is left by chance.
        for number in 0..16 * MAX_ENTRIES as u32 {
            let invented = Subject(IpAddr::from((number | 0xE000_0000).to_be_bytes()));
            throttle.reserve(invented).await.expect("a try").failed();
        }
        assert!(lock(&throttle.0.windows).len() <= MAX_ENTRIES + 1);
        under_way.failed();
        tokio::task::yield_now().await;
        assert!(waiting.is_finished(), "it was woken");
        assert!(waiting.await.expect("no panic").is_err(), "and the failure was counted");
    }

    #[tokio::test]
    async fn what_is_over_is_swept_away_and_what_lasts_is_not() {
        let (throttle, clock) = throttle(5);
        for number in 0..100_u32 {
            let invented = Subject(IpAddr::from(number.to_be_bytes()));
            throttle.reserve(invented).await.expect("a try").failed();
            throttle.request(invented).expect("a request");
        }
        let me = subject("192.0.2.1");
        let under_way = throttle.reserve(me).await.expect("a try");
        let kept = || (lock(&throttle.0.windows).len(), lock(&throttle.0.buckets).len());
        throttle.sweep();
        assert_eq!(kept(), (101, 100));
        clock.advance(Duration::from_secs(60));
        throttle.sweep();
        assert_eq!(kept(), (101, 0));
        clock.advance(Duration::from_secs(240));
        throttle.sweep();
        assert_eq!(kept(), (1, 0));
        under_way.failed();
        assert_eq!(throttle.list().len(), 1);
    }

    #[test]
    fn the_bucket_holds_a_burst_and_refills() {
        let (throttle, clock) = throttle(5);
        let me = subject("192.0.2.1");
        for _ in 0..60 {
            throttle.request(me).expect("within the burst");
        }
        assert!(throttle.request(me).is_err());
        clock.advance(Duration::from_secs(1));
        for _ in 0..20 {
            throttle.request(me).expect("refilled");
        }
        assert!(throttle.request(me).is_err());
    }
}
