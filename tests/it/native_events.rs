//! What happened, as pages and as a stream.

use std::time::Duration;

use futures_util::StreamExt;
use poem::{Response, http::Method};
use serde_json::{Value, json};

use super::{
    house::{PASSWORD, Server, text},
    native_desk::{Desk, NO_IDS},
};

const EVENTS: &str = "/api/v1/events";
const STREAM: &str = "/api/v1/events/stream";
/// Only so that a stream that hangs fails its test instead of stopping all of them.
const PATIENCE: Duration = Duration::from_secs(60);

fn kinds(list: &Value) -> Vec<String> {
    list["data"].as_array().expect("a list").iter().map(|event| text(&event["kind"])).collect()
}

#[tokio::test]
async fn events_are_listed_newest_first_for_those_who_may_read_them() {
    let desk = Desk::new().await;
    desk.refuses_strangers_and_readers(Method::GET, EVENTS, &Value::Null).await;
    desk.house.clock.advance(Duration::from_secs(9));
    let made = desk.post("/api/v1/users", &desk.admin, &json!({"username": "cleo"})).await.ok(201);
    for token in [&desk.maintainer, &desk.admin] {
        let list = desk.get(EVENTS, token).await.ok(200);
        let event = &list["data"][0];
        assert_eq!(
            (&event["kind"], &event["at"]),
            (&json!("account_created"), &json!("2026-01-01T00:00:09Z"))
        );
        assert_eq!((&event["account"], &event["account_name"]), (&made["id"], &json!("cleo")));
        assert_eq!(event["actor"], desk.id("ann").await);
        assert_eq!((&event["actor_name"], &event["address"]), (&json!("ann"), &json!("127.0.0.1")));
        assert_eq!((&event["dialect"], &event["detail"]), (&json!("native"), &json!("")));
        let ids: Vec<i64> = list["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|event| event["id"].as_i64().expect("a number"))
            .collect();
        assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "{ids:?}");
    }
}

#[tokio::test]
async fn events_are_filtered_by_kind_account_dialect_and_time() {
    let desk = Desk::new().await;
    let (ann, bob) = (desk.id("ann").await, desk.id("bob").await);
    desk.house.clock.advance(Duration::from_secs(60));
    let edit = json!({"display_name": "B"});
    desk.patch(&format!("/api/v1/users/{bob}"), &desk.admin, &edit).await.ok(200);
    let list =
        async |query: &str| desk.get(&format!("{EVENTS}?{query}"), &desk.admin).await.ok(200);
    assert_eq!(kinds(&list("kind=account_updated").await), ["account_updated"]);
    assert_eq!(kinds(&list("kind=signed_in").await).len(), 3);
    let of_bob = list(&format!("account={bob}")).await;
    assert_eq!(kinds(&of_bob), ["account_updated", "signed_in", "account_created"]);
    assert_eq!(list(&format!("account={ann}&kind=account_updated")).await["total"], 0);
    assert_eq!(kinds(&list("dialect=cli").await), ["account_created"; 3]);
    assert_eq!(kinds(&list("since=2026-01-01T00:01:00Z").await), ["account_updated"]);
    assert_eq!(list("since=2026-01-01T00:01:01Z").await["total"], 0);
    assert_eq!(list("until=2026-01-01T00:01:00Z").await["total"], 6);
    assert_eq!(list("until=2026-01-01T01:01:00%2B01:00").await["total"], 6);
    for bad in
        ["since=yesterday", "until=1", "page=0", "page_size=1000", "since=2026-13-01T00:00:00Z"]
    {
        let answer = desk.get(&format!("{EVENTS}?{bad}"), &desk.admin).await;
        answer.problem(422, "unprocessable");
    }
}

#[tokio::test]
async fn events_come_in_pages_and_the_links_keep_the_filter() {
    let desk = Desk::new().await;
    let query = "kind=signed_in&since=2026-01-01T00%3A00%3A00Z";
    let path = format!("{EVENTS}?{query}&page_size=1&page=2");
    let answer = desk.get(&path, &desk.admin).await;
    assert_eq!(answer.ok(200)["total"], 3);
    let links = answer.header("link");
    for (page, rel) in [(1, "first"), (1, "prev"), (3, "next"), (3, "last")] {
        let wanted = format!("<{EVENTS}?{query}&page={page}&page_size=1>; rel=\"{rel}\"");
        assert!(links.contains(&wanted), "{links}");
    }
}

#[tokio::test]
async fn a_failed_sign_in_is_told_without_what_was_typed_unless_it_could_be_a_name() {
    let desk = Desk::new().await;
    for name in ["bob", "nobody", "my secret: 12"] {
        assert_eq!(desk.sign_in(name, "Wrong-password-1").await, 401);
    }
    desk.house.core.settle().await.expect("written");
    let list = desk.get(&format!("{EVENTS}?kind=login_failure"), &desk.admin).await;
    let details: Vec<String> = list.ok(200)["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| text(&event["detail"]))
        .collect();
    assert_eq!(details, ["", "nobody", ""]);
    assert!(!list.text().contains("secret") && !list.text().contains("Wrong-password"));
}

/// A stream of events, read piece by piece.
struct Reading {
    body: std::pin::Pin<Box<dyn futures_util::Stream<Item = Vec<u8>> + Send>>,
    heard: String,
}

impl Reading {
    fn of(response: Response) -> Self {
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.content_type(), Some("text/event-stream"));
        let bytes = response.into_body().into_bytes_stream();
        let body = Box::pin(bytes.map(|piece| piece.expect("a piece").to_vec()));
        Self { body, heard: String::new() }
    }

    /// The next event: its id and what it says; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(i64, Value)> {
        loop {
            if let Some((block, rest)) = self.heard.split_once("\n\n") {
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
                };
                let found = field("data:").map(|data| {
                    assert_eq!(field("event:"), Some("event"));
                    let id = field("id:").expect("an id").parse().expect("a number");
                    (id, serde_json::from_str(data).expect("JSON"))
                });
                self.heard = rest.to_owned();
                match found {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let piece = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("no hanging");
            self.heard.push_str(std::str::from_utf8(&piece?).expect("text"));
        }
    }

    async fn next_kind(&mut self) -> Option<String> {
        Some(text(&self.next().await?.1["kind"]))
    }

    /// Whatever comes until the end of the stream.
    async fn rest(mut self) -> Vec<String> {
        let mut kinds = Vec::new();
        while let Some(kind) = self.next_kind().await {
            kinds.push(kind);
        }
        kinds
    }
}

impl Desk {
    async fn stream(&self, token: &str, last: &str) -> Reading {
        let ask = self.house.get(STREAM).bearer(token).header("last-event-id", last);
        Reading::of(ask.open().await)
    }

    async fn make(&self, name: &str) -> Value {
        self.post("/api/v1/users", &self.admin, &json!({"username": name})).await.ok(201)
    }
}

#[tokio::test]
async fn a_stream_is_for_those_who_may_read_and_wants_a_number_to_resume() {
    let desk = Desk::new().await;
    desk.refuses_strangers_and_readers(Method::GET, STREAM, &Value::Null).await;
    for bad in ["x", "1.5", "99999999999999999999"] {
        let ask = desk.house.get(STREAM).bearer(&desk.admin).header("last-event-id", bad);
        ask.send().await.problem(422, "unprocessable");
    }
}

#[tokio::test]
async fn a_stream_tells_what_happens_after_it_opened() {
    let desk = Desk::new().await;
    let mut stream = desk.stream(&desk.maintainer, "").await;
    for name in ["cleo", "dora"] {
        let made = desk.make(name).await;
        let (id, event) = stream.next().await.expect("an event");
        assert_eq!((&event["kind"], &event["account"]), (&json!("account_created"), &made["id"]));
        assert_eq!(event["id"], id);
        let listed = desk.get(EVENTS, &desk.admin).await.ok(200);
        assert_eq!(listed["data"][0], event);
    }
}

#[tokio::test]
async fn a_stream_resumes_after_the_last_event_that_was_seen() {
    let desk = Desk::new().await;
    let mut stream = desk.stream(&desk.admin, "").await;
    desk.make("cleo").await;
    let (seen, _) = stream.next().await.expect("an event");
    drop(stream);
    let missed = [desk.make("dora").await, desk.make("emil").await];
    let mut stream = desk.stream(&desk.admin, &seen.to_string()).await;
    for made in missed {
        assert_eq!(stream.next().await.expect("an event").1["account"], made["id"]);
    }
    let later = desk.make("fritz").await;
    assert_eq!(stream.next().await.expect("an event").1["account"], later["id"]);
}

#[tokio::test]
async fn rule_24_a_stream_ends_with_its_session() {
    let desk = Desk::new().await;
    let stream = desk.stream(&desk.maintainer, "").await;
    desk.post("/api/v1/auth/logout", &desk.maintainer, &Value::Null).await.ok(200);
    assert!(stream.rest().await.iter().all(|kind| kind == "signed_out"));
}

#[tokio::test]
async fn rule_24_a_stream_ends_when_its_session_expires() {
    let desk = Desk::new().await;
    let stream = desk.stream(&desk.maintainer, "").await;
    desk.house.clock.advance(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(stream.rest().await, [""; 0]);
}

#[tokio::test]
async fn rule_24_a_stream_ends_with_the_right_to_read() {
    let desk = Desk::new().await;
    let tim = desk.hire("tim", &["events-read"]).await;
    let key = desk.key(&tim, &json!({"name": "watch"})).await;
    let streams = [desk.stream(&tim, "").await, desk.stream(&key, "").await];
    desk.put("/api/v1/roles/tim", &desk.admin, &json!({"permissions": []})).await.ok(200);
    for stream in streams {
        assert!(stream.rest().await.iter().all(|kind| kind == "role_updated"));
    }
    desk.put("/api/v1/roles/tim", &desk.admin, &json!({"permissions": ["events-read"]}))
        .await
        .ok(200);
    let stream = desk.stream(&key, "").await;
    let keys = desk.get("/api/v1/api-keys", &tim).await.ok(200);
    let path = format!("/api/v1/api-keys/{}", text(&keys["data"][0]["id"]));
    desk.patch(&path, &tim, &json!({"permissions": []})).await.ok(200);
    assert!(stream.rest().await.iter().all(|kind| kind == "api_key_updated"));
    desk.patch(&path, &tim, &json!({"permissions": null})).await.ok(200);
    let stream = desk.stream(&key, "").await;
    desk.delete(&path, &tim).await.ok(204);
    assert!(stream.rest().await.iter().all(|kind| kind == "api_key_revoked"));
}

#[tokio::test]
async fn rule_24_a_stream_ends_with_the_password_of_its_basic_credential() {
    let desk = Desk::new().await;
    let ask = desk.house.get(STREAM).basic("mia", PASSWORD);
    let stream = Reading::of(ask.open().await);
    let mia = format!("/api/v1/users/{}", desk.id("mia").await);
    desk.put(&mia, &desk.admin, &json!({"password": "Chestnut-tree-8"})).await.ok(200);
    assert!(stream.rest().await.iter().all(|kind| kind == "account_updated"));
}

#[tokio::test]
async fn rule_24_a_long_history_does_not_outlive_the_session() {
    let desk = Desk::new().await;
    let database = rusqlite::Connection::open(desk.house.database()).expect("the database");
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO events (at, kind, address, dialect, detail)
        SELECT 0, 'signed_in', '', 'native', '' FROM n";
    database.execute_batch(many).expect("written");
    let mut stream = desk.stream(&desk.maintainer, "0").await;
    stream.next().await.expect("an event");
    desk.post("/api/v1/auth/logout", &desk.maintainer, &Value::Null).await.ok(200);
    let after = stream.rest().await.len();
    assert!(after < 500, "{after} events after the end of the session");
}

#[tokio::test]
async fn rule_24_a_stream_ends_when_the_server_stops() {
    let desk = Desk::new().await;
    let stream = desk.stream(&desk.maintainer, "").await;
    desk.house.stop();
    assert_eq!(stream.rest().await, [""; 0]);
}

#[test]
fn a_server_with_an_open_stream_stops_when_it_is_told_to() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let body = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
    let made = server.json("POST", "/api/v1/setup/initialize", "", &body).ok(201);
    let token = text(&made["token"]);
    let mut stream = std::net::TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("patience");
    let head = format!(
        "GET {STREAM} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
        server.address
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut heard = vec![0; 12];
    stream.read_exact(&mut heard).expect("an answer");
    assert_eq!(heard, b"HTTP/1.1 200");
    let wanted = json!({"username": "cleo"});
    server.json("POST", "/api/v1/users", &token, &wanted).ok(201);
    let mut heard = String::new();
    while !heard.contains("account_created") {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).expect("a piece");
        assert!(count > 0, "the stream ended: {heard}");
        heard.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    let (stopped_well, log) = server.terminate();
    assert!(stopped_well, "{log}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the end");
}

#[tokio::test]
async fn a_malformed_account_in_a_filter_finds_nothing() {
    let desk = Desk::new().await;
    for id in NO_IDS {
        let answer = desk.get(&format!("{EVENTS}?account={id}"), &desk.admin).await;
        assert_eq!(answer.ok(200)["total"], 0, "{id}");
    }
}
