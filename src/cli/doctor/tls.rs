//! The certificate for https.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use super::Finding;
use crate::{
    cli::https,
    config::Config,
    domain::Timestamp,
    http::{
        client::host_of_url,
        tls::{Certificate, Source},
    },
};

const NAME: &str = "tls";
/// Whoever renews certificates does so before this.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// `server.tls`: whether the certificate can be read, for how long it is good, and for which host.
pub fn finding(config: &Config, now: Timestamp) -> Finding {
    let Some(source) = https::source(config) else {
        return Finding::fine(NAME, "no https by this server itself (server.tls)");
    };
    match (source.look(), &source) {
        (Ok(certificate), _) => judge(&certificate, &source, config, now),
        (Err(_), Source::SelfSigned { .. }) if !source.exists() => {
            Finding::fine(NAME, "a self-signed certificate is made at the next start")
        }
        (Err(error), Source::SelfSigned { .. }) => {
            Finding::look(NAME, error.to_string(), "restart the server: it makes a new one")
        }
        (Err(error), Source::Files { .. }) => Finding::bad(
            NAME,
            error.to_string(),
            "give server.tls.cert and server.tls.key PEM files that belong together and that the \
             server's user may read",
        ),
    }
}

fn judge(certificate: &Certificate, source: &Source, config: &Config, now: Timestamp) -> Finding {
    let end = certificate.not_after.minute_text();
    let renew = match source {
        Source::Files { .. } => "renew it; the server loads it within a minute, or at SIGHUP",
        Source::SelfSigned { .. } => "start the server: it makes a new one",
    };
    let host = config.server.public_url.as_deref().and_then(host_of_url);
    if certificate.not_after <= now {
        return Finding::bad(NAME, format!("the certificate ended on {end}"), renew);
    }
    if certificate.not_before > now {
        let begin = certificate.not_before.minute_text();
        let found = format!("the certificate is good from {begin} on, not yet");
        return Finding::bad(NAME, found, "look at the clock of this machine");
    }
    if certificate.not_after.minus(SOON) <= now {
        return Finding::look(NAME, format!("the certificate ends soon, on {end}"), renew);
    }
    if let Some(host) = host.filter(|host| !certificate.is_for(host)) {
        return Finding::look(
            NAME,
            format!("the certificate is not for {host}, the host of server.public_url"),
            "get one for that name, or correct server.public_url",
        );
    }
    if let Source::Files { key, .. } = source
        && is_open_to_all(key)
    {
        return Finding::look(
            NAME,
            format!("everybody on this machine may read {}", key.display()),
            "take that right away: chmod o= on the file",
        );
    }
    Finding::fine(NAME, format!("the certificate is good until {end}"))
}

fn is_open_to_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.mode() & 0o004 != 0)
}
