//! What can happen to an episode, and how clients say that it did.

use super::{EpisodeUrl, FeedUrl, Spellings, devices::DeviceName, moment};
use crate::domain::error::{Error, Field, Reason, Result};

/// The id that a feed gives an episode, in bytes.
const MAX_GUID: usize = 1024;

/// What happened (gpodder API 2, "Episode Actions").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionKind {
    Download,
    Delete,
    Play,
    New,
}

impl ActionKind {
    /// As it is written in requests and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Delete => "delete",
            Self::Play => "play",
            Self::New => "new",
        }
    }

    /// Capitals do not matter.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the kinds that there are.
    pub fn parse(text: &str) -> Result<Self> {
        const RULE: &str = "must be download, delete, play or new";
        let all = [Self::Download, Self::Delete, Self::Play, Self::New];
        let found = all.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text.trim()));
        found.ok_or(Error::Invalid(Field::Action, Reason::Form(RULE)))
    }

    /// As the database holds it; landed numbers keep their meaning.
    pub(super) const fn code(self) -> i64 {
        match self {
            Self::Download => 0,
            Self::Delete => 1,
            Self::Play => 2,
            Self::New => 3,
        }
    }

    pub(super) const fn of_code(code: i64) -> Self {
        match code {
            0 => Self::Download,
            1 => Self::Delete,
            2 => Self::Play,
            _ => Self::New,
        }
    }
}

/// How far somebody has listened, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Playback {
    pub position: i64,
    /// Where they began and how long the episode is; both or neither.
    pub within: Option<(i64, i64)>,
}

impl Playback {
    /// Takes a position alone, all three, or nothing; what is below nought is nought.
    ///
    /// # Errors
    /// [`Error::Invalid`] for other halves.
    pub fn parse(
        started: Option<i64>,
        position: Option<i64>,
        total: Option<i64>,
    ) -> Result<Option<Self>> {
        const RULE: &str = "must come alone or with both started and total";
        let bounded = |seconds: i64| seconds.clamp(0, i64::from(i32::MAX));
        let within = match (started, total) {
            (Some(started), Some(total)) => Some((bounded(started), bounded(total))),
            (None, None) => None,
            _ => return Err(Error::Invalid(Field::Position, Reason::Form(RULE))),
        };
        match position {
            Some(position) => Ok(Some(Self { position: bounded(position), within })),
            None if within.is_none() => Ok(None),
            None => Err(Error::Invalid(Field::Position, Reason::Form(RULE))),
        }
    }
}

/// An action as a client sends it.
#[derive(Clone, Debug)]
pub struct ActionDraft {
    pub podcast: String,
    pub episode: String,
    pub guid: Option<String>,
    pub device: Option<String>,
    pub action: String,
    /// `YYYY-MM-DDTHH:MM:SS` and its kin, or a number since 1970 in digits; `None`: now.
    pub timestamp: Option<String>,
    /// In seconds; of use for `play` alone.
    pub started: Option<i64>,
    pub position: Option<i64>,
    pub total: Option<i64>,
}

/// A draft that was understood.
pub(super) struct NewAction {
    pub podcast: FeedUrl,
    pub episode: EpisodeUrl,
    pub guid: Option<String>,
    pub device: Option<DeviceName>,
    pub kind: ActionKind,
    /// When it happened, in seconds since 1970.
    pub at: i64,
    pub playback: Option<Playback>,
}

impl NewAction {
    /// `None` for one whose podcast or episode cannot be an address: it is noted and left out, so
    /// that one odd feed does not keep a client from ever uploading anything.
    pub fn parse(draft: ActionDraft, now: i64, spellings: &mut Spellings) -> Result<Option<Self>> {
        let kind = ActionKind::parse(&draft.action)?;
        let playback = match kind {
            ActionKind::Play => Playback::parse(draft.started, draft.position, draft.total)?,
            ActionKind::Download | ActionKind::Delete | ActionKind::New => None,
        };
        let device = draft.device.filter(|name| !name.is_empty());
        let device = device.map(|name| DeviceName::parse(&name)).transpose()?;
        const RULE: &str = "must be YYYY-MM-DDTHH:MM:SS or seconds since 1970";
        let at = draft.timestamp.map_or(Some(now), |text| moment::seconds_of(&text));
        let at = at.ok_or(Error::Invalid(Field::Timestamp, Reason::Form(RULE)))?;
        let guid = draft.guid.map(|guid| guid.trim().to_owned()).filter(|guid| !guid.is_empty());
        if guid.as_ref().is_some_and(|guid| guid.len() > MAX_GUID) {
            return Err(Error::Invalid(Field::Guid, Reason::TooLong { max: MAX_GUID }));
        }
        let podcast = FeedUrl::parse(&draft.podcast);
        let episode = EpisodeUrl::parse(&draft.episode);
        spellings.note(&draft.podcast, podcast.as_ref().map(FeedUrl::as_str));
        spellings.note(&draft.episode, episode.as_ref().map(EpisodeUrl::as_str));
        let (Some(podcast), Some(episode)) = (podcast, episode) else { return Ok(None) };
        Ok(Some(Self { podcast, episode, guid, device, kind, at, playback }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_known_in_small_letters_and_in_capitals() {
        for kind in [ActionKind::Download, ActionKind::Delete, ActionKind::Play, ActionKind::New] {
            assert_eq!(ActionKind::parse(&kind.name().to_uppercase()).ok(), Some(kind));
            assert_eq!(ActionKind::of_code(kind.code()), kind);
        }
        for bad in ["", "flattr", "pause"] {
            assert!(ActionKind::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_playback_is_a_position_all_three_or_nothing() {
        let whole = Playback { position: 20, within: Some((0, 60)) };
        assert_eq!(Playback::parse(Some(-3), Some(20), Some(60)).ok(), Some(Some(whole)));
        let alone = Playback { position: 20, within: None };
        assert_eq!(Playback::parse(None, Some(20), None).ok(), Some(Some(alone)));
        assert_eq!(Playback::parse(None, None, None).ok(), Some(None));
        for (started, position, total) in [
            (Some(1), None, None),
            (None, None, Some(1)),
            (Some(1), None, Some(1)),
            (Some(1), Some(1), None),
            (None, Some(1), Some(1)),
        ] {
            assert!(Playback::parse(started, position, total).is_err());
        }
    }
}
