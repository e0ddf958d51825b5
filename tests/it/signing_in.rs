//! Who is let in and who waits: the throttle, Basic, equal treatment (wire rules 7, 8, 11, 12).

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::house::{Answer, House, PASSWORD, text};

const LOGIN: &str = "/api/v1/auth/login";
const WRONG: &str = "Wrong-tree-7";

async fn login(house: &House, from: &str, name: &str, password: &str) -> Answer {
    let body = json!({"username": name, "password": password});
    house.post(LOGIN).from(from).json(&body).send().await
}

async fn basic(house: &House, from: &str, name: &str, password: &str) -> Answer {
    house.get("/api/v1/user").from(from).basic(name, password).send().await
}

async fn id_of(house: &House, name: &str) -> String {
    let token = house.token("ann").await;
    let path = format!("/api/v1/users?q={name}");
    let users = house.get(&path).bearer(&token).send().await.json();
    text(&users["data"][0]["id"])
}

async fn change(house: &House, name: &str, change: Value) {
    let path = format!("/api/v1/users/{}", id_of(house, name).await);
    let token = house.token("ann").await;
    let answer = house.patch(&path).bearer(&token).json(&change).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn key_of(house: &House, name: &str) -> String {
    let token = house.token(name).await;
    let body = json!({"name": "a script"});
    let made = house.post("/api/v1/api-keys").bearer(&token).json(&body).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    text(&made.json()["key"])
}

#[tokio::test]
async fn the_sixth_try_waits_for_the_end_of_the_window() {
    let house = House::lived_in().await;
    for _ in 0..5 {
        login(&house, "192.0.2.1", "bob", WRONG).await.problem(401, "unauthorized");
        house.clock.advance(Duration::from_secs(10));
    }
    for (name, password) in [("bob", WRONG), ("bob", PASSWORD), ("nobody", WRONG)] {
        let answer = login(&house, "192.0.2.1", name, password).await;
        answer.problem(429, "too_many_requests");
        assert_eq!(answer.header("retry-after"), "250", "the window began with the first failure");
        assert!(!answer.text().contains(password));
    }
    assert_eq!(login(&house, "192.0.2.2", "bob", PASSWORD).await.status, 200, "others go on");
    house.clock.advance(Duration::from_millis(249_100));
    let answer = login(&house, "192.0.2.1", "bob", PASSWORD).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1".to_owned()));
    house.clock.advance(Duration::from_millis(900));
    assert_eq!(login(&house, "192.0.2.1", "bob", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_success_between_failures_changes_nothing() {
    let house = House::lived_in().await;
    for _ in 0..5 {
        assert_eq!(login(&house, "192.0.2.1", "bob", PASSWORD).await.status, 200);
        login(&house, "192.0.2.1", "ann", WRONG).await.problem(401, "unauthorized");
    }
    login(&house, "192.0.2.1", "bob", PASSWORD).await.problem(429, "too_many_requests");
}

#[tokio::test]
async fn failures_of_every_way_in_count_together() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let from = "192.0.2.1";
    let tries = [
        house.post(LOGIN).json(&json!({"username": "bob", "password": WRONG})),
        house.post("/api/v1/auth/session").json(&json!({"username": "bob", "password": WRONG})),
        house.post("/api/v1/auth/session").json(&json!({"username": "bob", "pin": "1111"})),
        house.get("/api/v1/user").basic("bob", WRONG),
    ];
    for ask in tries {
        ask.from(from).send().await.problem(401, "unauthorized");
    }
    let body = json!({"current_password": WRONG, "new_password": "Chestnut-tree-8"});
    let wrong = house.post("/api/v1/user/password").bearer(&token).json(&body).from(from);
    let wrong = wrong.send().await;
    wrong.problem(422, "unprocessable");
    assert_eq!(wrong.json()["field"], "current_password");
    let body = json!({"username": "bob", "password": PASSWORD});
    for ask in [
        house.post(LOGIN).json(&body),
        house.post("/api/v1/auth/session").json(&body),
        house.get("/api/v1/user").basic("bob", PASSWORD),
        house
            .post("/api/v1/user/pin")
            .bearer(&token)
            .json(&json!({"current_password": PASSWORD, "pin": "2468"})),
    ] {
        let answer = ask.from(from).send().await;
        answer.problem(429, "too_many_requests");
        assert_eq!(answer.header("retry-after"), "300");
    }
}

#[tokio::test]
async fn live_tokens_cookies_and_keys_pass_where_tries_wait() {
    let house = House::lived_in().await;
    let tokens = house.login("bob").await;
    let key = key_of(&house, "bob").await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let cookie = house.post("/api/v1/auth/session").json(&body).send().await;
    let cookie = super::native_auth::cookie_of(&cookie);
    for _ in 0..5 {
        login(&house, "127.0.0.1", "bob", WRONG).await;
    }
    login(&house, "127.0.0.1", "bob", PASSWORD).await.problem(429, "too_many_requests");
    for ask in [
        house.get("/api/v1/user").bearer(&text(&tokens["token"])),
        house.get("/api/v1/user").bearer(&key),
        house.get("/api/v1/user").header("x-api-key", &key),
        house.get("/api/v1/user").basic("api", &key),
        house.get("/api/v1/user").header("cookie", &cookie),
        house.post("/api/v1/auth/refresh").json(&json!({"refresh_token": tokens["refresh_token"]})),
    ] {
        assert_eq!(ask.send().await.status, 200);
    }
}

#[tokio::test]
async fn bad_tokens_cookies_and_keys_do_not_count() {
    let house = House::lived_in().await;
    let refresh = json!({"refresh_token": "a.b.c"});
    for _ in 0..10 {
        for ask in [
            house.get("/api/v1/user"),
            house.get("/api/v1/user").bearer("a.b.c"),
            house.get("/api/v1/user").bearer("lodge_unknown"),
            house.get("/api/v1/user").header("x-api-key", "lodge_unknown"),
            house.get("/api/v1/user").header("cookie", "session=unknown"),
            house.get("/api/v1/user").header("authorization", "Basic !!!"),
            house.post("/api/v1/auth/refresh").json(&refresh),
        ] {
            ask.send().await.problem(401, "unauthorized");
        }
    }
    assert!(house.core.throttle().list().is_empty());
    assert_eq!(login(&house, "127.0.0.1", "bob", PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_guesses_do_not_slip_through() {
    let house = House::lived_in().await;
    let guesses: Vec<String> = (0..40).map(|number| format!("Guess-tree-{number}")).collect();
    let all = join_all(guesses.iter().map(|guess| login(&house, "192.0.2.1", "bob", guess))).await;
    let looked_at = all.iter().filter(|answer| answer.status == 401).count();
    let refused = all.iter().filter(|answer| answer.status == 429).count();
    assert_eq!((looked_at, refused), (5, 35));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_household_that_signs_in_at_once_is_not_refused() {
    let house = House::lived_in().await;
    let all = join_all((0..20).map(|_| login(&house, "192.0.2.1", "bob", PASSWORD))).await;
    assert!(all.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn an_ipv6_network_of_one_household_is_one_client() {
    let house = House::lived_in().await;
    for number in 0..5 {
        login(&house, &format!("2001:db8:0:1::{number}"), "bob", WRONG).await;
    }
    let same = login(&house, "2001:db8:0:1:ffff::1", "bob", PASSWORD).await;
    same.problem(429, "too_many_requests");
    assert_eq!(login(&house, "2001:db8:0:2::1", "bob", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn the_throttle_can_be_switched_off() {
    let house = House::lived_in_with(|plan| plan.settings.throttle.max_attempts = 0).await;
    for _ in 0..12 {
        login(&house, "192.0.2.1", "bob", WRONG).await.problem(401, "unauthorized");
        basic(&house, "192.0.2.1", "bob", WRONG).await.problem(401, "unauthorized");
    }
    assert_eq!(login(&house, "192.0.2.1", "bob", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn the_client_is_who_a_trusted_proxy_says_and_nobody_else() {
    let house = House::lived_in_with(|plan| {
        plan.http.surroundings.trusted_proxies = vec!["10.0.0.1/32".parse().expect("a network")];
    });
    let house = house.await;
    let body = json!({"username": "bob", "password": WRONG});
    for number in 0..5 {
        let invented = format!("203.0.113.{number}, 198.51.100.1");
        let ask = house.post(LOGIN).from("10.0.0.1").header("x-forwarded-for", &invented);
        ask.json(&body).send().await.problem(401, "unauthorized");
    }
    let same = house.post(LOGIN).from("10.0.0.1").header("x-forwarded-for", "198.51.100.1");
    same.json(&body).send().await.problem(429, "too_many_requests");
    let other = house.post(LOGIN).from("10.0.0.1").header("x-forwarded-for", "198.51.100.2");
    other.json(&body).send().await.problem(401, "unauthorized");
    for number in 0..5 {
        let invented = format!("203.0.113.{number}");
        let ask = house.post(LOGIN).from("192.0.2.1").header("x-forwarded-for", &invented);
        ask.json(&body).send().await.problem(401, "unauthorized");
    }
    login(&house, "192.0.2.1", "bob", PASSWORD).await.problem(429, "too_many_requests");
}

#[tokio::test]
async fn one_wrong_basic_credential_repeated_counts_once() {
    let house = House::lived_in().await;
    for _ in 0..12 {
        basic(&house, "192.0.2.1", "bob", WRONG).await.problem(401, "unauthorized");
    }
    assert_eq!(house.core.throttle().list()[0].attempts, 1);
    assert_eq!(basic(&house, "192.0.2.1", "bob", PASSWORD).await.status, 200);
    for number in 0..4 {
        let guess = format!("Guess-tree-{number}");
        basic(&house, "192.0.2.1", "bob", &guess).await.problem(401, "unauthorized");
    }
    let blocked = basic(&house, "192.0.2.1", "bob", PASSWORD).await;
    blocked.problem(429, "too_many_requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_basic_credential_sent_many_times_at_once_counts_once() {
    let house = House::lived_in().await;
    for round in 1..=4 {
        let wrong = format!("Wrong-tree-{round}");
        let all = join_all((0..16).map(|_| basic(&house, "192.0.2.1", "bob", &wrong))).await;
        assert!(all.iter().all(|answer| answer.status == 401));
        assert_eq!(house.core.throttle().list()[0].attempts, round);
    }
}

#[tokio::test]
async fn a_wrong_basic_credential_is_right_once_the_password_is() {
    let house = House::lived_in().await;
    basic(&house, "192.0.2.1", "bob", WRONG).await.problem(401, "unauthorized");
    change(&house, "bob", json!({"password": WRONG})).await;
    assert_eq!(basic(&house, "192.0.2.1", "bob", WRONG).await.status, 200);
}

#[tokio::test]
async fn basic_takes_a_name_or_an_address_and_a_password() {
    let house = House::lived_in().await;
    for name in ["bob", "BOB", "bob@example.org", "Bob@Example.org"] {
        let me = basic(&house, "127.0.0.1", name, PASSWORD).await;
        assert_eq!((me.status, &me.json()["username"]), (200, &json!("bob")));
        assert_eq!(me.header("set-cookie"), "");
    }
    for (name, password) in [("bob", ""), ("", PASSWORD), ("", ""), ("api", PASSWORD)] {
        let answer = basic(&house, "127.0.0.1", name, password).await;
        answer.problem(401, "unauthorized");
        house.core.throttle().clear(house.core.throttle().list()[0].subject);
    }
}

#[tokio::test]
async fn a_remembered_basic_credential_dies_with_its_password() {
    let house = House::lived_in().await;
    assert_eq!(basic(&house, "127.0.0.1", "bob", PASSWORD).await.status, 200);
    change(&house, "bob", json!({"password": "Chestnut-tree-8"})).await;
    basic(&house, "127.0.0.1", "bob", PASSWORD).await.problem(401, "unauthorized");
    assert_eq!(basic(&house, "127.0.0.1", "bob", "Chestnut-tree-8").await.status, 200);
}

#[tokio::test]
async fn a_remembered_basic_credential_dies_with_its_name_and_its_account() {
    let house = House::lived_in().await;
    for name in ["bob", "bob@example.org"] {
        assert_eq!(basic(&house, "127.0.0.1", name, PASSWORD).await.status, 200);
    }
    change(&house, "bob", json!({"username": "robert", "email": "robert@example.org"})).await;
    for name in ["bob", "bob@example.org"] {
        basic(&house, "127.0.0.1", name, PASSWORD).await.problem(401, "unauthorized");
    }
    assert_eq!(basic(&house, "127.0.0.1", "robert", PASSWORD).await.status, 200);
    change(&house, "robert", json!({"status": "disabled"})).await;
    basic(&house, "127.0.0.1", "robert", PASSWORD).await.problem(401, "unauthorized");
    change(&house, "robert", json!({"status": "active"})).await;
    assert_eq!(basic(&house, "127.0.0.1", "robert", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn an_api_key_passes_by_basic_under_its_owners_name_or_api() {
    let house = House::lived_in().await;
    let key = key_of(&house, "bob").await;
    for name in ["api", "API", "bob", "Bob", "bob@example.org"] {
        let me = basic(&house, "127.0.0.1", name, &key).await;
        assert_eq!((me.status, &me.json()["username"]), (200, &json!("bob")), "{name}");
        assert_eq!(me.header("set-cookie"), "");
    }
    for name in ["ann", "", "nobody", "apis"] {
        let other = basic(&house, "127.0.0.1", name, &key).await;
        other.problem(401, "unauthorized");
        assert!(!other.text().contains(&key));
    }
    let mut changed = key.clone();
    changed.replace_range(key.len() - 1.., if key.ends_with('a') { "b" } else { "a" });
    basic(&house, "192.0.2.1", "api", &changed).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn an_api_key_is_no_password_in_a_body() {
    let house = House::lived_in().await;
    let key = key_of(&house, "bob").await;
    for path in [LOGIN, "/api/v1/auth/session"] {
        for name in ["bob", "api"] {
            let body = json!({"username": name, "password": key});
            let answer = house.post(path).json(&body).send().await;
            answer.problem(401, "unauthorized");
            assert!(!answer.text().contains(&key));
        }
    }
}

#[tokio::test]
async fn unknown_wrong_pending_and_disabled_read_the_same() {
    let house = House::lived_in_with(|plan| {
        plan.settings.registration = gatelodge::domain::sign_up::RegistrationMode::Invite;
        plan.settings.throttle.max_attempts = 0;
    });
    let house = house.await;
    let body = json!({"username": "penny", "email": "penny@example.org", "password": PASSWORD});
    let made = house.post("/api/v1/auth/register").json(&body).send().await;
    assert_eq!((made.status, &made.json()["user"]["status"]), (201, &json!("pending")));
    house.add("dan", "reader").await;
    change(&house, "dan", json!({"status": "disabled"})).await;
    let wrong = login(&house, "127.0.0.1", "bob", WRONG).await;
    wrong.problem(401, "unauthorized");
    for name in ["nobody", "penny", "dan", "penny@example.org"] {
        let answer = login(&house, "127.0.0.1", name, PASSWORD).await;
        assert_eq!((answer.status, &answer.body), (401, &wrong.body), "{name}");
        let keys = |answer: &Answer| answer.headers.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&answer), keys(&wrong), "{name}");
        let answer = basic(&house, "127.0.0.1", name, PASSWORD).await;
        assert_eq!((answer.status, &answer.body), (401, &wrong.body), "{name}");
    }
}

#[tokio::test]
async fn a_401_challenges_programs_with_basic_and_browsers_without() {
    let house = House::lived_in().await;
    let plain = house.get("/api/v1/user").send().await;
    let both = "Bearer, Basic realm=\"Gatelodge\", charset=\"UTF-8\"";
    assert_eq!(plain.header("www-authenticate"), both);
    for (name, value) in [
        ("accept", "text/html,application/xhtml+xml"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-origin"),
    ] {
        let browser = house.get("/api/v1/user").header(name, value).send().await;
        browser.problem(401, "unauthorized");
        assert_eq!(browser.header("www-authenticate"), "Bearer", "{name}");
    }
}

#[tokio::test]
async fn the_first_credential_that_is_there_counts_alone() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let key = key_of(&house, "ann").await;
    let name = |answer: Answer| answer.json()["username"].clone();
    let both = house.get("/api/v1/user").bearer(&token).header("x-api-key", &key).send().await;
    assert_eq!(name(both), "bob");
    let wrong = house.get("/api/v1/user").bearer("a.b.c").header("x-api-key", &key).send().await;
    wrong.problem(401, "unauthorized");
    let wrong = house.get("/api/v1/user").header("authorization", "Digest x");
    wrong.header("x-api-key", &key).send().await.problem(401, "unauthorized");
    let twice = house.get("/api/v1/user").bearer(&token);
    let twice = twice.also("authorization", format!("Bearer {token}").as_bytes()).send().await;
    twice.problem(401, "unauthorized");
}
