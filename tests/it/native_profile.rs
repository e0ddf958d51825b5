//! One's own account: profile, password, PIN, address, sessions, linked identities.

use std::time::Duration;

use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::{House, PASSWORD, text},
    native_desk::{Desk, MARK, NO_IDS, NOBODY, long},
};

const USER: &str = "/api/v1/user";
const NEW: &str = "Chestnut-tree-8";

fn sql(house: &House, statement: &str) {
    let database = rusqlite::Connection::open(house.database()).expect("the database");
    database.execute_batch(statement).expect("a statement");
}

/// The links of the letters that wait, newest first.
async fn links(desk: &Desk) -> Vec<String> {
    let list = desk.get("/api/v1/outbox", &desk.admin).await.ok(200);
    let letters = list["data"].as_array().expect("a list").iter();
    letters.filter_map(|letter| letter["link"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn everybody_sees_and_names_themself() {
    let desk = Desk::new().await;
    desk.get(USER, "").await.problem(401, "unauthorized");
    let edit = json!({"display_name": "Bob & <b>"});
    desk.patch(USER, "", &edit).await.problem(401, "unauthorized");
    let bob = desk.patch(USER, &desk.reader, &edit).await.ok(200);
    assert_eq!(bob["display_name"], "Bob & <b>");
    assert_eq!(bob["username"], "bob");
    assert_eq!(desk.get(USER, &desk.reader).await.ok(200), bob);
    assert_eq!(desk.patch(USER, &desk.reader, &json!({})).await.ok(200), bob);
}

#[tokio::test]
async fn rule_22_nobody_changes_more_of_themself_than_the_name_that_is_shown() {
    let desk = Desk::new().await;
    let before = desk.get(USER, &desk.reader).await.ok(200);
    for field in ["role", "status", "username", "email", "password", "permissions", "id"] {
        let answer = desk.patch(USER, &desk.reader, &json!({ field: "admin" })).await;
        answer.problem(422, "unprocessable");
    }
    assert_eq!(desk.get(USER, &desk.reader).await.ok(200), before);
    desk.refuses_bad_bodies(Method::PATCH, USER, &json!({"display_name": "Ann"})).await;
    let cases = [
        (json!({"display_name": 7}), "display_name"),
        (json!({"display_name": long(129)}), "display_name"),
        (json!({"display_name": "a\u{202e}b"}), "display_name"),
    ];
    desk.refuses_fields(Method::PATCH, USER, &cases).await;
}

#[tokio::test]
async fn a_changed_password_ends_every_other_session_and_counts_everywhere() {
    let desk = Desk::new().await;
    let other = desk.house.token("bob").await;
    let body = json!({"current_password": PASSWORD, "new_password": NEW});
    desk.post("/api/v1/user/password", "", &body).await.problem(401, "unauthorized");
    desk.post("/api/v1/user/password", &desk.reader, &body).await.ok(200);
    desk.get(USER, &other).await.problem(401, "unauthorized");
    desk.get(USER, &desk.reader).await.ok(200);
    assert_eq!(desk.sign_in("bob", PASSWORD).await, 401);
    assert_eq!(desk.sign_in("bob", NEW).await, 200);
    desk.house.get(USER).basic("bob", NEW).send().await.ok(200);
    desk.post("/api/v1/user/password", &desk.reader, &body).await.problem(422, "unprocessable");
}

#[tokio::test]
async fn rule_5_a_new_password_of_ones_own_keeps_the_floor() {
    let desk = Desk::new().await;
    let with = |new: Value| json!({"current_password": PASSWORD, "new_password": new});
    let path = "/api/v1/user/password";
    desk.refuses_bad_bodies(Method::POST, path, &with(json!(NEW))).await;
    let cases = [
        (with(json!("Walnut7")), "new_password"),
        (with(json!("")), "new_password"),
        (with(json!("Password1")), "new_password"),
        (with(json!(long(1025))), "new_password"),
        (with(json!(12345678)), "new_password"),
        (json!({"current_password": PASSWORD}), "new_password"),
        (json!({"new_password": NEW}), "current_password"),
        (json!({"current_password": 7, "new_password": NEW}), "current_password"),
        (json!({"current_password": MARK, "new_password": NEW}), "current_password"),
    ];
    desk.refuses_fields(Method::POST, path, &cases).await;
    assert_eq!(desk.sign_in("ann", PASSWORD).await, 200);
    desk.post(path, &desk.admin, &with(json!("Walnut-7"))).await.ok(200);
}

#[tokio::test]
async fn wrong_present_passwords_are_throttled_and_a_live_token_is_not() {
    let desk = Desk::new().await;
    let wrong = json!({"current_password": "wrong", "new_password": NEW});
    let path = "/api/v1/user/password";
    for _ in 0..5 {
        let answer = desk.post(path, &desk.reader, &wrong).await;
        answer.problem(422, "unprocessable");
        assert_eq!(answer.json()["field"], "current_password");
    }
    let right = json!({"current_password": PASSWORD, "new_password": NEW});
    let held = desk.post(path, &desk.reader, &right).await;
    held.problem(429, "too_many_requests");
    assert_eq!(held.header("retry-after"), "300");
    desk.get(USER, &desk.reader).await.ok(200);
    desk.house.clock.advance(Duration::from_secs(300));
    desk.post(path, &desk.reader, &right).await.ok(200);
}

#[tokio::test]
async fn an_account_without_a_password_gives_itself_one_without_a_present_one() {
    let desk = Desk::new().await;
    sql(&desk.house, "UPDATE accounts SET password_hash = NULL WHERE username = 'bob'");
    desk.house.core.notice_others().await.expect("noticed");
    assert_eq!(desk.get(USER, &desk.reader).await.ok(200)["has_password"], false);
    let path = "/api/v1/user/password";
    desk.post(path, &desk.reader, &json!({"new_password": NEW})).await.ok(200);
    assert_eq!(desk.sign_in("bob", NEW).await, 200);
    let again = json!({"new_password": PASSWORD});
    desk.post(path, &desk.reader, &again).await.problem(422, "unprocessable");
}

#[tokio::test]
async fn a_pin_of_ones_own_needs_the_present_password_to_come_and_to_go() {
    let desk = Desk::new().await;
    let path = "/api/v1/user/pin";
    let good = json!({"current_password": PASSWORD, "pin": "4711"});
    desk.post(path, "", &good).await.problem(401, "unauthorized");
    desk.refuses_bad_bodies(Method::POST, path, &good).await;
    let with = |pin: Value| json!({"current_password": PASSWORD, "pin": pin});
    let cases = [
        (json!({"pin": "4711"}), "current_password"),
        (json!({"pin": null}), "current_password"),
        (json!({"pin": "4711", "current_password": MARK}), "current_password"),
        (json!({"current_password": PASSWORD}), "pin"),
        (with(json!(4711)), "pin"),
        (with(json!("471")), "pin"),
        (with(json!("1234567890123")), "pin"),
        (with(json!("47 11")), "pin"),
    ];
    desk.refuses_fields(Method::POST, path, &cases).await;
    assert_eq!(desk.get(USER, &desk.admin).await.ok(200)["has_pin"], false);
    desk.post(path, &desk.reader, &good).await.ok(200);
    let pad = json!({"username": "bob", "pin": "4711"});
    let entered = desk.post("/api/v1/auth/session", "", &pad).await;
    assert_eq!(entered.ok(200)["user"]["has_pin"], true);
    desk.post(path, &desk.reader, &with(Value::Null)).await.ok(200);
    let entered = desk.post("/api/v1/auth/session", "", &pad).await;
    entered.problem(401, "unauthorized");
}

fn token_of(link: &str) -> Value {
    let token = link.strip_prefix("https://gate.example.org/verify?token=");
    json!({"token": token.unwrap_or_else(|| panic!("{link}"))})
}

#[tokio::test]
async fn a_new_address_counts_once_the_letter_to_it_is_answered() {
    let desk = Desk::new().await;
    let path = "/api/v1/user/email";
    let body = json!({"current_password": PASSWORD, "email": "Bob@Example.net"});
    desk.post(path, "", &body).await.problem(401, "unauthorized");
    desk.post(path, &desk.reader, &body).await.ok(200);
    assert_eq!(desk.get(USER, &desk.reader).await.ok(200)["email"], "bob@example.org");
    let found = links(&desk).await;
    assert_eq!(found.len(), 1);
    let token = token_of(&found[0]);
    desk.post("/api/v1/auth/verify-email", "", &token).await.ok(200);
    let bob = desk.get(USER, &desk.reader).await.ok(200);
    assert_eq!((&bob["email"], &bob["email_verified"]), (&json!("bob@example.net"), &json!(true)));
    let again = desk.post("/api/v1/auth/verify-email", "", &token).await;
    again.problem(400, "bad_request");
    assert_eq!(links(&desk).await.len(), 0, "a used link still stands in the outbox");
}

#[tokio::test]
async fn the_letter_to_a_new_address_ends_with_a_newer_one_and_after_a_day() {
    let desk = Desk::new().await;
    let path = "/api/v1/user/email";
    for email in ["one@example.net", "two@example.net"] {
        let body = json!({"current_password": PASSWORD, "email": email});
        let before = links(&desk).await;
        desk.post(path, &desk.reader, &body).await.ok(200);
        assert_eq!(links(&desk).await.len(), 1);
        if let [older] = before.as_slice() {
            let late = desk.post("/api/v1/auth/verify-email", "", &token_of(older)).await;
            late.problem(400, "bad_request");
        }
    }
    let token = token_of(&links(&desk).await[0]);
    desk.house.clock.advance(Duration::from_secs(24 * 3600));
    let late = desk.post("/api/v1/auth/verify-email", "", &token).await;
    late.problem(400, "bad_request");
    let me = desk.house.token("bob").await;
    assert_eq!(desk.get(USER, &me).await.ok(200)["email"], "bob@example.org");
}

#[tokio::test]
async fn a_bad_or_taken_address_is_refused() {
    let desk = Desk::new().await;
    let path = "/api/v1/user/email";
    let with = |email: Value| json!({"current_password": PASSWORD, "email": email});
    desk.refuses_bad_bodies(Method::POST, path, &with(json!("x@example.net"))).await;
    let cases = [
        (json!({"current_password": PASSWORD}), "email"),
        (with(json!("nowhere")), "email"),
        (with(json!(7)), "email"),
        (with(Value::Null), "email"),
        (with(json!("a@b\r\nBcc: c@d")), "email"),
        (json!({"email": "x@example.net"}), "current_password"),
        (json!({"email": "x@example.net", "current_password": MARK}), "current_password"),
    ];
    desk.refuses_fields(Method::POST, path, &cases).await;
    let taken = desk.post(path, &desk.reader, &with(json!("ANN@example.org"))).await;
    taken.problem(409, "conflict");
    assert_eq!(taken.json()["field"], "email");
    assert_eq!(links(&desk).await.len(), 0);
}

#[tokio::test]
async fn rule_21_three_letters_go_to_one_address_an_hour_and_the_last_link_stays_good() {
    let desk = Desk::new().await;
    let body = json!({"current_password": PASSWORD, "email": "x@example.net"});
    let mut third = Vec::new();
    for count in 1..=5 {
        desk.post("/api/v1/user/email", &desk.reader, &body).await.ok(200);
        let total = desk.get("/api/v1/outbox", &desk.admin).await.ok(200)["total"].clone();
        assert_eq!(total, json!(count.min(3)));
        if count == 3 {
            third = links(&desk).await;
        }
    }
    assert_eq!(links(&desk).await, third);
    desk.house.clock.advance(Duration::from_secs(3600));
    desk.post("/api/v1/user/email", &desk.reader, &body).await.ok(200);
    assert_eq!(desk.get("/api/v1/outbox", &desk.admin).await.ok(200)["total"], 4);
    let newest = links(&desk).await;
    assert_ne!(newest, third);
    desk.post("/api/v1/auth/verify-email", "", &token_of(&newest[0])).await.ok(200);
}

#[tokio::test]
async fn rule_21_one_client_causes_twenty_letters_an_hour() {
    let desk = Desk::new().await;
    let ask = |count: usize| json!({"current_password": PASSWORD, "email": format!("x{count}@example.net")});
    for count in 1..=22 {
        desk.post("/api/v1/user/email", &desk.reader, &ask(count)).await.ok(200);
    }
    let total = || async { desk.get("/api/v1/outbox", &desk.admin).await.ok(200)["total"].clone() };
    assert_eq!(total().await, 20);
    let elsewhere = desk.house.post("/api/v1/user/email").bearer(&desk.reader).from("10.0.0.7");
    elsewhere.json(&ask(30)).send().await.ok(200);
    assert_eq!(total().await, 21);
}

#[tokio::test]
async fn everybody_sees_where_they_are_signed_in_and_ends_it() {
    let desk = Desk::new().await;
    let path = "/api/v1/user/sessions";
    desk.get(path, "").await.problem(401, "unauthorized");
    desk.delete(path, "").await.problem(401, "unauthorized");
    desk.house.clock.advance(Duration::from_secs(1));
    let login =
        desk.house.post("/api/v1/auth/login").from("10.0.0.7").header("user-agent", "phone");
    let login = login.json(&json!({"username": "bob", "password": PASSWORD})).send().await.ok(200);
    let phone = text(&login["token"]);
    let list = desk.get(path, &desk.reader).await.ok(200);
    let list = list["data"].as_array().expect("a list");
    assert_eq!(list.len(), 2);
    assert_eq!(list[0]["address"], "10.0.0.7");
    assert_eq!(list[0]["user_agent"], "phone");
    assert_eq!((&list[0]["dialect"], &list[0]["method"]), (&json!("native"), &json!("password")));
    assert_eq!((&list[0]["current"], &list[1]["current"]), (&json!(false), &json!(true)));
    let one = format!("{path}/{}", text(&list[0]["id"]));
    desk.delete(&one, "").await.problem(401, "unauthorized");
    desk.delete(&one, &desk.maintainer).await.problem(404, "not_found");
    desk.get(USER, &phone).await.ok(200);
    desk.delete(&one, &desk.reader).await.ok(204);
    desk.get(USER, &phone).await.problem(401, "unauthorized");
    let refresh = json!({"refresh_token": login["refresh_token"]});
    desk.post("/api/v1/auth/refresh", "", &refresh).await.problem(401, "unauthorized");
    desk.delete(&one, &desk.reader).await.problem(404, "not_found");
    for id in [NOBODY].iter().chain(&NO_IDS) {
        let answer = desk.delete(&format!("{path}/{id}"), &desk.reader).await;
        answer.problem(404, "not_found");
    }
    let others = [desk.house.token("bob").await, desk.house.token("bob").await];
    desk.delete(path, &desk.reader).await.ok(204);
    for other in &others {
        desk.get(USER, other).await.problem(401, "unauthorized");
    }
    let left = desk.get(path, &desk.reader).await.ok(200);
    assert_eq!(left["data"].as_array().map(Vec::len), Some(1));
    desk.get(USER, &desk.admin).await.ok(200);
}

const LINKED: &str =
    "INSERT INTO identities (id, account_id, provider, issuer, subject, created_at)
    SELECT '11111111-1111-4111-8111-111111111111', id, 'home', 'https://idp.example.org', 'b-1',
        1767225600000 FROM accounts WHERE username = 'bob'";

#[tokio::test]
async fn a_linked_identity_is_its_owners_to_see_and_to_unlink() {
    let desk = Desk::new().await;
    let path = "/api/v1/user/identities";
    let one = format!("{path}/11111111-1111-4111-8111-111111111111");
    sql(&desk.house, LINKED);
    desk.get(path, "").await.problem(401, "unauthorized");
    desk.delete(&one, "").await.problem(401, "unauthorized");
    assert_eq!(desk.get(path, &desk.admin).await.ok(200), json!({"data": []}));
    desk.delete(&one, &desk.admin).await.problem(404, "not_found");
    let list = desk.get(path, &desk.reader).await.ok(200);
    assert_eq!(list["data"][0]["provider"], "home");
    assert_eq!(list["data"][0]["subject"], "b-1");
    for id in [NOBODY].iter().chain(&NO_IDS) {
        let answer = desk.delete(&format!("{path}/{id}"), &desk.reader).await;
        answer.problem(404, "not_found");
    }
    desk.delete(&one, &desk.reader).await.ok(204);
    desk.delete(&one, &desk.reader).await.problem(404, "not_found");
    assert_eq!(desk.get(path, &desk.reader).await.ok(200), json!({"data": []}));
}

#[tokio::test]
async fn the_last_way_in_is_not_unlinked() {
    let desk = Desk::new().await;
    sql(&desk.house, LINKED);
    sql(&desk.house, "UPDATE accounts SET password_hash = NULL WHERE username = 'bob'");
    desk.house.core.notice_others().await.expect("noticed");
    let one = "/api/v1/user/identities/11111111-1111-4111-8111-111111111111";
    desk.delete(one, &desk.reader).await.problem(409, "conflict");
    desk.post("/api/v1/user/password", &desk.reader, &json!({"new_password": NEW})).await.ok(200);
    desk.delete(one, &desk.reader).await.ok(204);
}
