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
    include_str!("migrations/0005_podcasts.sql"),
    include_str!("migrations/0006_probes.sql"),
    include_str!("migrations/0007_mail.sql"),
    include_str!("migrations/0008_sso.sql"),
];

/// The schema version that this binary speaks.
pub const LATEST: u32 = MIGRATIONS.len() as u32;

/// Runs what is missing up to `target` (tests stop earlier to seed old data).
///
/// # Errors
/// [`OpenError::Newer`] for a database of a later version, [`OpenError::Foreign`] for one of
/// another program, [`OpenError::Sqlite`] for the rest.
pub fn migrate(connection: &mut Connection, target: u32) -> Result<(), OpenError> {
    let version = check(connection)?;
    for number in version..target {
        step(connection, number)?;
    }
    Ok(())
}

/// The schema version of a database that is ours or still empty; writes nothing, so that
/// somebody else's stays as it is.
///
/// # Errors
/// As [`migrate`].
pub fn check(connection: &Connection) -> Result<u32, OpenError> {
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let used = version > 0 || has_tables(connection)?;
    // Read last: another process may be making the first tables just now.
    let owner: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if used && owner != APPLICATION_ID {
        return Err(OpenError::Foreign);
    }
    if version > LATEST {
        return Err(OpenError::Newer { found: version, known: LATEST });
    }
    Ok(version)
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

fn has_tables(connection: &Connection) -> Result<bool, OpenError> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    Ok(tables > 0)
}
