//! Everything that is new for a device, in one answer.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};

use super::{
    Tag, ask::Signed, episodes::EpisodeAction, error::GpodderError, paths::device_of_json,
};
use crate::domain::{
    Core,
    podcasts::{
        subscriptions::Subscription,
        updates::{DeviceUpdates, EpisodeUpdate},
    },
};

pub struct UpdatesApi {
    pub core: Core,
}

/// A podcast. Feeds are not read here: what only they tell is empty.
#[derive(Object)]
struct PodcastAnswer {
    /// As a list of subscriptions told it; the address, if none did.
    title: String,
    url: String,
    description: String,
    website: String,
    logo_url: String,
    /// Always 0: who else subscribes is not told.
    subscribers: u32,
    mygpo_link: String,
}

impl From<Subscription> for PodcastAnswer {
    fn from(subscription: Subscription) -> Self {
        let Subscription { url, title } = subscription;
        Self {
            title: title.unwrap_or_else(|| url.clone()),
            url,
            description: String::new(),
            website: String::new(),
            logo_url: String::new(),
            subscribers: 0,
            mygpo_link: String::new(),
        }
    }
}

/// An episode to which something happened. Feeds are not read here: what only they tell is empty.
#[derive(Object)]
struct EpisodeAnswer {
    /// The last part of its address.
    title: String,
    url: String,
    podcast_title: String,
    podcast_url: String,
    description: String,
    website: String,
    released: String,
    mygpo_link: String,
    /// `download`, `delete`, `play` or `new`.
    status: String,
    /// The latest that happened, if it was asked for.
    #[oai(skip_serializing_if_is_none)]
    action: Option<EpisodeAction>,
}

impl EpisodeAnswer {
    fn of(update: EpisodeUpdate, with_action: bool) -> Self {
        let EpisodeUpdate { podcast_title, action } = update;
        let path = action.episode.split('?').next().unwrap_or_default();
        Self {
            title: path.rsplit('/').next().unwrap_or_default().to_owned(),
            url: action.episode.clone(),
            podcast_title: podcast_title.unwrap_or_else(|| action.podcast.clone()),
            podcast_url: action.podcast.clone(),
            description: String::new(),
            website: String::new(),
            released: String::new(),
            mygpo_link: String::new(),
            status: action.kind.name().to_owned(),
            action: with_action.then(|| EpisodeAction::from(action)),
        }
    }
}

/// What is new.
#[derive(Object)]
struct UpdatesAnswer {
    add: Vec<PodcastAnswer>,
    /// Empty for whoever asks from the beginning.
    remove: Vec<String>,
    /// Newest first; at most a thousand.
    updates: Vec<EpisodeAnswer>,
    /// What to ask `since` next time.
    timestamp: i64,
}

#[OpenApi(prefix_path = "/api/2", tag = "Tag::Episodes")]
impl UpdatesApi {
    /// All that is new for a device
    ///
    /// Strictly after `since`: its subscriptions, and the newest thousand episodes of them to
    /// which something happened. All that happened is told by the episode actions.
    #[oai(
        path = "/updates/:username/:device_json",
        method = "get",
        operation_id = "device_updates"
    )]
    async fn updates(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username: Path<String>,
        /// The device's id: letters, digits and `_ . -`, at most 64.
        device_json: Path<String>,
        /// A `timestamp` of an earlier answer; the beginning, if left out.
        since: Query<Option<i64>>,
        /// Whether to tell the latest action of each episode.
        include_actions: Query<Option<bool>>,
    ) -> Result<Json<UpdatesAnswer>, GpodderError> {
        let caller = signed.must_be(&username)?;
        let device = device_of_json(&device_json)?;
        let since = since.0.unwrap_or(0).max(0);
        let DeviceUpdates { subscriptions, episodes } =
            self.core.device_updates(caller, device, since).await?;
        let with_actions = include_actions.0.unwrap_or(false);
        let tell = |update| EpisodeAnswer::of(update, with_actions);
        Ok(Json(UpdatesAnswer {
            add: subscriptions.added.into_iter().map(PodcastAnswer::from).collect(),
            remove: subscriptions.removed,
            updates: episodes.into_iter().map(tell).collect(),
            timestamp: subscriptions.timestamp,
        }))
    }
}
