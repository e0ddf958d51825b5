//! Other people's accounts: reading, making, changing, deleting.

use std::time::Duration;

use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::{PASSWORD, text},
    native_desk::{Desk, MARK, NO_IDS, NOBODY, long, names},
};

const USERS: &str = "/api/v1/users";

fn one(id: &str) -> String {
    format!("{USERS}/{id}")
}

#[tokio::test]
async fn the_list_of_people_is_for_those_who_may_read_it() {
    let desk = Desk::new().await;
    desk.refuses_strangers_and_readers(Method::GET, USERS, &Value::Null).await;
    for token in [&desk.maintainer, &desk.admin] {
        let list = desk.get(USERS, token).await.ok(200);
        assert_eq!(names(&list), ["ann", "bob", "mia"]);
        assert_eq!(
            (&list["page"], &list["page_size"], &list["total"]),
            (&json!(1), &json!(50), &json!(3))
        );
    }
}

#[tokio::test]
async fn an_account_is_shown_with_all_fields_and_no_secret() {
    let desk = Desk::new().await;
    let bob = desk.get(&one(&desk.id("bob").await), &desk.maintainer).await.ok(200);
    let fields: Vec<&str> =
        bob.as_object().expect("an object").keys().map(String::as_str).collect();
    let wanted = "id username email display_name role permissions status email_verified \
                  has_password has_pin last_login_at created_at updated_at";
    assert_eq!(fields, wanted.split(' ').filter(|name| !name.is_empty()).collect::<Vec<_>>());
    assert_eq!(bob["email"], "bob@example.org");
    assert_eq!(bob["role"], "reader");
    assert_eq!(bob["permissions"], json!([]));
    assert_eq!(bob["status"], "active");
    assert_eq!(bob["has_password"], true);
    assert_eq!(bob["has_pin"], false);
    assert_eq!(bob["email_verified"], true);
    assert_eq!(bob["created_at"], "2026-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_list_comes_in_pages_with_links_to_its_neighbours() {
    let desk = Desk::new().await;
    for name in ["cleo", "dora"] {
        desk.house.add(name, "reader").await;
    }
    let first = desk.get("/api/v1/users?page_size=2", &desk.admin).await;
    assert_eq!(names(&first.ok(200)), ["ann", "bob"]);
    let links = first.header("link");
    assert!(links.contains("</api/v1/users?page=2&page_size=2>; rel=\"next\""), "{links}");
    assert!(links.contains("</api/v1/users?page=3&page_size=2>; rel=\"last\""), "{links}");
    assert!(!links.contains("prev"), "{links}");
    let last = desk.get("/api/v1/users?page=3&page_size=2", &desk.admin).await;
    assert_eq!(names(&last.ok(200)), ["mia"]);
    let links = last.header("link");
    assert!(links.contains("</api/v1/users?page=2&page_size=2>; rel=\"prev\""), "{links}");
    assert!(!links.contains("next"), "{links}");
    let beyond = desk.get("/api/v1/users?page=9&page_size=2", &desk.admin).await.ok(200);
    assert_eq!((names(&beyond).len(), &beyond["total"]), (0, &json!(5)));
    for bad in ["page=0", "page=-1", "page=x", "page_size=0", "page_size=201", "page=4294967296"] {
        let answer = desk.get(&format!("{USERS}?{bad}"), &desk.admin).await;
        answer.problem(422, "unprocessable");
    }
}

#[tokio::test]
async fn a_search_finds_names_addresses_and_shown_names_in_any_case() {
    let desk = Desk::new().await;
    let body = json!({"username": "Zoë", "email": "z@example.net", "display_name": "Zoë 100%"});
    desk.post(USERS, &desk.admin, &body).await.ok(201);
    for q in ["ZO%C3%8B", "zo%C3%AB", "Z%40EXAMPLE", "100%25", "%20z%40example.net%20"] {
        let list = desk.get(&format!("{USERS}?q={q}"), &desk.admin).await.ok(200);
        assert_eq!(names(&list), ["Zoë"], "{q}");
    }
    for q in ["%25%25", "_", "nobody"] {
        let list = desk.get(&format!("{USERS}?q={q}"), &desk.admin).await.ok(200);
        assert_eq!(list["total"], 0, "{q}");
    }
    let answer = desk.get(&format!("{USERS}?q=example.org&page_size=1"), &desk.admin).await;
    let links = answer.header("link");
    assert!(links.contains("?q=example.org&page=2&page_size=1>; rel=\"next\""), "{links}");
}

#[tokio::test]
async fn people_are_found_by_role_and_status() {
    let desk = Desk::new().await;
    let off = json!({"username": "una", "status": "disabled"});
    desk.post(USERS, &desk.admin, &off).await.ok(201);
    let cases = [
        ("role=admin", vec!["ann"]),
        ("role=reader", vec!["bob", "una"]),
        ("role=reader&status=active", vec!["bob"]),
        ("status=disabled", vec!["una"]),
        ("status=pending", vec![]),
        ("role=nobody", vec![]),
        ("q=u&status=disabled", vec!["una"]),
    ];
    for (query, names) in cases {
        let list = desk.get(&format!("{USERS}?{query}"), &desk.admin).await.ok(200);
        let found: Vec<_> = list["data"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|one| text(&one["username"]))
            .collect();
        assert_eq!(found, names, "{query}");
        assert_eq!(list["total"], names.len(), "{query}");
    }
    let answer = desk.get(&format!("{USERS}?role=reader&page_size=1"), &desk.admin).await;
    let links = answer.header("link");
    assert!(links.contains("?role=reader&page=2&page_size=1>; rel=\"next\""), "{links}");
    desk.get(&format!("{USERS}?status=gone"), &desk.admin).await.problem(422, "unprocessable");
}

#[tokio::test]
async fn an_admin_makes_an_account_that_signs_in_at_once() {
    let desk = Desk::new().await;
    let body = json!({
        "username": "Cleo", "email": "Cleo@Example.org", "password": PASSWORD,
        "display_name": "Cleo C.", "role": "maintainer",
    });
    desk.refuses_strangers_and_readers(Method::POST, USERS, &body).await;
    desk.post(USERS, &desk.maintainer, &body).await.problem(403, "forbidden");
    let made = desk.post(USERS, &desk.admin, &body).await.ok(201);
    assert_eq!(made["username"], "Cleo");
    assert_eq!(made["email"], "cleo@example.org");
    assert_eq!(made["display_name"], "Cleo C.");
    assert_eq!(made["role"], "maintainer");
    assert_eq!(made["email_verified"], true);
    assert_eq!(made["last_login_at"], Value::Null);
    assert_eq!(desk.sign_in("cleo", PASSWORD).await, 200);
    assert_eq!(desk.sign_in("CLEO@example.ORG", PASSWORD).await, 200);
}

#[tokio::test]
async fn an_account_needs_no_more_than_a_name_and_starts_as_a_reader() {
    let desk = Desk::new().await;
    let made = desk.post(USERS, &desk.admin, &json!({"username": "cleo"})).await.ok(201);
    assert_eq!((&made["role"], &made["status"]), (&json!("reader"), &json!("active")));
    assert_eq!((&made["email"], &made["has_password"]), (&Value::Null, &json!(false)));
    assert_eq!(made["display_name"], "cleo");
    assert_eq!(desk.sign_in("cleo", "").await, 401);
    let body = json!({"username": "dora", "password": PASSWORD, "status": "disabled"});
    assert_eq!(desk.post(USERS, &desk.admin, &body).await.ok(201)["status"], "disabled");
    assert_eq!(desk.sign_in("dora", PASSWORD).await, 401);
}

#[tokio::test]
async fn rule_22_a_bad_body_for_an_account_is_refused_in_natives_words() {
    let desk = Desk::new().await;
    let good = json!({"username": "cleo", "password": PASSWORD});
    desk.refuses_bad_bodies(Method::POST, USERS, &good).await;
    let cases = [
        (json!({"password": PASSWORD}), "username"),
        (json!({"username": ""}), "username"),
        (json!({"username": 7}), "username"),
        (json!({"username": null}), "username"),
        (json!({"username": ["cleo"]}), "username"),
        (json!({"username": "cleo", "email": "cleo"}), "email"),
        (json!({"username": "cleo", "email": 1}), "email"),
        (json!({"username": "cleo", "email": format!("{}@example.org", long(300))}), "email"),
        (json!({"username": "cleo", "email": "a@b\r\nBcc: c@d"}), "email"),
        (json!({"username": "cleo", "role": "king"}), "role"),
        (json!({"username": "cleo", "role": 1}), "role"),
        (json!({"username": "cleo", "status": "pending"}), "status"),
        (json!({"username": "cleo", "status": true}), "status"),
        (json!({"username": "cleo", "status": {"active": null}}), "status"),
        (json!({"username": "cleo", "password": 12345678}), "password"),
        (json!({"username": "cleo", "display_name": long(129)}), "display_name"),
        (json!({"username": "cleo", "display_name": "a\nb"}), "display_name"),
    ];
    desk.refuses_fields(Method::POST, USERS, &cases).await;
    assert_eq!(desk.get(USERS, &desk.admin).await.ok(200)["total"], 3);
}

#[tokio::test]
async fn rule_4_a_name_that_could_be_mistaken_for_another_is_refused() {
    let desk = Desk::new().await;
    let strange = ["ｃｌｅｏ", ".cleo", "cleo.", "cl eo", "cl:eo", "cleo\u{0}", "api", "ME", "a/b"];
    for name in strange.map(str::to_owned).into_iter().chain([long(65), "x@example.org".into()]) {
        let answer = desk.post(USERS, &desk.admin, &json!({"username": name})).await;
        answer.problem(422, "unprocessable");
        assert_eq!(answer.json()["field"], "username", "{name}");
    }
    let body = json!({"username": "x@example.org", "email": "X@example.org"});
    assert_eq!(desk.post(USERS, &desk.admin, &body).await.ok(201)["username"], "x@example.org");
}

#[tokio::test]
async fn rule_4_names_and_addresses_share_one_space_in_any_spelling() {
    let desk = Desk::new().await;
    desk.post(USERS, &desk.admin, &json!({"username": "Straße"})).await.ok(201);
    let cases = [
        (json!({"username": "BOB"}), "username"),
        (json!({"username": "STRASSE"}), "username"),
        (json!({"username": "cleo", "email": "BOB@Example.org"}), "email"),
    ];
    let bob = one(&desk.id("mia").await);
    for (body, field) in cases {
        for answer in
            [desk.post(USERS, &desk.admin, &body).await, desk.patch(&bob, &desk.admin, &body).await]
        {
            answer.problem(409, "conflict");
            assert_eq!(answer.json()["field"], field);
        }
    }
    assert_eq!(desk.get(&bob, &desk.admin).await.ok(200)["username"], "mia");
}

#[tokio::test]
async fn rule_5_a_password_has_eight_characters_and_is_not_a_common_one() {
    let desk = Desk::new().await;
    let bob = one(&desk.id("bob").await);
    for bad in ["", "Walnut7", "password", "PASSWORD1", "12345678"].map(str::to_owned) {
        let answer = desk.put(&bob, &desk.admin, &json!({"password": bad})).await;
        answer.problem(422, "unprocessable");
        assert_eq!(answer.json()["field"], "password", "{bad}");
    }
    let over = desk.put(&bob, &desk.admin, &json!({"password": long(1025)})).await;
    assert!(over.problem(422, "unprocessable").contains("1024"));
    assert_eq!(desk.sign_in("bob", PASSWORD).await, 200);
    for good in ["Walnut-7".to_owned(), long(1024)] {
        desk.put(&bob, &desk.admin, &json!({"password": good})).await.ok(200);
        assert_eq!(desk.sign_in("bob", &good).await, 200);
    }
}

#[tokio::test]
async fn rule_5_the_configured_floor_raises_the_dialects_own() {
    let desk = Desk::with(|plan| plan.settings.password_min_length = 12).await;
    let bob = one(&desk.id("bob").await);
    let short = json!({"password": "Walnut-tre7"});
    desk.put(&bob, &desk.admin, &short).await.problem(422, "unprocessable");
    desk.put(&bob, &desk.admin, &json!({"password": "Walnut-tree8"})).await.ok(200);
}

#[tokio::test]
async fn one_account_is_for_its_owner_and_those_who_may_read() {
    let desk = Desk::new().await;
    let (ann, bob) = (desk.id("ann").await, desk.id("bob").await);
    desk.get(&one(&bob), "").await.problem(401, "unauthorized");
    assert_eq!(desk.get(&one(&bob), &desk.reader).await.ok(200)["username"], "bob");
    desk.get(&one(&ann), &desk.reader).await.problem(403, "forbidden");
    desk.get(&one(NOBODY), &desk.reader).await.problem(403, "forbidden");
    desk.get(&one(NOBODY), &desk.admin).await.problem(404, "not_found");
}

#[tokio::test]
async fn an_id_that_is_unknown_or_none_at_all_is_a_404_for_every_operation() {
    let desk = Desk::new().await;
    let operations = [
        (Method::GET, "", Value::Null),
        (Method::PUT, "", json!({"display_name": "x"})),
        (Method::PATCH, "", json!({"display_name": "x"})),
        (Method::DELETE, "", Value::Null),
        (Method::GET, "/sessions", Value::Null),
        (Method::DELETE, "/sessions", Value::Null),
        (Method::POST, "/pin", json!({"pin": "4711"})),
        (Method::POST, "/reset-link", Value::Null),
    ];
    for (method, rest, body) in operations {
        for id in [NOBODY].iter().chain(&NO_IDS) {
            let path = format!("{USERS}/{id}{rest}");
            desk.send(method.clone(), &path, &desk.admin, &body).await.problem(404, "not_found");
            desk.send(method.clone(), &path, "", &body).await.problem(401, "unauthorized");
        }
    }
}

#[tokio::test]
async fn put_and_patch_change_only_what_they_name() {
    let desk = Desk::new().await;
    let bob = one(&desk.id("bob").await);
    for (method, name) in [(Method::PUT, "Bob B."), (Method::PATCH, "Bobby")] {
        let edit = json!({"display_name": name});
        desk.refuses_strangers_and_readers(method.clone(), &bob, &edit).await;
        desk.send(method.clone(), &bob, &desk.maintainer, &edit).await.problem(403, "forbidden");
        let before = desk.get(&bob, &desk.admin).await.ok(200);
        desk.house.clock.advance(Duration::from_secs(60));
        let after = desk.send(method.clone(), &bob, &desk.admin, &edit).await.ok(200);
        let mut wanted = before.clone();
        wanted["display_name"] = json!(name);
        wanted["updated_at"] = after["updated_at"].clone();
        assert_eq!(after, wanted, "{method}");
        assert_ne!(after["updated_at"], before["updated_at"]);
        let same = desk.send(method, &bob, &desk.admin, &json!({})).await.ok(200);
        assert_eq!(same["display_name"], name);
    }
    assert_eq!(desk.get("/api/v1/user", &desk.reader).await.ok(200)["display_name"], "Bobby");
}

#[tokio::test]
async fn a_bad_change_is_refused_and_changes_nothing() {
    let desk = Desk::new().await;
    let bob = one(&desk.id("bob").await);
    let before = desk.get(&bob, &desk.admin).await.ok(200);
    let cases = [
        (json!({"display_name": "New", "username": 7}), "username"),
        (json!({"display_name": "New", "username": "a b"}), "username"),
        (json!({"display_name": "New", "email": "nowhere"}), "email"),
        (json!({"display_name": "New", "role": "king"}), "role"),
        (json!({"display_name": "New", "status": "pending"}), "status"),
        (json!({"display_name": "New", "password": "short"}), "password"),
        (json!({"display_name": long(129)}), "display_name"),
    ];
    for method in [Method::PUT, Method::PATCH] {
        desk.refuses_bad_bodies(method.clone(), &bob, &json!({"display_name": MARK})).await;
        desk.refuses_fields(method, &bob, &cases).await;
    }
    assert_eq!(desk.get(&bob, &desk.admin).await.ok(200), before);
}

#[tokio::test]
async fn an_address_can_be_changed_and_taken_away_and_a_name_that_is_one_follows() {
    let desk = Desk::new().await;
    let bob = one(&desk.id("bob").await);
    let named = json!({"username": "bob@example.org"});
    desk.patch(&bob, &desk.admin, &named).await.ok(200);
    let moved = desk.patch(&bob, &desk.admin, &json!({"email": "Bob@Example.net"})).await.ok(200);
    assert_eq!(moved["username"], "bob@example.net");
    assert_eq!(desk.sign_in("bob@example.net", PASSWORD).await, 200);
    assert_eq!(desk.sign_in("bob@example.org", PASSWORD).await, 401);
    let bare = desk.patch(&bob, &desk.admin, &json!({"email": null})).await;
    bare.problem(422, "unprocessable");
    let both = json!({"email": null, "username": "bob"});
    let bare = desk.patch(&bob, &desk.admin, &both).await.ok(200);
    assert_eq!((&bare["email"], &bare["email_verified"]), (&Value::Null, &json!(false)));
}

#[tokio::test]
async fn putting_a_password_resets_it_and_ends_all_sessions() {
    let desk = Desk::new().await;
    let bob = one(&desk.id("bob").await);
    let signed_in = desk.house.login("bob").await;
    let basic = || desk.house.get("/api/v1/user").basic("bob", PASSWORD).send();
    basic().await.ok(200);
    let reset = json!({"password": "Chestnut-tree-8"});
    desk.put(&bob, &desk.admin, &reset).await.ok(200);
    for token in [&desk.reader, &text(&signed_in["token"])] {
        desk.get("/api/v1/user", token).await.problem(401, "unauthorized");
    }
    let refresh = json!({"refresh_token": signed_in["refresh_token"]});
    desk.post("/api/v1/auth/refresh", "", &refresh).await.problem(401, "unauthorized");
    basic().await.problem(401, "unauthorized");
    assert_eq!(desk.sign_in("bob", "Chestnut-tree-8").await, 200);
    let again = desk.patch(&bob, &desk.admin, &json!({"password": PASSWORD})).await;
    again.ok(200);
    assert_eq!(desk.sign_in("bob", PASSWORD).await, 200);
}

#[tokio::test]
async fn ones_own_secrets_are_not_reset_without_the_present_password() {
    let desk = Desk::new().await;
    let ann = one(&desk.id("ann").await);
    let body = json!({"password": "Chestnut-tree-8"});
    desk.put(&ann, &desk.admin, &body).await.problem(403, "forbidden");
    desk.patch(&ann, &desk.admin, &body).await.problem(403, "forbidden");
    let pin = json!({"pin": "4711"});
    desk.post(&format!("{ann}/pin"), &desk.admin, &pin).await.problem(403, "forbidden");
    let link = desk.post(&format!("{ann}/reset-link"), &desk.admin, &Value::Null).await;
    link.problem(403, "forbidden");
    let after = desk.get(&ann, &desk.admin).await.ok(200);
    assert_eq!(after["has_pin"], false);
    assert_eq!(desk.sign_in("ann", PASSWORD).await, 200);
}
