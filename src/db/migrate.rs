//! Brings a database to the schema that this binary speaks, one numbered file and one
//! transaction at a time. Files are append-only: a landed one is never edited.

use rusqlite::{Connection, TransactionBehavior};

use super::OpenError;

/// Marks a file as ours in its SQLite header ("GLdg"), so that a stray database of another
/// program is refused and not migrated.
const APPLICATION_ID: i64 = 0x474c_6467;

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_accounts.sql"),
    include_str!("migrations/0002_sessions.sql"),
    include_str!("migrations/0003_letters.sql"),
    include_str!("migrations/0004_events.sql"),
];

/// The schema version that this binary speaks.
pub const LATEST: u32 = MIGRATIONS.len() as u32;

/// Looks whether the file is ours to open, and changes nothing: its schema version.
///
/// # Errors
/// [`OpenError::Foreign`] for a database of another program, [`OpenError::Newer`] for one of a
/// later version, [`OpenError::Sqlite`] for the rest.
pub fn check(connection: &Connection) -> Result<u32, OpenError> {
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > 0 {
        check_owner(connection)?;
    } else if has_tables(connection)? {
        return Err(OpenError::Foreign);
    }
    if version > LATEST {
        return Err(OpenError::Newer { found: version, known: LATEST });
    }
    Ok(version)
}

/// Runs what is missing up to `target` (tests stop earlier to seed old data).
///
/// # Errors
/// What [`check`] refuses, and [`OpenError::Sqlite`].
pub fn migrate(connection: &mut Connection, target: u32) -> Result<(), OpenError> {
    for number in check(connection)?..target {
        step(connection, number)?;
    }
    Ok(())
}

fn step(connection: &mut Connection, number: u32) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done this step while we waited for the lock.
    let now: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if now <= number {
        transaction.execute_batch(MIGRATIONS[number as usize])?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", number + 1)?;
    }
    transaction.commit()?;
    Ok(())
}

fn check_owner(connection: &Connection) -> Result<(), OpenError> {
    let id: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if id == APPLICATION_ID { Ok(()) } else { Err(OpenError::Foreign) }
}

fn has_tables(connection: &Connection) -> Result<bool, OpenError> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    Ok(tables > 0)
}
