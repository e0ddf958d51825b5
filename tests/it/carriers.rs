//! What somebody carries after signing in, and when it ends (wire rules 13, 14, 16, 17, 19).

use std::time::Duration;

use futures_util::future::join_all;
use gatelodge::domain::passwords::HashKind;
use serde_json::{Value, json};

use super::{
    house::{Answer, Ask, House, PASSWORD, Server, text},
    native_auth::cookie_of,
};

const REFRESH: &str = "/api/v1/auth/refresh";
const NEW: &str = "Chestnut-tree-8";

/// All that bob can carry at once.
struct Carried {
    id: String,
    token: String,
    refresh: String,
    cookie: String,
    key: String,
}

impl Carried {
    async fn by_bob(house: &House) -> Self {
        let tokens = house.login("bob").await;
        let token = text(&tokens["token"]);
        let body = json!({"username": "bob", "password": PASSWORD});
        let cookie = cookie_of(&house.post("/api/v1/auth/session").json(&body).send().await);
        let body = json!({"name": "a script"});
        let made = house.post("/api/v1/api-keys").bearer(&token).json(&body).send().await.json();
        let carried = Self {
            id: text(&tokens["user"]["id"]),
            token,
            refresh: text(&tokens["refresh_token"]),
            cookie,
            key: text(&made["key"]),
        };
        for ask in carried.asks(house) {
            assert_eq!(ask.send().await.status, 200, "all are good, and known to be");
        }
        carried
    }

    fn asks<'a>(&self, house: &'a House) -> Vec<Ask<'a>> {
        let [mut sessions, others] = [self.of_sessions(house), self.of_others(house)];
        sessions.extend(others);
        sessions
    }

    fn of_sessions<'a>(&self, house: &'a House) -> Vec<Ask<'a>> {
        let user = || house.get("/api/v1/user");
        vec![user().bearer(&self.token), user().header("cookie", &self.cookie)]
    }

    fn of_others<'a>(&self, house: &'a House) -> Vec<Ask<'a>> {
        let user = || house.get("/api/v1/user");
        vec![
            user().bearer(&self.key),
            user().header("x-api-key", &self.key),
            user().basic("bob", PASSWORD),
        ]
    }

    async fn all_are_dead(&self, house: &House) {
        for ask in self.asks(house) {
            ask.send().await.problem(401, "unauthorized");
        }
        refresh(house, &self.refresh).await.problem(401, "unauthorized");
    }

    async fn sessions_are_dead(&self, house: &House) {
        for ask in self.of_sessions(house) {
            ask.send().await.problem(401, "unauthorized");
        }
        refresh(house, &self.refresh).await.problem(401, "unauthorized");
    }
}

async fn refresh(house: &House, token: &str) -> Answer {
    house.post(REFRESH).json(&json!({"refresh_token": token})).send().await
}

async fn status(house: &House, token: &Value) -> u16 {
    house.get("/api/v1/user").bearer(&text(token)).send().await.status
}

async fn change_bob(house: &House, id: &str, change: Value) {
    let ann = house.token("ann").await;
    let path = format!("/api/v1/users/{id}");
    let answer = house.patch(&path).bearer(&ann).json(&change).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn disabling_ends_every_carrier_and_enabling_brings_no_session_back() {
    let house = House::lived_in().await;
    let carried = Carried::by_bob(&house).await;
    change_bob(&house, &carried.id, json!({"status": "disabled"})).await;
    carried.all_are_dead(&house).await;
    change_bob(&house, &carried.id, json!({"status": "active"})).await;
    carried.sessions_are_dead(&house).await;
    for ask in carried.of_others(&house) {
        assert_eq!(ask.send().await.status, 200, "a key and a password are the account's own");
    }
}

#[tokio::test]
async fn deleting_ends_every_carrier_for_good() {
    let house = House::lived_in().await;
    let carried = Carried::by_bob(&house).await;
    let ann = house.token("ann").await;
    let path = format!("/api/v1/users/{}", carried.id);
    assert_eq!(house.delete(&path).bearer(&ann).send().await.status, 204);
    carried.all_are_dead(&house).await;
    let id = house.add("bob", "reader").await;
    assert_ne!(id, carried.id, "an id is never reused");
    carried.sessions_are_dead(&house).await;
    let key = house.get("/api/v1/user").bearer(&carried.key).send().await;
    key.problem(401, "unauthorized");
}

#[tokio::test]
async fn another_role_ends_sessions_and_counts_at_once_for_the_rest() {
    let house = House::lived_in().await;
    house.add("mia", "maintainer").await;
    let tokens = house.login("mia").await;
    let token = text(&tokens["token"]);
    let body = json!({"name": "a script"});
    let key = house.post("/api/v1/api-keys").bearer(&token).json(&body).send().await.json();
    let key = text(&key["key"]);
    let events = |carrier: &str| house.get("/api/v1/events").bearer(carrier).send();
    assert_eq!((events(&token).await.status, events(&key).await.status), (200, 200));
    change_bob(&house, &text(&tokens["user"]["id"]), json!({"role": "reader"})).await;
    events(&token).await.problem(401, "unauthorized");
    events(&key).await.problem(403, "forbidden");
    let refreshed = refresh(&house, &text(&tokens["refresh_token"])).await;
    refreshed.problem(401, "unauthorized");
}

#[tokio::test]
async fn an_admins_new_password_ends_every_session() {
    let house = House::lived_in().await;
    let carried = Carried::by_bob(&house).await;
    change_bob(&house, &carried.id, json!({"password": NEW})).await;
    carried.sessions_are_dead(&house).await;
    let basic = house.get("/api/v1/user").basic("bob", PASSWORD).send().await;
    basic.problem(401, "unauthorized");
    assert_eq!(house.get("/api/v1/user").basic("bob", NEW).send().await.status, 200);
}

#[tokio::test]
async fn an_own_new_password_ends_every_session_but_the_one_that_asks() {
    let house = House::lived_in().await;
    let carried = Carried::by_bob(&house).await;
    let here = house.login("bob").await;
    let body = json!({"current_password": PASSWORD, "new_password": NEW});
    let ask = house.post("/api/v1/user/password").bearer(&text(&here["token"]));
    assert_eq!(ask.json(&body).send().await.status, 200);
    carried.sessions_are_dead(&house).await;
    let basic = house.get("/api/v1/user").basic("bob", PASSWORD).send().await;
    basic.problem(401, "unauthorized");
    assert_eq!(status(&house, &here["token"]).await, 200);
    assert_eq!(refresh(&house, &text(&here["refresh_token"])).await.status, 200);
}

#[tokio::test]
async fn a_session_that_its_owner_ends_is_over_at_the_next_request() {
    let house = House::lived_in().await;
    let carried = Carried::by_bob(&house).await;
    let here = text(&house.login("bob").await["token"]);
    let sessions = house.get("/api/v1/user/sessions").bearer(&here).send().await.json();
    for session in sessions["data"].as_array().expect("a list") {
        if session["current"] == false {
            let path = format!("/api/v1/user/sessions/{}", text(&session["id"]));
            assert_eq!(house.delete(&path).bearer(&here).send().await.status, 204);
        }
    }
    carried.sessions_are_dead(&house).await;
    assert_eq!(house.get("/api/v1/user").bearer(&here).send().await.status, 200);
}

#[tokio::test]
async fn an_access_token_ends_by_the_clock() {
    let house = House::lived_in().await;
    let tokens = house.login("bob").await;
    house.clock.advance(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(status(&house, &tokens["token"]).await, 200);
    house.clock.advance(Duration::from_secs(1));
    let late = house.get("/api/v1/user").bearer(&text(&tokens["token"])).send().await;
    assert_eq!(late.problem(401, "unauthorized"), "the token has expired");
    assert_eq!(refresh(&house, &text(&tokens["refresh_token"])).await.status, 200);
}

#[tokio::test]
async fn an_access_token_may_be_set_to_live_longer_than_a_refresh_token_would() {
    let day = Duration::from_secs(24 * 3600);
    let house = House::lived_in_with(|plan| plan.settings.lives.native_access = day * 90).await;
    let tokens = house.login("bob").await;
    house.clock.advance(day * 90 - Duration::from_secs(1));
    assert_eq!(status(&house, &tokens["token"]).await, 200);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&house, &tokens["token"]).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_refreshes_at_once_exactly_one_wins() {
    let house = House::lived_in().await;
    let tokens = house.login("bob").await;
    let token = text(&tokens["refresh_token"]);
    let all = join_all((0..50).map(|_| refresh(&house, &token))).await;
    let won: Vec<_> = all.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    for lost in all.iter().filter(|answer| answer.status != 200) {
        lost.problem(401, "unauthorized");
        assert!(!lost.text().contains(&token));
    }
    let next = won[0].json();
    assert_eq!(status(&house, &next["token"]).await, 200, "the session lives");
    assert_eq!(refresh(&house, &text(&next["refresh_token"])).await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_sent_twice_within_ten_seconds_harms_nothing() {
    let house = House::lived_in().await;
    let first = text(&house.login("bob").await["refresh_token"]);
    let second = refresh(&house, &first).await.json();
    house.clock.advance(Duration::from_millis(9_999));
    refresh(&house, &first).await.problem(401, "unauthorized");
    assert_eq!(status(&house, &second["token"]).await, 200);
    assert_eq!(refresh(&house, &text(&second["refresh_token"])).await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_that_comes_again_later_ends_its_session() {
    let house = House::lived_in().await;
    let other = house.login("bob").await;
    let first = house.login("bob").await;
    let second = refresh(&house, &text(&first["refresh_token"])).await.json();
    house.clock.advance(Duration::from_secs(10));
    refresh(&house, &text(&first["refresh_token"])).await.problem(401, "unauthorized");
    for pair in [&first, &second] {
        assert_eq!(status(&house, &pair["token"]).await, 401);
    }
    let over = refresh(&house, &text(&second["refresh_token"])).await;
    over.problem(401, "unauthorized");
    assert_eq!(status(&house, &other["token"]).await, 200, "no other session ends");
    let ann = house.token("ann").await;
    let events = house.get("/api/v1/events?kind=refresh_reused").bearer(&ann).send().await;
    assert_eq!(events.json()["total"], 1, "{}", events.text());
}

#[tokio::test]
async fn a_refresh_token_of_long_ago_ends_its_session_also_right_after_a_rotation() {
    let house = House::lived_in().await;
    let first = text(&house.login("bob").await["refresh_token"]);
    let second = text(&refresh(&house, &first).await.json()["refresh_token"]);
    house.clock.advance(Duration::from_secs(3600));
    let third = refresh(&house, &second).await.json();
    refresh(&house, &first).await.problem(401, "unauthorized");
    assert_eq!(status(&house, &third["token"]).await, 401);
}

#[tokio::test]
async fn an_account_has_a_hundred_sessions_at_most_and_the_oldest_unused_goes() {
    let house = House::lived_in().await;
    let mut tokens = Vec::new();
    for _ in 0..100 {
        tokens.push(house.login("bob").await);
        house.clock.advance(Duration::from_secs(1));
    }
    house.clock.advance(Duration::from_secs(3600));
    assert_eq!(status(&house, &tokens[0]["token"]).await, 200);
    house.core.settle().await.expect("notes are written");
    let newest = house.login("bob").await;
    assert_eq!(status(&house, &newest["token"]).await, 200);
    assert_eq!(status(&house, &tokens[0]["token"]).await, 200, "the oldest is in use");
    assert_eq!(status(&house, &tokens[1]["token"]).await, 401);
    assert_eq!(status(&house, &tokens[2]["token"]).await, 200);
    let ask = house.get("/api/v1/user/sessions").bearer(&text(&newest["token"]));
    let sessions = ask.send().await.json();
    assert_eq!(sessions["data"].as_array().map(Vec::len), Some(100));
}

#[tokio::test]
async fn who_signs_in_again_and_again_ends_no_session_that_is_in_use() {
    let house = House::lived_in().await;
    let used = house.login("bob").await;
    let left = house.login("bob").await;
    let mut last = left.clone();
    for round in 0..250 {
        house.clock.advance(Duration::from_secs(2));
        last = house.login("bob").await;
        assert_eq!(status(&house, &used["token"]).await, 200, "{round}");
        if round % 30 == 29 {
            house.core.settle().await.expect("notes are written");
        }
    }
    assert_eq!(status(&house, &left["token"]).await, 401);
    assert_eq!(status(&house, &last["token"]).await, 200);
}

#[tokio::test]
async fn an_open_stream_is_a_session_in_use() {
    let house = House::lived_in().await;
    let token = house.token("ann").await;
    let opened = house.get("/api/v1/events/stream").bearer(&token).open().await;
    let reading = tokio::spawn(opened.into_body().into_bytes());
    house.clock.advance(Duration::from_secs(3600));
    let mut used = 0;
    for _ in 0..400 {
        house.core.settle().await.expect("notes are written");
        let path = house.folder().join("gatelodge.db");
        let database = rusqlite::Connection::open(path).expect("the database");
        let used_since = "SELECT count(*) FROM sessions WHERE last_seen_at >= created_at + 3600000";
        used = database.query_row(used_since, [], |row| row.get(0)).expect("a count");
        if used == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(used, 1);
    house.stop();
    reading.await.expect("no panic").expect("an end");
}

#[tokio::test]
async fn the_newest_session_lives_however_many_begin_at_one_moment() {
    let house = House::lived_in().await;
    for _ in 0..130 {
        let tokens = house.login("bob").await;
        assert_eq!(status(&house, &tokens["token"]).await, 200);
    }
}

#[tokio::test]
async fn no_carrier_passes_for_another() {
    let house = House::lived_in().await;
    let carried = Carried::by_bob(&house).await;
    let cookie = carried.cookie.strip_prefix("session=").expect("its name").to_owned();
    let user = || house.get("/api/v1/user");
    let named = |name: &str, value: &str| user().header("cookie", &format!("{name}={value}"));
    for ask in [
        user().bearer(&carried.refresh),
        user().bearer(&cookie),
        user().header("x-api-key", &carried.token),
        user().header("x-api-key", &cookie),
        named("session", &carried.token),
        named("session", &carried.key),
        named("__Host-session", &cookie),
        named("sessionid", &cookie),
        named("accessToken", &carried.token),
        user().basic("bob", &carried.token),
        user().basic("bob", &cookie),
    ] {
        ask.send().await.problem(401, "unauthorized");
        if let Some(client) = house.core.throttle().list().first() {
            house.core.throttle().clear(client.subject);
        }
    }
    for other in [&carried.token, &carried.key, &cookie] {
        refresh(&house, other).await.problem(401, "unauthorized");
    }
    let elsewhere = House::lived_in().await;
    for ask in carried.of_sessions(&elsewhere) {
        ask.send().await.problem(401, "unauthorized");
    }
    refresh(&elsewhere, &carried.refresh).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn two_cookie_headers_are_read_as_one() {
    let house = House::lived_in().await;
    let carried = Carried::by_bob(&house).await;
    let me = house.get("/api/v1/user").header("cookie", "theme=dark; accessToken=x");
    let me = me.also("cookie", carried.cookie.as_bytes()).send().await;
    assert_eq!(me.status, 200);
}

#[tokio::test]
async fn a_restart_keeps_what_lives_and_what_has_ended() {
    let house = House::lived_in().await;
    let carried = Carried::by_bob(&house).await;
    let over = house.login("bob").await;
    let out = house.post("/api/v1/auth/logout").bearer(&text(&over["token"])).send().await;
    assert_eq!(out.status, 200);
    let house = house.restarted(|_| {}).await;
    for ask in carried.asks(&house) {
        assert_eq!(ask.send().await.status, 200);
    }
    assert_eq!(refresh(&house, &carried.refresh).await.status, 200);
    assert_eq!(status(&house, &over["token"]).await, 401);
    let answer = refresh(&house, &text(&over["refresh_token"])).await;
    answer.problem(401, "unauthorized");
}

#[test]
fn a_killed_server_remembers_who_was_signed_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let body = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
    assert_eq!(server.json("POST", "/api/v1/setup/initialize", "", &body).status, 201);
    let body = json!({"username": "ann", "password": PASSWORD});
    let login = || server.json("POST", "/api/v1/auth/login", "", &body).json();
    let (stays, goes) = (text(&login()["token"]), text(&login()["token"]));
    let none = Value::Null;
    assert_eq!(server.json("POST", "/api/v1/auth/logout", &goes, &none).status, 200);
    server.kill();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.json("GET", "/api/v1/user", &stays, &none).status, 200);
    assert_eq!(server.json("GET", "/api/v1/user", &goes, &none).status, 401);
    let log = server.log();
    assert!(!log.contains(PASSWORD) && !log.contains(&stays) && !log.contains(&goes), "{log}");
}

/// How passwords are stored just now.
fn stored_hash(house: &House) -> String {
    let file = rusqlite::Connection::open(house.database()).expect("the database");
    let hash =
        file.query_row("SELECT password_hash FROM accounts WHERE username = 'bob'", [], |row| {
            row.get(0)
        });
    hash.expect("a hash")
}

#[tokio::test]
async fn an_outdated_hash_is_replaced_at_the_next_sign_in() {
    let house = House::lived_in().await;
    let weak = stored_hash(&house);
    assert!(weak.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{weak}");
    let kept = house.login("bob").await;
    assert_eq!(stored_hash(&house), weak, "a hash of the day is left alone");

    let house = house.restarted(|plan| plan.settings.hash.memory = 128).await;
    let body = json!({"username": "bob", "password": "Wrong-tree-7"});
    house.post("/api/v1/auth/login").json(&body).send().await.problem(401, "unauthorized");
    assert_eq!(stored_hash(&house), weak);
    house.login("bob").await;
    assert!(stored_hash(&house).starts_with("$argon2id$v=19$m=128,t=1,p=1$"));
    assert_eq!(status(&house, &kept["token"]).await, 200, "nobody is signed out by it");

    let house = house.restarted(|plan| plan.settings.hash.kind = HashKind::Bcrypt).await;
    house.login("bob").await;
    assert!(stored_hash(&house).starts_with("$2b$12$"));
    let house = house.restarted(|_| {}).await;
    house.login("bob").await;
    assert!(stored_hash(&house).starts_with("$argon2id$"));
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_signs_in_while_a_hash_is_replaced_gets_in() {
    let house = House::lived_in().await;
    let house = house.restarted(|plan| plan.settings.hash.memory = 128).await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let login = || house.post("/api/v1/auth/login").json(&body).send();
    let all = join_all((0..8).map(|_| login())).await;
    assert!(all.iter().all(|answer| answer.status == 200));
    assert!(house.core.throttle().list().is_empty());
}

#[tokio::test]
async fn cookies_are_bound_to_https_where_there_is_https() {
    let house = House::lived_in_with(|plan| {
        plan.http.surroundings.trusted_proxies = vec!["10.0.0.1/32".parse().expect("a network")];
    });
    let house = house.await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let sign_in = || house.post("/api/v1/auth/session").json(&body);
    let plain = |name: &str| format!("{name}=; HttpOnly; Path=/; SameSite=Lax; Max-Age=2592000");
    let shape = |answer: &Answer| {
        let set = answer.header("set-cookie");
        let (name, rest) = set.split_once('=').expect("a cookie");
        format!("{name}={}", &rest[rest.find(';').expect("attributes")..])
    };
    let answer = sign_in().send().await;
    assert_eq!(shape(&answer), plain("session"));
    let answer = sign_in().header("x-forwarded-proto", "https").send().await;
    assert_eq!(shape(&answer), plain("session"), "anybody can say that");
    let answer = sign_in().from("10.0.0.1").header("x-forwarded-proto", "https").send().await;
    assert_eq!(shape(&answer), plain("__Host-session") + "; Secure");
    assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");
    let cookie = cookie_of(&answer);
    let user = || house.get("/api/v1/user").header("cookie", &cookie);
    let me = user().from("10.0.0.1").header("x-forwarded-proto", "https").send().await;
    assert_eq!(me.status, 200);
    user().send().await.problem(401, "unauthorized");
    let out = house.delete("/api/v1/auth/session").header("cookie", &cookie).from("10.0.0.1");
    let out = out.header("x-forwarded-proto", "https").send().await;
    let gone = "__Host-session=; HttpOnly; Path=/; SameSite=Lax; Max-Age=0; Secure";
    assert_eq!((out.status, out.header("set-cookie")), (200, gone.to_owned()));
}

#[tokio::test]
async fn a_public_url_of_https_makes_every_cookie_secure() {
    let house = House::lived_in_with(|plan| {
        plan.http.surroundings.public_url = Some("https://gate.example.org".to_owned());
    });
    let house = house.await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let answer = house.post("/api/v1/auth/session").json(&body).send().await;
    let set = answer.header("set-cookie");
    assert!(set.starts_with("__Host-session=") && set.ends_with("; Secure"), "{set}");
    let me = house.get("/api/v1/user").header("cookie", &cookie_of(&answer)).send().await;
    assert_eq!(me.status, 200);
}
