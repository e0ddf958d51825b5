//! Hostile cases: binding and replay.

use std::time::Duration;

use gatelodge::domain::sign_up::RegistrationMode;
use serde_json::{Value, json};

use super::house::{Answer, House, PASSWORD, text};

const NEW_PASSWORD: &str = "Chestnut-tree-8";

/// A house in which everybody may register, with its admin `ann` and the reader `bob`.
async fn open_house() -> House {
    House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Open).await
}

/// The token in a link.
pub fn token_of(link: &Value) -> String {
    let link = text(link);
    link.split_once("token=").unwrap_or_else(|| panic!("no token: {link}")).1.to_owned()
}

/// The token of the newest waiting letter for `purpose`, as an admin reads it.
pub async fn mailed(house: &House, purpose: &str) -> String {
    house.core.quiet().await;
    let admin = house.token("ann").await;
    let letters = house.get("/api/v1/outbox").bearer(&admin).send().await.json();
    let letters = letters["data"].as_array().expect("letters");
    let letter = letters.iter().find(|letter| letter["purpose"] == purpose);
    token_of(&letter.unwrap_or_else(|| panic!("no letter: {letters:?}"))["link"])
}

pub async fn register(house: &House, name: &str, more: Value) -> Answer {
    let mut body = json!({
        "username": name,
        "email": format!("{name}@example.org"),
        "password": PASSWORD,
    });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
    house.post("/api/v1/auth/register").json(&body).send().await
}

async fn reset(house: &House, token: &str) -> Answer {
    let body = json!({"token": token, "new_password": NEW_PASSWORD});
    house.post("/api/v1/auth/reset-password").json(&body).send().await
}

async fn verify(house: &House, token: &str) -> Answer {
    house.post("/api/v1/auth/verify-email").json(&json!({"token": token})).send().await
}

async fn refresh(house: &House, token: &str) -> Answer {
    house.post("/api/v1/auth/refresh").json(&json!({"refresh_token": token})).send().await
}

async fn who(house: &House, token: &str) -> Answer {
    house.get("/api/v1/user").bearer(token).send().await
}

async fn reset_link(house: &House, name: &str) -> String {
    let admin = house.token("ann").await;
    let id = text(&house.login(name).await["user"]["id"]);
    let path = format!("/api/v1/users/{id}/reset-link");
    token_of(&house.post(&path).bearer(&admin).send().await.json()["link"])
}

async fn forgotten(house: &House, name: &str) -> String {
    let body = json!({"email": format!("{name}@example.org")});
    let asked = house.post("/api/v1/auth/forgot-password").json(&body).send().await;
    assert_eq!(asked.status, 200);
    mailed(house, "reset-password").await
}

#[tokio::test]
async fn a_token_of_one_purpose_opens_no_other_door() {
    let house = open_house().await;
    register(&house, "carl", json!({})).await;
    let admin = house.token("ann").await;
    let invitation = house.post("/api/v1/invitations").bearer(&admin).json(&json!({}));
    let invitation = token_of(&invitation.send().await.json()["link"]);
    let tokens = house.login("bob").await;
    let (access, refresher) = (text(&tokens["token"]), text(&tokens["refresh_token"]));
    let verification = mailed(&house, "verify-email").await;
    let link = reset_link(&house, "bob").await;

    for wrong in [&invitation, &access, &refresher, &verification] {
        reset(&house, wrong).await.problem(400, "bad_request");
    }
    for wrong in [&invitation, &access, &refresher, &link] {
        verify(&house, wrong).await.problem(400, "bad_request");
    }
    for wrong in [&invitation, &access, &verification, &link] {
        refresh(&house, wrong).await.problem(401, "unauthorized");
    }
    for wrong in [&invitation, &refresher, &verification, &link] {
        who(&house, wrong).await.problem(401, "unauthorized");
    }
    for wrong in [&access, &refresher, &verification, &link] {
        let answer = register(&house, "dora", json!({"invitation": wrong})).await;
        answer.problem(422, "unprocessable");
    }
    // Not one of them was used up at the wrong door.
    assert_eq!(register(&house, "dora", json!({"invitation": invitation})).await.status, 201);
    assert_eq!(verify(&house, &verification).await.status, 200);
    assert_eq!(refresh(&house, &refresher).await.status, 200);
    assert_eq!(who(&house, &access).await.json()["username"], "bob");
    assert_eq!(reset(&house, &link).await.status, 200);
}

#[tokio::test]
async fn a_token_acts_on_its_own_account_only() {
    let house = House::lived_in().await;
    let link = reset_link(&house, "bob").await;
    assert_eq!(reset(&house, &link).await.status, 200);
    let signs_in = async |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        house.post("/api/v1/auth/login").json(&body).send().await.status
    };
    assert_eq!(signs_in("bob", NEW_PASSWORD).await, 200);
    assert_eq!(signs_in("ann", PASSWORD).await, 200);
    assert_eq!(signs_in("ann", NEW_PASSWORD).await, 401);
}

#[tokio::test]
async fn of_fifty_who_use_a_one_time_token_at_once_exactly_one_wins() {
    let house = open_house().await;
    register(&house, "carl", json!({})).await;
    let verification = mailed(&house, "verify-email").await;
    let link = reset_link(&house, "bob").await;
    let refresher = text(&house.login("ann").await["refresh_token"]);
    let won = |answers: Vec<Answer>, lost: u16| {
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, lost].contains(status)), "{statuses:?}");
    };
    let fifty = 0..50;
    let resets = fifty.clone().map(|_| reset(&house, &link));
    won(futures_util::future::join_all(resets).await, 400);
    let verifications = fifty.clone().map(|_| verify(&house, &verification));
    won(futures_util::future::join_all(verifications).await, 400);
    let refreshes = fifty.clone().map(|_| refresh(&house, &refresher));
    won(futures_util::future::join_all(refreshes).await, 401);

    let admin = house.token("ann").await;
    let invitation = house.post("/api/v1/invitations").bearer(&admin).json(&json!({}));
    let invitation = token_of(&invitation.send().await.json()["link"]);
    let names: Vec<String> = fifty.map(|number| format!("guest{number}")).collect();
    let guests = names.iter().map(|name| register(&house, name, json!({"invitation": invitation})));
    let guests = futures_util::future::join_all(guests).await;
    assert_eq!(guests.iter().filter(|guest| guest.status == 201).count(), 1);
}

#[tokio::test]
async fn a_refresh_token_reused_late_ends_the_session_also_for_the_thief() {
    let house = House::lived_in().await;
    let first = text(&house.login("bob").await["refresh_token"]);
    let second = refresh(&house, &first).await.json();
    let (access, second) = (text(&second["token"]), text(&second["refresh_token"]));

    // A client that sends it twice in a moment loses nothing.
    house.clock.advance(Duration::from_secs(9));
    refresh(&house, &first).await.problem(401, "unauthorized");
    assert_eq!(who(&house, &access).await.status, 200);

    house.clock.advance(Duration::from_secs(2));
    refresh(&house, &first).await.problem(401, "unauthorized");
    who(&house, &access).await.problem(401, "unauthorized");
    refresh(&house, &second).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_refresh_token_reused_after_the_clock_was_set_back_ends_the_session() {
    for (back, stays) in [(2, true), (9, true), (11, false), (3600, false)] {
        let house = House::lived_in().await;
        let first = text(&house.login("bob").await["refresh_token"]);
        let access = text(&refresh(&house, &first).await.json()["token"]);
        house.set_back(Duration::from_secs(back));
        refresh(&house, &first).await.problem(401, "unauthorized");
        let status = who(&house, &access).await.status;
        assert_eq!(status, if stays { 200 } else { 401 }, "set back {back} s");
    }
}

#[tokio::test]
async fn a_session_that_was_logged_out_is_not_revived_by_a_late_refresh() {
    let house = House::lived_in().await;
    let tokens = house.login("bob").await;
    let (access, refresher) = (text(&tokens["token"]), text(&tokens["refresh_token"]));
    let out = house.post("/api/v1/auth/logout").bearer(&access).send().await;
    assert_eq!(out.status, 200);
    refresh(&house, &refresher).await.problem(401, "unauthorized");
    who(&house, &access).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_verification_token_dies_with_the_address_it_was_sent_to() {
    let house = open_house().await;
    let made = register(&house, "carl", json!({})).await.json();
    let verification = mailed(&house, "verify-email").await;
    let admin = house.token("ann").await;
    let path = format!("/api/v1/users/{}", text(&made["user"]["id"]));
    let moved = json!({"email": "carl@example.net"});
    assert_eq!(house.patch(&path).bearer(&admin).json(&moved).send().await.status, 200);
    verify(&house, &verification).await.problem(400, "bad_request");

    // And a change that waits for its letter dies with the password that allowed it.
    let token = house.token("bob").await;
    let wanted = json!({"email": "new@example.org", "current_password": PASSWORD});
    let asked = house.post("/api/v1/user/email").bearer(&token).json(&wanted).send().await;
    assert_eq!(asked.status, 200);
    let change = mailed(&house, "change-email").await;
    let password = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let changed = house.post("/api/v1/user/password").bearer(&token).json(&password).send().await;
    assert_eq!(changed.status, 200);
    verify(&house, &change).await.problem(400, "bad_request");
}

#[tokio::test]
async fn a_reset_link_dies_when_the_password_changes_and_when_a_newer_one_is_made() {
    let house = House::lived_in().await;
    let (old, newer) = (forgotten(&house, "bob").await, forgotten(&house, "bob").await);
    reset(&house, &old).await.problem(400, "bad_request");
    let by_hand = reset_link(&house, "bob").await;
    let token = house.token("bob").await;
    let change = json!({"current_password": PASSWORD, "new_password": "Hazel-bush-9"});
    let changed = house.post("/api/v1/user/password").bearer(&token).json(&change).send().await;
    assert_eq!(changed.status, 200);
    for dead in [&newer, &by_hand] {
        reset(&house, dead).await.problem(400, "bad_request");
    }
    let late = reset_link_of(&house).await;
    house.clock.advance(Duration::from_secs(24 * 3600));
    reset(&house, &late).await.problem(400, "bad_request");
}

/// A link for ann herself would be her own password by another way; carl is somebody else.
async fn reset_link_of(house: &House) -> String {
    house.add("carl", "reader").await;
    reset_link(house, "carl").await
}

#[tokio::test]
async fn an_expired_or_withdrawn_invitation_lets_nobody_in() {
    let house = House::lived_in().await;
    let admin = house.token("ann").await;
    let invite = async || {
        let made = house.post("/api/v1/invitations").bearer(&admin).json(&json!({})).send().await;
        (token_of(&made.json()["link"]), text(&made.json()["id"]))
    };
    let (withdrawn, id) = invite().await;
    let gone = house.delete(&format!("/api/v1/invitations/{id}")).bearer(&admin).send().await;
    assert_eq!(gone.status, 204);
    let (expired, _) = invite().await;
    house.clock.advance(Duration::from_secs(7 * 24 * 3600));
    for (name, token) in [("carl", withdrawn), ("dora", expired)] {
        let answer = register(&house, name, json!({"invitation": token})).await;
        answer.problem(422, "unprocessable");
    }
}

#[tokio::test]
async fn many_who_ask_at_once_each_get_their_own_identity() {
    let house = House::lived_in().await;
    let mut tokens = Vec::new();
    for number in 0..8 {
        let name = format!("guest{number}");
        house.add(&name, "reader").await;
        tokens.push((house.token(&name).await, name));
    }
    let house = &house;
    let asked = tokens.iter().cycle().take(200).map(|(token, name)| async move {
        let by_token = house.get("/api/v1/user").bearer(token).send().await.json();
        let by_basic = house.get("/api/v1/user").basic(name, PASSWORD).send().await.json();
        assert_eq!([&by_token["username"], &by_basic["username"]], [name, name]);
    });
    futures_util::future::join_all(asked).await;
}
