//! What comes by letter: confirmed addresses and forgotten passwords.

use std::time::Duration;

use futures_util::future::join_all;
use gatelodge::domain::sign_up::RegistrationMode;
use serde_json::{Value, json};

use super::{
    house::{Answer, House, PASSWORD, text},
    native_register::{letter, token_in},
};

const NEW: &str = "Chestnut-tree-8";
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn pending() -> House {
    let house =
        House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Invite).await;
    let body = json!({"username": "cleo", "email": "cleo@example.org", "password": PASSWORD});
    assert_eq!(house.post("/api/v1/auth/register").json(&body).send().await.status, 201);
    house
}

async fn verify(house: &House, token: &str) -> Answer {
    house.post("/api/v1/auth/verify-email").json(&json!({"token": token})).send().await
}

async fn resend(house: &House, email: &str) -> Answer {
    let body = json!({"email": email});
    house.post("/api/v1/auth/resend-verification").json(&body).send().await
}

async fn forgot(house: &House, email: &str) -> Answer {
    house.post("/api/v1/auth/forgot-password").json(&json!({"email": email})).send().await
}

async fn reset(house: &House, token: &str, new: &str) -> Answer {
    let body = json!({"token": token, "new_password": new});
    let answer = house.post("/api/v1/auth/reset-password").json(&body).send().await;
    let said = answer.text();
    assert!(new.is_empty() || !said.contains(new), "{said}");
    assert!(token.is_empty() || !said.contains(token), "{said}");
    answer
}

async fn login(house: &House, name: &str, password: &str) -> u16 {
    let body = json!({"username": name, "password": password});
    house.post("/api/v1/auth/login").json(&body).send().await.status
}

pub async fn link(house: &House, recipient: &str) -> String {
    token_in(&letter(house, recipient).await.expect("a letter")["link"])
}

async fn letters(house: &House) -> Vec<Value> {
    house.core.quiet().await;
    let token = house.token("ann").await;
    let outbox = house.get("/api/v1/outbox?page_size=200").bearer(&token).send().await.json();
    outbox["data"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_link_activates_once() {
    let house = pending().await;
    let token = link(&house, "cleo@example.org").await;
    assert_eq!(verify(&house, &token).await.status, 200);
    verify(&house, &token).await.problem(400, "bad_request");
    let used = letter(&house, "cleo@example.org").await.expect("a letter");
    assert_eq!(used["link"], Value::Null, "what is used up is wiped");
}

#[tokio::test]
async fn of_many_who_follow_a_link_at_once_one_succeeds() {
    let house = pending().await;
    let token = link(&house, "cleo@example.org").await;
    let all = join_all((0..20).map(|_| verify(&house, &token))).await;
    assert_eq!(all.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(all.iter().filter(|answer| answer.status == 400).count(), 19);
}

#[tokio::test]
async fn links_that_are_not_ours_verify_nothing() {
    let house = pending().await;
    let token = link(&house, "cleo@example.org").await;
    let long = token.repeat(1000);
    let spellings = [token.to_uppercase(), token.replace('-', ""), format!("{{{token}}}")];
    let others = ["", "x", "7c9e6679-7425-40de-944b-e07fc1f90ae7", &long, "\u{0}"];
    for bad in others.into_iter().chain(spellings.iter().map(String::as_str)) {
        let answer = verify(&house, bad).await;
        answer.problem(400, "bad_request");
        assert!(bad.len() < 8 || !answer.text().contains(bad));
    }
    assert_eq!(login(&house, "cleo", PASSWORD).await, 401);
    assert_eq!(verify(&house, &token).await.status, 200);
}

#[tokio::test]
async fn a_letter_sent_again_replaces_the_one_before() {
    let house = pending().await;
    let first = link(&house, "cleo@example.org").await;
    let answer = resend(&house, "Cleo@Example.org").await;
    assert_eq!(answer.status, 200);
    let second = link(&house, "cleo@example.org").await;
    assert_ne!(first, second);
    verify(&house, &first).await.problem(400, "bad_request");
    assert_eq!(verify(&house, &second).await.status, 200);
}

#[tokio::test]
async fn asking_for_a_letter_tells_nothing_about_accounts() {
    let house = pending().await;
    let ann = house.token("ann").await;
    house.core.quiet().await;
    let before = letters(&house).await.len();
    let long = format!("{}@example.org", "n".repeat(5000));
    let others = ["nobody@example.org", "bob@example.org", "no address", "", &long];
    let answers = join_all(others.map(|email| resend(&house, email))).await;
    let known = resend(&house, "cleo@example.org").await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &known.body));
    }
    assert_eq!(letters(&house).await.len(), before + 1, "one letter, to the one who waits");

    let others = ["nobody@example.org", "cleo@example.org", "no address", "", &long];
    let answers = join_all(others.map(|email| forgot(&house, email))).await;
    let known = forgot(&house, "bob@example.org").await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &known.body));
    }
    assert_eq!(letters(&house).await.len(), before + 2, "a pending account gets none");
    let me = house.get("/api/v1/user").bearer(&ann).send().await;
    assert_eq!(me.status, 200);
}

#[tokio::test]
async fn an_address_gets_three_letters_for_one_purpose_in_an_hour() {
    let house = House::lived_in().await;
    for _ in 0..5 {
        assert_eq!(forgot(&house, "bob@example.org").await.status, 200);
        house.core.quiet().await;
    }
    assert_eq!(letters(&house).await.len(), 3);
    let last = link(&house, "bob@example.org").await;
    assert_eq!(reset(&house, &last, NEW).await.status, 200, "what is dropped ends nothing");
    house.clock.advance(Duration::from_secs(3600));
    assert_eq!(forgot(&house, "bob@example.org").await.status, 200);
    assert_eq!(letters(&house).await.len(), 4);
}

#[tokio::test]
async fn a_client_causes_twenty_letters_in_an_hour() {
    let house = House::lived_in().await;
    for number in 0..9 {
        house.add(&format!("guest{number}"), "reader").await;
    }
    for _ in 0..3 {
        for number in 0..9 {
            forgot(&house, &format!("guest{number}@example.org")).await;
            house.core.quiet().await;
        }
    }
    assert_eq!(letters(&house).await.len(), 20);
}

#[tokio::test]
async fn links_lead_to_our_own_address_whatever_the_host_says() {
    let house = House::lived_in().await;
    let body = json!({"email": "bob@example.org"});
    let ask = house.post("/api/v1/auth/forgot-password").header("host", "evil.example");
    assert_eq!(ask.json(&body).send().await.status, 200);
    let letter = letter(&house, "bob@example.org").await.expect("a letter");
    assert!(text(&letter["link"]).starts_with("https://gate.example.org/reset?token="));
    assert_eq!(letter["status"], "waiting");
}

#[tokio::test]
async fn without_an_address_of_ours_letters_are_held_for_the_admin() {
    let house = House::lived_in_with(|plan| plan.settings.link_base = None).await;
    forgot(&house, "bob@example.org").await;
    let letter = letter(&house, "bob@example.org").await.expect("a letter");
    assert_eq!(letter["status"], "held");
    assert!(text(&letter["link"]).starts_with("/reset?token="));
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_and_every_session_ends() {
    let house = House::lived_in().await;
    let old = house.login("bob").await;
    assert_eq!(house.get("/api/v1/user").basic("bob", PASSWORD).send().await.status, 200);
    forgot(&house, "Bob@example.org").await;
    let token = link(&house, "bob@example.org").await;
    let answer = reset(&house, &token, NEW).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (200, String::new()));
    assert!(answer.json().get("token").is_none(), "it does not sign in");

    let me = house.get("/api/v1/user").bearer(&text(&old["token"])).send().await;
    me.problem(401, "unauthorized");
    let body = json!({"refresh_token": old["refresh_token"]});
    let refresh = house.post("/api/v1/auth/refresh").json(&body).send().await;
    refresh.problem(401, "unauthorized");
    let basic = house.get("/api/v1/user").basic("bob", PASSWORD).send().await;
    basic.problem(401, "unauthorized");
    assert_eq!(login(&house, "bob", PASSWORD).await, 401);
    assert_eq!(login(&house, "bob", NEW).await, 200);
    reset(&house, &token, "Hazel-tree-99").await.problem(400, "bad_request");
}

#[tokio::test]
async fn a_weak_password_leaves_the_link_good() {
    let house = House::lived_in().await;
    forgot(&house, "bob@example.org").await;
    let token = link(&house, "bob@example.org").await;
    for weak in ["", "short-7", "password1", &"long".repeat(300)] {
        let answer = reset(&house, &token, weak).await;
        answer.problem(422, "unprocessable");
        assert_eq!(answer.json()["field"], "new_password");
    }
    assert_eq!(reset(&house, &token, NEW).await.status, 200);
}

#[tokio::test]
async fn reset_links_that_are_unknown_old_or_for_something_else_change_nothing() {
    let house = pending().await;
    let activation = link(&house, "cleo@example.org").await;
    forgot(&house, "bob@example.org").await;
    let token = link(&house, "bob@example.org").await;
    let unknown = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    for bad in ["", "x", unknown, &activation, &token.to_uppercase()] {
        reset(&house, bad, NEW).await.problem(400, "bad_request");
        reset(&house, bad, "").await.problem(400, "bad_request");
    }
    verify(&house, &token).await.problem(400, "bad_request");
    house.clock.advance(Duration::from_secs(2 * 3600));
    reset(&house, &token, NEW).await.problem(400, "bad_request");
    assert_eq!(login(&house, "bob", PASSWORD).await, 200);
    assert_eq!(verify(&house, &activation).await.status, 200, "tried elsewhere, it stays good");
}

#[tokio::test]
async fn of_many_resets_by_one_link_one_counts() {
    let house = House::lived_in().await;
    forgot(&house, "bob@example.org").await;
    let token = link(&house, "bob@example.org").await;
    let wanted: Vec<String> = (0..10).map(|number| format!("Orchard-tree-{number}")).collect();
    let all = join_all(wanted.iter().map(|new| reset(&house, &token, new))).await;
    let winners: Vec<_> = all.iter().zip(&wanted).filter(|(a, _)| a.status == 200).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(login(&house, "bob", winners[0].1).await, 200);
}

#[tokio::test]
async fn a_disabled_account_gets_no_letter_and_its_old_link_is_dead() {
    let house = House::lived_in().await;
    forgot(&house, "bob@example.org").await;
    let token = link(&house, "bob@example.org").await;
    let ann = house.token("ann").await;
    let users = house.get("/api/v1/users?q=bob").bearer(&ann).send().await.json();
    let path = format!("/api/v1/users/{}", text(&users["data"][0]["id"]));
    let off = house.patch(&path).bearer(&ann).json(&json!({"status": "disabled"})).send().await;
    assert_eq!(off.status, 200);
    reset(&house, &token, NEW).await.problem(400, "bad_request");
    let before = letters(&house).await.len();
    forgot(&house, "bob@example.org").await;
    resend(&house, "bob@example.org").await;
    assert_eq!(letters(&house).await.len(), before);
    house.clock.advance(DAY);
    assert_eq!(login(&house, "bob", PASSWORD).await, 401);
}
