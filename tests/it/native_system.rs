//! The house itself: the outbox, test letters, its state, a copy of the database.

use std::{collections::BTreeSet, time::Duration};

use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::text,
    native_desk::{Desk, MARK},
};

const OUTBOX: &str = "/api/v1/outbox";
const MAIL_TEST: &str = "/api/v1/system/mail-test";
const SYSTEM: &str = "/api/v1/system";
const BACKUP: &str = "/api/v1/system/backup";

#[tokio::test]
async fn the_outbox_shows_what_waits_to_those_who_look_after_the_house() {
    let desk = Desk::new().await;
    desk.refuses_strangers_and_readers(Method::GET, OUTBOX, &Value::Null).await;
    desk.get(OUTBOX, &desk.maintainer).await.problem(403, "forbidden");
    assert_eq!(desk.get(OUTBOX, &desk.admin).await.ok(200)["data"], json!([]));
    let forgotten = json!({"email": "bob@example.org"});
    desk.post("/api/v1/auth/forgot-password", "", &forgotten).await.ok(200);
    desk.house.core.quiet().await;
    let list = desk.get(OUTBOX, &desk.admin).await.ok(200);
    let letter = &list["data"][0];
    assert_eq!(letter["purpose"], "reset-password");
    assert_eq!(letter["recipient"], "bob@example.org");
    assert_eq!(letter["account"], desk.id("bob").await);
    assert_eq!((&letter["status"], &letter["attempts"]), (&json!("waiting"), &json!(0)));
    assert_eq!(letter["last_error"], Value::Null);
    assert_eq!(letter["created_at"], "2026-01-01T00:00:00Z");
    assert_eq!(letter["expires_at"], "2026-01-01T02:00:00Z");
    assert!(text(&letter["link"]).starts_with("https://gate.example.org/reset?token="));
}

#[tokio::test]
async fn the_outbox_comes_in_pages_newest_first() {
    let desk = Desk::new().await;
    for count in 1..=3 {
        let body = json!({"email": format!("x{count}@example.org")});
        desk.post(MAIL_TEST, &desk.admin, &body).await.ok(200);
    }
    let answer = desk.get(&format!("{OUTBOX}?page=2&page_size=2"), &desk.admin).await;
    let page = answer.ok(200);
    assert_eq!(
        (&page["total"], &page["data"][0]["recipient"]),
        (&json!(3), &json!("x1@example.org"))
    );
    let links = answer.header("link");
    assert!(links.contains("</api/v1/outbox?page=1&page_size=2>; rel=\"prev\""), "{links}");
    let bad = desk.get(&format!("{OUTBOX}?page_size=201"), &desk.admin).await;
    bad.problem(422, "unprocessable");
}

#[tokio::test]
async fn a_test_letter_waits_in_the_outbox() {
    let desk = Desk::new().await;
    let body = json!({"email": "Post@Example.org"});
    desk.refuses_strangers_and_readers(Method::POST, MAIL_TEST, &body).await;
    desk.post(MAIL_TEST, &desk.maintainer, &body).await.problem(403, "forbidden");
    desk.refuses_bad_bodies(Method::POST, MAIL_TEST, &body).await;
    let cases = [
        (json!({}), "email"),
        (json!({"email": ""}), "email"),
        (json!({"email": MARK}), "email"),
        (json!({"email": 7}), "email"),
        (json!({"email": null}), "email"),
        (json!({"email": "a@b\r\nBcc: c@d"}), "email"),
        (json!({"email": format!("{}@example.org", "x".repeat(300))}), "email"),
    ];
    desk.refuses_fields(Method::POST, MAIL_TEST, &cases).await;
    assert_eq!(desk.get(OUTBOX, &desk.admin).await.ok(200)["total"], 0);
    desk.post(MAIL_TEST, &desk.admin, &body).await.ok(200);
    let letter = desk.get(OUTBOX, &desk.admin).await.ok(200)["data"][0].clone();
    assert_eq!(
        (&letter["purpose"], &letter["recipient"]),
        (&json!("test"), &json!("post@example.org"))
    );
    assert_eq!((&letter["link"], &letter["account"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn rule_21_without_a_base_letters_are_held_and_the_admin_sees_the_link() {
    let desk = Desk::with(|plan| plan.settings.link_base = None).await;
    let forgotten = json!({"email": "bob@example.org"});
    let ask = desk.house.post("/api/v1/auth/forgot-password").header("host", "localhost");
    ask.json(&forgotten).send().await.ok(200);
    desk.house.core.quiet().await;
    let letter = desk.get(OUTBOX, &desk.admin).await.ok(200)["data"][0].clone();
    assert_eq!(letter["status"], "held");
    assert!(text(&letter["link"]).starts_with("/reset?token="), "{letter}");
    let warnings = desk.get(SYSTEM, &desk.admin).await.ok(200)["warnings"].clone();
    assert!(warnings.to_string().contains("server.public_url"), "{warnings}");
}

/// Warnings, without those of the machine on which this runs.
fn of_the_house(warnings: &Value) -> Vec<Value> {
    let machine = ["disk_full", "disk_low", "disk_slow", "file_system", "files_low"];
    let all = warnings.as_array().expect("a list").iter();
    all.filter(|one| !machine.iter().any(|kind| one["kind"] == *kind)).cloned().collect()
}

#[tokio::test]
async fn the_state_of_the_house_is_for_those_who_may_see_its_health() {
    let desk = Desk::new().await;
    desk.refuses_strangers_and_readers(Method::GET, SYSTEM, &Value::Null).await;
    desk.post(MAIL_TEST, &desk.admin, &json!({"email": "x@example.org"})).await.ok(200);
    desk.house.clock.advance(Duration::from_secs(77));
    for token in [&desk.maintainer, &desk.admin] {
        let state = desk.get(SYSTEM, token).await.ok(200);
        assert_eq!(state["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(state["uptime_seconds"], 77);
        assert_eq!((&state["accounts"], &state["live_sessions"]), (&json!(3), &json!(3)));
        assert_eq!((&state["letters_waiting"], &state["hash_lanes"]), (&json!(1), &json!(2)));
        assert_eq!(of_the_house(&state["warnings"]), [] as [Value; 0]);
        let bytes = std::fs::metadata(desk.house.database()).expect("a database").len();
        assert_eq!(state["database_bytes"], bytes);
        assert!(state["wal_bytes"].as_u64().expect("a number") > 0);
    }
    desk.post("/api/v1/auth/logout", &desk.reader, &Value::Null).await.ok(200);
    assert_eq!(desk.get(SYSTEM, &desk.admin).await.ok(200)["live_sessions"], 2);
    let weak = Desk::with(|plan| plan.settings.weak_hashing = true).await;
    let warnings = weak.get(SYSTEM, &weak.admin).await.ok(200)["warnings"].clone();
    assert!(warnings.to_string().contains("auth.allow_weak"), "{warnings}");
}

#[tokio::test]
async fn warnings_have_a_word_for_programs_and_tell_who_else_gets_at_the_data() {
    let desk = Desk::with(|plan| plan.settings.mail = None).await;
    let warnings = async || {
        Value::from(of_the_house(&desk.get(SYSTEM, &desk.admin).await.ok(200)["warnings"]))
    };
    let told = warnings().await;
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(told[0]["kind"], "no_mail_server");
    assert!(text(&told[0]["message"]).contains("email.smtp_host"), "{told}");
    assert!(told[0].get("amount").is_none(), "{told}");
    let open = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(desk.house.folder(), mode).expect("set");
    };
    open(0o775);
    let told = warnings().await;
    assert_eq!(told[0]["kind"], "data_exposed", "{told}");
    assert!(
        text(&told[0]["message"]).contains("put files into the data folder (mode 775)"),
        "{told}"
    );
    open(0o700);
    assert_eq!(warnings().await.as_array().map(Vec::len), Some(1));
}

fn files(desk: &Desk) -> BTreeSet<String> {
    let entries = std::fs::read_dir(desk.house.folder()).expect("a folder");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn a_downloaded_copy_is_a_sound_database_with_all_accounts_and_leaves_no_file_behind() {
    let desk = Desk::new().await;
    desk.refuses_strangers_and_readers(Method::POST, BACKUP, &Value::Null).await;
    desk.post(BACKUP, &desk.maintainer, &Value::Null).await.problem(403, "forbidden");
    let before = files(&desk);
    let answer = desk.post(BACKUP, &desk.admin, &Value::Null).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"gatelodge.db\"");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(files(&desk), before);

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gatelodge.db");
    std::fs::write(&path, &answer.body).expect("written");
    let copy = rusqlite::Connection::open(&path).expect("a database");
    let check: String =
        copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(check, "ok");
    let mut statement =
        copy.prepare("SELECT username FROM accounts ORDER BY 1").expect("a statement");
    let names: Vec<String> = statement
        .query_map([], |row| row.get(0))
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("names");
    assert_eq!(names, ["ann", "bob", "mia"]);
    let list = desk.get("/api/v1/events?kind=backup_made", &desk.admin).await.ok(200);
    assert_eq!((&list["total"], &list["data"][0]["actor_name"]), (&json!(1), &json!("ann")));
}

#[tokio::test]
async fn copies_are_whole_while_others_write_and_also_when_two_are_made_at_once() {
    let desk = Desk::new().await;
    let before = files(&desk);
    let admin = desk.admin.clone();
    let writes = async {
        for count in 0..20 {
            let body = json!({"username": format!("p{count}")});
            desk.post("/api/v1/users", &admin, &body).await.ok(201);
        }
    };
    let (one, two, ()) = tokio::join!(
        desk.post(BACKUP, &admin, &Value::Null),
        desk.post(BACKUP, &admin, &Value::Null),
        writes,
    );
    for answer in [one, two] {
        assert_eq!(answer.status, 200);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gatelodge.db");
        std::fs::write(&path, &answer.body).expect("written");
        let copy = rusqlite::Connection::open(&path).expect("a database");
        let check: String =
            copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
        assert_eq!(check, "ok");
    }
    assert_eq!(files(&desk), before);
}

#[tokio::test]
async fn a_copy_whose_download_breaks_off_leaves_no_file_behind() {
    let desk = Desk::new().await;
    let before = files(&desk);
    let begun = desk.house.post(BACKUP).bearer(&desk.admin).open().await;
    assert_eq!(begun.status().as_u16(), 200);
    drop(begun);
    assert_eq!(files(&desk), before);
}

#[tokio::test]
async fn rule_23_every_answer_carries_an_id_and_keeps_browsers_from_guessing() {
    let desk = Desk::new().await;
    for (path, token) in [(SYSTEM, &desk.admin), (SYSTEM, &desk.reader), (SYSTEM, &String::new())] {
        let answer = desk.get(path, token).await;
        assert!(!answer.header("x-request-id").is_empty());
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}
