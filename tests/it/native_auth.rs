//! Coming in and going out in native's own words.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::house::{Answer, House, PASSWORD, START, text};

/// A secret that no answer may repeat.
const SENT: &str = "Sent-secret-4711";

/// Every public operation that takes a body, with the fields that it needs.
const TAKES: &[(&str, &[&str])] = &[
    ("/api/v1/auth/login", &["username", "password"]),
    ("/api/v1/auth/session", &["username"]),
    ("/api/v1/auth/refresh", &["refresh_token"]),
    ("/api/v1/auth/register", &["username", "email", "password"]),
    ("/api/v1/auth/verify-email", &["token"]),
    ("/api/v1/auth/resend-verification", &["email"]),
    ("/api/v1/auth/forgot-password", &["email"]),
    ("/api/v1/auth/reset-password", &["token", "new_password"]),
    ("/api/v1/setup/initialize", &["username", "email", "password"]),
];

fn body_of(fields: &[&str]) -> Value {
    fields.iter().map(|field| ((*field).to_owned(), json!(SENT))).collect()
}

/// An error of native's shape and nothing of what was sent.
#[track_caller]
fn refused(answer: &Answer, status: u16, kind: &str) -> Value {
    answer.problem(status, kind);
    assert!(!answer.text().contains(SENT), "it repeats a secret: {}", answer.text());
    assert_eq!(answer.header("set-cookie"), "");
    let known = ["error", "message", "field", "reason", "limit"];
    let body = answer.json();
    let fields = body.as_object().expect("an object");
    assert!(fields.keys().all(|key| known.contains(&key.as_str())), "{body}");
    body
}

/// The cookie `NAME=VALUE` of an answer, to send back.
pub fn cookie_of(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    set.split(';').next().expect("a cookie").to_owned()
}

fn claims(token: &Value) -> Value {
    let token = text(token);
    let payload = token.split('.').nth(1).expect("a payload");
    let bytes = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&bytes).expect("claims")
}

#[tokio::test]
async fn rights_that_are_too_many_for_a_token_are_left_out_of_it() {
    let house = House::lived_in().await;
    let admin = house.token("ann").await;
    let names: Vec<_> = (0..200).map(|number| format!("{number:0>64}")).collect();
    let role = json!({"name": "many", "permissions": names});
    let made = house.post("/api/v1/roles").bearer(&admin).json(&role).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    let tokens = house.login("ann").await;
    assert_eq!(claims(&tokens["token"]).get("permissions"), None);
    let me = house.get("/api/v1/user").bearer(&text(&tokens["token"])).send().await;
    assert_eq!(me.status, 200, "{}", me.text());
    assert!(me.json()["permissions"].as_array().is_some_and(|all| all.len() > 200));
    assert_eq!(claims(&house.login("bob").await["token"])["permissions"], json!([]));
}

#[tokio::test]
async fn a_login_gives_tokens_and_the_account() {
    let house = House::lived_in().await;
    let body = json!({"username": "BOB", "password": PASSWORD});
    let answer = house.post("/api/v1/auth/login").json(&body).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("set-cookie"), "");
    assert!(!answer.text().contains(PASSWORD));
    let tokens = answer.json();
    let keys: Vec<_> = tokens.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["token", "expires_at", "refresh_token", "refresh_expires_at", "user"]);
    assert_eq!(tokens["expires_at"], "2026-01-02T00:00:00Z");
    assert_eq!(tokens["refresh_expires_at"], "2026-01-31T00:00:00Z");
    let user = &tokens["user"];
    for (field, wanted) in [
        ("username", json!("bob")),
        ("email", json!("bob@example.org")),
        ("role", json!("reader")),
        ("permissions", json!([])),
        ("status", json!("active")),
        ("email_verified", json!(true)),
        ("has_password", json!(true)),
        ("has_pin", json!(false)),
        ("last_login_at", json!("2026-01-01T00:00:00Z")),
    ] {
        assert_eq!(user[field], wanted, "{field}");
    }
    let me = house.get("/api/v1/user").bearer(&text(&tokens["token"])).send().await;
    assert_eq!(me.json(), *user, "the profile is the same, flat");
}

#[tokio::test]
async fn a_token_says_whose_it_is_for_which_door_and_how_long() {
    let house = House::lived_in().await;
    let tokens = house.login("ann").await;
    let claims = claims(&tokens["token"]);
    for (claim, wanted) in [
        ("sub", tokens["user"]["id"].clone()),
        ("uid", tokens["user"]["id"].clone()),
        ("username", json!("ann")),
        ("role", json!("admin")),
        ("permissions", tokens["user"]["permissions"].clone()),
        ("aud", json!("native")),
        ("type", json!("access")),
        ("iat", json!(START)),
        ("exp", json!(START + 24 * 3600)),
    ] {
        assert_eq!(claims[claim], wanted, "{claim}");
    }
    let again = self::claims(&house.login("ann").await["token"]);
    for own in ["sid", "jti"] {
        assert!(claims[own].is_string() && claims[own] != again[own], "{own}");
    }
    assert!(claims["epoch"].is_string() && claims["epoch"] == again["epoch"]);
}

#[tokio::test]
async fn an_address_serves_as_a_name_in_any_case() {
    let house = House::lived_in().await;
    let body = json!({"username": "Bob@Example.ORG", "password": PASSWORD});
    let answer = house.post("/api/v1/auth/login").json(&body).send().await;
    assert_eq!((answer.status, text(&answer.json()["user"]["username"])), (200, "bob".to_owned()));
}

#[tokio::test]
async fn a_wrong_login_says_no_more_than_that() {
    let house = House::lived_in().await;
    for body in [
        json!({"username": "bob", "password": SENT}),
        json!({"username": "nobody", "password": SENT}),
        json!({"username": "", "password": ""}),
        json!({"username": "n".repeat(20_000), "password": PASSWORD}),
    ] {
        let answer = house.post("/api/v1/auth/login").json(&body).send().await;
        let said = refused(&answer, 401, "unauthorized");
        assert_eq!(
            said,
            json!({"error": "unauthorized", "message": "wrong name or password", "reason": "wrong_credentials"})
        );
    }
    let long = json!({"username": "bob", "password": SENT.repeat(200)});
    let answer = house.post("/api/v1/auth/login").json(&long).send().await;
    refused(&answer, 401, "unauthorized");
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_everywhere() {
    let house = House::lived_in().await;
    for (path, fields) in TAKES {
        let good = body_of(fields).to_string();
        let broken = [
            Vec::new(),
            b"{".to_vec(),
            good.trim_end_matches('}').into(),
            format!("{good}{good}").into(),
            good.replace('"', "'").into(),
            [b"{\"".as_slice(), fields[0].as_bytes(), b"\":\"\xff\xfe Sent-secret-4711\"}"]
                .concat(),
            format!("{{\"{}\":4711,", fields[0]).into(),
            "[".repeat(100_000).into(),
        ];
        for body in broken {
            let answer = house.post(path).raw("application/json", body).send().await;
            refused(&answer, 400, "bad_request");
        }
    }
}

#[tokio::test]
async fn bodies_of_another_kind_are_refused_everywhere() {
    let house = House::lived_in().await;
    for (path, fields) in TAKES {
        let good = body_of(fields).to_string();
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
            let answer = house.post(path).raw(kind, good.clone()).send().await;
            refused(&answer, 415, "bad_request");
        }
        let packed = house.post(path).raw("application/json", good.clone());
        let answer = packed.header("content-encoding", "gzip").send().await;
        refused(&answer, 415, "bad_request");
        let large = format!("{{\"{}\":\"{SENT}{}\"}}", fields[0], "x".repeat(1024 * 1024));
        let answer = house.post(path).raw("application/json", large).send().await;
        refused(&answer, 413, "bad_request");
        refused(&house.put(path).json(&body_of(fields)).send().await, 401, "unauthorized");
    }
}

#[tokio::test]
async fn missing_unknown_and_wrongly_typed_fields_are_named_everywhere() {
    let house = House::lived_in().await;
    for (path, fields) in TAKES {
        for field in *fields {
            let mut missing = body_of(fields);
            missing.as_object_mut().expect("an object").remove(*field);
            let answer = house.post(path).json(&missing).send().await;
            assert_eq!(refused(&answer, 422, "unprocessable")["field"], **field, "{path}");
            for wrong in [json!(4711), json!(null), json!([SENT]), json!({"a": SENT}), json!(true)]
            {
                let mut body = body_of(fields);
                body[*field] = wrong;
                let answer = house.post(path).json(&body).send().await;
                assert_eq!(refused(&answer, 422, "unprocessable")["field"], **field, "{path}");
            }
        }
        let mut unknown = body_of(fields);
        unknown[SENT] = json!(SENT);
        refused(&house.post(path).json(&unknown).send().await, 422, "unprocessable");
        let first = fields[0];
        let twice = format!("{{\"{first}\":\"{SENT}\",\"{first}\":\"{SENT}\"}}");
        let answer = house.post(path).raw("application/json", twice).send().await;
        refused(&answer, 422, "unprocessable");
    }
}

#[tokio::test]
async fn a_body_is_an_object_and_nothing_else() {
    let house = House::lived_in().await;
    for (path, fields) in TAKES {
        let list = Value::from(vec![SENT; fields.len()]);
        for body in [list, json!(SENT), json!(4711), json!(null), json!(false)] {
            let answer = house.post(path).json(&body).send().await;
            refused(&answer, 422, "unprocessable");
        }
    }
    let right = json!(["bob", PASSWORD]);
    let answer = house.post("/api/v1/auth/login").json(&right).send().await;
    answer.problem(422, "unprocessable");
}

#[tokio::test]
async fn a_browser_signs_in_and_out_with_a_cookie() {
    let house = House::lived_in().await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let answer = house.post("/api/v1/auth/session").json(&body).send().await;
    assert_eq!(answer.status, 200);
    let keys = answer.json().as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        (keys, &answer.json()["user"]["username"]),
        (vec!["user".to_owned()], &json!("bob"))
    );
    let cookie = cookie_of(&answer);
    let value = cookie.strip_prefix("session=").expect("its name on http");
    assert!(value.len() == 64 && value.bytes().all(|b| b.is_ascii_alphanumeric()));
    assert!(!answer.text().contains(value), "a cookie is for the browser alone");

    let me = house.get("/api/v1/user").header("cookie", &cookie).send().await;
    assert_eq!((me.status, &me.json()["username"]), (200, &json!("bob")));
    let out = house.delete("/api/v1/auth/session").header("cookie", &cookie).send().await;
    assert_eq!((out.status, text(&out.json()["message"])), (200, "signed out".to_owned()));
    let gone = "session=; HttpOnly; Path=/; SameSite=Lax; Max-Age=0";
    assert_eq!(out.header("set-cookie"), gone);
    let me = house.get("/api/v1/user").header("cookie", &cookie).send().await;
    me.problem(401, "unauthorized");
    let again = house.delete("/api/v1/auth/session").header("cookie", &cookie).send().await;
    again.problem(401, "unauthorized");
    house.delete("/api/v1/auth/session").send().await.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_cookie_ends_after_its_thirty_days() {
    let house = House::lived_in().await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let answer = house.post("/api/v1/auth/session").json(&body).send().await;
    assert!(answer.header("set-cookie").contains("; Max-Age=2592000"));
    let cookie = cookie_of(&answer);
    house.clock.advance(Duration::from_secs(30 * 24 * 3600 - 1));
    let me = house.get("/api/v1/user").header("cookie", &cookie).send().await;
    assert_eq!(me.status, 200);
    house.clock.advance(Duration::from_secs(1));
    let me = house.get("/api/v1/user").header("cookie", &cookie).send().await;
    me.problem(401, "unauthorized");
}

#[tokio::test]
async fn the_pages_take_a_password_or_a_pin_not_both_and_not_none() {
    let house = House::lived_in().await;
    for body in [
        json!({"username": "bob", "password": SENT, "pin": "2468"}),
        json!({"username": "bob"}),
        json!({"username": "bob", "password": null, "pin": null}),
    ] {
        let answer = house.post("/api/v1/auth/session").json(&body).send().await;
        assert_eq!(refused(&answer, 422, "unprocessable")["field"], "password");
    }
    for wrong in
        [json!({"username": "bob", "password": SENT}), json!({"username": "bob", "pin": SENT})]
    {
        let answer = house.post("/api/v1/auth/session").json(&wrong).send().await;
        refused(&answer, 401, "unauthorized");
    }
}

#[tokio::test]
async fn a_pin_opens_the_pages_and_shows_on_the_pad() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let body = json!({"current_password": PASSWORD, "pin": "2468"});
    let set = house.post("/api/v1/user/pin").bearer(&token).json(&body).send().await;
    assert_eq!(set.status, 200, "{}", set.text());

    let options = house.get("/api/v1/auth/options").send().await.json();
    assert_eq!((&options["setup_required"], &options["providers"]), (&json!(false), &json!([])));
    assert_eq!(options["registration_mode"], "closed");
    let id = house.get("/api/v1/user").bearer(&token).send().await.json()["id"].clone();
    let bob = json!({"id": id, "username": "bob", "display_name": "bob"});
    assert_eq!(options["people"], json!([bob]));

    let body = json!({"username": "bob", "pin": "2468"});
    let answer = house.post("/api/v1/auth/session").json(&body).send().await;
    assert_eq!((answer.status, &answer.json()["user"]["has_pin"]), (200, &json!(true)));
    let cookie = cookie_of(&answer);
    let sessions = house.get("/api/v1/user/sessions").header("cookie", &cookie).send().await.json();
    let own = sessions["data"].as_array().expect("a list").iter().find(|s| s["current"] == true);
    let own = own.expect("the session that asks");
    assert_eq!((&own["dialect"], &own["method"]), (&json!("pages"), &json!("pin")));
}

#[tokio::test]
async fn the_pad_is_empty_when_people_are_not_to_be_listed() {
    let house = House::lived_in_with(|plan| plan.settings.pin_list_users = false).await;
    let token = house.token("bob").await;
    let body = json!({"current_password": PASSWORD, "pin": "2468"});
    house.post("/api/v1/user/pin").bearer(&token).json(&body).send().await;
    let options = house.get("/api/v1/auth/options").send().await.json();
    assert_eq!(options["people"], json!([]));
    let body = json!({"username": "bob", "pin": "2468"});
    assert_eq!(house.post("/api/v1/auth/session").json(&body).send().await.status, 200);
}

#[tokio::test]
async fn a_refresh_gives_a_new_pair_for_the_same_session() {
    let house = House::lived_in().await;
    let first = house.login("bob").await;
    house.clock.advance(Duration::from_secs(3600));
    let body = json!({"refresh_token": first["refresh_token"]});
    let answer = house.post("/api/v1/auth/refresh").json(&body).send().await;
    assert_eq!(answer.status, 200);
    let second = answer.json();
    assert_eq!(second["expires_at"], "2026-01-02T01:00:00Z");
    assert_eq!(second["refresh_expires_at"], "2026-01-31T01:00:00Z");
    assert_eq!(second["user"]["username"], "bob");
    for kind in ["token", "refresh_token"] {
        assert_ne!(first[kind], second[kind]);
        assert_eq!(claims(&first[kind])["sid"], claims(&second[kind])["sid"]);
    }
    for pair in [&first, &second] {
        let me = house.get("/api/v1/user").bearer(&text(&pair["token"])).send().await;
        assert_eq!(me.status, 200);
    }
}

#[tokio::test]
async fn only_a_live_refresh_token_is_exchanged() {
    let house = House::lived_in().await;
    let tokens = house.login("bob").await;
    let refresh = text(&tokens["refresh_token"]);
    let (head, tail) = refresh.split_at(refresh.len() - 8);
    for bad in [
        "",
        SENT,
        "a.b.c",
        &text(&tokens["token"]),
        &format!("{head}AAAAAAAA"),
        &format!("{refresh}="),
        &format!(" {refresh}"),
        &refresh.repeat(50),
    ] {
        let body = json!({"refresh_token": bad});
        let answer = house.post("/api/v1/auth/refresh").json(&body).send().await;
        refused(&answer, 401, "unauthorized");
        assert!(!answer.text().contains(tail));
    }
    house.clock.advance(Duration::from_secs(30 * 24 * 3600));
    let body = json!({"refresh_token": refresh});
    let answer = house.post("/api/v1/auth/refresh").json(&body).send().await;
    refused(&answer, 401, "unauthorized");
}

#[tokio::test]
async fn a_logout_ends_its_session_with_both_tokens_and_no_other() {
    let house = House::lived_in().await;
    let (ours, other) = (house.login("bob").await, house.login("bob").await);
    let token = text(&ours["token"]);
    let out = house.post("/api/v1/auth/logout").bearer(&token).send().await;
    assert_eq!((out.status, text(&out.json()["message"])), (200, "signed out".to_owned()));
    house.get("/api/v1/user").bearer(&token).send().await.problem(401, "unauthorized");
    house.post("/api/v1/auth/logout").bearer(&token).send().await.problem(401, "unauthorized");
    let body = json!({"refresh_token": ours["refresh_token"]});
    let answer = house.post("/api/v1/auth/refresh").json(&body).send().await;
    answer.problem(401, "unauthorized");
    let me = house.get("/api/v1/user").bearer(&text(&other["token"])).send().await;
    assert_eq!(me.status, 200);
    house.post("/api/v1/auth/logout").send().await.problem(401, "unauthorized");
    let basic = house.post("/api/v1/auth/logout").basic("bob", PASSWORD).send().await;
    assert_eq!(basic.status, 200, "without a session there is nothing to end");
}
