//! The settings that only somebody who knows the network can get right.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::Finding;
use crate::{
    config::Server,
    domain::{Settings, smtp, smtp::Patience},
    http::client::{host_of_url, is_private},
};

/// A network this wide holds more than one could know: fewer fixed bits than 10.0.0.0/8, fc00::/7.
const fn is_wide(network: &IpNet) -> bool {
    match network {
        IpNet::V4(v4) => v4.prefix_len() < 8,
        IpNet::V6(v6) => v6.prefix_len() < 7,
    }
}

/// Whether a URL leads to this machine or to one in the same house.
fn is_at_home(url: &str) -> bool {
    let host = host_of_url(url).unwrap_or_default();
    match host.parse::<IpAddr>() {
        Ok(address) => is_private(address),
        Err(_) => {
            !host.contains('.')
                || [".local", ".lan", ".home.arpa"].iter().any(|end| host.ends_with(end))
        }
    }
}

/// `server.public_url`.
pub fn public_url(server: &Server) -> Finding {
    const NAME: &str = "public_url";
    match &server.public_url {
        None => Finding::look(
            NAME,
            "server.public_url is not set: links begin without an address, and no letter goes out",
            "set it to the address that people type, such as https://gate.example.org",
        ),
        Some(url) if url.starts_with("http://") && !is_at_home(url) => Finding::look(
            NAME,
            format!("{url} is not encrypted: passwords can be read on the way"),
            "serve https (server.tls), or put a proxy that does in front, and set server.public_url",
        ),
        Some(url) => Finding::fine(NAME, url),
    }
}

/// `server.trusted_proxies`; `has_tls`: the server speaks https itself. People in `pin_networks` who
/// count as proxies cannot use a PIN.
pub fn proxies(server: &Server, has_tls: bool, pin_networks: &[IpNet]) -> Finding {
    const NAME: &str = "proxies";
    let https = server.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    if let Some(wide) = server.trusted_proxies.iter().find(|network| is_wide(network)) {
        return Finding::bad(
            NAME,
            format!("{wide} in server.trusted_proxies lets strangers say where they come from"),
            "name the addresses of your proxies only, such as 127.0.0.1",
        );
    }
    let holds_people = |network: &&IpNet| {
        network.prefix_len() < network.max_prefix_len()
            && !network.addr().is_loopback()
            && pin_networks
                .iter()
                .any(|people| people.contains(*network) || network.contains(people))
    };
    if let Some(wide) = server.trusted_proxies.iter().find(holds_people) {
        return Finding::look(
            NAME,
            format!(
                "{wide} in server.trusted_proxies may hold people too: PINs do not work for them"
            ),
            "name the addresses of your proxies only, such as 127.0.0.1",
        );
    }
    if server.trusted_proxies.is_empty() && https && !has_tls {
        return Finding::look(
            NAME,
            "server.public_url is https and no proxy is named: everybody seems to come from the \
             proxy's address, and one who fails to sign in makes all others wait",
            "name the proxy's address in server.trusted_proxies",
        );
    }
    let names: Vec<String> = server.trusted_proxies.iter().map(ToString::to_string).collect();
    match names.is_empty() {
        true => Finding::fine(NAME, "none is trusted; clients reach the server itself"),
        false => {
            Finding::fine(NAME, format!("{} may say where clients come from", names.join(", ")))
        }
    }
}

/// The mail server, if there is one: everything but a letter.
pub async fn mail(settings: &Settings) -> Finding {
    const NAME: &str = "mail";
    let Some(mail) = &settings.mail else {
        return Finding::fine(NAME, "no mail server is set; letters wait for an admin");
    };
    let mut mail = mail.clone();
    mail.patience = Patience {
        connect: Duration::from_secs(5),
        command: Duration::from_secs(10),
        text: Duration::from_secs(10),
        whole: Duration::from_secs(20),
        ..mail.patience
    };
    match smtp::knock(&mail).await {
        Ok(()) => {
            Finding::fine(NAME, format!("{} port {} would take letters", mail.host, mail.port))
        }
        Err(error) => Finding::bad(NAME, error.to_string(), error.advice()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_at_home_are_known() {
        for home in [
            "http://localhost:8080",
            "http://nas",
            "http://nas.local",
            "http://10.1.2.3",
            "http://[fd00::1]:80",
            "http://gate.home.arpa:81",
        ] {
            assert!(is_at_home(home), "{home}");
        }
        for away in ["http://example.org", "http://93.184.216.34:8080", "http://[2606::1]"] {
            assert!(!is_at_home(away), "{away}");
        }
    }

    #[test]
    fn wide_networks_are_known() {
        let wide = |text: &str| is_wide(&text.parse().expect("a network"));
        assert!(wide("0.0.0.0/0") && wide("::/0") && wide("64.0.0.0/2"));
        assert!(!wide("10.0.0.0/8") && !wide("127.0.0.1/32") && !wide("fc00::/7"));
    }
}
