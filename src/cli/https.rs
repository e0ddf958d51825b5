//! The certificate of `gatelodge serve`: from which settings, and when it is loaded again.

use std::{borrow::Cow, fs, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use super::{Failure, trouble};
use crate::{
    config::Config,
    domain::{Clock, Timestamp},
    http::{
        client::host_of_url,
        tls::{Certificate, Https, Source},
    },
    log::{self, say},
};

/// How often files are looked at that somebody may have renewed.
const LOOK: Duration = Duration::from_secs(60);

/// Where `server.tls` says that the certificate is; nowhere, without https of our own.
pub fn source(config: &Config) -> Option<Source> {
    let tls = &config.tls;
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Some(Source::Files { cert: cert.clone(), key: key.clone() }),
        _ if tls.self_signed => {
            Some(Source::SelfSigned { folder: config.data_dir.clone(), names: names(config) })
        }
        _ => None,
    }
}

/// What this machine may be called at home.
fn names(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = machine.trim().to_ascii_lowercase();
    if !machine.is_empty() && machine.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        names.push(format!("{machine}.local"));
        names.push(machine);
    }
    names.extend(config.server.public_url.as_deref().and_then(host_of_url).map(Cow::into_owned));
    let listens = config.tls.listen.iter().map(|address| address.ip());
    names.extend(listens.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()));
    names.sort();
    names.dedup();
    names
}

/// Loads or makes the certificate.
pub fn open(source: Source) -> Result<Https, Failure> {
    let is_ours = matches!(source, Source::SelfSigned { .. });
    let now = Clock::real().now();
    let https =
        Https::open(source, now).map_err(|error| trouble(format!("server.tls: {error}")))?;
    say(&told(&https.certificate, now));
    if is_ours {
        say("  it is self-signed: a browser asks once; compare what it shows with");
        say(&format!("  SHA-256 {}", https.certificate.fingerprint()));
    }
    Ok(https)
}

fn told(certificate: &Certificate, now: Timestamp) -> String {
    let end = certificate.not_after.minute_text();
    match certificate.not_after <= now {
        true => format!("certificate for https: it ended on {end}, and clients refuse it"),
        false => format!("certificate for https: good until {end}"),
    }
}

/// SIGHUPs from now on, which would else end the process.
pub fn hangups() -> Option<Signal> {
    signal(SignalKind::hangup()).ok()
}

/// Loads it again on SIGHUP, and when its files change; the one of our own before it ends.
pub async fn follow(mut https: Option<Https>, mut hangups: Option<Signal>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut trouble = String::new();
    loop {
        let asked = tokio::select! {
            Some(()) = async { hangups.as_mut()?.recv().await } => true,
            _ = looks.tick() => false,
        };
        let now = Clock::real().now();
        match &mut https {
            Some(https) if asked || https.is_stale(now) => {
                let before = std::mem::take(&mut trouble);
                trouble = reload(https, now).err().unwrap_or_default();
                // What nobody asked for is told once.
                if !trouble.is_empty() && (asked || trouble != before) {
                    log::trouble("tls", &trouble);
                }
            }
            None if asked => say("told to load the certificate again; there is none to load"),
            _ => {}
        }
    }
}

fn reload(https: &mut Https, now: Timestamp) -> Result<(), String> {
    let certificate = https
        .reload(now)
        .map_err(|error| format!("{error}; connections get the certificate from before"))?;
    say(&format!("loaded again: {}", told(certificate, now)));
    Ok(())
}
