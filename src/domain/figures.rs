//! The house in numbers, for whoever watches it. Numbers that count up are atomics, kept where the
//! deeds are; those that lie on the disk are read now and then, whoever asks and how often.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rusqlite::Connection;

use super::{
    Core, Timestamp,
    caller::{Caller, Origin},
    disk,
    error::{Error, Result, Why},
    events::{self, EventKind},
    passwords::Lanes,
    permissions::SYSTEM_HEALTH,
    process::{self, Process},
    throttle::Crowd,
};
use crate::db::examine::wal_of;

/// What was read of the disk is good for this long.
const FRESH: Duration = Duration::from_secs(15);

/// Where somebody signs in.
pub const DIALECTS: [&str; 5] = ["native", "pin", "pair", "signup", "gpodder"];

/// What came of it: let in; refused for what was sent; not tried, since the address has to wait;
/// not tried, since too many hash; a defect, or somebody else's.
pub const OUTCOMES: [&str; 5] = ["ok", "refused", "throttled", "busy", "error"];

/// Sign-ins since the process began, by dialect and outcome.
#[derive(Default)]
pub struct SignIns([[AtomicU64; OUTCOMES.len()]; DIALECTS.len()]);

impl SignIns {
    /// One that ended; `None`: somebody came in.
    pub(super) fn note(&self, dialect: &str, trouble: Option<&Error>) {
        let outcome = match trouble {
            None => 0,
            Some(Error::Throttled { .. }) => 2,
            Some(Error::Busy { .. }) => 3,
            Some(Error::Upstream(_) | Error::Storage(_) | Error::Internal(_)) => 4,
            Some(_) => 1,
        };
        if let Some(at) = DIALECTS.iter().position(|one| *one == dialect) {
            self.0[at][outcome].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> [[u64; OUTCOMES.len()]; DIALECTS.len()] {
        self.0.each_ref().map(|row| row.each_ref().map(|one| one.load(Ordering::Relaxed)))
    }
}

/// What lies on the disk.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    pub accounts_active: u64,
    pub accounts_pending: u64,
    pub accounts_disabled: u64,
    pub sessions: u64,
    pub letters_waiting: u64,
    pub letters_held: u64,
    pub letters_failed: u64,
    /// In bytes, as what follows.
    pub database: u64,
    pub wal: u64,
    /// `None` where the disk does not say.
    pub free: Option<u64>,
    /// When a copy was made last, as far as events are kept.
    pub last_backup_at: Option<Timestamp>,
}

/// The house at one moment.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Rows as [`DIALECTS`], columns as [`OUTCOMES`].
    pub sign_ins: [[u64; OUTCOMES.len()]; DIALECTS.len()],
    pub lanes: Lanes,
    pub crowd: Crowd,
    pub log_readers: usize,
    /// `None` when the database cannot be read.
    pub stored: Option<Stored>,
    /// The last try to make one failed.
    pub backup_fails: bool,
    /// `None` where the system does not say.
    pub process: Option<Process>,
}

// Rows

/// Counts within indices: of 100,000 sessions in 3 ms, where asking each row when it ends takes 24.
fn stored(connection: &Connection, path: &Path, now: Timestamp) -> Result<Stored> {
    let count = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        let found = connection.prepare_cached(sql)?.query_row(values, |row| row.get::<_, i64>(0));
        found.map(|number| u64::try_from(number).unwrap_or(0))
    };
    let all = count("SELECT count(*) FROM accounts", &[])?;
    let accounts_active = count("SELECT count(*) FROM accounts WHERE status = 'active'", &[])?;
    let accounts_pending = count("SELECT count(*) FROM accounts WHERE status = 'pending'", &[])?;
    // Those that are over stand there until the next sweep: few, and found by their time.
    let not_ended = count("SELECT count(*) FROM sessions WHERE ended_at IS NULL", &[])?;
    const OVER: &str = "SELECT count(*) FROM sessions INDEXED BY sessions_expiry
                        WHERE expires_at <= ?1 AND ended_at IS NULL";
    let over = count(OVER, &[&now])?;
    let letters = |status: &str| count("SELECT count(*) FROM outbox WHERE status = ?1", &[&status]);
    let size = |path: PathBuf| fs::metadata(path).map_or(0, |data| data.len());
    Ok(Stored {
        accounts_active,
        accounts_pending,
        accounts_disabled: all.saturating_sub(accounts_active + accounts_pending),
        sessions: not_ended.saturating_sub(over),
        letters_waiting: letters("waiting")?,
        letters_held: letters("held")?,
        letters_failed: letters("failed")?,
        database: size(path.to_owned()),
        wal: size(wal_of(path)),
        last_backup_at: events::last(connection, EventKind::BackupMade)?,
        free: path.parent().and_then(|folder| disk::space(folder).ok()).map(|(bytes, _)| bytes),
    })
}

// Deeds

impl Core {
    /// The house in numbers.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `system-health`.
    pub async fn figures(&self, caller: &Caller) -> Result<Figures> {
        caller.must(SYSTEM_HEALTH)?;
        Ok(self.count().await)
    }

    /// The same for a program on this machine or its network, which nobody stands before.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for everybody else.
    pub async fn figures_nearby(&self, origin: &Origin) -> Result<Figures> {
        match origin.nearby {
            true => Ok(self.count().await),
            false => Err(Error::Unauthenticated(Why::Missing)),
        }
    }

    async fn count(&self) -> Figures {
        Figures {
            sign_ins: self.sign_ins.read(),
            lanes: self.hasher.lanes(),
            crowd: self.throttle.crowd(),
            log_readers: self.journal.readers(),
            stored: self.stored().await,
            backup_fails: self.copies.trouble().is_some(),
            process: process::look(),
        }
    }

    /// One read for all who ask at once, and for all who ask soon after.
    async fn stored(&self) -> Option<Stored> {
        let mut known = self.stored.lock().await;
        let ticks = self.clock.ticks();
        if let Some((read_at, stored)) = &*known
            && ticks.saturating_sub(*read_at) < FRESH
        {
            return Some(*stored);
        }
        let (path, now) = (self.db.path().to_owned(), self.clock.now());
        let read = self.db.read(move |connection| stored(connection, &path, now)).await.ok();
        *known = read.map(|stored| (ticks, stored));
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_a_scrape_look_at_indices_only() {
        let folder = tempfile::tempdir().expect("a folder");
        crate::db::Db::open(folder.path(), crate::db::Checkpoints::Own).expect("a database");
        let path = folder.path().join(crate::db::FILE_NAME);
        let connection = Connection::open(&path).expect("a database");
        let now = Timestamp::from_seconds(1_000_000);
        let found = stored(&connection, &path, now).expect("counted");
        assert!(found.accounts_active == 0 && found.database > 0 && found.free.is_some());
        for (sql, way) in [
            ("SELECT count(*) FROM accounts", "COVERING INDEX"),
            ("SELECT count(*) FROM accounts WHERE status = 'active'", "COVERING INDEX"),
            ("SELECT count(*) FROM accounts WHERE status = 'pending'", "COVERING INDEX"),
            // The index holds those rows and no others: SQLite walks it and looks none of them up.
            ("SELECT count(*) FROM sessions WHERE ended_at IS NULL", "INDEX sessions_live"),
            ("SELECT count(*) FROM outbox WHERE status = 'held'", "COVERING INDEX"),
        ] {
            let plan: String = connection
                .query_row(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get(3))
                .expect("a plan");
            assert!(plan.contains(way), "{sql}: {plan}");
        }
    }

    #[test]
    fn a_dialect_that_is_none_makes_no_series() {
        let counts = SignIns::default();
        counts.note("native", None);
        counts.note("nowhere", None);
        counts.note("pin", Some(&Error::Unauthenticated(Why::WrongCredentials)));
        counts.note("gpodder", Some(&Error::Busy { retry_after: FRESH }));
        counts.note("pair", Some(&Error::Throttled { retry_after: FRESH }));
        let read = counts.read();
        assert_eq!(read.iter().flatten().sum::<u64>(), 4);
        assert_eq!((read[0][0], read[1][1], read[4][3], read[2][2]), (1, 1, 1, 1));
    }
}
