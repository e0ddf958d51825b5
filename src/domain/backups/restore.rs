//! A copy that takes the place of the database. It is looked at first, prepared beside it, and put in
//! its place at once: whatever happens meanwhile, there is always one whole database under the name.

mod compare;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

pub use compare::{Change, Comparison, Living};

use super::{
    Contents, Scratch, folder_of,
    seal::{Key, Opened, SealError},
    sync_folder,
};
use crate::{
    db::{
        FILE_NAME, OpenError, ServeLock,
        examine::{Examined, beside, examine, examine_file},
        migrate,
    },
    domain::{
        Timestamp,
        caller::Caller,
        error::Error,
        events::{Event, EventKind},
        renew_generation,
    },
};

/// What the copy is held against.
#[derive(Debug)]
pub enum Replaced {
    /// No database, or an empty one.
    Nothing,
    /// One that can be read: what it had ended stays ended.
    AtHand(Contents, Comparison),
    /// One that cannot, and why.
    Unreadable(String),
}

/// A copy that is ready to take the place of the database. Dropped, it leaves no trace.
#[derive(Debug)]
pub struct Prepared {
    scratch: Scratch,
    folder: PathBuf,
    /// The version of the schema that the copy came with.
    pub schema: u32,
    /// What it held before anything was ended.
    pub contents: Contents,
    pub replaced: Replaced,
    /// What can still be used after the restore, when there is nothing to hold it against.
    pub living: Living,
}

/// Why a copy cannot be restored.
#[derive(Debug)]
pub enum RestoreError {
    Seal(SealError),
    /// An empty file.
    Empty,
    Damaged(Vec<String>),
    Refused(OpenError),
    File(PathBuf, io::Error),
    Sqlite(rusqlite::Error),
    Deed(Error),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seal(error) => write!(f, "the copy cannot be opened: {error}"),
            Self::Empty => f.write_str("the copy is an empty file"),
            Self::Damaged(faults) => write!(f, "the copy is damaged: {}", faults.join("; ")),
            Self::Refused(OpenError::Newer { found, known }) => write!(
                f,
                "the copy has schema {found}, this version knows {known}: install the newer gatelodge"
            ),
            Self::Refused(_) => f.write_str("the copy is no database of Gatelodge"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Sqlite(error) => write!(f, "the copy cannot be read: {error}"),
            Self::Deed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<rusqlite::Error> for RestoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for RestoreError {
    fn from(error: Error) -> Self {
        Self::Deed(error)
    }
}

type Result<T> = std::result::Result<T, RestoreError>;

/// Brings a copy to this version in `folder`, which must be claimed, and ends in it what has ended
/// since: all access tokens, links in letters, and what the database there had ended. With `end_all`
/// no session and no API key is left. Changes nothing of what is there.
///
/// # Errors
/// Says what is wrong with the copy, or what is in the way.
pub fn prepare<R: io::Read>(
    folder: &Path,
    _claim: &ServeLock,
    (copy, key): (Opened<R>, Option<&Key>),
    now: Timestamp,
    end_all: bool,
) -> Result<Prepared> {
    let scratch = Scratch::beside(folder).map_err(|error| at(folder, error))?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(scratch.path())
        .map_err(|error| at(scratch.path(), error))?;
    copy.write(key, &mut file).map_err(|error| match error {
        SealError::Io(error) => at(scratch.path(), error),
        other => RestoreError::Seal(other),
    })?;
    drop(file);
    let schema = sound(scratch.path())?;
    let mut database = Connection::open(scratch.path())?;
    database.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON;")?;
    migrate::migrate(&mut database, migrate::LATEST).map_err(RestoreError::Refused)?;
    let contents = Contents::of(scratch.path(), now)?;
    let replaced = renewed(&mut database, folder, now, end_all)?;
    let living = Living::of(&database, now)?;
    // One file, without a log that would have to come along.
    database.pragma_update(None, "journal_mode", "DELETE")?;
    drop(database);
    Ok(Prepared { scratch, folder: folder.to_owned(), schema, contents, replaced, living })
}

fn sound(path: &Path) -> Result<u32> {
    match examine_file(path) {
        Examined::Sound { schema, .. } if schema > 0 => Ok(schema),
        Examined::Sound { .. } | Examined::Absent => Err(RestoreError::Empty),
        Examined::Damaged(faults) => Err(RestoreError::Damaged(faults)),
        Examined::Refused(error) => Err(RestoreError::Refused(error)),
    }
}

/// The copy as it will serve: what ended since then has ended, and it says that it was restored.
fn renewed(
    database: &mut Connection,
    folder: &Path,
    now: Timestamp,
    end_all: bool,
) -> Result<Replaced> {
    let old = folder.join(FILE_NAME);
    let mut replaced = match examine(folder) {
        Examined::Absent => Replaced::Nothing,
        Examined::Damaged(faults) => Replaced::Unreadable(faults.join("; ")),
        Examined::Refused(error) => Replaced::Unreadable(error.to_string()),
        Examined::Sound { schema, .. } if schema < compare::OLDEST => {
            Replaced::Unreadable(format!("it has schema {schema}, which is too old to compare"))
        }
        Examined::Sound { .. } => {
            database.execute("ATTACH DATABASE ?1 AS replaced", [old.to_string_lossy()])?;
            Replaced::AtHand(Contents::of(&old, now)?, Comparison::default())
        }
    };
    let transaction = database.transaction()?;
    renew_generation(&transaction)?;
    compare::forget_links(&transaction)?;
    if let Replaced::AtHand(_, comparison) = &mut replaced {
        *comparison = Comparison::end_what_ended(&transaction, now)?;
    }
    if end_all {
        compare::end_all(&transaction, now)?;
    }
    let event = Event::new(EventKind::DatabaseRestored, &Caller::operator(), now);
    event.append(&transaction)?;
    transaction.commit()?;
    if matches!(replaced, Replaced::AtHand(..)) {
        database.execute("DETACH DATABASE replaced", [])?;
    }
    Ok(replaced)
}

impl Prepared {
    /// Puts it in its place and says where the database from before is kept, if there was one.
    ///
    /// # Errors
    /// What the file system says; the database from before is in its place then.
    pub fn put_in_place(self, now: Timestamp) -> Result<Option<PathBuf>> {
        let old = self.folder.join(FILE_NAME);
        let aside = old.exists().then(|| aside_in(&self.folder, now));
        if let Some(aside) = &aside {
            // One that SQLite cannot read keeps its log as it is.
            if matches!(self.replaced, Replaced::AtHand(..)) {
                fold_log(&old);
            }
            set_aside(&old, aside).map_err(|error| at(aside, error))?;
        }
        self.scratch.keep(&old).map_err(|error| at(&old, error))?;
        Ok(aside)
    }
}

fn at(path: &Path, error: io::Error) -> RestoreError {
    RestoreError::File(path.to_owned(), error)
}

/// A name that nothing has yet: two restores in one second keep two databases.
fn aside_in(folder: &Path, now: Timestamp) -> PathBuf {
    let stamp = now.stamp();
    let mut path = folder.join(format!("gatelodge-before-restore-{stamp}.db"));
    let mut count = 1;
    while path.exists() {
        count += 1;
        path = folder.join(format!("gatelodge-before-restore-{stamp}-{count}.db"));
    }
    path
}

/// What stands in the log goes into the file, and the log goes.
fn fold_log(path: &Path) {
    if let Ok(database) = Connection::open(path) {
        let _ = database.pragma_update(None, "journal_mode", "DELETE");
    }
}

/// A log beside a database that it does not belong to would be played into it: logs go first. The
/// database keeps its name until another has taken it.
fn set_aside(old: &Path, aside: &Path) -> io::Result<()> {
    for end in ["-wal", "-shm", "-journal"] {
        let log = beside(old, end);
        if log.exists() {
            fs::rename(&log, beside(aside, end))?;
        }
    }
    // Not every file system has a second name for a file.
    if fs::hard_link(old, aside).is_err() {
        drop(Scratch::create(aside.to_owned()).map(std::mem::forget));
        fs::copy(old, aside)?;
        fs::File::open(aside)?.sync_all()?;
    }
    sync_folder(folder_of(old).join(".").as_path())
}
