//! What a request says about where it comes from, believed only as far as it may be.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, Once, OnceLock, PoisonError},
};

use ipnet::IpNet;
use poem::{
    Addr, Request,
    http::{HeaderMap, HeaderName, header},
};

use crate::{
    domain::{
        Core,
        accounts::Account,
        caller::{Caller, Credential, Origin, agent_text},
        error::Error,
        secret::Secret,
        tokens::Issued,
    },
    log,
};

/// Headers by which proxies tell of the client. From a peer that is not trusted they change
/// nothing but suspicion.
const FORWARDING: [HeaderName; 5] = [
    X_FORWARDED_FOR,
    header::FORWARDED,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-forwarded-host"),
    X_FORWARDED_PROTO,
];
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const SETUP_TOKEN: HeaderName = HeaderName::from_static("x-setup-token");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH: [HeaderName; 3] = [
    FETCH_SITE,
    HeaderName::from_static("sec-fetch-dest"),
    HeaderName::from_static("sec-fetch-user"),
];

/// What of the configuration decides whom to believe.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `scheme://host[:port]`, and the path below it if any.
    pub public_url: Option<String>,
    pub trusted_proxies: Vec<IpNet>,
    /// Lower-case origins besides our own.
    pub allowed_origins: Vec<String>,
    /// Our own https has a certificate that nobody vouches for.
    pub self_signed: bool,
}

/// What a request says about the program that sends it; decides whether a challenge would open
/// a window.
#[derive(Clone, Copy, Debug)]
pub struct Browser {
    /// It takes HTML, or tells how it fetches.
    pub is_browser: bool,
    /// `Sec-Fetch-Mode: cors`, or a page elsewhere leads here: nobody waits for a window.
    pub by_page: bool,
}

impl Browser {
    fn of(headers: &HeaderMap, own_pages: bool) -> Self {
        let mode = headers.get(FETCH_MODE);
        let fetches = mode.is_some() || FETCH.iter().any(|name| headers.contains_key(name));
        let takes_html = || text(headers, header::ACCEPT).is_some_and(|a| a.contains("text/html"));
        Self {
            is_browser: fetches || takes_html(),
            by_page: !own_pages || mode.is_some_and(|mode| mode == "cors"),
        }
    }
}

/// What the shell found out about one request; it lies in the request's extensions.
pub struct Facts {
    pub core: Core,
    pub surroundings: Arc<Surroundings>,
    pub request_id: String,
    pub origin: Origin,
    /// The client came by https, or a trusted proxy says so.
    pub secure: bool,
    /// Browsers may be told to come by https only (RFC 6797).
    pub strict: bool,
    /// The request comes from our own pages, from allowed ones, or from no page at all.
    pub own_pages: bool,
    /// The account that asks, for the access log; set by whoever finds out.
    pub user: OnceLock<Arc<Account>>,
    pub browser: Browser,
    /// `Set-Cookie` lines beside the one that an operation can name.
    cookies: Mutex<Vec<String>>,
    /// The same for cookies that go, whatever the answer is.
    removals: Mutex<Vec<String>>,
}

impl Facts {
    pub fn of(
        request: &Request,
        core: &Core,
        surroundings: &Arc<Surroundings>,
        request_id: String,
    ) -> Self {
        let way = Way::of(request, surroundings);
        let (headers, own_pages) = (request.headers(), way.is_of_own_pages());
        let address = way.client();
        // A proxy that does not say for whom it asks, or names another proxy, may ask for anybody.
        let unsaid = way.trusted
            && address.is_none_or(|client| within(&surroundings.trusted_proxies, client));
        let by_name = (way.trusted && way.https)
            || surroundings.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
        let direct = !way.forwarded && !unsaid && way.peer.is_some_and(is_private) && own_pages;
        let origin = Origin {
            address,
            counts_as_public: unsaid || (way.forwarded && !way.trusted) || way.is_by_foreign_name(),
            at_home: direct && way.host().is_some_and(|host| is_home(host, surroundings)),
            nearby: direct && way.host().is_some_and(|host| is_near(host, surroundings)),
            user_agent: agent_text(text(headers, header::USER_AGENT).unwrap_or_default()),
            dialect: "",
            setup_token: text(headers, SETUP_TOKEN).map(Secret::new),
        };
        Self {
            core: core.clone(),
            surroundings: Arc::clone(surroundings),
            request_id,
            origin,
            secure: by_name || way.https,
            // A rule for the whole host, and other apps of a home lab share its name: so only where
            // that name is meant to be https, and with a certificate that needs no exception.
            strict: by_name && !surroundings.self_signed,
            own_pages,
            user: OnceLock::new(),
            browser: Browser::of(headers, own_pages),
            cookies: Mutex::default(),
            removals: Mutex::default(),
        }
    }

    /// Adds a cookie to the answer, if it becomes a good one.
    pub fn put_cookie(&self, name: &str, value: &str, max_age: i64) {
        let line = cookie_line(self.secure, name, value, max_age);
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Adds a cookie that lasts as long as what it carries.
    pub fn put_issued(&self, name: &str, issued: &Issued) {
        let max_age = issued.expires_at.seconds() - self.core.now().seconds();
        self.put_cookie(name, issued.text.reveal(), max_age);
    }

    /// None of those that were added: what they carry has ended meanwhile.
    pub fn withdraw_cookies(&self) {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Takes a cookie away, also beside an error.
    pub fn drop_cookie(&self, name: &str) {
        let line = cookie_line(self.secure, name, "", 0);
        self.removals.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Takes the lines of [`Self::drop_cookie`] and, for an answer that is `good`, those of
    /// [`Self::put_cookie`].
    pub fn take_cookies(&self, good: bool) -> Vec<String> {
        let take = |lines: &Mutex<Vec<String>>| {
            std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let mut lines = take(&self.removals);
        if good {
            lines.append(&mut take(&self.cookies));
        }
        lines
    }

    /// Finds out who sent `credential` to a dialect.
    pub async fn caller_of(
        &self,
        credential: Option<Credential<'_>>,
        dialect: &'static str,
    ) -> Result<Caller, Error> {
        let caller = self.core.caller_of(credential, self.origin_in(dialect)).await?;
        if let Ok(account) = caller.account() {
            let _ = self.user.set(Arc::clone(account));
        }
        Ok(caller)
    }

    /// The name of the account that asks.
    pub fn user_name(&self) -> Option<&str> {
        self.user.get().map(|account| account.username.as_str())
    }

    /// The origin as one dialect sees it.
    pub fn origin_in(&self, dialect: &'static str) -> Origin {
        Origin { dialect, ..self.origin.clone() }
    }
}

/// The way by which a request came, before anything that it says is believed.
struct Way<'a> {
    request: &'a Request,
    surroundings: &'a Surroundings,
    peer: Option<IpAddr>,
    /// The peer is one of `server.trusted_proxies`.
    trusted: bool,
    /// Some header tells of a proxy.
    forwarded: bool,
    /// Our own TLS, or the word of a trusted proxy.
    https: bool,
}

impl<'a> Way<'a> {
    fn of(request: &'a Request, surroundings: &'a Surroundings) -> Self {
        let peer = match request.remote_addr().0 {
            Addr::SocketAddr(address) => Some(address.ip().to_canonical()),
            _ => None,
        };
        let trusted = peer.is_some_and(|peer| within(&surroundings.trusted_proxies, peer));
        let headers = request.headers();
        let forwarded = FORWARDING.iter().any(|name| headers.contains_key(name));
        let https = request.scheme().as_str() == "https"
            || (trusted && single(headers, X_FORWARDED_PROTO) == Some("https"));
        Self { request, surroundings, peer, trusted, forwarded, https }
    }

    fn client(&self) -> Option<IpAddr> {
        let peer = self.peer?;
        match self.trusted {
            true => {
                let proxies = &self.surroundings.trusted_proxies;
                Some(client_behind(self.request.headers(), proxies, peer))
            }
            false => Some(peer),
        }
    }

    /// The host that is asked for, and its port if it is said.
    fn authority(&self) -> Option<(Cow<'a, str>, Option<u16>)> {
        let headers = self.request.headers();
        let authority = match single(headers, header::HOST) {
            Some(host) => Some(host),
            None if headers.contains_key(header::HOST) => None,
            None => self.request.uri().authority().map(|authority| authority.as_str()),
        };
        authority.and_then(split_host)
    }

    fn host(&self) -> Option<Cow<'a, str>> {
        self.authority().map(|(host, _)| host)
    }

    /// Somebody in the house asks, on plain http, by a name that may be an attacker's.
    fn is_by_foreign_name(&self) -> bool {
        let foreign = !self.trusted
            && !self.https
            && self.peer.is_some_and(is_private)
            && !self.is_asked_for_by_own_name();
        if foreign {
            tell_of_foreign_name(self.host().as_deref().unwrap_or_default());
        }
        foreign
    }

    /// Whether no page elsewhere can make a browser take the name that is asked for as its own (DNS
    /// rebinding): an address, a name that only a house gives, or one that the configuration has.
    /// Browsers always say a name, so that who says none is none.
    fn is_asked_for_by_own_name(&self) -> bool {
        let Some(host) = self.host() else {
            let headers = self.request.headers();
            return !headers.contains_key(header::HOST) && self.request.uri().authority().is_none();
        };
        // With the dot of the root it is the same name.
        let host = host.strip_suffix('.').unwrap_or(&host);
        let allowed = &self.surroundings.allowed_origins;
        host.parse::<IpAddr>().is_ok()
            || is_near(host, self.surroundings)
            || OF_HOUSES.iter().any(|end| host.ends_with(end))
            || allowed.iter().any(|url| host_of_url(url).is_some_and(|ours| ours == host))
    }

    /// Whether a request comes from our own pages, from allowed ones, or from no page at all (wire
    /// rule 20). Programs send no `Origin` and no `Sec-Fetch-Site`.
    fn is_of_own_pages(&self) -> bool {
        let headers = self.request.headers();
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) => origin.to_str().is_ok_and(|origin| self.is_ours(origin.trim())),
            (Some(_), Some(_)) => false,
            (None, _) => {
                let site =
                    headers.get(FETCH_SITE).map(|value| value.to_str().unwrap_or("cross-site"));
                !matches!(site, Some("cross-site" | "same-site"))
            }
        }
    }

    fn is_ours(&self, origin: &str) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let scheme = scheme.to_ascii_lowercase();
        let Some((host, port)) = split_host(authority) else { return false };
        let default = if scheme == "https" { 443 } else { 80 };
        if !["http", "https"].contains(&scheme.as_str()) {
            return false;
        }
        let wanted = (host, port.unwrap_or(default));
        let same_place = |url: &str| {
            let Some((other, rest)) = url.split_once("://") else { return false };
            let place = rest.split('/').next().and_then(split_host);
            other == scheme
                && place.is_some_and(|(host, port)| (host, port.unwrap_or(default)) == wanted)
        };
        let Surroundings { public_url, allowed_origins, .. } = self.surroundings;
        if public_url.iter().chain(allowed_origins).any(|url| same_place(url)) {
            return true;
        }
        // Our own host as the browser sees it. Behind a proxy that ends https the scheme that we see
        // is not the browser's, so the host alone decides, with either scheme's port.
        let own = self.authority();
        own.is_some_and(|(host, port)| (host, port.unwrap_or(default)) == wanted)
            && (scheme == "https" || self.may_be_plain())
    }

    /// A page over http at our own host and port is ours where that name is one of ours, unless we
    /// know that the browser came by https. Names are not looked at behind a trusted proxy, which
    /// answers for its own, and from outside, where a page has nothing to win by taking one.
    fn may_be_plain(&self) -> bool {
        let inside = !self.trusted && self.peer.is_some_and(is_private);
        !self.https && (!inside || self.is_asked_for_by_own_name())
    }
}

/// Ends of names that nobody but a house, its router or its own machine gives (RFC 6761).
const OF_HOUSES: [&str; 5] = [".localhost", ".internal", ".home", ".localdomain", ".fritz.box"];

/// Once: that PINs and pages do not work by a name would be a riddle otherwise.
fn tell_of_foreign_name(host: &str) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        log::note(&format!(
            "somebody here asks for {:?} on plain http; if that is this server, set server.public_url: \
             until then neither PINs nor the pages work by this name",
            host.chars().take(100).collect::<String>()
        ));
    });
}

fn within(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// A header's only value, if it is readable; of two contradicting ones none is believed.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().map(str::trim),
        _ => None,
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Walks `X-Forwarded-For` from the right, through trusted proxies only; what cannot be read
/// ends the walk at the last hop that was.
fn client_behind(headers: &HeaderMap, trusted: &[IpNet], peer: IpAddr) -> IpAddr {
    let lines: Vec<&str> =
        headers.get_all(X_FORWARDED_FOR).iter().map(|v| v.to_str().unwrap_or("?")).collect();
    let mut client = peer;
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(address) = hop_address(hop.trim()) else { return client };
        client = address;
        if !within(trusted, address) {
            return client;
        }
    }
    client
}

fn hop_address(hop: &str) -> Option<IpAddr> {
    if let Ok(address) = hop.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip().to_canonical())
}

/// Loopback, RFC 1918, link-local and unique local addresses.
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => {
            v6 == Ipv6Addr::LOCALHOST || v6.is_unique_local() || v6.is_unicast_link_local()
        }
    }
}

/// Host and port apart, in lower case; a port that is not digits is no host at all.
fn split_host(authority: &str) -> Option<(Cow<'_, str>, Option<u16>)> {
    if authority.contains(['@', '/', '\\', '?', '#', ' ']) {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let host = match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    };
    match port.strip_prefix(':') {
        Some(digits) => Some((host, Some(digits.parse().ok()?))),
        None if port.is_empty() => Some((host, None)),
        None => None,
    }
}

/// What `Host` is in a request of somebody at home (wire rule 2).
fn is_home(host: impl AsRef<str>, surroundings: &Surroundings) -> bool {
    let host = host.as_ref();
    let ours = surroundings.public_url.as_deref().and_then(host_of_url);
    if ours.is_some_and(|ours| ours == host) || host == "localhost" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return is_private(address);
    }
    [".local", ".lan", ".home.arpa"].iter().any(|end| host.ends_with(end) && host.len() > end.len())
}

/// Also a name without dots, as containers and machines call each other.
fn is_near(host: impl AsRef<str>, surroundings: &Surroundings) -> bool {
    let host = host.as_ref();
    let is_bare = !host.is_empty() && !host.contains(['.', ':']);
    is_bare || is_home(host, surroundings)
}

/// The host of a URL in lower case, without the brackets of an IPv6 address.
pub fn host_of_url(url: &str) -> Option<Cow<'_, str>> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    split_host(authority).map(|(host, _)| host)
}

/// A `Set-Cookie` line (RFC 6265, wire rule 19): good for `max_age` seconds, none takes it away.
pub fn cookie_line(secure: bool, name: &str, value: &str, max_age: i64) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={value}; HttpOnly; Path=/; SameSite=Lax; Max-Age={max_age}{secure}")
}

/// Sessions of the pages have a name of their own.
pub const PAGES: &str = "pages";

/// The cookie of the pages; `__Host-` binds it to this very host (RFC 6265bis).
pub fn pages_cookie(secure: bool) -> &'static str {
    if secure { "__Host-session" } else { "session" }
}

/// The values of all cookies with this name, from however many headers.
pub fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().expect("a header value"));
        }
        map
    }

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|text| text.parse().expect("a network")).collect()
    }

    #[test]
    fn forwarded_hops_are_walked_from_the_right_through_trusted_ones() {
        let trusted = nets(&["10.0.0.0/8", "192.0.2.1/32"]);
        let peer: IpAddr = "10.0.0.1".parse().expect("an address");
        for (lines, client) in [
            (vec!["203.0.113.7"], "203.0.113.7"),
            (vec!["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
            (vec!["6.6.6.6", "203.0.113.7, 192.0.2.1"], "203.0.113.7"),
            (vec!["203.0.113.7:4711"], "203.0.113.7"),
            (vec!["[2001:db8::1]:4711"], "2001:db8::1"),
            (vec!["6.6.6.6, nonsense, 192.0.2.1"], "192.0.2.1"),
            (vec![""], "10.0.0.1"),
            (vec!["10.0.0.9"], "10.0.0.9"),
        ] {
            let pairs: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            let found = client_behind(&headers(&pairs), &trusted, peer);
            assert_eq!(found.to_string(), client, "{lines:?}");
        }
    }

    #[test]
    fn hosts_and_ports_come_apart_or_not_at_all() {
        for (text, host, port) in [
            ("Example.ORG", "example.org", None),
            ("example.org:8080", "example.org", Some(8080)),
            ("[::1]:80", "::1", Some(80)),
            ("[::1]", "::1", None),
        ] {
            assert_eq!(split_host(text), Some((host.into(), port)), "{text}");
        }
        for bad in ["user@host", "host:port", "host:99999", "[::1", "a/b", "a\\b", "a b", "[::1]x"]
        {
            assert_eq!(split_host(bad), None, "{bad}");
        }
    }

    #[test]
    fn cookies_of_two_headers_are_merged() {
        let map = headers(&[("cookie", "a=1; session=x"), ("cookie", "session=y; b=2")]);
        assert_eq!(cookies(&map, "session"), ["x", "y"]);
        assert!(cookies(&map, "sess").is_empty());
    }
}
