//! Addresses of podcasts and episodes, each in one form, so that two clients that spell one
//! differently mean the same.

use std::net::Ipv6Addr;

use super::MAX_URL;

/// The address of a podcast's feed: http or https, at most [`MAX_URL`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedUrl(String);

impl FeedUrl {
    /// The one form of `text`, or nothing if it cannot be a feed's address.
    pub fn parse(text: &str) -> Option<Self> {
        normal(text).map(Self)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its text, without a copy.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// What an episode is known by: mostly the address of its sound file. Clients also send ids of
/// other forms, which are kept as they are: at most [`MAX_URL`] bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EpisodeUrl(String);

impl EpisodeUrl {
    /// The one form of `text`, or nothing if it names no episode.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match has_web_scheme(text) {
            true => normal(text).map(Self),
            false => is_line(text).then(|| Self(text.to_owned())),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text is one line that every format can carry: XML 1.0 has no way to write control
/// characters and these two.
fn is_line(text: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}');
    !text.is_empty() && text.len() <= MAX_URL && !text.contains(odd)
}

fn has_web_scheme(text: &str) -> bool {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// Trimmed; scheme and host in small letters; without default port, fragment and trailing
/// slashes; the query is kept. Doing it twice changes nothing.
fn normal(text: &str) -> Option<String> {
    let text = text.trim();
    if !is_line(text) || !has_web_scheme(text) {
        return None;
    }
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = normal_authority(authority, &scheme)?;
    let tail = if tail.contains('?') { tail } else { tail.trim_end_matches('/') };
    // A space is what people paste; every client would send it like this.
    let tail = tail.replace(char::is_whitespace, "%20");
    let whole = format!("{scheme}://{authority}{tail}");
    (whole.len() <= MAX_URL).then_some(whole)
}

/// User information is kept as it is: feeds that are paid for have it.
fn normal_authority(text: &str, scheme: &str) -> Option<String> {
    let (user, place) = match text.rsplit_once('@') {
        Some((user, place)) => (format!("{user}@"), place),
        None => (String::new(), text),
    };
    let (host, port) = match place.rfind(']') {
        Some(end) => place.split_at(end + 1),
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => String::new(),
        None => return None,
        Some("") => String::new(),
        Some(digits) => normal_port(digits, scheme)?,
    };
    let odd = |c: char| c.is_whitespace() || "<>\"{}|\\^`%".contains(c);
    if user.contains(odd_in_user) || host.contains(odd) || !is_host(host) {
        return None;
    }
    Some(format!("{user}{}{port}", host.to_lowercase()))
}

fn odd_in_user(c: char) -> bool {
    c.is_whitespace() || "<>\"\\".contains(c)
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(['[', ']', ':']),
    }
}

fn normal_port(digits: &str, scheme: &str) -> Option<String> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match (digits.parse::<u16>().ok()?, scheme) {
        (0, _) => None,
        (80, "http") | (443, "https") => Some(String::new()),
        (port, _) => Some(format!(":{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form_and_keeps_it() {
        for (sent, kept) in [
            ("http://example.org/feed", "http://example.org/feed"),
            ("  HTTP://Example.ORG:80/Feed/#top\n", "http://example.org/Feed"),
            ("https://example.org:443", "https://example.org"),
            ("https://example.org:80/", "https://example.org:80"),
            ("https://example.org:/a//", "https://example.org/a"),
            ("http://example.org/?Show=A&b=%2F/", "http://example.org/?Show=A&b=%2F/"),
            ("http://example.org?x=1#y", "http://example.org?x=1"),
            ("https://Me:Secret@Example.org/x", "https://Me:Secret@example.org/x"),
            ("http://[2001:DB8::1]:8080/x/", "http://[2001:db8::1]:8080/x"),
            ("http://ÄRZTE.example/ä b", "http://ärzte.example/ä%20b"),
            ("http://example.org:0443/x", "http://example.org:443/x"),
        ] {
            let url = FeedUrl::parse(sent).expect(sent);
            assert_eq!(url.as_str(), kept);
            assert_eq!(FeedUrl::parse(url.as_str()), Some(url), "{sent}: once and for all");
        }
    }

    #[test]
    fn whatever_is_kept_stays_as_it_is() {
        let parts = [
            "http://", "HTTPS://", "A", "@", ":", ":80", "/", "//", " ", "?", "#", "%2f", "[::1]",
            "é",
        ];
        let mut kept = 0;
        for n in 0..parts.len().pow(4) {
            let pick = |place: u32| parts[n / parts.len().pow(place) % parts.len()];
            let text: String = (0..4).map(pick).collect();
            if let Some(url) = FeedUrl::parse(&format!("http://h{text}")) {
                assert_eq!(FeedUrl::parse(url.as_str()).as_ref(), Some(&url), "{text:?}");
                kept += 1;
            }
        }
        assert!(kept > 1000, "{kept}");
    }

    #[test]
    fn what_is_no_address_of_a_feed_is_none() {
        let long = format!("http://example.org/{}", "x".repeat(MAX_URL));
        for bad in [
            "",
            "example.org/feed",
            "ftp://example.org/feed",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "antennapod_local:7f3a",
            "http://",
            "http:///feed",
            "http://:80/feed",
            "http://exa mple.org/feed",
            "http://example.org:port/",
            "http://example.org:70000/",
            "http://example.org:0/",
            "http://[::1/feed",
            "http://[nonsense]/feed",
            "http://evil\\@example.org/",
            "http://example.org/a\u{0}b",
            "http://example.org/a\nb",
            &long,
        ] {
            assert_eq!(FeedUrl::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_episode_may_be_known_by_an_id_of_any_form() {
        let kept = |text: &str| EpisodeUrl::parse(text).map(|url| url.as_str().to_owned());
        assert_eq!(kept(" HTTPS://Example.org/1.mp3#t=5 "), kept("https://example.org/1.mp3"));
        assert_eq!(kept("urn:uuid:1234").as_deref(), Some("urn:uuid:1234"));
        assert_eq!(kept("ftp://Example.org/1.mp3/").as_deref(), Some("ftp://Example.org/1.mp3/"));
        for bad in ["", "  ", "http://", "a\u{7}b", &"x".repeat(MAX_URL + 1)] {
            assert_eq!(kept(bad), None, "{bad:?}");
        }
    }
}
