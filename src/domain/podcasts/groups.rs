//! Devices that are kept alike: those of a group share one set of subscriptions.

use rusqlite::{Connection, Transaction, params};

use super::{
    Listener, MAX_DEVICES,
    devices::{self, DeviceName, DeviceRow},
    subscriptions,
};
use crate::domain::{
    Core,
    caller::Caller,
    error::{Error, Field, Noun, Reason, Result},
};

/// Which devices are kept alike, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncGroups {
    pub groups: Vec<Vec<String>>,
    /// Those that are in no group.
    pub alone: Vec<String>,
}

// Rows

fn must_find(connection: &Connection, listener: &Listener, name: &DeviceName) -> Result<DeviceRow> {
    devices::find(connection, listener, name)?.ok_or(Error::NotFound(Noun::Device))
}

fn groups_of(connection: &Connection, listener: &Listener) -> rusqlite::Result<SyncGroups> {
    let mut statement = connection.prepare_cached(
        "SELECT name, set_id FROM podcast_devices WHERE listener_id = ?1 ORDER BY set_id, id",
    )?;
    let mut rows = statement.query([listener.id])?;
    let mut sets: Vec<(i64, Vec<String>)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, set) = (row.get(0)?, row.get(1)?);
        match sets.last_mut() {
            Some((last, names)) if *last == set => names.push(name),
            _ => sets.push((set, vec![name])),
        }
    }
    let mut found = SyncGroups::default();
    for (_, mut names) in sets {
        match names.len() {
            1 => found.alone.append(&mut names),
            _ => found.groups.push(names),
        }
    }
    Ok(found)
}

/// Unites two sets into the first one. What only one of them had is new to the devices of the
/// other, so that it gets the stamp of now; the devices that had it are told again, which changes
/// nothing for them.
fn unite(transaction: &Transaction<'_>, into: i64, from: i64, stamp: i64) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE subscriptions SET stamp = ?3
             WHERE set_id = ?1 AND subscribed AND podcast_id NOT IN (
                 SELECT podcast_id FROM subscriptions WHERE set_id = ?2 AND subscribed)",
        )?
        .execute(params![into, from, stamp])?;
    transaction
        .prepare_cached(
            "INSERT INTO subscriptions (set_id, podcast_id, subscribed, stamp)
             SELECT ?1, podcast_id, 1, ?3 FROM subscriptions WHERE set_id = ?2 AND subscribed
             ON CONFLICT DO UPDATE SET subscribed = 1, stamp = ?3 WHERE NOT subscribed",
        )?
        .execute(params![into, from, stamp])?;
    transaction
        .prepare_cached("UPDATE podcast_devices SET set_id = ?1 WHERE set_id = ?2")?
        .execute([into, from])?;
    transaction.prepare_cached("DELETE FROM podcast_sets WHERE id = ?1")?.execute([from])?;
    subscriptions::bound(transaction, into)
}

/// Gives a device a set of its own, with what it subscribes to now.
fn part(
    transaction: &Transaction<'_>,
    listener: &Listener,
    device: &DeviceRow,
) -> rusqlite::Result<()> {
    let shared: bool = transaction
        .prepare_cached("SELECT count(*) > 1 FROM podcast_devices WHERE set_id = ?1")?
        .query_row([device.set], |row| row.get(0))?;
    if !shared {
        return Ok(());
    }
    let own = devices::new_set(transaction, listener)?;
    transaction
        .prepare_cached(
            "INSERT INTO subscriptions (set_id, podcast_id, subscribed, stamp)
             SELECT ?1, podcast_id, subscribed, stamp FROM subscriptions WHERE set_id = ?2",
        )?
        .execute([own, device.set])?;
    transaction
        .prepare_cached("UPDATE podcast_devices SET set_id = ?1 WHERE id = ?2")?
        .execute([own, device.id])?;
    Ok(())
}

// Deeds

impl Core {
    /// Which of the caller's devices are kept alike.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn sync_groups(&self, caller: &Caller) -> Result<SyncGroups> {
        let found = self
            .listener_read(caller, |connection, listener| Ok(groups_of(connection, listener)?))
            .await?;
        Ok(found.unwrap_or_default())
    }

    /// Keeps the devices of each group alike from now on, with all that any of them subscribes
    /// to, and lets `stop` go their own ways again, with what they have.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a device that there is not, [`Error::Invalid`] for a group of one,
    /// for one with too many subscriptions together, and for more than 200 names.
    pub async fn sync_groups_change(
        &self,
        caller: &Caller,
        groups: Vec<Vec<DeviceName>>,
        stop: Vec<DeviceName>,
    ) -> Result<SyncGroups> {
        if groups.iter().any(|group| group.len() < 2) {
            const RULE: &str = "needs two devices or more in each group";
            return Err(Error::Invalid(Field::SyncGroup, Reason::Form(RULE)));
        }
        let named = stop.len() + groups.iter().map(Vec::len).sum::<usize>();
        if named > 2 * MAX_DEVICES as usize {
            const RULE: &str = "names more devices than there can be";
            return Err(Error::Invalid(Field::SyncGroup, Reason::Form(RULE)));
        }
        self.listener_write(caller, move |transaction, listener| {
            for group in &groups {
                for other in &group[1..] {
                    // Read again: an earlier group may have moved it.
                    let into = must_find(transaction, listener, &group[0])?.set;
                    let from = must_find(transaction, listener, other)?.set;
                    if into != from {
                        unite(transaction, into, from, listener.clock)?;
                    }
                }
            }
            for name in &stop {
                let device = must_find(transaction, listener, name)?;
                part(transaction, listener, &device)?;
            }
            Ok(groups_of(transaction, listener)?)
        })
        .await
    }
}
