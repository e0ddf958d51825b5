//! How accounts come to be: set-up, the three modes, invitations.

use std::time::Duration;

use futures_util::future::join_all;
use gatelodge::domain::sign_up::RegistrationMode;
use serde_json::{Value, json};

use super::house::{Answer, Ask, House, PASSWORD, text};

const REGISTER: &str = "/api/v1/auth/register";
const INITIALIZE: &str = "/api/v1/setup/initialize";

fn draft(name: &str) -> Value {
    json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD})
}

async fn open() -> House {
    House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Open).await
}

async fn register(house: &House, body: &Value) -> Answer {
    let answer = house.post(REGISTER).json(body).send().await;
    assert!(!answer.text().contains(PASSWORD), "{}", answer.text());
    answer
}

async fn login(house: &House, name: &str) -> u16 {
    let body = json!({"username": name, "password": PASSWORD});
    house.post("/api/v1/auth/login").json(&body).send().await.status
}

/// The newest letter for `recipient`, as the admin sees it.
pub async fn letter(house: &House, recipient: &str) -> Option<Value> {
    house.core.quiet().await;
    let token = house.token("ann").await;
    let outbox = house.get("/api/v1/outbox").bearer(&token).send().await.json();
    let all = outbox["data"].as_array().expect("a list");
    all.iter().find(|letter| letter["recipient"] == recipient).cloned()
}

/// The token in a link.
pub fn token_in(link: &Value) -> String {
    text(link).split_once("?token=").expect("a token").1.to_owned()
}

async fn invite(house: &House, body: Value) -> Value {
    let token = house.token("ann").await;
    let answer = house.post("/api/v1/invitations").bearer(&token).json(&body).send().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn invited(name: &str, invitation: &Value) -> Value {
    let mut body = draft(name);
    body["invitation"] = json!(token_in(&invitation["link"]));
    body
}

#[tokio::test]
async fn an_open_house_lets_people_register_and_signs_them_in() {
    let house = open().await;
    let answer = register(&house, &draft("cleo")).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json();
    let keys: Vec<_> = made.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["user", "message", "token", "expires_at"]);
    assert_eq!(
        (&made["user"]["role"], &made["user"]["status"]),
        (&json!("reader"), &json!("active"))
    );
    assert_eq!(made["user"]["email_verified"], false);
    let me = house.get("/api/v1/user").bearer(&text(&made["token"])).send().await;
    assert_eq!((me.status, &me.json()["username"]), (200, &json!("cleo")));
    assert_eq!(login(&house, "cleo").await, 200);
    let letter = letter(&house, "cleo@example.org").await.expect("a letter");
    assert_eq!(letter["purpose"], "verify-email");
}

#[tokio::test]
async fn a_closed_house_says_so_before_it_looks_at_anything_else() {
    let house = House::lived_in().await;
    for body in [
        draft("cleo"),
        draft("bob"),
        json!({"username": "", "email": "no address", "password": "short"}),
    ] {
        let answer = register(&house, &body).await;
        assert_eq!(answer.problem(403, "forbidden"), "Registration is closed");
    }
    assert!(letter(&house, "cleo@example.org").await.is_none());
}

#[tokio::test]
async fn names_and_addresses_belong_to_one_account() {
    let house = open().await;
    for (username, email, field) in [
        ("bob", "other@example.org", "username"),
        ("BOB", "other@example.org", "username"),
        ("other", "bob@example.org", "email"),
        ("other", "BOB@Example.org", "email"),
    ] {
        let body = json!({"username": username, "email": email, "password": PASSWORD});
        let answer = register(&house, &body).await;
        answer.problem(409, "conflict");
        assert_eq!(answer.json()["field"], field);
    }
    assert_eq!(login(&house, "other").await, 401, "a refused registration leaves nothing behind");
}

#[tokio::test]
async fn of_many_who_want_one_name_at_once_one_gets_it() {
    let house = open().await;
    let all = join_all((0..10).map(|number| {
        let email = format!("n{number}@example.org");
        let body = json!({"username": "cleo", "email": email, "password": PASSWORD});
        house.post(REGISTER).json(&body).send()
    }));
    let mut statuses: Vec<u16> = all.await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![201], vec![409; 9]].concat());
}

#[tokio::test]
async fn names_addresses_and_passwords_that_cannot_be_are_refused() {
    let house = open().await;
    let long_name = "n".repeat(65);
    let long_mail = format!("{}@example.org", "n".repeat(250));
    let long_password = "Walnut-7".repeat(200);
    for (field, value) in [
        ("username", ""),
        ("username", "api"),
        ("username", "Me"),
        ("username", ".cleo"),
        ("username", "cleo."),
        ("username", "cl eo"),
        ("username", "cl:eo"),
        ("username", "cleo\u{0}"),
        ("username", "ｃleo"),
        ("username", "other@example.org"),
        ("username", &long_name),
        ("email", ""),
        ("email", "cleo"),
        ("email", "cleo@"),
        ("email", "cleo@example.org\r\nBcc: all@example.org"),
        ("email", &long_mail),
        ("password", ""),
        ("password", "Wal-7"),
        ("password", "password1"),
        ("password", &long_password),
    ] {
        let mut body = draft("cleo");
        body[field] = json!(value);
        let answer = register(&house, &body).await;
        answer.problem(422, "unprocessable");
        assert_eq!(answer.json()["field"], field, "{value}");
        assert!(value.len() < 5 || !answer.text().contains(value), "{}", answer.text());
    }
    assert_eq!(register(&house, &draft("cleo")).await.status, 201);
}

#[tokio::test]
async fn with_confirmation_an_account_waits_for_its_letter() {
    let house = House::lived_in_with(|plan| {
        plan.settings.registration = RegistrationMode::Open;
        plan.settings.email_confirmation_required = true;
    });
    let house = house.await;
    let answer = register(&house, &draft("cleo")).await;
    assert_eq!(answer.status, 201);
    let made = answer.json();
    let keys: Vec<_> = made.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["user", "message"], "a pending account carries nothing");
    assert_eq!(made["user"]["status"], "pending");
    assert_eq!(login(&house, "cleo").await, 401);
    let letter = letter(&house, "cleo@example.org").await.expect("a letter");
    assert!(text(&letter["link"]).starts_with("https://gate.example.org/verify?token="));
    let body = json!({"token": token_in(&letter["link"])});
    let verified = house.post("/api/v1/auth/verify-email").json(&body).send().await;
    assert_eq!((verified.status, verified.header("set-cookie")), (200, String::new()));
    assert!(verified.json().get("token").is_none(), "following a link does not sign in");
    assert_eq!(login(&house, "cleo").await, 200);
}

#[tokio::test]
async fn in_invite_mode_an_account_is_activated_by_its_letter() {
    let house =
        House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Invite).await;
    let status = house.get("/api/v1/setup/status").send().await.json();
    assert_eq!(status, json!({"setup_required": false, "registration_mode": "invite"}));
    let made = register(&house, &draft("cleo")).await;
    assert_eq!((made.status, &made.json()["user"]["status"]), (201, &json!("pending")));
    assert!(made.json().get("token").is_none());
    assert_eq!(login(&house, "cleo").await, 401);
    let letter = letter(&house, "cleo@example.org").await.expect("a letter");
    assert_eq!(letter["purpose"], "activate");
    assert!(text(&letter["link"]).starts_with("https://gate.example.org/activate?token="));
    let body = json!({"token": token_in(&letter["link"])});
    assert_eq!(house.post("/api/v1/auth/verify-email").json(&body).send().await.status, 200);
    assert_eq!(login(&house, "cleo").await, 200);
}

#[tokio::test]
async fn a_pending_account_that_nobody_activates_frees_its_names() {
    let house =
        House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Invite).await;
    assert_eq!(register(&house, &draft("cleo")).await.status, 201);
    let link = letter(&house, "cleo@example.org").await.expect("a letter")["link"].clone();
    house.clock.advance(Duration::from_secs(24 * 3600 - 1));
    register(&house, &draft("cleo")).await.problem(409, "conflict");
    house.clock.advance(Duration::from_secs(1));
    let body = json!({"token": token_in(&link)});
    let late = house.post("/api/v1/auth/verify-email").json(&body).send().await;
    late.problem(400, "bad_request");
    assert_eq!(register(&house, &draft("cleo")).await.status, 201);
}

#[tokio::test]
async fn an_invitation_opens_a_closed_house_once() {
    let house = House::lived_in().await;
    let invitation = invite(&house, json!({"role": "developer"})).await;
    assert!(text(&invitation["link"]).starts_with("https://gate.example.org/invite?token="));
    let made = register(&house, &invited("cleo", &invitation)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["user"]["role"], "developer");
    assert!(made.json()["token"].is_string());
    let again = register(&house, &invited("dora", &invitation)).await;
    again.problem(422, "unprocessable");
    assert_eq!(again.json()["field"], "invitation");
}

#[tokio::test]
async fn an_invitation_for_an_address_is_for_that_address_alone() {
    let house = House::lived_in_with(|plan| plan.settings.email_confirmation_required = true).await;
    let invitation = invite(&house, json!({"email": "Cleo@example.org"})).await;
    let stranger = register(&house, &invited("dora", &invitation)).await;
    stranger.problem(422, "unprocessable");
    assert_eq!(stranger.json()["field"], "email");
    let made = register(&house, &invited("cleo", &invitation)).await;
    assert_eq!(made.status, 201, "a refused try does not use it up: {}", made.text());
    let user = &made.json()["user"];
    assert_eq!((&user["status"], &user["email_verified"]), (&json!("active"), &json!(true)));
}

#[tokio::test]
async fn invitations_that_are_unknown_too_old_or_withdrawn_open_nothing() {
    let house = House::lived_in().await;
    let unknown = json!({"link": "/invite?token=7c9e6679-7425-40de-944b-e07fc1f90ae7"});
    let nonsense = json!({"link": "/invite?token=' OR 1=1 --"});
    let old = invite(&house, json!({"expires_at": "2026-01-01T01:00:00Z"})).await;
    let withdrawn = invite(&house, json!({})).await;
    let token = house.token("ann").await;
    let path = format!("/api/v1/invitations/{}", text(&withdrawn["id"]));
    assert_eq!(house.delete(&path).bearer(&token).send().await.status, 204);
    house.clock.advance(Duration::from_secs(3600));
    for invitation in [unknown, nonsense, old, withdrawn] {
        let answer = register(&house, &invited("cleo", &invitation)).await;
        answer.problem(422, "unprocessable");
        assert_eq!(answer.json()["field"], "invitation");
        assert!(!answer.text().contains(&token_in(&invitation["link"])));
    }
}

#[tokio::test]
async fn the_last_use_of_an_invitation_is_one_persons() {
    let house = House::lived_in().await;
    let invitation = invite(&house, json!({"uses": 2})).await;
    let all = join_all((0..8).map(|number| {
        let body = invited(&format!("guest{number}"), &invitation);
        house.post(REGISTER).json(&body).send()
    }));
    let made = all.await.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 2);
}

#[tokio::test]
async fn the_first_account_is_the_admin_and_set_up_is_done() {
    let house = House::new().await;
    let status = house.get("/api/v1/setup/status").send().await.json();
    assert_eq!(status, json!({"setup_required": true, "registration_mode": "closed"}));
    let answer = house.post(INITIALIZE).json(&draft("ann")).send().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json();
    let keys: Vec<_> = made.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["token", "expires_at", "user"]);
    assert_eq!(
        (&made["user"]["role"], &made["user"]["status"]),
        (&json!("admin"), &json!("active"))
    );
    assert_eq!(made["user"]["email_verified"], true);
    let users = house.get("/api/v1/users").bearer(&text(&made["token"])).send().await;
    assert_eq!((users.status, &users.json()["total"]), (200, &json!(1)));
    let status = house.get("/api/v1/setup/status").send().await.json();
    assert_eq!(status["setup_required"], false);
    let again = house.post(INITIALIZE).json(&draft("eve")).send().await;
    again.problem(409, "conflict");
    register(&house, &draft("eve")).await.problem(403, "forbidden");
}

#[tokio::test]
async fn registration_makes_the_first_account_in_a_closed_house_too() {
    let house = House::with(|plan| plan.settings.email_confirmation_required = true).await;
    let made = register(&house, &draft("ann")).await;
    assert_eq!((made.status, &made.json()["user"]["role"]), (201, &json!("admin")));
    assert!(made.json()["token"].is_string(), "the first account waits for no letter");
}

#[tokio::test]
async fn two_first_accounts_at_once_are_one() {
    let house = House::new().await;
    let all = join_all((0..8).map(|number| {
        let path = if number % 2 == 0 { INITIALIZE } else { REGISTER };
        house.post(path).json(&draft(&format!("ann{number}"))).send()
    }));
    let made = all.await.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
}

#[tokio::test]
async fn strangers_from_outside_need_the_set_up_token() {
    type Outside = fn(Ask<'_>) -> Ask<'_>;
    const OUTSIDE: [Outside; 7] = [
        |ask| ask.from("203.0.113.9"),
        |ask| ask.header("x-forwarded-for", "127.0.0.1"),
        |ask| ask.header("forwarded", "for=127.0.0.1"),
        |ask| ask.header("x-real-ip", "127.0.0.1"),
        |ask| ask.header("host", "gate.example.org"),
        |ask| ask.header("host", ""),
        |ask| ask.header("x-setup-token", "invented"),
    ];
    let house = House::new().await;
    let token = house.core.setup_token_make().await.expect("no trouble").expect("a token");
    for path in [INITIALIZE, REGISTER] {
        for (number, outside) in OUTSIDE[..6].iter().enumerate() {
            let answer = outside(house.post(path)).json(&draft("eve")).send().await;
            assert_eq!(answer.status, 403, "{path} {number}: {}", answer.text());
            answer.problem(403, "forbidden");
        }
        let wrong =
            OUTSIDE[6](house.post(path)).from("203.0.113.9").json(&draft("eve")).send().await;
        wrong.problem(403, "forbidden");
        let foreign = house.post(path).header("origin", "https://evil.example").json(&draft("eve"));
        foreign.send().await.problem(403, "forbidden");
    }
    let mut body = draft("ann");
    body["setup_token"] = json!(token.reveal());
    let made = house.post(INITIALIZE).from("203.0.113.9").json(&body).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(!made.text().contains(token.reveal()));
}

#[tokio::test]
async fn the_set_up_token_is_taken_from_the_header_too() {
    let house = House::new().await;
    let token = house.core.setup_token_make().await.expect("no trouble").expect("a token");
    let ask = house.post(INITIALIZE).from("203.0.113.9").header("x-setup-token", token.reveal());
    assert_eq!(ask.json(&draft("ann")).send().await.status, 201);
}
