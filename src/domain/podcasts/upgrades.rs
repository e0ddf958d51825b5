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

/// What waits to be probed, in memory only: nothing is written because somebody looks.
pub struct Probes {
    waiting: Mutex<VecDeque<String>>,
    bell: Notify,
    caused: Cache<AccountId, (Timestamp, u32)>,
}

impl Default for Probes {
    fn default() -> Self {
        Self { waiting: Mutex::default(), bell: Notify::new(), caused: Cache::new(COUNTED) }
    }
}

impl Probes {
    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, account: AccountId, urls: impl Iterator<Item = String>, now: Timestamp) {
        let mut waiting = self.lock();
        let (mut since, mut count) = self.caused.get(&account).unwrap_or((now, 0));
        if now >= since.plus(HOUR) {
            (since, count) = (now, 0);
        }
        for url in urls {
            if count >= PER_HOUR || waiting.len() >= WAITING {
                break;
            }
            if !waiting.contains(&url) {
                waiting.push_back(url);
                count += 1;
            }
        }
        self.caused.insert(account, (since, count));
        self.bell.notify_one();
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
            self.probes.ask(account, urls, now);
        }
        let known = found.into_iter().filter(|candidate| candidate.works);
        Ok(known.map(|candidate| candidate.upgrade).collect())
    }

    /// Probes what waits, one after the other, until the process ends.
    pub async fn probe_upgrades(self, probe: Probe, tell: impl Fn(&str) + Send + 'static) {
        loop {
            self.probes.bell.notified().await;
            loop {
                let Some(url) = self.probes.lock().pop_front() else { break };
                let works = probe.finds_feed(&url).await;
                let noted =
                    self.deed(move |transaction, now| Ok(note(transaction, &url, works, now)?));
                if let Err(error) = noted.await {
                    tell(&format!("upgrades: {error}"));
                }
            }
        }
    }
}
