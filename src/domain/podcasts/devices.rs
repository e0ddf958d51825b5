//! Devices: made when they are first spoken of, each with a set of subscriptions.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{Listener, MAX_DEVICES};
use crate::domain::{
    Core,
    caller::Caller,
    error::{Error, Field, Reason, Result},
};

/// The id that a device gave itself, in characters.
const MAX_NAME: usize = 64;
const MAX_CAPTION: usize = 128;

/// The id that a client gave its device: letters, digits, `_ . -`; at most 64. Capitals matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceName(String);

impl DeviceName {
    /// # Errors
    /// [`Error::Invalid`] for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |reason| Err(Error::Invalid(Field::Device, reason));
        if text.is_empty() {
            return wrong(Reason::Missing);
        }
        if text.chars().count() > MAX_NAME {
            return wrong(Reason::TooLong { max: MAX_NAME });
        }
        if !text.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c)) {
            return wrong(Reason::Form("may have letters, digits and _ . - only"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of device it is (gpodder API 2, "Devices").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    Desktop,
    Laptop,
    Mobile,
    Server,
    Other,
}

impl DeviceKind {
    /// As it is written in requests, answers and the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Laptop => "laptop",
            Self::Mobile => "mobile",
            Self::Server => "server",
            Self::Other => "other",
        }
    }

    /// # Errors
    /// [`Error::Invalid`] names the kinds that there are.
    pub fn parse(text: &str) -> Result<Self> {
        const RULE: &str = "must be desktop, laptop, mobile, server or other";
        let all = [Self::Desktop, Self::Laptop, Self::Mobile, Self::Server, Self::Other];
        let found = all.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text.trim()));
        found.ok_or(Error::Invalid(Field::DeviceType, Reason::Form(RULE)))
    }
}

/// A device as its owner sees it.
#[derive(Clone, Debug)]
pub struct Device {
    pub name: String,
    /// What people call it; its id, until somebody names it.
    pub caption: String,
    pub kind: String,
    /// How many podcasts it subscribes to.
    pub subscriptions: u32,
}

/// A device as the other files need it.
pub(super) struct DeviceRow {
    pub id: i64,
    /// Its set of subscriptions.
    pub set: i64,
}

/// One line, cut to a bearable length.
fn clean_caption(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(MAX_CAPTION).collect()
}

// Rows

fn from_row(row: &Row<'_>) -> rusqlite::Result<DeviceRow> {
    Ok(DeviceRow { id: row.get(0)?, set: row.get(1)? })
}

pub(super) fn find(
    connection: &Connection,
    listener: &Listener,
    name: &DeviceName,
) -> rusqlite::Result<Option<DeviceRow>> {
    connection
        .prepare_cached(
            "SELECT id, set_id FROM podcast_devices WHERE listener_id = ?1 AND name = ?2",
        )?
        .query_row(params![listener.id, name.as_str()], from_row)
        .optional()
}

/// The device, which is made if need be.
pub(super) fn ensure(
    transaction: &Transaction<'_>,
    listener: &Listener,
    name: &DeviceName,
) -> Result<DeviceRow> {
    if let Some(device) = find(transaction, listener, name)? {
        return Ok(device);
    }
    let count: i64 = transaction
        .prepare_cached("SELECT count(*) FROM podcast_devices WHERE listener_id = ?1")?
        .query_row([listener.id], |row| row.get(0))?;
    if count >= MAX_DEVICES {
        return Err(Error::Invalid(
            Field::Device,
            Reason::Form("is one more than the 100 there may be"),
        ));
    }
    let set = new_set(transaction, listener)?;
    let device = transaction
        .prepare_cached(
            "INSERT INTO podcast_devices (listener_id, set_id, name, caption, kind)
             VALUES (?1, ?2, ?3, ?3, 'other') RETURNING id, set_id",
        )?
        .query_row(params![listener.id, set, name.as_str()], from_row)?;
    Ok(device)
}

/// An empty set of subscriptions.
pub(super) fn new_set(transaction: &Transaction<'_>, listener: &Listener) -> rusqlite::Result<i64> {
    transaction
        .prepare_cached("INSERT INTO podcast_sets (listener_id) VALUES (?1) RETURNING id")?
        .query_row([listener.id], |row| row.get(0))
}

// Deeds

impl Core {
    /// Makes the device or changes what it is called; `None` leaves as it is.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a device beyond [`MAX_DEVICES`].
    pub async fn device_update(
        &self,
        caller: &Caller,
        name: DeviceName,
        caption: Option<&str>,
        kind: Option<DeviceKind>,
    ) -> Result<()> {
        let caption = caption.map(clean_caption).filter(|caption| !caption.is_empty());
        self.listener_write(caller, move |transaction, listener| {
            let device = ensure(transaction, listener, &name)?;
            transaction
                .prepare_cached(
                    "UPDATE podcast_devices
                     SET caption = coalesce(?2, caption), kind = coalesce(?3, kind) WHERE id = ?1",
                )?
                .execute(params![device.id, caption, kind.map(DeviceKind::name)])?;
            Ok(())
        })
        .await
    }

    /// The caller's devices, in the order in which they came.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn devices_list(&self, caller: &Caller) -> Result<Vec<Device>> {
        let devices = self
            .listener_read(caller, |connection, listener| {
                let devices = connection
                    .prepare_cached(
                        "SELECT name, caption, kind, (SELECT count(*) FROM subscriptions s
                             WHERE s.set_id = d.set_id AND s.subscribed)
                         FROM podcast_devices d WHERE listener_id = ?1 ORDER BY id",
                    )?
                    .query_map([listener.id], |row| {
                        Ok(Device {
                            name: row.get(0)?,
                            caption: row.get(1)?,
                            kind: row.get(2)?,
                            subscriptions: row.get(3)?,
                        })
                    })?
                    .collect::<rusqlite::Result<_>>()?;
                Ok(devices)
            })
            .await?;
        Ok(devices.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_as_clients_name_theirs() {
        for name in ["phone", "n800", "Pixel_7-a.b", "büro", "5f2c0b1e", &"x".repeat(64)] {
            assert!(DeviceName::parse(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "a/b", "a\n", "a\"", "../x", "a;b", &"x".repeat(65)] {
            assert!(DeviceName::parse(name).is_err(), "{name}");
        }
    }
}
