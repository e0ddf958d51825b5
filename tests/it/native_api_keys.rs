//! API keys: made once, shown once.

use std::time::Duration;

use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::text,
    native_desk::{Desk, MARK, NO_IDS, NOBODY, long},
};

const KEYS: &str = "/api/v1/api-keys";
const USER: &str = "/api/v1/user";

async fn total(desk: &Desk, token: &str) -> Value {
    desk.get(KEYS, token).await.ok(200)["total"].clone()
}

#[tokio::test]
async fn a_key_is_shown_once_and_never_again() {
    let desk = Desk::new().await;
    desk.get(KEYS, "").await.problem(401, "unauthorized");
    desk.post(KEYS, "", &json!({"name": "script"})).await.problem(401, "unauthorized");
    let made = desk.post(KEYS, &desk.reader, &json!({"name": "script"})).await.ok(201);
    let key = text(&made["key"]);
    let parts: Vec<&str> = key.split('_').collect();
    assert_eq!((parts[0], parts[1].len(), parts.len()), ("lodge", 8, 3), "{key}");
    assert!(parts[2].len() >= 38 && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    assert_eq!(made["key_prefix"], format!("lodge_{}", parts[1]));
    assert_eq!((&made["permissions"], &made["expires_at"]), (&Value::Null, &Value::Null));
    let path = format!("{KEYS}/{}", text(&made["id"]));
    let mut shown = made.clone();
    shown.as_object_mut().expect("an object").remove("key");
    assert_eq!(desk.get(&path, &desk.reader).await.ok(200), shown);
    let list = desk.get(KEYS, &desk.reader).await.ok(200);
    assert_eq!(list["data"], json!([shown]));
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(desk.house.folder()).expect("a folder") {
        kept.extend(std::fs::read(entry.expect("an entry").path()).expect("a file"));
    }
    let holds = |text: &str| kept.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&text(&made["key_prefix"])), "the database was not read");
    assert!(!holds(&key) && !holds(parts[2]));
}

#[tokio::test]
async fn a_key_signs_in_by_bearer_header_and_basic_and_never_as_a_password() {
    let desk = Desk::new().await;
    let key = desk.key(&desk.reader, &json!({"name": "script"})).await;
    let get = || desk.house.get(USER);
    for ask in [
        get().bearer(&key),
        get().header("x-api-key", &key),
        get().basic("api", &key),
        get().basic("bob", &key),
        get().basic("BOB@example.org", &key),
    ] {
        assert_eq!(ask.send().await.ok(200)["username"], "bob");
    }
    get().basic("ann", &key).send().await.problem(401, "unauthorized");
    assert_eq!(desk.sign_in("bob", &key).await, 401);
    let changed =
        format!("{}{}", &key[..key.len() - 1], if key.ends_with('a') { 'b' } else { 'a' });
    for bad in [changed.as_str(), "lodge_", "lodge_12345678_x", MARK] {
        get().bearer(bad).send().await.problem(401, "unauthorized");
        get().header("x-api-key", bad).send().await.problem(401, "unauthorized");
    }
    let bytes = get().also("x-api-key", b"\xff\xfe").send().await;
    bytes.problem(401, "unauthorized");
}

#[tokio::test]
async fn the_prefix_of_keys_can_be_another() {
    let desk = Desk::with(|plan| plan.settings.api_key_prefix = "codex".to_owned()).await;
    let key = desk.key(&desk.reader, &json!({"name": "script"})).await;
    assert!(key.starts_with("codex_"), "{key}");
    desk.get(USER, &key).await.ok(200);
}

#[tokio::test]
async fn a_key_is_granted_only_what_its_maker_has() {
    let desk = Desk::new().await;
    let wanted = json!({"name": "k", "permissions": ["users-read"]});
    desk.post(KEYS, &desk.reader, &wanted).await.problem(403, "forbidden");
    let made = desk.post(KEYS, &desk.maintainer, &wanted).await.ok(201);
    assert_eq!(made["permissions"], json!(["users-read"]));
    let path = format!("{KEYS}/{}", text(&made["id"]));
    let wider = json!({"permissions": ["users-read", "users-write"]});
    desk.patch(&path, &desk.maintainer, &wider).await.problem(403, "forbidden");
    assert_eq!(desk.get(&path, &desk.maintainer).await.ok(200), {
        let mut shown = made.clone();
        shown.as_object_mut().expect("an object").remove("key");
        shown
    });
    assert_eq!(total(&desk, &desk.reader).await, 0);
}

#[tokio::test]
async fn a_key_ends_at_its_time() {
    let desk = Desk::new().await;
    let end = json!({"name": "k", "expires_at": "2026-01-01T01:00:00+00:30"});
    let made = desk.post(KEYS, &desk.reader, &end).await.ok(201);
    assert_eq!(made["expires_at"], "2026-01-01T00:30:00Z");
    let key = text(&made["key"]);
    desk.house.clock.advance(Duration::from_secs(30 * 60 - 1));
    desk.get(USER, &key).await.ok(200);
    desk.house.clock.advance(Duration::from_secs(1));
    desk.get(USER, &key).await.problem(401, "unauthorized");
    let path = format!("{KEYS}/{}", text(&made["id"]));
    desk.patch(&path, &desk.reader, &json!({"expires_at": null})).await.ok(200);
    desk.get(USER, &key).await.ok(200);
}

#[tokio::test]
async fn a_change_to_a_key_keeps_what_it_does_not_name_and_null_takes_a_limit_away() {
    let desk = Desk::new().await;
    let wanted = json!({
        "name": "k", "permissions": ["users-read"], "expires_at": "2027-01-01T00:00:00Z",
    });
    let made = desk.post(KEYS, &desk.maintainer, &wanted).await.ok(201);
    let (key, path) = (text(&made["key"]), format!("{KEYS}/{}", text(&made["id"])));
    desk.get("/api/v1/events", &key).await.problem(403, "forbidden");
    desk.patch(&path, "", &json!({"name": "x"})).await.problem(401, "unauthorized");
    let named = desk.patch(&path, &desk.maintainer, &json!({"name": "other"})).await.ok(200);
    assert_eq!((&named["name"], &named["key_prefix"]), (&json!("other"), &made["key_prefix"]));
    assert_eq!(named["permissions"], made["permissions"]);
    assert_eq!(named["expires_at"], made["expires_at"]);
    assert!(named.get("key").is_none());
    let free = json!({"permissions": null, "expires_at": null});
    let free = desk.patch(&path, &desk.maintainer, &free).await.ok(200);
    assert_eq!((&free["permissions"], &free["expires_at"]), (&Value::Null, &Value::Null));
    desk.get("/api/v1/events", &key).await.ok(200);
    let none = json!({"permissions": []});
    desk.patch(&path, &desk.maintainer, &none).await.ok(200);
    desk.get("/api/v1/events", &key).await.problem(403, "forbidden");
    desk.get(USER, &key).await.ok(200);
}

#[tokio::test]
async fn a_revoked_key_ends_at_once_and_for_good() {
    let desk = Desk::new().await;
    let made = desk.post(KEYS, &desk.reader, &json!({"name": "k"})).await.ok(201);
    let (key, path) = (text(&made["key"]), format!("{KEYS}/{}", text(&made["id"])));
    desk.get(USER, &key).await.ok(200);
    desk.delete(&path, "").await.problem(401, "unauthorized");
    desk.delete(&path, &desk.reader).await.ok(204);
    desk.get(USER, &key).await.problem(401, "unauthorized");
    desk.house.get(USER).basic("api", &key).send().await.problem(401, "unauthorized");
    desk.get(&path, &desk.reader).await.problem(404, "not_found");
    let edit = json!({"name": "x"});
    desk.patch(&path, &desk.reader, &edit).await.problem(404, "not_found");
    desk.delete(&path, &desk.reader).await.problem(404, "not_found");
    assert_eq!(total(&desk, &desk.reader).await, 0);
}

#[tokio::test]
async fn the_last_use_of_a_key_is_told() {
    let desk = Desk::new().await;
    let made = desk.post(KEYS, &desk.reader, &json!({"name": "k"})).await.ok(201);
    let path = format!("{KEYS}/{}", text(&made["id"]));
    assert_eq!(made["last_used_at"], Value::Null);
    desk.house.clock.advance(Duration::from_secs(5));
    desk.get(USER, &text(&made["key"])).await.ok(200);
    desk.house.core.settle().await.expect("written");
    let key = desk.get(&path, &desk.reader).await.ok(200);
    assert_eq!(key["last_used_at"], "2026-01-01T00:00:05Z");
}

#[tokio::test]
async fn somebody_elses_key_is_not_there_without_the_permission() {
    let desk = Desk::new().await;
    let made = desk.post(KEYS, &desk.reader, &json!({"name": "k"})).await.ok(201);
    let path = format!("{KEYS}/{}", text(&made["id"]));
    let edit = json!({"name": "stolen"});
    desk.get(&path, &desk.maintainer).await.problem(404, "not_found");
    desk.patch(&path, &desk.maintainer, &edit).await.problem(404, "not_found");
    desk.delete(&path, &desk.maintainer).await.problem(404, "not_found");
    let of_bob = format!("{KEYS}?user={}", desk.id("bob").await);
    desk.get(&of_bob, &desk.maintainer).await.problem(403, "forbidden");
    desk.post(&of_bob, &desk.maintainer, &edit).await.problem(403, "forbidden");
    desk.get(USER, &text(&made["key"])).await.ok(200);
}

#[tokio::test]
async fn an_admin_looks_after_the_keys_of_others() {
    let desk = Desk::new().await;
    let of_bob = format!("{KEYS}?user={}", desk.id("bob").await);
    let made = desk.post(&of_bob, &desk.admin, &json!({"name": "gift"})).await.ok(201);
    let (key, path) = (text(&made["key"]), format!("{KEYS}/{}", text(&made["id"])));
    assert_eq!(desk.get(USER, &key).await.ok(200)["username"], "bob");
    assert_eq!(total(&desk, &desk.reader).await, 1);
    assert_eq!(total(&desk, &desk.admin).await, 0);
    let list = desk.get(&of_bob, &desk.admin).await;
    assert_eq!(list.ok(200)["data"][0]["name"], "gift");
    assert!(list.header("link").contains(&format!("<{of_bob}&page=1&page_size=50>")));
    desk.get(&path, &desk.admin).await.ok(200);
    desk.patch(&path, &desk.admin, &json!({"name": "present"})).await.ok(200);
    desk.delete(&path, &desk.admin).await.ok(204);
    desk.get(USER, &key).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn rule_6_a_key_made_or_changed_for_somebody_else_stays_within_their_rights_and_the_makers() {
    let desk = Desk::new().await;
    let tim = desk.hire("tim", &["api-keys-read", "api-keys-write", "api-keys-delete"]).await;
    let made = desk.post(KEYS, &desk.admin, &json!({"name": "root"})).await.ok(201);
    let path = format!("{KEYS}/{}", text(&made["id"]));
    let of_ann = format!("{KEYS}?user={}", desk.id("ann").await);
    desk.get(&of_ann, &tim).await.ok(200);
    desk.get(&path, &tim).await.ok(200);
    desk.post(&of_ann, &tim, &json!({"name": "k"})).await.problem(403, "forbidden");
    desk.patch(&path, &tim, &json!({"name": "k"})).await.problem(403, "forbidden");
    desk.delete(&path, &tim).await.problem(403, "forbidden");
    let of_bob = format!("{KEYS}?user={}", desk.id("bob").await);
    let made = desk.post(&of_bob, &tim, &json!({"name": "k"})).await.ok(201);
    let more = json!({"name": "k", "permissions": ["users-read"]});
    desk.post(&of_bob, &desk.admin, &more).await.problem(403, "forbidden");
    let path = format!("{KEYS}/{}", text(&made["id"]));
    desk.patch(&path, &desk.admin, &more).await.problem(403, "forbidden");
    // What it may is what bob may now, and never more.
    assert_eq!(desk.get(&path, &desk.admin).await.ok(200)["permissions"], json!([]));
    desk.patch(&path, &tim, &json!({"permissions": null})).await.ok(200);
    assert_eq!(desk.get(&path, &desk.admin).await.ok(200)["permissions"], json!([]));
    desk.patch(&path, &desk.reader, &json!({"permissions": null})).await.ok(200);
    assert_eq!(desk.get(&path, &desk.admin).await.ok(200)["permissions"], Value::Null);
    desk.delete(&path, &tim).await.ok(204);
}

#[tokio::test]
async fn keys_come_in_pages_newest_first_and_there_are_a_hundred_at_most() {
    let desk = Desk::new().await;
    for count in 1..=100 {
        desk.house.clock.advance(Duration::from_secs(1));
        let body = json!({"name": format!("key {count}")});
        desk.post(KEYS, &desk.reader, &body).await.ok(201);
    }
    let more = desk.post(KEYS, &desk.reader, &json!({"name": "one more"})).await;
    more.problem(422, "unprocessable");
    let answer = desk.get(&format!("{KEYS}?page_size=30&page=4"), &desk.reader).await;
    let page = answer.ok(200);
    let names: Vec<String> =
        page["data"].as_array().expect("a list").iter().map(|key| text(&key["name"])).collect();
    assert_eq!((names.len(), names[0].as_str(), names[9].as_str()), (10, "key 10", "key 1"));
    assert_eq!(page["total"], 100);
    assert!(answer.header("link").contains("</api/v1/api-keys?page=3&page_size=30>; rel=\"prev\""));
}

#[tokio::test]
async fn an_id_that_no_key_has_is_a_404() {
    let desk = Desk::new().await;
    for id in [NOBODY].iter().chain(&NO_IDS) {
        let path = format!("{KEYS}/{id}");
        desk.get(&path, &desk.admin).await.problem(404, "not_found");
        let edit = json!({"name": "x"});
        desk.patch(&path, &desk.admin, &edit).await.problem(404, "not_found");
        desk.delete(&path, &desk.admin).await.problem(404, "not_found");
        desk.get(&path, "").await.problem(401, "unauthorized");
    }
    let of_nobody = format!("{KEYS}?user={NOBODY}");
    desk.get(&of_nobody, &desk.admin).await.problem(404, "not_found");
    let wanted = json!({"name": "x"});
    desk.post(&of_nobody, &desk.admin, &wanted).await.problem(404, "not_found");
    desk.get(&format!("{KEYS}?user=bob"), &desk.admin).await.problem(422, "unprocessable");
}

#[tokio::test]
async fn rule_22_a_bad_key_is_refused() {
    let desk = Desk::new().await;
    let made = desk.post(KEYS, &desk.admin, &json!({"name": "k"})).await.ok(201);
    let path = format!("{KEYS}/{}", text(&made["id"]));
    desk.refuses_bad_bodies(Method::POST, KEYS, &json!({"name": "x"})).await;
    desk.refuses_bad_bodies(Method::PATCH, &path, &json!({"name": "x"})).await;
    let mut cases = vec![
        (json!({"name": ""}), "name"),
        (json!({"name": "  "}), "name"),
        (json!({"name": 7}), "name"),
        (json!({"name": long(129)}), "name"),
        (json!({"name": "a\u{0}b"}), "name"),
        (json!({"name": "x", "permissions": "users-read"}), "permissions"),
        (json!({"name": "x", "permissions": [1]}), "permissions"),
        (json!({"name": "x", "permissions": ["Users Read"]}), "permissions"),
        (json!({"name": "x", "expires_at": "2025-12-31T23:59:59Z"}), "expires_at"),
        (json!({"name": "x", "expires_at": "2026-01-01T00:00:00Z"}), "expires_at"),
        (json!({"name": "x", "expires_at": "tomorrow"}), "expires_at"),
        (json!({"name": "x", "expires_at": 1_800_000_000}), "expires_at"),
    ];
    desk.refuses_fields(Method::PATCH, &path, &cases).await;
    cases.push((json!({}), "name"));
    desk.refuses_fields(Method::POST, KEYS, &cases).await;
    assert_eq!(total(&desk, &desk.admin).await, 1);
}
