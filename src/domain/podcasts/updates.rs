//! Everything that is new for a device, in one answer.

use rusqlite::{Connection, params};

use super::{
    Listener,
    devices::{self, DeviceName, DeviceRow},
    episodes::{self, Action},
    subscriptions::{self, SubscriptionChanges},
};
use crate::domain::{Core, caller::Caller, error::Result};

/// Episodes that one answer tells of, the newest ones; all are told by the episode actions.
pub const MAX_UPDATES: usize = 1000;

/// What is new for a device.
#[derive(Clone, Debug)]
pub struct DeviceUpdates {
    pub subscriptions: SubscriptionChanges,
    pub episodes: Vec<EpisodeUpdate>,
}

/// An episode to which something happened, of a podcast that the device subscribes to.
#[derive(Clone, Debug)]
pub struct EpisodeUpdate {
    pub podcast_title: Option<String>,
    /// The latest that happened to it.
    pub action: Action,
}

// Rows

fn episodes_of(
    connection: &Connection,
    listener: &Listener,
    set: i64,
    since: i64,
) -> rusqlite::Result<Vec<EpisodeUpdate>> {
    let columns = episodes::COLUMNS;
    connection
        .prepare_cached(&format!(
            "SELECT {columns}, p.title FROM episode_actions a
             CROSS JOIN episodes e ON e.id = a.episode_id
             CROSS JOIN podcasts p ON p.id = e.podcast_id
             CROSS JOIN subscriptions s ON s.set_id = ?3 AND s.podcast_id = p.id AND s.subscribed
             LEFT JOIN podcast_devices d ON d.id = a.device_id
             WHERE a.listener_id = ?1 AND a.stamp > ?2 AND NOT EXISTS (
                 SELECT 1 FROM episode_actions later WHERE later.episode_id = a.episode_id
                     AND (later.at, later.stamp, later.place) > (a.at, a.stamp, a.place))
             ORDER BY a.stamp DESC, a.place DESC LIMIT {MAX_UPDATES}"
        ))?
        .query_map(params![listener.id, since, set], |row| {
            Ok(EpisodeUpdate { podcast_title: row.get(9)?, action: episodes::from_row(row)? })
        })?
        .collect()
}

fn updates(
    connection: &Connection,
    listener: &Listener,
    device: &DeviceRow,
    since: i64,
) -> Result<DeviceUpdates> {
    Ok(DeviceUpdates {
        subscriptions: subscriptions::changes(connection, listener, device.set, since)?,
        episodes: episodes_of(connection, listener, device.set, since)?,
    })
}

// Deeds

impl Core {
    /// What is new for a device after the stamp `since`, in seconds since 1970: its subscriptions,
    /// and the newest thousand episodes of them to which something happened. A device that is
    /// asked for is made, as everywhere.
    ///
    /// # Errors
    /// [`crate::domain::error::Error::Invalid`] for a device too many.
    pub async fn device_updates(
        &self,
        caller: &Caller,
        device: DeviceName,
        since: i64,
    ) -> Result<DeviceUpdates> {
        let name = device.clone();
        let known = self
            .listener_read(caller, move |connection, listener| {
                let device = devices::find(connection, listener, &name)?;
                device.map(|device| updates(connection, listener, &device, since)).transpose()
            })
            .await?;
        if let Some(updates) = known.flatten() {
            return Ok(updates);
        }
        self.listener_write(caller, move |transaction, listener| {
            let device = devices::ensure(transaction, listener, &device)?;
            updates(transaction, listener, &device, since)
        })
        .await
    }
}
