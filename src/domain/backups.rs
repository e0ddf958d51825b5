//! Copies of the database: made while others read and write, opened again before they count, sealed
//! where somebody wishes it.

mod local_time;
pub mod nightly;
pub mod restore;
pub mod seal;

use std::{
    fmt, fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};
use tokio::{sync::OwnedMutexGuard, task::JoinError};

use super::{
    Core, Timestamp,
    caller::Caller,
    disk,
    error::{Error, Result},
    events::{Event, EventKind},
    known::Stale,
    permissions::SYSTEM_ADMIN,
    secret::random_text,
};
use crate::db::examine::{Examined, examine_file, wal_of};
use seal::{Seal, SealError};

/// What begins the names of copies that are not finished, or not to stay, beside the database.
const COPY_PREFIX: &str = "gatelodge-copy-";

/// A file that is gone once this is dropped, unless it was kept.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Empty, and for its owner alone.
    ///
    /// # Errors
    /// When it cannot be made, or is there already.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path })
    }

    /// One of a name that nobody else has.
    fn beside(folder: &Path) -> io::Result<Self> {
        Self::create(folder.join(format!("{COPY_PREFIX}{}.db", random_text(12))))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, to stay; after a power cut too.
    ///
    /// # Errors
    /// What the file system says.
    pub fn keep(self, name: &Path) -> io::Result<()> {
        self.rename(name)?;
        sync_folder(name)
    }

    fn rename(self, name: &Path) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()?;
        fs::rename(&self.path, name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing better can be done with a failure here; the next start sweeps it.
        let _ = fs::remove_file(&self.path);
    }
}

/// A new name is there after a power cut once its folder is on the disk.
fn sync_folder(file: &Path) -> io::Result<()> {
    fs::File::open(folder_of(file))?.sync_all()
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// What a copy holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    pub accounts: u64,
    /// Those that are neither ended nor over.
    pub sessions: u64,
    /// Those that are not revoked.
    pub api_keys: u64,
    /// The last event that was written.
    pub last: Option<Timestamp>,
    /// Whether the generated master secret lies in it.
    pub has_secret: bool,
}

impl Contents {
    fn of(path: &Path, now: Timestamp) -> rusqlite::Result<Self> {
        let copy = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        copy.execute_batch("PRAGMA trusted_schema = OFF")?;
        let count = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            copy.query_row(sql, values, |row| row.get::<_, i64>(0))
                .map(|count| u64::try_from(count).unwrap_or(0))
        };
        Ok(Self {
            accounts: count("SELECT count(*) FROM accounts", &[])?,
            sessions: count(
                "SELECT count(*) FROM sessions WHERE ended_at IS NULL AND expires_at > ?1",
                &[&now],
            )?,
            api_keys: count("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL", &[])?,
            last: copy.query_row("SELECT max(at) FROM events", [], |row| row.get(0))?,
            has_secret: count("SELECT count(*) FROM meta WHERE key = 'master_secret'", &[])? > 0,
        })
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = |count: u64, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        let (accounts, sessions) = (many(self.accounts, "account"), many(self.sessions, "session"));
        write!(f, "{accounts}, {sessions}, {}", many(self.api_keys, "API key"))
    }
}

/// A copy that was made.
#[derive(Clone, Debug)]
pub struct Copied {
    pub contents: Contents,
    /// Of the file, sealed or not.
    pub bytes: u64,
    /// Why no event tells of it, where none could be written.
    pub untold: Option<String>,
}

/// Why there is no copy.
#[derive(Debug)]
pub enum BackupError {
    /// Nothing is written over.
    Exists(PathBuf),
    File(PathBuf, io::Error),
    /// So many bytes are needed there, so many are free.
    Full(PathBuf, u64, u64),
    /// What is wrong with the database, or with the disk on which the copy lies.
    Unsound(Vec<String>),
    Seal(SealError),
    Deed(Error),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => {
                write!(f, "{} is there already: name another file", path.display())
            }
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Full(path, needed, free) => write!(
                f,
                "{}: {} KiB are needed there and {} are free",
                path.display(),
                needed.div_ceil(1024),
                free / 1024
            ),
            Self::Unsound(faults) => write!(
                f,
                "the copy is not sound, and was removed: {}; gatelodge doctor says more",
                faults.join("; ")
            ),
            Self::Seal(error) => error.fmt(f),
            Self::Deed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<Error> for BackupError {
    fn from(error: Error) -> Self {
        Self::Deed(error)
    }
}

impl From<BackupError> for Error {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Deed(error) => error,
            other => Self::Internal(Box::new(other)),
        }
    }
}

/// Where a copy goes.
pub enum Target {
    /// A file that is not there yet.
    File(PathBuf),
    /// What is open already, such as our standard output, under the name that the event tells.
    Open(fs::File, String),
}

impl Core {
    /// Makes a consistent copy beside the database while others read and write, to be handed out,
    /// sealed as the configuration says. Comes with the end of its name.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for whoever may not, [`Error::Unauthenticated`] for whoever is signed out
    /// while others have their turn, [`Error::Internal`] when there is no sound copy.
    pub async fn backup(&self, caller: &Caller) -> Result<(Scratch, &'static str)> {
        may_copy(caller)?;
        let turn = self.copies.turn().await;
        may_copy(&self.caller_again(caller).await?)?;
        let (core, seal) = (self.clone(), self.settings.seal.clone());
        let end = seal.end();
        let copy = in_turn(turn, async move { core.copied_beside(seal).await }).await?;
        self.note_backup(caller, "").await?;
        Ok((copy, end))
    }

    /// A copy beside the database, to be handed out.
    async fn copied_beside(&self, seal: Seal) -> std::result::Result<Scratch, BackupError> {
        let (copy, _) = self.sound_copy(None).await?;
        if seal.is_none() {
            return Ok(copy);
        }
        let part = self.beside()?;
        off(move || sealed(&copy, &seal, part)).await
    }

    /// Makes one that goes to `target`, sealed as `seal` says. It stays when no event can be written: a
    /// database that takes nothing any more is the one that needs a copy.
    ///
    /// # Errors
    /// Says in one line what is in the way. Nothing is left behind then.
    pub async fn backup_to(
        &self,
        caller: &Caller,
        target: Target,
        seal: Seal,
    ) -> std::result::Result<Copied, BackupError> {
        may_copy(caller)?;
        let name = match &target {
            Target::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into(),
            Target::Open(_, name) => name.clone(),
        };
        let copied = self.copied(target, seal).await?;
        let untold = self.note_backup(caller, &name).await.err().map(|error| error.to_string());
        Ok(Copied { untold, ..copied })
    }

    async fn note_backup(&self, caller: &Caller, name: &str) -> Result<()> {
        let event = Event::new(EventKind::BackupMade, caller, self.clock.now()).about(name);
        self.deed(Stale::Nobodys, move |transaction, _| event.append(transaction)).await
    }

    async fn copied(&self, target: Target, seal: Seal) -> std::result::Result<Copied, BackupError> {
        let (turn, core) = (self.copies.turn().await, self.clone());
        in_turn(turn, async move { core.copied_to(target, seal).await }).await
    }

    /// Plain copies are written once, where they stay; the plain form of a sealed one does not leave
    /// the folder of the database.
    async fn copied_to(
        &self,
        target: Target,
        seal: Seal,
    ) -> std::result::Result<Copied, BackupError> {
        let path = match target {
            Target::File(path) => path,
            Target::Open(mut file, _) => {
                let (copy, contents) = self.sound_copy(None).await?;
                let bytes = off(move || write_out(&copy, &seal, &mut file)).await?;
                return Ok(Copied { contents, bytes, untold: None });
            }
        };
        self.must_fit(&path)?;
        let part = partial(&path)?;
        let (copy, contents) = match seal {
            Seal::None => self.sound_copy(Some(part)).await?,
            seal => {
                let (copy, contents) = self.sound_copy(None).await?;
                (off(move || sealed(&copy, &seal, part)).await?, contents)
            }
        };
        let at = path.clone();
        let kept = off(move || Ok::<_, BackupError>(kept(copy, &path)));
        let bytes = kept.await?.map_err(|error| BackupError::File(at, error))?;
        Ok(Copied { contents, bytes, untold: None })
    }

    /// A copy in `file`, or beside the database, which was opened again and read to its end.
    async fn sound_copy(
        &self,
        file: Option<Scratch>,
    ) -> std::result::Result<(Scratch, Contents), BackupError> {
        let copy = match file {
            Some(file) => file,
            None => self.beside()?,
        };
        self.db.copy_to(copy.path().to_owned()).await.map_err(Error::from)?;
        let now = self.clock.now();
        off(move || verified(copy, now)).await
    }

    /// An empty file beside the database, where there is room for a copy.
    fn beside(&self) -> std::result::Result<Scratch, BackupError> {
        let folder = self.folder();
        self.must_fit(&folder.join(COPY_PREFIX))?;
        Scratch::beside(&folder).map_err(|error| BackupError::File(folder, error))
    }

    /// A disk that gets full while a copy is made hurts everybody else.
    fn must_fit(&self, file: &Path) -> std::result::Result<(), BackupError> {
        let size = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
        let needed = size(self.db.path()) + size(&wal_of(self.db.path())) + disk::LEAST / 2;
        match disk::space(folder_of(file)) {
            Ok((free, _)) if free < needed => {
                Err(BackupError::Full(folder_of(file).to_owned(), needed, free))
            }
            // Whoever does not say what is free says it when it is written.
            _ => Ok(()),
        }
    }

    /// Removes copies that a killed process left behind.
    pub fn sweep_copies(&self) {
        let Ok(entries) = fs::read_dir(self.folder()) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(COPY_PREFIX) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn may_copy(caller: &Caller) -> Result<()> {
    caller.must_not_be_key()?;
    caller.must(SYSTEM_ADMIN)
}

/// Makes a copy to its end, also when nobody waits for it any more, since the disk does not hear of that:
/// until then it keeps its turn and the files that it writes to. Whoever asks again and again has one made
/// at a time, and nothing is left of what nobody fetched.
async fn in_turn<T: Send + 'static>(
    turn: OwnedMutexGuard<()>,
    work: impl Future<Output = std::result::Result<T, BackupError>> + Send + 'static,
) -> std::result::Result<T, BackupError> {
    let work = async move {
        let done = work.await;
        drop(turn);
        done
    };
    tokio::spawn(work).await.unwrap_or_else(|lost| Err(gone(lost)))
}

/// Work that waits for the disk.
async fn off<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, BackupError> + Send + 'static,
) -> std::result::Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|lost| Err(gone(lost)))
}

/// What panicked, or was cut short by the end of the process.
fn gone(lost: JoinError) -> BackupError {
    BackupError::Deed(Error::Internal(Box::new(lost)))
}

/// The file that becomes `path` when it is whole.
///
/// # Errors
/// [`BackupError::Exists`] where one of the two is there already.
pub fn partial(path: &Path) -> std::result::Result<Scratch, BackupError> {
    if path.exists() {
        return Err(BackupError::Exists(path.to_owned()));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL);
    let part = PathBuf::from(name);
    Scratch::create(part.clone()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(part),
        _ => BackupError::File(part, error),
    })
}

/// What ends the names of copies that are being written.
const PARTIAL: &str = ".partial";

fn verified(
    copy: Scratch,
    now: Timestamp,
) -> std::result::Result<(Scratch, Contents), BackupError> {
    let faults = match examine_file(copy.path()) {
        Examined::Sound { .. } => Vec::new(),
        Examined::Damaged(faults) => faults,
        Examined::Refused(error) => vec![error.to_string()],
        Examined::Absent => vec!["it is empty".to_owned()],
    };
    if !faults.is_empty() {
        return Err(BackupError::Unsound(faults));
    }
    let contents = Contents::of(copy.path(), now);
    let contents = contents.map_err(|error| BackupError::Unsound(vec![error.to_string()]))?;
    Ok((copy, contents))
}

fn sealed(copy: &Scratch, seal: &Seal, part: Scratch) -> std::result::Result<Scratch, BackupError> {
    let opened = fs::OpenOptions::new().write(true).open(part.path());
    let mut file = opened.map_err(|error| BackupError::File(part.path().to_owned(), error))?;
    write_out(copy, seal, &mut file)?;
    Ok(part)
}

/// So many bytes were written.
fn write_out(
    copy: &Scratch,
    seal: &Seal,
    to: &mut impl Write,
) -> std::result::Result<u64, BackupError> {
    let file = fs::File::open(copy.path());
    let mut file = file.map_err(|error| BackupError::File(copy.path().to_owned(), error))?;
    seal.write(&mut file, to).map_err(BackupError::Seal)
}

/// So many bytes are there under a name of their own, or nothing is.
fn kept(copy: Scratch, path: &Path) -> io::Result<u64> {
    copy.rename(path)?;
    let kept = sync_folder(path).and_then(|()| size(path));
    kept.inspect_err(|_| drop(fs::remove_file(path)))
}

fn size(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.len())
}
