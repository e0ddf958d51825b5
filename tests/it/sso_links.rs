//! Linking: an account is never taken over by an address, and only its owner adds a way in.

use std::time::Duration;

use gatelodge::domain::sign_up::RegistrationMode;
use serde_json::{Value, json};

use super::{
    house::{Answer, House, PASSWORD, text},
    native_auth::cookie_of,
    oidc_server::{Browser, Provider, person},
};

const LOGIN: &str = "/auth/sso/login";
const IDENTITIES: &str = "/api/v1/user/identities";

#[track_caller]
fn refused(answer: &Answer, status: u16, words: &str) {
    let said = answer.json()["error"].as_str().expect("words").to_owned();
    assert_eq!(answer.status, status, "{said}");
    assert!(said.contains(words), "{words}: {said}");
}

async fn house_of(provider: &Provider) -> House {
    House::lived_in_with(provider.plan("home")).await
}

/// A browser in which `name` is signed in to the pages.
async fn signed_in<'a>(house: &'a House, name: &str) -> Browser<'a> {
    let mut browser = Browser::new(house);
    let body = json!({"username": name, "password": PASSWORD});
    let answer = browser.send(house.post("/api/v1/auth/session").json(&body)).await;
    assert!(cookie_of(&answer).starts_with("session="));
    browser
}

async fn ask_to_link<'a>(house: &'a House, browser: &mut Browser<'a>, more: Value) -> Answer {
    let mut body = json!({"provider": "home", "current_password": PASSWORD, "to": "/account"});
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    browser.send(house.post(IDENTITIES).json(&body)).await
}

/// Leaves to link; where to.
async fn leave_to_link<'a>(house: &'a House, browser: &mut Browser<'a>) -> String {
    let answer = ask_to_link(house, browser, json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    text(&answer.json()["location"])
}

async fn identities(browser: &mut Browser<'_>) -> Vec<Value> {
    let listed = browser.get(IDENTITIES).await.json();
    listed["data"].as_array().expect("identities").clone()
}

#[tokio::test]
async fn an_owner_links_while_signed_in_and_then_signs_in_by_it() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut bob = signed_in(&house, "bob").await;
    let before = bob.cookies.clone();
    let location = leave_to_link(&house, &mut bob).await;
    let answer = bob.come_back(&provider.approve(&location, &person("robert"))).await;
    assert_eq!((answer.status, answer.header("location").as_str()), (302, "/account"));
    assert_eq!(bob.cookies, before, "the session is the one that was there");
    let linked = identities(&mut bob).await;
    assert_eq!(linked.len(), 1);
    assert_eq!(
        (&linked[0]["provider"], &linked[0]["subject"]),
        (&json!("home"), &json!("sub-robert"))
    );
    let mut elsewhere = Browser::new(&house);
    assert_eq!(elsewhere.sign_in(&provider, LOGIN, &person("robert")).await.status, 302);
    assert_eq!(elsewhere.user().await["username"], "bob");
    let token = house.token("ann").await;
    let events = house.get("/api/v1/events?kind=identity_linked").bearer(&token).send().await;
    assert_eq!(events.json()["data"][0]["detail"], "home");

    let path = format!("{IDENTITIES}/{}", text(&linked[0]["id"]));
    let ask = house.delete(&path);
    assert_eq!(bob.send(ask).await.status, 204);
    let mut stranger = Browser::new(&house);
    stranger.sign_in(&provider, LOGIN, &person("robert")).await;
    assert_eq!(stranger.user().await["username"], "robert", "nobody is known by it any more");
}

#[tokio::test]
async fn the_last_way_in_is_not_unlinked() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut kim = Browser::new(&house);
    kim.sign_in(&provider, LOGIN, &person("kim")).await;
    let path = format!("{IDENTITIES}/{}", text(&identities(&mut kim).await[0]["id"]));
    let ask = house.delete(&path);
    kim.send(ask).await.problem(409, "conflict");
    let mut bob = signed_in(&house, "bob").await;
    let ask = house.delete(&path);
    bob.send(ask).await.problem(404, "not_found");
}

#[tokio::test]
async fn linking_asks_for_the_password_and_refuses_what_is_not_ours() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut bob = signed_in(&house, "bob").await;
    let ask = async |bob: &mut Browser<'_>, more: Value| {
        let mut body = json!({"provider": "home", "current_password": PASSWORD});
        body[more["name"].as_str().expect("a name")] = more["value"].clone();
        let answer = bob.cookies.clone();
        let jar: Vec<_> = answer.iter().map(|(name, value)| format!("{name}={value}")).collect();
        house.post(IDENTITIES).header("cookie", &jar.join("; ")).json(&body).send().await
    };
    for (name, value, status) in [
        ("current_password", json!("wrong"), 422),
        ("current_password", Value::Null, 422),
        ("provider", json!("google"), 404),
        ("provider", json!("nobody"), 404),
        ("to", json!("//evil.example"), 422),
        ("to", json!("/\\evil.example"), 422),
        ("more", json!(1), 422),
    ] {
        let answer = ask(&mut bob, json!({"name": name, "value": value})).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert_eq!(answer.header("set-cookie"), "", "{name}");
    }
    let elsewhere = house.post(IDENTITIES).header("origin", "https://evil.example");
    let body = json!({"provider": "home", "current_password": PASSWORD});
    bob.send(elsewhere.json(&body)).await.problem(403, "forbidden");
    let token = house.token("bob").await;
    let key = house.post("/api/v1/api-keys").bearer(&token).json(&json!({"name": "key"}));
    let key = text(&key.send().await.json()["key"]);
    let by_key = house.post(IDENTITIES).bearer(&key).json(&body).send().await;
    by_key.problem(403, "forbidden");
    let basic = house.post(IDENTITIES).basic("bob", PASSWORD).json(&body).send().await;
    basic.problem(403, "forbidden");
    assert_eq!(house.get(IDENTITIES).bearer(&token).send().await.json(), json!({"data": []}));
}

#[tokio::test]
async fn a_link_is_made_only_in_the_session_that_asked_for_it() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut bob = signed_in(&house, "bob").await;
    let location = leave_to_link(&house, &mut bob).await;
    let ticket = provider.approve(&location, &person("robert"));
    // Another session in the same browser: of somebody else, of the same person, of nobody.
    let ours = bob.cookies["sso"].clone();
    for other in [Some("ann"), Some("bob"), None] {
        let mut browser = match other {
            Some(name) => signed_in(&house, name).await,
            None => Browser::new(&house),
        };
        let location = leave_to_link(&house, &mut bob).await;
        let ticket = provider.approve(&location, &person("robert"));
        browser.cookies.insert("sso".to_owned(), bob.cookies["sso"].clone());
        refused(&browser.come_back(&ticket).await, 400, "sign-in is not valid");
    }
    bob.cookies.insert("sso".to_owned(), ours);
    let sessions = house.delete("/api/v1/user/sessions").bearer(&house.token("bob").await).send();
    assert_eq!(sessions.await.status, 204);
    refused(&bob.come_back(&ticket).await, 400, "sign-in is not valid");
    let mut again = signed_in(&house, "bob").await;
    assert!(identities(&mut again).await.is_empty());
    assert!(identities(&mut signed_in(&house, "ann").await).await.is_empty());
}

#[tokio::test]
async fn what_is_linked_to_one_account_is_not_linked_to_another() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    for (name, status) in [("bob", 302), ("bob", 302), ("ann", 409)] {
        let mut browser = signed_in(&house, name).await;
        let location = leave_to_link(&house, &mut browser).await;
        let answer = browser.come_back(&provider.approve(&location, &person("robert"))).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
    }
    assert!(identities(&mut signed_in(&house, "ann").await).await.is_empty());
    assert_eq!(identities(&mut signed_in(&house, "bob").await).await.len(), 1);
}

#[tokio::test]
async fn hostile_an_address_takes_over_no_account_verified_or_not() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    for verified in [json!(true), json!(false), json!("true"), Value::Null] {
        for email in ["bob@example.org", "BOB@Example.ORG", "ann@example.org"] {
            let claims = json!({
                "sub": "evil", "preferred_username": "bob", "email": email,
                "email_verified": verified,
            });
            let mut browser = Browser::new(&house);
            let answer = browser.sign_in(&provider, LOGIN, &claims).await;
            refused(&answer, 409, "an account here has this e-mail address");
            assert!(!browser.cookies.contains_key("session"));
        }
    }
    // The name alone is nobody's proof either.
    let mut browser = Browser::new(&house);
    let claims = json!({"sub": "evil", "preferred_username": "ann"});
    assert_eq!(browser.sign_in(&provider, LOGIN, &claims).await.status, 302);
    let user = browser.user().await;
    assert_eq!((&user["username"], &user["role"]), (&json!("ann2"), &json!("reader")));
}

#[tokio::test]
async fn hostile_an_address_that_nobody_vouches_for_is_not_sat_on() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let claims = json!({
        "sub": "evil", "preferred_username": "eve", "email": "victim@example.org",
        "email_verified": false,
    });
    let mut eve = Browser::new(&house);
    assert_eq!(eve.sign_in(&provider, LOGIN, &claims).await.status, 302);
    let user = eve.user().await;
    assert_eq!((&user["email"], &user["email_verified"]), (&Value::Null, &json!(false)));
    let body = json!({
        "username": "victim", "email": "victim@example.org", "password": PASSWORD,
    });
    let victim = house.post("/api/v1/auth/register").json(&body).send().await;
    assert_eq!(victim.status, 201, "{}", victim.text());
}

#[tokio::test]
async fn hostile_an_address_that_no_provider_vouches_for_is_confirmed_for_nobody() {
    let provider = Provider::start().await;
    for mode in [RegistrationMode::Invite, RegistrationMode::Open] {
        let plan = provider.plan("home");
        let house = House::lived_in_with(|house| {
            plan(house);
            house.settings.registration = mode;
            house.settings.email_confirmation_required = true;
        });
        let house = house.await;
        for verified in [json!(false), json!("true"), Value::Null] {
            let claims = json!({
                "sub": "evil", "preferred_username": "eve", "email": "victim@example.org",
                "email_verified": verified,
            });
            let answer = Browser::new(&house).sign_in(&provider, LOGIN, &claims).await;
            refused(&answer, 403, "does not vouch");
        }
        // Nothing is written to the owner of the address that could be followed.
        let token = house.token("ann").await;
        for path in ["/api/v1/outbox", "/api/v1/users?q=victim"] {
            let found = house.get(path).bearer(&token).send().await.json();
            assert_eq!(found["total"], 0, "{found}");
        }
        let body = json!({
            "username": "victim", "email": "victim@example.org", "password": PASSWORD,
        });
        let victim = house.post("/api/v1/auth/register").json(&body).send().await;
        assert_eq!(victim.status, 201, "{}", victim.text());
    }
}

#[tokio::test]
async fn hostile_a_callback_in_another_browser_is_refused() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    // Login CSRF: the attacker's code in the victim's browser.
    let mut attacker = Browser::new(&house);
    let location = attacker.leave(LOGIN).await;
    let ticket = provider.approve(&location, &person("eve"));
    let mut victim = Browser::new(&house);
    for _ in 0..7 {
        refused(&victim.come_back(&ticket).await, 400, "sign-in is not valid");
    }
    victim.leave(LOGIN).await;
    refused(&victim.come_back(&ticket).await, 400, "sign-in is not valid");
    assert!(victim.cookies.is_empty());
    assert_eq!(attacker.come_back(&ticket).await.status, 302, "and nobody is locked out by it");
}

#[tokio::test]
async fn hostile_a_state_is_good_once_and_for_ten_minutes() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut browser = Browser::new(&house);
    let location = browser.leave(LOGIN).await;
    let stolen = browser.cookies.clone();
    let ticket = provider.approve(&location, &person("kim"));
    assert_eq!(browser.come_back(&ticket).await.status, 302);
    let mut again = Browser::new(&house);
    again.cookies = stolen.clone();
    refused(&again.come_back(&ticket).await, 400, "sign-in is not valid");
    let mut fresh = provider.approve(&location, &person("kim"));
    again.cookies = stolen;
    refused(&again.come_back(&fresh).await, 400, "sign-in is not valid");

    let location = browser.leave(LOGIN).await;
    fresh = provider.approve(&location, &person("kim"));
    let tampered = super::oidc_server::Ticket {
        query: fresh.query.replace("state=", "state=x"),
        ..fresh.clone()
    };
    let jar = browser.cookies.clone();
    refused(&browser.come_back(&tampered).await, 400, "sign-in is not valid");
    browser.cookies = jar;
    house.clock.advance(Duration::from_secs(600));
    refused(&browser.come_back(&fresh).await, 400, "sign-in is not valid");
}

#[tokio::test]
async fn hostile_of_fifty_who_come_back_at_once_exactly_one_comes_in() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut browser = Browser::new(&house);
    let location = browser.leave(LOGIN).await;
    let ticket = provider.approve(&location, &person("kim"));
    let cookie = format!("sso={}", browser.cookies["sso"]);
    let path = format!("{}?{}", ticket.path, ticket.query);
    let asks = (0..50).map(|_| house.get(&path).header("cookie", &cookie).send());
    let answers = futures_util::future::join_all(asks).await;
    let of = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((of(302), of(400)), (1, 49));
}

#[tokio::test]
async fn hostile_a_target_elsewhere_is_refused_before_anybody_leaves() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    for to in [
        "//evil.example",
        "https://evil.example",
        "https:evil.example",
        "/%5Cevil.example",
        "/.//evil.example/x",
        "/..//evil.example/x",
        "/%252e//evil.example/x",
        "/a/..//evil.example/x",
        "%5C%5Cevil.example",
        "/%09/evil.example",
        "/%0D%0ASet-Cookie:%20a=b",
        "user@evil.example",
        "javascript:alert(1)",
        "",
        "http://localhost:9090/",
    ] {
        let answer = house.get(&format!("{LOGIN}?to={to}")).send().await;
        refused(&answer, 400, "to must be a path of this server");
        assert_eq!(answer.header("location"), "");
    }
    // An encoded one stays a path of ours.
    let mut browser = Browser::new(&house);
    let path = format!("{LOGIN}?to=/%252F%252Fevil.example");
    let answer = browser.sign_in(&provider, &path, &person("kim")).await;
    assert_eq!(answer.header("location"), "/%2F%2Fevil.example");
}
