//! What the house does, for whom, and by which rules. Knows nothing of HTTP or the command line.
//!
//! [`Core`] is what every deed is called on. Each file holds its types, then its rows (private,
//! the only SQL), then its deeds.

pub mod accounts;
mod addresses;
pub mod api_keys;
pub mod backups;
pub mod basic_session;
pub mod caller;
pub mod carriers;
pub mod clock;
pub mod disk;
pub mod error;
pub mod events;
pub mod figures;
pub mod identities;
pub mod invitations;
pub mod journal;
mod known;
pub mod letters;
mod lookout;
pub mod page;
pub mod passwords;
pub mod people;
pub mod permissions;
mod places;
pub mod podcasts;
pub mod process;
pub mod profile;
pub mod secret;
pub mod sessions;
pub mod sign_in;
pub mod sign_up;
pub mod smtp;
pub mod sso;
pub mod system;
pub mod throttle;
pub mod tokens;
pub mod updates;
pub mod upkeep;
pub mod warnings;

use std::{
    fmt, fs, io,
    io::Write,
    net::IpAddr,
    ops::Deref,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use ipnet::IpNet;
use quick_cache::sync::Cache;
use rusqlite::{Transaction, params};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use accounts::AccountId;
use backups::{
    nightly::{Copies, Nightly},
    seal::Seal,
};
use carriers::Lives;
pub use clock::{Clock, Timestamp};
use error::Result;
use events::EventHub;
use figures::{SignIns, Stored};
use journal::{Journal, Tickets};
use known::{Known, Stale};
use letters::Language;
use lookout::Lookout;
use passwords::{HashPolicy, Hasher};
use podcasts::upgrades::Probes;
use secret::{MasterSecret, Secret, TokenDigest, random_bytes, random_text};
use sign_up::RegistrationMode;
use smtp::MailSettings;
use sso::{Flows, Providers, SsoSettings};
use throttle::{Throttle, ThrottlePolicy};
use tokens::Signer;
use updates::Updates;

use crate::db::{Checkpoints, Db, DbError, OpenError, ServeLock};

/// Deeds that go on behind an answer which must not tell how long they take.
const LATER: usize = 16;
/// How long after the answer they begin.
const BEHIND: Duration = Duration::from_millis(10);
const PIN_TURNS: usize = 64;

/// The house rules as plain values; the command line makes them from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub data_dir: PathBuf,
    /// `auth.jwt_secret`.
    pub jwt_secret: Option<Secret>,
    /// Where a generated secret is kept instead of the database.
    pub master_key_file: Option<PathBuf>,
    pub hash: HashPolicy,
    /// `auth.allow_weak` is on and needed.
    pub weak_hashing: bool,
    /// Raises every dialect's floor; 0 raises none.
    pub password_min_length: usize,
    pub email_confirmation_required: bool,
    pub registration: RegistrationMode,
    pub throttle: ThrottlePolicy,
    pub lives: Lives,
    pub api_key_prefix: String,
    /// What links begin with; without it no letter goes out.
    pub link_base: Option<String>,
    pub verification_life: Duration,
    /// The mail server; without it no letter goes out.
    pub mail: Option<MailSettings>,
    /// `email.language`.
    pub language: Language,
    /// `email.new_sign_in_letters`.
    pub new_sign_in_letters: bool,
    pub pin_networks: Vec<IpNet>,
    pub pin_list_users: bool,
    pub events_kept: Duration,
    /// `signup.default_role`.
    pub signup_role: String,
    /// `logs.mask_addresses`.
    pub mask_addresses: bool,
    /// `gpodder.probe_https`.
    pub probe_https: bool,
    pub sso: SsoSettings,
    /// `storage.checkpoint`.
    pub checkpoints: Checkpoints,
    /// `backup.schedule` and what goes with it.
    pub nightly: Option<Nightly>,
    /// For whom copies are: `backup.passphrase` or `backup.recipients`.
    pub seal: Seal,
}

/// What deeds need. Cheap to clone.
#[derive(Clone)]
pub struct Core(Arc<House>);

/// The inside of a [`Core`].
pub struct House {
    db: Db,
    clock: Clock,
    hasher: Hasher,
    throttle: Throttle,
    signer: Signer,
    known: Known,
    events: EventHub,
    journal: Journal,
    tickets: Tickets,
    updates: Updates,
    copies: Copies,
    lookout: Lookout,
    probes: Probes,
    flows: Flows,
    sign_ins: SignIns,
    /// What a scrape has read, and when.
    stored: tokio::sync::Mutex<Option<(Duration, Stored)>>,
    providers: Providers,
    settings: Settings,
    pin_key: Zeroizing<[u8; 32]>,
    /// Of this process only: what it keys is never written.
    basic_key: Zeroizing<[u8; 32]>,
    pin_turns: Vec<tokio::sync::Mutex<()>>,
    basic_turn: tokio::sync::Mutex<()>,
    basic_given: Cache<basic_session::Place, basic_session::Given>,
    /// When somebody who came by Basic was last told of.
    basic_told: Cache<(AccountId, Option<IpAddr>), Timestamp>,
    setup_token: Mutex<Option<TokenDigest>>,
    later: Arc<Semaphore>,
    started: Duration,
}

impl Deref for Core {
    type Target = House;

    fn deref(&self) -> &House {
        &self.0
    }
}

/// Why a house could not be opened, in words for the person at the terminal.
#[derive(Debug)]
pub enum CoreError {
    Open(OpenError),
    MasterKey(PathBuf, io::Error),
    ShortMasterKey(PathBuf),
    Database(DbError),
    Threads(io::Error),
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::MasterKey(path, error) => {
                write!(f, "auth.master_key_file {}: {error}", path.display())
            }
            Self::ShortMasterKey(path) => write!(
                f,
                "auth.master_key_file {}: holds fewer than {} bytes; remove it for a new one",
                path.display(),
                MasterSecret::MIN_BYTES
            ),
            Self::Database(error) => error.fmt(f),
            Self::Threads(error) => write!(f, "no threads for hashing: {error}"),
        }
    }
}

impl std::error::Error for CoreError {}

impl From<OpenError> for CoreError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<DbError> for CoreError {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

impl Core {
    /// Opens the house. Does no work that grows with the number of accounts.
    ///
    /// # Errors
    /// Says in one line what is in the way.
    pub async fn open(settings: Settings, clock: Clock) -> std::result::Result<Self, CoreError> {
        let db = Db::open(&settings.data_dir, settings.checkpoints)?;
        Self::over(db, settings, clock).await
    }

    /// The same for a server, which has claimed the folder before.
    ///
    /// # Errors
    /// Says in one line what is in the way.
    pub async fn open_claimed(
        settings: Settings,
        clock: Clock,
        _claim: &ServeLock,
    ) -> std::result::Result<Self, CoreError> {
        let db = Db::open_claimed(&settings.data_dir, settings.checkpoints)?;
        Self::over(db, settings, clock).await
    }

    async fn over(
        db: Db,
        settings: Settings,
        clock: Clock,
    ) -> std::result::Result<Self, CoreError> {
        let master = master_secret(&db, &settings).await?;
        let generation = remembered(&db, "generation", random_text(16)).await?;
        let house = House {
            hasher: Hasher::start(settings.hash).map_err(CoreError::Threads)?,
            throttle: Throttle::new(settings.throttle, clock.clone()),
            signer: Signer::new(&master, &generation),
            known: Known::default(),
            events: EventHub::default(),
            journal: Journal::default(),
            tickets: Tickets::default(),
            updates: Updates::default(),
            copies: Copies::default(),
            lookout: Lookout::default(),
            probes: Probes::default(),
            flows: Flows::new(),
            sign_ins: SignIns::default(),
            stored: tokio::sync::Mutex::default(),
            providers: Providers::new(&settings.sso),
            pin_key: master.derive(&["pin"]),
            basic_key: Zeroizing::new(random_bytes()),
            pin_turns: (0..PIN_TURNS).map(|_| tokio::sync::Mutex::default()).collect(),
            basic_turn: tokio::sync::Mutex::default(),
            basic_given: Cache::new(basic_session::REMEMBERED),
            basic_told: Cache::new(basic_session::REMEMBERED),
            setup_token: Mutex::default(),
            later: Arc::new(Semaphore::new(LATER)),
            started: clock.ticks(),
            db,
            clock,
            settings,
        };
        Ok(Self(Arc::new(house)))
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    pub fn events(&self) -> &EventHub {
        &self.events
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Waits until nothing goes on behind an answer any more.
    pub async fn quiet(&self) {
        // Fails only for a closed semaphore, which this one never is.
        let _ = self.later.acquire_many(LATER as u32).await;
    }

    /// One transaction for one deed. Once begun it runs to its end, whoever hangs up meanwhile: what
    /// it makes stale is forgotten, and whoever watches events is told, by the thread that commits
    /// it, before the answer.
    pub(crate) async fn deed<T: Send + 'static>(
        &self,
        stale: Stale<T>,
        work: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (core, now) = (self.clone(), self.clock.now());
        let work = move |transaction: &Transaction<'_>| work(transaction, now);
        let after = move |done: &Result<T>| {
            if let Ok(done) = done {
                core.known.forget(stale, done);
            }
            core.note_deed(done);
        };
        self.db.write_then(work, after).await
    }

    /// What the thread that commits does last, whatever was written.
    fn note_deed<T>(&self, done: &Result<T>) {
        self.lookout.note_write(done);
        if done.is_ok() {
            self.events.ring();
        }
    }

    /// Does something behind an answer that is given at once. Under a flood it is dropped. It
    /// begins a moment later, so that it does not meet the answer on a small machine, which would
    /// tell by its time whether there was something to do.
    fn later(&self, work: impl Future<Output = Result<()>> + Send + 'static) {
        if let Ok(place) = Arc::clone(&self.later).try_acquire_owned() {
            tokio::spawn(async move {
                tokio::time::sleep(BEHIND).await;
                // The answer is out; what failed shows in the outbox by its absence.
                let _ = work.await;
                drop(place);
            });
        }
    }
}

async fn master_secret(
    db: &Db,
    settings: &Settings,
) -> std::result::Result<MasterSecret, CoreError> {
    if let Some(secret) = &settings.jwt_secret {
        return Ok(MasterSecret::new(secret.reveal()));
    }
    if let Some(path) = &settings.master_key_file {
        let text =
            master_from_file(path).map_err(|error| CoreError::MasterKey(path.clone(), error))?;
        let text = text.trim_end();
        if text.len() < MasterSecret::MIN_BYTES {
            return Err(CoreError::ShortMasterKey(path.clone()));
        }
        return Ok(MasterSecret::new(text));
    }
    let generated = MasterSecret::generate();
    let kept = remembered(db, "master_secret", generated.reveal().to_owned()).await?;
    Ok(MasterSecret::new(&kept))
}

fn master_from_file(path: &Path) -> io::Result<Zeroizing<String>> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            file.write_all(MasterSecret::generate().reveal().as_bytes())?;
            file.sync_all()?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    fs::read_to_string(path).map(Zeroizing::new)
}

/// A generation that no token was signed in.
///
/// # Errors
/// The driver's error.
fn renew_generation(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO meta (key, value) VALUES ('generation', ?1)",
        [random_text(16)],
    )?;
    Ok(())
}

/// What the database remembers under `key`; `fresh` is written when it remembers nothing.
async fn remembered(
    db: &Db,
    key: &'static str,
    fresh: String,
) -> std::result::Result<String, DbError> {
    const SELECT: &str = "SELECT value FROM meta WHERE key = ?1";
    let known = db
        .read(move |connection| match connection.query_row(SELECT, [key], |row| row.get(0)) {
            Ok(value) => Ok(Some(value)),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(error) => Err(DbError::from(error)),
        })
        .await?;
    if let Some(value) = known {
        return Ok(value);
    }
    db.write(move |transaction| {
        transaction.execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![key, fresh],
        )?;
        Ok(transaction.query_row(SELECT, [key], |row| row.get(0))?)
    })
    .await
}
