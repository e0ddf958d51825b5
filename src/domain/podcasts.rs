//! What podcast clients keep in step: devices, subscriptions and what happened to episodes
//! (seed 004, the gpodder API).
//!
//! Everything belongs to the account that asks; no deed here reaches another's. Each change has
//! a stamp of its account's own clock, and "since" always means strictly newer stamps.

pub mod actions;
pub mod devices;
pub mod episodes;
mod feeds;
mod groups;
mod moment;
pub mod opml;
pub mod probe;
pub mod subscriptions;
pub mod updates;
pub mod upgrades;
mod url;

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    Core, Timestamp,
    accounts::{self, AccountId},
    caller::Caller,
    error::Result,
};

pub use groups::SyncGroups;
pub use url::{EpisodeUrl, FeedUrl};

/// Devices that an account may have; the next one is refused.
pub const MAX_DEVICES: i64 = 100;
/// Podcasts that a device may subscribe to; an upload that would make more is refused.
pub const MAX_SUBSCRIPTIONS: usize = 10_000;
/// Episode actions in one upload.
pub const MAX_UPLOAD: usize = 30_000;
/// Episode actions that are kept of an account. Beyond it the oldest go, by when they came.
pub const MAX_ACTIONS: i64 = 300_000;
/// An address of a podcast or an episode, in bytes.
pub const MAX_URL: usize = 2048;

/// What an upload is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// What to ask "since" next time, in seconds since 1970.
    pub timestamp: i64,
    /// Addresses that are kept otherwise than they were sent, as (sent, kept); an empty second
    /// one was not kept at all.
    pub update_urls: Vec<(String, String)>,
}

/// Addresses that are kept otherwise than they were sent, each once.
#[derive(Default)]
struct Spellings {
    noted: Vec<(String, String)>,
    seen: HashSet<String>,
}

impl Spellings {
    /// An empty `kept` says that it was not kept at all.
    fn note(&mut self, sent: &str, kept: Option<&str>) {
        let kept = kept.unwrap_or_default();
        if sent != kept && self.seen.insert(sent.to_owned()) {
            self.noted.push((sent.to_owned(), kept.to_owned()));
        }
    }
}

/// The account as it synchronises.
struct Listener {
    id: i64,
    /// The stamp of its last change, in seconds since 1970.
    clock: i64,
    /// How many episode actions are kept of it.
    actions: i64,
}

// Rows

impl Listener {
    /// The account's listener, if it ever synchronised.
    fn find(connection: &Connection, account: AccountId) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached("SELECT id, clock, actions FROM listeners WHERE account_id = ?1")?
            .query_row([account], |row| {
                Ok(Self { id: row.get(0)?, clock: row.get(1)?, actions: row.get(2)? })
            })
            .optional()
    }

    /// Moves the account's clock on to `max(now, last + 1)`, which stamps what this transaction
    /// changes: two changes never share a stamp, also within one second and while the machine's
    /// clock is set back.
    fn stamped(transaction: &Transaction<'_>, account: AccountId, now: Timestamp) -> Result<Self> {
        accounts::must_exist(transaction, account)?;
        let listener = transaction
            .prepare_cached(
                "INSERT INTO listeners (account_id, clock) VALUES (?1, ?2)
                 ON CONFLICT (account_id) DO UPDATE SET clock = max(excluded.clock, clock + 1)
                 RETURNING id, clock, actions",
            )?
            .query_row(params![account, now.seconds()], |row| {
                Ok(Self { id: row.get(0)?, clock: row.get(1)?, actions: row.get(2)? })
            })?;
        Ok(listener)
    }
}

// Deeds

impl Core {
    /// One write of the caller's account, under a new stamp of its clock.
    async fn listener_write<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&Transaction<'_>, &Listener) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (account, now) = (caller.account()?.id, self.clock.now());
        // No event is written, so that there is no bell to ring.
        self.db
            .write(move |transaction| {
                let listener = Listener::stamped(transaction, account, now)?;
                work(transaction, &listener)
            })
            .await
    }

    /// One read of the caller's account, in one snapshot; `None` if it never synchronised.
    async fn listener_read<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&Connection, &Listener) -> Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let account = caller.account()?.id;
        self.db
            .read(move |connection| match Listener::find(connection, account)? {
                Some(listener) => work(connection, &listener).map(Some),
                None => Ok(None),
            })
            .await
    }
}
