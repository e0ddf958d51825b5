//! Gpodder: accounts and sessions of podcast clients (seed 004), cell by cell.

use std::time::Duration;

use gatelodge::domain::sign_up::RegistrationMode;
use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::{Answer, Ask, House, PASSWORD, text},
    native_letters::link,
    pin::cookie,
};

const YEAR: i64 = 365 * 24 * 3600;
const NEW: &str = "another-long-one-9";

fn login<'a>(house: &'a House, name: &str, password: &str) -> Ask<'a> {
    house.post(&format!("/api/2/auth/{name}/login.json")).basic(name, password)
}

/// The value of the cookie that a sign-in sets.
async fn session(house: &House, name: &str) -> String {
    let answer = login(house, name, PASSWORD).send().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    cookie(&answer, "sessionid")
}

fn me<'a>(house: &'a House, session: &str) -> Ask<'a> {
    house.get("/api/2/me").header("cookie", &format!("sessionid={session}"))
}

#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.json()), (status, json!({"error": error})));
    assert_eq!(answer.header("set-cookie"), "");
}

/// The live sessions of this dialect, as their owner sees them.
async fn sessions(house: &House, name: &str) -> Vec<Value> {
    let token = house.token(name).await;
    let list = house.get("/api/v1/user/sessions").bearer(&token).send().await.json();
    let all = list["data"].as_array().expect("a list").clone();
    all.into_iter().filter(|session| session["dialect"] == "gpodder").collect()
}

#[tokio::test]
async fn a_sign_in_by_basic_gives_a_cookie_of_a_year() {
    let house = House::lived_in().await;
    let answer = login(&house, "ann", PASSWORD).send().await;
    let line = answer.header("set-cookie");
    let value = cookie(&answer, "sessionid");
    assert!(value.len() == 64 && value.bytes().all(|b| b.is_ascii_alphanumeric()), "{value}");
    let rest = format!("sessionid={value}; HttpOnly; Path=/; SameSite=Lax; Max-Age={YEAR}");
    assert_eq!(line, rest);
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = json!({
        "username": "ann", "email": "ann@example.org", "is_admin": true, "is_active": true,
    });
    let found = me(&house, &value).send().await;
    assert_eq!((found.status, found.json()), (200, body));
    let session = session(&house, "bob").await;
    assert_eq!(me(&house, &session).send().await.json()["is_admin"], false);
    house.clock.advance(Duration::from_secs(YEAR as u64));
    assert_eq!(me(&house, &value).send().await.status, 401);
}

#[tokio::test]
async fn over_https_the_cookie_is_secure() {
    let house = House::lived_in_with(|plan| {
        plan.http.surroundings.public_url = Some("https://gate.example.org".to_owned());
    });
    let answer = login(&house.await, "ann", PASSWORD).send().await;
    assert!(answer.header("set-cookie").ends_with("; Secure"), "{}", answer.header("set-cookie"));
}

#[tokio::test]
async fn a_client_that_never_leaves_basic_gets_one_session() {
    let house = House::lived_in().await;
    let mut cookies = Vec::new();
    for _ in 0..10 {
        let answer = house.get("/api/2/me").basic("ann", PASSWORD).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        cookies.push(cookie(&answer, "sessionid"));
    }
    cookies.push(session(&house, "ann").await);
    cookies.dedup();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let [one] = &sessions(&house, "ann").await[..] else { panic!("one session") };
    assert_eq!((&one["method"], &one["address"]), (&json!("basic"), &json!("127.0.0.1")));
    let elsewhere = house.get("/api/2/me").basic("ann", PASSWORD).from("192.168.7.7").send().await;
    assert_ne!(cookie(&elsewhere, "sessionid"), cookies[0]);
    assert_eq!(sessions(&house, "ann").await.len(), 2);
    // With the live cookie beside it nothing is set any more.
    let quiet = me(&house, &cookies[0]).basic("ann", PASSWORD).send().await;
    assert_eq!((quiet.status, quiet.header("set-cookie").as_str()), (200, ""));
}

#[tokio::test]
async fn a_right_password_leaves_a_session_whatever_is_answered() {
    for (path, status) in [
        ("/api/2/nonsense", 404),
        ("/subscriptions/bob.json", 403),
        ("/api/2/auth/bob/login.json", 403),
    ] {
        let house = House::lived_in().await;
        let method = if path.ends_with("login.json") { Method::POST } else { Method::GET };
        let answer = house.ask(method, path).basic("ann", PASSWORD).send().await;
        assert_eq!((answer.status, answer.header("set-cookie").as_str()), (status, ""), "{path}");
        assert_eq!(sessions(&house, "ann").await.len(), 1, "{path}");
    }
}

#[tokio::test]
async fn parallel_first_calls_get_the_same_session() {
    let house = House::lived_in().await;
    let calls = (0..20).map(|_| house.get("/api/2/me").basic("ann", PASSWORD).send());
    let answers = futures_util::future::join_all(calls).await;
    let mut cookies: Vec<_> = answers.iter().map(|answer| cookie(answer, "sessionid")).collect();
    cookies.dedup();
    assert_eq!(cookies.len(), 1);
    assert_eq!(sessions(&house, "ann").await.len(), 1);
}

#[tokio::test]
async fn after_a_restart_the_old_session_of_a_place_makes_room_for_the_next() {
    let house = House::lived_in().await;
    let old = session(&house, "ann").await;
    let house = house.restarted(|_| {}).await;
    assert_eq!(me(&house, &old).send().await.status, 200, "it is a digest in the file");
    let new = session(&house, "ann").await;
    assert_ne!(old, new);
    assert_eq!(me(&house, &old).send().await.status, 401);
    assert_eq!(me(&house, &new).send().await.status, 200);
    assert_eq!(sessions(&house, "ann").await.len(), 1);
    let file = std::fs::read(house.database()).expect("the file");
    let has = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!has(&new) && !has(&old), "a cookie stands in the file");
}

#[tokio::test]
async fn an_api_key_works_by_basic_and_never_gets_a_cookie() {
    let house = House::lived_in().await;
    let ann = house.token("ann").await;
    let made = house.post("/api/v1/api-keys").bearer(&ann).json(&json!({"name": "pod"}));
    let key = text(&made.send().await.json()["key"]);
    for user in ["api", "ann"] {
        let answer = house.get("/api/2/me").basic(user, &key).send().await;
        assert_eq!((answer.status, answer.header("set-cookie").as_str()), (200, ""));
    }
    let answer = house.post("/api/2/auth/ann/login.json").basic("ann", &key).send().await;
    assert_eq!((answer.status, answer.header("set-cookie").as_str()), (200, ""));
    let body = json!({"old_password": PASSWORD, "new_password": NEW});
    let refused = house.post("/api/2/me/password").basic("api", &key).json(&body).send().await;
    assert_eq!(refused.status, 403);
    let bearer = house.get("/api/2/me").bearer(&key).send().await;
    assert_eq!(bearer.status, 401);
}

#[tokio::test]
async fn a_password_that_is_changed_by_basic_hands_out_no_dead_cookie() {
    let house = House::lived_in().await;
    let body = json!({"old_password": PASSWORD, "new_password": NEW});
    let changed = house.post("/api/2/me/password").basic("ann", PASSWORD).json(&body).send().await;
    assert_eq!((changed.status, changed.header("set-cookie").as_str()), (200, ""));
    let next = house.get("/api/2/me").basic("ann", NEW).send().await;
    assert_eq!(next.status, 200);
    assert_eq!(me(&house, &cookie(&next, "sessionid")).send().await.status, 200);
}

#[tokio::test]
async fn a_name_in_the_path_is_the_callers_own_in_any_case() {
    let house = House::lived_in().await;
    for name in ["ANN", "Ann", "ann@example.org", "ANN@EXAMPLE.ORG"] {
        let answer = house.post(&format!("/api/2/auth/{name}/login.json")).basic("aNN", PASSWORD);
        assert_eq!(answer.send().await.status, 200, "{name}");
    }
    for name in ["bob", "nobody"] {
        let answer = house.post(&format!("/api/2/auth/{name}/login.json")).basic("ann", PASSWORD);
        refused(&answer.send().await, 403, "this belongs to another user");
    }
    assert_eq!(sessions(&house, "ann").await.len(), 1);
}

#[tokio::test]
async fn a_live_cookie_is_enough_to_sign_in_and_a_wrong_password_beside_it_is_told() {
    let house = House::lived_in().await;
    let ann = session(&house, "ann").await;
    let with = |cookie: &str| {
        house.post("/api/2/auth/ann/login.json").header("cookie", &format!("sessionid={cookie}"))
    };
    let again = with(&ann).raw("text/plain", "").send().await;
    assert_eq!((again.status, cookie(&again, "sessionid")), (200, ann.clone()));
    let again = with(&ann).basic("ann", PASSWORD).send().await;
    assert_eq!((again.status, cookie(&again, "sessionid")), (200, ann.clone()));
    refused(&with(&ann).basic("ann", "not it at all").send().await, 401, "unauthorized");
    refused(&with("made-up").send().await, 401, "unauthorized");
    refused(&house.post("/api/2/auth/ann/login.json").send().await, 401, "unauthorized");
    // A dead cookie beside the right password is what every client sends after a while.
    assert_eq!(with("made-up").basic("ann", PASSWORD).send().await.status, 200);
    // A jar that holds another's cookie does not hide who signs in.
    let bob =
        house.post("/api/2/auth/bob/login.json").header("cookie", &format!("sessionid={ann}"));
    let bob = bob.basic("bob", PASSWORD).send().await;
    assert_eq!(bob.status, 200);
    let other = me(&house, &ann).basic("bob", PASSWORD).send().await;
    assert_eq!(other.json()["username"], "bob");
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server_and_is_always_welcome() {
    let house = House::lived_in().await;
    let ann = session(&house, "ann").await;
    let out = |name: &str, value: &str| {
        let ask = house.post(&format!("/api/2/auth/{name}/logout.json"));
        ask.header("cookie", &format!("sessionid={value}")).send()
    };
    refused(&out("bob", &ann).await, 403, "this belongs to another user");
    assert_eq!(me(&house, &ann).send().await.status, 200);
    let done = out("Ann", &ann).await;
    assert_eq!((done.status, done.text().as_str()), (200, ""));
    assert!(
        done.header("set-cookie").contains("sessionid=; ")
            && done.header("set-cookie").contains("Max-Age=0")
    );
    refused(&me(&house, &ann).send().await, 401, "unauthorized");
    assert_eq!(out("ann", &ann).await.status, 200);
    assert_eq!(house.post("/api/2/auth/ann/logout.json").send().await.status, 200);
    // Another sign-in from there is a session of its own.
    assert_ne!(session(&house, "ann").await, ann);
}

#[tokio::test]
async fn its_owner_sees_and_ends_the_session_elsewhere() {
    let house = House::lived_in().await;
    let ann = session(&house, "ann").await;
    let [one] = &sessions(&house, "ann").await[..] else { panic!("one session") };
    let path = format!("/api/v1/user/sessions/{}", text(&one["id"]));
    let token = house.token("ann").await;
    assert_eq!(house.delete(&path).bearer(&token).send().await.status, 204);
    assert_eq!(me(&house, &ann).send().await.status, 401);
    // Basic goes on, with another cookie.
    let next = house.get("/api/2/me").basic("ann", PASSWORD).send().await;
    assert_ne!(cookie(&next, "sessionid"), ann);
}

#[tokio::test]
async fn strangers_are_asked_for_basic_unless_a_page_asks() {
    let house = House::lived_in().await;
    for path in ["/api/2/me", "/api/2/no-such-thing", "/api/2/auth/ann/login.json"] {
        let answer = house.get(path).send().await;
        let (status, challenge) = (answer.status, answer.header("www-authenticate"));
        if path.ends_with("login.json") {
            assert_eq!(status, 401, "a stranger does not learn which methods there are");
        }
        assert_eq!(answer.json(), json!({"error": "unauthorized"}), "{path}");
        assert_eq!(challenge, "Basic realm=\"Gatelodge\", charset=\"UTF-8\"", "{path}");
    }
    let page = house.get("/api/2/me").header("sec-fetch-mode", "cors").send().await;
    assert_eq!((page.status, page.header("www-authenticate").as_str()), (401, ""));
    let known = house.get("/api/2/no-such-thing").basic("ann", PASSWORD).send().await;
    refused(&known, 404, "no such page");
}

#[tokio::test]
async fn registering_follows_the_mode() {
    let body = json!({"username": "cyd", "password": PASSWORD, "email": "cyd@example.org"});
    let closed = House::lived_in().await;
    refused(
        &closed.post("/api/2/register").json(&body).send().await,
        403,
        "Registration is closed",
    );

    let open = House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Open);
    let open = open.await;
    // The body is JSON whatever its type says.
    let ask = open.post("/api/2/register").raw("text/plain", body.to_string());
    let made = ask.send().await;
    assert_eq!((made.status, made.json()), (200, json!({"status": "active", "is_admin": false})));
    assert_eq!(open.post("/api/2/register").json(&body).send().await.status, 409);
    session(&open, "cyd").await;
    let bare = json!({"username": "dan", "password": PASSWORD});
    assert_eq!(open.post("/api/2/register").json(&bare).send().await.status, 200);
    for (wrong, status) in [
        (json!({"username": "eve", "password": "1234567"}), 400),
        (json!({"username": "e:e", "password": PASSWORD}), 400),
        (json!({"username": "me", "password": PASSWORD}), 400),
        (json!({"username": "eve"}), 400),
        (json!([]), 400),
    ] {
        let answer = open.post("/api/2/register").json(&wrong).send().await;
        assert_eq!(answer.status, status, "{wrong}: {}", answer.text());
        assert!(answer.json()["error"].is_string() && !answer.text().contains("1234567"));
    }
}

#[tokio::test]
async fn in_invite_mode_the_letter_activates() {
    let house = House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Invite);
    let house = house.await;
    let bare = json!({"username": "cyd", "password": PASSWORD});
    assert_eq!(house.post("/api/2/register").json(&bare).send().await.status, 400);
    let body = json!({"username": "cyd", "password": PASSWORD, "email": "cyd@example.org"});
    let made = house.post("/api/2/register").json(&body).send().await;
    let words = json!({
        "status": "pending_activation", "message": "Check your email to activate your account",
    });
    assert_eq!((made.status, made.json()), (200, words));
    assert_eq!(login(&house, "cyd", PASSWORD).send().await.status, 401);
    let token = link(&house, "cyd@example.org").await;
    let leads = house.get(&format!("/api/2/activate?token={token}")).send().await;
    assert_eq!((leads.status, leads.header("location")), (302, format!("/activate?token={token}")));
    assert_eq!(login(&house, "cyd", PASSWORD).send().await.status, 401, "a GET changes nothing");
    let posted = house.post("/api/v1/auth/verify-email").json(&json!({"token": token}));
    assert_eq!(posted.send().await.status, 200);
    assert_eq!(login(&house, "cyd", PASSWORD).send().await.status, 200);
    for evil in ["%0d%0aSet-Cookie:%20a=b", "//evil.example", "\"><script>"] {
        let path = format!("/api/2/activate?token={}", evil.replace(['"', '<', '>'], "%22"));
        let location = house.get(&path).send().await.header("location");
        let rest = location.strip_prefix("/activate?token=").expect("our page");
        assert!(rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{location}");
    }
}

#[tokio::test]
async fn the_first_account_is_admin_in_any_mode() {
    let house = House::new().await;
    let body = json!({"username": "ann", "password": PASSWORD});
    let made = house.post("/api/2/register").json(&body).send().await;
    assert_eq!((made.status, made.json()), (200, json!({"status": "active", "is_admin": true})));
}

#[tokio::test]
async fn changing_the_password_keeps_the_session_that_asks() {
    let house = House::lived_in().await;
    let here = session(&house, "ann").await;
    let there = login(&house, "ann", PASSWORD).from("192.168.7.7").send().await;
    let there = cookie(&there, "sessionid");
    let change = |body: Value| {
        let ask = house.post("/api/2/me/password").header("cookie", &format!("sessionid={here}"));
        ask.json(&body).send()
    };
    for wrong in [
        json!({"old_password": "not it at all", "new_password": NEW}),
        json!({"new_password": NEW}),
    ] {
        refused(&change(wrong).await, 403, "incorrect old password");
    }
    let short = json!({"old_password": PASSWORD, "new_password": "1234567"});
    assert_eq!(change(short).await.status, 400);
    let done = change(json!({"old_password": PASSWORD, "new_password": NEW})).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(me(&house, &here).send().await.status, 200);
    assert_eq!(me(&house, &there).send().await.status, 401);
    assert_eq!(login(&house, "ann", PASSWORD).send().await.status, 401);
    assert_eq!(login(&house, "ann", NEW).send().await.status, 200);
}

#[tokio::test]
async fn a_reset_says_the_same_to_everybody_and_works_once() {
    let house = House::lived_in().await;
    let old = session(&house, "bob").await;
    let ask =
        |email: &str| house.post("/api/2/password-reset").json(&json!({"email": email})).send();
    let (known, unknown) = (ask("bob@example.org").await, ask("nobody@example.org").await);
    assert_eq!((known.status, known.text()), (200, unknown.text()));
    house.core.quiet().await;
    let token = link(&house, "bob@example.org").await;
    let confirm = |token: &str, new: &str| {
        let body = json!({"token": token, "new_password": new});
        house.post("/api/2/password-reset/confirm").json(&body).send()
    };
    assert_eq!(confirm(&token, "short").await.status, 400);
    assert_eq!(confirm("made-up", NEW).await.status, 400);
    assert_eq!(confirm(&token, NEW).await.status, 200);
    assert_eq!(confirm(&token, NEW).await.status, 400);
    assert_eq!(me(&house, &old).send().await.status, 401);
    assert_eq!(login(&house, "bob", NEW).send().await.status, 200);
}

#[tokio::test]
async fn switched_off_its_paths_are_nobodys() {
    let house = House::lived_in_with(|plan| plan.http.dialects.gpodder = false).await;
    for path in ["/api/2/me", "/api/2/register", "/subscriptions/ann.json"] {
        let answer = house.get(path).basic("ann", PASSWORD).send().await;
        assert_eq!(answer.status, 404, "{path}");
    }
}
