//! Subscriptions over http that could be had over https (seed 004, "HTTPS upgrades").

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quick_cache::sync::Cache;
use rusqlite::{Connection, Transaction, params};
use tokio::sync::Notify;

use super::probe::Probe;
use crate::domain::{
    Core, Timestamp,
    accounts::AccountId,
    caller::Caller,
    error::{Error, Result},
    known::Stale,
};

/// What a probe found is believed this long.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Probes that one account may cause within an hour.
const PER_HOUR: u32 = 20;
const HOUR: Duration = Duration::from_secs(3600);
/// Addresses that wait for a probe; more are asked for again when somebody looks again.
const WAITING: usize = 256;
const COUNTED: usize = 1024;

/// A subscription and the same address over https.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    pub http_url: String,
    pub https_url: String,
    /// The podcast's title, or its address where none is known.
    pub title: String,
}

/// A subscription over http, and what is known of its other address.
struct Candidate {
    upgrade: Upgrade,
    works: bool,
    is_unknown: bool,
}

/// An address that somebody's subscription made us curious about.
struct Asked {
    account: AccountId,
    url: String,
}

/// What waits to be probed, in memory only: nothing is written because somebody looks.
pub struct Probes {
    waiting: Mutex<VecDeque<Asked>>,
    bell: Notify,
    caused: Cache<AccountId, (Timestamp, u32)>,
}

impl Default for Probes {
    fn default() -> Self {
        Self { waiting: Mutex::default(), bell: Notify::new(), caused: Cache::new(COUNTED) }
    }
}

impl Probes {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Asked>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts addresses in line, as many of one account as may be probed in an hour.
    fn ask(&self, account: AccountId, urls: impl Iterator<Item = String>) {
        let mut waiting = self.lock();
        for url in urls.take(PER_HOUR as usize) {
            if waiting.len() >= WAITING {
                break;
            }
            if !waiting.iter().any(|asked| asked.url == url) {
                waiting.push_back(Asked { account, url });
            }
        }
        self.bell.notify_one();
    }

    /// Counts a probe; whether the account may cause it.
    fn count(&self, account: AccountId, now: Timestamp) -> bool {
        let known = self.caused.get(&account).filter(|(since, _)| now < since.plus(HOUR));
        let (since, count) = known.unwrap_or((now, 0));
        if count < PER_HOUR {
            self.caused.insert(account, (since, count + 1));
        }
        count < PER_HOUR
    }
}

// Rows

fn candidates(
    connection: &Connection,
    account: AccountId,
    now: Timestamp,
) -> rusqlite::Result<Vec<Candidate>> {
    connection
        .prepare_cached(
            "SELECT DISTINCT own.url, 'https' || substr(own.url, 5), own.title,
                 EXISTS (
                     SELECT 1 FROM podcasts other
                     JOIN subscriptions ON subscriptions.podcast_id = other.id AND subscribed
                     WHERE other.url = 'https' || substr(own.url, 5)),
                 probe.works
             FROM listeners
             JOIN podcasts own ON own.listener_id = listeners.id
             JOIN subscriptions ON subscriptions.podcast_id = own.id AND subscribed
             LEFT JOIN https_probes probe
                 ON probe.url = 'https' || substr(own.url, 5) AND probe.checked_at > ?2
             WHERE listeners.account_id = ?1 AND own.url GLOB 'http://*'
             ORDER BY own.url",
        )?
        .query_map(params![account, now.minus(KEPT)], |row| {
            let http_url: String = row.get(0)?;
            let (subscribed, probed): (bool, Option<bool>) = (row.get(3)?, row.get(4)?);
            Ok(Candidate {
                upgrade: Upgrade {
                    https_url: row.get(1)?,
                    title: row.get::<_, Option<String>>(2)?.unwrap_or_else(|| http_url.clone()),
                    http_url,
                },
                works: subscribed || probed == Some(true),
                is_unknown: !subscribed && probed.is_none(),
            })
        })?
        .collect()
}

fn is_known(connection: &Connection, url: &str, since: Timestamp) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM https_probes WHERE url = ?1 AND checked_at > ?2)",
        )?
        .query_row(params![url, since], |row| row.get(0))
}

fn note(
    transaction: &Transaction<'_>,
    url: &str,
    works: bool,
    now: Timestamp,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO https_probes (url, works, checked_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (url) DO UPDATE SET works = ?2, checked_at = ?3",
        )?
        .execute(params![url, works, now])?;
    Ok(())
}

/// Forgets what is no longer believed.
pub(in crate::domain) fn sweep(
    transaction: &Transaction<'_>,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("DELETE FROM https_probes WHERE checked_at <= ?1")?
        .execute([now.minus(KEPT)])
}

// Deeds

impl Core {
    /// The caller's subscriptions over http whose address is known to work over https: some
    /// account here subscribes to it, or a probe got a feed from it within the week. With
    /// `gpodder.probe_https` those of which nothing is known are probed behind this answer.
    pub async fn upgrades(&self, caller: &Caller) -> Result<Vec<Upgrade>> {
        let (account, now) = (caller.account()?.id, self.clock.now());
        let found = self
            .db
            .read(move |connection| Ok::<_, Error>(candidates(connection, account, now)?))
            .await?;
        if self.settings.probe_https {
            let unknown = found.iter().filter(|candidate| candidate.is_unknown);
            let urls = unknown.map(|candidate| candidate.upgrade.https_url.clone());
            self.probes.ask(account, urls);
        }
        let known = found.into_iter().filter(|candidate| candidate.works);
        Ok(known.map(|candidate| candidate.upgrade).collect())
    }

    async fn is_fresh(&self, url: String) -> bool {
        let since = self.clock.now().minus(KEPT);
        let found = self.db.read(move |c| Ok::<_, Error>(is_known(c, &url, since)?));
        found.await.unwrap_or(false)
    }

    /// Probes what waits, one after the other, until the process ends.
    pub async fn probe_upgrades(self, probe: Probe, tell: impl Fn(&str) + Send + 'static) {
        loop {
            self.probes.bell.notified().await;
            loop {
                let Some(Asked { account, url }) = self.probes.lock().pop_front() else { break };
                // Somebody may have looked again while it was being asked.
                let is_fresh = self.is_fresh(url.clone()).await;
                if is_fresh || !self.probes.count(account, self.clock.now()) {
                    continue;
                }
                let works = probe.finds_feed(&url).await;
                let noted = self.deed(Stale::Nobodys, move |transaction, now| {
                    Ok(note(transaction, &url, works, now)?)
                });
                if let Err(error) = noted.await {
                    tell(&format!("upgrades: {error}"));
                }
            }
        }
    }
}
