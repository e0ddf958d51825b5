//! Changes of subscriptions, up and down.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde::Deserialize;

use super::{Tag, ask::Signed, body::Sent, error::GpodderError, paths::device_of_json};
use crate::domain::{
    Core,
    podcasts::{Uploaded, subscriptions::SubscriptionChanges},
};

pub struct SubscriptionsApi {
    pub core: Core,
}

/// What a device subscribes to from now on, and what no longer.
#[derive(Object, Deserialize)]
struct ChangeRequest {
    #[serde(default)]
    #[oai(default)]
    add: Vec<String>,
    #[serde(default)]
    #[oai(default)]
    remove: Vec<String>,
}

/// What an upload is answered with.
#[derive(Object)]
pub struct UploadAnswer {
    /// What to ask `since` next time.
    timestamp: i64,
    /// Addresses that are kept otherwise than they were sent, as pairs of both; an empty second
    /// one was not kept, since it is no address.
    update_urls: Vec<Vec<String>>,
}

impl From<Uploaded> for Json<UploadAnswer> {
    fn from(done: Uploaded) -> Self {
        let update_urls = done.update_urls.into_iter().map(|(sent, kept)| vec![sent, kept]);
        Json(UploadAnswer { timestamp: done.timestamp, update_urls: update_urls.collect() })
    }
}

/// What changed.
#[derive(Object)]
struct ChangesAnswer {
    add: Vec<String>,
    /// Empty for whoever asks from the beginning.
    remove: Vec<String>,
    /// What to ask `since` next time: up to it everything is told.
    timestamp: i64,
}

impl From<SubscriptionChanges> for Json<ChangesAnswer> {
    fn from(changes: SubscriptionChanges) -> Self {
        let SubscriptionChanges { added, removed, timestamp } = changes;
        let add = added.into_iter().map(|one| one.url).collect();
        Json(ChangesAnswer { add, remove: removed, timestamp })
    }
}

#[OpenApi(prefix_path = "/api/2", tag = "Tag::Subscriptions")]
impl SubscriptionsApi {
    /// Subscribe and unsubscribe
    ///
    /// Addresses are kept in one form: trimmed, scheme and host in small letters, without default
    /// port, fragment and trailing slash. 400 for one that is added and removed at once; where
    /// two spellings of one meet, the podcast stays. At most 10,000 subscriptions.
    #[oai(
        path = "/subscriptions/:username/:device_json",
        method = "post",
        operation_id = "subscriptions_change"
    )]
    async fn change(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username: Path<String>,
        /// The device's id: letters, digits and `_ . -`, at most 64.
        device_json: Path<String>,
        body: Sent<ChangeRequest>,
    ) -> Result<Json<UploadAnswer>, GpodderError> {
        let caller = signed.must_be(&username)?;
        let device = device_of_json(&device_json)?;
        let ChangeRequest { add, remove } = body.0;
        Ok(self.core.subscriptions_change(caller, device, &add, &remove).await?.into())
    }

    /// What changed of a device's subscriptions
    ///
    /// Strictly after `since`.
    #[oai(
        path = "/subscriptions/:username/:device_json",
        method = "get",
        operation_id = "subscriptions_changes"
    )]
    async fn changes(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username: Path<String>,
        /// The device's id: letters, digits and `_ . -`, at most 64.
        device_json: Path<String>,
        /// A `timestamp` of an earlier answer; the beginning, if left out.
        since: Query<Option<i64>>,
    ) -> Result<Json<ChangesAnswer>, GpodderError> {
        let caller = signed.must_be(&username)?;
        let device = device_of_json(&device_json)?;
        let since = since.0.unwrap_or(0).max(0);
        Ok(self.core.subscription_changes(caller, device, since).await?.into())
    }
}
