//! PINs: where they are good, and when they lock (wire rules 9 and 12).

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::house::{Answer, Ask, House, PASSWORD, Plan, text};

const PIN: &str = "2468";
const HOUR: Duration = Duration::from_secs(3600);
const SESSION: &str = "/api/v1/auth/session";

async fn with_pin(change: impl FnOnce(&mut Plan)) -> House {
    let house = House::lived_in_with(change).await;
    set_pin(&house, json!(PIN)).await;
    house
}

/// Guesses are then held back by the lock alone.
async fn unthrottled() -> House {
    with_pin(|plan| plan.settings.throttle.max_attempts = 0).await
}

async fn set_pin(house: &House, pin: Value) {
    let token = house.token("bob").await;
    let body = json!({"current_password": PASSWORD, "pin": pin});
    let set = house.post("/api/v1/user/pin").bearer(&token).json(&body).send().await;
    assert_eq!(set.status, 200, "{}", set.text());
}

fn ask<'a>(house: &'a House, who: &str, pin: &str) -> Ask<'a> {
    house.post(SESSION).json(&json!({"username": who, "pin": pin}))
}

async fn sign_in(house: &House, pin: &str) -> Answer {
    ask(house, "bob", pin).send().await
}

async fn wrong(house: &House, times: usize) {
    for _ in 0..times {
        sign_in(house, "1111").await.problem(401, "unauthorized");
    }
}

async fn locks_noted(house: &House) -> Value {
    let token = house.token("ann").await;
    let events = house.get("/api/v1/events?kind=pin_locked").bearer(&token).send().await;
    assert_eq!(events.status, 200, "{}", events.text());
    events.json()["total"].clone()
}

#[tokio::test]
async fn ten_wrong_pins_lock_the_pin_for_an_hour_and_nothing_else() {
    let house = unthrottled().await;
    wrong(&house, 9).await;
    assert_eq!(sign_in(&house, PIN).await.status, 200);
    wrong(&house, 1).await;
    let locked = sign_in(&house, PIN).await;
    let other = sign_in(&house, "1111").await;
    assert_eq!((locked.status, &locked.body), (401, &other.body), "it reads like a wrong one");
    assert_eq!(locks_noted(&house).await, 1);
    house.clock.advance(HOUR - Duration::from_millis(1));
    sign_in(&house, PIN).await.problem(401, "unauthorized");
    house.clock.advance(Duration::from_millis(1));
    assert_eq!(sign_in(&house, PIN).await.status, 200);
}

#[tokio::test]
async fn a_password_opens_while_the_pin_is_locked_and_unlocks_it() {
    let house = unthrottled().await;
    wrong(&house, 10).await;
    sign_in(&house, PIN).await.problem(401, "unauthorized");
    let body = json!({"username": "bob", "password": PASSWORD});
    assert_eq!(house.post(SESSION).json(&body).send().await.status, 200);
    assert_eq!(sign_in(&house, PIN).await.status, 200);
}

#[tokio::test]
async fn the_third_lock_of_a_day_stays_until_a_password_sign_in() {
    let house = unthrottled().await;
    for _ in 0..3 {
        wrong(&house, 10).await;
        sign_in(&house, PIN).await.problem(401, "unauthorized");
        house.clock.advance(HOUR);
    }
    house.clock.advance(HOUR * 24 * 30);
    sign_in(&house, PIN).await.problem(401, "unauthorized");
    house.login("bob").await;
    assert_eq!(sign_in(&house, PIN).await.status, 200);
    wrong(&house, 9).await;
    assert_eq!(sign_in(&house, PIN).await.status, 200, "all counts begin anew");
}

#[tokio::test]
async fn wrong_pins_of_different_hours_do_not_add_up() {
    let house = unthrottled().await;
    for _ in 0..3 {
        wrong(&house, 9).await;
        house.clock.advance(HOUR);
    }
    assert_eq!(sign_in(&house, PIN).await.status, 200);
}

#[tokio::test]
async fn a_lock_survives_a_restart() {
    let house = unthrottled().await;
    wrong(&house, 10).await;
    let house = house.restarted(|plan| plan.settings.throttle.max_attempts = 0).await;
    sign_in(&house, PIN).await.problem(401, "unauthorized");
    house.clock.advance(HOUR);
    assert_eq!(sign_in(&house, PIN).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_guesses_under_both_names_are_all_counted() {
    let house = unthrottled().await;
    let names = ["bob", "bob@example.org"];
    let all = join_all((0..10).map(|number| ask(&house, names[number % 2], "1111").send())).await;
    assert!(all.iter().all(|answer| answer.status == 401));
    sign_in(&house, PIN).await.problem(401, "unauthorized");
    assert_eq!(locks_noted(&house).await, 1);
}

#[tokio::test]
async fn wrong_pins_count_for_the_address_too() {
    let house = with_pin(|_| {}).await;
    wrong(&house, 5).await;
    let answer = sign_in(&house, PIN).await;
    answer.problem(429, "too_many_requests");
    assert_eq!(answer.header("retry-after"), "300");
    assert_eq!(ask(&house, "bob", PIN).from("127.0.0.2").send().await.status, 200);
}

#[tokio::test]
async fn a_pin_is_good_inside_its_networks_only() {
    let house = with_pin(|plan| {
        plan.settings.throttle.max_attempts = 0;
        plan.http.surroundings.trusted_proxies = vec!["10.0.0.1/32".parse().expect("a network")];
    });
    let house = house.await;
    type From = fn(Ask<'_>) -> Ask<'_>;
    const INSIDE: [From; 4] = [
        |ask| ask,
        |ask| ask.from("192.168.7.7"),
        |ask| ask.from("::ffff:10.1.2.3"),
        |ask| ask.from("10.0.0.1").header("x-forwarded-for", "192.168.7.7"),
    ];
    const OUTSIDE: [From; 6] = [
        |ask| ask.from("203.0.113.9"),
        |ask| ask.from("2001:db8::1"),
        |ask| ask.from("10.0.0.1").header("x-forwarded-for", "203.0.113.9"),
        |ask| ask.from("192.168.7.7").header("x-forwarded-for", "192.168.7.7"),
        |ask| ask.header("forwarded", "for=127.0.0.1"),
        |ask| ask.header("x-real-ip", "127.0.0.1"),
    ];
    for inside in INSIDE {
        assert_eq!(inside(ask(&house, "bob", PIN)).send().await.status, 200);
        let options = inside(house.get("/api/v1/auth/options")).send().await.json();
        assert_eq!(options["people"][0]["username"], "bob");
        assert_eq!(options["pin_allowed"], true);
    }
    for outside in OUTSIDE {
        let answer = outside(ask(&house, "bob", PIN)).send().await;
        assert_eq!(answer.problem(401, "unauthorized"), "wrong name or password");
        let options = outside(house.get("/api/v1/auth/options")).send().await.json();
        assert_eq!((&options["people"], &options["pin_allowed"]), (&json!([]), &json!(false)));
    }
    assert_eq!(sign_in(&house, PIN).await.status, 200, "tries from outside lock nobody out");
}

#[tokio::test]
async fn strangers_outside_cannot_lock_a_pin() {
    let house = unthrottled().await;
    for _ in 0..12 {
        let answer = ask(&house, "bob", "1111").from("203.0.113.9").send().await;
        answer.problem(401, "unauthorized");
    }
    assert_eq!(sign_in(&house, PIN).await.status, 200);
}

/// Whoever waits for the disk answers later, and would tell by it who has a PIN.
#[tokio::test]
async fn a_wrong_pin_waits_for_the_disk_whoever_is_named() {
    let house = unthrottled().await;
    house.add("dino", "reader").await;
    let admin = house.token("ann").await;
    let dino = house.get("/api/v1/users?q=dino").bearer(&admin).send().await.json();
    let dino = format!("/api/v1/users/{}", text(&dino["data"][0]["id"]));
    let disabled = house.patch(&dino).bearer(&admin).json(&json!({"status": "disabled"}));
    assert_eq!(disabled.send().await.status, 200);
    let file = rusqlite::Connection::open(house.database()).expect("the database");
    let version = || -> i64 {
        file.query_row("PRAGMA data_version", [], |row| row.get(0)).expect("a version")
    };
    let guess = async |who: &str, peer: &str| {
        let before = version();
        ask(&house, who, "1111").from(peer).send().await.problem(401, "unauthorized");
        version() != before
    };
    // bob has a PIN and locks it after ten, ann has none, dino may not sign in, eve is nobody.
    for who in ["bob"; 12].into_iter().chain(["ann", "dino", "eve"]) {
        assert!(guess(who, "192.168.1.7").await, "{who} is told by what is not written");
    }
    for who in ["bob", "eve"] {
        assert!(!guess(who, "203.0.113.9").await, "{who}: strangers outside make nothing written");
    }
}

#[tokio::test]
async fn a_pin_that_is_none_opens_nothing() {
    let house = unthrottled().await;
    for pin in
        ["", "246", "24680", "２４６８", " 2468", "2468\u{0}", &"2468".repeat(1000), PASSWORD]
    {
        let answer = sign_in(&house, pin).await;
        answer.problem(401, "unauthorized");
        assert!(pin.is_empty() || !answer.text().contains(pin));
    }
    for who in ["ann", "nobody", "", "bob "] {
        ask(&house, who, PIN).send().await.problem(401, "unauthorized");
    }
    let body = json!({"username": "bob", "password": PIN});
    house.post(SESSION).json(&body).send().await.problem(401, "unauthorized");
    house.get("/api/v1/user").basic("bob", PIN).send().await.problem(401, "unauthorized");
    set_pin(&house, json!(null)).await;
    sign_in(&house, PIN).await.problem(401, "unauthorized");
    let options = house.get("/api/v1/auth/options").send().await.json();
    assert_eq!(options["people"], json!([]));
}

#[tokio::test]
async fn a_new_pin_ends_the_old_one_and_its_lock() {
    let house = unthrottled().await;
    wrong(&house, 10).await;
    set_pin(&house, json!("1357")).await;
    sign_in(&house, PIN).await.problem(401, "unauthorized");
    assert_eq!(sign_in(&house, "1357").await.status, 200);
}

#[tokio::test]
async fn a_disabled_account_has_no_pin() {
    let house = unthrottled().await;
    let ann = house.token("ann").await;
    let users = house.get("/api/v1/users?q=bob").bearer(&ann).send().await.json();
    let path = format!("/api/v1/users/{}", text(&users["data"][0]["id"]));
    let off = house.patch(&path).bearer(&ann).json(&json!({"status": "disabled"})).send().await;
    assert_eq!(off.status, 200);
    sign_in(&house, PIN).await.problem(401, "unauthorized");
    let options = house.get("/api/v1/auth/options").send().await.json();
    assert_eq!(options["people"], json!([]));
}
