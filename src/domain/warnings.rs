//! What somebody who runs the house should look after, as far as the running server can tell.

use std::{fmt, path::Path};

use rusqlite::Connection;

use super::{
    Settings,
    disk::{self, Exposed},
};

/// Something to look after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Others on this machine can get at the data.
    DataExposed(Exposed),
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
            Self::DataExposed(_) => "data_exposed",
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
            Self::DiskLow(amount) | Self::LettersFailed(amount) => Some(*amount),
            Self::DataExposed(_)
            | Self::BackupFailed(_)
            | Self::NoMailServer
            | Self::NoPublicUrl
            | Self::WeakHashing => None,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataExposed(exposed) => write!(
                f,
                "others on this machine can {} (mode {:o}); gatelodge doctor says what to do",
                match exposed {
                    Exposed::File(..) => "open the database",
                    Exposed::Writable(..) => "put files into the data folder",
                    Exposed::Readable(..) => "look into the data folder",
                },
                exposed.mode()
            ),
            Self::DiskLow(free) => {
                write!(f, "the disk is nearly full: {} MiB are free", free / 1024 / 1024)
            }
            Self::BackupFailed(why) => write!(f, "the last scheduled backup failed: {why}"),
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

/// What there is to look after now, the gravest first. Reads a little of the file system and
/// writes nothing.
pub(super) fn now(
    connection: &Connection,
    settings: &Settings,
    folder: &Path,
    backup: Option<String>,
) -> rusqlite::Result<Vec<Warning>> {
    // Those that were tried; others only lost their links.
    let failed: i64 = connection
        .prepare_cached("SELECT count(*) FROM outbox WHERE status = 'failed' AND attempts > 0")?
        .query_row([], |row| row.get(0))?;
    let failed = u64::try_from(failed).unwrap_or(0);
    // What cannot be looked at is doctor's affair: here it would only be told again and again.
    let exposed = disk::exposed(folder).ok().flatten();
    // The files themselves are private there; volumes of containers often look like that.
    let exposed = exposed.filter(|found| !matches!(found, Exposed::Readable(..)));
    let free = disk::space(folder).ok().map(|(free, _)| free);
    let all = [
        exposed.map(Warning::DataExposed),
        free.filter(|free| *free < disk::LITTLE).map(Warning::DiskLow),
        backup.map(Warning::BackupFailed),
        settings.mail.is_none().then_some(Warning::NoMailServer),
        (failed > 0).then_some(Warning::LettersFailed(failed)),
        settings.link_base.is_none().then_some(Warning::NoPublicUrl),
        settings.weak_hashing.then_some(Warning::WeakHashing),
    ];
    Ok(all.into_iter().flatten().collect())
}
