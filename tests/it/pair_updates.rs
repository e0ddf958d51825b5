//! The check for updates, against a real server: a bad feed changes nothing.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gatelodge::domain::updates::{Feed, Pace};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::house::{House, Server};

const OURS: &str = env!("CARGO_PKG_VERSION");
/// Only so that what hangs fails its test instead of stopping all of them.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the feed's server sends; then it hangs up, or not.
#[derive(Clone)]
struct Reply {
    bytes: Vec<u8>,
    hangs: bool,
}

/// A server of its own on loopback.
struct FeedServer {
    url: String,
    reply: Arc<Mutex<Reply>>,
    asked: Arc<AtomicUsize>,
}

fn http(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn ok(feed: &Value) -> Reply {
    Reply { bytes: http("200 OK", feed.to_string().as_bytes()), hangs: false }
}

fn feed(latest: &str) -> Value {
    json!({"latest": latest, "url": format!("https://127.0.0.1/{latest}"), "advisories": []})
}

async fn serve(mut socket: TcpStream, reply: Reply) {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match socket.read(&mut piece).await {
            Ok(read @ 1..) => head.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let moved = head.starts_with(b"GET /moved ");
    let reply = if moved { ok(&feed("9.9.9")) } else { reply };
    // Whoever has had enough hangs up in the middle.
    let _ = socket.write_all(&reply.bytes).await;
    if reply.hangs {
        let _ = socket.read(&mut piece).await;
    }
}

impl FeedServer {
    async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/feed.json", listener.local_addr().expect("an address"));
        let reply = Arc::new(Mutex::new(reply));
        let asked = Arc::new(AtomicUsize::new(0));
        let (replies, count) = (Arc::clone(&reply), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let reply = replies.lock().expect("unpoisoned").clone();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, reply));
            }
        });
        Self { url, reply, asked }
    }

    /// Answers otherwise from now on, and waits until that was read: whoever asks twice more has
    /// done with the answer before.
    async fn answers(&self, reply: Reply) {
        *self.reply.lock().expect("unpoisoned") = reply;
        self.is_asked(2).await;
    }

    async fn is_asked(&self, times: usize) {
        let until = self.asked.load(Ordering::SeqCst) + times;
        let waiting = async {
            while self.asked.load(Ordering::SeqCst) < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("asked again");
    }
}

async fn health(house: &House) -> Value {
    let answer = house.get("/health").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Health once it tells of this version: whoever waits only a moment may miss an answer that is good.
async fn known(house: &House, version: &str) -> Value {
    let url = format!("https://127.0.0.1/{version}");
    let waiting = async {
        loop {
            let health = health(house).await;
            if health["update_url"] == url {
                break health;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never of {version}"))
}

/// A house that asks this server all the time; what it has to tell is kept.
async fn asking(server: &FeedServer) -> (House, Arc<Mutex<Vec<String>>>) {
    asking_for(server, Duration::from_secs(5)).await
}

/// The same, which waits so long for an answer.
async fn asking_for(server: &FeedServer, patience: Duration) -> (House, Arc<Mutex<Vec<String>>>) {
    let house = House::new().await;
    let pace = Pace { first: Duration::ZERO, every: Duration::from_millis(5), patience };
    let told = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&told);
    let tell = move |line: &str| lines.lock().expect("unpoisoned").push(line.to_owned());
    let feed = Feed::new(&server.url, pace).expect("a feed");
    tokio::spawn(house.core.clone().follow_updates(feed, tell));
    server.is_asked(2).await;
    (house, told)
}

#[tokio::test]
async fn without_a_feed_health_says_nothing_of_updates() {
    let health = health(&House::new().await).await;
    let names: Vec<&String> = health.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["status", "version", "runtime", "timestamp"]);
}

#[tokio::test]
async fn a_newer_version_and_what_is_wrong_with_ours_are_told() {
    let advisory = |id: &str, affected: &str| json!({"id": id, "severity": "high", "url": "https://127.0.0.1/a", "affected": affected});
    let mut newer = feed("999.0.0");
    newer["advisories"] = json!([
        advisory("A-1", &format!("<={OURS}")),
        advisory("A-2", &format!(">{OURS}")),
        advisory("A-3", &format!("={OURS}")),
        advisory("A-4", &format!(">=0.0.1,<{OURS}")),
        advisory("A-5", ">=0.0.1, <999.0.0"),
    ]);
    newer["more"] = json!("is ignored");
    let server = FeedServer::start(ok(&newer)).await;
    let (house, told) = asking(&server).await;
    for path in ["/health", "/api/health"] {
        let health = house.get(path).send().await.json();
        assert_eq!(health["update_available"], true);
        assert_eq!(health["update_url"], "https://127.0.0.1/999.0.0");
        let known = |id: &str| json!({"id": id, "severity": "high", "url": "https://127.0.0.1/a"});
        assert_eq!(health["advisories"], json!([known("A-1"), known("A-3"), known("A-5")]));
    }
    assert!(told.lock().expect("unpoisoned").is_empty());
}

#[tokio::test]
async fn the_same_and_older_versions_are_no_update() {
    let server = FeedServer::start(ok(&feed(OURS))).await;
    let (house, _) = asking(&server).await;
    for version in [OURS.to_owned(), "0.0.1".to_owned(), format!("{OURS}-rc.1")] {
        server.answers(ok(&feed(&version))).await;
        let health = health(&house).await;
        assert_eq!(health["update_available"], false, "{version}");
        assert_eq!(health["update_url"], format!("https://127.0.0.1/{version}"));
        assert_eq!(health["advisories"], json!([]));
    }
    server.answers(ok(&feed("999.0.0"))).await;
    assert_eq!(health(&house).await["update_available"], true);
}

/// Every way in which a feed can be bad, and what is told of it.
fn bad_replies() -> Vec<(&'static str, Reply)> {
    let now = |bytes: Vec<u8>| Reply { bytes, hangs: false };
    let with = |name: &str, value: Value| {
        let mut feed = feed("9.9.9");
        feed[name] = value;
        ok(&feed)
    };
    let advised = |name: &str, value: &str| {
        let mut advisory = json!({
            "id": "A-1", "severity": "low", "url": "https://127.0.0.1/a", "affected": "<9.0.0"
        });
        advisory[name] = json!(value);
        with("advisories", json!([advisory]))
    };
    let padded = |bytes: usize| {
        let padding = " ".repeat(bytes);
        let feed = format!("{}{padding}", feed("9.9.9"));
        http("200 OK", feed.as_bytes())
    };
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b' '; 256 * 1024]].concat();
    let good = feed("9.9.9").to_string();
    vec![
        ("not the JSON", now(http("200 OK", b"<html>"))),
        ("not the JSON", now(http("200 OK", b""))),
        ("not the JSON", now(http("200 OK", b"[]"))),
        ("not the JSON", now(http("200 OK", &b"[".repeat(60_000)))),
        ("not the JSON", now(http("200 OK", b"{\"latest\":\"9.9.9\"}"))),
        ("not the JSON", with("latest", json!(9))),
        ("feed's latest", with("latest", json!("v9"))),
        ("feed's url", with("url", json!("https://elsewhere.example/"))),
        ("feed's url", with("url", json!("http://127.0.0.1/"))),
        ("feed's url", with("url", json!("javascript:alert(1)"))),
        ("feed's url", advised("url", "https://127.0.0.1.elsewhere.example/")),
        ("feed's id", advised("id", "<script>")),
        ("feed's severity", advised("severity", "")),
        ("feed's affected", advised("affected", "everything")),
        ("larger than 64 KiB", now(padded(64 * 1024))),
        ("larger than 64 KiB", Reply { bytes: endless, hangs: true }),
        ("answers 500", now(http("500 Internal Server Error", good.as_bytes()))),
        ("answers 404", now(http("404 Not Found", good.as_bytes()))),
        ("answers 302", now(http("302 Found\r\nLocation: /moved", b""))),
        ("cannot be reached", now(Vec::new())),
        ("cannot be reached", now(b"220 mail.example.org ESMTP\r\n".to_vec())),
    ]
}

fn slow_replies() -> Vec<(&'static str, Reply)> {
    let slow = |bytes: &[u8]| ("too slow", Reply { bytes: bytes.to_vec(), hangs: true });
    vec![slow(b""), slow(b"HTTP/1.1 200 OK\r\n\r\n{")]
}

/// Each of the replies, after a good one, to a house that waits so long for an answer.
async fn changes_nothing(replies: Vec<(&'static str, Reply)>, patience: Duration) {
    let mut good = feed("1.0.0");
    good["advisories"] = json!([
        {"id": "A-1", "severity": "low", "url": "https://127.0.0.1/a", "affected": "<1.0.0"}
    ]);
    let server = FeedServer::start(ok(&good)).await;
    let (house, told) = asking_for(&server, patience).await;
    let before = known(&house, "1.0.0").await;
    assert_eq!(before["advisories"][0]["id"], "A-1");
    for (why, reply) in replies {
        server.answers(reply).await;
        assert_eq!(health(&house).await, before, "{why}");
        let last = told.lock().expect("unpoisoned").last().cloned().unwrap_or_default();
        assert!(last.starts_with("updates: ") && last.contains(why), "{why}: {last}");
        assert!(!last.contains("feed.json"), "the address is not told: {last}");
    }
    *server.reply.lock().expect("unpoisoned") = ok(&feed("2.0.0"));
    known(&house, "2.0.0").await;
}

#[tokio::test]
async fn a_bad_or_hostile_feed_changes_nothing() {
    changes_nothing(bad_replies(), Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_feed_that_is_too_slow_changes_nothing() {
    changes_nothing(slow_replies(), Duration::from_millis(500)).await;
}

#[tokio::test]
async fn a_feed_that_was_never_good_leaves_health_without_news() {
    let server = FeedServer::start(Reply { bytes: Vec::new(), hangs: false }).await;
    let (house, _) = asking(&server).await;
    let health = health(&house).await;
    assert_eq!((&health["update_available"], &health["advisories"]), (&json!(false), &json!([])));
    assert_eq!(health.get("update_url"), None);
}

#[test]
fn the_real_server_watches_the_feed_that_its_configuration_names() {
    let home = tempfile::tempdir().expect("a folder");
    let url = ("GATELODGE_UPDATES__FEED_URL", "http://127.0.0.1:9/feed.json");
    for (environment, watched) in [(&[url][..], Some(&json!(false))), (&[], None)] {
        let server = Server::start(home.path(), environment);
        let health = server.ask("GET", "/health", &[], "").expect("an answer").json();
        assert_eq!(health.get("update_available"), watched, "{health}");
        let (well, log) = server.terminate();
        assert!(well, "{log}");
    }
}
