//! Hostile cases: accounts and rights.

use gatelodge::domain::sign_up::RegistrationMode;
use serde_json::{Value, json};

use super::{
    hostile_binding::{mailed, register, token_of},
    house::{Answer, House, PASSWORD, text},
};

const NEW_PASSWORD: &str = "Chestnut-tree-8";

async fn post(house: &House, token: &str, path: &str, body: Value) -> Answer {
    house.post(path).bearer(token).json(&body).send().await
}

async fn login(house: &House, name: &str, password: &str) -> u16 {
    let body = json!({"username": name, "password": password});
    house.post("/api/v1/auth/login").json(&body).send().await.status
}

async fn id_of(house: &House, name: &str) -> String {
    text(&house.login(name).await["user"]["id"])
}

#[tokio::test]
async fn who_registered_the_address_of_another_loses_everything_to_its_owner() {
    let house =
        House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Open).await;
    let squatter = register(&house, "victim", json!({})).await.json();
    let token = text(&squatter["token"]);
    let key = post(&house, &token, "/api/v1/api-keys", json!({"name": "later"})).await;
    let key = text(&key.json()["key"]);
    let pin = json!({"current_password": PASSWORD, "pin": "2580"});
    assert_eq!(post(&house, &token, "/api/v1/user/pin", pin).await.status, 200);
    let away = json!({"current_password": PASSWORD, "email": "squatter@example.net"});
    assert_eq!(post(&house, &token, "/api/v1/user/email", away).await.status, 200);
    let away = mailed(&house, "change-email").await;

    let asked = json!({"email": "victim@example.org"});
    house.post("/api/v1/auth/forgot-password").json(&asked).send().await;
    let body =
        json!({"token": mailed(&house, "reset-password").await, "new_password": NEW_PASSWORD});
    let reset = house.post("/api/v1/auth/reset-password").json(&body).send().await;
    assert_eq!(reset.status, 200, "{}", reset.text());

    assert_eq!(login(&house, "victim", NEW_PASSWORD).await, 200);
    assert_eq!(login(&house, "victim", PASSWORD).await, 401);
    house.get("/api/v1/user").bearer(&token).send().await.problem(401, "unauthorized");
    house.get("/api/v1/user").bearer(&key).send().await.problem(401, "unauthorized");
    let knock = json!({"username": "victim", "pin": "2580"});
    house.post("/api/v1/auth/session").json(&knock).send().await.problem(401, "unauthorized");
    let moved = house.post("/api/v1/auth/verify-email").json(&json!({"token": away}));
    moved.send().await.problem(400, "bad_request");
}

/// A house in which a squatter has registered the victim's address; the token of the letter.
async fn squatted(mode: RegistrationMode, purpose: &str) -> (House, String) {
    let house = House::lived_in_with(|plan| plan.settings.registration = mode).await;
    assert_eq!(register(&house, "victim", json!({})).await.status, 201);
    let token = mailed(&house, purpose).await;
    (house, token)
}

async fn follow(house: &House, body: Value) -> Answer {
    house.post("/api/v1/auth/verify-email").json(&body).send().await
}

#[tokio::test]
async fn who_cannot_tell_the_password_of_a_registered_address_confirms_nothing_on_the_page() {
    for (mode, purpose) in
        [(RegistrationMode::Open, "verify-email"), (RegistrationMode::Invite, "activate")]
    {
        let (house, token) = squatted(mode, purpose).await;
        let about = post(&house, "", "/api/v1/auth/link", json!({"token": token})).await.json();
        assert_eq!((&about["purpose"], &about["has_password"]), (&json!(purpose), &json!(true)));
        let guess = follow(&house, json!({"token": token, "password": NEW_PASSWORD})).await;
        guess.problem(422, "unprocessable");
        assert_eq!(guess.json()["field"], "password");
        let id = house.get("/api/v1/users?q=victim").bearer(&house.token("ann").await);
        let account = &id.send().await.json()["data"][0];
        let unproven = (json!(false), json!(mode == RegistrationMode::Invite));
        assert_eq!(
            (&account["email_verified"], &json!(account["status"] == "pending")),
            (&unproven.0, &unproven.1)
        );
        // Whoever made it still gets it confirmed by the same letter.
        assert_eq!(follow(&house, json!({"token": token, "password": PASSWORD})).await.status, 200);
        assert_eq!(login(&house, "victim", PASSWORD).await, 200);
    }
}

#[tokio::test]
async fn passwords_tried_at_a_letters_link_are_counted_like_sign_ins() {
    let (house, token) = squatted(RegistrationMode::Open, "verify-email").await;
    for _ in 0..5 {
        let guess = follow(&house, json!({"token": token, "password": NEW_PASSWORD})).await;
        guess.problem(422, "unprocessable");
    }
    let right = follow(&house, json!({"token": token, "password": PASSWORD})).await;
    right.problem(429, "too_many_requests");
}

#[tokio::test]
async fn an_admins_open_session_does_not_move_their_address_to_another_mailbox() {
    let house = House::lived_in().await;
    let ann = house.login("ann").await;
    let (id, token) = (text(&ann["user"]["id"]), text(&ann["token"]));
    let user = format!("/api/v1/users/{id}");
    for email in [json!("thief@example.net"), Value::Null] {
        let body = json!({"email": email, "display_name": "Ann"});
        for ask in [house.patch(&user), house.put(&user)] {
            ask.bearer(&token).json(&body).send().await.problem(403, "forbidden");
        }
    }
    // A client that sends back what it read changes nothing and is not refused.
    let same = json!({"email": "ann@example.org", "display_name": "Ann"});
    assert_eq!(house.put(&user).bearer(&token).json(&same).send().await.status, 200);
    let after = house.get("/api/v1/user").bearer(&token).send().await.json();
    assert_eq!(after["email"], "ann@example.org");
}

#[tokio::test]
async fn a_reset_keeps_the_keys_and_the_pin_of_an_owner_who_had_proved_the_address() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let key = post(&house, &token, "/api/v1/api-keys", json!({"name": "script"})).await;
    let key = text(&key.json()["key"]);
    let asked = json!({"email": "bob@example.org"});
    house.post("/api/v1/auth/forgot-password").json(&asked).send().await;
    let body =
        json!({"token": mailed(&house, "reset-password").await, "new_password": NEW_PASSWORD});
    assert_eq!(post(&house, "", "/api/v1/auth/reset-password", body).await.status, 200);
    assert_eq!(house.get("/api/v1/user").bearer(&key).send().await.status, 200);
}

#[tokio::test]
async fn a_link_that_a_mail_scanner_fetches_is_still_good_and_signs_nobody_in() {
    let house =
        House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Invite).await;
    let made = register(&house, "carl", json!({})).await;
    assert_eq!((made.status, &made.json()["user"]["status"]), (201, &json!("pending")));
    assert_eq!(login(&house, "carl", PASSWORD).await, 401);
    let token = mailed(&house, "activate").await;
    for path in [
        format!("/activate?token={token}"),
        format!("/verify?token={token}"),
        format!("/api/v1/auth/verify-email?token={token}"),
    ] {
        for method in ["GET", "HEAD"] {
            let method = method.parse().expect("a method");
            let answer = house.ask(method, &path).send().await;
            let is_page = !path.starts_with("/api/");
            assert_eq!(answer.status == 200, is_page, "{path}");
            assert_eq!(answer.header("set-cookie"), "", "{path}");
        }
    }
    assert_eq!(login(&house, "carl", PASSWORD).await, 401);
    let body = json!({"token": token});
    let followed = house.post("/api/v1/auth/verify-email").json(&body).send().await;
    assert_eq!(followed.status, 200);
    assert_eq!(followed.header("set-cookie"), "");
    let said = followed.json();
    assert!(said["token"].is_null() && said["user"].is_null(), "{said}");
    assert_eq!(login(&house, "carl", PASSWORD).await, 200);
}

#[tokio::test]
async fn a_pending_account_frees_its_names_after_a_day() {
    let house =
        House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Invite).await;
    assert_eq!(register(&house, "carl", json!({})).await.status, 201);
    assert_eq!(register(&house, "carl", json!({})).await.status, 409);
    let late = mailed(&house, "activate").await;
    house.clock.advance(std::time::Duration::from_secs(24 * 3600));
    let body = json!({"token": late});
    house.post("/api/v1/auth/verify-email").json(&body).send().await.problem(400, "bad_request");
    assert_eq!(register(&house, "carl", json!({})).await.status, 201);
}

#[tokio::test]
async fn nothing_of_a_deleted_account_fits_one_made_again_by_its_name() {
    let house = House::lived_in().await;
    let admin = house.token("ann").await;
    let tokens = house.login("bob").await;
    let (token, id) = (text(&tokens["token"]), text(&tokens["user"]["id"]));
    let key = post(&house, &token, "/api/v1/api-keys", json!({"name": "script"})).await;
    let key = text(&key.json()["key"]);
    let link = house.post(&format!("/api/v1/users/{id}/reset-link")).bearer(&admin).send().await;
    let link = token_of(&link.json()["link"]);
    let basic = || house.get("/api/v1/user").basic("bob", PASSWORD);
    assert_eq!(basic().send().await.status, 200);
    let gone = house.delete(&format!("/api/v1/users/{id}")).bearer(&admin).send().await;
    assert_eq!(gone.status, 204);

    let again = json!({"username": "bob", "email": "bob@example.org", "password": NEW_PASSWORD});
    let again = post(&house, &admin, "/api/v1/users", again).await.json();
    assert_ne!(again["id"], json!(id));
    house.get("/api/v1/user").bearer(&token).send().await.problem(401, "unauthorized");
    house.get("/api/v1/user").bearer(&key).send().await.problem(401, "unauthorized");
    basic().send().await.problem(401, "unauthorized");
    let body = json!({"refresh_token": tokens["refresh_token"]});
    let refreshed = post(&house, "", "/api/v1/auth/refresh", body).await;
    refreshed.problem(401, "unauthorized");
    let body = json!({"token": link, "new_password": "Hazel-bush-9"});
    post(&house, "", "/api/v1/auth/reset-password", body).await.problem(400, "bad_request");
    assert_eq!(login(&house, "bob", NEW_PASSWORD).await, 200);
}

/// Somebody with every permission that there is, who is not an admin all the same.
async fn deputy(house: &House) -> String {
    let admin = house.token("ann").await;
    let permissions = json!([
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
    ]);
    let role = json!({"name": "deputy", "permissions": permissions});
    assert_eq!(post(house, &admin, "/api/v1/roles", role).await.status, 201);
    house.add("dora", "deputy").await;
    house.token("dora").await
}

#[tokio::test]
async fn somebody_who_writes_users_roles_and_invitations_makes_no_admin() {
    let house = House::lived_in().await;
    let dora = deputy(&house).await;
    let me = id_of(&house, "dora").await;
    let bob = id_of(&house, "bob").await;
    let admin_role = json!({"role": "admin"});
    let tries = [
        house.post("/api/v1/users").json(&json!({"username": "eve", "role": "admin"})),
        house.patch(&format!("/api/v1/users/{bob}")).json(&admin_role),
        house.put(&format!("/api/v1/users/{me}")).json(&admin_role),
        house.post("/api/v1/invitations").json(&admin_role),
        house.post("/api/v1/roles").json(&json!({"name": "more", "permissions": ["system-admin"]})),
        house.put("/api/v1/roles/deputy").json(&json!({"permissions": ["system-admin"]})),
        house
            .post("/api/v1/api-keys")
            .json(&json!({"name": "more", "permissions": ["system-admin"]})),
    ];
    for ask in tries {
        ask.bearer(&dora).send().await.problem(403, "forbidden");
    }
    for name in ["admin", "reader"] {
        let ask = house.put(&format!("/api/v1/roles/{name}")).json(&json!({"permissions": []}));
        assert!([403, 409].contains(&ask.bearer(&dora).send().await.status));
    }
    // What is within their rights, they may.
    let made = post(&house, &dora, "/api/v1/users", json!({"username": "eve"})).await;
    assert_eq!(made.status, 201);
}

#[tokio::test]
async fn somebody_who_writes_users_cannot_touch_an_admin() {
    let house = House::lived_in().await;
    let dora = deputy(&house).await;
    let ann = house.login("ann").await;
    let (id, token) = (text(&ann["user"]["id"]), text(&ann["token"]));
    let key = post(&house, &token, "/api/v1/api-keys", json!({"name": "hers"})).await.json();
    let key = format!("/api/v1/api-keys/{}", text(&key["id"]));
    let sessions = house.get("/api/v1/user/sessions").bearer(&token).send().await.json();
    let session = text(&sessions["data"][0]["id"]);
    let user = format!("/api/v1/users/{id}");
    let tries = [
        house.patch(&user).json(&json!({"password": NEW_PASSWORD})),
        house.patch(&user).json(&json!({"email": "dora2@example.org"})),
        house.patch(&user).json(&json!({"username": "other"})),
        house.patch(&user).json(&json!({"status": "disabled"})),
        house.put(&user).json(&json!({"role": "reader"})),
        house.delete(&user),
        house.post(&format!("{user}/pin")).json(&json!({"pin": "2580"})),
        house.post(&format!("{user}/reset-link")),
        house.delete(&format!("{user}/sessions")),
        house.delete(&format!("{user}/sessions/{session}")),
        house.post(&format!("/api/v1/api-keys?user={id}")).json(&json!({"name": "mine"})),
        house.patch(&key).json(&json!({"name": "mine"})),
        house.delete(&key),
    ];
    for ask in tries {
        ask.bearer(&dora).send().await.problem(403, "forbidden");
    }
    assert_eq!(house.get("/api/v1/user").bearer(&token).send().await.status, 200);
    assert_eq!(login(&house, "ann", PASSWORD).await, 200);
}

/// A link that `token` makes for somebody to choose a new password; its token.
async fn reset_link(house: &House, token: &str, id: &str) -> String {
    let link = post(house, token, &format!("/api/v1/users/{id}/reset-link"), json!({})).await;
    assert_eq!(link.status, 201, "{}", link.text());
    token_of(&link.json()["link"])
}

async fn choose_anew(house: &House, link: &str) -> u16 {
    let body = json!({"token": link, "new_password": NEW_PASSWORD});
    house.post("/api/v1/auth/reset-password").json(&body).send().await.status
}

#[tokio::test]
async fn what_lesser_people_left_in_an_account_does_not_grow_with_it() {
    let house = House::lived_in().await;
    let mal = deputy(&house).await;
    let (admin, vic) = (house.token("ann").await, id_of(&house, "bob").await);
    let keys = format!("/api/v1/api-keys?user={vic}");
    let made = post(&house, &mal, &keys, json!({"name": "one"})).await.json();
    let changed = post(&house, &mal, &keys, json!({"name": "two", "permissions": []})).await.json();
    let path = format!("/api/v1/api-keys/{}", text(&changed["id"]));
    let all = house.patch(&path).bearer(&mal).json(&json!({"permissions": null})).send().await;
    assert_eq!(all.status, 200, "{}", all.text());
    let planted = [text(&made["key"]), text(&changed["key"])];
    let token = house.token("bob").await;
    let own = post(&house, &token, "/api/v1/api-keys", json!({"name": "own"})).await;
    let own = text(&own.json()["key"]);
    let link = reset_link(&house, &mal, &vic).await;
    let asked = json!({"email": "bob@example.org"});
    house.post("/api/v1/auth/forgot-password").json(&asked).send().await;
    let letter = mailed(&house, "reset-password").await;

    let role = json!({"role": "admin"});
    let rise = house.patch(&format!("/api/v1/users/{vic}")).bearer(&admin).json(&role).send().await;
    assert_eq!(rise.status, 200, "{}", rise.text());
    for key in planted {
        assert_eq!(house.get("/api/v1/user").bearer(&key).send().await.status, 200);
        house.get("/api/v1/users").bearer(&key).send().await.problem(403, "forbidden");
        post(&house, &key, "/api/v1/invitations", role.clone()).await.problem(403, "forbidden");
    }
    assert_eq!(house.get("/api/v1/users").bearer(&own).send().await.status, 200);
    assert_eq!((choose_anew(&house, &link).await, choose_anew(&house, &letter).await), (400, 400));
    assert_eq!(login(&house, "bob", PASSWORD).await, 200);
}

#[tokio::test]
async fn links_to_the_members_of_a_role_end_when_the_role_grows() {
    let house = House::lived_in().await;
    let (mal, admin) = (deputy(&house).await, house.token("ann").await);
    let crew = json!({"name": "crew", "permissions": ["users-read"]});
    assert_eq!(post(&house, &admin, "/api/v1/roles", crew).await.status, 201);
    let (vic, bob) = (house.add("vic", "crew").await, id_of(&house, "bob").await);
    let (link, other) =
        (reset_link(&house, &mal, &vic).await, reset_link(&house, &mal, &bob).await);
    let becomes = async |permissions: Value| {
        let body = json!({"permissions": permissions});
        let put = house.put("/api/v1/roles/crew").bearer(&admin).json(&body).send().await;
        assert_eq!(put.status, 200, "{}", put.text());
    };
    becomes(json!(["users-read", "system-admin"])).await;
    assert_eq!(choose_anew(&house, &link).await, 400);
    assert_eq!(choose_anew(&house, &other).await, 200, "bob has another role");
    let link = reset_link(&house, &admin, &vic).await;
    becomes(json!(["users-read"])).await;
    assert_eq!(choose_anew(&house, &link).await, 200, "it shrank");
}

#[tokio::test]
async fn what_opens_ones_own_account_is_changed_with_the_present_password_only() {
    let house = House::lived_in().await;
    let ann = house.login("ann").await;
    let (id, token) = (text(&ann["user"]["id"]), text(&ann["token"]));
    let user = format!("/api/v1/users/{id}");
    let tries = [
        house.patch(&user).json(&json!({"password": NEW_PASSWORD})),
        house.post(&format!("{user}/reset-link")),
        house.post(&format!("{user}/pin")).json(&json!({"pin": "2580"})),
    ];
    for ask in tries {
        ask.bearer(&token).send().await.problem(403, "forbidden");
    }
    for (path, body) in [
        ("/api/v1/user/password", json!({"new_password": NEW_PASSWORD})),
        ("/api/v1/user/pin", json!({"pin": "2580"})),
        ("/api/v1/user/email", json!({"email": "other@example.org"})),
    ] {
        let answer = post(&house, &token, path, body.clone()).await;
        answer.problem(422, "unprocessable");
        let mut wrong = body;
        wrong["current_password"] = json!("not-this-one");
        post(&house, &token, path, wrong).await.problem(422, "unprocessable");
    }
}

#[tokio::test]
async fn the_last_admin_remains_and_nobody_locks_themself_out() {
    let house = House::lived_in().await;
    house.add("carl", "admin").await;
    let (ann, carl) = (house.login("ann").await, house.login("carl").await);
    let path = |who: &Value| format!("/api/v1/users/{}", text(&who["user"]["id"]));
    for change in [json!({"status": "disabled"}), json!({"role": "reader"})] {
        let own = house.patch(&path(&ann)).bearer(&text(&ann["token"])).json(&change);
        own.send().await.problem(409, "conflict");
    }
    // Two admins who remove each other at once leave one.
    let mutual = [(&ann, &carl), (&carl, &ann)].map(|(who, whom)| {
        let ask = house.patch(&path(whom)).bearer(&text(&who["token"]));
        ask.json(&json!({"role": "reader"})).send()
    });
    let statuses: Vec<u16> =
        futures_util::future::join_all(mutual).await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn an_api_key_of_an_admin_touches_nothing_that_is_for_people() {
    let house = House::lived_in().await;
    let ann = house.login("ann").await;
    let (id, token) = (text(&ann["user"]["id"]), text(&ann["token"]));
    let bob = id_of(&house, "bob").await;
    let made = post(&house, &token, "/api/v1/api-keys", json!({"name": "script"})).await.json();
    let key = text(&made["key"]);
    let own = format!("/api/v1/api-keys/{}", text(&made["id"]));
    let user = format!("/api/v1/users/{bob}");
    let current = |more: Value| {
        let mut body = json!({"current_password": PASSWORD});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        body
    };
    let tries = [
        house.get("/api/v1/api-keys"),
        house.get(&own),
        house.post("/api/v1/api-keys").json(&json!({"name": "another"})),
        house.post(&format!("/api/v1/api-keys?user={bob}")).json(&json!({"name": "another"})),
        house.patch(&own).json(&json!({"permissions": null})),
        house.delete(&own),
        house.post("/api/v1/user/password").json(&current(json!({"new_password": NEW_PASSWORD}))),
        house.post("/api/v1/user/pin").json(&current(json!({"pin": "2580"}))),
        house.post("/api/v1/user/email").json(&current(json!({"email": "x@example.org"}))),
        house.get("/api/v1/user/sessions"),
        house.delete("/api/v1/user/sessions"),
        house.get(&format!("/api/v1/users/{id}/sessions")),
        house.delete(&format!("{user}/sessions")),
        house.patch(&user).json(&json!({"password": NEW_PASSWORD})),
        house.patch(&user).json(&json!({"email": "x@example.org"})),
        house.post("/api/v1/users").json(&json!({"username": "eve", "password": NEW_PASSWORD})),
        house.post(&format!("{user}/pin")).json(&json!({"pin": "2580"})),
        house.post(&format!("{user}/reset-link")),
        house.post("/api/v1/system/backup"),
        house.get("/api/v1/outbox"),
    ];
    for ask in tries {
        ask.header("x-api-key", &key).send().await.problem(403, "forbidden");
    }
    assert_eq!(house.get("/api/v1/users").header("x-api-key", &key).send().await.status, 200);
    // Nor is it a password.
    assert_eq!(login(&house, "ann", &key).await, 401);
}

#[tokio::test]
async fn a_key_never_has_more_than_its_owner_and_its_own_list() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let wide = json!({"name": "wide", "permissions": ["users-read"]});
    post(&house, &token, "/api/v1/api-keys", wide).await.problem(403, "forbidden");
    let key = post(&house, &token, "/api/v1/api-keys", json!({"name": "all"})).await;
    let key = text(&key.json()["key"]);
    house.get("/api/v1/users").bearer(&key).send().await.problem(403, "forbidden");
    let admin = house.token("ann").await;
    let narrow = json!({"name": "narrow", "permissions": ["events-read"]});
    let narrow = text(&post(&house, &admin, "/api/v1/api-keys", narrow).await.json()["key"]);
    assert_eq!(house.get("/api/v1/events").bearer(&narrow).send().await.status, 200);
    house.get("/api/v1/users").bearer(&narrow).send().await.problem(403, "forbidden");
}

#[tokio::test]
async fn an_account_named_in_body_or_query_never_stands_in_for_the_caller() {
    let house = House::lived_in().await;
    let (ann, token) = (id_of(&house, "ann").await, house.token("bob").await);
    for field in ["id", "uid", "user", "user_id", "account_id", "username", "role", "permissions"] {
        let mut body = json!({"display_name": "Somebody"});
        body[field] = json!(ann);
        let named = house.patch("/api/v1/user").bearer(&token).json(&body).send().await;
        named.problem(422, "unprocessable");
        let mut body = json!({"username": "carl", "email": "c@example.org", "password": PASSWORD});
        if field != "username" {
            body[field] = json!("admin");
            let made = house.post("/api/v1/auth/register").json(&body).send().await;
            made.problem(422, "unprocessable");
        }
    }
    let me = house.get(&format!("/api/v1/user?id={ann}&user={ann}")).bearer(&token).send().await;
    assert_eq!(me.json()["username"], "bob");
    let keys = format!("/api/v1/api-keys?user={ann}");
    house.get(&keys).bearer(&token).send().await.problem(403, "forbidden");
    post(&house, &token, &keys, json!({"name": "hers"})).await.problem(403, "forbidden");
}
