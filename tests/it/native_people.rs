//! What ends, remains or comes back when somebody's account is changed: status, role, deletion,
//! sessions, PIN, reset links.

use std::time::Duration;

use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::{PASSWORD, text},
    native_desk::{Desk, MARK, NO_IDS, NOBODY},
};

async fn path_of(desk: &Desk, name: &str) -> String {
    format!("/api/v1/users/{}", desk.id(name).await)
}

#[tokio::test]
async fn disabling_an_account_ends_all_that_it_carries_until_it_is_active_again() {
    let desk = Desk::new().await;
    let bob = path_of(&desk, "bob").await;
    let key = desk.key(&desk.reader, &json!({"name": "script"})).await;
    desk.get("/api/v1/user", &key).await.ok(200);
    let off = desk.patch(&bob, &desk.admin, &json!({"status": "disabled"})).await.ok(200);
    assert_eq!(off["status"], "disabled");
    for token in [&desk.reader, &key] {
        desk.get("/api/v1/user", token).await.problem(401, "unauthorized");
    }
    assert_eq!(desk.sign_in("bob", PASSWORD).await, 401);
    desk.patch(&bob, &desk.admin, &json!({"status": "active"})).await.ok(200);
    desk.get("/api/v1/user", &desk.reader).await.problem(401, "unauthorized");
    desk.get("/api/v1/user", &key).await.ok(200);
    assert_eq!(desk.sign_in("bob", PASSWORD).await, 200);
}

#[tokio::test]
async fn another_role_counts_at_the_next_request_and_ends_the_sessions_of_the_old_one() {
    let desk = Desk::new().await;
    let mia = path_of(&desk, "mia").await;
    let key = desk.key(&desk.maintainer, &json!({"name": "list"})).await;
    desk.get("/api/v1/users", &key).await.ok(200);
    let edit = json!({"role": "reader"});
    assert_eq!(desk.put(&mia, &desk.admin, &edit).await.ok(200)["permissions"], json!([]));
    desk.get("/api/v1/users", &desk.maintainer).await.problem(401, "unauthorized");
    desk.get("/api/v1/users", &key).await.problem(403, "forbidden");
    let anew = desk.house.token("mia").await;
    desk.get("/api/v1/users", &anew).await.problem(403, "forbidden");
}

#[tokio::test]
async fn rule_2_nobody_deletes_disables_or_demotes_themself() {
    let desk = Desk::new().await;
    desk.house.add("zoe", "admin").await;
    let ann = path_of(&desk, "ann").await;
    for edit in [json!({"status": "disabled"}), json!({"role": "reader"})] {
        desk.put(&ann, &desk.admin, &edit).await.problem(409, "conflict");
        desk.patch(&ann, &desk.admin, &edit).await.problem(409, "conflict");
    }
    desk.delete(&ann, &desk.admin).await.problem(409, "conflict");
    let same = json!({"role": "admin", "status": "active", "display_name": "Ann"});
    let ann = desk.patch(&ann, &desk.admin, &same).await.ok(200);
    assert_eq!((&ann["role"], &ann["status"]), (&json!("admin"), &json!("active")));
}

#[tokio::test]
async fn rule_2_the_last_active_admin_remains_when_two_admins_turn_on_each_other_at_once() {
    let deeds = [
        (Method::PATCH, json!({"status": "disabled"})),
        (Method::PUT, json!({"role": "reader"})),
        (Method::DELETE, Value::Null),
    ];
    for (method, body) in deeds {
        let desk = Desk::new().await;
        desk.house.add("zoe", "admin").await;
        let zoe_token = desk.house.token("zoe").await;
        let (ann, zoe) = (path_of(&desk, "ann").await, path_of(&desk, "zoe").await);
        let (one, other) = tokio::join!(
            desk.send(method.clone(), &zoe, &desk.admin, &body),
            desk.send(method.clone(), &ann, &zoe_token, &body),
        );
        let won = [&one, &other].into_iter().filter(|answer| answer.status < 300).count();
        assert_eq!(won, 1, "{method}: {} {}", one.status, other.status);
        let lost = if one.status < 300 { other } else { one };
        assert!([401, 409].contains(&lost.status), "{method}: {}", lost.text());
        let mut roles = Vec::new();
        for name in ["ann", "zoe"] {
            // Whoever lost may be gone, or here with less.
            if desk.sign_in(name, PASSWORD).await == 200 {
                let token = desk.house.token(name).await;
                roles.push(desk.get("/api/v1/user", &token).await.ok(200)["role"].clone());
            }
        }
        assert_eq!(roles.iter().filter(|role| **role == "admin").count(), 1, "{method}: {roles:?}");
    }
}

#[tokio::test]
async fn rule_2_a_disabled_admin_does_not_count_as_the_one_who_remains() {
    let desk = Desk::new().await;
    desk.house.add("zoe", "admin").await;
    let zoe = path_of(&desk, "zoe").await;
    desk.patch(&zoe, &desk.admin, &json!({"status": "disabled"})).await.ok(200);
    let ann = path_of(&desk, "ann").await;
    desk.delete(&ann, &desk.admin).await.problem(409, "conflict");
    desk.delete(&zoe, &desk.admin).await.ok(204);
}

#[tokio::test]
async fn a_deleted_account_is_gone_with_all_that_was_its_own_and_its_name_is_free() {
    let desk = Desk::new().await;
    let bob = path_of(&desk, "bob").await;
    let key = desk.key(&desk.reader, &json!({"name": "script"})).await;
    desk.refuses_strangers_and_readers(Method::DELETE, &bob, &Value::Null).await;
    desk.delete(&bob, &desk.maintainer).await.problem(403, "forbidden");
    let done = desk.delete(&bob, &desk.admin).await;
    assert_eq!((done.status, done.body.len()), (204, 0));
    for token in [&desk.reader, &key] {
        desk.get("/api/v1/user", token).await.problem(401, "unauthorized");
    }
    assert_eq!(desk.sign_in("bob", PASSWORD).await, 401);
    desk.get(&bob, &desk.admin).await.problem(404, "not_found");
    desk.delete(&bob, &desk.admin).await.problem(404, "not_found");
    let anew = desk.house.add("bob", "reader").await;
    assert!(!bob.ends_with(&anew), "an id was given twice");
    desk.get("/api/v1/user", &desk.reader).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn somebody_can_be_signed_out_of_one_session_or_of_all() {
    let desk = Desk::new().await;
    let sessions = format!("{}/sessions", path_of(&desk, "bob").await);
    desk.refuses_strangers_and_readers(Method::GET, &sessions, &Value::Null).await;
    desk.refuses_strangers_and_readers(Method::DELETE, &sessions, &Value::Null).await;
    desk.delete(&sessions, &desk.maintainer).await.problem(403, "forbidden");
    desk.house.clock.advance(Duration::from_secs(1));
    let second = desk.house.token("bob").await;
    let list = desk.get(&sessions, &desk.maintainer).await.ok(200);
    let list = list["data"].as_array().expect("a list");
    assert_eq!(list.len(), 2);
    assert!(list.iter().all(|session| session["current"] == false));
    let newest = format!("{sessions}/{}", text(&list[0]["id"]));
    desk.refuses_strangers_and_readers(Method::DELETE, &newest, &Value::Null).await;
    desk.delete(&newest, &desk.maintainer).await.problem(403, "forbidden");
    desk.delete(&newest, &desk.admin).await.ok(204);
    desk.get("/api/v1/user", &second).await.problem(401, "unauthorized");
    desk.delete(&newest, &desk.admin).await.problem(404, "not_found");
    desk.get("/api/v1/user", &desk.reader).await.ok(200);
    desk.delete(&sessions, &desk.admin).await.ok(204);
    desk.get("/api/v1/user", &desk.reader).await.problem(401, "unauthorized");
    assert_eq!(desk.get(&sessions, &desk.admin).await.ok(200), json!({"data": []}));
}

#[tokio::test]
async fn a_session_of_somebody_else_is_not_found_below_another_account() {
    let desk = Desk::new().await;
    let (bob, mia) = (path_of(&desk, "bob").await, path_of(&desk, "mia").await);
    let list = desk.get(&format!("{mia}/sessions"), &desk.admin).await.ok(200);
    let of_mia = text(&list["data"][0]["id"]);
    for id in [of_mia.as_str(), NOBODY].iter().chain(&NO_IDS) {
        let path = format!("{bob}/sessions/{id}");
        desk.delete(&path, &desk.admin).await.problem(404, "not_found");
    }
    desk.get("/api/v1/user", &desk.maintainer).await.ok(200);
}

async fn pin_status(desk: &Desk, pin: &str) -> u16 {
    let body = json!({"username": "bob", "pin": pin});
    desk.post("/api/v1/auth/session", "", &body).await.status
}

#[tokio::test]
async fn an_admin_gives_a_pin_and_takes_it_away() {
    let desk = Desk::new().await;
    let bob = path_of(&desk, "bob").await;
    let pin = format!("{bob}/pin");
    desk.refuses_strangers_and_readers(Method::POST, &pin, &json!({"pin": "4711"})).await;
    desk.post(&pin, &desk.maintainer, &json!({"pin": "4711"})).await.problem(403, "forbidden");
    for good in ["4711", "123456789012"] {
        desk.post(&pin, &desk.admin, &json!({"pin": good})).await.ok(200);
        assert_eq!(desk.get(&bob, &desk.admin).await.ok(200)["has_pin"], true);
        assert_eq!(pin_status(&desk, good).await, 200);
    }
    assert_eq!(pin_status(&desk, "4711").await, 401);
    desk.post(&pin, &desk.admin, &json!({"pin": null})).await.ok(200);
    assert_eq!(desk.get(&bob, &desk.admin).await.ok(200)["has_pin"], false);
    assert_eq!(pin_status(&desk, "123456789012").await, 401);
}

#[tokio::test]
async fn rule_5_a_pin_has_four_to_twelve_digits() {
    let desk = Desk::new().await;
    let bob = path_of(&desk, "bob").await;
    let pin = format!("{bob}/pin");
    desk.refuses_bad_bodies(Method::POST, &pin, &json!({"pin": "4711"})).await;
    let bad = [json!("471"), json!("1234567890123"), json!("47a1"), json!(""), json!("４７１１")];
    let mut cases: Vec<_> = bad.into_iter().map(|pin| (json!({ "pin": pin }), "pin")).collect();
    cases.extend([(json!({"pin": 4711}), "pin"), (json!({}), "pin")]);
    desk.refuses_fields(Method::POST, &pin, &cases).await;
    assert_eq!(desk.get(&bob, &desk.admin).await.ok(200)["has_pin"], false);
}

async fn reset(desk: &Desk, token: &str, password: &str) -> super::house::Answer {
    let body = json!({"token": token, "new_password": password});
    desk.post("/api/v1/auth/reset-password", "", &body).await
}

/// Makes a link for bob; the token in it.
async fn token_in_link(desk: &Desk) -> String {
    let path = format!("{}/reset-link", path_of(desk, "bob").await);
    let made = desk.post(&path, &desk.admin, &Value::Null).await.ok(201);
    let link = text(&made["link"]);
    let token = link.strip_prefix("https://gate.example.org/reset?token=");
    token.unwrap_or_else(|| panic!("{link}")).to_owned()
}

#[tokio::test]
async fn a_reset_link_works_once_and_ends_all_sessions() {
    let desk = Desk::new().await;
    let path = format!("{}/reset-link", path_of(&desk, "bob").await);
    desk.refuses_strangers_and_readers(Method::POST, &path, &Value::Null).await;
    desk.post(&path, &desk.maintainer, &Value::Null).await.problem(403, "forbidden");
    let made = desk.post(&path, &desk.admin, &Value::Null).await.ok(201);
    assert_eq!(made["expires_at"], "2026-01-02T00:00:00Z");
    let token = token_in_link(&desk).await;
    reset(&desk, &token, "short").await.problem(422, "unprocessable");
    reset(&desk, &token, "Chestnut-tree-8").await.ok(200);
    desk.get("/api/v1/user", &desk.reader).await.problem(401, "unauthorized");
    assert_eq!(desk.sign_in("bob", "Chestnut-tree-8").await, 200);
    reset(&desk, &token, "Chestnut-tree-9").await.problem(400, "bad_request");
    assert_eq!(desk.sign_in("bob", "Chestnut-tree-8").await, 200);
}

#[tokio::test]
async fn a_reset_link_ends_with_a_newer_one_a_day_and_a_change_of_the_account() {
    let desk = Desk::new().await;
    let bob = path_of(&desk, "bob").await;
    let older = token_in_link(&desk).await;
    let newer = token_in_link(&desk).await;
    reset(&desk, &older, "Chestnut-tree-8").await.problem(400, "bad_request");
    desk.house.clock.advance(Duration::from_secs(24 * 3600));
    reset(&desk, &newer, "Chestnut-tree-8").await.problem(400, "bad_request");
    let desk = Desk { admin: desk.house.token("ann").await, ..desk };
    let edits = [
        json!({"password": "Chestnut-tree-8"}),
        json!({"status": "disabled"}),
        json!({"status": "active", "email": "bob@example.net"}),
    ];
    for edit in edits {
        let token = token_in_link(&desk).await;
        desk.patch(&bob, &desk.admin, &edit).await.ok(200);
        reset(&desk, &token, "Chestnut-tree-9").await.problem(400, "bad_request");
    }
}

#[tokio::test]
async fn rule_16_a_reset_link_and_a_password_stand_in_the_database_only_as_digests() {
    let desk = Desk::new().await;
    let token = token_in_link(&desk).await;
    let bob = path_of(&desk, "bob").await;
    let password = format!("{MARK}-Password-1");
    desk.put(&bob, &desk.admin, &json!({"password": password})).await.ok(200);
    desk.post(&format!("{bob}/pin"), &desk.admin, &json!({"pin": "918273645546"})).await.ok(200);
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(desk.house.folder()).expect("a folder") {
        kept.extend(std::fs::read(entry.expect("an entry").path()).expect("a file"));
    }
    let holds = |text: &str| kept.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("bob@example.org"), "the database was not read");
    for secret in [token.as_str(), &password, PASSWORD, "918273645546", &desk.admin] {
        assert!(!holds(secret));
    }
}
