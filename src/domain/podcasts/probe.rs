//! Asks a host whether it serves a podcast over https, without ever being led elsewhere: the
//! addresses in subscriptions are chosen by anybody who has an account.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use reqwest::{
    Certificate, Client, Response, Url,
    header::{ACCEPT, LOCATION},
    redirect::Policy,
};

/// Of an answer, in bytes: where a feed begins is in its first lines.
const MAX_BYTES: usize = 64 * 1024;
/// For one probe with all its redirects.
const PATIENCE: Duration = Duration::from_secs(10);
const REDIRECTS: usize = 3;
const HTTPS: u16 = 443;

/// Networks that are not the public internet (IANA special-purpose registries, RFC 6890), and
/// those that carry an IPv4 address inside.
const SPECIAL: [&str; 33] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Whether an address lies in the public internet.
pub fn is_public(address: IpAddr) -> bool {
    let address = address.to_canonical();
    !SPECIAL.iter().any(|net| net.parse::<IpNet>().is_ok_and(|net| net.contains(&address)))
}

/// Whom a probe may ask, and where. Anything but [`Rules::strict`] is for a test that has its own
/// server.
#[derive(Clone, Debug)]
pub struct Rules {
    pub port: u16,
    pub may_connect: fn(IpAddr) -> bool,
    pub trusted: Vec<Certificate>,
}

impl Rules {
    /// Port 443 of public addresses, with certificates that the system trusts.
    pub fn strict() -> Self {
        Self { port: HTTPS, may_connect: is_public, trusted: Vec::new() }
    }
}

/// Asks hosts.
#[derive(Clone, Debug)]
pub struct Probe {
    rules: Rules,
}

impl Probe {
    pub fn new(rules: Rules) -> Self {
        Self { rules }
    }

    /// Whether a feed is served at `url`. Whatever goes wrong means that it is not.
    pub async fn finds_feed(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else { return false };
        let asked = tokio::time::timeout(PATIENCE, self.follow(url)).await;
        asked.ok().flatten().is_some_and(|start| is_feed(&start))
    }

    /// The beginning of what is there, after a few redirects, each checked like the first.
    async fn follow(&self, mut url: Url) -> Option<Vec<u8>> {
        for _ in 0..=REDIRECTS {
            let response = self.ask(&url).await?;
            if !response.status().is_redirection() {
                return beginning(response).await;
            }
            let to = response.headers().get(LOCATION)?.to_str().ok()?;
            url = url.join(to).ok()?;
        }
        None
    }

    async fn ask(&self, url: &Url) -> Option<Response> {
        let is_plain = url.username().is_empty() && url.password().is_none();
        // `port` is `None` for the scheme's own.
        if url.scheme() != "https" || url.port().is_some() || !is_plain {
            return None;
        }
        let host = url.host_str()?;
        let address = self.resolve(host).await?;
        let mut client = Client::builder()
            .https_only(true)
            .redirect(Policy::none())
            .no_proxy()
            // The address that was checked is the one that is asked: a second look-up could say
            // something else.
            .resolve(host, SocketAddr::new(address, self.rules.port))
            .user_agent(concat!("gatelodge/", env!("CARGO_PKG_VERSION")));
        for certificate in &self.rules.trusted {
            client = client.add_root_certificate(certificate.clone());
        }
        let request = client.build().ok()?.get(url.clone());
        request.header(ACCEPT, "application/rss+xml, application/atom+xml, */*").send().await.ok()
    }

    /// One address of the host, if all of them may be asked.
    async fn resolve(&self, host: &str) -> Option<IpAddr> {
        if let Some(v6) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address = IpAddr::V6(v6.parse::<Ipv6Addr>().ok()?);
            return (self.rules.may_connect)(address).then_some(address);
        }
        let found = tokio::net::lookup_host((host, self.rules.port)).await.ok()?;
        let found: Vec<IpAddr> = found.map(|socket| socket.ip()).collect();
        let all = found.iter().all(|address| (self.rules.may_connect)(*address));
        found.first().copied().filter(|_| all)
    }
}

async fn beginning(mut response: Response) -> Option<Vec<u8>> {
    if response.status() != 200 {
        return None;
    }
    let mut start = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        let room = MAX_BYTES - start.len();
        start.extend_from_slice(&piece[..piece.len().min(room)]);
        if start.len() == MAX_BYTES {
            break;
        }
    }
    Some(start)
}

/// The root element of RSS 2.0, Atom (RFC 4287) or RSS 1.0.
fn is_feed(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    ["<rss", "<feed", "<rdf:rdf"].iter().any(|root| text.contains(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for public in ["1.1.1.1", "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.251",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fd00::1",
            "fe80::1",
            "ff02::1",
        ] {
            let address: IpAddr = special.parse().expect("an address");
            let mapped_public = special == "::ffff:8.8.8.8";
            assert_eq!(is_public(address), mapped_public, "{special}");
        }
        assert!(SPECIAL.iter().all(|net| net.parse::<IpNet>().is_ok()));
    }

    #[test]
    fn a_feed_is_told_from_a_page() {
        for feed in ["<?xml version=\"1.0\"?>\n<rss version=\"2.0\">", "<feed xmlns=", "<RDF:RDF "]
        {
            assert!(is_feed(feed.as_bytes()), "{feed}");
        }
        for other in ["", "<!doctype html><html>", "{\"rss\": true}", "\u{1f600}"] {
            assert!(!is_feed(other.as_bytes()), "{other}");
        }
    }
}
