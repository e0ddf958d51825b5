//! Sign-up: accounts by e-mail and one token (seed 003), cell by cell; and the sign-in that it
//! shares with pin.

use std::time::Duration;

use gatelodge::domain::{
    caller::Caller, people::UserDraft, secret::Secret, sign_up::RegistrationMode,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::house::{Answer, Ask, House, PASSWORD, Plan, START, text};

const SECRET: &str = "securepass123";
const PIN: &str = "2468";

fn open(plan: &mut Plan) {
    plan.settings.registration = RegistrationMode::Open;
}

fn john() -> Value {
    json!({
        "name": "John Doe",
        "email": "john@example.org",
        "password": SECRET,
        "confirm_password": SECRET,
    })
}

fn john_with(changes: &[(&str, Value)]) -> Value {
    let mut body = john();
    for (key, value) in changes {
        body[*key] = value.clone();
    }
    body
}

async fn sign_up(house: &House, body: &Value) -> Answer {
    house.post("/auth/signup").json(body).send().await
}

fn login<'a>(house: &'a House, email: &str, password: &str) -> Ask<'a> {
    house.post("/auth/login").json(&json!({"email": email, "password": password}))
}

async fn token(house: &House, email: &str, password: &str) -> String {
    let answer = login(house, email, password).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    text(&answer.json()["token"])
}

async fn dashboard(house: &House, token: &str) -> Answer {
    house.get("/dashboard").bearer(token).send().await
}

/// An error of this dialect: the message alone, and no cookie.
#[track_caller]
fn refused(answer: &Answer, status: u16, message: &str) {
    assert_eq!((answer.status, answer.json()), (status, json!({"message": message})));
    assert_eq!(answer.header("set-cookie"), "");
}

#[track_caller]
fn unauthorized(answer: &Answer, error: &str) {
    let wanted = json!({"message": "Unauthorized", "error": error});
    assert_eq!((answer.status, answer.json()), (401, wanted));
}

#[tokio::test]
async fn signing_up_makes_an_account_that_signs_in_at_once() {
    let house = House::lived_in_with(open).await;
    let made = sign_up(&house, &john_with(&[("role", json!("admin"))])).await;
    let id = text(&made.json()["userId"]);
    assert_eq!(id.len(), 36);
    let body = json!({"message": "Signup successful", "userId": id});
    assert_eq!((made.status, made.json()), (201, body));
    assert_eq!((made.header("set-cookie"), made.header("cache-control")), dry());
    let answer = login(&house, "JOHN@example.org", SECRET).send().await;
    let token = text(&answer.json()["token"]);
    let body = json!({
        "message": "Login successful", "token": token, "userId": id, "role": "DEVELOPER",
    });
    assert_eq!((answer.status, answer.json()), (200, body));
    assert_eq!((answer.header("set-cookie"), answer.header("cache-control")), dry());
    let user = house.get("/api/v1/user").basic("john@example.org", SECRET).send().await.json();
    assert_eq!(user["id"], id);
    assert_eq!(user["username"], "john@example.org");
    assert_eq!(user["email"], "john@example.org");
    assert_eq!(user["display_name"], "John Doe");
    assert_eq!(user["role"], "developer");
}

fn dry() -> (String, String) {
    (String::new(), "no-store".to_owned())
}

#[tokio::test]
async fn the_role_is_that_of_the_configuration() {
    let house = House::lived_in_with(|plan| {
        open(plan);
        plan.settings.signup_role = "reader".to_owned();
    });
    let house = house.await;
    assert_eq!(sign_up(&house, &john()).await.status, 201);
    let answer = login(&house, "john@example.org", SECRET).send().await;
    assert_eq!(answer.json()["role"], "READER");
}

#[tokio::test]
async fn the_first_account_is_admin_though_registration_is_closed() {
    let house = House::new().await;
    assert_eq!(sign_up(&house, &john()).await.status, 201);
    let answer = login(&house, "john@example.org", SECRET).send().await;
    assert_eq!(answer.json()["role"], "ADMIN");
    let second = john_with(&[("email", json!("jane@example.org"))]);
    refused(&sign_up(&house, &second).await, 403, "Registration is closed");
}

#[tokio::test]
async fn the_first_account_needs_the_printed_token_from_outside() {
    let house = House::new().await;
    let printed = house.core.setup_token_make().await.expect("a house").expect("a token");
    let from_outside = |body: &Value| house.post("/auth/signup").from("203.0.113.9").json(body);
    for body in [john(), john_with(&[("setup_token", json!("guessed"))]), json!({})] {
        let answer = from_outside(&body).send().await;
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.json()["message"].is_string());
    }
    let rebound = house.post("/auth/signup").header("host", "evil.example").json(&john());
    assert_eq!(rebound.send().await.status, 403);
    let body = john_with(&[("setup_token", json!(printed.reveal()))]);
    assert_eq!(from_outside(&body).send().await.status, 201);
    assert_eq!(login(&house, "john@example.org", SECRET).send().await.json()["role"], "ADMIN");
}

#[tokio::test]
async fn closed_is_said_before_anything_else() {
    let house = House::lived_in().await;
    for body in [
        json!({}),
        john_with(&[("confirm_password", json!("other"))]),
        john_with(&[("password", json!("abc")), ("confirm_password", json!("abc"))]),
        john_with(&[("email", json!("ann@example.org"))]),
        john(),
    ] {
        refused(&sign_up(&house, &body).await, 403, "Registration is closed");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_one_order() {
    let house = House::lived_in_with(open).await;
    let (taken, short, other) = (json!("ANN@example.org"), json!("abc12"), json!("abc13"));
    for missing in ["name", "email", "password", "confirm_password"] {
        for nothing in [Value::Null, json!(""), json!("  ")] {
            let mut body = john_with(&[
                ("email", taken.clone()),
                ("password", short.clone()),
                ("confirm_password", other.clone()),
            ]);
            body[missing] = nothing;
            refused(&sign_up(&house, &body).await, 400, "All fields are required");
        }
    }
    refused(&sign_up(&house, &json!({})).await, 400, "All fields are required");
    let body = john_with(&[
        ("email", taken.clone()),
        ("password", short.clone()),
        ("confirm_password", other),
    ]);
    refused(&sign_up(&house, &body).await, 400, "Passwords do not match");
    let body = john_with(&[
        ("email", taken.clone()),
        ("password", short.clone()),
        ("confirm_password", short),
    ]);
    let answer = sign_up(&house, &body).await;
    refused(&answer, 400, "Password must be at least 6 characters long");
    let answer = sign_up(&house, &john_with(&[("email", taken)])).await;
    refused(&answer, 400, "Email already registered");
    let six = json!("abc123");
    let body = john_with(&[("password", six.clone()), ("confirm_password", six)]);
    assert_eq!(sign_up(&house, &body).await.status, 201, "six are enough");
    refused(&sign_up(&house, &john()).await, 400, "Email already registered");
}

#[tokio::test]
async fn a_raised_floor_is_told_with_its_number() {
    let house = House::lived_in_with(|plan| {
        open(plan);
        plan.settings.password_min_length = 13;
    });
    let (house, short) = (house.await, json!("securepass12"));
    let body = john_with(&[("password", short.clone()), ("confirm_password", short)]);
    let answer = sign_up(&house, &body).await;
    refused(&answer, 400, "Password must be at least 13 characters long");
    assert_eq!(sign_up(&house, &john()).await.status, 201);
}

#[tokio::test]
async fn an_address_that_is_none_makes_no_account() {
    let house = House::lived_in_with(open).await;
    for email in ["john", "@", "john@", "a b@example.org", "john@example.org\r\nBcc: x@y.org"] {
        let answer = sign_up(&house, &john_with(&[("email", json!(email))])).await;
        assert_eq!(answer.status, 400, "{email}");
        assert!(answer.json()["message"].is_string());
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_of_texts_is_refused() {
    let house = House::lived_in_with(open).await;
    for body in ["", "{", "[]", "7", r#"{"name":7}"#] {
        let ask = house.post("/auth/signup").raw("application/json", body);
        refused(&ask.send().await, 400, "Invalid request");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let ask = house.post("/auth/signup").raw(kind, john().to_string());
        refused(&ask.send().await, 415, "Send JSON");
    }
    let bare = house.post("/auth/signup").json(&john()).header("content-type", "");
    refused(&bare.send().await, 415, "Send JSON");
}

#[tokio::test]
async fn an_account_that_waits_for_its_letter_reads_like_wrong_credentials() {
    let invite = |plan: &mut Plan| plan.settings.registration = RegistrationMode::Invite;
    let confirm = |plan: &mut Plan| {
        open(plan);
        plan.settings.email_confirmation_required = true;
    };
    for house in [House::lived_in_with(invite).await, House::lived_in_with(confirm).await] {
        assert_eq!(sign_up(&house, &john()).await.status, 201);
        let answer = login(&house, "john@example.org", SECRET).send().await;
        refused(&answer, 400, "Invalid credentials");
    }
}

#[tokio::test]
async fn unknown_and_wrong_read_the_same() {
    let house = House::lived_in_with(|plan| plan.settings.throttle.max_attempts = 0).await;
    for (email, password) in [
        ("ann@example.org", "wrong"),
        ("nobody@example.org", PASSWORD),
        ("ann", PASSWORD),
        ("", PASSWORD),
        ("ann@example.org", ""),
        ("ann@example.org ", PASSWORD),
    ] {
        let answer = login(&house, email, password).send().await;
        refused(&answer, 400, "Invalid credentials");
    }
    token(&house, "ann@example.org", PASSWORD).await;
}

#[tokio::test]
async fn the_sixth_wrong_sign_in_waits() {
    let house = House::lived_in().await;
    for _ in 0..5 {
        login(&house, "ann@example.org", "wrong").send().await;
    }
    for password in ["wrong", PASSWORD] {
        let answer = login(&house, "ann@example.org", password).send().await;
        assert_eq!((answer.status, &answer.json()["retryAfter"]), (429, &json!(300)));
        assert!(answer.json()["message"].is_string());
        assert_eq!((answer.header("retry-after"), answer.header("set-cookie")), wait());
    }
    house.clock.advance(Duration::from_secs(300));
    token(&house, "ann@example.org", PASSWORD).await;
}

fn wait() -> (String, String) {
    ("300".to_owned(), String::new())
}

#[tokio::test]
async fn an_account_of_google_is_sent_to_google() {
    let house = House::lived_in().await;
    let draft = UserDraft {
        username: "gil@example.org".to_owned(),
        email: Some("gil@example.org".to_owned()),
        pin: Some(Secret::new(PIN)),
        ..UserDraft::default()
    };
    let gil = house.core.user_create(&Caller::operator(), draft).await.expect("an account");
    let bob = house.login("bob").await["user"]["id"].clone();
    let link = |account: &str, provider: &str| {
        let connection = Connection::open(house.database()).expect("the database");
        let changed = connection.execute(
            "INSERT INTO identities (id, account_id, provider, issuer, subject, created_at)
             VALUES (?1, ?2, ?3, ?3, ?1, ?4)",
            (format!("{account}-{provider}"), account, provider, START * 1000),
        );
        assert_eq!(changed.expect("a row"), 1);
    };
    link(&gil.id.to_string(), "oidc");
    let answer = login(&house, "gil@example.org", SECRET).send().await;
    refused(&answer, 400, "Invalid credentials");
    link(&gil.id.to_string(), "google");
    link(&text(&bob), "google");
    for email in ["gil@example.org", "GIL@Example.org"] {
        let answer = login(&house, email, SECRET).send().await;
        let words = "This account uses Google sign-in. Please login with Google.";
        refused(&answer, 400, words);
    }
    let answer = login(&house, "bob@example.org", SECRET).send().await;
    refused(&answer, 400, "Invalid credentials");
    token(&house, "bob@example.org", PASSWORD).await;
}

#[tokio::test]
async fn the_dashboard_is_the_callers_own_summary() {
    let house = House::lived_in_with(open).await;
    let id = text(&sign_up(&house, &john()).await.json()["userId"]);
    let token = token(&house, "john@example.org", SECRET).await;
    let key = json!({"name": "a script"});
    let native = house.post("/api/v1/api-keys").basic("john@example.org", SECRET).json(&key);
    assert_eq!(native.send().await.status, 201);
    house.login("bob").await;
    let answer = dashboard(&house, &token).await;
    let body = answer.json();
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store".to_owned()));
    assert_eq!(body["message"], "Dashboard fetched successfully");
    let user = json!({
        "userId": id, "name": "John Doe", "email": "john@example.org", "role": "DEVELOPER",
    });
    assert_eq!(body["user"], user);
    assert_eq!(body["apiKeys"], 1);
    let sessions = body["sessions"].as_array().expect("a list");
    assert_eq!((sessions.len(), &sessions[0]["dialect"]), (1, &json!("signup")));
    let sign_ins = body["lastSignIns"].as_array().expect("a list");
    let dialects: Vec<_> = sign_ins.iter().map(|one| &one["dialect"]).collect();
    assert_eq!(dialects, ["native", "signup"]);
    assert!(!answer.text().contains("bob") && !answer.text().contains(&token));
}

#[tokio::test]
async fn a_dashboard_from_before_the_clock_was_set_back_is_read_anew() {
    let house = House::lived_in_with(open).await;
    let token = token(&house, "bob@example.org", PASSWORD).await;
    let keys = async || dashboard(&house, &token).await.json()["apiKeys"].clone();
    assert_eq!(keys().await, 0);
    // By nobody's deed, as uses are noted: what is remembered holds for seconds only.
    let file = Connection::open(house.database()).expect("the database");
    let key = "INSERT INTO api_keys (id, account_id, name, key_prefix, digest, created_at)
               SELECT 'k', id, 'k', 'k', x'00', 0 FROM accounts WHERE username = 'bob'";
    file.execute(key, []).expect("a key");
    assert_eq!(keys().await, 0);
    house.set_back(Duration::from_secs(3600));
    assert_eq!(keys().await, 1);
}

#[tokio::test]
async fn a_token_that_is_missing_or_in_another_form_is_told_apart() {
    let house = House::lived_in().await;
    let token = token(&house, "ann@example.org", PASSWORD).await;
    let get = || house.get("/dashboard");
    for ask in [get(), get().header("cookie", &format!("token={token}"))] {
        refused(&ask.send().await, 401, "No token provided");
    }
    for value in [
        token.as_str(),
        &format!("Token {token}"),
        &format!("Bearer{token}"),
        "Bearer",
        "Basic !!!",
    ] {
        let answer = get().header("authorization", value).send().await;
        refused(&answer, 401, "Invalid token format");
    }
    refused(&get().basic("ann", PASSWORD).send().await, 401, "Invalid token format");
    let two = get().bearer(&token).also("authorization", format!("Bearer {token}").as_bytes());
    assert_eq!(two.send().await.status, 401);
    let any_case = get().header("authorization", &format!("bearer {token}"));
    assert_eq!(any_case.send().await.status, 200);
}

#[tokio::test]
async fn a_token_that_is_not_good_says_why() {
    let house = House::lived_in().await;
    let token = token(&house, "ann@example.org", PASSWORD).await;
    for malformed in ["abc", "a.b", &format!("{token}."), "lodge_abcdefgh_key"] {
        unauthorized(&dashboard(&house, malformed).await, "jwt malformed");
    }
    let (front, signature) = token.rsplit_once('.').expect("a signature");
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{front}.{other}{}", &signature[1..]);
    let native = house.token("ann").await;
    for wrong in [&forged, &native] {
        unauthorized(&dashboard(&house, wrong).await, "invalid signature");
    }
    assert_eq!(dashboard(&house, &token).await.status, 200);
    let sessions = house.delete("/api/v1/user/sessions").bearer(&native).send().await;
    assert!(sessions.status < 300, "{}", sessions.text());
    unauthorized(&dashboard(&house, &token).await, "invalid token");
}

#[tokio::test]
async fn a_token_lives_half_an_hour() {
    let house = House::lived_in().await;
    let token = token(&house, "ann@example.org", PASSWORD).await;
    house.clock.advance(Duration::from_secs(30 * 60 - 1));
    assert_eq!(dashboard(&house, &token).await.status, 200);
    house.clock.advance(Duration::from_secs(1));
    unauthorized(&dashboard(&house, &token).await, "jwt expired");
}

#[tokio::test]
async fn the_shared_sign_in_wants_one_kind_whole() {
    let house = House::lived_in().await;
    for body in [
        json!({}),
        json!({"name": "ann", "pin": PIN, "email": "ann@example.org", "password": PASSWORD}),
        json!({"name": "ann", "password": PASSWORD}),
        json!({"email": "ann@example.org", "pin": PIN}),
        json!({"email": "ann@example.org"}),
        json!({"username": "ann", "password": PASSWORD}),
    ] {
        let answer = house.post("/auth/login").json(&body).send().await;
        refused(&answer, 400, "Send either name and pin, or email and password");
    }
    let body = json!({"email": "ann@example.org", "password": PASSWORD}).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "text/json"] {
        let ask = house.post("/auth/login").raw(kind, body.as_str());
        refused(&ask.send().await, 415, "Send JSON");
    }
    let ask = house.post("/auth/login").raw("application/json; charset=utf-8", body.as_str());
    assert_eq!(ask.send().await.status, 200);
    let ask = house.post("/auth/login").raw("application/json", body.as_str());
    let answer = ask.header("content-encoding", "gzip").send().await;
    refused(&answer, 415, "Send the body uncompressed");
}

#[tokio::test]
async fn a_door_that_is_shut_is_404_for_all_and_the_shared_one_serves_the_other_kind() {
    let house = House::lived_in_with(|plan| {
        open(plan);
        plan.http.dialects.signup = false;
    });
    let house = house.await;
    assert_eq!(sign_up(&house, &john()).await.status, 404);
    assert_eq!(house.get("/dashboard").send().await.status, 404);
    let answer = login(&house, "ann@example.org", PASSWORD).send().await;
    assert_eq!((answer.status, answer.header("set-cookie")), (400, String::new()));
    let body = json!({"name": "ann", "pin": PIN});
    assert_eq!(house.post("/auth/login").json(&body).send().await.status, 401);

    let both = House::lived_in_with(|plan| {
        plan.http.dialects.signup = false;
        plan.http.dialects.pin = false;
    });
    let both = both.await;
    for body in [body, json!({"email": "ann@example.org", "password": PASSWORD}), json!({})] {
        let answer = both.post("/auth/login").json(&body).send().await;
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert!(answer.json()["message"].is_string());
    }
}

#[tokio::test]
async fn a_page_elsewhere_can_neither_sign_up_nor_in() {
    let house = House::new().await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = house.post("/auth/signup").json(&john()).header(name, value).send().await;
        assert_eq!(answer.status, 403, "{name}: {value}");
        let answer = login(&house, "a@b.org", SECRET).header(name, value).send().await;
        assert_eq!(answer.status, 403, "{name}: {value}");
    }
    assert_eq!(sign_up(&house, &john()).await.status, 201, "nobody was there yet");
}
