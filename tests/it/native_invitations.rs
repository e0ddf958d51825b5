//! Invitations: links that let somebody in, in every registration mode.

use std::time::Duration;

use gatelodge::domain::sign_up::RegistrationMode;
use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::{Answer, PASSWORD, text},
    native_desk::{Desk, NO_IDS, NOBODY},
};

const INVITATIONS: &str = "/api/v1/invitations";

fn token_of(made: &Value) -> String {
    let link = text(&made["link"]);
    let token = link.strip_prefix("https://gate.example.org/invite?token=");
    token.unwrap_or_else(|| panic!("{link}")).to_owned()
}

fn path_of(made: &Value) -> String {
    format!("{INVITATIONS}/{}", text(&made["id"]))
}

async fn invite(desk: &Desk, wanted: &Value) -> Value {
    desk.post(INVITATIONS, &desk.admin, wanted).await.ok(201)
}

async fn accept(desk: &Desk, token: &str, name: &str) -> Answer {
    let body = json!({
        "username": name, "email": format!("{name}@example.org"), "password": PASSWORD,
        "invitation": token,
    });
    desk.post("/api/v1/auth/register", "", &body).await
}

#[tokio::test]
async fn an_invitation_has_a_link_that_is_shown_once() {
    let desk = Desk::new().await;
    desk.refuses_strangers_and_readers(Method::POST, INVITATIONS, &json!({})).await;
    desk.refuses_strangers_and_readers(Method::GET, INVITATIONS, &Value::Null).await;
    let made = desk.post(INVITATIONS, &desk.maintainer, &json!({})).await.ok(201);
    assert_eq!(token_of(&made).len(), 36);
    assert_eq!((&made["role"], &made["state"]), (&json!("reader"), &json!("open")));
    assert_eq!((&made["uses"], &made["uses_left"]), (&json!(1), &json!(1)));
    assert_eq!(made["expires_at"], "2026-01-08T00:00:00Z");
    assert_eq!(made["created_by"], desk.id("mia").await);
    desk.refuses_strangers_and_readers(Method::GET, &path_of(&made), &Value::Null).await;
    let mut shown = made.clone();
    shown.as_object_mut().expect("an object").remove("link");
    assert_eq!(desk.get(&path_of(&made), &desk.maintainer).await.ok(200), shown);
    let list = desk.get(INVITATIONS, &desk.maintainer).await.ok(200);
    assert_eq!(list["data"], json!([shown]));
}

#[tokio::test]
async fn an_invitation_lets_one_person_in_whatever_the_mode() {
    for mode in [RegistrationMode::Closed, RegistrationMode::Invite, RegistrationMode::Open] {
        let desk = Desk::with(|plan| plan.settings.registration = mode).await;
        let made = invite(&desk, &json!({"role": "maintainer"})).await;
        let entered = accept(&desk, &token_of(&made), "cleo").await.ok(201);
        assert_eq!(entered["user"]["role"], "maintainer");
        assert_eq!(entered["user"]["status"], "active");
        desk.get("/api/v1/users", &text(&entered["token"])).await.ok(200);
        let again = accept(&desk, &token_of(&made), "dora").await;
        again.problem(422, "unprocessable");
        assert_eq!(again.json()["field"], "invitation");
        let after = desk.get(&path_of(&made), &desk.admin).await.ok(200);
        assert_eq!((&after["state"], &after["uses_left"]), (&json!("used_up"), &json!(0)));
    }
}

#[tokio::test]
async fn of_many_at_once_an_invitation_lets_in_as_many_as_it_says() {
    let desk = Desk::new().await;
    let made = invite(&desk, &json!({"uses": 2})).await;
    let token = token_of(&made);
    let (one, two, three, four) = tokio::join!(
        accept(&desk, &token, "p1"),
        accept(&desk, &token, "p2"),
        accept(&desk, &token, "p3"),
        accept(&desk, &token, "p4"),
    );
    let mut statuses = [one.status, two.status, three.status, four.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 422, 422]);
    assert_eq!(desk.get("/api/v1/users", &desk.admin).await.ok(200)["total"], 5);
}

#[tokio::test]
async fn a_refused_registration_uses_nothing_up() {
    let desk = Desk::new().await;
    let made = invite(&desk, &json!({})).await;
    accept(&desk, &token_of(&made), "ann").await.problem(409, "conflict");
    accept(&desk, &token_of(&made), "api").await.problem(422, "unprocessable");
    assert_eq!(desk.get(&path_of(&made), &desk.admin).await.ok(200)["uses_left"], 1);
    accept(&desk, &token_of(&made), "cleo").await.ok(201);
}

#[tokio::test]
async fn an_invitation_for_an_address_is_for_nobody_else() {
    let desk = Desk::with(|plan| plan.settings.email_confirmation_required = true).await;
    let made = invite(&desk, &json!({"email": "Cleo@Example.org"})).await;
    assert_eq!(made["email"], "cleo@example.org");
    let other = accept(&desk, &token_of(&made), "dora").await;
    other.problem(422, "unprocessable");
    assert_eq!(other.json()["field"], "email");
    let entered = accept(&desk, &token_of(&made), "cleo").await.ok(201);
    assert_eq!(entered["user"]["email_verified"], true);
    assert_eq!(entered["user"]["status"], "active");
}

#[tokio::test]
async fn an_invitation_ends_at_its_time() {
    let desk = Desk::new().await;
    let made = invite(&desk, &json!({"expires_at": "2026-01-01T01:00:00Z"})).await;
    desk.house.clock.advance(Duration::from_secs(3600));
    accept(&desk, &token_of(&made), "cleo").await.problem(422, "unprocessable");
    assert_eq!(desk.get(&path_of(&made), &desk.admin).await.ok(200)["state"], "expired");
}

#[tokio::test]
async fn a_withdrawn_invitation_lets_nobody_in_and_those_who_came_by_it_stay() {
    let desk = Desk::new().await;
    let made = invite(&desk, &json!({"uses": 5})).await;
    accept(&desk, &token_of(&made), "cleo").await.ok(201);
    let path = path_of(&made);
    desk.refuses_strangers_and_readers(Method::DELETE, &path, &Value::Null).await;
    desk.delete(&path, &desk.maintainer).await.ok(204);
    accept(&desk, &token_of(&made), "dora").await.problem(422, "unprocessable");
    assert_eq!(desk.get(&path, &desk.admin).await.ok(200)["state"], "withdrawn");
    desk.delete(&path, &desk.admin).await.ok(204);
    assert_eq!(desk.sign_in("cleo", PASSWORD).await, 200);
}

#[tokio::test]
async fn an_invitation_is_worth_what_its_maker_may_grant_now() {
    let desk = Desk::new().await;
    let wanted = json!({"role": "admin", "uses": 5});
    desk.house.add("otto", "admin").await;
    let login = json!({"username": "otto", "password": PASSWORD});
    let login = desk.post("/api/v1/auth/login", "", &login).await.ok(200);
    let token = text(&login["token"]);
    let made = desk.post(INVITATIONS, &token, &wanted).await.ok(201);
    accept(&desk, &token_of(&made), "early").await.ok(201);
    let otto = format!("/api/v1/users/{}", desk.id("otto").await);
    for change in [json!({"role": "maintainer"}), json!({"role": "admin", "status": "disabled"})] {
        desk.patch(&otto, &desk.admin, &change).await.ok(200);
        accept(&desk, &token_of(&made), "late").await.problem(422, "unprocessable");
    }
    desk.patch(&otto, &desk.admin, &json!({"status": "active"})).await.ok(200);
    accept(&desk, &token_of(&made), "again").await.ok(201);
}

#[tokio::test]
async fn an_invented_invitation_lets_nobody_in() {
    let desk = Desk::with(|plan| plan.settings.registration = RegistrationMode::Open).await;
    let made = invite(&desk, &json!({})).await;
    let id = text(&made["id"]);
    for token in [NOBODY, &id, "", "x", &token_of(&made).to_uppercase()] {
        let answer = accept(&desk, token, "cleo").await;
        answer.problem(422, "unprocessable");
        assert_eq!(answer.json()["field"], "invitation");
    }
}

/// What stands in the outbox: purpose, status and whether there is a link.
async fn letters(desk: &Desk) -> Vec<(String, String, bool)> {
    let list = desk.get("/api/v1/outbox", &desk.admin).await.ok(200);
    let letters = list["data"].as_array().expect("a list").iter();
    letters
        .map(|one| (text(&one["purpose"]), text(&one["status"]), one["link"].is_string()))
        .collect()
}

fn letter(status: &str, link: bool) -> (String, String, bool) {
    ("invitation".to_owned(), status.to_owned(), link)
}

#[tokio::test]
async fn rule_16_the_letter_of_an_invitation_holds_its_link_only_while_it_is_open() {
    let desk = Desk::new().await;
    let made = invite(&desk, &json!({"email": "cleo@example.org"})).await;
    assert_eq!(letters(&desk).await, [letter("waiting", true)]);
    accept(&desk, &token_of(&made), "cleo").await.ok(201);
    assert_eq!(letters(&desk).await, [letter("failed", false)]);
    let made = invite(&desk, &json!({"email": "dora@example.org"})).await;
    desk.delete(&path_of(&made), &desk.admin).await.ok(204);
    assert_eq!(letters(&desk).await, [letter("failed", false), letter("failed", false)]);
    let mut kept = Vec::new();
    invite(&desk, &json!({"role": "maintainer"})).await;
    let bare = invite(&desk, &json!({})).await;
    for entry in std::fs::read_dir(desk.house.folder()).expect("a folder") {
        kept.extend(std::fs::read(entry.expect("an entry").path()).expect("a file"));
    }
    let holds = |text: &str| kept.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&text(&bare["id"])), "the database was not read");
    assert!(!holds(&token_of(&bare)));
}

#[tokio::test]
async fn rule_21_three_invitations_an_hour_are_mailed_to_one_address_and_all_have_links() {
    let desk = Desk::new().await;
    for _ in 0..5 {
        let wanted = json!({"email": "cleo@example.org"});
        let made = desk.post(INVITATIONS, &desk.maintainer, &wanted).await.ok(201);
        assert_eq!(token_of(&made).len(), 36);
    }
    assert_eq!(letters(&desk).await.len(), 3);
    desk.house.clock.advance(Duration::from_secs(3600));
    let made = invite(&desk, &json!({"email": "cleo@example.org"})).await;
    assert_eq!(letters(&desk).await.len(), 4);
    accept(&desk, &token_of(&made), "cleo").await.ok(201);
}

#[tokio::test]
async fn rule_21_without_a_base_no_letter_goes_out_and_the_maker_sees_the_path() {
    let desk = Desk::with(|plan| plan.settings.link_base = None).await;
    let body = json!({"email": "cleo@example.org"});
    let made = desk.house.post(INVITATIONS).bearer(&desk.admin).json(&body);
    let made = made.header("host", "evil.example").send().await.ok(201);
    assert!(text(&made["link"]).starts_with("/invite?token="), "{made}");
    assert_eq!(letters(&desk).await, []);
}

#[tokio::test]
async fn invitations_come_in_pages_newest_first() {
    let desk = Desk::new().await;
    for uses in 1..=5 {
        desk.house.clock.advance(Duration::from_secs(1));
        invite(&desk, &json!({ "uses": uses })).await;
    }
    let answer = desk.get(&format!("{INVITATIONS}?page=2&page_size=2"), &desk.admin).await;
    let page = answer.ok(200);
    assert_eq!((&page["data"][0]["uses"], &page["data"][1]["uses"]), (&json!(3), &json!(2)));
    assert_eq!(page["total"], 5);
    let links = answer.header("link");
    assert!(links.contains("</api/v1/invitations?page=3&page_size=2>; rel=\"next\""), "{links}");
    let bad = desk.get(&format!("{INVITATIONS}?page=x"), &desk.admin).await;
    bad.problem(422, "unprocessable");
}

#[tokio::test]
async fn an_id_that_no_invitation_has_is_a_404() {
    let desk = Desk::new().await;
    for id in [NOBODY].iter().chain(&NO_IDS) {
        let path = format!("{INVITATIONS}/{id}");
        desk.get(&path, &desk.maintainer).await.problem(404, "not_found");
        desk.delete(&path, &desk.maintainer).await.problem(404, "not_found");
        desk.get(&path, "").await.problem(401, "unauthorized");
    }
}

#[tokio::test]
async fn rule_22_a_bad_invitation_is_refused() {
    let desk = Desk::new().await;
    desk.refuses_bad_bodies(Method::POST, INVITATIONS, &json!({"uses": 1})).await;
    let cases = [
        (json!({"uses": 0}), "uses"),
        (json!({"uses": 1001}), "uses"),
        (json!({"uses": -1}), "uses"),
        (json!({"uses": 1.5}), "uses"),
        (json!({"uses": "1"}), "uses"),
        (json!({"email": "nowhere"}), "email"),
        (json!({"email": 7}), "email"),
        (json!({"role": "king"}), "role"),
        (json!({"role": ["reader"]}), "role"),
        (json!({"expires_at": "2026-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "2027-01-03T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "2026-02-30T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": 1_800_000_000}), "expires_at"),
    ];
    desk.refuses_fields(Method::POST, INVITATIONS, &cases).await;
    assert_eq!(desk.get(INVITATIONS, &desk.admin).await.ok(200)["total"], 0);
}
