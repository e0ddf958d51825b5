//! Whether there is a newer version, and what is known to be wrong with this one: read once a day
//! from a feed, when the configuration names one. A feed that is bad, slow or hostile changes
//! nothing.

mod version;

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{Client, Url, redirect::Policy};
use serde::Deserialize;

use super::{Core, secret::random_bytes};
use version::{Range, Version};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const MAX_BYTES: usize = 64 * 1024;
const MAX_ADVISORIES: usize = 200;
/// Of an id or a severity.
const MAX_WORD: usize = 64;
const MAX_URL: usize = 2048;

/// A known fault of this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advisory {
    pub id: String,
    pub severity: String,
    pub url: String,
}

/// What the feed said about this version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    pub update_available: bool,
    /// Known once the feed has been read.
    pub update_url: Option<String>,
    pub advisories: Vec<Advisory>,
}

/// The last good answer; `None` while nobody asks.
#[derive(Default)]
pub(super) struct Updates(Mutex<Option<News>>);

impl Updates {
    fn lock(&self) -> MutexGuard<'_, Option<News>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a feed is asked, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From the start of the server to the first question.
    pub first: Duration,
    /// From one question to the next.
    pub every: Duration,
    /// For a whole answer.
    pub patience: Duration,
}

impl Pace {
    /// First after two to ten minutes, then once a day, give or take half an hour: servers that
    /// start together do not ask together.
    pub fn usual() -> Self {
        Self {
            first: 2 * MINUTE + a_part_of(8 * MINUTE),
            every: 24 * HOUR - HOUR / 2 + a_part_of(HOUR),
            patience: Duration::from_secs(10),
        }
    }
}

fn a_part_of(span: Duration) -> Duration {
    span * u32::from(u16::from_le_bytes(random_bytes())) / (u32::from(u16::MAX) + 1)
}

/// Why a feed was not believed.
#[derive(Debug)]
pub enum FeedError {
    Url,
    Client(reqwest::Error),
    Unreachable(reqwest::Error),
    Slow,
    Status(u16),
    TooLarge,
    NotJson,
    /// A field that is not as it should be.
    Field(&'static str),
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => write!(f, "updates.feed_url is no URL that can be asked"),
            Self::Client(error) => write!(f, "the feed cannot be asked: {error}"),
            Self::Unreachable(error) => write!(f, "the feed cannot be reached: {error}"),
            Self::Slow => write!(f, "the feed is too slow"),
            Self::Status(status) => write!(f, "the feed answers {status}"),
            Self::TooLarge => write!(f, "the feed is larger than {} KiB", MAX_BYTES / 1024),
            Self::NotJson => write!(f, "the feed is not the JSON that it should be"),
            Self::Field(name) => write!(f, "the feed's {name} is not as it should be"),
        }
    }
}

impl std::error::Error for FeedError {}

/// A feed, ready to be asked.
pub struct Feed {
    client: Client,
    url: Url,
    pace: Pace,
}

impl Feed {
    /// # Errors
    /// [`FeedError::Url`] for anything but https, or http on loopback.
    pub fn new(url: &str, pace: Pace) -> Result<Self, FeedError> {
        let url = Url::parse(url).map_err(|_| FeedError::Url)?;
        let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
            return Err(FeedError::Url);
        }
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("gatelodge/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(FeedError::Client)?;
        Ok(Self { client, url, pace })
    }

    /// Asks once.
    async fn ask(&self) -> Result<News, FeedError> {
        let text = tokio::time::timeout(self.pace.patience, self.read()).await;
        let text = text.map_err(|_| FeedError::Slow)??;
        let ours = Version::parse(env!("CARGO_PKG_VERSION")).ok_or(FeedError::Field("version"))?;
        news(&text, &ours, &self.url)
    }

    async fn read(&self) -> Result<Vec<u8>, FeedError> {
        // The address may hold a password and is not told.
        let unreachable = |error: reqwest::Error| FeedError::Unreachable(error.without_url());
        let asked = self.client.get(self.url.clone()).send().await;
        let mut response = asked.map_err(unreachable)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(FeedError::Status(status));
        }
        let mut text = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            if text.len() + piece.len() > MAX_BYTES {
                return Err(FeedError::TooLarge);
            }
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }
}

/// The feed as it is written.
#[derive(Deserialize)]
struct Written {
    latest: String,
    url: String,
    advisories: Vec<WrittenAdvisory>,
}

#[derive(Deserialize)]
struct WrittenAdvisory {
    id: String,
    severity: String,
    url: String,
    affected: String,
}

/// What a feed says about our version: all of it is right, or none of it is believed.
fn news(text: &[u8], ours: &Version, feed: &Url) -> Result<News, FeedError> {
    let written: Written = serde_json::from_slice(text).map_err(|_| FeedError::NotJson)?;
    let latest = Version::parse(&written.latest).ok_or(FeedError::Field("latest"))?;
    let update_url = link(&written.url, feed).ok_or(FeedError::Field("url"))?;
    if written.advisories.len() > MAX_ADVISORIES {
        return Err(FeedError::Field("advisories"));
    }
    let mut advisories = Vec::new();
    for advisory in written.advisories {
        let affected = Range::parse(&advisory.affected).ok_or(FeedError::Field("affected"))?;
        let known = Advisory {
            id: word(advisory.id).ok_or(FeedError::Field("id"))?,
            severity: word(advisory.severity).ok_or(FeedError::Field("severity"))?,
            url: link(&advisory.url, feed).ok_or(FeedError::Field("url"))?,
        };
        if affected.holds(ours) {
            advisories.push(known);
        }
    }
    Ok(News { update_available: latest > *ours, update_url: Some(update_url), advisories })
}

fn word(text: String) -> Option<String> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    ((1..=MAX_WORD).contains(&text.len()) && text.bytes().all(known)).then_some(text)
}

/// An https address on the feed's own host.
fn link(text: &str, feed: &Url) -> Option<String> {
    let url = (text.len() <= MAX_URL).then(|| Url::parse(text).ok()).flatten()?;
    let is_own = url.scheme() == "https" && url.host() == feed.host();
    let is_plain = url.username().is_empty() && url.password().is_none();
    (is_own && is_plain).then(|| url.to_string())
}

impl Core {
    /// What the feed said last; `None` when the check is off.
    pub fn news(&self) -> Option<News> {
        self.updates.lock().clone()
    }

    /// Asks the feed until the process ends. Only a good answer replaces the one before.
    pub async fn follow_updates(self, feed: Feed, tell: impl Fn(&str) + Send + 'static) {
        self.updates.lock().get_or_insert_default();
        tokio::time::sleep(feed.pace.first).await;
        loop {
            match feed.ask().await {
                Ok(news) => *self.updates.lock() = Some(news),
                Err(error) => tell(&format!("updates: {error}")),
            }
            tokio::time::sleep(feed.pace.every).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed() -> Url {
        Url::parse("https://feed.example.org/gatelodge.json").expect("a URL")
    }

    #[test]
    fn servers_ask_after_some_minutes_and_then_once_a_day_at_moments_of_their_own() {
        let paces: Vec<Pace> = (0..64).map(|_| Pace::usual()).collect();
        for pace in &paces {
            assert!((2 * MINUTE..10 * MINUTE).contains(&pace.first), "{pace:?}");
            assert!((23 * HOUR..25 * HOUR).contains(&pace.every), "{pace:?}");
            assert_eq!(pace.patience, Duration::from_secs(10));
        }
        assert!(paces.iter().any(|pace| pace.first != paces[0].first));
        assert!(paces.iter().any(|pace| pace.every != paces[0].every));
    }

    #[test]
    fn a_feed_is_asked_by_https_or_on_loopback() {
        for url in ["https://feed.example.org/f", "http://127.0.0.1:9/f", "http://[::1]:9/f"] {
            assert!(Feed::new(url, Pace::usual()).is_ok(), "{url}");
        }
        for url in ["http://feed.example.org/f", "ftp://127.0.0.1/f", "http://127.0.0.1.org/", ""] {
            assert!(matches!(Feed::new(url, Pace::usual()), Err(FeedError::Url)), "{url}");
        }
    }

    #[test]
    fn links_are_https_on_the_host_of_the_feed() {
        let good = "https://feed.example.org/releases";
        assert_eq!(link(good, &feed()).as_deref(), Some(good));
        for bad in [
            "http://feed.example.org/",
            "https://example.org/",
            "https://feed.example.org.evil.example/",
            "https://feed.example.org@evil.example/",
            "https://user:pw@feed.example.org/",
            "javascript:alert(1)",
            "//feed.example.org/",
            "/releases",
            "",
        ] {
            assert_eq!(link(bad, &feed()), None, "{bad}");
        }
        assert_eq!(link(&format!("{good}{}", "a".repeat(MAX_URL)), &feed()), None);
    }

    #[test]
    fn ids_and_severities_are_plain_words() {
        assert_eq!(word("GHSA-1.x:y_z".to_owned()).as_deref(), Some("GHSA-1.x:y_z"));
        for bad in ["", "<b>", "a b", "a\nb", "ä"] {
            assert_eq!(word(bad.to_owned()), None, "{bad:?}");
        }
        assert_eq!(word("a".repeat(MAX_WORD + 1)), None);
    }
}
