//! Subscriptions: which podcasts a device follows, and how that changed.

use std::collections::HashSet;

use rusqlite::{Connection, Transaction, params};

use super::{
    Listener, MAX_SUBSCRIPTIONS, Spellings, Uploaded,
    devices::{self, DeviceName},
    feeds::{self, clean_title},
    url::FeedUrl,
};
use crate::domain::{
    Core,
    caller::Caller,
    error::{Error, Field, Reason, Result},
};

/// Subscriptions that ended are remembered up to this many of a device; the oldest go first.
const MAX_ENDED: i64 = 10_000;

/// A podcast as a list names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    pub url: FeedUrl,
    pub title: Option<String>,
}

impl Feed {
    /// What a list says, if it names a feed.
    pub fn parse(url: &str, title: Option<&str>) -> Option<Self> {
        Some(Self { url: FeedUrl::parse(url)?, title: title.and_then(clean_title) })
    }
}

/// A podcast that is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub url: String,
    pub title: Option<String>,
}

/// What changed of a device's subscriptions.
#[derive(Clone, Debug)]
pub struct SubscriptionChanges {
    pub added: Vec<Subscription>,
    pub removed: Vec<String>,
    /// The stamp up to which this tells everything, in seconds since 1970.
    pub timestamp: i64,
}

/// The addresses of an upload in their one form, and those that were sent otherwise.
struct Change {
    added: Vec<FeedUrl>,
    removed: Vec<FeedUrl>,
    update_urls: Vec<(String, String)>,
}

impl Change {
    /// Who adds and removes the same address wants something that cannot be. Two spellings of one
    /// are the way in which clients take over our spelling: then the podcast stays.
    fn parse(add: &[String], remove: &[String]) -> Result<Self> {
        let named: HashSet<&str> = add.iter().map(|url| url.trim()).collect();
        let mut removing = remove.iter().map(|url| url.trim()).filter(|url| !url.is_empty());
        if removing.any(|url| named.contains(url)) {
            const RULE: &str = "cannot be added and removed at once";
            return Err(Error::Invalid(Field::Podcast, Reason::Form(RULE)));
        }
        let mut spellings = Spellings::default();
        let added = normal(add, &mut spellings);
        let kept: HashSet<&FeedUrl> = added.iter().collect();
        let mut removed = normal(remove, &mut spellings);
        removed.retain(|url| !kept.contains(url));
        Ok(Self { added, removed, update_urls: spellings.noted })
    }
}

fn normal(urls: &[String], spellings: &mut Spellings) -> Vec<FeedUrl> {
    let mut kept = Vec::with_capacity(urls.len());
    for sent in urls.iter().filter(|sent| !sent.trim().is_empty()) {
        let url = FeedUrl::parse(sent);
        spellings.note(sent, url.as_ref().map(FeedUrl::as_str));
        kept.extend(url);
    }
    kept
}

/// More than [`MAX_SUBSCRIPTIONS`].
pub(super) const fn too_many() -> Error {
    Error::Invalid(Field::Subscriptions, Reason::Form("can be 10000 at most"))
}

// Rows

/// Marks a podcast as subscribed to or not; what already is so keeps its stamp.
fn mark(
    transaction: &Transaction<'_>,
    set: i64,
    podcast: i64,
    subscribed: bool,
    stamp: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO subscriptions (set_id, podcast_id, subscribed, stamp)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET subscribed = ?3, stamp = ?4 WHERE subscribed <> ?3",
        )?
        .execute(params![set, podcast, subscribed, stamp])?;
    Ok(())
}

/// Ends a subscription; one that never was leaves no row.
fn end(transaction: &Transaction<'_>, set: i64, podcast: i64, stamp: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE subscriptions SET subscribed = 0, stamp = ?3
             WHERE set_id = ?1 AND podcast_id = ?2 AND subscribed",
        )?
        .execute(params![set, podcast, stamp])?;
    Ok(())
}

/// Call after a change of a set: it stays within its bounds.
pub(super) fn bound(transaction: &Transaction<'_>, set: i64) -> Result<()> {
    let (live, all): (i64, i64) = transaction
        .prepare_cached(
            "SELECT coalesce(sum(subscribed), 0), count(*) FROM subscriptions WHERE set_id = ?1",
        )?
        .query_row([set], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if live > MAX_SUBSCRIPTIONS as i64 {
        return Err(too_many());
    }
    let ended = all - live;
    if ended > MAX_ENDED {
        forget_ended(transaction, set, ended - MAX_ENDED)?;
    }
    Ok(())
}

fn forget_ended(transaction: &Transaction<'_>, set: i64, count: i64) -> rusqlite::Result<()> {
    let forgotten: Vec<i64> = transaction
        .prepare_cached(
            "DELETE FROM subscriptions WHERE set_id = ?1 AND podcast_id IN (
                 SELECT podcast_id FROM subscriptions WHERE set_id = ?1 AND NOT subscribed
                 ORDER BY stamp, podcast_id LIMIT ?2)
             RETURNING podcast_id",
        )?
        .query_map(params![set, count], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    forgotten.into_iter().try_for_each(|podcast| feeds::forget_unused(transaction, podcast))
}

/// What a device subscribes to, in the order in which the podcasts first came.
pub(super) fn of_set(connection: &Connection, set: i64) -> rusqlite::Result<Vec<Subscription>> {
    connection
        .prepare_cached(
            "SELECT p.url, p.title FROM subscriptions s JOIN podcasts p ON p.id = s.podcast_id
             WHERE s.set_id = ?1 AND s.subscribed ORDER BY p.id",
        )?
        .query_map([set], |row| Ok(Subscription { url: row.get(0)?, title: row.get(1)? }))?
        .collect()
}

/// What changed after `since`. Nothing is removed from whoever asks from the beginning: they
/// never had it from here, and clients would take it away from what they have of their own.
pub(super) fn changes(
    connection: &Connection,
    listener: &Listener,
    set: i64,
    since: i64,
) -> rusqlite::Result<SubscriptionChanges> {
    let mut statement = connection.prepare_cached(
        "SELECT p.url, p.title, s.subscribed FROM subscriptions s
         JOIN podcasts p ON p.id = s.podcast_id
         WHERE s.set_id = ?1 AND s.stamp > ?2 ORDER BY s.stamp, s.podcast_id",
    )?;
    let mut rows = statement.query(params![set, since])?;
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let url = row.get(0)?;
        match row.get(2)? {
            true => added.push(Subscription { url, title: row.get(1)? }),
            false if since > 0 => removed.push(url),
            false => {}
        }
    }
    Ok(SubscriptionChanges { added, removed, timestamp: listener.clock })
}

// Deeds

impl Core {
    /// Makes `feeds` the whole set of a device.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more than [`MAX_SUBSCRIPTIONS`], or a device too many.
    pub async fn subscriptions_replace(
        &self,
        caller: &Caller,
        device: DeviceName,
        feeds: Vec<Feed>,
    ) -> Result<()> {
        self.listener_write(caller, move |transaction, listener| {
            let set = devices::ensure(transaction, listener, &device)?.set;
            let mut wanted = HashSet::with_capacity(feeds.len());
            for feed in &feeds {
                let podcast =
                    feeds::intern(transaction, listener, &feed.url, feed.title.as_deref())?;
                if wanted.insert(podcast) {
                    mark(transaction, set, podcast, true, listener.clock)?;
                }
            }
            let before: Vec<i64> = transaction
                .prepare_cached(
                    "SELECT podcast_id FROM subscriptions WHERE set_id = ?1 AND subscribed",
                )?
                .query_map([set], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for podcast in before.into_iter().filter(|podcast| !wanted.contains(podcast)) {
                end(transaction, set, podcast, listener.clock)?;
            }
            bound(transaction, set)
        })
        .await
    }

    /// Adds and removes subscriptions of a device.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an address in both, for more than [`MAX_SUBSCRIPTIONS`], or a device
    /// too many.
    pub async fn subscriptions_change(
        &self,
        caller: &Caller,
        device: DeviceName,
        add: &[String],
        remove: &[String],
    ) -> Result<Uploaded> {
        let Change { added, removed, update_urls } = Change::parse(add, remove)?;
        if added.len() > MAX_SUBSCRIPTIONS {
            return Err(too_many());
        }
        let timestamp = self
            .listener_write(caller, move |transaction, listener| {
                let set = devices::ensure(transaction, listener, &device)?.set;
                for url in &added {
                    let podcast = feeds::intern(transaction, listener, url, None)?;
                    mark(transaction, set, podcast, true, listener.clock)?;
                }
                for url in &removed {
                    if let Some(podcast) = feeds::find(transaction, listener, url)? {
                        end(transaction, set, podcast, listener.clock)?;
                    }
                }
                bound(transaction, set)?;
                Ok(listener.clock)
            })
            .await?;
        Ok(Uploaded { timestamp, update_urls })
    }

    /// What a device subscribes to; nothing, if it is unknown.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn subscriptions_of_device(
        &self,
        caller: &Caller,
        device: DeviceName,
    ) -> Result<Vec<Subscription>> {
        let found = self
            .listener_read(caller, move |connection, listener| {
                match devices::find(connection, listener, &device)? {
                    Some(device) => Ok(of_set(connection, device.set)?),
                    None => Ok(Vec::new()),
                }
            })
            .await?;
        Ok(found.unwrap_or_default())
    }

    /// What any of the caller's devices subscribes to, each podcast once.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn subscriptions_list(&self, caller: &Caller) -> Result<Vec<Subscription>> {
        let found = self
            .listener_read(caller, |connection, listener| {
                let found = connection
                    .prepare_cached(
                        "SELECT url, title FROM podcasts p WHERE listener_id = ?1 AND EXISTS (
                             SELECT 1 FROM subscriptions s WHERE s.podcast_id = p.id AND s.subscribed)
                         ORDER BY id",
                    )?
                    .query_map([listener.id], |row| {
                        Ok(Subscription { url: row.get(0)?, title: row.get(1)? })
                    })?
                    .collect::<rusqlite::Result<_>>()?;
                Ok(found)
            })
            .await?;
        Ok(found.unwrap_or_default())
    }

    /// What changed of a device's subscriptions after the stamp `since`, in seconds since 1970. A
    /// device that is asked for is made, as everywhere.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a device too many.
    pub async fn subscription_changes(
        &self,
        caller: &Caller,
        device: DeviceName,
        since: i64,
    ) -> Result<SubscriptionChanges> {
        let name = device.clone();
        let known = self
            .listener_read(caller, move |connection, listener| {
                match devices::find(connection, listener, &name)? {
                    Some(device) => Ok(Some(changes(connection, listener, device.set, since)?)),
                    None => Ok(None),
                }
            })
            .await?;
        if let Some(changes) = known.flatten() {
            return Ok(changes);
        }
        self.listener_write(caller, move |transaction, listener| {
            let device = devices::ensure(transaction, listener, &device)?;
            Ok(changes(transaction, listener, device.set, since)?)
        })
        .await
    }
}
