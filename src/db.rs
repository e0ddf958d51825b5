//! One SQLite file: opening it, running closures on it, migrating it. Knows no table.

pub mod examine;
pub mod migrate;

use std::{
    fmt, fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, config::DbConfig};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The file's name inside the data folder.
pub const FILE_NAME: &str = "gatelodge.db";
const LOCK_NAME: &str = "gatelodge.lock";
const READERS: u32 = 4;
/// For a machine with 1 GB. A reader looks up a few rows at a time, and the system keeps the pages
/// besides; what one transaction changes should stay in memory until it commits.
const READER_CACHE_KIB: u32 = 256;
const WRITER_CACHE_KIB: u32 = 512;
/// How long a statement waits for another process (the command line, a backup) to finish.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long somebody waits for those before: behind a lock of another process each of them waits
/// for [`BUSY_TIMEOUT`], one after the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database: a pool of readers and one writer, so that writers queue here and never fail
/// with SQLITE_BUSY against each other.
#[derive(Clone)]
pub struct Db {
    readers: Pool<SqliteConnectionManager>,
    writer: Pool<SqliteConnectionManager>,
    read_gate: Arc<Semaphore>,
    write_gate: Arc<Semaphore>,
    seen_version: Arc<AtomicI64>,
    path: PathBuf,
}

/// Who takes checkpoints: moves what was written from the log into the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checkpoints {
    /// SQLite, when the log has a thousand pages, and whoever closes the file last.
    #[default]
    Own,
    /// A program that replicates the log and must see all of it before.
    External,
}

/// What a statement can end with.
#[derive(Debug)]
pub enum DbError {
    /// A unique column already holds the value: `table.column`.
    Unique(String),
    /// No row where one was asked for.
    Missing,
    /// The disk is full, read-only or failing: nothing was changed.
    Storage(rusqlite::Error),
    /// Anything else, a defect of ours or of the file.
    Driver(Box<dyn std::error::Error + Send + Sync>),
}

/// Why a database could not be opened, in words for the person at the terminal.
#[derive(Debug)]
pub enum OpenError {
    Folder(PathBuf, io::Error),
    Newer {
        found: u32,
        known: u32,
    },
    Foreign,
    InUse(PathBuf),
    /// A server of an older version serves it: its schema must not change under it.
    Behind(PathBuf),
    /// Readers and the writer cannot share a log there: what SQLite says or offers instead.
    NoLog(String),
    Sqlite(rusqlite::Error),
    Pool(r2d2::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, error) => {
                write!(
                    f,
                    "{}: {error}; the data folder must be writable for this user",
                    path.display()
                )
            }
            Self::Newer { found, known } => write!(
                f,
                "the database has schema {found}, this version knows {known}: install the newer \
                 gatelodge again, or restore a backup made before the upgrade"
            ),
            Self::Foreign => {
                write!(f, "{FILE_NAME} is a database of another program: name another data_dir")
            }
            Self::InUse(path) => {
                write!(f, "another gatelodge already serves {}: stop it first", path.display())
            }
            Self::Behind(path) => write!(
                f,
                "a gatelodge of an older version serves {}: restart it with this version first",
                path.display()
            ),
            Self::NoLog(why) => write!(
                f,
                "the file system of data_dir cannot share the log of a database ({why}): put \
                 data_dir on a disk of this machine"
            ),
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                write!(f, "{FILE_NAME} is not a SQLite database: move it away or restore a backup")
            }
            Self::Sqlite(error)
                if matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
                ) =>
            {
                write!(f, "{FILE_NAME}: {error}; the data folder must be writable for this user")
            }
            Self::Sqlite(error) => write!(f, "{FILE_NAME}: {error}"),
            Self::Pool(error) => write!(f, "{FILE_NAME}: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::{SQLITE_IOERR_SHMLOCK, SQLITE_IOERR_SHMMAP};
        // Network file systems and those of some other programs map no memory that is shared.
        match error.sqlite_error().map(|it| it.extended_code) {
            Some(SQLITE_IOERR_SHMMAP | SQLITE_IOERR_SHMLOCK) => Self::NoLog(error.to_string()),
            _ => Self::Sqlite(error),
        }
    }
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unique(column) => write!(f, "{column} is taken"),
            Self::Missing => write!(f, "no such row"),
            Self::Storage(error) => write!(f, "storage: {error}"),
            Self::Driver(error) => write!(f, "database: {error}"),
        }
    }
}

impl std::error::Error for DbError {}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
        match &error {
            rusqlite::Error::QueryReturnedNoRows => Self::Missing,
            rusqlite::Error::SqliteFailure(code, Some(text))
                if [SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY]
                    .contains(&code.extended_code) =>
            {
                // "UNIQUE constraint failed: accounts.email"
                Self::Unique(text.rsplit(": ").next().unwrap_or_default().to_owned())
            }
            _ => match error.sqlite_error_code() {
                Some(
                    ErrorCode::DiskFull
                    | ErrorCode::ReadOnly
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::DatabaseCorrupt,
                ) => Self::Storage(error),
                _ => Self::Driver(Box::new(error)),
            },
        }
    }
}

impl From<r2d2::Error> for DbError {
    fn from(error: r2d2::Error) -> Self {
        Self::Driver(Box::new(error))
    }
}

/// Held by a running server for as long as it serves; the kernel lets go of it when the
/// process ends, however it ends.
pub struct ServeLock(#[allow(dead_code, reason = "the open file is the lock")] fs::File);

/// The version of SQLite in this program.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

impl Db {
    /// Opens (and makes, mode 0600, in a folder of mode 0700 when that is ours to make) the
    /// database in `folder`. Does no work that grows with its size.
    ///
    /// # Errors
    /// Says in one line what is in the way.
    pub fn open(folder: &Path, checkpoints: Checkpoints) -> Result<Self, OpenError> {
        prepare_folder(folder)?;
        let path = folder.join(FILE_NAME);
        drop(open_file(&path)?);
        let version = migrate::check(&look(&path)?)?;
        // A new file is filled by whoever comes first; an old one only while nobody serves it.
        let _claim = match version {
            0 | migrate::LATEST => None,
            _ => Some(Self::claim(folder).map_err(|error| match error {
                OpenError::InUse(path) => OpenError::Behind(path),
                other => other,
            })?),
        };
        Self::open_claimed(folder, checkpoints)
    }

    /// The same for a server, which has claimed the folder before.
    ///
    /// # Errors
    /// Says in one line what is in the way.
    pub fn open_claimed(folder: &Path, checkpoints: Checkpoints) -> Result<Self, OpenError> {
        prepare_folder(folder)?;
        let path = folder.join(FILE_NAME);
        // Closed again at once: closing it later would take SQLite's locks away with it.
        drop(open_file(&path)?);
        migrate::check(&look(&path)?)?;
        let mut first = Connection::open(&path)?;
        first.busy_timeout(BUSY_TIMEOUT)?;
        narrow(&path).map_err(|error| OpenError::Folder(path.clone(), error))?;
        configure(&mut first, checkpoints)?;
        write_ahead(&first)?;
        // A step that a power cut takes back is done again; closing syncs what all of them wrote.
        first.pragma_update(None, "synchronous", "NORMAL")?;
        migrate::migrate(&mut first, migrate::LATEST)?;
        drop(first);
        Ok(Self {
            readers: pool(&path, READERS, READER_CACHE_KIB, checkpoints)?,
            writer: pool(&path, 1, WRITER_CACHE_KIB, checkpoints)?,
            read_gate: Arc::new(Semaphore::new(READERS as usize)),
            write_gate: Arc::new(Semaphore::new(1)),
            seen_version: Arc::new(AtomicI64::new(-1)),
            path,
        })
    }

    /// Claims the folder for a server, which does so before it opens the database: a newer
    /// version must not migrate what an older one serves.
    ///
    /// # Errors
    /// [`OpenError::InUse`] when another process serves it.
    pub fn claim(folder: &Path) -> Result<ServeLock, OpenError> {
        prepare_folder(folder)?;
        let path = folder.join(LOCK_NAME);
        let file = open_file(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(ServeLock(file)),
            Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
            Err(fs::TryLockError::Error(error)) => Err(OpenError::Folder(path, error)),
        }
    }

    /// The file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on a reader, in one snapshot.
    ///
    /// # Errors
    /// What `work` returns, or the driver's error.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let place = turn(&self.read_gate).await?;
        let pool = self.readers.clone();
        on_thread(place, move || {
            let mut connection = pool.get().map_err(DbError::from)?;
            let snapshot = connection.transaction().map_err(DbError::from)?;
            work(&snapshot)
        })
        .await
    }

    /// Runs `work` on the writer, in one transaction that commits when `work` returns `Ok`.
    ///
    /// # Errors
    /// What `work` returns, or the driver's error; nothing is changed then.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.write_then(work, |_| ()).await
    }

    /// The same, and then `after` with what came of it, before the answer. Both happen whether or
    /// not anybody still waits for that.
    ///
    /// # Errors
    /// Those of [`Self::write`].
    pub async fn write_then<T, E>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
        after: impl FnOnce(&Result<T, E>) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let place = match turn(&self.write_gate).await {
            Ok(place) => place,
            Err(late) => {
                let late = Err(late.into());
                after(&late);
                return late;
            }
        };
        let pool = self.writer.clone();
        on_thread(place, move || {
            let done = written(&pool, work);
            after(&done);
            done
        })
        .await
    }

    /// Whether another process has committed since this was last asked. The writer's own commits
    /// do not count (`PRAGMA data_version`).
    ///
    /// # Errors
    /// The driver's error.
    pub async fn changed_elsewhere(&self) -> Result<bool, DbError> {
        let place = turn(&self.write_gate).await?;
        let pool = self.writer.clone();
        let seen = Arc::clone(&self.seen_version);
        on_thread(place, move || {
            let version: i64 =
                pool.get()?.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            let before = seen.swap(version, Ordering::AcqRel);
            Ok(before != -1 && before != version)
        })
        .await
    }

    /// Writes a consistent copy to `target`, which must not exist, while others read and write.
    ///
    /// # Errors
    /// The driver's error; a partial file may be left, which the caller removes.
    pub async fn copy_to(&self, target: PathBuf) -> Result<(), DbError> {
        let place = turn(&self.read_gate).await?;
        let path = self.path.clone();
        on_thread(place, move || {
            let source =
                Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            source.busy_timeout(BUSY_TIMEOUT)?;
            source.execute("VACUUM INTO ?1", [target.to_string_lossy()])?;
            Ok(())
        })
        .await
    }
}

/// For somebody who only looks: whatever another version or a replicator has in the log stays there.
fn look(path: &Path) -> Result<Connection, OpenError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// Where there can be no log that is shared, SQLite goes on without, and we do not.
fn write_ahead(connection: &Connection) -> Result<(), OpenError> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    match mode.as_str() {
        "wal" => Ok(()),
        other => Err(OpenError::NoLog(format!("SQLite offers {other:?} instead of WAL"))),
    }
}

fn written<T, E: From<DbError>>(
    pool: &Pool<SqliteConnectionManager>,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut connection = pool.get().map_err(DbError::from)?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(DbError::from)?;
    let done = work(&transaction)?;
    transaction.commit().map_err(DbError::from)?;
    Ok(done)
}

/// Waits for a place, before a blocking thread is taken, so that a crowd of waiters costs no
/// threads.
async fn turn(gate: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, DbError> {
    let place = tokio::time::timeout(PATIENCE, Arc::clone(gate).acquire_owned());
    let place = place.await.map_err(|_| DbError::Storage(busy()))?;
    place.map_err(|closed| DbError::Driver(Box::new(closed)))
}

/// The place is given back when the work is done, and not when nobody waits for it any more.
async fn on_thread<T, E>(
    place: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<DbError> + Send + 'static,
{
    let (give, take) = oneshot::channel();
    // One kind of task for all work: each kind of its own would make the program 3 kB larger.
    let work: Box<dyn FnOnce() + Send> = Box::new(move || {
        let done = work();
        drop(place);
        drop(give.send(done));
    });
    tokio::task::spawn_blocking(work);
    // Nothing is given by work that panics.
    take.await.unwrap_or_else(|gone| Err(DbError::Driver(Box::new(gone)).into()))
}

fn busy() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, Some("many wait to write".to_owned()))
}

fn pool(
    path: &Path,
    size: u32,
    cache_kib: u32,
    checkpoints: Checkpoints,
) -> Result<Pool<SqliteConnectionManager>, OpenError> {
    let manager = SqliteConnectionManager::file(path).with_init(move |connection| {
        configure(connection, checkpoints)?;
        connection.execute_batch(&format!("PRAGMA cache_size = -{cache_kib}"))
    });
    Pool::builder()
        .max_size(size)
        .min_idle(Some(0))
        .idle_timeout(None)
        .max_lifetime(None)
        .test_on_check_out(false)
        .connection_timeout(BUSY_TIMEOUT)
        .error_handler(Box::new(r2d2::NopErrorHandler))
        .build(manager)
        .map_err(OpenError::Pool)
}

/// `synchronous=FULL`: a revoked key must not come back after a power cut. `secure_delete`: a
/// wiped secret must not stay in free pages.
fn configure(connection: &mut Connection, checkpoints: Checkpoints) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 4194304;",
    )?;
    if checkpoints == Checkpoints::External {
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn prepare_folder(folder: &Path) -> Result<(), OpenError> {
    if folder.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| OpenError::Folder(folder.to_owned(), error))
}

fn open_file(path: &Path) -> Result<fs::File, OpenError> {
    fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| OpenError::Folder(path.to_owned(), error))
}

/// Takes away what others than the owner may.
fn narrow(path: &Path) -> io::Result<()> {
    match fs::metadata(path)?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => fs::set_permissions(path, fs::Permissions::from_mode(0o600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::{
        pin::pin,
        sync::mpsc,
        task::{Context, Waker},
    };

    #[tokio::test]
    async fn what_nobody_waits_for_ends_and_keeps_its_place_until_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(folder.path(), Checkpoints::Own).expect("a database");
        let ((go, wait), (tell, hear)) = (mpsc::channel::<()>(), mpsc::channel());
        let work = move |transaction: &Transaction<'_>| {
            wait.recv().expect("a sign");
            transaction.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')", [])?;
            Ok::<_, DbError>(())
        };
        let after = move |done: &Result<(), DbError>| tell.send(done.is_ok()).expect("heard");
        {
            let written = pin!(db.write_then(work, after));
            assert!(written.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(db.write_gate.available_permits(), 0);
        go.send(()).expect("somebody waits");
        let count = "SELECT count(*) FROM meta WHERE key = 'a'";
        let next = db.write(move |t| Ok::<i64, DbError>(t.query_row(count, [], |row| row.get(0))?));
        assert_eq!(next.await.expect("a count"), 1);
        assert!(hear.try_recv().expect("what comes after was done before the next began"));
    }
}
