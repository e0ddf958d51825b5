//! Nobody does by another's hand what exceeds their own rights, and a key is less than its owner.

use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::{PASSWORD, text},
    native_desk::Desk,
};

const BUILT_IN: [&str; 13] = [
    "users-read",
    "users-write",
    "users-delete",
    "roles-read",
    "roles-write",
    "invitations-read",
    "invitations-write",
    "api-keys-read",
    "api-keys-write",
    "api-keys-delete",
    "events-read",
    "system-health",
    "system-admin",
];

async fn path_of(desk: &Desk, name: &str) -> String {
    format!("/api/v1/users/{}", desk.id(name).await)
}

#[tokio::test]
async fn rule_6_who_may_write_users_cannot_make_or_become_an_admin() {
    let desk = Desk::new().await;
    let tim = desk.hire("tim", &["users-read", "users-write", "users-delete"]).await;
    let wanted = json!({"username": "cleo", "password": PASSWORD, "role": "admin"});
    desk.post("/api/v1/users", &tim, &wanted).await.problem(403, "forbidden");
    let wanted = json!({"username": "cleo", "password": PASSWORD, "role": "maintainer"});
    desk.post("/api/v1/users", &tim, &wanted).await.problem(403, "forbidden");
    let bob = path_of(&desk, "bob").await;
    for role in ["admin", "maintainer"] {
        desk.patch(&bob, &tim, &json!({"role": role})).await.problem(403, "forbidden");
        desk.put(&bob, &tim, &json!({"role": role})).await.problem(403, "forbidden");
    }
    let own = path_of(&desk, "tim").await;
    desk.patch(&own, &tim, &json!({"role": "admin"})).await.problem(403, "forbidden");
    assert_eq!(desk.get(&bob, &tim).await.ok(200)["role"], "reader");
    desk.patch(&bob, &tim, &json!({"role": "tim"})).await.ok(200);
}

#[tokio::test]
async fn rule_6_who_may_write_users_cannot_touch_somebody_with_more_rights() {
    let desk = Desk::new().await;
    let tim = desk.hire("tim", &["users-read", "users-write", "users-delete"]).await;
    for (name, token) in [("ann", &desk.admin), ("mia", &desk.maintainer)] {
        let path = path_of(&desk, name).await;
        let before = desk.get(&path, &desk.admin).await.ok(200);
        for edit in [
            json!({"display_name": "x"}),
            json!({"username": "x"}),
            json!({"email": "x@example.org"}),
            json!({"password": "Chestnut-tree-8"}),
            json!({"role": "reader"}),
            json!({"status": "disabled"}),
        ] {
            desk.put(&path, &tim, &edit).await.problem(403, "forbidden");
            desk.patch(&path, &tim, &edit).await.problem(403, "forbidden");
        }
        let sessions = desk.get(&format!("{path}/sessions"), &tim).await.ok(200);
        let session = format!("/sessions/{}", text(&sessions["data"][0]["id"]));
        for (method, rest, body) in [
            (Method::DELETE, "", Value::Null),
            (Method::DELETE, "/sessions", Value::Null),
            (Method::DELETE, session.as_str(), Value::Null),
            (Method::POST, "/pin", json!({"pin": "4711"})),
            (Method::POST, "/reset-link", Value::Null),
        ] {
            let answer = desk.send(method, &format!("{path}{rest}"), &tim, &body).await;
            answer.problem(403, "forbidden");
        }
        assert_eq!(desk.get(&path, &desk.admin).await.ok(200), before);
        desk.get("/api/v1/user", token).await.ok(200);
    }
    let bob = path_of(&desk, "bob").await;
    desk.put(&bob, &tim, &json!({"password": "Chestnut-tree-8"})).await.ok(200);
    desk.post(&format!("{bob}/reset-link"), &tim, &Value::Null).await.ok(201);
    desk.delete(&bob, &tim).await.ok(204);
}

#[tokio::test]
async fn rule_6_every_named_permission_together_is_still_not_an_admin() {
    let desk = Desk::new().await;
    let tim = desk.hire("tim", &BUILT_IN).await;
    let ann = path_of(&desk, "ann").await;
    desk.patch(&ann, &tim, &json!({"display_name": "x"})).await.problem(403, "forbidden");
    desk.delete(&ann, &tim).await.problem(403, "forbidden");
    let wanted = json!({"username": "cleo", "role": "admin"});
    desk.post("/api/v1/users", &tim, &wanted).await.problem(403, "forbidden");
    let invitation = json!({"role": "admin"});
    desk.post("/api/v1/invitations", &tim, &invitation).await.problem(403, "forbidden");
    let keys = format!("/api/v1/api-keys?user={}", desk.id("ann").await);
    desk.post(&keys, &tim, &json!({"name": "k"})).await.problem(403, "forbidden");
    desk.patch(&path_of(&desk, "mia").await, &tim, &json!({"display_name": "M"})).await.ok(200);
}

#[tokio::test]
async fn rule_6_who_may_write_roles_grants_only_what_they_have() {
    let desk = Desk::new().await;
    let tim = desk.hire("tim", &["roles-read", "roles-write"]).await;
    let ops = json!({"name": "ops", "permissions": ["system-admin"]});
    desk.post("/api/v1/roles", &tim, &ops).await.problem(403, "forbidden");
    let app = json!({"name": "app", "permissions": ["libraries-read"]});
    desk.post("/api/v1/roles", &tim, &app).await.problem(403, "forbidden");
    desk.post("/api/v1/roles", &desk.admin, &ops).await.ok(201);
    let weaker = json!({"permissions": []});
    desk.put("/api/v1/roles/ops", &tim, &weaker).await.problem(403, "forbidden");
    desk.delete("/api/v1/roles/ops", &tim).await.problem(403, "forbidden");
    let wider = json!({"permissions": ["roles-read", "roles-write", "users-write"]});
    desk.put("/api/v1/roles/tim", &tim, &wider).await.problem(403, "forbidden");
    let desk_role = json!({"name": "desk", "permissions": ["roles-read"]});
    desk.post("/api/v1/roles", &tim, &desk_role).await.ok(201);
    desk.delete("/api/v1/roles/desk", &tim).await.ok(204);
}

#[tokio::test]
async fn rule_6_who_may_invite_invites_to_no_more_than_they_are() {
    let desk = Desk::new().await;
    let invitations = "/api/v1/invitations";
    desk.post(invitations, &desk.maintainer, &json!({"role": "admin"}))
        .await
        .problem(403, "forbidden");
    let own =
        desk.post(invitations, &desk.maintainer, &json!({"role": "maintainer"})).await.ok(201);
    let high = desk.post(invitations, &desk.admin, &json!({"role": "admin"})).await.ok(201);
    let high = format!("{invitations}/{}", text(&high["id"]));
    desk.delete(&high, &desk.maintainer).await.problem(403, "forbidden");
    assert_eq!(desk.get(&high, &desk.maintainer).await.ok(200)["state"], "open");
    let own = format!("{invitations}/{}", text(&own["id"]));
    desk.delete(&own, &desk.maintainer).await.ok(204);
}

#[tokio::test]
async fn rule_6_who_may_read_the_outbox_finds_no_link_there_that_opens_more() {
    let desk = Desk::new().await;
    let tim = desk.hire("tim", &["system-admin"]).await;
    for (email, role) in [("x@example.org", "admin"), ("y@example.org", "reader")] {
        let body = json!({"email": email, "role": role});
        desk.post("/api/v1/invitations", &desk.admin, &body).await.ok(201);
    }
    for email in ["ann@example.org", "bob@example.org"] {
        desk.post("/api/v1/auth/forgot-password", "", &json!({"email": email})).await.ok(200);
        desk.house.core.quiet().await;
    }
    let shown = |list: Value| -> Vec<(String, bool)> {
        let letters = list["data"].as_array().expect("a list").iter();
        let mut found: Vec<_> = letters
            .map(|letter| (text(&letter["recipient"]), letter["link"].is_string()))
            .collect();
        found.sort();
        found
    };
    let all = |ann, x| {
        [
            ("ann@example.org", ann),
            ("bob@example.org", true),
            ("x@example.org", x),
            ("y@example.org", true),
        ]
        .map(|(recipient, link)| (recipient.to_owned(), link))
    };
    let list = desk.get("/api/v1/outbox", &desk.admin).await.ok(200);
    assert_eq!(shown(list), all(true, true));
    let list = desk.get("/api/v1/outbox", &tim).await.ok(200);
    assert_eq!(shown(list), all(false, false));
}

#[tokio::test]
async fn rule_6_a_key_with_some_of_its_owners_rights_grants_no_more_than_those() {
    let desk = Desk::new().await;
    let some = json!({"name": "some", "permissions": ["users-read", "users-write", "roles-write"]});
    let key = desk.key(&desk.admin, &some).await;
    desk.post("/api/v1/users", &key, &json!({"username": "cleo"})).await.ok(201);
    let cleo = path_of(&desk, "cleo").await;
    for role in ["admin", "maintainer"] {
        let wanted = json!({"username": "dora", "role": role});
        desk.post("/api/v1/users", &key, &wanted).await.problem(403, "forbidden");
        desk.patch(&cleo, &key, &json!({"role": role})).await.problem(403, "forbidden");
    }
    let edit = json!({"display_name": "x"});
    desk.patch(&path_of(&desk, "ann").await, &key, &edit).await.problem(403, "forbidden");
    desk.patch(&cleo, &key, &edit).await.ok(200);
    let role = json!({"name": "ops", "permissions": ["system-admin"]});
    desk.post("/api/v1/roles", &key, &role).await.problem(403, "forbidden");
    desk.delete(&cleo, &key).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_key_has_what_it_and_its_owner_have_now() {
    let desk = Desk::new().await;
    let tim = desk.hire("tim", &["users-read", "events-read"]).await;
    let narrow = desk.key(&tim, &json!({"name": "n", "permissions": ["users-read"]})).await;
    let whole = desk.key(&tim, &json!({"name": "w"})).await;
    desk.get("/api/v1/users", &narrow).await.ok(200);
    desk.get("/api/v1/events", &narrow).await.problem(403, "forbidden");
    desk.get("/api/v1/events", &whole).await.ok(200);
    let less = json!({"permissions": ["events-read", "system-health"]});
    desk.put("/api/v1/roles/tim", &desk.admin, &less).await.ok(200);
    desk.get("/api/v1/users", &narrow).await.problem(403, "forbidden");
    desk.get("/api/v1/users", &whole).await.problem(403, "forbidden");
    desk.get("/api/v1/system", &whole).await.ok(200);
}

#[tokio::test]
async fn rule_18_an_api_key_is_refused_whatever_is_for_people_though_its_owner_is_an_admin() {
    let desk = Desk::new().await;
    let key = desk.key(&desk.admin, &json!({"name": "all"})).await;
    let bob = path_of(&desk, "bob").await;
    let users = "/api/v1/users".to_owned();
    let own = |rest: &str| format!("/api/v1/{rest}");
    let keys = desk.get("/api/v1/api-keys", &desk.admin).await.ok(200);
    let this_key = own(&format!("api-keys/{}", text(&keys["data"][0]["id"])));
    let passwords = json!({"current_password": PASSWORD, "new_password": "Chestnut-tree-8"});
    let email = json!({"current_password": PASSWORD, "email": "x@example.org"});
    let pin = json!({"current_password": PASSWORD, "pin": "4711"});
    let refused = [
        (Method::POST, own("user/password"), passwords),
        (Method::POST, own("user/pin"), pin),
        (Method::POST, own("user/email"), email),
        (Method::GET, own("user/sessions"), Value::Null),
        (Method::DELETE, own("user/sessions"), Value::Null),
        (Method::GET, own("user/identities"), Value::Null),
        (Method::GET, own("api-keys"), Value::Null),
        (Method::POST, own("api-keys"), json!({"name": "more"})),
        (Method::GET, this_key.clone(), Value::Null),
        (Method::PATCH, this_key.clone(), json!({"name": "other"})),
        (Method::DELETE, this_key, Value::Null),
        (Method::POST, users, json!({"username": "cleo", "password": PASSWORD})),
        (Method::PUT, bob.clone(), json!({"password": "Chestnut-tree-8"})),
        (Method::PATCH, bob.clone(), json!({"password": "Chestnut-tree-8"})),
        (Method::PATCH, bob.clone(), json!({"email": "x@example.org"})),
        (Method::GET, format!("{bob}/sessions"), Value::Null),
        (Method::DELETE, format!("{bob}/sessions"), Value::Null),
        (Method::POST, format!("{bob}/pin"), json!({"pin": "4711"})),
        (Method::POST, format!("{bob}/reset-link"), Value::Null),
        (Method::GET, own("outbox"), Value::Null),
        (Method::POST, own("system/backup"), Value::Null),
    ];
    for (method, path, body) in refused {
        let answer = desk.send(method.clone(), &path, &key, &body).await;
        let message = answer.problem(403, "forbidden");
        assert!(message.contains("API key"), "{method} {path}: {message}");
    }
    desk.patch(&bob, &key, &json!({"display_name": "B"})).await.ok(200);
    desk.get("/api/v1/user", &key).await.ok(200);
    desk.get("/api/v1/user", &desk.admin).await.ok(200);
    assert_eq!(desk.sign_in("bob", PASSWORD).await, 200);
}
