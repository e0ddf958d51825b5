//! Passwords and PINs: their bounds, their hashes, and the pool of lanes that hashes them.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    error::{Error, Field, Reason, Result},
    secret::{Secret, random_bytes, random_text, same},
};

/// The floor that seed 000 names for passwords.
pub const NATIVE_MIN: usize = 8;
/// Longer ones are never hashed (wire rule 5), in bytes.
pub const MAX_BYTES: usize = 1024;
/// bcrypt reads no more than this, in bytes.
const BCRYPT_MAX_BYTES: usize = 72;
const BCRYPT_COST: u32 = 12;
/// A stored hash may not ask for more memory than this, in KiB.
const MAX_MEMORY_KIB: u32 = 1 << 20;
const OUTPUT_BYTES: usize = 32;
/// How long a quiet lane keeps its memory.
const QUIET: Duration = Duration::from_secs(60);

/// Lower-case, sorted, of eight characters and more, out of the ten thousand most common.
const COMMON: &str = include_str!("common_passwords.txt");

/// How new passwords are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    Argon2id,
    Bcrypt,
}

/// `auth.password_hash`, `argon2_*`, `hash_lanes`, `hash_queue`.
#[derive(Clone, Copy, Debug)]
pub struct HashPolicy {
    pub kind: HashKind,
    /// In KiB.
    pub memory: u32,
    pub passes: u32,
    pub parallelism: u32,
    pub lanes: usize,
    /// Waiters beyond the lanes.
    pub queue: usize,
}

/// What a dialect asks of a new password.
#[derive(Clone, Copy, Debug)]
pub struct PasswordRule {
    pub min: usize,
    pub refuse_common: bool,
    pub digit_and_special: bool,
}

impl PasswordRule {
    /// Native and the pages: eight characters, none of the common ones.
    pub const NATIVE: Self =
        Self { min: NATIVE_MIN, refuse_common: true, digit_and_special: false };
    /// Pair: eight characters with a digit and a special character (seed 002).
    pub const PAIR: Self = Self { min: 8, refuse_common: false, digit_and_special: true };
    /// Sign-up: six characters (seed 003).
    pub const SIGNUP: Self = Self { min: 6, refuse_common: false, digit_and_special: false };
    /// Gpodder: eight characters.
    pub const GPODDER: Self = Self { min: 8, refuse_common: false, digit_and_special: false };

    /// Checks a password that somebody wants to have; `at_least` is `auth.password_min_length`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `field`.
    pub fn check(self, password: &Secret, at_least: usize, field: Field) -> Result<()> {
        let text = password.reveal();
        let min = self.min.max(at_least);
        if text.chars().count() < min {
            return Err(Error::Invalid(field, Reason::TooShort { min }));
        }
        if text.len() > MAX_BYTES {
            return Err(Error::Invalid(field, Reason::TooLong { max: MAX_BYTES }));
        }
        let has_digit = text.chars().any(|c| c.is_ascii_digit());
        let has_special = text.chars().any(|c| !c.is_alphanumeric() && !c.is_whitespace());
        if self.digit_and_special && !(has_digit && has_special) {
            return Err(Error::Invalid(field, Reason::TooPlain));
        }
        if self.refuse_common && is_common(text) {
            return Err(Error::Invalid(field, Reason::TooCommon));
        }
        Ok(())
    }
}

fn is_common(text: &str) -> bool {
    let wanted = text.to_lowercase();
    // The list is sorted by bytes; halve it by lines.
    let (mut low, mut high) = (0, COMMON.len());
    while low < high {
        let middle = (low + high) / 2;
        let start = COMMON[..middle].rfind('\n').map_or(0, |at| at + 1);
        let end = COMMON[start..].find('\n').map_or(COMMON.len(), |at| start + at);
        match COMMON[start..end].cmp(wanted.as_str()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = end + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

/// A PIN that somebody wants to have: 4 to 12 digits.
///
/// # Errors
/// [`Error::Invalid`] otherwise.
pub fn check_pin(pin: &Secret) -> Result<()> {
    let text = pin.reveal();
    if (4..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(())
    } else {
        Err(Error::Invalid(Field::Pin, Reason::Form("must be 4 to 12 digits")))
    }
}

enum Work {
    Hash(Secret, HashKind),
    /// Against a stored hash; `false` marks a dummy, which costs the same and never fits.
    Verify(Secret, String, bool),
}

enum Done {
    Hashed(Option<String>),
    Verified(bool),
}

struct Job {
    work: Work,
    reply: oneshot::Sender<Done>,
}

/// A place among the bounded number of those who hash or wait for it.
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

struct Shared {
    policy: HashPolicy,
    jobs: Mutex<VecDeque<Job>>,
    wake: Condvar,
    dummy: String,
    dummy_pin: String,
    last_micros: AtomicU64,
    tally: Tally,
}

/// What the lanes have done so far, and hold.
#[derive(Default)]
struct Tally {
    busy: AtomicUsize,
    hashes: AtomicU64,
    micros: AtomicU64,
    refused: AtomicU64,
    bytes: AtomicUsize,
}

/// The lanes at one moment; what counts up does so since the process began.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    pub total: usize,
    pub busy: usize,
    /// Passwords that wait for a lane, and for how many there is room.
    pub waiting: usize,
    pub room: usize,
    /// Memory that the lanes hold, in bytes.
    pub bytes: usize,
    /// Hashes made and compared, and the time that they took.
    pub hashes: u64,
    pub time: Duration,
    /// Tries for which there was no room.
    pub refused: u64,
}

/// The lanes: threads with a block memory of their own that is taken at first use, reused for
/// each hash, and given back after a minute of quiet, with whatever else is free.
#[derive(Clone)]
pub struct Hasher {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

impl Hasher {
    /// Starts the lanes; they end with the process.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(policy: HashPolicy) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            policy,
            jobs: Mutex::new(VecDeque::new()),
            wake: Condvar::new(),
            dummy: dummy(policy),
            dummy_pin: dummy(HashPolicy { kind: HashKind::Argon2id, ..policy }),
            last_micros: AtomicU64::new(20_000),
            tally: Tally::default(),
        });
        for number in 0..policy.lanes {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("hash-lane-{number}"))
                .stack_size(256 * 1024)
                .spawn(move || lane(&shared))?;
        }
        Ok(Self { shared, places: Arc::new(Semaphore::new(policy.lanes + policy.queue)) })
    }

    /// Takes a place in the queue, before anything that waits.
    ///
    /// # Errors
    /// [`Error::Busy`] when it is full.
    pub fn place(&self) -> Result<Place> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Ok(Place { _permit: permit }),
            Err(_) => {
                self.shared.tally.refused.fetch_add(1, Ordering::Relaxed);
                Err(Error::Busy { retry_after: self.expected_wait() })
            }
        }
    }

    /// How the lanes are just now.
    pub fn lanes(&self) -> Lanes {
        let Shared { policy, jobs, tally, .. } = &*self.shared;
        Lanes {
            total: policy.lanes,
            busy: tally.busy.load(Ordering::Relaxed),
            waiting: lock(jobs).len(),
            room: policy.queue,
            bytes: tally.bytes.load(Ordering::Relaxed),
            hashes: tally.hashes.load(Ordering::Relaxed),
            time: Duration::from_micros(tally.micros.load(Ordering::Relaxed)),
            refused: tally.refused.load(Ordering::Relaxed),
        }
    }

    fn expected_wait(&self) -> Duration {
        let policy = self.shared.policy;
        let rounds = (policy.queue / policy.lanes.max(1)).max(1) as u64;
        let micros = self.shared.last_micros.load(Ordering::Relaxed).saturating_mul(rounds);
        Duration::from_micros(micros).clamp(Duration::from_secs(1), Duration::from_secs(60))
    }

    /// Hashes a new password by the policy.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what bcrypt would cut short, when bcrypt is the policy.
    pub async fn hash(&self, _place: &Place, password: Secret, field: Field) -> Result<String> {
        let kind = self.shared.policy.kind;
        if kind == HashKind::Bcrypt && !fits_bcrypt(password.reveal()) {
            const RULE: &str = "must have at most 72 bytes and no NUL, since bcrypt is in use here";
            return Err(Error::Invalid(field, Reason::Form(RULE)));
        }
        self.hashed(Work::Hash(password, kind)).await
    }

    /// Hashes a peppered PIN: always Argon2id, since bcrypt has no memory cost to set against so
    /// few digits.
    ///
    /// # Errors
    /// [`Error::Internal`] only.
    pub async fn hash_pin(&self, _place: &Place, peppered: Secret) -> Result<String> {
        self.hashed(Work::Hash(peppered, HashKind::Argon2id)).await
    }

    async fn hashed(&self, work: Work) -> Result<String> {
        match self.run(work).await? {
            Done::Hashed(Some(hash)) => Ok(hash),
            Done::Hashed(None) | Done::Verified(_) => {
                Err(Error::Internal("the hash function refused its parameters".into()))
            }
        }
    }

    /// Whether `password` fits `stored`. Without a stored hash it costs the same and says no.
    ///
    /// # Errors
    /// [`Error::Internal`] only.
    pub async fn verify(
        &self,
        _place: &Place,
        password: Secret,
        stored: Option<String>,
    ) -> Result<bool> {
        if password.reveal().len() > MAX_BYTES {
            return Ok(false);
        }
        self.verified(password, stored, &self.shared.dummy).await
    }

    /// The same for a peppered PIN.
    ///
    /// # Errors
    /// [`Error::Internal`] only.
    pub async fn verify_pin(
        &self,
        _place: &Place,
        peppered: Secret,
        stored: Option<String>,
    ) -> Result<bool> {
        self.verified(peppered, stored, &self.shared.dummy_pin).await
    }

    async fn verified(&self, text: Secret, stored: Option<String>, dummy: &str) -> Result<bool> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| dummy.to_owned());
        match self.run(Work::Verify(text, stored, known)).await? {
            Done::Verified(fits) => Ok(fits),
            Done::Hashed(_) => Ok(false),
        }
    }

    /// Whether a hash should be replaced at the next sign-in: of the other kind, or weaker.
    pub fn is_outdated(&self, stored: &str) -> bool {
        let policy = self.shared.policy;
        match (policy.kind, Phc::parse(stored)) {
            (HashKind::Argon2id, Some(phc)) => {
                phc.memory < policy.memory
                    || phc.passes < policy.passes
                    || phc.parallelism != policy.parallelism
            }
            (HashKind::Bcrypt, None) => bcrypt_cost(stored).is_none_or(|cost| cost < BCRYPT_COST),
            _ => true,
        }
    }

    async fn run(&self, work: Work) -> Result<Done> {
        let (reply, answer) = oneshot::channel();
        lock(&self.shared.jobs).push_back(Job { work, reply });
        self.shared.wake.notify_one();
        answer.await.map_err(|lost| Error::Internal(Box::new(lost)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fits_bcrypt(text: &str) -> bool {
    text.len() <= BCRYPT_MAX_BYTES && !text.contains('\0')
}

fn bcrypt_cost(stored: &str) -> Option<u32> {
    let rest = stored.strip_prefix("$2")?;
    rest.get(2..4)?.parse().ok()
}

/// A hash that nothing fits, of the policy's kind and cost.
fn dummy(policy: HashPolicy) -> String {
    match policy.kind {
        HashKind::Argon2id => Phc {
            memory: policy.memory,
            passes: policy.passes,
            parallelism: policy.parallelism,
            salt: random_bytes::<16>().to_vec(),
            hash: random_bytes::<OUTPUT_BYTES>().to_vec(),
        }
        .text(),
        // 22 characters of salt and 31 of hash; the last of each carries few bits, 'e' and 'O'
        // are valid there.
        HashKind::Bcrypt => {
            format!("$2b${BCRYPT_COST:02}${}e{}O", random_text(21), random_text(30))
        }
    }
}

fn lane(shared: &Shared) {
    let mut memory = Vec::new();
    loop {
        let Some(job) = next_job(shared, &mut memory) else { continue };
        if job.reply.is_closed() {
            continue;
        }
        let start = Instant::now();
        let (tally, held) = (&shared.tally, memory.len());
        tally.busy.fetch_add(1, Ordering::Relaxed);
        let work = AssertUnwindSafe(|| perform(job.work, shared, &mut memory));
        // A lane that dies would take everybody's sign-in with it; here one job has no answer.
        let done = catch_unwind(work);
        tally.busy.fetch_sub(1, Ordering::Relaxed);
        tally.bytes.fetch_add((memory.len() - held) * size_of::<Block>(), Ordering::Relaxed);
        let Ok(done) = done else { continue };
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        shared.last_micros.store(micros, Ordering::Relaxed);
        tally.hashes.fetch_add(1, Ordering::Relaxed);
        tally.micros.fetch_add(micros, Ordering::Relaxed);
        // Nobody waits any more when the client has gone.
        let _ = job.reply.send(done);
    }
}

fn next_job(shared: &Shared, memory: &mut Vec<Block>) -> Option<Job> {
    let mut jobs = lock(&shared.jobs);
    if let Some(job) = jobs.pop_front() {
        return Some(job);
    }
    if memory.is_empty() {
        jobs = shared.wake.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        return jobs.pop_front();
    }
    let (mut jobs, waited) =
        shared.wake.wait_timeout(jobs, QUIET).unwrap_or_else(PoisonError::into_inner);
    let job = jobs.pop_front();
    drop(jobs);
    if job.is_none() && waited.timed_out() {
        let bytes = memory.len() * size_of::<Block>();
        *memory = Vec::new();
        shared.tally.bytes.fetch_sub(bytes, Ordering::Relaxed);
        give_back();
    }
    job
}

/// The system gets back what a crowd has left: the allocator keeps its free pages, which lie
/// between those few that are still in use.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    // SAFETY: malloc_trim only gives free pages back, and takes the allocator's own locks.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

fn perform(work: Work, shared: &Shared, memory: &mut Vec<Block>) -> Done {
    let policy = shared.policy;
    match work {
        Work::Hash(secret, HashKind::Argon2id) => {
            let mut phc = Phc {
                memory: policy.memory,
                passes: policy.passes,
                parallelism: policy.parallelism,
                salt: random_bytes::<16>().to_vec(),
                hash: Vec::new(),
            };
            phc.hash = match phc.compute(secret.reveal(), OUTPUT_BYTES, memory) {
                Some(hash) => hash,
                None => return Done::Hashed(None),
            };
            Done::Hashed(Some(phc.text()))
        }
        Work::Hash(secret, HashKind::Bcrypt) => {
            Done::Hashed(bcrypt::non_truncating_hash(secret.reveal(), BCRYPT_COST).ok())
        }
        Work::Verify(secret, stored, known) => {
            Done::Verified(fits(&secret, &stored, &shared.dummy, memory) && known)
        }
    }
}

fn fits(secret: &Secret, stored: &str, dummy: &str, memory: &mut Vec<Block>) -> bool {
    if let Some(phc) = Phc::parse(stored) {
        return phc
            .compute(secret.reveal(), phc.hash.len(), memory)
            .is_some_and(|hash| same(&hash, &phc.hash));
    }
    if !fits_bcrypt(secret.reveal()) {
        // Costs what an unknown account costs.
        if let Some(phc) = Phc::parse(dummy) {
            phc.compute(secret.reveal(), phc.hash.len(), memory);
        }
        return false;
    }
    bcrypt::non_truncating_verify(secret.reveal(), stored).unwrap_or(false)
}

/// An Argon2id hash in PHC string format.
struct Phc {
    memory: u32,
    passes: u32,
    parallelism: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Phc {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let mut costs = parts.next()?.split(',');
        let mut cost = |name: &str| costs.next()?.strip_prefix(name)?.parse::<u32>().ok();
        let (memory, passes, parallelism) = (cost("m=")?, cost("t=")?, cost("p=")?);
        let salt = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
        let hash = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
        let sound = memory <= MAX_MEMORY_KIB && (16..=64).contains(&hash.len());
        (sound && parts.next().is_none()).then_some(Self {
            memory,
            passes,
            parallelism,
            salt,
            hash,
        })
    }

    fn text(&self) -> String {
        format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            self.memory,
            self.passes,
            self.parallelism,
            STANDARD_NO_PAD.encode(&self.salt),
            STANDARD_NO_PAD.encode(&self.hash)
        )
    }

    fn compute(&self, password: &str, length: usize, memory: &mut Vec<Block>) -> Option<Vec<u8>> {
        let params = Params::new(self.memory, self.passes, self.parallelism, Some(length)).ok()?;
        let blocks = params.block_count();
        if memory.len() < blocks {
            *memory = vec![Block::default(); blocks];
        }
        let mut hash = vec![0; length];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                password.as_bytes(),
                &self.salt,
                &mut hash,
                &mut memory[..blocks],
            )
            .ok()?;
        Some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: HashPolicy = HashPolicy {
        kind: HashKind::Argon2id,
        memory: 64,
        passes: 1,
        parallelism: 1,
        lanes: 1,
        queue: 1,
    };

    #[tokio::test]
    async fn both_kinds_verify_and_the_other_kind_is_outdated() {
        let argon = Hasher::start(SMALL).expect("threads");
        let bcrypt =
            Hasher::start(HashPolicy { kind: HashKind::Bcrypt, ..SMALL }).expect("threads");
        let place = argon.place().expect("a place");
        for (own, other) in [(&argon, &bcrypt), (&bcrypt, &argon)] {
            let hash =
                own.hash(&place, Secret::new("walnut-7"), Field::Password).await.expect("hash");
            for hasher in [own, other] {
                let right = hasher.verify(&place, Secret::new("walnut-7"), Some(hash.clone()));
                assert!(right.await.expect("verify"));
                let wrong = hasher.verify(&place, Secret::new("walnut-8"), Some(hash.clone()));
                assert!(!wrong.await.expect("verify"));
            }
            assert!(!own.is_outdated(&hash) && other.is_outdated(&hash));
        }
    }

    #[tokio::test]
    async fn nothing_fits_the_dummy_and_a_known_vector_fits() {
        let hasher = Hasher::start(SMALL).expect("threads");
        let place = hasher.place().expect("a place");
        let none = hasher.verify(&place, Secret::new("anything"), None);
        assert!(!none.await.expect("verify"));
        // Made by the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1`.
        let known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$\
                     CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let right = hasher.verify(&place, Secret::new("password"), Some(known.to_owned()));
        assert!(right.await.expect("verify"));
    }

    #[test]
    fn places_are_bounded() {
        let hasher = Hasher::start(SMALL).expect("threads");
        let first = hasher.place().expect("lane");
        let second = hasher.place().expect("queue");
        assert!(matches!(hasher.place(), Err(Error::Busy { .. })));
        drop((first, second));
        assert!(hasher.place().is_ok());
    }

    #[test]
    fn common_passwords_are_found_and_others_not() {
        for common in ["password1", "PASSWORD1", "baseball", "12345678"] {
            assert!(is_common(common), "{common}");
        }
        for other in ["", "a", "zzzzzzzzzzzz", "correct horse battery staple", "passwore1"] {
            assert!(!is_common(other), "{other}");
        }
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!(lines.is_sorted() && lines.iter().all(|line| is_common(line)));
    }
}
