//! What lies on the disk, and the secret that all keys come from (wire rules 15 and 16).

use std::fs;

use gatelodge::domain::secret::Secret;
use serde_json::json;

use super::{
    house::{House, PASSWORD, text},
    native_auth::cookie_of,
    native_register::{letter, token_in},
};

const NEW: &str = "Chestnut-tree-8";
const PIN: &str = "864209753124";

/// Every file of the house, one after the other.
fn disk(house: &House) -> Vec<u8> {
    let files = fs::read_dir(house.folder()).expect("a folder");
    files.flat_map(|file| fs::read(file.expect("a file").path()).expect("bytes")).collect()
}

fn holds(disk: &[u8], text: &str) -> bool {
    disk.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn nothing_that_opens_a_door_lies_on_the_disk_in_clear() {
    let house = House::lived_in().await;
    let tokens = house.login("bob").await;
    let (token, refresh) = (text(&tokens["token"]), text(&tokens["refresh_token"]));
    let body = json!({"current_password": PASSWORD, "pin": PIN});
    let set = house.post("/api/v1/user/pin").bearer(&token).json(&body).send().await;
    assert_eq!(set.status, 200);
    let body = json!({"username": "bob", "pin": PIN});
    let cookie = cookie_of(&house.post("/api/v1/auth/session").json(&body).send().await);
    let made = house.post("/api/v1/api-keys").bearer(&token).json(&json!({"name": "a"}));
    let key = text(&made.send().await.json()["key"]);
    let ann = house.token("ann").await;
    let made = house.post("/api/v1/invitations").bearer(&ann).json(&json!({}));
    let invitation = token_in(&made.send().await.json()["link"]);
    let wrong = json!({"username": NEW, "password": "Wrong-tree-7"});
    house.post("/api/v1/auth/login").json(&wrong).send().await.problem(401, "unauthorized");

    let body = json!({"email": "bob@example.org"});
    house.post("/api/v1/auth/forgot-password").json(&body).send().await;
    let mailed = token_in(&letter(&house, "bob@example.org").await.expect("a letter")["link"]);
    assert!(holds(&disk(&house), &mailed), "a letter that waits holds its link");
    let body = json!({"token": mailed, "new_password": "Hazel-tree-99"});
    let reset = house.post("/api/v1/auth/reset-password").json(&body).send().await;
    assert_eq!(reset.status, 200);
    house.core.settle().await.expect("notes are written");

    // What was written ahead is moved into the database, over what was there.
    let file = rusqlite::Connection::open(house.database()).expect("the database");
    let moved = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    assert_eq!(moved.expect("a checkpoint"), 0);
    let disk = disk(&house);
    assert!(holds(&disk, "bob@example.org"), "the search finds what is there");
    let value = cookie.strip_prefix("session=").expect("its name");
    let opened = [PASSWORD, "Hazel-tree-99", "Wrong-tree-7", PIN, &token, &refresh, value, &key];
    for (number, secret) in opened.into_iter().chain([&*invitation, &*mailed]).enumerate() {
        assert!(!holds(&disk, secret), "secret {number} lies on the disk");
    }
}

#[tokio::test]
async fn another_master_secret_ends_tokens_and_pins_and_no_password() {
    let house = House::lived_in().await;
    let tokens = house.login("bob").await;
    let token = text(&tokens["token"]);
    let body = json!({"current_password": PASSWORD, "pin": PIN});
    let set = house.post("/api/v1/user/pin").bearer(&token).json(&body).send().await;
    assert_eq!(set.status, 200);
    let secret = || Some(Secret::new("0123456789abcdef0123456789abcdef"));
    let house = house.restarted(|plan| plan.settings.jwt_secret = secret()).await;
    house.get("/api/v1/user").bearer(&token).send().await.problem(401, "unauthorized");
    let body = json!({"refresh_token": tokens["refresh_token"]});
    let answer = house.post("/api/v1/auth/refresh").json(&body).send().await;
    answer.problem(401, "unauthorized");
    let body = json!({"username": "bob", "pin": PIN});
    let answer = house.post("/api/v1/auth/session").json(&body).send().await;
    answer.problem(401, "unauthorized");
    let token = house.token("bob").await;
    let house = house.restarted(|plan| plan.settings.jwt_secret = secret()).await;
    let me = house.get("/api/v1/user").bearer(&token).send().await;
    assert_eq!(me.status, 200, "the same secret reads its tokens after a restart");
}
