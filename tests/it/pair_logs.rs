//! Pair: the last entries, who has to wait, tickets, health, unknown paths.

use std::time::Duration;

use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::{House, PASSWORD, text},
    native_desk::Desk,
    pair::{refused, sign_in},
};

const LOGS: &str = "/api/logs";
const LIMITS: &str = "/api/security/rate-limits";
const TICKET: &str = "/api/ws-token";

async fn page(house: &House, token: &str, query: &str) -> Value {
    let answer = house.get(&format!("{LOGS}{query}")).bearer(token).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn ids(page: &Value) -> Vec<i64> {
    let entries = page["data"].as_array().expect("a list").iter();
    entries.map(|entry| entry["id"].as_i64().expect("a request")).collect()
}

#[tokio::test]
async fn an_entry_says_what_was_asked_and_never_the_query() {
    let house = House::lived_in().await;
    let ann = sign_in(&house, "ann").await;
    house.clock.advance(Duration::from_secs(9));
    let asked = house.get("/api/ws-token?token=top-secret").bearer(&ann.access).send().await;
    let page = page(&house, &ann.access, "").await;
    let names: Vec<&String> = page.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["status", "data", "total", "limit", "offset"]);
    assert_eq!(
        (&page["status"], &page["limit"], &page["offset"]),
        (&json!("success"), &json!(100), &json!(0))
    );
    let entry = &page["data"][0];
    let names: Vec<&String> = entry.as_object().expect("an object").keys().collect();
    let fields = "id timestamp client_ip method destination status bytes elapsed_ms user";
    assert_eq!(names, fields.split(' ').collect::<Vec<_>>());
    assert_eq!(entry["timestamp"], "2026-01-01 00:00:09");
    assert_eq!((&entry["client_ip"], &entry["method"]), (&json!("127.0.0.1"), &json!("GET")));
    assert_eq!((&entry["destination"], &entry["user"]), (&json!("/api/ws-token"), &json!("ann")));
    assert_eq!((&entry["status"], &entry["bytes"]), (&json!(200), &json!(asked.body.len())));
    assert!(entry["elapsed_ms"].is_u64(), "{entry}");
    assert!(!page.to_string().contains("top-secret"));
}

#[tokio::test]
async fn what_a_stranger_writes_into_a_path_is_shown_escaped_and_cut() {
    let house = House::lived_in().await;
    let ann = sign_in(&house, "ann").await;
    let path = format!("/api/%0d%0a%3Cb%3E{}", "x".repeat(5000));
    house.get(&path).send().await;
    let page = page(&house, &ann.access, "").await;
    let entry = &page["data"][0];
    assert_eq!((&entry["status"], &entry["user"]), (&json!(401), &Value::Null));
    assert_eq!(text(&entry["destination"]), path[..256]);
}

#[tokio::test]
async fn entries_come_newest_first_within_limit_and_offset() {
    let house = House::lived_in().await;
    let ann = sign_in(&house, "ann").await;
    for number in 0..5 {
        house.get(&format!("/api/{number}")).send().await;
    }
    let all = page(&house, &ann.access, "").await;
    let (whole, total) = (ids(&all), all["total"].as_u64().expect("a number"));
    assert_eq!(whole.len() as u64, total);
    assert!(whole.windows(2).all(|pair| pair[0] > pair[1]), "{whole:?}");
    // The question before is itself the newest entry now.
    let some = page(&house, &ann.access, "?limit=2&offset=1").await;
    assert_eq!(ids(&some), whole[..2]);
    assert_eq!((&some["limit"], &some["offset"]), (&json!(2), &json!(1)));
    assert_eq!(some["total"], total + 1);
    assert_eq!(ids(&page(&house, &ann.access, "?offset=100000").await), [0; 0]);
    assert_eq!(page(&house, &ann.access, "?limit=0").await["limit"], 1);
    assert_eq!(page(&house, &ann.access, "?limit=999999").await["limit"], 1000);
    for bad in ["limit=many", "limit=-1", "offset=x", "offset=-1"] {
        let answer = house.get(&format!("{LOGS}?{bad}")).bearer(&ann.access).send().await;
        refused(&answer, 400, "invalid request body");
    }
}

#[tokio::test]
async fn addresses_are_masked_when_the_configuration_says_so() {
    let house = House::lived_in_with(|plan| plan.settings.mask_addresses = true).await;
    let ann = sign_in(&house, "ann").await;
    for (from, shown) in [("192.0.2.77", "192.0.2.0"), ("2001:db8:1:2::3", "2001:db8:1::")] {
        house.get("/api/x").from(from).send().await;
        let page = page(&house, &ann.access, "?limit=1").await;
        assert_eq!(page["data"][0]["client_ip"], shown);
    }
}

#[tokio::test]
async fn reading_needs_its_right_and_a_key_opens_no_stream() {
    let desk = Desk::new().await;
    let watcher = desk.hire("watcher", &["events-read"]).await;
    let key = desk.key(&watcher, &json!({"name": "k"})).await;
    let house = &desk.house;
    let bob = sign_in(house, "bob").await;
    let watcher = sign_in(house, "watcher").await;
    for path in [LOGS, TICKET] {
        assert_eq!(house.get(path).bearer(&watcher.access).send().await.status, 200, "{path}");
        let answer = house.get(path).bearer(&bob.access).send().await;
        refused(&answer, 403, "this needs the permission events-read");
    }
    assert_eq!(house.get(LOGS).basic("api", &key).send().await.status, 200);
    for (method, path) in [(Method::GET, TICKET), (Method::POST, "/api/change-password")] {
        let body = json!({"current_password": PASSWORD, "new_password": "Chestnut-tree-8"});
        let answer = house.ask(method, path).basic("api", &key).json(&body).send().await;
        refused(&answer, 403, "an API key may not do this; sign in instead");
    }
    for token in [&bob.access, &watcher.access] {
        for (method, path) in
            [(Method::GET, LIMITS.to_owned()), (Method::DELETE, format!("{LIMITS}/192.0.2.1"))]
        {
            let answer = house.ask(method, &path).bearer(token).send().await;
            refused(&answer, 403, "this needs the permission system-admin");
        }
    }
}

#[tokio::test]
async fn who_has_to_wait_is_listed_and_can_be_let_in() {
    let house = House::lived_in().await;
    let ann = sign_in(&house, "ann").await;
    let wrong = async |from: &str| {
        let body = json!({"username": "bob", "password": "Wrong-tree-9"});
        house.post("/api/auth/login").json(&body).from(from).send().await.status
    };
    let list = async || house.get(LIMITS).bearer(&ann.access).send().await.text();
    let meta = r#""meta":{"max_attempts":5,"window_seconds":300}}"#;
    assert_eq!(list().await, format!(r#"{{"status":"success","data":[],{meta}"#));
    for _ in 0..5 {
        assert_eq!(wrong("192.0.2.7").await, 401);
    }
    let one = r#"{"ip":"192.0.2.7","attempts":5,"blocked":true}"#;
    assert_eq!(list().await, format!(r#"{{"status":"success","data":[{one}],{meta}"#));
    assert_eq!(wrong("192.0.2.7").await, 429);

    let clear =
        async |ip: &str| house.delete(&format!("{LIMITS}/{ip}")).bearer(&ann.access).send().await;
    let cleared = clear("192.0.2.7").await;
    let wanted = r#"{"status":"success","message":"Rate limit cleared"}"#;
    assert_eq!((cleared.status, cleared.text().as_str()), (200, wanted));
    assert_eq!(list().await, format!(r#"{{"status":"success","data":[],{meta}"#));
    assert_eq!(wrong("192.0.2.7").await, 401);
    for ip in ["192.0.2.8", "nonsense", "2001:db8::1", "%20", "192.0.2.7%2f24"] {
        refused(&clear(ip).await, 404, "no such page");
    }
}

#[tokio::test]
async fn an_ipv6_household_is_one_line_of_the_list() {
    let house = House::lived_in().await;
    let ann = sign_in(&house, "ann").await;
    for host in 1..=2 {
        let body = json!({"username": "bob", "password": format!("Wrong-tree-{host}")});
        let from = format!("2001:db8:1:2::{host}");
        let answer = house.post("/api/auth/login").json(&body).from(&from).send().await;
        assert_eq!(answer.status, 401);
    }
    let list = house.get(LIMITS).bearer(&ann.access).send().await.json();
    let wanted = json!([{"ip": "2001:db8:1:2::", "attempts": 2, "blocked": false}]);
    assert_eq!(list["data"], wanted);
    let path = format!("{LIMITS}/2001:db8:1:2::9");
    assert_eq!(house.delete(&path).bearer(&ann.access).send().await.status, 200);
}

/// What the websocket's path says to this ticket; a live one is told that this is no websocket.
async fn try_ticket(house: &House, query: &str) -> (u16, String) {
    let answer = house.get(&format!("/api/ws/logs{query}")).send().await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn a_ticket_lives_two_minutes() {
    let house = House::lived_in().await;
    let answer = house.get(TICKET).basic("ann", PASSWORD).send().await;
    let token = text(&answer.json()["token"]);
    assert_eq!(answer.text(), format!(r#"{{"status":"success","token":"{token}"}}"#));
    let query = format!("?token={token}");
    house.clock.advance(Duration::from_millis(119_999));
    assert_eq!(try_ticket(&house, &query).await, (400, "a websocket is needed".to_owned()));
    house.clock.advance(Duration::from_millis(1));
    let over = (401, "invalid or expired token".to_owned());
    assert_eq!(try_ticket(&house, &query).await, over);
    let ann = sign_in(&house, "ann").await;
    assert_eq!(try_ticket(&house, &format!("?token={}", ann.access)).await, over);
    for query in ["", "?token=", "?other=1"] {
        assert_eq!(try_ticket(&house, query).await, (401, "missing token".to_owned()));
    }
    let header = house.get("/api/ws/logs").bearer(&ann.access).send().await;
    assert_eq!((header.status, header.text().as_str()), (401, "missing token"));
    assert_eq!(header.header("www-authenticate"), "Bearer realm=\"Gatelodge\"");
}

#[tokio::test]
async fn health_is_public_and_has_one_shape() {
    let house = House::lived_in_with(|plan| {
        plan.settings.throttle.requests_per_second = 1;
        plan.settings.throttle.burst = 1;
    })
    .await;
    let version = env!("CARGO_PKG_VERSION");
    let wanted = format!(
        r#"{{"status":"healthy","version":"{version}","runtime":"rust","timestamp":"2026-01-01T00:00:00Z"}}"#
    );
    for _ in 0..3 {
        for path in ["/health", "/api/health"] {
            let answer = house.get(path).send().await;
            assert_eq!((answer.status, answer.text()), (200, wanted.clone()), "{path}");
        }
    }
    let posted = house.post("/health").send().await;
    refused(&posted, 405, "method not allowed");
}

#[tokio::test]
async fn health_is_503_when_the_database_cannot_be_used() {
    let house = House::lived_in().await;
    let file = rusqlite::Connection::open(house.database()).expect("the database");
    file.execute_batch("ALTER TABLE meta RENAME TO gone").expect("renamed");
    for path in ["/health", "/api/health"] {
        refused(&house.get(path).send().await, 503, "the database is not usable");
    }
    file.execute_batch("ALTER TABLE gone RENAME TO meta").expect("renamed");
    assert_eq!(house.get("/health").send().await.status, 200);
}

#[tokio::test]
async fn unknown_paths_are_told_to_the_signed_in_alone() {
    let house = House::lived_in().await;
    let bob = sign_in(&house, "bob").await;
    for path in ["/api", "/api/", "/api/nothing", "/api/auth", "/api/v10", "/api/security/x"] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let ask = || house.ask(method.clone(), path);
            refused(&ask().send().await, 401, "missing Authorization header");
            refused(&ask().bearer("a.b.c").send().await, 401, "invalid or expired token");
            refused(&ask().bearer(&bob.access).send().await, 404, "no such page");
            refused(&ask().basic("bob", PASSWORD).send().await, 404, "no such page");
        }
    }
    refused(&house.get("/api/auth/login").send().await, 401, "missing Authorization header");
    let method = house.get("/api/auth/login").bearer(&bob.access).send().await;
    refused(&method, 405, "method not allowed");
}

#[tokio::test]
async fn a_dialect_that_is_switched_off_is_404_for_all_but_health_stays() {
    let house = House::lived_in_with(|plan| plan.http.dialects.pair = false).await;
    for path in ["/api/auth/login", LOGS, TICKET, "/api/ws/logs", "/api/nothing", "/api/health"] {
        refused(&house.get(path).basic("ann", PASSWORD).send().await, 404, "no such page");
    }
    assert_eq!(house.get("/health").send().await.status, 200);
}
