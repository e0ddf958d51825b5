//! What somebody who runs the house should look after, as far as the running server can tell.

use std::{fmt, path::PathBuf};

use rusqlite::Connection;

use super::{Settings, Timestamp, disk::Exposed};

const MIB: u64 = 1024 * 1024;

/// Something to look after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Why the last deed could not be written.
    StorageFailing(String),
    /// Bytes that are left on the disk, hardly enough for the log of the database.
    DiskFull(u64),
    /// New files that the disk still takes.
    FilesLow(u64),
    ReadOnly,
    /// A file of the database, and the number of the user to whom it belongs.
    WrongOwner(PathBuf, u32),
    /// Others on this machine can get at the data.
    DataExposed(Exposed),
    /// The clock is behind what was written before: when that was.
    ClockBehind(Timestamp),
    /// By so many seconds the clock was set on or, below zero, back.
    ClockJumped(i64),
    /// The kind of file system, what is wrong with it, and what to do.
    FileSystem(String, &'static str, &'static str),
    /// Milliseconds that a small write took.
    DiskSlow(u64),
    /// Bytes in the log of the database that nobody moves into its file.
    WalLarge(u64),
    /// Bytes that are left on the disk.
    DiskLow(u64),
    /// The last copy by the clock failed, and why.
    BackupFailed(String),
    NoMailServer,
    /// Letters of the last week.
    LettersFailed(u64),
    NoPublicUrl,
    WeakHashing,
}

impl Warning {
    /// One word that stays the same, for programs and for other languages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::StorageFailing(_) => "storage_failing",
            Self::DiskFull(_) => "disk_full",
            Self::FilesLow(_) => "files_low",
            Self::ReadOnly => "read_only",
            Self::WrongOwner(..) => "wrong_owner",
            Self::DataExposed(_) => "data_exposed",
            Self::ClockBehind(_) => "clock_behind",
            Self::ClockJumped(_) => "clock_jumped",
            Self::FileSystem(..) => "file_system",
            Self::DiskSlow(_) => "disk_slow",
            Self::WalLarge(_) => "wal_large",
            Self::DiskLow(_) => "disk_low",
            Self::BackupFailed(_) => "backup_failed",
            Self::NoMailServer => "no_mail_server",
            Self::LettersFailed(_) => "letters_failed",
            Self::NoPublicUrl => "no_public_url",
            Self::WeakHashing => "weak_hashing",
        }
    }

    /// The number that it is about, if it is about one.
    pub const fn amount(&self) -> Option<u64> {
        match self {
            Self::DiskFull(amount)
            | Self::FilesLow(amount)
            | Self::DiskLow(amount)
            | Self::DiskSlow(amount)
            | Self::WalLarge(amount)
            | Self::LettersFailed(amount) => Some(*amount),
            Self::ClockJumped(seconds) => Some(seconds.unsigned_abs()),
            Self::StorageFailing(_)
            | Self::ReadOnly
            | Self::WrongOwner(..)
            | Self::DataExposed(_)
            | Self::ClockBehind(_)
            | Self::FileSystem(..)
            | Self::BackupFailed(_)
            | Self::NoMailServer
            | Self::NoPublicUrl
            | Self::WeakHashing => None,
        }
    }

    fn exposed(f: &mut fmt::Formatter<'_>, exposed: &Exposed) -> fmt::Result {
        let what = match exposed {
            Exposed::File(..) => "open the database",
            Exposed::Writable(..) => "put files into the data folder",
            Exposed::Readable(..) => "look into the data folder",
        };
        let mode = exposed.mode();
        write!(
            f,
            "others on this machine can {what} (mode {mode:o}); gatelodge doctor says what to do"
        )
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StorageFailing(why) => {
                write!(f, "the last change could not be written: {why}; nothing was changed")
            }
            Self::DiskFull(free) => write!(
                f,
                "the disk is full: {} MiB are free; nobody can sign in once nothing can be written",
                free / MIB
            ),
            Self::FilesLow(left) => {
                write!(f, "the disk takes {left} more files: look with df -i")
            }
            Self::ReadOnly => f.write_str(
                "the disk with data_dir is read-only: nobody can sign in; look what the system's \
                 log says of the disk, and mount it for writing",
            ),
            Self::WrongOwner(path, owner) => write!(
                f,
                "{} belongs to user {owner}: let it belong to the user who runs the server",
                path.display()
            ),
            Self::DataExposed(exposed) => Self::exposed(f, exposed),
            Self::ClockBehind(written) => write!(
                f,
                "the clock is behind: the database was written at {}; set the clock, or wait until \
                 it is past that moment",
                written.minute_text()
            ),
            Self::ClockJumped(seconds) => write!(
                f,
                "the clock was set {} by {} s; tokens, links and sessions end by it",
                if *seconds < 0 { "back" } else { "on" },
                seconds.unsigned_abs()
            ),
            Self::FileSystem(kind, found, advice) => {
                write!(f, "the file system of data_dir is {kind}: {found}; {advice}")
            }
            Self::DiskSlow(millis) => {
                write!(f, "the disk is slow: writing a little took {millis} ms; each sign-in waits")
            }
            Self::WalLarge(bytes) => write!(
                f,
                "the log of the database has {} MiB: nobody moves it into the file; see \
                 storage.checkpoint",
                bytes / MIB
            ),
            Self::DiskLow(free) => {
                write!(f, "the disk is nearly full: {} MiB are free", free / MIB)
            }
            Self::BackupFailed(why) => write!(f, "the last scheduled backup had trouble: {why}"),
            Self::NoMailServer => f.write_str(
                "email.smtp_host is not set: no letter goes out; hand their links over, see \
                 /api/v1/outbox",
            ),
            Self::LettersFailed(count) => write!(
                f,
                "{count} letters of the last week could not be handed over: see \
                 /api/v1/outbox?status=failed"
            ),
            Self::NoPublicUrl => f.write_str(
                "server.public_url is not set: links in letters and invitations are held back \
                 until it is",
            ),
            Self::WeakHashing => {
                f.write_str("auth.allow_weak is on: passwords are hashed below the floors")
            }
        }
    }
}

/// What of the house itself there is to look after, beside the ground that it stands on.
pub(super) fn of_the_house(
    connection: &Connection,
    settings: &Settings,
    backup: Option<String>,
) -> rusqlite::Result<Vec<Warning>> {
    // Those that were tried; others only lost their links.
    let failed: i64 = connection
        .prepare_cached("SELECT count(*) FROM outbox WHERE status = 'failed' AND attempts > 0")?
        .query_row([], |row| row.get(0))?;
    let failed = u64::try_from(failed).unwrap_or(0);
    let all = [
        backup.map(Warning::BackupFailed),
        settings.mail.is_none().then_some(Warning::NoMailServer),
        (failed > 0).then_some(Warning::LettersFailed(failed)),
        settings.link_base.is_none().then_some(Warning::NoPublicUrl),
        settings.weak_hashing.then_some(Warning::WeakHashing),
    ];
    Ok(all.into_iter().flatten().collect())
}
