//! Sign-in with Google (seed 003): no password beside it, no links, and a token in the fragment.

use gatelodge::domain::{
    accounts::AccountId, caller::Caller, people::UserChange, secret::Secret,
    sign_up::RegistrationMode,
};
use serde_json::{Value, json};

use super::{
    house::{Answer, House, PASSWORD, Plan, text},
    oidc_server::{BASE, Browser, Provider, person, query},
};

const GOOGLE: &str = "/auth/google";

async fn house_with(provider: &Provider, change: impl FnOnce(&mut Plan)) -> House {
    let plan = provider.plan("google");
    let house = House::lived_in_with(|house| {
        plan(house);
        change(house);
    });
    house.await
}

#[track_caller]
fn leads_to(answer: &Answer, to: &str) {
    assert_eq!((answer.status, answer.header("location").as_str()), (302, to), "{}", answer.text());
}

/// An account that Google made, in its browser.
async fn gil<'a>(house: &'a House, provider: &Provider) -> (Browser<'a>, AccountId) {
    let mut browser = Browser::new(house);
    leads_to(&browser.sign_in(provider, GOOGLE, &person("gil")).await, "/");
    let id: AccountId = serde_json::from_value(browser.user().await["id"].clone()).expect("an id");
    (browser, id)
}

#[tokio::test]
async fn an_account_of_google_is_called_by_its_address_and_signs_in_to_the_pages() {
    let provider = Provider::start().await;
    let house = house_with(&provider, |_| {}).await;
    let mut browser = Browser::new(&house);
    let location = browser.leave("/auth/google?to=/account").await;
    assert_eq!(query(&location)["redirect_uri"], format!("{BASE}/auth/google/callback"));
    leads_to(&browser.come_back(&provider.approve(&location, &person("gil"))).await, "/account");
    let user = browser.user().await;
    assert_eq!(user["username"], "gil@elsewhere.example");
    assert_eq!((&user["role"], &user["has_password"]), (&json!("developer"), &json!(false)));
    let sessions = browser.get("/api/v1/user/sessions").await.json();
    assert_eq!(sessions["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(sessions["data"][0]["method"], "google");
    leads_to(&browser.sign_in(&provider, GOOGLE, &person("gil")).await, "/");
    assert_eq!(browser.user().await["id"], user["id"]);
}

#[tokio::test]
async fn a_page_that_takes_over_gets_the_token_in_the_fragment() {
    let provider = Provider::start().await;
    let house = house_with(&provider, |plan| {
        plan.settings.sso.frontend = Some("https://app.example.org/welcome".to_owned());
    });
    let house = house.await;
    let mut browser = Browser::new(&house);
    let answer = browser.sign_in(&provider, GOOGLE, &person("gil")).await;
    let location = answer.header("location");
    let (page, token) = location.split_once("#token=").expect("a fragment");
    assert_eq!(page, "https://app.example.org/welcome");
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);
    let dashboard = house.get("/dashboard").bearer(token).send().await;
    assert_eq!(dashboard.status, 200, "{}", dashboard.text());
    assert_eq!(dashboard.json()["user"]["email"], "gil@elsewhere.example");
    // Whoever asked for a page of ours goes there.
    let answer = browser.sign_in(&provider, "/auth/google?to=/account", &person("gil")).await;
    leads_to(&answer, "/account");
    assert!(browser.cookies.contains_key("session"));
}

#[tokio::test]
async fn an_account_of_google_has_no_password_and_is_given_none() {
    let provider = Provider::start().await;
    let house = house_with(&provider, |_| {}).await;
    let (mut browser, id) = gil(&house, &provider).await;
    let body = json!({"email": "gil@elsewhere.example", "password": PASSWORD});
    let answer = house.post("/auth/login").json(&body).send().await;
    let words = "This account uses Google sign-in. Please login with Google.";
    assert_eq!((answer.status, &answer.json()["message"]), (400, &json!(words)));
    let new = json!({"new_password": PASSWORD});
    let ask = house.post("/api/v1/user/password").json(&new);
    browser.send(ask).await.problem(403, "forbidden");

    let operator = Caller::operator();
    let change = || UserChange { password: Some(Secret::new(PASSWORD)), ..UserChange::default() };
    assert!(house.core.user_update(&operator, id, change()).await.is_err());
    assert!(house.core.user_reset_link(&operator, id).await.is_err());
    let body = json!({"email": "gil@elsewhere.example"});
    assert_eq!(house.post("/api/v1/auth/forgot-password").json(&body).send().await.status, 200);
    house.core.quiet().await;
    let token = house.token("ann").await;
    let outbox = house.get("/api/v1/outbox").bearer(&token).send().await.json();
    assert_eq!(outbox["total"], 0, "{outbox}");
    assert_eq!(browser.user().await["has_password"], false);
}

#[tokio::test]
async fn an_account_of_google_is_not_linked_and_google_is_linked_to_none() {
    let (google, home) = (Provider::start().await, Provider::start().await);
    let house = house_with(&google, |plan| {
        plan.settings.sso.providers.push(home.settings("home"));
    });
    let house = house.await;
    let (mut browser, _) = gil(&house, &google).await;
    let ask = house.post("/api/v1/user/identities").json(&json!({"provider": "home"}));
    browser.send(ask).await.problem(403, "forbidden");
    let identities = browser.get("/api/v1/user/identities").await.json();
    let path = format!("/api/v1/user/identities/{}", text(&identities["data"][0]["id"]));
    let ask = house.delete(&path);
    browser.send(ask).await.problem(409, "conflict");
    let token = house.token("bob").await;
    let body = json!({"provider": "google", "current_password": PASSWORD});
    let ask = house.post("/api/v1/user/identities").bearer(&token).json(&body);
    ask.send().await.problem(404, "not_found");
}

#[tokio::test]
async fn an_account_with_a_password_does_not_sign_in_by_google() {
    let provider = Provider::start().await;
    let house = house_with(&provider, |_| {}).await;
    for verified in [true, false] {
        let mut claims = person("bob");
        claims["email"] = json!("bob@example.org");
        claims["email_verified"] = json!(verified);
        let mut browser = Browser::new(&house);
        let answer = browser.sign_in(&provider, GOOGLE, &claims).await;
        let word = if verified { "use_password" } else { "email_unverified" };
        leads_to(&answer, &format!("/sign-in?error={word}"));
        assert!(browser.cookies.is_empty());
    }
    // Linked behind our back, it is not let in either.
    let bob = text(&house.login("bob").await["user"]["id"]);
    let database = rusqlite::Connection::open(house.database()).expect("the database");
    let row = "INSERT INTO identities (id, account_id, provider, issuer, subject, created_at)
               VALUES ('x', ?1, 'google', ?2, 'sub-bob', 0)";
    database.execute(row, [&bob, &provider.url]).expect("a row");
    let answer = Browser::new(&house).sign_in(&provider, GOOGLE, &person("bob")).await;
    leads_to(&answer, "/sign-in?error=use_password");
}

#[tokio::test]
async fn what_goes_wrong_leads_to_the_sign_in_page() {
    let provider = Provider::start().await;
    let house = house_with(&provider, |plan| plan.settings.throttle.max_attempts = 0).await;
    let error = |word: &str| format!("/sign-in?error={word}");
    leads_to(&house.get("/auth/google/callback?code=a&state=b").send().await, &error("expired"));
    leads_to(&house.get("/auth/google?to=//evil.example").send().await, &error("refused"));
    let mut browser = Browser::new(&house);
    let state = query(&browser.leave(GOOGLE).await)["state"].clone();
    let path = format!("/auth/google/callback?error=access_denied&state={state}");
    leads_to(&browser.get(&path).await, &error("refused"));
    provider.change(|state| state.twist = |claims: &mut Value| claims["aud"] = json!("another"));
    let answer = browser.sign_in(&provider, GOOGLE, &person("gil")).await;
    leads_to(&answer, &error("provider"));
    assert!(browser.cookies.is_empty());
    // What left for Google does not come back by the other door.
    provider.change(|state| state.twist = |_| {});
    let location = browser.leave(GOOGLE).await;
    let mut ticket = provider.approve(&location, &person("gil"));
    ticket.path = "/auth/sso/callback".to_owned();
    assert_eq!(browser.come_back(&ticket).await.status, 404);

    let closed = house_with(&provider, |plan| {
        plan.settings.registration = RegistrationMode::Closed;
    });
    let closed = closed.await;
    let answer = Browser::new(&closed).sign_in(&provider, GOOGLE, &person("gil")).await;
    leads_to(&answer, &error("registration_closed"));
}
