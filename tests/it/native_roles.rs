//! Roles: named sets of permissions.

use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::text,
    native_desk::{Desk, NO_IDS, long},
};

const ROLES: &str = "/api/v1/roles";

async fn role_names(desk: &Desk) -> Vec<String> {
    let list = desk.get(ROLES, &desk.admin).await.ok(200);
    list["data"].as_array().expect("a list").iter().map(|role| text(&role["name"])).collect()
}

#[tokio::test]
async fn the_built_in_roles_are_there_and_for_those_who_may_read_them() {
    let desk = Desk::new().await;
    desk.refuses_strangers_and_readers(Method::GET, ROLES, &Value::Null).await;
    desk.refuses_strangers_and_readers(Method::GET, "/api/v1/roles/admin", &Value::Null).await;
    desk.get(ROLES, &desk.maintainer).await.problem(403, "forbidden");
    assert_eq!(role_names(&desk).await, ["admin", "developer", "maintainer", "reader"]);
    let maintainer = desk.get("/api/v1/roles/maintainer", &desk.admin).await.ok(200);
    assert_eq!(maintainer["built_in"], true);
    let wanted =
        ["events-read", "invitations-read", "invitations-write", "system-health", "users-read"];
    assert_eq!(maintainer["permissions"], json!(wanted));
    for name in ["reader", "developer"] {
        let role = desk.get(&format!("{ROLES}/{name}"), &desk.admin).await.ok(200);
        assert_eq!(role["permissions"], json!([]));
    }
}

#[tokio::test]
async fn a_role_of_own_permissions_is_made_changed_and_deleted() {
    let desk = Desk::new().await;
    let body = json!({
        "name": "librarian", "description": "Books",
        "permissions": ["libraries-write", "libraries-read", "libraries-read"],
    });
    desk.refuses_strangers_and_readers(Method::POST, ROLES, &body).await;
    let made = desk.post(ROLES, &desk.admin, &body).await.ok(201);
    assert_eq!(made["permissions"], json!(["libraries-read", "libraries-write"]));
    assert_eq!((&made["built_in"], &made["description"]), (&json!(false), &json!("Books")));
    let path = "/api/v1/roles/librarian";
    assert_eq!(desk.get(path, &desk.admin).await.ok(200), made);
    let admin = desk.get("/api/v1/user", &desk.admin).await.ok(200);
    let all = admin["permissions"].as_array().expect("a list");
    assert!(all.contains(&json!("libraries-read")), "admin has all: {all:?}");
    let edit = json!({"description": "Less", "permissions": ["libraries-read"]});
    desk.refuses_strangers_and_readers(Method::PUT, path, &edit).await;
    let changed = desk.put(path, &desk.admin, &edit).await.ok(200);
    assert_eq!(changed["permissions"], json!(["libraries-read"]));
    assert_eq!(changed["description"], "Less");
    desk.refuses_strangers_and_readers(Method::DELETE, path, &Value::Null).await;
    desk.delete(path, &desk.admin).await.ok(204);
    let admin = desk.get("/api/v1/user", &desk.admin).await.ok(200);
    let all = admin["permissions"].as_array().expect("a list");
    assert!(!all.contains(&json!("libraries-read")), "nobody has it any more: {all:?}");
    desk.delete(path, &desk.admin).await.problem(404, "not_found");
    desk.get(path, &desk.admin).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_changed_role_counts_at_the_next_request_of_everybody_who_has_it() {
    let desk = Desk::new().await;
    let tim = desk.hire("tim", &[]).await;
    desk.get("/api/v1/users", &tim).await.problem(403, "forbidden");
    let path = "/api/v1/roles/tim";
    desk.put(path, &desk.admin, &json!({"permissions": ["users-read"]})).await.ok(200);
    desk.get("/api/v1/users", &tim).await.ok(200);
    desk.put(path, &desk.admin, &json!({"permissions": []})).await.ok(200);
    desk.get("/api/v1/users", &tim).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_role_in_use_is_not_deleted() {
    let desk = Desk::new().await;
    desk.hire("tim", &["libraries-read"]).await;
    let path = "/api/v1/roles/tim";
    desk.delete(path, &desk.admin).await.problem(409, "conflict");
    let invitation = json!({"role": "tim"});
    let made = desk.post("/api/v1/invitations", &desk.admin, &invitation).await.ok(201);
    let tim = format!("/api/v1/users/{}", desk.id("tim").await);
    desk.patch(&tim, &desk.admin, &json!({"role": "reader"})).await.ok(200);
    desk.delete(path, &desk.admin).await.problem(409, "conflict");
    let open = format!("/api/v1/invitations/{}", text(&made["id"]));
    desk.delete(&open, &desk.admin).await.ok(204);
    desk.delete(path, &desk.admin).await.ok(204);
}

#[tokio::test]
async fn a_built_in_role_is_neither_changed_nor_deleted() {
    let desk = Desk::new().await;
    for name in ["admin", "maintainer", "reader", "developer"] {
        let path = format!("{ROLES}/{name}");
        let before = desk.get(&path, &desk.admin).await.ok(200);
        let edit = json!({"permissions": ["users-write"]});
        desk.put(&path, &desk.admin, &edit).await.problem(409, "conflict");
        desk.delete(&path, &desk.admin).await.problem(409, "conflict");
        assert_eq!(desk.get(&path, &desk.admin).await.ok(200), before);
        let taken = desk.post(ROLES, &desk.admin, &json!({"name": name, "permissions": []})).await;
        taken.problem(409, "conflict");
        assert_eq!(taken.json()["field"], "name");
    }
}

#[tokio::test]
async fn a_name_that_no_role_has_or_could_have_is_a_404() {
    let desk = Desk::new().await;
    let long = long(65);
    for name in ["nobody", "Admin", "a%20b", "a%2Fb", "%00", &long].iter().chain(&NO_IDS) {
        let path = format!("{ROLES}/{name}");
        desk.get(&path, &desk.admin).await.problem(404, "not_found");
        let edit = json!({"permissions": []});
        desk.put(&path, &desk.admin, &edit).await.problem(404, "not_found");
        desk.delete(&path, &desk.admin).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn rule_22_a_bad_role_is_refused() {
    let desk = Desk::new().await;
    desk.post(ROLES, &desk.admin, &json!({"name": "ops", "permissions": []})).await.ok(201);
    let good = json!({"name": "app", "permissions": ["libraries-read"]});
    desk.refuses_bad_bodies(Method::POST, ROLES, &good).await;
    let edit = json!({"permissions": ["libraries-read"]});
    desk.refuses_bad_bodies(Method::PUT, "/api/v1/roles/ops", &edit).await;
    let name = |name: Value| (json!({"name": name, "permissions": []}), "name");
    let cases = [
        name(json!("")),
        name(json!("Ops")),
        name(json!("a b")),
        name(json!("ä")),
        name(json!(long(65))),
        name(json!(7)),
        (json!({"permissions": []}), "name"),
    ];
    desk.refuses_fields(Method::POST, ROLES, &cases).await;
    let many: Vec<String> = (0..201).map(|count| format!("app-{count}")).collect();
    let bad = [
        json!("users-read"),
        json!({}),
        Value::Null,
        json!([7]),
        json!(["Users-Read"]),
        json!(["a_b"]),
        json!(["-a"]),
        json!([""]),
        json!([long(65).to_lowercase()]),
        json!(many),
    ];
    let mut cases: Vec<_> = bad
        .into_iter()
        .map(|bad| (json!({"name": "app", "permissions": bad}), "permissions"))
        .collect();
    cases.push((json!({"name": "app"}), "permissions"));
    let described = json!({"name": "app", "permissions": [], "description": "x".repeat(501)});
    cases.push((described, "description"));
    cases.push((json!({"name": "app", "permissions": [], "description": 7}), "description"));
    desk.refuses_fields(Method::POST, ROLES, &cases).await;
    for (body, _) in &mut cases {
        body.as_object_mut().expect("an object").remove("name");
    }
    desk.refuses_fields(Method::PUT, "/api/v1/roles/ops", &cases).await;
    let after = desk.get("/api/v1/roles/ops", &desk.admin).await.ok(200);
    assert_eq!(after["permissions"], json!([]));
    assert!(!role_names(&desk).await.contains(&"app".to_owned()));
}
