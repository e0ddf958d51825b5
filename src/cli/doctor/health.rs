//! Asks the running server itself.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::Finding;
use crate::{
    cli::{Failure, say},
    config::Config,
};

/// Of one server, all together.
const PATIENCE: Duration = Duration::from_secs(5);
/// In bytes; the answer is far shorter.
const MOST: u64 = 16 * 1024;
const NAME: &str = "server";

enum Answer {
    Healthy,
    /// Something is there and not well, or not ours.
    Sick(String),
    Absent(String),
}

/// Where a server that listens at `address` can be reached from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr) -> Answer {
    match timeout(PATIENCE, exchange(address)).await {
        Err(_) => Answer::Sick(format!("gave no answer in {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => Answer::Absent(error.to_string()),
        Ok(Ok(text)) if !text.starts_with("HTTP/1.") => {
            Answer::Sick("speaks no HTTP; another program listens there".to_owned())
        }
        Ok(Ok(text)) => {
            let status = text.split(' ').nth(1).unwrap_or_default();
            match (status, text.contains("\"status\":\"healthy\"")) {
                ("200", true) => Answer::Healthy,
                ("200", false) => Answer::Sick("is another program".to_owned()),
                (status, _) => Answer::Sick(format!("answers {}", super::plain(status))),
            }
        }
    }
}

async fn exchange(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let ask = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(MOST).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn addresses(config: &Config) -> impl Iterator<Item = SocketAddr> {
    config.server.listen.iter().copied().map(reachable)
}

/// `doctor --health`: for the health check of a container.
pub async fn only(config: &Config) -> Result<(), Failure> {
    let mut told = Vec::new();
    for address in addresses(config) {
        match ask(address).await {
            Answer::Healthy => return say("healthy\n"),
            Answer::Sick(what) => told.push(format!("{address} {what}")),
            Answer::Absent(what) => told.push(format!("{address}: no server there ({what})")),
        }
    }
    Err(Failure::No(format!("not healthy: {}", told.join(", "))))
}

/// Whether a server runs; it need not.
pub async fn finding(config: &Config) -> Finding {
    let mut absent = Vec::new();
    for address in addresses(config) {
        match ask(address).await {
            Answer::Healthy => return Finding::fine(NAME, format!("answers at http://{address}")),
            Answer::Sick(what) => {
                let advice = "look at its log, or give this one another server.listen";
                return Finding::bad(NAME, format!("{address} {what}"), advice);
            }
            Answer::Absent(_) => absent.push(address.to_string()),
        }
    }
    Finding::fine(NAME, format!("none runs at {}; gatelodge serve starts it", absent.join(", ")))
}
