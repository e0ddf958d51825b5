//! Pin: cookies and a PIN (seed 001), cell by cell.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use gatelodge::domain::{caller::Caller, people::UserDraft, secret::Secret};
use serde_json::{Value, json};

use super::house::{Answer, Ask, House, PASSWORD, Plan, text};

pub const PIN: &str = "2468";
const MINUTE: Duration = Duration::from_secs(60);
const MONTH: u64 = 30 * 24 * 3600;

/// Admin `ann` and reader `bob` have a password, reader `cyd` and maintainer `dan` a PIN.
async fn house_with(change: impl FnOnce(&mut Plan)) -> House {
    let house = House::lived_in_with(change).await;
    for (name, role) in [("cyd", "reader"), ("dan", "maintainer")] {
        let draft = UserDraft {
            username: name.to_owned(),
            email: (name == "dan").then(|| "dan@example.org".to_owned()),
            pin: Some(Secret::new(PIN)),
            role: Some(role.to_owned()),
            ..UserDraft::default()
        };
        house.core.user_create(&Caller::operator(), draft).await.expect("an account");
    }
    house
}

async fn house() -> House {
    house_with(|_| {}).await
}

fn ask<'a>(house: &'a House, name: &str, pin: &str) -> Ask<'a> {
    house.post("/auth/login").json(&json!({"name": name, "pin": pin}))
}

/// The value of a cookie that an answer sets.
#[track_caller]
pub fn cookie(answer: &Answer, name: &str) -> String {
    let all = answer.headers.get_all("set-cookie").iter();
    let prefix = format!("{name}=");
    let line = all.filter_map(|line| line.to_str().ok()?.strip_prefix(&prefix)).next();
    let line = line.unwrap_or_else(|| panic!("no {name}: {}", answer.header("set-cookie")));
    line.split(';').next().expect("a value").to_owned()
}

/// Both tokens of a sign-in.
async fn signed_in(house: &House, name: &str) -> (String, String) {
    let answer = ask(house, name, PIN).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (cookie(&answer, "accessToken"), cookie(&answer, "refreshToken"))
}

fn with_access<'a>(ask: Ask<'a>, token: &str) -> Ask<'a> {
    ask.header("cookie", &format!("accessToken={token}"))
}

fn with_refresh<'a>(ask: Ask<'a>, token: &str) -> Ask<'a> {
    ask.header("cookie", &format!("refreshToken={token}"))
}

async fn me(house: &House, access: &str) -> Answer {
    with_access(house.get("/users/me"), access).send().await
}

async fn renewed(house: &House, refresh: &str) -> Answer {
    with_refresh(house.post("/auth/refresh"), refresh).send().await
}

/// An error of this dialect: one message, and no cookie.
#[track_caller]
fn refused(answer: &Answer, status: u16, message: &str) {
    let wanted = (status, json!({"message": message}));
    assert_eq!((answer.status, answer.json()), wanted);
    assert_eq!(answer.header("set-cookie"), "");
}

#[tokio::test]
async fn a_sign_in_tells_who_one_is_and_sets_both_cookies() {
    let house = house().await;
    let answer = ask(&house, "dan", PIN).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    let keys: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["message", "user", "perms"]);
    assert_eq!(body["message"], "Login successful");
    let user = &body["user"];
    for key in ["userId", "roleId"] {
        assert_eq!(text(&user[key]).len(), 36, "{key} is a uuid");
    }
    let expected = json!({
        "userId": user["userId"], "name": "dan", "email": "dan@example.org", "phone": null,
        "role": "maintainer", "roleId": user["roleId"], "isAdmin": false,
    });
    assert_eq!(*user, expected);
    let perms = body["perms"].as_array().expect("a list");
    let names: HashSet<String> = perms.iter().map(|perm| text(&perm["name"])).collect();
    let maintainer =
        ["users-read", "invitations-read", "invitations-write", "events-read", "system-health"];
    assert_eq!(names, maintainer.map(str::to_owned).into());
    for perm in perms {
        assert_eq!(text(&perm["id"]).len(), 36);
        assert!(!text(&perm["description"]).is_empty() && perm["enabled"] == true, "{perm}");
    }
    let again = ask(&house, "DAN@example.org", PIN).send().await.json();
    assert_eq!(again, body, "ids are stable, and the address is a name too");
    let cookies: Vec<String> = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|line| line.to_str().expect("text").to_owned())
        .collect();
    assert_eq!(cookies.len(), 2);
    for (name, age) in [("accessToken", 60), ("refreshToken", MONTH)] {
        let line = cookies.iter().find(|line| line.starts_with(name)).expect(name);
        let mut attributes: Vec<&str> = line.split("; ").skip(1).collect();
        attributes.sort_unstable();
        let age = format!("Max-Age={age}");
        assert_eq!(attributes, ["HttpOnly", &age, "Path=/", "SameSite=Lax"], "{line}");
    }
}

#[tokio::test]
async fn cookies_are_secure_where_the_house_is_reached_by_https() {
    let house = house_with(|plan| {
        plan.http.surroundings.trusted_proxies = vec!["10.0.0.1/32".parse().expect("a network")];
    });
    let house = house.await;
    let by_proxy = ask(&house, "dan", PIN)
        .from("10.0.0.1")
        .header("x-forwarded-for", "192.168.7.7")
        .header("x-forwarded-proto", "https");
    let answer = by_proxy.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for line in answer.headers.get_all("set-cookie") {
        assert!(line.to_str().expect("text").contains("; Secure"), "{line:?}");
    }
    let renewed = with_refresh(house.post("/auth/refresh"), &cookie(&answer, "refreshToken"))
        .from("10.0.0.1")
        .header("x-forwarded-proto", "https")
        .send()
        .await;
    assert!(renewed.header("set-cookie").contains("; Secure"));
}

#[tokio::test]
async fn every_wrong_sign_in_reads_the_same_and_sets_no_cookie() {
    let house = house_with(|plan| plan.settings.throttle.max_attempts = 0).await;
    for (name, pin) in [
        ("dan", "1111"),
        ("nobody", PIN),
        ("", PIN),
        ("dan", ""),
        ("dan", "24680"),
        ("dan", " 2468"),
        ("bob", PIN),
        ("bob", PASSWORD),
        ("dan ", PIN),
    ] {
        refused(&ask(&house, name, pin).send().await, 401, "Invalid credentials");
    }
    let outside = ask(&house, "dan", PIN).from("203.0.113.9").send().await;
    refused(&outside, 401, "Invalid credentials");
}

#[tokio::test]
async fn the_sixth_wrong_sign_in_waits() {
    let house = house().await;
    for _ in 0..5 {
        refused(&ask(&house, "dan", "1111").send().await, 401, "Invalid credentials");
    }
    for pin in ["1111", PIN] {
        let answer = ask(&house, "dan", pin).send().await;
        assert_eq!((answer.status, &answer.json()["retryAfter"]), (429, &json!(300)));
        assert!(answer.json()["message"].is_string());
        assert_eq!(answer.header("retry-after"), "300");
        assert_eq!(answer.header("set-cookie"), "");
    }
    house.clock.advance(Duration::from_secs(300));
    signed_in(&house, "dan").await;
}

#[tokio::test]
async fn a_malformed_sign_in_is_400_and_sets_no_cookie() {
    let house = house().await;
    for body in [
        "",
        "{",
        "null",
        "7",
        "[]",
        r#"["dan","2468"]"#,
        "{}",
        r#"{"name":"dan"}"#,
        r#"{"pin":"2468"}"#,
        r#"{"name":"dan","pin":2468}"#,
        r#"{"name":"dan","pin":null}"#,
        r#"{"name":["dan"],"pin":"2468"}"#,
        r#"{"name":"dan","name":"dan","pin":"2468"}"#,
    ] {
        let answer = house.post("/auth/login").raw("application/json", body).send().await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        let shape = answer.json();
        assert!(shape["message"].is_string() && shape.as_object().map(|map| map.len()) == Some(1));
        assert!(!answer.text().contains(PIN), "{body}");
        assert_eq!(answer.header("set-cookie"), "", "{body}");
    }
    let form = house.post("/auth/login").raw("application/x-www-form-urlencoded", "name=dan");
    refused(&form.send().await, 415, "Send JSON");
    let big = json!({"name": "dan", "pin": "1".repeat(1 << 20)});
    refused(&house.post("/auth/login").json(&big).send().await, 413, "The body is too large");
    let deep = format!("{}{}", r#"{"name":"#, "[".repeat(10_000));
    let deep = house.post("/auth/login").raw("application/json", deep).send().await;
    refused(&deep, 400, "Invalid request");
}

#[tokio::test]
async fn a_field_that_nobody_knows_changes_nothing() {
    let house = house().await;
    let body = json!({"name": "dan", "pin": PIN, "remember": true, "userId": "another"});
    let answer = house.post("/auth/login").json(&body).send().await;
    assert_eq!((answer.status, &answer.json()["user"]["name"]), (200, &json!("dan")));
}

#[tokio::test]
async fn shell_clients_find_each_token_exactly_once() {
    let house = house().await;
    let answer = ask(&house, "dan", PIN).send().await;
    let (access, refresh) = (cookie(&answer, "accessToken"), cookie(&answer, "refreshToken"));
    for token in [&access, &refresh] {
        assert!(token.len() > 100 && !token.contains(['=', ';', '"', '%']), "{token}");
    }
    let again = renewed(&house, &refresh).await;
    for (answer, cookies) in [(&answer, 1), (&again, 0)] {
        let whole = format!("{:?}\n{}", answer.headers, answer.text());
        assert_eq!(whole.matches("accessToken=").count(), 1);
        assert_eq!(whole.matches("refreshToken=").count(), cookies);
    }
}

#[tokio::test]
async fn tokens_of_one_second_differ() {
    let house = house().await;
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let (access, refresh) = signed_in(&house, "dan").await;
        let again = cookie(&renewed(&house, &refresh).await, "accessToken");
        seen.extend([access, refresh, again]);
    }
    assert_eq!(seen.len(), 9);
}

#[tokio::test]
async fn refreshing_renews_the_access_cookie_alone_and_rotates_nothing() {
    let house = house().await;
    let (access, refresh) = signed_in(&house, "dan").await;
    for _ in 0..3 {
        let answer = renewed(&house, &refresh).await;
        let fresh = cookie(&answer, "accessToken");
        let message = "Access token refreshed successfully";
        let body = json!({"message": message, "accessToken": fresh});
        assert_eq!((answer.status, answer.json()), (200, body));
        assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 1);
        let line = answer.header("set-cookie");
        for attribute in ["HttpOnly", "Max-Age=60", "Path=/", "SameSite=Lax"] {
            assert!(line.contains(attribute), "{line}");
        }
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(me(&house, &fresh).await.status, 200);
        house.clock.advance(Duration::from_secs(20));
    }
    refused(&me(&house, &access).await, 401, "Unauthorized API access");
}

#[tokio::test]
async fn fifty_refreshes_at_once_all_succeed() {
    let house = house().await;
    let (_, refresh) = signed_in(&house, "dan").await;
    let all = join_all((0..50).map(|_| renewed(&house, &refresh))).await;
    let fresh: HashSet<String> = all.iter().map(|one| cookie(one, "accessToken")).collect();
    assert_eq!(fresh.len(), 50);
}

#[tokio::test]
async fn refreshing_takes_the_refresh_cookie_and_nothing_else() {
    let house = house().await;
    let (access, refresh) = signed_in(&house, "dan").await;
    let native = house.token("ann").await;
    let post = || house.post("/auth/refresh");
    for ask in [
        post(),
        with_access(post(), &access),
        with_access(post(), &refresh),
        with_refresh(post(), &access),
        with_refresh(post(), &native),
        with_refresh(post(), ""),
        post().header("cookie", &format!("RefreshToken={refresh}")),
        post().header("cookie", &format!("refreshToken={refresh}=")),
        post().header("cookie", &format!("refreshToken=\"{refresh}\"")),
        post().bearer(&refresh),
        post().bearer(&native),
        post().basic("ann", PASSWORD),
        post().json(&json!({"refreshToken": refresh})),
        house.post(&format!("/auth/refresh?refreshToken={refresh}")),
    ] {
        refused(&ask.send().await, 401, "Invalid token");
    }
}

#[tokio::test]
async fn access_is_by_the_access_cookie_and_nothing_else() {
    let house = house().await;
    let (access, refresh) = signed_in(&house, "dan").await;
    let native = house.token("ann").await;
    for path in ["/users/me", "/auth/logout"] {
        let ask = || if path == "/users/me" { house.get(path) } else { house.post(path) };
        for ask in [
            ask(),
            with_access(ask(), &refresh),
            with_access(ask(), &native),
            with_refresh(ask(), &refresh),
            with_refresh(ask(), &access),
            ask().header("cookie", &format!("accesstoken={access}")),
            ask().also("cookie", b"accessToken=\xff\xfe"),
            ask().bearer(&access),
            ask().bearer(&native),
            ask().basic("ann", PASSWORD),
        ] {
            refused(&ask.send().await, 401, "Unauthorized API access");
        }
    }
    assert_eq!(me(&house, &access).await.status, 200);
}

#[tokio::test]
async fn two_cookie_headers_are_one() {
    let house = house().await;
    let (access, refresh) = signed_in(&house, "dan").await;
    let [access, refresh] = [format!("accessToken={access}"), format!("refreshToken={refresh}")];
    for pair in [[&access, &refresh], [&refresh, &access]] {
        let [first, second] = pair.map(|line| line.as_bytes());
        let asks = [house.post("/auth/refresh"), house.get("/users/me")];
        for ask in asks {
            let answer = ask.also("cookie", first).also("cookie", second).send().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    let one_line = house.get("/users/me").header("cookie", &format!("a=b; {refresh}; {access}"));
    assert_eq!(one_line.send().await.status, 200);
}

#[tokio::test]
async fn each_cookie_lives_exactly_as_long_as_it_says() {
    let house = house().await;
    let (access, refresh) = signed_in(&house, "dan").await;
    house.clock.advance(MINUTE - Duration::from_secs(1));
    assert_eq!(me(&house, &access).await.status, 200);
    house.clock.advance(Duration::from_secs(1));
    refused(&me(&house, &access).await, 401, "Unauthorized API access");
    let month = Duration::from_secs(MONTH);
    house.clock.advance(month - MINUTE - Duration::from_secs(1));
    let last = cookie(&renewed(&house, &refresh).await, "accessToken");
    assert_eq!(me(&house, &last).await.status, 200);
    house.clock.advance(Duration::from_secs(1));
    refused(&renewed(&house, &refresh).await, 401, "Invalid token");
    refused(&me(&house, &last).await, 401, "Unauthorized API access");
}

#[tokio::test]
async fn lives_are_those_of_the_configuration() {
    let house = house_with(|plan| {
        plan.settings.lives.pin_access = Duration::from_secs(5);
        plan.settings.lives.pin_refresh = Duration::from_secs(24 * 3600);
    });
    let house = house.await;
    let answer = ask(&house, "dan", PIN).send().await;
    let lines = answer.headers.get_all("set-cookie").iter();
    let ages: HashSet<(&str, &str)> = lines
        .map(|line| line.to_str().expect("text"))
        .map(|line| (&line[..5], line.rsplit_once("Max-Age=").expect("an age").1))
        .collect();
    assert_eq!(ages, [("acces", "5"), ("refre", "86400")].into());
    house.clock.advance(Duration::from_secs(5));
    let late = me(&house, &cookie(&answer, "accessToken")).await;
    refused(&late, 401, "Unauthorized API access");
    house.clock.advance(Duration::from_secs(24 * 3600 - 5));
    refused(&renewed(&house, &cookie(&answer, "refreshToken")).await, 401, "Invalid token");
}

#[tokio::test]
async fn signing_out_ends_the_device_on_the_server_and_no_other() {
    let house = house().await;
    let (access, refresh) = signed_in(&house, "dan").await;
    let (other, other_refresh) = signed_in(&house, "dan").await;
    let second = cookie(&renewed(&house, &refresh).await, "accessToken");
    let out = with_access(house.post("/auth/logout"), &access).send().await;
    assert_eq!((out.status, out.json()), (200, json!({"message": "Logout successful"})));
    for name in ["accessToken", "refreshToken"] {
        assert_eq!(cookie(&out, name), "");
        let lines = out.headers.get_all("set-cookie").iter();
        let line = lines.filter_map(|line| line.to_str().ok()).find(|line| line.starts_with(name));
        let line = line.expect("a cookie");
        for attribute in ["Max-Age=0", "Path=/", "HttpOnly", "SameSite=Lax"] {
            assert!(line.contains(attribute), "{line}");
        }
    }
    for token in [&access, &second] {
        refused(&me(&house, token).await, 401, "Unauthorized API access");
        let again = with_access(house.post("/auth/logout"), token).send().await;
        refused(&again, 401, "Unauthorized API access");
    }
    refused(&renewed(&house, &refresh).await, 401, "Invalid token");
    assert_eq!(me(&house, &other).await.status, 200);
    assert_eq!(renewed(&house, &other_refresh).await.status, 200);
}

#[tokio::test]
async fn who_am_i_is_what_the_sign_in_said() {
    let house = house().await;
    let login = ask(&house, "dan", PIN).send().await;
    let mut said = login.json();
    said.as_object_mut().expect("an object").shift_remove("message");
    let answer = me(&house, &cookie(&login, "accessToken")).await;
    assert_eq!((answer.status, answer.json()), (200, said));
}

#[tokio::test]
async fn an_admin_is_told_so() {
    let house = house().await;
    let ann = house.token("ann").await;
    let body = json!({"current_password": PASSWORD, "pin": "1357"});
    let set = house.post("/api/v1/user/pin").bearer(&ann).json(&body).send().await;
    assert_eq!(set.status, 200, "{}", set.text());
    let user = ask(&house, "ann", "1357").send().await.json()["user"].clone();
    assert_eq!((&user["isAdmin"], &user["role"]), (&json!(true), &json!("admin")));
}

fn names(answer: &Answer) -> Vec<String> {
    let list = answer.json();
    list.as_array().expect("a list").iter().map(|one| text(&one["name"])).collect()
}

#[tokio::test]
async fn the_pad_lists_who_has_a_pin_to_the_house_alone() {
    let house = house_with(|plan| {
        plan.http.surroundings.trusted_proxies = vec!["10.0.0.1/32".parse().expect("a network")];
    });
    let house = house.await;
    let list = house.get("/users").send().await;
    assert_eq!((list.status, names(&list)), (200, vec!["cyd".to_owned(), "dan".to_owned()]));
    for one in list.json().as_array().expect("a list") {
        let keys: Vec<&String> = one.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["id", "name", "role"]);
        assert_eq!(text(&one["id"]).len(), 36);
    }
    for inside in [
        house.get("/users").from("192.168.7.7"),
        house.get("/users").from("10.0.0.1").header("x-forwarded-for", "192.168.7.7"),
    ] {
        assert_eq!(inside.send().await.status, 200);
    }
    let (access, _) = signed_in(&house, "dan").await;
    for outside in [
        house.get("/users").from("203.0.113.9"),
        house.get("/users").from("2001:db8::1"),
        house.get("/users").header("x-forwarded-for", "192.168.7.7"),
        house.get("/users").from("10.0.0.1").header("x-forwarded-for", "203.0.113.9"),
        with_access(house.get("/users").from("203.0.113.9"), &access),
    ] {
        refused(&outside.send().await, 401, "Unauthorized API access");
    }
}

#[tokio::test]
async fn the_pad_can_be_hidden() {
    let house = house_with(|plan| plan.settings.pin_list_users = false).await;
    let (access, _) = signed_in(&house, "dan").await;
    for ask in [house.get("/users"), with_access(house.get("/users"), &access)] {
        refused(&ask.send().await, 401, "Unauthorized API access");
    }
}

#[tokio::test]
async fn another_method_and_an_unknown_path_answer_in_this_shape() {
    let house = house().await;
    refused(&house.get("/auth/refresh").send().await, 405, "Method not allowed");
    refused(&house.delete("/users/me").send().await, 405, "Method not allowed");
    for path in ["/auth", "/auth/", "/auth/nothing", "/users/you", "/users/me/more", "/auth//login"]
    {
        let answer = house.get(path).send().await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["message"].is_string(), "{path}");
    }
}

#[tokio::test]
async fn a_page_elsewhere_can_do_nothing() {
    let house = house().await;
    let (access, refresh) = signed_in(&house, "dan").await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        for ask in [
            ask(&house, "dan", PIN),
            with_access(house.post("/auth/logout"), &access),
            with_refresh(house.post("/auth/refresh"), &refresh),
        ] {
            let answer = ask.header(name, value).send().await;
            assert_eq!(answer.status, 403, "{name}: {value}");
            assert!(answer.json()["message"].is_string());
            assert_eq!(answer.header("set-cookie"), "");
        }
    }
    assert_eq!(me(&house, &access).await.status, 200);
}

#[tokio::test]
async fn a_door_that_is_shut_is_404_for_all() {
    let house = house_with(|plan| plan.http.dialects.pin = false).await;
    let asks: [Value; 2] = [json!({"name": "dan", "pin": PIN}), json!({})];
    for body in &asks {
        let answer = house.post("/auth/login").json(body).send().await;
        assert_eq!((answer.status, answer.header("set-cookie")), (400, String::new()));
    }
    for ask in [
        house.post("/auth/refresh"),
        house.post("/auth/logout"),
        house.get("/users/me"),
        house.get("/users"),
    ] {
        let answer = ask.send().await;
        assert_eq!(answer.status, 404);
        assert!(answer.json()["message"].is_string());
    }
}
