//! Hostile cases: half-signed-in and stale. What somebody carries ends with what it stands on.

use std::{task::Poll, time::Duration};

use futures_util::{future::join, poll};
use gatelodge::domain::caller::Caller;
use serde_json::{Value, json};

use super::house::{Ask, House, PASSWORD, text};

const PIN: &str = "2580";
const NEW_PASSWORD: &str = "Chestnut-tree-8";

/// Everything that somebody can carry, and whether it still opens the door.
struct Carriers {
    name: String,
    token: String,
    refresh: String,
    cookie: String,
    key: String,
}

impl Carriers {
    async fn of(house: &House, name: &str) -> Self {
        let tokens = house.login(name).await;
        let token = text(&tokens["token"]);
        let pin = json!({"current_password": PASSWORD, "pin": PIN});
        let set = house.post("/api/v1/user/pin").bearer(&token).json(&pin).send().await;
        assert_eq!(set.status, 200, "{}", set.text());
        let knock = json!({"username": name, "pin": PIN});
        let session = house.post("/api/v1/auth/session").json(&knock).send().await;
        let cookie = session.header("set-cookie");
        let key = house.post("/api/v1/api-keys").bearer(&token).json(&json!({"name": "script"}));
        let carriers = Self {
            name: name.to_owned(),
            refresh: text(&tokens["refresh_token"]),
            cookie: cookie.split(';').next().expect("a cookie").to_owned(),
            key: text(&key.send().await.json()["key"]),
            token,
        };
        // Each of them works, and Basic is remembered from here on.
        assert_eq!(carriers.try_all(house).await, ["token", "cookie", "key", "basic"]);
        carriers
    }

    /// Which of those that can be tried twice are still good.
    async fn try_all(&self, house: &House) -> Vec<&'static str> {
        let me = || house.get("/api/v1/user");
        let answers = [
            ("token", me().bearer(&self.token).send().await),
            ("cookie", me().header("cookie", &self.cookie).send().await),
            ("key", me().bearer(&self.key).send().await),
            ("basic", me().basic(&self.name, PASSWORD).send().await),
        ];
        let good = answers.iter().filter(|(_, answer)| match answer.status {
            200 => true,
            401 => false,
            other => panic!("{other}: {}", answer.text()),
        });
        good.map(|(what, _)| *what).collect()
    }

    async fn refresh_lives(&self, house: &House) -> bool {
        let body = json!({"refresh_token": self.refresh});
        house.post("/api/v1/auth/refresh").json(&body).send().await.status == 200
    }

    async fn signs_in(&self, house: &House, proof: Value) -> u16 {
        let mut knock = json!({"username": self.name});
        knock.as_object_mut().expect("an object").extend(proof.as_object().expect("one").clone());
        house.post("/api/v1/auth/session").json(&knock).send().await.status
    }
}

async fn change(house: &House, id: &str, change: Value) {
    let admin = house.token("ann").await;
    let path = format!("/api/v1/users/{id}");
    let changed = house.patch(&path).bearer(&admin).json(&change).send().await;
    assert_eq!(changed.status, 200, "{}", changed.text());
}

async fn id_of(house: &House, name: &str) -> String {
    text(&house.login(name).await["user"]["id"])
}

/// Sends it and hangs up as soon as the database holds what it does, before it is told so.
async fn hang_up(house: &House, ask: Ask<'_>) {
    let database = rusqlite::Connection::open(house.database()).expect("the database");
    let events = || -> i64 {
        let count = "SELECT count(*) FROM events";
        database.query_row(count, [], |row| row.get(0)).expect("a count")
    };
    let before = events();
    let mut answer = Box::pin(ask.send());
    std::future::poll_fn(|context| match events() > before {
        true => Poll::Ready(()),
        false => answer.as_mut().poll(context).map(drop),
    })
    .await;
    drop(answer);
    assert!(events() > before, "it was done");
}

#[tokio::test]
async fn a_disabled_account_loses_every_carrier_at_the_next_request() {
    let house = House::lived_in().await;
    let bob = Carriers::of(&house, "bob").await;
    let id = id_of(&house, "bob").await;
    change(&house, &id, json!({"status": "disabled"})).await;
    assert!(bob.try_all(&house).await.is_empty());
    assert!(!bob.refresh_lives(&house).await);
    assert_eq!(bob.signs_in(&house, json!({"pin": PIN})).await, 401);
    assert_eq!(bob.signs_in(&house, json!({"password": PASSWORD})).await, 401);

    // What ended stays ended; only what is not bound to a session works again.
    change(&house, &id, json!({"status": "active"})).await;
    house.clock.advance(std::time::Duration::from_secs(301));
    assert_eq!(bob.try_all(&house).await, ["key", "basic"]);
    assert!(!bob.refresh_lives(&house).await);
}

#[tokio::test]
async fn a_deleted_account_loses_every_carrier_at_the_next_request() {
    let house = House::lived_in().await;
    let bob = Carriers::of(&house, "bob").await;
    let (id, admin) = (id_of(&house, "bob").await, house.token("ann").await);
    let gone = house.delete(&format!("/api/v1/users/{id}")).bearer(&admin).send().await;
    assert_eq!(gone.status, 204);
    assert!(bob.try_all(&house).await.is_empty());
    assert!(!bob.refresh_lives(&house).await);
}

#[tokio::test]
async fn a_demoted_account_loses_its_sessions_and_its_keys_lose_their_rights() {
    let house = House::lived_in().await;
    house.add("carl", "admin").await;
    let carl = Carriers::of(&house, "carl").await;
    let users = async |key: &str| house.get("/api/v1/users").bearer(key).send().await.status;
    assert_eq!(users(&carl.key).await, 200);
    let id = id_of(&house, "carl").await;
    change(&house, &id, json!({"role": "reader"})).await;
    assert_eq!(carl.try_all(&house).await, ["key", "basic"]);
    assert!(!carl.refresh_lives(&house).await);
    assert_eq!(users(&carl.key).await, 403);
    let basic = house.get("/api/v1/users").basic("carl", PASSWORD).send().await;
    basic.problem(403, "forbidden");
}

#[tokio::test]
async fn a_role_that_shrinks_takes_its_rights_from_sessions_that_go_on() {
    let house = House::lived_in().await;
    let admin = house.token("ann").await;
    let role = json!({"name": "helpers", "permissions": ["users-read"]});
    house.post("/api/v1/roles").bearer(&admin).json(&role).send().await;
    house.add("carl", "helpers").await;
    let token = house.token("carl").await;
    assert_eq!(house.get("/api/v1/users").bearer(&token).send().await.status, 200);
    let shrunk = house.put("/api/v1/roles/helpers").bearer(&admin);
    assert_eq!(shrunk.json(&json!({"permissions": []})).send().await.status, 200);
    house.get("/api/v1/users").bearer(&token).send().await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_changed_password_ends_other_sessions_refresh_tokens_and_remembered_basic() {
    let house = House::lived_in().await;
    let bob = Carriers::of(&house, "bob").await;
    let asking = house.login("bob").await;
    let token = text(&asking["token"]);
    let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let changed = house.post("/api/v1/user/password").bearer(&token).json(&body).send().await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(bob.try_all(&house).await, ["key"]);
    assert!(!bob.refresh_lives(&house).await);
    assert_eq!(house.get("/api/v1/user").bearer(&token).send().await.status, 200);

    // By somebody else's hand the asking session ends as well.
    let id = text(&asking["user"]["id"]);
    change(&house, &id, json!({"password": "Hazel-bush-9"})).await;
    house.get("/api/v1/user").bearer(&token).send().await.problem(401, "unauthorized");
}

#[tokio::test]
async fn who_hangs_up_on_signing_out_is_signed_out_all_the_same() {
    let house = House::lived_in().await;
    let bob = Carriers::of(&house, "bob").await;
    let (asking, other) = (house.token("bob").await, house.token("bob").await);
    hang_up(&house, house.post("/api/v1/auth/logout").bearer(&bob.token)).await;
    assert_eq!(bob.try_all(&house).await, ["cookie", "key", "basic"]);

    let me = async |token: &str| house.get("/api/v1/user").bearer(token).send().await.status;
    assert_eq!((me(&asking).await, me(&other).await), (200, 200));
    let sessions = house.get("/api/v1/user/sessions").bearer(&asking).send().await.json();
    let sessions = sessions["data"].as_array().expect("a list");
    let pages = sessions.iter().find(|one| one["dialect"] == "pages").expect("the cookie's");
    let path = format!("/api/v1/user/sessions/{}", text(&pages["id"]));
    hang_up(&house, house.delete(&path).bearer(&asking)).await;
    assert_eq!(bob.try_all(&house).await, ["key", "basic"]);

    let keys = house.get("/api/v1/api-keys").bearer(&asking).send().await.json();
    let path = format!("/api/v1/api-keys/{}", text(&keys["data"][0]["id"]));
    hang_up(&house, house.delete(&path).bearer(&asking)).await;
    assert_eq!(bob.try_all(&house).await, ["basic"]);

    let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    hang_up(&house, house.post("/api/v1/user/password").bearer(&asking).json(&body)).await;
    assert!(bob.try_all(&house).await.is_empty());
    assert_eq!((me(&asking).await, me(&other).await), (200, 401));
}

#[tokio::test]
async fn who_hangs_up_on_taking_rights_away_has_taken_them_all_the_same() {
    let house = House::lived_in().await;
    let admin = house.token("ann").await;
    let role = json!({"name": "helpers", "permissions": ["users-read"]});
    house.post("/api/v1/roles").bearer(&admin).json(&role).send().await;
    let id = house.add("carl", "helpers").await;
    let carl = Carriers::of(&house, "carl").await;
    let users = async || house.get("/api/v1/users").bearer(&carl.token).send().await.status;
    assert_eq!(users().await, 200);
    let shrunk = house.put("/api/v1/roles/helpers").bearer(&admin);
    hang_up(&house, shrunk.json(&json!({"permissions": []}))).await;
    assert_eq!(users().await, 403);

    let disabled = house.patch(&format!("/api/v1/users/{id}")).bearer(&admin);
    hang_up(&house, disabled.json(&json!({"status": "disabled"}))).await;
    assert!(carl.try_all(&house).await.is_empty());
    assert!(!carl.refresh_lives(&house).await);
}

#[tokio::test]
async fn who_hangs_up_on_basic_is_told_of_all_the_same() {
    let house = House::lived_in().await;
    let (admin, bob) = (house.token("ann").await, house.token("bob").await);
    let come = || house.get("/api/v1/user").from("203.0.113.7").basic("bob", PASSWORD).send();
    let told = async || {
        let path = "/api/v1/events?kind=signed_in";
        let all = house.get(path).bearer(&admin).send().await.json();
        let all = all["data"].as_array().expect("events").clone();
        all.iter().filter(|event| event["detail"] == "basic").count()
    };
    // One holds the database, one waits for it, and the third waits for the second.
    let database = rusqlite::Connection::open(house.database()).expect("the database");
    database.execute_batch("BEGIN IMMEDIATE").expect("held");
    let mut second = Box::pin(house.post("/api/v1/auth/logout").bearer(&bob).send());
    for _ in 0..20 {
        assert!(poll!(&mut second).is_pending());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut third = Box::pin(come());
    let hashes = async || {
        let figures = house.core.figures(&Caller::operator()).await.expect("figures");
        figures.lanes.hashes
    };
    let before = hashes().await;
    let mut looks_after = 0;
    while looks_after < 20 {
        assert!(poll!(&mut third).is_pending());
        looks_after += u32::from(hashes().await > before);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(third);
    database.execute_batch("ROLLBACK").expect("given back");
    assert_eq!(second.await.status, 200);
    assert_eq!(come().await.status, 200);
    let soon = async {
        while told().await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), soon).await.expect("it is told");
}

#[tokio::test]
async fn ended_sessions_and_revoked_keys_stay_dead_after_a_restart() {
    let house = House::lived_in().await;
    let (dead, live) = (Carriers::of(&house, "bob").await, Carriers::of(&house, "ann").await);
    house.post("/api/v1/auth/logout").bearer(&dead.token).send().await;
    house.delete("/api/v1/auth/session").header("cookie", &dead.cookie).send().await;
    let bob = house.token("bob").await;
    let keys = house.get("/api/v1/api-keys").bearer(&bob).send().await.json();
    let path = format!("/api/v1/api-keys/{}", text(&keys["data"][0]["id"]));
    assert_eq!(house.delete(&path).bearer(&bob).send().await.status, 204);

    let house = house.restarted(|_| {}).await;
    assert_eq!(dead.try_all(&house).await, ["basic"]);
    assert!(!dead.refresh_lives(&house).await);
    assert_eq!(live.try_all(&house).await, ["token", "cookie", "key", "basic"]);
    assert!(live.refresh_lives(&house).await);
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_session_and_with_the_server() {
    let house = House::lived_in().await;
    let stream = async |token: &str| {
        let opened = house.get("/api/v1/events/stream").bearer(token).open().await;
        assert_eq!(opened.status(), 200);
        opened.into_body()
    };
    let (ended, kept) = (house.token("ann").await, house.token("ann").await);
    let (ending, staying) = (stream(&ended).await, stream(&kept).await);
    let out = house.post("/api/v1/auth/logout").bearer(&ended).send().await;
    assert_eq!(out.status, 200);
    ending.into_bytes().await.expect("an end");
    house.stop();
    staying.into_bytes().await.expect("an end");
}

#[tokio::test]
async fn a_downloaded_copy_is_whole_and_leaves_nothing_behind() {
    let house = House::lived_in().await;
    let admin = house.token("ann").await;
    let copy = house.post("/api/v1/system/backup").bearer(&admin).send().await;
    assert_eq!(copy.status, 200);
    let path = house.folder().join("copy.db");
    std::fs::write(&path, &copy.body).expect("written");
    let database = rusqlite::Connection::open(&path).expect("a database");
    let count = "SELECT count(*) FROM accounts";
    let people: i64 = database.query_row(count, [], |row| row.get(0)).expect("a count");
    assert_eq!(people, 2);
    let files = std::fs::read_dir(house.folder()).expect("a folder");
    let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
    let names: Vec<String> = names.filter(|name| name.contains("gatelodge-copy")).collect();
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn who_is_signed_out_while_others_have_their_turn_gets_no_copy() {
    let house = House::lived_in().await;
    let (first, second) = (house.token("ann").await, house.token("ann").await);
    let copy = |token: &str| Box::pin(house.post("/api/v1/system/backup").bearer(token).send());
    for token in [&first, &second] {
        assert_eq!(house.get("/api/v1/user").bearer(token).send().await.status, 200);
    }
    let (mut made, mut waits) = (copy(&first), copy(&second));
    // The second one waits until the first has its copy and somebody asks for it again.
    assert!(poll!(&mut made).is_pending() && poll!(&mut waits).is_pending());
    let out = house.post("/api/v1/auth/logout").bearer(&second).send().await;
    assert_eq!(out.status, 200);
    let (made, waited) = join(made, waits).await;
    assert_eq!(made.status, 200);
    waited.problem(401, "unauthorized");
}
