//! Sign-in through a provider: who comes in, as whom, and with what.

use std::time::Duration;

use gatelodge::domain::sign_up::RegistrationMode;
use serde_json::json;

use super::{
    house::{Answer, House, PASSWORD, Plan, text},
    oidc_server::{BASE, Browser, Provider, Signing, person, query},
};

const LOGIN: &str = "/auth/sso/login";

/// A house with `ann` and `bob`, where strangers of the provider get an account.
async fn house_of(provider: &Provider) -> House {
    House::lived_in_with(provider.plan("home")).await
}

fn is_in(answer: &Answer, to: &str) {
    assert_eq!((answer.status, answer.header("location").as_str()), (302, to), "{}", answer.text());
}

#[track_caller]
fn refused(answer: &Answer, status: u16, words: &str) {
    let said = answer.json()["error"].as_str().expect("words").to_owned();
    assert_eq!(answer.status, status, "{said}");
    assert!(said.contains(words), "{said}");
    assert_eq!(answer.header("www-authenticate"), "", "a window of the browser's own");
}

#[tokio::test]
async fn a_browser_leaves_with_state_nonce_and_pkce_and_a_cookie_of_ten_minutes() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let answer = house.get("/auth/sso/login?to=/account").send().await;
    let location = answer.header("location");
    assert_eq!(answer.status, 302);
    assert!(location.starts_with(&format!("{}/authorize?tenant=1&", provider.url)), "{location}");
    let asked = query(&location);
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["client_id"], "gatelodge");
    assert_eq!(asked["scope"], "openid profile email");
    assert_eq!(asked["redirect_uri"], format!("{BASE}/auth/sso/callback"));
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["code_challenge"].len(), 43);
    assert!(asked["state"].len() >= 43 && asked["nonce"].len() >= 43);
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("sso="), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; Path=/; SameSite=Lax; Max-Age=600"), "{cookie}");
    for secret in [&asked["state"], &asked["nonce"]] {
        assert!(!cookie.contains(secret.as_str()));
    }
    let again = house.get(LOGIN).send().await.header("location");
    assert_ne!(query(&again)["state"], asked["state"]);
}

#[tokio::test]
async fn a_stranger_gets_an_account_and_two_sessions_of_one_sign_in() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut browser = Browser::new(&house);
    let answer = browser.sign_in(&provider, "/auth/sso/login?to=/account", &person("kim")).await;
    is_in(&answer, "/account");
    assert!(!browser.cookies.contains_key("sso"), "the ticket is gone");
    let user = browser.user().await;
    assert_eq!(user["username"], "kim");
    assert_eq!(user["email"], "kim@elsewhere.example");
    assert_eq!((&user["email_verified"], &user["has_password"]), (&json!(true), &json!(false)));
    assert_eq!((&user["role"], &user["status"]), (&json!("reader"), &json!("active")));
    let me = browser.get("/api/2/me").await;
    assert_eq!((me.status, &me.json()["username"]), (200, &json!("kim")));

    let sessions = browser.get("/api/v1/user/sessions").await.json()["data"].clone();
    let sessions = sessions.as_array().expect("sessions").clone();
    let mut dialects: Vec<_> = sessions.iter().map(|s| text(&s["dialect"])).collect();
    dialects.sort();
    assert_eq!(dialects, ["gpodder", "pages"]);
    assert!(sessions.iter().all(|session| session["method"] == "sso"));
    let podcasts = sessions.iter().find(|s| s["dialect"] == "gpodder").expect("it");
    let path = format!("/api/v1/user/sessions/{}", text(&podcasts["id"]));
    let ask = house.delete(&path);
    assert_eq!(browser.send(ask).await.status, 204);
    assert_eq!(browser.get("/api/2/me").await.status, 401);
    assert_eq!(browser.get("/api/v1/user").await.status, 200);

    let token = house.token("ann").await;
    let path = format!("/api/v1/events?account={}", text(&user["id"]));
    let events = house.get(&path).bearer(&token).send().await.json()["data"].clone();
    let kinds: Vec<_> =
        events.as_array().expect("events").iter().map(|e| text(&e["kind"])).collect();
    assert_eq!(kinds, ["session_ended", "signed_in", "account_created"]);
    assert_eq!(events[1]["detail"], "sso: home");
}

#[tokio::test]
async fn whoever_came_before_is_known_by_issuer_and_subject_whatever_else_changes() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut browser = Browser::new(&house);
    browser.sign_in(&provider, LOGIN, &person("kim")).await;
    let id = browser.user().await["id"].clone();
    let mut renamed = person("somebody-else");
    renamed["sub"] = json!("sub-kim");
    let mut other = Browser::new(&house);
    is_in(&other.sign_in(&provider, LOGIN, &renamed).await, "/");
    let user = other.user().await;
    assert_eq!((&user["id"], &user["username"]), (&id, &json!("kim")));
    assert_eq!(user["email"], "kim@elsewhere.example", "an address is not changed from elsewhere");
    let mut twin = person("kim");
    twin["sub"] = json!("another-kim");
    twin["email"] = json!("kim2@elsewhere.example");
    let mut third = Browser::new(&house);
    third.sign_in(&provider, LOGIN, &twin).await;
    assert_eq!(third.user().await["username"], "kim2", "made unique with a number");
}

#[tokio::test]
async fn each_of_the_three_algorithms_is_believed() {
    for signing in [Signing::rsa(), Signing::p256(), Signing::ed25519()] {
        let name = signing.algorithm();
        let provider = Provider::signing(signing).await;
        let house = house_of(&provider).await;
        let answer = Browser::new(&house).sign_in(&provider, LOGIN, &person("kim")).await;
        assert_eq!(answer.status, 302, "{name}: {}", answer.text());
    }
}

#[tokio::test]
async fn names_and_groups_that_only_userinfo_knows_are_asked_for() {
    let provider = Provider::start().await;
    let endpoint = json!(format!("{}/userinfo", provider.url));
    provider.change(|state| {
        state.discovery["userinfo_endpoint"] = endpoint;
        let mut claims = person("kim");
        claims["groups"] = json!(["staff"]);
        state.userinfo = Some(claims);
    });
    let plan = provider.plan("home");
    let house = House::lived_in_with(|house| {
        plan(house);
        let mapping = vec![("staff".to_owned(), "maintainer".to_owned())];
        house.settings.sso.providers[0].role_mapping = mapping;
    });
    let house = house.await;
    let mut browser = Browser::new(&house);
    is_in(&browser.sign_in(&provider, LOGIN, &json!({"sub": "sub-kim"})).await, "/");
    let user = browser.user().await;
    assert_eq!((&user["username"], &user["role"]), (&json!("kim"), &json!("maintainer")));
    // Userinfo of somebody else is no userinfo.
    let answer = Browser::new(&house).sign_in(&provider, LOGIN, &json!({"sub": "sub-eve"})).await;
    refused(&answer, 403, "different people");
}

#[tokio::test]
async fn without_a_provider_there_are_no_such_doors() {
    let house = House::lived_in().await;
    for path in [LOGIN, "/auth/sso/callback", "/auth/google", "/auth/google/callback"] {
        let answer = house.get(path).send().await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    let info = house.get("/auth/sso/info").send().await;
    let nothing = json!({"enabled": false, "provider_name": null, "registration": "closed"});
    assert_eq!((info.status, info.json()), (200, nothing));
}

#[tokio::test]
async fn the_first_in_the_file_that_is_not_google_is_meant_without_a_name() {
    let (google, home, work) =
        (Provider::start().await, Provider::start().await, Provider::start().await);
    let plan = google.plan("google");
    let house = House::lived_in_with(|house| {
        plan(house);
        house.settings.sso.providers.extend([home.settings("home"), work.settings("work")]);
    });
    let house = house.await;
    let at = async |path: &str| house.get(path).send().await.header("location");
    assert!(at(LOGIN).await.starts_with(&home.url));
    assert!(at("/auth/sso/login?provider=work").await.starts_with(&work.url));
    for unknown in ["google", "nobody", "", "home%00"] {
        let answer = house.get(&format!("/auth/sso/login?provider={unknown}")).send().await;
        refused(&answer, 404, "no such provider");
    }
    let info = house.get("/auth/sso/info").send().await.json();
    assert_eq!(info, json!({"enabled": true, "provider_name": "The home", "registration": "open"}));
    let options = house.get("/api/v1/auth/options").send().await.json();
    let listed = options["providers"].as_array().expect("a list").iter();
    let urls: Vec<_> = listed.map(|provider| text(&provider["login_url"])).collect();
    let expected =
        ["/auth/google", "/auth/sso/login?provider=home", "/auth/sso/login?provider=work"];
    assert_eq!(urls, expected);
}

#[tokio::test]
async fn a_provider_whose_door_is_shut_is_not_offered_and_its_door_is_404_for_all() {
    let (google, home) = (Provider::start().await, Provider::start().await);
    let plan = google.plan("google");
    let house = House::lived_in_with(|house| {
        plan(house);
        house.settings.sso.providers.push(home.settings("home"));
        house.http.dialects.gpodder = false;
    });
    let house = house.await;
    let options = house.get("/api/v1/auth/options").send().await.json();
    let listed = options["providers"].as_array().expect("a list");
    assert_eq!((listed.len(), &listed[0]["name"]), (1, &json!("google")));
    for path in [LOGIN, "/auth/sso/callback", "/auth/sso/info"] {
        assert_eq!(house.get(path).send().await.status, 404, "{path}");
    }
    assert_eq!(house.get("/auth/google").send().await.status, 302);
}

fn with(plan: impl Fn(&mut Plan), change: impl FnOnce(&mut Plan)) -> impl FnOnce(&mut Plan) {
    move |house| {
        plan(house);
        change(house);
    }
}

#[tokio::test]
async fn a_stranger_is_told_so_where_accounts_are_not_made() {
    let provider = Provider::start().await;
    let closed = with(provider.plan("home"), |house| {
        house.settings.registration = RegistrationMode::Closed;
    });
    let no = with(provider.plan("home"), |house| house.settings.sso.auto_create = false);
    for (house, words) in [
        (House::lived_in_with(closed).await, "Registration is closed"),
        (House::lived_in_with(no).await, "nobody here is known"),
    ] {
        let mut browser = Browser::new(&house);
        let answer = browser.sign_in(&provider, LOGIN, &person("kim")).await;
        refused(&answer, 403, words);
        assert!(browser.cookies.is_empty());
        let token = house.token("ann").await;
        let users = house.get("/api/v1/users").bearer(&token).send().await.json();
        assert_eq!(users["total"], 2);
    }
}

#[tokio::test]
async fn the_first_account_is_not_made_by_a_get_that_any_page_can_provoke() {
    let provider = Provider::start().await;
    let house = House::with(provider.plan("home")).await;
    let printed = house.core.setup_token_make().await.expect("a house").expect("a token");
    let answer = Browser::new(&house).sign_in(&provider, LOGIN, &person("kim")).await;
    refused(&answer, 403, "set-up token");
    let mut browser = Browser::new(&house);
    let ask = house.get(LOGIN).header("x-setup-token", printed.reveal());
    let location = browser.send(ask).await.header("location");
    is_in(&browser.come_back(&provider.approve(&location, &person("kim"))).await, "/");
    assert_eq!(browser.user().await["role"], "admin");
    let mut second = Browser::new(&house);
    is_in(&second.sign_in(&provider, LOGIN, &person("lea")).await, "/");
    assert_eq!(second.user().await["role"], "reader");
}

#[tokio::test]
async fn in_invite_mode_an_account_waits_for_its_letter() {
    let provider = Provider::start().await;
    let plan = with(provider.plan("home"), |house| {
        house.settings.registration = RegistrationMode::Invite;
    });
    let house = House::lived_in_with(plan).await;
    let mut browser = Browser::new(&house);
    let answer = browser.sign_in(&provider, LOGIN, &person("kim")).await;
    refused(&answer, 403, "follow the link in the letter");
    assert!(browser.cookies.is_empty());
    let answer = browser.sign_in(&provider, LOGIN, &person("kim")).await;
    refused(&answer, 403, "not active");
    let nameless = json!({"sub": "sub-lea", "preferred_username": "lea"});
    let answer = browser.sign_in(&provider, LOGIN, &nameless).await;
    refused(&answer, 403, "does not vouch");
}

#[tokio::test]
async fn disabled_and_deleted_accounts_do_not_come_in() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut browser = Browser::new(&house);
    browser.sign_in(&provider, LOGIN, &person("kim")).await;
    let path = format!("/api/v1/users/{}", text(&browser.user().await["id"]));
    let token = house.token("ann").await;
    let ask = house.patch(&path).bearer(&token).json(&json!({"status": "disabled"}));
    assert_eq!(ask.send().await.status, 200);
    assert_eq!(browser.get("/api/v1/user").await.status, 401);
    let answer = browser.sign_in(&provider, LOGIN, &person("kim")).await;
    refused(&answer, 403, "not active");
    assert_eq!(house.delete(&path).bearer(&token).send().await.status, 204);
    is_in(&browser.sign_in(&provider, LOGIN, &person("kim")).await, "/");
    assert_ne!(format!("/api/v1/users/{}", text(&browser.user().await["id"])), path);
}

#[tokio::test]
async fn failed_sign_ins_share_the_one_throttle_and_the_log() {
    let provider = Provider::start().await;
    let plan = with(provider.plan("home"), |house| house.settings.sso.auto_create = false);
    let house = House::lived_in_with(plan).await;
    for _ in 0..5 {
        let answer = Browser::new(&house).sign_in(&provider, LOGIN, &person("kim")).await;
        assert_eq!(answer.status, 403);
    }
    let answer = Browser::new(&house).sign_in(&provider, LOGIN, &person("kim")).await;
    assert_eq!((answer.status, answer.header("retry-after").as_str()), (429, "300"));
    let body = json!({"username": "ann", "password": PASSWORD});
    assert_eq!(house.post("/api/v1/auth/login").json(&body).send().await.status, 429);
    house.core.settle().await.expect("written");
    house.clock.advance(Duration::from_secs(300));
    let token = house.token("ann").await;
    let failures = house.get("/api/v1/events?kind=login_failure").bearer(&token).send().await;
    let failures = failures.json();
    assert_eq!(failures["total"], 5, "{failures}");
    assert!(text(&failures["data"][0]["detail"]).starts_with("home: nobody here is known"));
}

#[tokio::test]
async fn an_account_without_a_password_may_get_one_and_then_has_two_ways_in() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut browser = Browser::new(&house);
    browser.sign_in(&provider, LOGIN, &person("kim")).await;
    let body = json!({"new_password": PASSWORD});
    let ask = house.post("/api/v1/user/password").json(&body);
    assert_eq!(browser.send(ask).await.status, 200);
    let identities = browser.get("/api/v1/user/identities").await.json();
    assert_eq!(identities["data"][0]["provider"], "home");
    let path = format!("/api/v1/user/identities/{}", text(&identities["data"][0]["id"]));
    let ask = house.delete(&path);
    assert_eq!(browser.send(ask).await.status, 204);
    assert_eq!(house.login("kim").await["user"]["username"], "kim");
    assert_eq!(browser.get("/api/v1/user/identities").await.json(), json!({"data": []}));
}

#[tokio::test]
async fn where_addresses_must_be_confirmed_only_those_come_in_for_whom_the_provider_vouches() {
    let provider = Provider::start().await;
    let plan = with(provider.plan("home"), |house| {
        house.settings.email_confirmation_required = true;
    });
    let house = House::lived_in_with(plan).await;
    is_in(&Browser::new(&house).sign_in(&provider, LOGIN, &person("kim")).await, "/");
    let mut lea = person("lea");
    lea["email_verified"] = json!(false);
    let answer = Browser::new(&house).sign_in(&provider, LOGIN, &lea).await;
    refused(&answer, 403, "does not vouch");
    let token = house.token("ann").await;
    let outbox = house.get("/api/v1/outbox").bearer(&token).send().await.json();
    assert_eq!(outbox["total"], 0, "{outbox}");
}

#[tokio::test]
async fn a_podcast_client_of_an_account_without_a_password_gets_one_without_an_old_one() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut browser = Browser::new(&house);
    browser.sign_in(&provider, LOGIN, &person("kim")).await;
    let ask = house.post("/api/2/me/password").json(&json!({"new_password": PASSWORD}));
    assert_eq!(browser.send(ask).await.status, 200);
    let basic = house.get("/api/2/me").basic("kim", PASSWORD).send().await;
    assert_eq!((basic.status, &basic.json()["username"]), (200, &json!("kim")));
}
