//! Devices and sync groups.

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use serde::Deserialize;

use super::{
    Tag,
    ask::Signed,
    body::{Done, Sent},
    error::GpodderError,
    paths::{device_of_json, owner_of_json},
};
use crate::domain::{
    Core,
    error::Error,
    podcasts::{
        SyncGroups,
        devices::{Device, DeviceKind, DeviceName},
    },
};

pub struct DevicesApi {
    pub core: Core,
}

/// What to call a device; what is left out stays as it is.
#[derive(Object, Deserialize)]
struct DeviceRequest {
    /// What people call it; cut to 128 characters.
    #[serde(default)]
    caption: Option<String>,
    /// `desktop`, `laptop`, `mobile`, `server` or `other`.
    #[serde(default, rename = "type")]
    #[oai(rename = "type")]
    kind: Option<String>,
}

/// A device.
#[derive(Object)]
struct DeviceAnswer {
    id: String,
    caption: String,
    /// `desktop`, `laptop`, `mobile`, `server` or `other`.
    #[oai(rename = "type")]
    kind: String,
    /// How many podcasts it subscribes to.
    subscriptions: u32,
}

impl From<Device> for DeviceAnswer {
    fn from(device: Device) -> Self {
        let Device { name, caption, kind, subscriptions } = device;
        Self { id: name, caption, kind, subscriptions }
    }
}

/// Which devices are kept alike from now on, and which no longer.
#[derive(Object, Deserialize)]
struct GroupsRequest {
    /// Groups of two devices or more.
    #[serde(default)]
    #[oai(default)]
    synchronize: Vec<Vec<String>>,
    /// Devices that go their own ways again.
    #[serde(default, rename = "stop-synchronize")]
    #[oai(default, rename = "stop-synchronize")]
    stop: Vec<String>,
}

/// Which devices are kept alike.
#[derive(Object)]
struct GroupsAnswer {
    synchronized: Vec<Vec<String>>,
    #[oai(rename = "not-synchronized")]
    alone: Vec<String>,
}

impl From<SyncGroups> for Json<GroupsAnswer> {
    fn from(groups: SyncGroups) -> Self {
        Json(GroupsAnswer { synchronized: groups.groups, alone: groups.alone })
    }
}

fn names(texts: &[String]) -> Result<Vec<DeviceName>, Error> {
    texts.iter().map(|text| DeviceName::parse(text)).collect()
}

#[OpenApi(prefix_path = "/api/2", tag = "Tag::Devices")]
impl DevicesApi {
    /// My devices
    ///
    /// In the order in which they came.
    #[oai(path = "/devices/:username_json", method = "get", operation_id = "devices_list")]
    async fn list(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username_json: Path<String>,
    ) -> Result<Json<Vec<DeviceAnswer>>, GpodderError> {
        let caller = owner_of_json(&signed, &username_json)?;
        let devices = self.core.devices_list(caller).await?;
        Ok(Json(devices.into_iter().map(DeviceAnswer::from).collect()))
    }

    /// Name a device
    ///
    /// Devices are made when they are first spoken of, by whichever call; at most 100.
    #[oai(
        path = "/devices/:username/:device_json",
        method = "post",
        operation_id = "device_update"
    )]
    async fn update(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username: Path<String>,
        /// The device's id: letters, digits and `_ . -`, at most 64.
        device_json: Path<String>,
        body: Sent<DeviceRequest>,
    ) -> Result<Done, GpodderError> {
        let caller = signed.must_be(&username)?;
        let device = device_of_json(&device_json)?;
        let kind = body.0.kind.as_deref().map(DeviceKind::parse).transpose()?;
        self.core.device_update(caller, device, body.0.caption.as_deref(), kind).await?;
        Ok(Done::Done)
    }

    /// Which devices are kept alike
    ///
    /// Groups of devices with the same subscriptions, and the devices in none. 403 for another user.
    #[oai(path = "/sync-devices/:username_json", method = "get", operation_id = "sync_groups_get")]
    async fn groups(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username_json: Path<String>,
    ) -> Result<Json<GroupsAnswer>, GpodderError> {
        let caller = owner_of_json(&signed, &username_json)?;
        Ok(self.core.sync_groups(caller).await?.into())
    }

    /// Keep devices alike, or no longer
    ///
    /// Devices of a group share one set of subscriptions: all that any of them has when the group
    /// is formed. Whoever leaves keeps what it has then. 404 for a device that there is not.
    #[oai(
        path = "/sync-devices/:username_json",
        method = "post",
        operation_id = "sync_groups_change"
    )]
    async fn change_groups(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username_json: Path<String>,
        body: Sent<GroupsRequest>,
    ) -> Result<Json<GroupsAnswer>, GpodderError> {
        let caller = owner_of_json(&signed, &username_json)?;
        let groups = body.0.synchronize.iter().map(|group| names(group));
        let groups = groups.collect::<Result<Vec<_>, _>>()?;
        let stop = names(&body.0.stop)?;
        Ok(self.core.sync_groups_change(caller, groups, stop).await?.into())
    }
}
