//! `gatelodge user`: what it shows and changes, alone and beside a running server.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    house::{PASSWORD, Server, text},
    program::{Ran, folder, generated, run, run_with_input},
};

/// A house with the admin `ann` and the reader `bob`, who share a password.
fn lived_in() -> TempDir {
    let home = folder();
    for name in ["ann", "bob"] {
        let email = format!("{name}@example.org");
        let arguments = ["user", "add", name, "--email", &email, "--password-stdin"];
        run_with_input(home.path(), &arguments, PASSWORD).succeeded();
    }
    home
}

fn user(home: &TempDir, arguments: &[&str]) -> Ran {
    run(home.path(), &[&["user"], arguments].concat())
}

fn shown(folder: &Path, name: &str) -> Value {
    run(folder, &["user", "show", "--json", "--", name]).json()
}

fn sign_in(server: &Server, name: &str, password: &str) -> u16 {
    let body = json!({"username": name, "password": password});
    server.json("POST", "/api/v1/auth/login", "", &body).status
}

fn token(server: &Server, name: &str) -> String {
    let body = json!({"username": name, "password": PASSWORD});
    text(&server.json("POST", "/api/v1/auth/login", "", &body).json()["token"])
}

/// Waits until a live token is answered with `status`; the watcher asks four times a second.
#[track_caller]
fn soon(server: &Server, token: &str, status: u16) {
    let me = || server.json("GET", "/api/v1/user", token, &Value::Null).status;
    let come = (0..400).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(25));
        me() == status
    });
    assert!(come, "still {} and not {status}", me());
}

#[test]
fn an_account_is_shown_with_what_it_may_and_where_it_is_signed_in() {
    let home = lived_in();
    let key = ["key", "create", "--user", "bob", "--name", "backup", "--json"];
    let key = run(home.path(), &key).json();
    let server = Server::start(home.path(), &[]);
    assert_eq!(sign_in(&server, "bob", PASSWORD), 200);
    let database = rusqlite::Connection::open(home.path().join("gatelodge.db")).expect("ours");
    let agent = "\u{1b}[2Jreader\u{202E}";
    database.execute("UPDATE sessions SET user_agent = ?1", [agent]).expect("a row");

    let bob = shown(home.path(), "BOB@example.org");
    assert_eq!((&bob["username"], &bob["role"]), (&json!("bob"), &json!("reader")));
    assert_eq!((&bob["permissions"], &bob["status"]), (&json!([]), &json!("active")));
    assert_eq!(
        (&bob["sessions"][0]["dialect"], &bob["sessions"][1]),
        (&json!("native"), &json!(null))
    );
    assert_eq!(bob["sessions"][0]["address"], "127.0.0.1");
    assert_eq!(bob["api_keys"][0]["key_prefix"], key["key_prefix"]);

    let out = user(&home, &["show", "bob"]).succeeded();
    for says in ["bob@example.org (confirmed)", "signs in by   password", "1 session", "backup"] {
        assert!(out.contains(says), "{says}: {out}");
    }
    assert!(!out.contains('\u{1b}') && !out.contains('\u{202E}'), "{out:?}");
    let out = out + &bob.to_string();
    for secret in [PASSWORD, &text(&key["key"]), "$argon2", "epoch", "digest"] {
        assert!(!out.contains(secret), "{secret}");
    }
    assert_eq!(shown(home.path(), "ann")["permissions"].as_array().map(Vec::len), Some(13));
    let out = user(&home, &["show", "ann"]).succeeded();
    assert!(out.contains("may           everything") && out.contains("nowhere"), "{out}");
}

#[test]
fn a_name_that_is_not_there_is_answered_by_the_nearest() {
    let home = lived_in();
    for command in
        ["show", "enable", "disable", "set-password", "set-pin", "delete", "sign-out", "reset-link"]
    {
        let line = user(&home, &[command, "bib"]).refused();
        assert_eq!(line, "no account \"bib\"; the nearest is bob", "{command}");
    }
    let line = user(&home, &["set-role", "bib", "reader"]).refused();
    assert_eq!(line, "no account \"bib\"; the nearest is bob");
    let line = user(&home, &["show", "anne@example.org"]).refused();
    assert_eq!(line, "no account \"anne@example.org\"; the nearest is ann@example.org");
    for (odd, says) in [
        ("zacharias", "no account \"zacharias\"; see gatelodge user list"),
        ("", "no account \"\"; see gatelodge user list"),
        ("a\nb\u{1b}[2J\u{202E}", "no account \"a\\nb\\u{1b}[2J\\u{202e}\"; see"),
        ("' OR 1=1 --", "no account \"' OR 1=1 --\"; see"),
        ("%", "no account \"%\"; see"),
    ] {
        let line = run(home.path(), &["user", "show", "--", odd]).refused();
        assert!(line.starts_with(says), "{line}");
    }
    let long = "x".repeat(10_000);
    assert!(user(&home, &["show", &long]).refused().len() < 200);
    let line = user(&home, &["set-role", "bob", "admni"]).refused();
    let roles = "there are: admin, developer, maintainer, reader";
    assert_eq!(line, format!("no role \"admni\"; the nearest is admin, {roles}"));
}

#[test]
fn names_with_odd_characters_are_named_so_that_a_shell_reads_them_right() {
    let home = lived_in();
    for name in ["-rf", "Zoë", "o'neil`id`@example.org", "9"] {
        let mut arguments = vec!["user", "add", "--generate"];
        if name.contains('@') {
            arguments.extend(["--email", name]);
        }
        arguments.extend(["--", name]);
        run(home.path(), &arguments).succeeded();
        let out = run(home.path(), &["user", "disable", "--", name]).succeeded();
        let command = out.lines().last().and_then(|line| line.split(": gatelodge ").nth(1));
        let command = command.unwrap_or_else(|| panic!("{out}"));
        let program = env!("CARGO_BIN_EXE_gatelodge");
        let done = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("{program} {command}"))
            .current_dir(home.path())
            .output()
            .expect("a shell");
        assert!(done.status.success(), "{command}: {done:?}");
        assert_eq!(shown(home.path(), name)["status"], "active", "{command}");
    }
}

#[test]
fn a_disabled_account_is_out_within_a_second_and_comes_back() {
    let home = lived_in();
    let server = Server::start(home.path(), &[]);
    let live = token(&server, "bob");
    let key = run(home.path(), &["key", "create", "--user", "bob", "--name", "k", "--json"]).json();
    let key = text(&key["key"]);
    soon(&server, &live, 200);
    soon(&server, &key, 200);
    let out = user(&home, &["disable", "bob"]).succeeded();
    assert!(out.starts_with("bob is disabled: signed out everywhere"), "{out}");
    assert!(out.ends_with("gatelodge user enable bob\n"), "{out}");
    soon(&server, &live, 401);
    soon(&server, &key, 401);
    assert_eq!(sign_in(&server, "bob", PASSWORD), 401);
    assert_eq!(shown(home.path(), "bob")["status"], "disabled");
    assert_eq!(user(&home, &["disable", "bob"]).succeeded(), "bob is disabled already.\n");

    let out = user(&home, &["enable", "bob@example.org"]).succeeded();
    assert_eq!(out, "bob is active and can sign in again.\n");
    assert_eq!(user(&home, &["enable", "bob"]).succeeded(), "bob is active already.\n");
    assert_eq!(sign_in(&server, "bob", PASSWORD), 200);
    soon(&server, &key, 200);
    soon(&server, &live, 401);
}

#[test]
fn another_password_signs_out_and_the_old_one_works_no_more() {
    let home = lived_in();
    let server = Server::start(home.path(), &[]);
    let live = token(&server, "bob");
    let arguments = ["user", "set-password", "bob", "--password-stdin"];
    let out = run_with_input(home.path(), &arguments, "Chestnut-tree-8\n").succeeded();
    assert!(out.starts_with("bob has another password") && !out.contains("Chestnut"), "{out}");
    soon(&server, &live, 401);
    assert_eq!(sign_in(&server, "bob", PASSWORD), 401);
    assert_eq!(sign_in(&server, "bob", "Chestnut-tree-8"), 200);
    let made = generated(&user(&home, &["set-password", "bob", "--generate"]).succeeded());
    assert_eq!(sign_in(&server, "bob", "Chestnut-tree-8"), 401);
    assert_eq!(sign_in(&server, "bob", &made), 200);

    for (input, says) in [
        ("short\n", "password must have at least 8 characters"),
        ("password123\n", "password is among the most common"),
        ("", "standard input has too few lines"),
    ] {
        let line = run_with_input(home.path(), &arguments, input).refused();
        assert!(line.starts_with(says), "{line}");
    }
    let line = user(&home, &["set-password", "bob"]).refused();
    assert_eq!(line, "say where the password comes from: --password-stdin or --generate");
    let ran = user(&home, &["set-password", "bob", "Chestnut-tree-9"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "no secret is an argument: {}", ran.err);
    assert_eq!(sign_in(&server, "bob", &made), 200, "a refusal changes nothing");
}

#[test]
fn a_pin_is_given_and_taken() {
    let home = lived_in();
    let server = Server::start(home.path(), &[]);
    let by_pin = || {
        let body = json!({"username": "bob", "pin": "48151623"});
        server.json("POST", "/api/v1/auth/session", "", &body).status
    };
    assert_eq!(by_pin(), 401);
    let arguments = ["user", "set-pin", "bob", "--pin-stdin"];
    let out = run_with_input(home.path(), &arguments, "48151623\n").succeeded();
    assert!(out.starts_with("bob has another PIN") && !out.contains("48151623"), "{out}");
    assert_eq!(by_pin(), 200);
    let line = run_with_input(home.path(), &arguments, "12\n").refused();
    assert_eq!(line, "pin must be 4 to 12 digits");
    assert_eq!(by_pin(), 200);
    assert_eq!(
        user(&home, &["set-pin", "bob", "--remove"]).succeeded(),
        "bob has no PIN any more.\n"
    );
    assert_eq!(by_pin(), 401);
    let line = user(&home, &["set-pin", "bob"]).refused();
    assert!(line.ends_with("--pin-stdin, or take it away: --remove"), "{line}");
}

#[test]
fn another_role_counts_at_once() {
    let home = lived_in();
    let server = Server::start(home.path(), &[]);
    let live = token(&server, "bob");
    let out = user(&home, &["set-role", "bob", "maintainer"]).succeeded();
    let says = "bob has the role maintainer now, was reader, and is signed out everywhere.\n";
    assert_eq!(out, says);
    soon(&server, &live, 401);
    let anew = token(&server, "bob");
    let users = server.json("GET", "/api/v1/users", &anew, &Value::Null);
    assert_eq!(users.status, 200, "{}", users.text());
    let out = user(&home, &["set-role", "bob", "maintainer"]).succeeded();
    assert_eq!(out, "bob has the role maintainer already.\n");
    soon(&server, &anew, 200);
}

#[test]
fn signing_out_ends_sessions_and_nothing_else() {
    let home = lived_in();
    let out = user(&home, &["sign-out", "bob"]).succeeded();
    assert!(out.starts_with("bob was signed in nowhere.\n"), "{out}");
    let server = Server::start(home.path(), &[]);
    let (first, second, anns) =
        (token(&server, "bob"), token(&server, "bob"), token(&server, "ann"));
    let out = user(&home, &["sign-out", "bob"]).succeeded();
    assert!(out.starts_with("bob is signed out: 2 sessions ended.\n"), "{out}");
    soon(&server, &first, 401);
    soon(&server, &second, 401);
    soon(&server, &anns, 200);
    assert_eq!(sign_in(&server, "bob", PASSWORD), 200);
}

#[test]
fn a_deleted_account_is_gone_and_its_name_free() {
    let home = lived_in();
    let server = Server::start(home.path(), &[]);
    let live = token(&server, "bob");
    let out = user(&home, &["delete", "bob"]).succeeded();
    assert!(out.starts_with("bob is deleted") && out.ends_with("The name is free.\n"), "{out}");
    soon(&server, &live, 401);
    assert_eq!(user(&home, &["delete", "bob"]).code, 1);
    user(&home, &["add", "bob", "--generate"]).succeeded();
    assert_eq!(sign_in(&server, "bob", PASSWORD), 401);
    soon(&server, &live, 401);
}

#[test]
fn the_last_active_admin_stays() {
    let home = lived_in();
    let refused = |arguments: &[&str]| {
        let line = user(&home, arguments).refused();
        assert!(line.starts_with("the last active admin must remain"), "{line}");
        assert!(line.ends_with("gatelodge user set-role NAME admin"), "{line}");
    };
    for _ in 0..2 {
        refused(&["disable", "ann"]);
        refused(&["delete", "ann"]);
        refused(&["set-role", "ann", "maintainer"]);
        // A second admin who is disabled does not count.
        user(&home, &["set-role", "bob", "admin"]).succeeded();
        user(&home, &["disable", "bob"]).succeeded();
    }
    user(&home, &["enable", "bob"]).succeeded();
    user(&home, &["set-role", "ann", "reader"]).succeeded();
    let line = user(&home, &["delete", "bob"]).refused();
    assert!(line.starts_with("the last active admin must remain"), "{line}");
}

#[test]
fn a_reset_link_can_be_read_by_programs() {
    let home = lived_in();
    let made = user(&home, &["reset-link", "bob", "--json"]).json();
    let link = text(&made["link"]);
    assert!(link.starts_with("/reset?token="), "{link}");
    assert!(text(&made["expires_at"]).ends_with('Z'));
}

#[test]
fn what_the_command_line_did_is_in_the_events() {
    let home = lived_in();
    let arguments = ["user", "set-password", "bob", "--password-stdin"];
    run_with_input(home.path(), &arguments, "Chestnut-tree-8\n").succeeded();
    user(&home, &["disable", "bob"]).succeeded();
    user(&home, &["delete", "bob"]).succeeded();
    let server = Server::start(home.path(), &[]);
    let events = server.json("GET", "/api/v1/events", &token(&server, "ann"), &Value::Null).json();
    let of_cli: Vec<_> = events["data"].as_array().expect("events").iter().collect();
    let of_cli: Vec<_> = of_cli
        .iter()
        .filter(|event| event["dialect"] == "cli")
        .map(|event| (text(&event["kind"]), text(&event["detail"])))
        .collect();
    let said = format!("{of_cli:?}");
    for says in ["password", "status", "account_deleted", "bob"] {
        assert!(said.contains(says), "{says}: {said}");
    }
}
