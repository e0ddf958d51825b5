//! A small host of podcasts over https, with a certificate of its own.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use gatelodge::domain::podcasts::probe::Rules;
use reqwest::Certificate;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

const FEED: &str = "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel/></rss>";

/// Serves a feed at one path, a redirect to it at another, and whatever a hostile host would.
pub struct FeedServer {
    address: SocketAddr,
    certificate: Certificate,
    asked: Arc<Mutex<HashMap<String, usize>>>,
    /// A port on which nobody should ever ask.
    pub elsewhere: Arc<AtomicU16>,
}

fn is_loopback_of_test(address: IpAddr) -> bool {
    address == Ipv4Addr::LOCALHOST || address == Ipv6Addr::LOCALHOST
}

impl FeedServer {
    pub async fn start(feed: &'static str, moved: &'static str) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let elsewhere = Arc::new(AtomicU16::new(1));
        let (counts, port) = (Arc::clone(&asked), Arc::clone(&elsewhere));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(socket).await else { continue };
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let target = head.split(' ').nth(1).unwrap_or("/");
                let path = target.split('?').next().unwrap_or("/").to_owned();
                *counts.lock().expect("unpoisoned").entry(path.clone()).or_insert(0) += 1;
                let answer = answer(&path, (feed, moved), port.load(Ordering::SeqCst));
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        let certificate = Certificate::from_der(made.cert.der()).expect("a certificate");
        Self { address, certificate, asked, elsewhere }
    }

    /// This server's own port, its certificate and loopback itself, and nothing else.
    pub fn rules(&self) -> Rules {
        Rules {
            port: self.address.port(),
            may_connect: is_loopback_of_test,
            trusted: vec![self.certificate.clone()],
        }
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.asked.lock().expect("unpoisoned").get(path).copied().unwrap_or(0)
    }
}

fn answer(path: &str, (feed, moved): (&str, &str), elsewhere: u16) -> String {
    let to = |location: String| {
        format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
    };
    let ok =
        |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    match path {
        path if path == feed => ok(FEED),
        path if path == moved => to(feed.to_owned()),
        "/page" => ok("<!doctype html><title>A page</title>"),
        "/round" => to("/round".to_owned()),
        "/endless" => ok(&format!("{FEED}{}", " ".repeat(1024 * 1024))),
        "/to-http" => to(format!("http://127.0.0.2:{elsewhere}/feed")),
        "/to-port" => to(format!("https://localhost:{elsewhere}/feed")),
        "/to-inside" => to("https://127.0.0.2/feed".to_owned()),
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
    }
}
