//! The state of the house itself: health, sizes, warnings, a copy of the database.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    Core,
    caller::Caller,
    error::{Error, Result},
    events::{Event, EventKind},
    permissions::{SYSTEM_ADMIN, SYSTEM_HEALTH},
    secret::random_text,
    warnings::{self, Warning},
};

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
    pub warnings: Vec<Warning>,
}

/// A consistent copy of the database; its file is gone once this is dropped.
pub struct BackupFile {
    path: PathBuf,
}

impl BackupFile {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for BackupFile {
    fn drop(&mut self) {
        // Nothing better can be done with a failure here; the next start sweeps it.
        let _ = fs::remove_file(&self.path);
    }
}

const COPY_PREFIX: &str = "gatelodge-copy-";

fn storage(error: io::Error) -> Error {
    Error::Internal(Box::new(error))
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
        let (settings, folder) = (self.settings.clone(), self.folder());
        let (accounts, live_sessions, letters_waiting, warnings) = self
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
                    warnings::now(connection, &settings, &folder)?,
                ))
            })
            .await?;
        let size = |path: PathBuf| fs::metadata(path).map_or(0, |data| data.len());
        let path = self.db.path();
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(SystemState {
            uptime_seconds: self.clock.ticks().saturating_sub(self.started).as_secs(),
            database_bytes: size(path.to_owned()),
            wal_bytes: size(path.with_extension("db-wal")),
            accounts: count(accounts),
            live_sessions: count(live_sessions),
            letters_waiting: count(letters_waiting),
            hash_lanes: u32::try_from(self.settings.hash.lanes).unwrap_or(u32::MAX),
            warnings,
        })
    }

    /// Where the database lies.
    fn folder(&self) -> PathBuf {
        self.db.path().parent().map(Path::to_owned).unwrap_or_default()
    }

    /// Makes a consistent copy beside the database while others read and write.
    pub async fn backup(&self, caller: &Caller) -> Result<BackupFile> {
        caller.must_not_be_key()?;
        caller.must(SYSTEM_ADMIN)?;
        let file =
            BackupFile { path: self.folder().join(format!("{COPY_PREFIX}{}.db", random_text(12))) };
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file.path)
            .map_err(storage)?;
        self.db.copy_to(file.path.clone()).await?;
        let event = Event::new(EventKind::BackupMade, caller, self.clock.now());
        self.deed(move |transaction, _| event.append(transaction)).await?;
        Ok(file)
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
