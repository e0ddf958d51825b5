//! Hostile cases: what is on its way while the ground below it changes. Whoever waits for a hash, for
//! the writer or for a provider is asked again when it is written.

use std::time::Duration;

use gatelodge::domain::caller::Caller;
use poem::http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    house::{Answer, Ask, House, PASSWORD, text},
    oidc_server::{Browser, Provider, person},
};

const RESET: &str = "Chestnut-tree-8";
const THIEFS: &str = "Hazel-bush-9";
const IDENTITIES: &str = "/api/v1/user/identities";

/// What an admin's reset does to the account of `bob`: the password of `cyd` is [`RESET`].
const ANOTHER_PASSWORD: &str = "UPDATE accounts SET password_hash =
    (SELECT password_hash FROM accounts WHERE username = 'cyd') WHERE username = 'bob';";
/// The other half of it.
const SESSIONS_END: &str = "UPDATE sessions SET ended_at = created_at + 1 WHERE account_id =
    (SELECT id FROM accounts WHERE username = 'bob');";

async fn house() -> House {
    let house = House::lived_in().await;
    add_cyd(&house).await;
    house
}

async fn add_cyd(house: &House) {
    let cyd = json!({"username": "cyd", "password": RESET});
    let made = house.post("/api/v1/users").bearer(&house.token("ann").await).json(&cyd).send();
    assert_eq!(made.await.status, 201);
}

/// Nothing is written until this one commits.
fn hold(house: &House) -> Connection {
    let file = Connection::open(house.database()).expect("the database");
    file.execute_batch("BEGIN IMMEDIATE").expect("the writer's place");
    file
}

/// Waits until it is so.
async fn until(reached: impl AsyncFn() -> bool) {
    for _ in 0..4000 {
        if reached().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came so far");
}

async fn hashed(house: &House) -> u64 {
    house.core.figures(&Caller::operator()).await.expect("figures").lanes.hashes
}

/// Sends what hashes so often before it writes, and does `change` between the last hash and that.
async fn overtaken(house: &House, asked: Ask<'_>, hashes: u64, change: &str) -> Answer {
    let file = hold(house);
    let wanted = hashed(house).await + hashes;
    let change = async {
        until(async || hashed(house).await >= wanted).await;
        file.execute_batch(&format!("{change} COMMIT;")).expect("a change");
    };
    tokio::join!(asked.send(), change).0
}

/// The whole answer of a sign-in.
async fn login(house: &House, password: &str) -> Value {
    let body = json!({"username": "bob", "password": password});
    house.post("/api/v1/auth/login").json(&body).send().await.json()
}

async fn signs_in(house: &House, name: &str, password: &str) -> bool {
    let body = json!({"username": name, "password": password});
    house.post("/api/v1/auth/login").json(&body).send().await.status == 200
}

fn thiefs_change() -> Value {
    json!({"current_password": PASSWORD, "new_password": THIEFS})
}

#[tokio::test]
async fn a_reset_by_an_admin_is_not_overwritten_by_a_change_that_was_on_its_way() {
    let house = house().await;
    let reset = format!("{ANOTHER_PASSWORD} {SESSIONS_END}");
    let thief = house.token("bob").await;
    let change = house.post("/api/v1/user/password").bearer(&thief).json(&thiefs_change());
    overtaken(&house, change, 2, &reset).await.problem(401, "unauthorized");
    assert!(signs_in(&house, "bob", RESET).await && !signs_in(&house, "bob", THIEFS).await);
}

#[tokio::test]
async fn a_change_of_password_that_was_on_its_way_counts_only_if_nothing_changed_meanwhile() {
    for (change, status) in [("", 200), (ANOTHER_PASSWORD, 422), (SESSIONS_END, 401)] {
        let house = house().await;
        let token = house.token("bob").await;
        let asked = house.post("/api/v1/user/password").bearer(&token).json(&thiefs_change());
        let answer = overtaken(&house, asked, 2, change).await;
        assert_eq!(answer.status, status, "{change}: {}", answer.text());
        assert_eq!(signs_in(&house, "bob", THIEFS).await, status == 200, "{change}");
    }
    // Where the password comes with the request, it has to be right to the end.
    let house = house().await;
    let asked = house.post("/api/v1/user/password").basic("bob", PASSWORD).json(&thiefs_change());
    overtaken(&house, asked, 3, ANOTHER_PASSWORD).await.problem(401, "unauthorized");
    assert!(signs_in(&house, "bob", RESET).await);
}

#[tokio::test]
async fn what_has_nothing_to_do_with_the_password_stops_no_change_of_it() {
    let house = house().await;
    let token = house.token("bob").await;
    let asked = house.post("/api/v1/user/password").bearer(&token).json(&thiefs_change());
    let news = "UPDATE accounts SET display_name = 'Robert', last_login_at = created_at + 1,
        updated_at = created_at + 1, pin_hash = NULL WHERE username = 'bob';";
    assert_eq!(overtaken(&house, asked, 2, news).await.status, 200);
    assert!(signs_in(&house, "bob", THIEFS).await);
    let user = login(&house, THIEFS).await["user"].clone();
    assert_eq!(user["display_name"], "Robert", "and undoes none of it");
}

#[tokio::test]
async fn a_pin_and_an_address_that_were_on_their_way_are_not_set_after_a_reset() {
    let pin = json!({"current_password": PASSWORD, "pin": "2580"});
    let email = json!({"current_password": PASSWORD, "email": "thief@example.net"});
    for (path, body, hashes) in [("/api/v1/user/pin", pin, 2), ("/api/v1/user/email", email, 1)] {
        for (change, status) in [(ANOTHER_PASSWORD, 422), (SESSIONS_END, 401), ("", 200)] {
            let house = house().await;
            let token = house.token("bob").await;
            let asked = house.post(path).bearer(&token).json(&body);
            let answer = overtaken(&house, asked, hashes, change).await;
            assert_eq!(answer.status, status, "{path}, {change}: {}", answer.text());
            let file = Connection::open(house.database()).expect("the database");
            let set: bool = file
                .query_row(
                    "SELECT EXISTS (SELECT 1 FROM accounts WHERE pin_hash IS NOT NULL)
                         OR EXISTS (SELECT 1 FROM one_time_tokens)",
                    [],
                    |row| row.get(0),
                )
                .expect("an answer");
            assert_eq!(set, status == 200, "{path}, {change}");
        }
    }
}

#[tokio::test]
async fn an_admin_who_was_signed_out_meanwhile_resets_nobody() {
    let house = house().await;
    let (token, id) = (house.token("ann").await, text(&house.login("bob").await["user"]["id"]));
    let gone = SESSIONS_END.replace("'bob'", "'ann'");
    let path = format!("/api/v1/users/{id}");
    let asked = house.patch(&path).bearer(&token).json(&json!({"password": THIEFS}));
    overtaken(&house, asked, 1, &gone).await.problem(401, "unauthorized");
    assert!(signs_in(&house, "bob", PASSWORD).await);
    let token = house.token("ann").await;
    let asked = house.post(&format!("{path}/pin")).bearer(&token).json(&json!({"pin": "2580"}));
    overtaken(&house, asked, 1, &gone).await.problem(401, "unauthorized");
}

/// Another role, as by an admin; whether that ends sessions is another matter.
const DEMOTED: &str = "UPDATE accounts SET role = 'reader' WHERE username = 'ann';";

/// What may become of `ann`, an admin who came by Basic, and what her deed is answered then.
fn fates() -> [(String, u16); 6] {
    let fate = |change: &str, status| {
        (format!("UPDATE accounts SET {change} WHERE username = 'ann';"), status)
    };
    [
        (ANOTHER_PASSWORD.replace("'bob'", "'ann'"), 401),
        fate("status = 'disabled'", 401),
        fate("epoch = 'another'", 401),
        (DEMOTED.to_owned(), 403),
        fate("display_name = 'Anna'", 200),
        (String::new(), 200),
    ]
}

#[tokio::test]
async fn an_admin_by_basic_who_is_no_longer_what_they_were_resets_nobody() {
    for (change, status) in fates() {
        let house = house().await;
        let path = format!("/api/v1/users/{}", text(&house.login("bob").await["user"]["id"]));
        // Told of, and remembered: the only hash to wait for is the new one.
        let known = house.get("/api/v1/user").basic("ann", PASSWORD).send().await;
        assert_eq!(known.status, 200);
        let body = json!({"password": THIEFS});
        let asked = house.patch(&path).basic("ann", PASSWORD).json(&body);
        let answer = overtaken(&house, asked, 1, &change).await;
        assert_eq!(answer.status, status, "{change}: {}", answer.text());
        assert_eq!(signs_in(&house, "bob", THIEFS).await, status == 200, "{change}");
    }
}

#[tokio::test]
async fn an_admin_whose_rights_went_meanwhile_resets_nobody() {
    let house = house().await;
    let (token, id) = (house.token("ann").await, text(&house.login("bob").await["user"]["id"]));
    let path = format!("/api/v1/users/{id}");
    let asked = house.patch(&path).bearer(&token).json(&json!({"password": THIEFS}));
    overtaken(&house, asked, 1, DEMOTED).await.problem(403, "forbidden");
    assert!(signs_in(&house, "bob", PASSWORD).await);
}

#[tokio::test]
async fn rights_that_went_meanwhile_stop_nobody_at_their_own_account() {
    let house = house().await;
    let token = house.token("ann").await;
    let asked = house.post("/api/v1/user/password").bearer(&token).json(&thiefs_change());
    assert_eq!(overtaken(&house, asked, 2, DEMOTED).await.status, 200);
}

#[tokio::test]
async fn who_was_signed_out_meanwhile_leaves_nothing_behind() {
    let house = house().await;
    let bob = format!("/api/v1/users/{}", text(&house.login("bob").await["user"]["id"]));
    let gone = SESSIONS_END.replace("'bob'", "'ann'");
    let role = json!({"name": "helpers", "description": "", "permissions": []});
    for (method, path, body) in [
        (Method::POST, "/api/v1/api-keys".to_owned(), json!({"name": "for later"})),
        (Method::POST, "/api/v1/invitations".to_owned(), json!({"role": "admin"})),
        (Method::POST, format!("{bob}/reset-link"), json!({})),
        (Method::POST, "/api/v1/roles".to_owned(), role),
        (Method::DELETE, bob.clone(), Value::Null),
    ] {
        let token = house.token("ann").await;
        // Remembered from here on: only the deed itself can find out.
        assert_eq!(house.get("/api/v1/user").bearer(&token).send().await.status, 200);
        let asked = house.ask(method, &path).bearer(&token);
        let asked = if body.is_null() { asked } else { asked.json(&body) };
        let answer = overtaken(&house, asked, 0, &gone).await;
        assert_eq!(answer.status, 401, "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_key_that_was_revoked_or_narrowed_meanwhile_changes_nobody() {
    for (change, status) in
        [("revoked_at = 1", 401), ("expires_at = 1", 401), ("permissions = '[]'", 403), ("", 200)]
    {
        let house = house().await;
        let (ann, id) = (house.token("ann").await, text(&house.login("bob").await["user"]["id"]));
        let made = house.post("/api/v1/api-keys").bearer(&ann).json(&json!({"name": "k"})).send();
        let key = text(&made.await.json()["key"]);
        let known = async || house.get("/api/v1/user").bearer(&key).send().await.status;
        assert_eq!(known().await, 200);
        if !change.is_empty() {
            let file = Connection::open(house.database()).expect("the database");
            file.execute(&format!("UPDATE api_keys SET {change}"), []).expect("a change");
        }
        // Nobody has told this house yet: so it is for a request that was let in before the change.
        assert_eq!(known().await, 200);
        let changed = house.patch(&format!("/api/v1/users/{id}")).bearer(&key);
        let answer = changed.json(&json!({"display_name": "Mallory"})).send().await;
        assert_eq!(answer.status, status, "{change}: {}", answer.text());
    }
}

/// `bob` in a browser of his own, on the way to a provider that he wants to link.
async fn leaving<'a>(house: &'a House) -> (Browser<'a>, String) {
    let mut bob = Browser::new(house);
    let body = json!({"username": "bob", "password": PASSWORD});
    assert_eq!(bob.send(house.post("/api/v1/auth/session").json(&body)).await.status, 200);
    let body = json!({"provider": "home", "current_password": PASSWORD});
    let left = bob.send(house.post(IDENTITIES).json(&body)).await;
    assert_eq!(left.status, 200, "{}", left.text());
    (bob, text(&left.json()["location"]))
}

async fn linked(house: &House, password: &str) -> Value {
    let token = text(&login(house, password).await["token"]);
    house.get(IDENTITIES).bearer(&token).send().await.json()["data"].clone()
}

#[tokio::test]
async fn a_session_that_ended_meanwhile_links_nothing() {
    let provider = Provider::start().await;
    for (change, status, password) in
        [("", 302, PASSWORD), (SESSIONS_END, 400, PASSWORD), (ANOTHER_PASSWORD, 400, RESET)]
    {
        let house = House::lived_in_with(provider.plan("home")).await;
        add_cyd(&house).await;
        let (mut bob, location) = leaving(&house).await;
        let ticket = provider.approve(&location, &person("thief"));
        let (file, before) = (hold(&house), provider.asked("/token"));
        let change = async {
            until(async || provider.asked("/token") > before).await;
            file.execute_batch(&format!("{change} COMMIT;")).expect("a change");
        };
        let answer = tokio::join!(bob.come_back(&ticket), change).0;
        assert_eq!(answer.status, status, "{}", answer.text());
        let linked = linked(&house, password).await;
        assert_eq!(linked.as_array().map(Vec::is_empty), Some(status != 302), "{linked}");
    }
}

#[tokio::test]
async fn a_password_that_was_changed_on_the_way_to_a_provider_and_back_links_nothing() {
    let provider = Provider::start().await;
    let house = House::lived_in_with(provider.plan("home")).await;
    let (mut bob, location) = leaving(&house).await;
    let body = json!({"current_password": PASSWORD, "new_password": RESET});
    let changed = bob.send(house.post("/api/v1/user/password").json(&body)).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let answer = bob.come_back(&provider.approve(&location, &person("thief"))).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(linked(&house, RESET).await, json!([]));
}
