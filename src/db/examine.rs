//! Looks whether a database is sound, without making, migrating or mending anything.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{BUSY_TIMEOUT, FILE_NAME, OpenError, migrate};

/// So many faults are told of.
const TOLD: usize = 5;

/// What was found.
#[derive(Debug)]
pub enum Examined {
    /// No file, or an empty one.
    Absent,
    /// Every page and every reference is as it should be.
    Sound {
        /// The schema's version, at most [`migrate::LATEST`].
        schema: u32,
        /// Of the file and of its log, in bytes.
        bytes: u64,
    },
    /// What SQLite says is wrong, a line each, five at the most.
    Damaged(Vec<String>),
    /// It cannot be opened at all.
    Refused(OpenError),
}

/// Reads the whole database in `folder`, also beside a running server.
pub fn examine(folder: &Path) -> Examined {
    examine_file(&folder.join(FILE_NAME))
}

/// The same for one that lies elsewhere under any name.
pub fn examine_file(path: &Path) -> Examined {
    let size = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
    // Where nothing may be looked at, SQLite says why.
    if path.try_exists().is_ok_and(|there| !there) || path.is_file() && size(path) == 0 {
        return Examined::Absent;
    }
    match faults(path) {
        Ok((schema, faults)) if faults.is_empty() => {
            Examined::Sound { schema, bytes: size(path) + size(&wal_of(path)) }
        }
        Ok((_, faults)) => Examined::Damaged(faults),
        Err(OpenError::Sqlite(error))
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) =>
        {
            Examined::Damaged(vec![error.to_string()])
        }
        Err(error) => Examined::Refused(error),
    }
}

/// Whether databases in `folder` can share a log: tried with one that is gone again.
///
/// # Errors
/// [`OpenError::NoLog`] where they cannot, or what else is in the way.
pub fn shares_log(folder: &Path) -> Result<(), OpenError> {
    let path = folder.join(format!("gatelodge-probe-{}.db", std::process::id()));
    let tried = try_log(&path);
    for end in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(&path, end));
    }
    tried
}

fn try_log(path: &Path) -> Result<(), OpenError> {
    let connection = Connection::open(path)?;
    super::write_ahead(&connection)?;
    connection.execute_batch("CREATE TABLE probe (x)")?;
    Ok(())
}

/// Where SQLite keeps the log of a database.
pub fn wal_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// A file that SQLite keeps beside a database.
pub fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn faults(path: &Path) -> Result<(u32, Vec<String>), OpenError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF")?;
    let schema = migrate::check(&connection)?;
    let mut faults = connection
        .prepare(&format!("PRAGMA integrity_check({TOLD})"))?
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    faults.retain(|line| line != "ok");
    let lost: i64 =
        connection
            .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    if lost > 0 {
        faults.push(format!("{lost} rows refer to rows that are not there"));
    }
    Ok((schema, faults))
}
