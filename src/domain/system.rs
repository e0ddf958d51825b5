//! The state of the house itself: health, sizes, warnings.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Core, Timestamp,
    caller::Caller,
    error::{Error, Result},
    events::{self, EventKind},
    permissions::SYSTEM_HEALTH,
    warnings::Warning,
};
use crate::db::examine::wal_of;

/// What somebody who looks after the house wants to know of it.
#[derive(Clone, Debug)]
pub struct SystemState {
    /// Seconds since the process started.
    pub uptime_seconds: u64,
    /// In bytes.
    pub database_bytes: u64,
    pub wal_bytes: u64,
    pub accounts: u64,
    pub live_sessions: u64,
    pub letters_waiting: u64,
    pub hash_lanes: u32,
    /// When a copy was made last, by the clock or by somebody, as far as events are kept.
    pub last_backup_at: Option<Timestamp>,
    pub warnings: Vec<Warning>,
}

impl Core {
    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Storage`] or [`Error::Internal`] when it does not.
    pub async fn health(&self) -> Result<()> {
        self.db
            .read(|connection| {
                Ok(connection.query_row("SELECT 1 FROM meta LIMIT 1", [], |_| Ok(()))?)
            })
            .await
    }

    pub async fn system_state(&self, caller: &Caller) -> Result<SystemState> {
        caller.must(SYSTEM_HEALTH)?;
        let now = self.clock.now();
        let warnings = self.looked_after().await?;
        let (accounts, live_sessions, letters_waiting, last_backup_at) = self
            .db
            .read(move |connection| {
                let count = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
                    connection.prepare_cached(sql)?.query_row(values, |row| row.get::<_, i64>(0))
                };
                Ok::<_, Error>((
                    count("SELECT count(*) FROM accounts", &[])?,
                    count(
                        "SELECT count(*) FROM sessions WHERE ended_at IS NULL AND expires_at > ?1",
                        &[&now],
                    )?,
                    count("SELECT count(*) FROM outbox WHERE status IN ('waiting', 'held')", &[])?,
                    events::last(connection, EventKind::BackupMade)?,
                ))
            })
            .await?;
        let size = |path: PathBuf| fs::metadata(path).map_or(0, |data| data.len());
        let path = self.db.path();
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(SystemState {
            uptime_seconds: self.clock.ticks().saturating_sub(self.started).as_secs(),
            database_bytes: size(path.to_owned()),
            wal_bytes: size(wal_of(path)),
            accounts: count(accounts),
            live_sessions: count(live_sessions),
            letters_waiting: count(letters_waiting),
            hash_lanes: u32::try_from(self.settings.hash.lanes).unwrap_or(u32::MAX),
            last_backup_at,
            warnings,
        })
    }

    /// Where the database lies.
    pub(super) fn folder(&self) -> PathBuf {
        self.db.path().parent().map(Path::to_owned).unwrap_or_default()
    }
}
