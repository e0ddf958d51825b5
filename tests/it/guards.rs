//! Nothing is public by accident: every operation of the document is tried as a stranger, as a
//! reader and with an API key that may nothing. Whoever may do something stands in a list here;
//! an entry that is unknown or not needed fails too, so that the lists only shrink.

use std::{collections::BTreeSet, fs};

use gatelodge::http::documents;
use poem::http::Method;
use serde_json::{Value, json};

use super::house::{Answer, House, PASSWORD, text};

/// What a stranger may call.
const PUBLIC: &[&str] = &[
    "auth_forgot_password",
    "auth_link_info",
    "auth_login",
    "auth_options",
    "auth_refresh",
    "auth_register",
    "auth_resend_verification",
    "auth_reset_password",
    "auth_session_create",
    "auth_verify_email",
    "setup_initialize",
    "setup_status",
];

/// What a reader may do besides: look after what is their own.
const READER: &[&str] = &[
    "api_key_create",
    "api_key_get",
    "api_key_revoke",
    "api_key_update",
    "api_keys_list",
    "auth_logout",
    "auth_session_delete",
    "profile_email_change",
    "profile_get",
    "profile_identities_list",
    "profile_identity_unlink",
    "profile_password_change",
    "profile_pin_set",
    "profile_session_close",
    "profile_sessions_close",
    "profile_sessions_list",
    "profile_update",
    "user_get",
];

/// What an API key may do that has no permission at all: show and name its owner. Signing out
/// ends the session that asks, and a key has none.
const BARE_KEY: &[&str] =
    &["auth_logout", "auth_session_delete", "profile_get", "profile_update", "user_get"];

struct Operation {
    id: String,
    method: Method,
    path: String,
    said: Value,
}

impl Operation {
    fn is_in(&self, list: &[&str]) -> bool {
        list.contains(&self.id.as_str())
    }
}

fn document() -> Value {
    let text = documents::generate("native").expect("a document").expect("JSON");
    serde_json::from_str(&text).expect("JSON")
}

fn operations() -> Vec<Operation> {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let methods = |(path, item): (&String, &Value)| {
        let item = item.as_object().expect("a path item").clone();
        let path = path.clone();
        item.into_iter().map(move |(method, said)| Operation {
            id: text(&said["operationId"]),
            method: method.to_uppercase().parse().expect("a method"),
            path: path.clone(),
            said,
        })
    };
    paths.iter().flat_map(methods).collect()
}

/// A body that is right for the operation, so that nothing but rights can refuse it.
fn body(id: &str) -> Value {
    match id {
        "api_key_create" => json!({"name": "script"}),
        "api_key_update" => json!({"name": "other"}),
        "invitation_create" => json!({"role": "reader"}),
        "profile_email_change" => {
            json!({"email": "new@example.org", "current_password": PASSWORD})
        }
        // There is no provider of this name: for a reader that is a 404.
        "profile_identity_link" => json!({"provider": "home", "current_password": PASSWORD}),
        "profile_password_change" => {
            json!({"current_password": PASSWORD, "new_password": "Chestnut-tree-8"})
        }
        "profile_pin_set" => json!({"current_password": PASSWORD, "pin": "2580"}),
        "profile_update" | "user_replace" | "user_update" => json!({"display_name": "Somebody"}),
        "role_create" => json!({"name": "guests", "permissions": []}),
        "role_update" => json!({"permissions": []}),
        "system_mail_test" => json!({"email": "ann@example.org"}),
        "user_create" => json!({"username": "carl"}),
        "user_pin_set" => json!({"pin": "2580"}),
        _ => Value::Null,
    }
}

/// A house in which `ann` and `bob` have one of everything.
struct Furnished {
    house: House,
    role: String,
    invitation: String,
}

/// What one of them has.
struct Things {
    token: String,
    account: String,
    session: String,
    key: String,
    identity: String,
}

impl Furnished {
    async fn new() -> Self {
        let house = House::lived_in().await;
        let token = house.token("ann").await;
        let post = async |path: &str, body: Value| {
            let made = house.post(path).bearer(&token).json(&body).send().await;
            assert_eq!(made.status, 201, "{}", made.text());
            made.json()
        };
        post("/api/v1/roles", json!({"name": "helpers", "permissions": []})).await;
        let invitation = post("/api/v1/invitations", json!({"role": "reader"})).await;
        let invitation = text(&invitation["id"]);
        Self { house, role: "helpers".to_owned(), invitation }
    }

    async fn things(&self, name: &str) -> Things {
        let house = &self.house;
        // The first sign-in is the session to close, the second is the one that asks.
        let first = house.login(name).await;
        let account = text(&first["user"]["id"]);
        let token = house.token(name).await;
        let sessions = house.get("/api/v1/user/sessions").bearer(&token).send().await.json();
        let sessions = sessions["data"].as_array().expect("sessions").clone();
        let other = sessions.iter().find(|session| session["current"] == false);
        let session = text(&other.expect("another session")["id"]);
        let key = house.post("/api/v1/api-keys").bearer(&token).json(&json!({"name": "key"}));
        let key = text(&key.send().await.json()["id"]);
        let identity = self.identity(&account);
        Things { token, account, session, key, identity }
    }

    /// No provider is there yet to link one by.
    fn identity(&self, account: &str) -> String {
        let id = account.replace(&account[..8], "00000000");
        let database = rusqlite::Connection::open(self.house.database()).expect("the database");
        database
            .execute(
                "INSERT INTO identities (id, account_id, provider, issuer, subject, created_at)
                 VALUES (?1, ?2, 'home', 'https://id.example.org', ?2, 0)",
                [&id, account],
            )
            .expect("an identity");
        id
    }

    fn path(&self, operation: &Operation, things: &Things) -> String {
        let filled = operation.path.replace("{session}", &things.session);
        let id = match operation.path.as_str() {
            path if path.contains("/user/sessions/") => &things.session,
            path if path.contains("/user/identities/") => &things.identity,
            path if path.contains("/api-keys/") => &things.key,
            path if path.contains("/invitations/") => &self.invitation,
            _ => &things.account,
        };
        let filled = filled.replace("{id}", id).replace("{name}", &self.role);
        assert!(!filled.contains('{'), "{filled} has a parameter that this test does not know");
        filled
    }

    async fn ask(&self, operation: &Operation, things: &Things, credential: &str) -> Answer {
        let path = self.path(operation, things);
        let ask = self.house.ask(operation.method.clone(), &path).bearer(credential);
        match body(&operation.id) {
            Value::Null => ask.send().await,
            body => ask.json(&body).send().await,
        }
    }
}

#[test]
fn every_operation_has_an_id_a_summary_one_tag_and_its_security() {
    let operations = operations();
    let mut ids = BTreeSet::new();
    for Operation { id, method, path, said } in &operations {
        assert!(!id.is_empty() && ids.insert(id.clone()), "{method} {path}: {id} is not unique");
        assert!(said["summary"].as_str().is_some_and(|s| !s.trim().is_empty()), "{id}: summary");
        assert_eq!(said["tags"].as_array().map(Vec::len), Some(1), "{id}: one tag");
        let secured = said["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
        assert_eq!(secured, !PUBLIC.contains(&id.as_str()), "{id}: security");
    }
}

#[test]
fn no_operation_is_lost_between_the_code_and_the_document() {
    let folder = format!("{}/src/http/native", env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(folder).expect("the operations");
    let declared: usize = files
        .map(|file| fs::read_to_string(file.expect("a file").path()).expect("a text"))
        .map(|code| code.matches("operation_id = \"").count())
        .sum();
    assert_eq!(operations().len(), declared);
}

#[test]
fn the_lists_name_operations_that_exist_and_only_once() {
    let known: BTreeSet<String> = operations().into_iter().map(|operation| operation.id).collect();
    for list in [PUBLIC, READER, BARE_KEY] {
        assert!(list.is_sorted_by(|one, next| one < next), "sorted, and each once: {list:?}");
        let unknown: Vec<_> = list.iter().filter(|id| !known.contains(**id)).collect();
        assert!(unknown.is_empty(), "not in the document: {unknown:?}");
    }
    for id in READER.iter().chain(BARE_KEY) {
        assert!(!PUBLIC.contains(id), "{id} is public already");
    }
}

#[tokio::test]
async fn a_stranger_is_refused_everywhere_whatever_they_send() {
    let house = House::lived_in().await;
    for operation in operations() {
        let path = operation.path.replace(['{', '}'], "%20");
        let ask = || house.ask(operation.method.clone(), &format!("{path}?page=x&user=y"));
        let answers = [
            ask().send().await,
            ask().raw("text/plain", "{\"broken").send().await,
            ask().raw("application/json", "{\"broken").send().await,
            ask().raw("application/json", vec![0xff; 2048]).send().await,
        ];
        for answer in answers {
            if operation.is_in(PUBLIC) {
                assert_ne!(answer.status, 401, "{} is not public at all", operation.id);
            } else {
                assert_eq!(answer.status, 401, "{}: {}", operation.id, answer.text());
                answer.problem(401, "unauthorized");
            }
        }
    }
}

#[tokio::test]
async fn a_reader_is_refused_everything_that_is_not_their_own() {
    let furnished = Furnished::new().await;
    let (ann, bob) = (furnished.things("ann").await, furnished.things("bob").await);
    for operation in operations() {
        let has_id = operation.path.contains('{');
        if operation.is_in(PUBLIC) || (operation.is_in(READER) && !has_id) {
            continue;
        }
        let answer = furnished.ask(&operation, &ann, &bob.token).await;
        let refused = [403, 404].contains(&answer.status);
        assert!(refused, "{}: {} {}", operation.id, answer.status, answer.text());
    }
}

#[tokio::test]
async fn a_reader_may_do_what_the_list_says() {
    for operation in operations().into_iter().filter(|operation| operation.is_in(READER)) {
        let furnished = Furnished::new().await;
        let bob = furnished.things("bob").await;
        let answer = furnished.ask(&operation, &bob, &bob.token).await;
        let (status, id) = (answer.status, &operation.id);
        assert!((200..300).contains(&status), "{id} needs no entry: {status} {}", answer.text());
    }
}

#[tokio::test]
async fn a_key_without_permissions_does_nothing_but_what_the_list_says() {
    let furnished = Furnished::new().await;
    let ann = furnished.things("ann").await;
    let draft = json!({"name": "bare", "permissions": []});
    let made = furnished.house.post("/api/v1/api-keys").bearer(&ann.token).json(&draft);
    let key = text(&made.send().await.json()["key"]);
    for operation in operations() {
        if operation.is_in(PUBLIC) {
            continue;
        }
        // The owner is an admin, and all that the paths name is the owner's own.
        let answer = furnished.ask(&operation, &ann, &key).await;
        let (status, id) = (answer.status, &operation.id);
        if operation.is_in(BARE_KEY) {
            assert!((200..300).contains(&status), "{id} needs no entry: {status}");
        } else {
            assert!([403, 404].contains(&status), "{id}: {status} {}", answer.text());
        }
    }
}
