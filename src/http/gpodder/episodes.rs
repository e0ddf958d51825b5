//! What happened to episodes, up and down.

use std::fmt;

use poem_openapi::{
    Object, OpenApi, Union,
    param::{Path, Query},
    payload::Json,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    Tag,
    ask::Signed,
    body::{AtMost, Sent, collect},
    error::GpodderError,
    paths::owner_of_json,
    stream::ActionsAnswer,
    subscriptions::UploadAnswer,
};
use crate::domain::{
    Core,
    podcasts::{
        MAX_UPLOAD,
        actions::{ActionDraft, Playback},
        episodes::{Action, ActionQuery},
    },
};

pub struct EpisodesApi {
    pub core: Core,
}

/// What happened to an episode.
#[derive(Object, Deserialize, Serialize)]
pub struct EpisodeAction {
    /// The feed's address.
    podcast: String,
    /// The address of the sound file, or what else the feed knows it by.
    episode: String,
    /// The id that the feed gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    guid: Option<String>,
    /// Where it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    device: Option<String>,
    /// `download`, `delete`, `play` or `new`.
    action: String,
    /// When it happened: `YYYY-MM-DDTHH:MM:SS` in UTC, as it is answered; a fraction, an offset
    /// and seconds since 1970 are taken too. Now, if left out.
    #[serde(default, deserialize_with = "moment", skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    timestamp: Option<String>,
    /// Of `play`, in seconds: where it began. Comes with `position` and `total`.
    #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    started: Option<i64>,
    /// Of `play`, in seconds: how far it went.
    #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    position: Option<i64>,
    /// Of `play`, in seconds: how long the episode is. Comes with `started` and `position`.
    #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    total: Option<i64>,
}

impl From<EpisodeAction> for ActionDraft {
    fn from(sent: EpisodeAction) -> Self {
        Self {
            podcast: sent.podcast,
            episode: sent.episode,
            guid: sent.guid,
            device: sent.device,
            action: sent.action,
            timestamp: sent.timestamp,
            started: sent.started,
            position: sent.position,
            total: sent.total,
        }
    }
}

impl From<Action> for EpisodeAction {
    fn from(action: Action) -> Self {
        let within = action.playback.and_then(|Playback { within, .. }| within);
        Self {
            podcast: action.podcast,
            episode: action.episode,
            guid: action.guid,
            device: action.device,
            action: action.kind.name().to_owned(),
            timestamp: Some(action.timestamp),
            started: within.map(|(started, _)| started),
            position: action.playback.map(|playback| playback.position),
            total: within.map(|(_, total)| total),
        }
    }
}

/// A number or a text, as clients please.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Whole(i64),
    Broken(f64),
    Text(String),
}

fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Scalar>::deserialize(deserializer)?.map(|scalar| match scalar {
        Scalar::Whole(number) => number.to_string(),
        Scalar::Broken(number) => number.trunc().to_string(),
        Scalar::Text(text) => text,
    }))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    match Option::<Scalar>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Scalar::Whole(number)) => Ok(Some(number)),
        // Saturates beyond the range, which the domain bounds anyway.
        Some(Scalar::Broken(number)) => Ok(Some(number as i64)),
        Some(Scalar::Text(text)) => text.trim().parse().map(Some).map_err(D::Error::custom),
    }
}

/// What happened, in an object.
#[derive(Object)]
struct ActionUpload {
    actions: Vec<EpisodeAction>,
}

/// What happened: the list itself, or an object with it.
#[derive(Union)]
enum Upload {
    Bare(BareList),
    Wrapped(ActionUpload),
}

type BareList = Vec<EpisodeAction>;

impl Upload {
    fn into_actions(self) -> BareList {
        match self {
            Self::Bare(actions) => actions,
            Self::Wrapped(list) => list.actions,
        }
    }
}

impl<'de> Deserialize<'de> for Upload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Upload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of actions, or an object with one")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Upload, A::Error> {
        collect::<_, _, MAX_UPLOAD>(list).map(Upload::Bare)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Upload, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "actions" {
                found = Some(map.next_value::<AtMost<_, MAX_UPLOAD>>()?.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let actions = found.ok_or_else(|| A::Error::missing_field("actions"))?;
        Ok(Upload::Wrapped(ActionUpload { actions }))
    }
}

#[OpenApi(prefix_path = "/api/2", tag = "Tag::Episodes")]
impl EpisodesApi {
    /// Tell what happened to episodes
    ///
    /// All of it is kept, or nothing; the same again changes nothing. 400 for an unknown action,
    /// a moment that is none, or a `started` or `total` without the others. An action of an
    /// address that is none is left out, see `update_urls`. At most 30,000 actions and 8 MiB;
    /// 300,000 are kept of an account, beyond which the oldest go.
    #[oai(path = "/episodes/:username_json", method = "post", operation_id = "episodes_upload")]
    async fn upload(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username_json: Path<String>,
        body: Sent<Upload, true>,
    ) -> Result<Json<UploadAnswer>, GpodderError> {
        let caller = owner_of_json(&signed, &username_json)?;
        let drafts = body.0.into_actions().into_iter().map(ActionDraft::from).collect();
        Ok(self.core.actions_upload(caller, drafts).await?.into())
    }

    /// What happened to episodes
    ///
    /// Strictly after `since`, in the order in which it came.
    #[oai(path = "/episodes/:username_json", method = "get", operation_id = "episodes_list")]
    async fn list(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username_json: Path<String>,
        /// A `timestamp` of an earlier answer; the beginning, if left out.
        since: Query<Option<i64>>,
        /// Of this podcast only.
        podcast: Query<Option<String>>,
        /// Of this device only.
        device: Query<Option<String>>,
        /// Of each episode the latest only, by when it happened.
        aggregated: Query<Option<bool>>,
    ) -> Result<ActionsAnswer, GpodderError> {
        let caller = owner_of_json(&signed, &username_json)?.clone();
        let filled = |text: Query<Option<String>>| text.0.filter(|text| !text.is_empty());
        let query = ActionQuery {
            since: since.0.unwrap_or(0).max(0),
            podcast: filled(podcast),
            device: filled(device),
            aggregated: aggregated.0.unwrap_or(false),
        };
        Ok(ActionsAnswer::read(self.core.clone(), caller, query).await?)
    }
}
