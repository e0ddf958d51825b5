//! Upgrades to https, and the probe that must not be led into the house.

use std::{io::ErrorKind, net::TcpListener, sync::atomic::Ordering};

use gatelodge::domain::podcasts::probe::{Probe, Rules};
use serde_json::{Value, json};

use super::{
    gpodder_tls::FeedServer,
    house::{House, PASSWORD},
};

async fn subscribe(house: &House, name: &str, urls: &[&str]) {
    let put = house.put(&format!("/subscriptions/{name}/phone.json"));
    let answer = put.basic(name, PASSWORD).json(&json!(urls)).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn upgrades(house: &House, name: &str) -> Value {
    let answer = house.get("/api/2/me/upgrades").basic(name, PASSWORD).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn what_somebody_has_over_https_is_an_upgrade_for_others() {
    let house = House::lived_in().await;
    subscribe(&house, "bob", &["http://example.org/feed", "http://example.org/other"]).await;
    assert_eq!(upgrades(&house, "bob").await, json!([]));
    subscribe(&house, "ann", &["https://example.org/feed"]).await;
    let wanted = json!([{
        "http_url": "http://example.org/feed",
        "https_url": "https://example.org/feed",
        "title": "http://example.org/feed",
    }]);
    assert_eq!(upgrades(&house, "bob").await, wanted);
    assert_eq!(upgrades(&house, "ann").await, json!([]));
    // Once nobody has it any more, nothing is known.
    subscribe(&house, "ann", &[]).await;
    assert_eq!(upgrades(&house, "bob").await, json!([]));
    let stranger = house.get("/api/2/me/upgrades").send().await;
    assert_eq!(stranger.status, 401);
}

/// A house that probes by these rules.
async fn probing(rules: Rules) -> House {
    let house = House::lived_in_with(|plan| plan.settings.probe_https = true).await;
    tokio::spawn(house.core.clone().probe_upgrades(Probe::new(rules), |_| {}));
    house
}

/// Asks until the list is not empty.
async fn until_some(house: &House, name: &str) -> Value {
    for _ in 0..400 {
        let found = upgrades(house, name).await;
        if found != json!([]) {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("nothing was found");
}

#[tokio::test]
async fn a_probe_finds_a_feed_once_and_believes_it_for_a_week() {
    let server = FeedServer::start("/feed", "/moved").await;
    let house = probing(server.rules()).await;
    let urls = ["http://localhost/feed", "http://localhost/page", "http://localhost:8080/feed"];
    subscribe(&house, "bob", &urls).await;
    let found = until_some(&house, "bob").await;
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found[0]["https_url"], "https://localhost/feed");
    for _ in 0..5 {
        assert_eq!(upgrades(&house, "bob").await, found);
    }
    house.clock.advance(std::time::Duration::from_secs(6 * 24 * 3600));
    assert_eq!(upgrades(&house, "bob").await, found);
    assert_eq!(server.asked("/feed"), 1);
    house.clock.advance(std::time::Duration::from_secs(24 * 3600));
    assert_eq!(upgrades(&house, "bob").await, json!([]));
    assert_eq!(until_some(&house, "bob").await, found);
    assert_eq!(server.asked("/feed"), 2);
}

#[tokio::test]
async fn redirects_are_followed_over_https_only_and_checked_like_the_first() {
    let server = FeedServer::start("/feed", "/moved").await;
    let probe = Probe::new(server.rules());
    assert!(probe.finds_feed("https://localhost/moved").await);
    assert!(!probe.finds_feed("https://localhost/round").await, "a circle ends");
    assert!(!probe.finds_feed("https://localhost/page").await, "a page is no feed");
    assert!(!probe.finds_feed("https://localhost/missing").await);
    assert!(probe.finds_feed("https://localhost/endless").await, "its beginning is enough");
    // Elsewhere: to http, to another port, to an address that may not be asked.
    let inside = TcpListener::bind("127.0.0.2:0").expect("a port");
    inside.set_nonblocking(true).expect("a listener");
    server.elsewhere.store(inside.local_addr().expect("an address").port(), Ordering::SeqCst);
    for path in ["/to-http", "/to-port", "/to-inside"] {
        assert!(!probe.finds_feed(&format!("https://localhost{path}")).await, "{path}");
        assert_eq!(server.asked(path), 1, "{path}");
    }
    assert_eq!(inside.accept().expect_err("nobody").kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_probe_never_connects_inside_the_house() {
    let v4 = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = v4.local_addr().expect("an address").port();
    let v6 = TcpListener::bind(("::1", port)).ok();
    v4.set_nonblocking(true).expect("a listener");
    let probe = Probe::new(Rules { port, ..Rules::strict() });
    for host in [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
        "[fe80::1]",
        "10.0.0.1",
        "192.168.0.1",
        "localhost.",
        "user@localhost",
    ] {
        assert!(!probe.finds_feed(&format!("https://{host}/feed")).await, "{host}");
    }
    assert_eq!(v4.accept().expect_err("nobody").kind(), ErrorKind::WouldBlock);
    if let Some(v6) = v6 {
        v6.set_nonblocking(true).expect("a listener");
        assert_eq!(v6.accept().expect_err("nobody").kind(), ErrorKind::WouldBlock);
    }
    for url in ["http://1.1.1.1/feed", "ftp://1.1.1.1/feed", "https://1.1.1.1:8443/feed", ""] {
        assert!(!probe.finds_feed(url).await, "{url}");
    }
}

#[tokio::test]
async fn an_account_causes_twenty_probes_an_hour() {
    let server = FeedServer::start("/feed", "/moved").await;
    let house = probing(server.rules()).await;
    let urls: Vec<String> = (0..30).map(|n| format!("http://localhost/page?{n}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    subscribe(&house, "bob", &urls).await;
    let settled = async |wanted: usize| {
        for _ in 0..400 {
            upgrades(&house, "bob").await;
            if server.asked("/page") >= wanted {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        // Whatever was asked for too much would come next.
        upgrades(&house, "bob").await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(server.asked("/page"), wanted);
    };
    settled(20).await;
    house.clock.advance(std::time::Duration::from_secs(3600));
    settled(30).await;
}

#[tokio::test]
async fn without_the_setting_nobody_is_asked() {
    let server = FeedServer::start("/feed", "/moved").await;
    let house = House::lived_in().await;
    tokio::spawn(house.core.clone().probe_upgrades(Probe::new(server.rules()), |_| {}));
    subscribe(&house, "bob", &["http://localhost/feed"]).await;
    for _ in 0..5 {
        assert_eq!(upgrades(&house, "bob").await, json!([]));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(server.asked("/feed"), 0);
}
