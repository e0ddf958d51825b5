//! What pages need to know before anybody is signed in, and why something was refused.

use serde_json::{Value, json};

use super::{
    house::{Answer, House, PASSWORD},
    native_auth::cookie_of,
    oidc_server::Provider,
};

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

async fn options(house: &House) -> Value {
    house.get("/api/v1/auth/options").send().await.json()
}

#[tokio::test]
async fn only_the_cookie_of_a_live_session_tells_who_sits_there() {
    let house = House::lived_in().await;
    assert_eq!(options(&house).await["user"], Value::Null);
    let body = json!({"username": "bob", "password": PASSWORD});
    let cookie = cookie_of(&house.post("/api/v1/auth/session").json(&body).send().await);
    let asked = house.get("/api/v1/auth/options").header("cookie", &cookie).send().await;
    let me = house.get("/api/v1/user").header("cookie", &cookie).send().await.json();
    assert_eq!((&asked.json()["user"], &me["username"]), (&me, &json!("bob")));

    let token = house.token("bob").await;
    let other = house.get("/api/v1/auth/options").bearer(&token).send().await;
    assert_eq!(other.json()["user"], Value::Null);
    let out = house.delete("/api/v1/auth/session").header("cookie", &cookie).send().await;
    assert_eq!(out.status, 200);
    for stale in [&*cookie, "session=x", "session="] {
        let asked = house.get("/api/v1/auth/options").header("cookie", stale).send().await;
        assert_eq!((asked.status, &asked.json()["user"]), (200, &Value::Null), "{stale}");
    }
}

#[tokio::test]
async fn the_first_run_says_whether_it_needs_the_token_from_here() {
    let house = House::new().await;
    for (peer, forwarded, needs) in [
        ("127.0.0.1", None, false),
        ("192.168.1.7", None, false),
        ("203.0.113.9", None, true),
        ("127.0.0.1", Some("203.0.113.9"), true),
    ] {
        let mut ask = house.get("/api/v1/auth/options").from(peer).header("host", "localhost");
        if let Some(address) = forwarded {
            ask = ask.header("x-forwarded-for", address);
        }
        let told = ask.send().await.json();
        let got = (&told["setup_required"], &told["setup_token_required"]);
        assert_eq!(got, (&json!(true), &json!(needs)), "{peer} {forwarded:?}");
    }
    let house = House::lived_in().await;
    let told = house.get("/api/v1/auth/options").from("203.0.113.9").send().await.json();
    let got = (&told["setup_required"], &told["setup_token_required"]);
    assert_eq!(got, (&json!(false), &json!(false)));
}

#[tokio::test]
async fn only_open_dialects_are_named() {
    let all = json!(["native", "pin", "pair", "signup", "gpodder"]);
    assert_eq!(options(&House::lived_in().await).await["dialects"], all);
    let house = House::lived_in_with(|plan| {
        plan.http.dialects.pin = false;
        plan.http.dialects.gpodder = false;
    })
    .await;
    assert_eq!(options(&house).await["dialects"], json!(["native", "pair", "signup"]));
}

#[tokio::test]
async fn a_problem_says_why_in_a_word_that_stays() {
    let house = House::lived_in().await;
    let ann = house.token("ann").await;
    let made = async |body: Value| -> Answer {
        house.post("/api/v1/users").bearer(&ann).json(&body).send().await
    };
    for (body, field, reason, limit) in [
        (json!({"username": "bob"}), "username", "taken", Value::Null),
        (json!({"username": "dan", "password": "short"}), "password", "too_short", json!(8)),
        (json!({"username": "dan", "password": "password"}), "password", "too_common", Value::Null),
        (json!({"username": "d n"}), "username", "form", Value::Null),
        (json!({"username": "dan", "role": "king"}), "role", "unknown", Value::Null),
    ] {
        let said = made(body).await.json();
        let got = json!([said["field"], said["reason"], said["limit"]]);
        assert_eq!(got, json!([field, reason, limit]), "{said}");
    }
    let wrong = json!({"username": "bob", "password": "not-this"});
    for path in ["/api/v1/auth/login", "/api/v1/auth/session"] {
        let said = house.post(path).json(&wrong).send().await.json();
        assert_eq!(said["reason"], "wrong_credentials");
    }
    let said = house.get("/api/v1/user").send().await.json();
    assert_eq!(said.get("reason"), None, "nothing where the kind says it all");
}

#[tokio::test]
async fn a_browser_reads_on_a_page_why_a_provider_let_nobody_in() {
    let provider = Provider::start().await;
    let plan = provider.plan("home");
    let house = House::lived_in_with(|house| {
        plan(house);
        house.settings.sso.auto_create = false;
    })
    .await;
    let callback = "/auth/sso/callback?state=made-up&code=made-up";
    let page = house.get(callback).header("accept", BROWSER).send().await;
    assert_eq!((page.status, page.header("location")), (302, "/sign-in?error=expired".to_owned()));
    let program = house.get(callback).header("accept", "application/json").send().await;
    assert!(program.status >= 400 && program.header("location").is_empty());
}
