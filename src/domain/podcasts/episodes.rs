//! What happened to episodes, kept and told.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{
    EpisodeUrl, Listener, MAX_ACTIONS, MAX_UPLOAD, Spellings, Uploaded,
    actions::{ActionDraft, ActionKind, NewAction, Playback},
    devices::{self, DeviceName},
    feeds, moment,
    url::FeedUrl,
};
use crate::domain::{
    Core,
    caller::Caller,
    error::{Error, Field, Reason, Result},
    secret::sha256,
};

/// Actions that are read and answered at a time: what a large answer takes of memory.
const PAGE: usize = 1000;

/// An action as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub podcast: String,
    pub episode: String,
    pub guid: Option<String>,
    pub device: Option<String>,
    pub kind: ActionKind,
    /// `YYYY-MM-DDTHH:MM:SS`, UTC, by the client's clock.
    pub timestamp: String,
    pub playback: Option<Playback>,
}

/// Which actions somebody wants.
#[derive(Clone, Debug, Default)]
pub struct ActionQuery {
    /// Those with later stamps, in seconds since 1970.
    pub since: i64,
    /// Those of one podcast.
    pub podcast: Option<String>,
    /// Those of one device.
    pub device: Option<String>,
    /// Of each episode only the latest that the other conditions let through, by when it
    /// happened.
    pub aggregated: bool,
}

/// Where a page ended.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    stamp: i64,
    place: i64,
    until: i64,
}

/// At most a thousand actions of those that were asked for, in the order in which they came.
#[derive(Clone, Debug)]
pub struct ActionPage {
    pub actions: Vec<Action>,
    /// The stamp up to which all pages together tell everything, in seconds since 1970. What
    /// changes while they are read has a later one.
    pub timestamp: i64,
    /// Where the next page begins, if there may be one.
    pub next: Option<Cursor>,
}

// Rows

/// What an [`Action`] is made of; `a`, `e`, `p` and `d` are the action, its episode, its podcast
/// and its device.
pub(super) const COLUMNS: &str =
    "p.url, e.url, e.guid, d.name, a.kind, a.at, a.started, a.position, a.total";

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Action> {
    let within = row.get::<_, Option<i64>>(6)?.zip(row.get(8)?);
    let position: Option<i64> = row.get(7)?;
    Ok(Action {
        podcast: row.get(0)?,
        episode: row.get(1)?,
        guid: row.get(2)?,
        device: row.get(3)?,
        kind: ActionKind::of_code(row.get(4)?),
        timestamp: moment::text_of(row.get(5)?),
        playback: position.map(|position| Playback { position, within }),
    })
}

/// The number of an episode, which is made if need be; a guid replaces the one before.
fn intern_episode(
    transaction: &Transaction<'_>,
    podcast: i64,
    url: &EpisodeUrl,
    guid: Option<&str>,
) -> rusqlite::Result<i64> {
    let digest = &sha256(url.as_str().as_bytes())[..16];
    let found: Option<(i64, Option<String>)> = transaction
        .prepare_cached("SELECT id, guid FROM episodes WHERE podcast_id = ?1 AND digest = ?2")?
        .query_row(params![podcast, digest], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, before)) = found else {
        return transaction
            .prepare_cached(
                "INSERT INTO episodes (podcast_id, digest, url, guid) VALUES (?1, ?2, ?3, ?4)
                 RETURNING id",
            )?
            .query_row(params![podcast, digest, url.as_str(), guid], |row| row.get(0));
    };
    if guid.is_some() && guid != before.as_deref() {
        transaction
            .prepare_cached("UPDATE episodes SET guid = ?2 WHERE id = ?1")?
            .execute(params![id, guid])?;
    }
    Ok(id)
}

/// Writes one action; whether it is a row more. The same action sent again (episode, kind, device
/// and moment) is the same row: it gets a new stamp only if its playback differs, so that what a
/// client repeats after a lost answer is not told to the others twice.
fn insert(
    transaction: &Transaction<'_>,
    listener: &Listener,
    place: i64,
    episode: i64,
    device: i64,
    action: &NewAction,
) -> rusqlite::Result<bool> {
    let position = action.playback.map(|playback| playback.position);
    let within = action.playback.and_then(|playback| playback.within);
    let (started, total) = (within.map(|(started, _)| started), within.map(|(_, total)| total));
    let values = params![
        listener.id,
        listener.clock,
        place,
        episode,
        device,
        action.kind.code(),
        action.at,
        started,
        position,
        total
    ];
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO episode_actions (listener_id, stamp, place, episode_id, device_id, kind,
                 at, started, position, total)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (episode_id, at, kind, device_id) DO NOTHING",
        )?
        .execute(values)?;
    if inserted == 0 {
        transaction
            .prepare_cached(
                "UPDATE episode_actions
                 SET stamp = ?2, place = ?3, started = ?8, position = ?9, total = ?10
                 WHERE listener_id = ?1 AND episode_id = ?4 AND at = ?7 AND kind = ?6
                     AND device_id = ?5
                     AND (started IS NOT ?8 OR position IS NOT ?9 OR total IS NOT ?10)",
            )?
            .execute(values)?;
    }
    Ok(inserted == 1)
}

/// Counts what was added, and lets the oldest go beyond [`MAX_ACTIONS`].
fn bound(transaction: &Transaction<'_>, listener: &Listener, added: i64) -> rusqlite::Result<()> {
    let excess = (listener.actions + added - MAX_ACTIONS).max(0);
    transaction
        .prepare_cached("UPDATE listeners SET actions = actions + ?2 WHERE id = ?1")?
        .execute(params![listener.id, added - excess])?;
    if excess == 0 {
        return Ok(());
    }
    let mut episodes: Vec<i64> = transaction
        .prepare_cached(
            "DELETE FROM episode_actions WHERE listener_id = ?1 AND (stamp, place) <= (
                 SELECT stamp, place FROM episode_actions WHERE listener_id = ?1
                 ORDER BY stamp, place LIMIT 1 OFFSET ?2)
             RETURNING episode_id",
        )?
        .query_map(params![listener.id, excess - 1], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    episodes.sort_unstable();
    episodes.dedup();
    episodes.into_iter().try_for_each(|episode| forget_unused(transaction, episode))
}

fn forget_unused(transaction: &Transaction<'_>, episode: i64) -> rusqlite::Result<()> {
    let podcast = transaction
        .prepare_cached(
            "DELETE FROM episodes WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM episode_actions WHERE episode_id = ?1)
             RETURNING podcast_id",
        )?
        .query_row([episode], |row| row.get(0))
        .optional()?;
    podcast.map_or(Ok(()), |podcast| feeds::forget_unused(transaction, podcast))
}

/// The number of what a condition names and the account does not know.
const NOTHING: i64 = -1;

fn podcast_named(
    connection: &Connection,
    listener: &Listener,
    text: &str,
) -> rusqlite::Result<i64> {
    let Some(url) = FeedUrl::parse(text) else { return Ok(NOTHING) };
    Ok(feeds::find(connection, listener, &url)?.unwrap_or(NOTHING))
}

fn device_named(connection: &Connection, listener: &Listener, text: &str) -> rusqlite::Result<i64> {
    let Ok(name) = DeviceName::parse(text) else { return Ok(NOTHING) };
    Ok(devices::find(connection, listener, &name)?.map_or(NOTHING, |device| device.id))
}

fn page(
    connection: &Connection,
    listener: &Listener,
    query: &ActionQuery,
    from: Option<Cursor>,
) -> rusqlite::Result<ActionPage> {
    let start = Cursor { stamp: query.since, place: i64::MAX, until: listener.clock };
    let from = from.unwrap_or(start);
    let empty = ActionPage { actions: Vec::new(), timestamp: from.until, next: None };
    let podcast = query.podcast.as_deref();
    let podcast = podcast.map(|text| podcast_named(connection, listener, text)).transpose()?;
    let device = query.device.as_deref();
    let device = device.map(|text| device_named(connection, listener, text)).transpose()?;
    if podcast == Some(NOTHING) || device == Some(NOTHING) {
        return Ok(empty);
    }
    // The joins stand in the order in which they are to be made: from what is new to its texts.
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, a.stamp, a.place FROM episode_actions a
         CROSS JOIN episodes e ON e.id = a.episode_id
         CROSS JOIN podcasts p ON p.id = e.podcast_id
         LEFT JOIN podcast_devices d ON d.id = a.device_id
         WHERE a.listener_id = ?1 AND (a.stamp, a.place) > (?2, ?3) AND a.stamp <= ?4
             AND (?5 IS NULL OR e.podcast_id = ?5) AND (?6 IS NULL OR a.device_id = ?6)
             AND (NOT ?7 OR NOT EXISTS (
                 SELECT 1 FROM episode_actions later WHERE later.episode_id = a.episode_id
                     AND (later.at, later.stamp, later.place) > (a.at, a.stamp, a.place)
                     AND later.stamp > ?8 AND (?6 IS NULL OR later.device_id = ?6)))
         ORDER BY a.stamp, a.place LIMIT {PAGE}"
    ))?;
    let mut rows = statement.query(params![
        listener.id,
        from.stamp,
        from.place,
        from.until,
        podcast,
        device,
        query.aggregated,
        query.since
    ])?;
    let (mut actions, mut last) = (Vec::new(), from);
    while let Some(row) = rows.next()? {
        actions.push(from_row(row)?);
        last = Cursor { stamp: row.get(9)?, place: row.get(10)?, until: from.until };
    }
    let next = (actions.len() == PAGE).then_some(last);
    Ok(ActionPage { actions, next, ..empty })
}

// Deeds

impl Core {
    /// Keeps what happened, in one transaction and under one stamp. The same action again changes
    /// nothing. Devices that are named are made.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more than [`MAX_UPLOAD`], an unknown action, a moment that is none,
    /// half a playback, or a device that cannot be: then nothing is kept.
    pub async fn actions_upload(
        &self,
        caller: &Caller,
        drafts: Vec<ActionDraft>,
    ) -> Result<Uploaded> {
        if drafts.len() > MAX_UPLOAD {
            const RULE: &str = "can be 30000 at most in one upload";
            return Err(Error::Invalid(Field::Actions, Reason::Form(RULE)));
        }
        let (now, mut spellings) = (self.clock.now().seconds(), Spellings::default());
        let mut actions = Vec::with_capacity(drafts.len());
        for draft in drafts {
            actions.extend(NewAction::parse(draft, now, &mut spellings)?);
        }
        let timestamp = self
            .listener_write(caller, move |transaction, listener| {
                actions_write(transaction, listener, &actions)?;
                Ok(listener.clock)
            })
            .await?;
        Ok(Uploaded { timestamp, update_urls: spellings.noted })
    }

    /// One page of what happened, beginning at `from`. Each is read in a snapshot of its own, so
    /// that a client that reads slowly holds nothing; since a stamp only ever grows, the pages
    /// together lack nothing up to the `timestamp` of the first one.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn actions_page(
        &self,
        caller: &Caller,
        query: &ActionQuery,
        from: Option<Cursor>,
    ) -> Result<ActionPage> {
        let asked = query.clone();
        let found = self
            .listener_read(caller, move |connection, listener| {
                Ok(page(connection, listener, &asked, from)?)
            })
            .await?;
        if let Some(page) = found {
            return Ok(page);
        }
        // "Since" needs a clock to count by. Looked again, since somebody may just have begun.
        let asked = query.clone();
        self.listener_write(caller, move |transaction, listener| {
            Ok(page(transaction, listener, &asked, from)?)
        })
        .await
    }
}

fn actions_write(
    transaction: &Transaction<'_>,
    listener: &Listener,
    actions: &[NewAction],
) -> Result<()> {
    let mut podcasts: HashMap<&FeedUrl, i64> = HashMap::new();
    let mut devices: HashMap<&DeviceName, i64> = HashMap::new();
    let mut added = 0;
    for (place, action) in (0..).zip(actions) {
        let podcast = match podcasts.get(&action.podcast) {
            Some(known) => *known,
            None => feeds::intern(transaction, listener, &action.podcast, None)?,
        };
        podcasts.insert(&action.podcast, podcast);
        let device = match &action.device {
            None => 0,
            Some(name) => match devices.get(name) {
                Some(known) => *known,
                None => devices::ensure(transaction, listener, name)?.id,
            },
        };
        devices.extend(action.device.as_ref().map(|name| (name, device)));
        let guid = action.guid.as_deref();
        let episode = intern_episode(transaction, podcast, &action.episode, guid)?;
        added += i64::from(insert(transaction, listener, place, episode, device, action)?);
    }
    bound(transaction, listener, added)?;
    Ok(())
}
