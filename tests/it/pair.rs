//! Pair: signing in and out, both schemes, the password (seed 002).

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::house::{Answer, House, PASSWORD, Server, text};

const LOGIN: &str = "/api/auth/login";
const REFRESH: &str = "/api/auth/refresh";
const LOGOUT: &str = "/api/logout";
const CHANGE: &str = "/api/change-password";
const NEW: &str = "Chestnut-tree-8";
const WRONG: &str = "Wrong-tree-9";
const HOUR: Duration = Duration::from_secs(3600);

/// Somebody's two tokens.
pub struct Pair {
    pub access: String,
    pub refresh: String,
}

impl Pair {
    #[track_caller]
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        Self { access: text(&body["access_token"]), refresh: text(&body["refresh_token"]) }
    }
}

async fn login(house: &House, name: &str, password: &str) -> Answer {
    house.post(LOGIN).json(&json!({"username": name, "password": password})).send().await
}

pub async fn sign_in(house: &House, name: &str) -> Pair {
    Pair::of(&login(house, name, PASSWORD).await)
}

async fn refresh(house: &House, token: &str) -> Answer {
    house.post(REFRESH).json(&json!({"refresh_token": token})).send().await
}

async fn change(house: &House, token: &str, current: &str, new: &str) -> Answer {
    let body = json!({"current_password": current, "new_password": new});
    house.post(CHANGE).bearer(token).json(&body).send().await
}

/// Asserts an error of pair's shape, and the challenge of a 401.
#[track_caller]
pub fn refused(answer: &Answer, status: u16, detail: &str) {
    let wanted = json!({"status": "error", "detail": detail}).to_string();
    assert_eq!((answer.status, answer.text()), (status, wanted));
    assert!(answer.header("content-type").starts_with("application/json"));
    let challenge = if status == 401 { "Bearer realm=\"Gatelodge\"" } else { "" };
    assert_eq!(answer.header("www-authenticate"), challenge);
}

#[track_caller]
fn done(answer: &Answer, message: &str) {
    let wanted = json!({"status": "success", "message": message}).to_string();
    assert_eq!((answer.status, answer.text()), (200, wanted));
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

/// Who is asked for without any right; an unknown path: 404 for the signed-in.
async fn knock(house: &House, token: &str) -> Answer {
    house.get("/api/nothing").bearer(token).send().await
}

#[tokio::test]
async fn a_sign_in_gives_two_tokens_as_compact_json() {
    let house = House::lived_in().await;
    for name in ["bob", "BOB", "bob@example.org"] {
        let answer = login(&house, name, PASSWORD).await;
        let pair = Pair::of(&answer);
        let wanted = format!(
            r#"{{"status":"success","access_token":"{}","refresh_token":"{}","token_type":"Bearer"}}"#,
            pair.access, pair.refresh
        );
        assert_eq!(answer.text(), wanted);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn the_claims_are_those_that_clients_read() {
    let house = House::with(|_| {}).await;
    let id = house.add("ann", "admin").await;
    let now = house.clock.now().seconds();
    let pair = sign_in(&house, "ann").await;
    let (access, refresh) = (claims(&pair.access), claims(&pair.refresh));
    for (claims, kind, life) in [(&access, "access", 8 * 3600), (&refresh, "refresh", 7 * 86_400)] {
        assert_eq!((&claims["sub"], &claims["uid"]), (&json!("ann"), &json!(id)));
        assert_eq!((&claims["type"], &claims["aud"]), (&json!(kind), &json!("pair")));
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(now), &json!(now + life)));
    }
    assert_ne!(text(&access["jti"]), text(&refresh["jti"]));
    assert_eq!(access["sid"], refresh["sid"]);
}

#[tokio::test]
async fn the_content_type_of_a_request_is_ignored() {
    let house = House::lived_in().await;
    let body = json!({"username": "bob", "password": PASSWORD, "remember": true}).to_string();
    for content_type in ["application/x-www-form-urlencoded", "text/plain", "nonsense", ""] {
        let answer = house.post(LOGIN).raw(content_type, body.clone()).send().await;
        assert_eq!(answer.status, 200, "{content_type:?}");
    }
}

#[tokio::test]
async fn a_bad_sign_in_is_refused_in_its_words() {
    let house = House::lived_in().await;
    for body in ["", "{", "[]", "[\"bob\",\"x\"]", "7", "{\"username\":7,\"password\":\"x\"}"] {
        let answer = house.post(LOGIN).raw("application/json", body).send().await;
        refused(&answer, 400, "invalid request body");
    }
    for body in [
        json!({}),
        json!({"username": "bob"}),
        json!({"password": PASSWORD}),
        json!({"username": "", "password": PASSWORD}),
        json!({"username": "bob", "password": ""}),
        json!({"username": null, "password": null}),
    ] {
        let answer = house.post(LOGIN).json(&body).send().await;
        refused(&answer, 400, "username and password required");
    }
    for (name, password) in [("bob", WRONG), ("nobody", PASSWORD), ("b:b", PASSWORD)] {
        refused(&login(&house, name, password).await, 401, "incorrect username or password");
    }
    let compressed = house.post(LOGIN).header("content-encoding", "gzip").send().await;
    refused(&compressed, 415, "unsupported media type");
    let large = house.post(LOGIN).raw("application/json", vec![b' '; 1024 * 1024 + 1]);
    refused(&large.send().await, 413, "request body too large");
}

#[tokio::test]
async fn an_account_that_may_not_sign_in_reads_like_a_wrong_password() {
    let house = House::lived_in().await;
    let ann = house.token("ann").await;
    let bob = sign_in(&house, "bob").await;
    let id = text(&claims(&bob.access)["uid"]);
    let path = format!("/api/v1/users/{id}");
    let edit = house.patch(&path).bearer(&ann).json(&json!({"status": "disabled"}));
    assert_eq!(edit.send().await.status, 200);
    refused(&login(&house, "bob", PASSWORD).await, 401, "incorrect username or password");
    refused(&knock(&house, &bob.access).await, 401, "token has been revoked");
    let basic = house.get("/api/nothing").basic("bob", PASSWORD).send().await;
    refused(&basic, 401, "invalid credentials");
    refused(&refresh(&house, &bob.refresh).await, 401, "invalid or expired refresh token");
}

#[tokio::test]
async fn the_sixth_wrong_try_has_to_wait_whatever_it_brings() {
    let house = House::lived_in().await;
    let live = sign_in(&house, "bob").await;
    for _ in 0..5 {
        let answer = login(&house, "bob", WRONG).await;
        refused(&answer, 401, "incorrect username or password");
    }
    house.clock.advance(Duration::from_secs(100));
    let wait = "too many failed attempts, try again later";
    for answer in [
        login(&house, "bob", PASSWORD).await,
        house.get("/api/nothing").basic("bob", PASSWORD).send().await,
    ] {
        refused(&answer, 429, wait);
        assert_eq!(answer.header("retry-after"), "200");
    }
    refused(&knock(&house, &live.access).await, 404, "no such page");
    let body = json!({"username": "bob", "password": PASSWORD});
    let elsewhere = house.post(LOGIN).json(&body).from("192.0.2.9").send().await;
    assert_eq!(elsewhere.status, 200);
    house.clock.advance(Duration::from_secs(200));
    assert_eq!(login(&house, "bob", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn wrong_current_passwords_and_basic_ones_count_and_bad_tokens_do_not() {
    let house = House::lived_in().await;
    let live = sign_in(&house, "bob").await;
    for _ in 0..20 {
        refused(&knock(&house, "a.b.c").await, 401, "invalid or expired token");
        refused(&refresh(&house, "a.b.c").await, 401, "invalid or expired refresh token");
    }
    for number in 0..4 {
        let wrong = house.get("/api/nothing").basic("bob", &format!("{WRONG}{number}")).send();
        refused(&wrong.await, 401, "invalid credentials");
    }
    refused(&change(&house, &live.access, WRONG, NEW).await, 400, "current password is incorrect");
    assert_eq!(login(&house, "bob", PASSWORD).await.status, 429);
    assert_eq!(change(&house, &live.access, PASSWORD, NEW).await.status, 429);
}

#[tokio::test]
async fn each_way_of_being_nobody_has_its_detail() {
    let house = House::lived_in().await;
    let bob = sign_in(&house, "bob").await;
    let native = house.token("bob").await;
    let with = |value: &str| house.get("/api/logs").header("authorization", value).send();
    for (value, detail) in [
        (String::new(), "missing Authorization header"),
        ("Bearer".to_owned(), "invalid or expired token"),
        ("Bearer nonsense".to_owned(), "invalid or expired token"),
        (format!("Bearer {native}"), "invalid or expired token"),
        (format!("Bearer {}=", bob.access), "invalid or expired token"),
        (format!("Bearer {}", bob.refresh), "refresh token not accepted on access path"),
        ("Basic !!!".to_owned(), "malformed Basic auth header"),
        ("Basic Ym9i".to_owned(), "malformed Basic auth header"),
        ("Basic Ym9iOndyb25n".to_owned(), "invalid credentials"),
        ("Digest x".to_owned(), "unsupported authentication scheme"),
        (bob.access.clone(), "unsupported authentication scheme"),
    ] {
        refused(&with(&value).await, 401, detail);
    }
    house.clock.advance(8 * HOUR);
    let late = with(&format!("Bearer {}", bob.access)).await;
    refused(&late, 401, "invalid or expired token");
}

#[tokio::test]
async fn both_schemes_open_every_door_and_no_cookie_does() {
    let house = House::lived_in().await;
    let ann = sign_in(&house, "ann").await;
    for path in ["/api/logs", "/api/ws-token", "/api/security/rate-limits"] {
        assert_eq!(house.get(path).bearer(&ann.access).send().await.status, 200, "{path}");
        assert_eq!(house.get(path).basic("ann", PASSWORD).send().await.status, 200, "{path}");
        refused(&house.get(path).send().await, 401, "missing Authorization header");
        let cookie = format!("session={0}; accessToken={0}", ann.access);
        let cookie = house.get(path).header("cookie", &cookie).send().await;
        refused(&cookie, 401, "missing Authorization header");
    }
}

#[tokio::test]
async fn a_refresh_token_buys_one_new_pair() {
    let house = House::lived_in().await;
    let first = sign_in(&house, "bob").await;
    house.clock.advance(9 * HOUR);
    let second = Pair::of(&refresh(&house, &first.refresh).await);
    assert_eq!(knock(&house, &second.access).await.status, 404);
    assert_eq!(claims(&first.access)["sid"], claims(&second.access)["sid"]);
    // Sent twice by its own client: nothing ends.
    refused(&refresh(&house, &first.refresh).await, 401, "refresh token already used");
    assert_eq!(knock(&house, &second.access).await.status, 404);
    house.clock.advance(Duration::from_secs(11));
    refused(&refresh(&house, &first.refresh).await, 401, "refresh token already used");
    refused(&knock(&house, &second.access).await, 401, "token has been revoked");
    let stolen = refresh(&house, &second.refresh).await;
    refused(&stolen, 401, "invalid or expired refresh token");
}

#[tokio::test]
async fn a_bad_refresh_is_refused_in_its_words() {
    let house = House::lived_in().await;
    let bob = sign_in(&house, "bob").await;
    for body in [json!({}), json!({"refresh_token": ""}), json!({"refresh_token": null})] {
        refused(&house.post(REFRESH).json(&body).send().await, 400, "refresh_token required");
    }
    let broken = house.post(REFRESH).raw("application/json", "{").send().await;
    refused(&broken, 400, "invalid request body");
    let native = text(&house.login("bob").await["refresh_token"]);
    for token in ["nonsense", &bob.access, &native, &format!("{}=", bob.refresh)] {
        refused(&refresh(&house, token).await, 401, "invalid or expired refresh token");
    }
    house.clock.advance(7 * 24 * HOUR);
    refused(&refresh(&house, &bob.refresh).await, 401, "invalid or expired refresh token");
}

#[tokio::test]
async fn of_fifty_refreshes_at_once_exactly_one_wins() {
    let house = Arc::new(House::lived_in().await);
    let first = sign_in(&house, "bob").await;
    let tries = (0..50).map(|_| refresh(&house, &first.refresh));
    let answers = join_all(tries).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 49));
    lost.iter().for_each(|answer| refused(answer, 401, "refresh token already used"));
    assert_eq!(knock(&house, &Pair::of(won[0]).access).await.status, 404);
}

#[tokio::test]
async fn a_logout_ends_its_session_for_good_and_no_other() {
    let house = House::lived_in().await;
    let (goes, stays) = (sign_in(&house, "bob").await, sign_in(&house, "bob").await);
    done(&house.post(LOGOUT).bearer(&goes.access).send().await, "Logged out successfully");
    let house = house.restarted(|_| {}).await;
    for again in
        [knock(&house, &goes.access).await, house.post(LOGOUT).bearer(&goes.access).send().await]
    {
        refused(&again, 401, "token has been revoked");
    }
    refused(&refresh(&house, &goes.refresh).await, 401, "invalid or expired refresh token");
    assert_eq!(knock(&house, &stays.access).await.status, 404);
    assert_eq!(refresh(&house, &stays.refresh).await.status, 200);
}

#[tokio::test]
async fn a_logout_with_basic_ends_nothing() {
    let house = House::lived_in().await;
    let bob = sign_in(&house, "bob").await;
    let out = house.post(LOGOUT).basic("bob", PASSWORD).send().await;
    done(&out, "Logged out successfully");
    assert_eq!(knock(&house, &bob.access).await.status, 404);
    assert_eq!(house.get("/api/nothing").basic("bob", PASSWORD).send().await.status, 404);
    refused(&house.post(LOGOUT).send().await, 401, "missing Authorization header");
}

#[tokio::test]
async fn a_changed_password_is_true_in_every_dialect_at_once() {
    let house = House::lived_in().await;
    let (mine, other) = (sign_in(&house, "bob").await, sign_in(&house, "bob").await);
    let native = house.token("bob").await;
    assert_eq!(house.get("/api/nothing").basic("bob", PASSWORD).send().await.status, 404);
    done(&change(&house, &mine.access, PASSWORD, NEW).await, "Password changed successfully");
    assert_eq!(knock(&house, &mine.access).await.status, 404, "whoever changed it stays");
    refused(&knock(&house, &other.access).await, 401, "token has been revoked");
    refused(&refresh(&house, &other.refresh).await, 401, "invalid or expired refresh token");
    assert_eq!(house.get("/api/v1/user").bearer(&native).send().await.status, 401);
    let basic = house.get("/api/nothing").basic("bob", PASSWORD).send().await;
    refused(&basic, 401, "invalid credentials");
    for (password, pair, rest) in [(PASSWORD, 401, 401), (NEW, 200, 200)] {
        assert_eq!(login(&house, "bob", password).await.status, pair);
        let body = json!({"username": "bob", "password": password});
        let native = house.post("/api/v1/auth/login").json(&body).send().await;
        assert_eq!(native.status, rest);
        let body = json!({"email": "bob@example.org", "password": password});
        let signup = house.post("/auth/login").json(&body).send().await;
        assert_eq!(signup.status, if rest == 200 { 200 } else { 400 }, "{}", signup.text());
    }
    assert_eq!(house.get("/api/nothing").basic("bob", NEW).send().await.status, 404);
}

#[tokio::test]
async fn a_bad_new_password_is_refused_in_its_words_and_changes_nothing() {
    let house = House::lived_in().await;
    let bob = sign_in(&house, "bob").await;
    let plain = "password must contain at least one number and one special character";
    for (current, new, detail) in [
        (WRONG, NEW, "current password is incorrect"),
        ("", NEW, "current password is incorrect"),
        (PASSWORD, "Short-7", "new password must be at least 8 characters"),
        (PASSWORD, "", "new password must be at least 8 characters"),
        (PASSWORD, "Chestnuttree8", plain),
        (PASSWORD, "Chestnut-tree", plain),
        (PASSWORD, "Chestnut tree", plain),
    ] {
        refused(&change(&house, &bob.access, current, new).await, 400, detail);
    }
    let ask = || house.post(CHANGE).bearer(&bob.access);
    let without = ask().json(&json!({"new_password": NEW})).send().await;
    refused(&without, 400, "current password is incorrect");
    let without = ask().json(&json!({"current_password": PASSWORD})).send().await;
    refused(&without, 400, "new password must be at least 8 characters");
    refused(&ask().raw("text/plain", "{").send().await, 400, "invalid request body");
    refused(&house.post(CHANGE).send().await, 401, "missing Authorization header");
    assert_eq!(login(&house, "bob", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn an_access_token_lives_as_long_as_it_says_even_beyond_the_refresh_token() {
    let house = House::lived_in_with(|plan| plan.settings.lives.pair_access = 30 * 24 * HOUR).await;
    let bob = sign_in(&house, "bob").await;
    assert_eq!(claims(&bob.refresh)["exp"], house.clock.now().seconds() + 7 * 86_400);
    house.clock.advance(8 * 24 * HOUR);
    assert_eq!(knock(&house, &bob.access).await.status, 404);
    refused(&refresh(&house, &bob.refresh).await, 401, "invalid or expired refresh token");
    house.clock.advance(22 * 24 * HOUR);
    refused(&knock(&house, &bob.access).await, 401, "invalid or expired token");
}

#[test]
fn the_access_life_is_set_by_its_old_name_in_the_real_server() {
    let home = tempfile::tempdir().expect("a folder");
    let start = |environment: &[(&str, &str)]| Server::start(home.path(), environment);
    let server = start(&[]);
    let body = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
    assert_eq!(server.json("POST", "/api/v1/setup/initialize", "", &body).status, 201);
    let life = |server: &Server| {
        let body = json!({"username": "ann", "password": PASSWORD});
        let claims = claims(&Pair::of(&server.json("POST", LOGIN, "", &body)).access);
        claims["exp"].as_i64().expect("a time") - claims["iat"].as_i64().expect("a time")
    };
    assert_eq!(life(&server), 8 * 3600);
    drop(server);
    for (text, seconds) in [("90m", 5400), ("1h30m", 5400), ("45s", 45)] {
        assert_eq!(life(&start(&[("JWT_EXPIRE_DURATION", text)])), seconds, "{text}");
    }
}

#[test]
fn a_killed_server_remembers_who_was_signed_out_here() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(home.path(), &[]);
    let body = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
    assert_eq!(server.json("POST", "/api/v1/setup/initialize", "", &body).status, 201);
    let body = json!({"username": "ann", "password": PASSWORD});
    let ann = Pair::of(&server.json("POST", LOGIN, "", &body));
    done(&server.json("POST", LOGOUT, &ann.access, &Value::Null), "Logged out successfully");
    server.kill();
    let server = Server::start(home.path(), &[]);
    let answer = server.json("GET", "/api/logs", &ann.access, &Value::Null);
    refused(&answer, 401, "token has been revoked");
    let body = json!({"refresh_token": ann.refresh});
    let answer = server.json("POST", REFRESH, "", &body);
    refused(&answer, 401, "invalid or expired refresh token");
}
