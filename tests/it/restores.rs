//! `gatelodge restore`: what comes back, what stays ended, and what a bad copy cannot do.

use std::{fs, path::Path, process::Command};

use gatelodge::db::migrate;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    house::{Answer, PASSWORD, Server, text},
    program::{folder, program, run, run_with_input},
};

const COPY: &str = "copy.db";

fn lived_in() -> TempDir {
    let home = folder();
    for name in ["ann", "bob", "cyd"] {
        let arguments = ["user", "add", name, "--password-stdin"];
        run_with_input(home.path(), &arguments, PASSWORD).succeeded();
    }
    home
}

fn ask(server: &Server, method: &str, path: &str, token: &str, body: &Value) -> Answer {
    server.json(method, &format!("/api/v1{path}"), token, body)
}

fn login(server: &Server, name: &str) -> Value {
    let body = json!({"username": name, "password": PASSWORD});
    let answer = ask(server, "POST", "/auth/login", "", &body);
    assert_eq!(answer.status, 200, "{name}");
    answer.json()
}

/// The cookie of the pages: it lives as long as its row does.
fn cookie(server: &Server, name: &str) -> String {
    let body = json!({"username": name, "password": PASSWORD});
    let answer = ask(server, "POST", "/auth/session", "", &body);
    answer.header("set-cookie").split(';').next().expect("a cookie").to_owned()
}

fn me_by_cookie(server: &Server, cookie: &str) -> u16 {
    server.ask("GET", "/api/v1/user", &[("Cookie", cookie)], "").expect("an answer").status
}

fn me(server: &Server, token: &str) -> u16 {
    ask(server, "GET", "/user", token, &Value::Null).status
}

/// Somebody's key: its text and its id.
fn key(server: &Server, token: &str, name: &str) -> (String, String) {
    let made = ask(server, "POST", "/api-keys", token, &json!({"name": name}));
    assert_eq!(made.status, 201);
    let made = made.json();
    (text(&made["key"]), text(&made["id"]))
}

fn id_of(server: &Server, token: &str, name: &str) -> String {
    let list = ask(server, "GET", &format!("/users?q={name}"), token, &Value::Null).json();
    text(&list["data"][0]["id"])
}

fn delete(server: &Server, token: &str, path: &str) {
    let answer = ask(server, "DELETE", path, token, &Value::Null);
    assert!([200, 204].contains(&answer.status), "{path}: {}", answer.text());
}

fn aside(home: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(home).expect("a folder").map(|entry| entry.expect("one").path());
    let mine = |path: &std::path::PathBuf| path.to_string_lossy().contains("before-restore");
    entries.filter(mine).collect()
}

/// What was alive when a copy was made, and what had ended until it was restored.
struct Then {
    home: TempDir,
    access: String,
    refresh: String,
    kept_cookie: String,
    ended_cookie: String,
    kept_key: String,
    revoked_key: String,
    invitation: String,
}

fn then() -> Then {
    let home = lived_in();
    let server = Server::start(home.path(), &[]);
    let ann = login(&server, "ann");
    let token = text(&ann["token"]);
    let (kept_cookie, ended_cookie) = (cookie(&server, "bob"), cookie(&server, "bob"));
    let (kept_key, _) = key(&server, &token, "kept");
    let (revoked_key, revoked) = key(&server, &token, "revoked");
    let made = ask(&server, "POST", "/invitations", &token, &json!({})).json();
    let link = text(&made["link"]);
    let invitation = link.split("token=").nth(1).expect("a token").to_owned();

    run(home.path(), &["backup", COPY]).succeeded();

    let path = "/api/v1/auth/session";
    assert_eq!(
        server.ask("DELETE", path, &[("Cookie", &ended_cookie)], "").expect("it").status,
        200
    );
    delete(&server, &token, &format!("/api-keys/{revoked}"));
    delete(&server, &token, &format!("/invitations/{}", text(&made["id"])));
    delete(&server, &token, &format!("/users/{}", id_of(&server, &token, "cyd")));
    let body = json!({"username": "dan", "password": PASSWORD});
    assert_eq!(ask(&server, "POST", "/users", &token, &body).status, 201);
    let (access, refresh) = (token, text(&ann["refresh_token"]));
    assert!(server.terminate().0);
    Then { home, access, refresh, kept_cookie, ended_cookie, kept_key, revoked_key, invitation }
}

#[test]
fn what_had_ended_stays_ended_and_no_token_from_before_lives() {
    let then = then();
    let home = then.home.path();
    let told = run(home, &["restore", "--yes", COPY]).succeeded();
    for says in [
        "the copy:   3 accounts, 3 sessions, 2 API keys",
        "replaces:   3 accounts, 2 sessions, 1 API key",
        "cyd is there again, deleted since",
        "dan is gone, made since",
        "stays ended: 1 sessions, 1 API keys, 1 invitations",
        "all access tokens and all links in letters",
        "The one from before is kept: ",
        "Next: gatelodge doctor",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    let server = Server::start(home, &[]);
    assert_eq!(me(&server, &then.access), 401);
    let refresh = json!({"refresh_token": then.refresh});
    assert_eq!(ask(&server, "POST", "/auth/refresh", "", &refresh).status, 401);
    assert_eq!(me_by_cookie(&server, &then.ended_cookie), 401);
    assert_eq!(me_by_cookie(&server, &then.kept_cookie), 200);
    assert_eq!(me(&server, &then.revoked_key), 401);
    assert_eq!(me(&server, &then.kept_key), 200);
    let body = json!({"username": "eve", "email": "eve@example.org", "password": PASSWORD,
        "invitation": then.invitation});
    let refused = ask(&server, "POST", "/auth/register", "", &body);
    assert!(refused.status == 422 && refused.text().contains("invitation"), "{}", refused.text());
    let token = text(&login(&server, "ann")["token"]);
    login(&server, "cyd");
    let list = ask(&server, "GET", "/events?kind=database_restored", &token, &Value::Null).json();
    assert_eq!(list["total"], 1);
    let [kept] = aside(home).try_into().expect("one database from before");
    let kept = Connection::open(kept).expect("a database");
    let dan = "SELECT count(*) FROM accounts WHERE username = 'dan'";
    assert_eq!(kept.query_row(dan, [], |row| row.get::<_, i64>(0)).expect("a count"), 1);
}

#[test]
fn events_go_on_behind_the_last_that_anybody_saw() {
    let then = then();
    let last = |path: &Path| {
        let database = Connection::open(path).expect("a database");
        let sql = "SELECT max(id) FROM events";
        database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number")
    };
    let seen = last(&then.home.path().join("gatelodge.db"));
    assert!(seen > last(&then.home.path().join(COPY)));
    run(then.home.path(), &["restore", "--yes", COPY]).succeeded();
    assert_eq!(last(&then.home.path().join("gatelodge.db")), seen + 1);
}

#[test]
fn what_may_have_ended_is_listed_where_no_database_is_at_hand_and_can_be_ended() {
    let then = then();
    let home = then.home.path();
    fs::remove_file(home.join("gatelodge.db")).expect("gone");
    let told = run(home, &["restore", "--yes", COPY]).succeeded();
    assert!(told.contains("replaces:   nothing; there is no database yet"), "{told}");
    for says in ["signed in: ann (1)", "signed in: bob (2)", "of ann (kept)", "of ann (revoked)"] {
        assert!(told.contains(says), "{says}: {told}");
    }
    let server = Server::start(home, &[]);
    assert_eq!(me(&server, &then.access), 401, "tokens end all the same");
    assert_eq!(me(&server, &then.revoked_key), 200, "as was told");
    assert!(server.terminate().0);

    let told = run(home, &["restore", "--yes", "--end-all", COPY]).succeeded();
    assert!(told.contains("every session and every API key"), "{told}");
    let server = Server::start(home, &[]);
    for key in [&then.kept_key, &then.revoked_key] {
        assert_eq!(me(&server, key), 401);
    }
    for cookie in [&then.kept_cookie, &then.ended_cookie] {
        assert_eq!(me_by_cookie(&server, cookie), 401);
    }
}

#[test]
fn a_password_that_was_changed_is_told_of_and_its_sessions_stay_ended() {
    let home = lived_in();
    let server = Server::start(home.path(), &[]);
    let bob = cookie(&server, "bob");
    run(home.path(), &["backup", COPY]).succeeded();
    let set = ["user", "set-password", "bob", "--password-stdin"];
    run_with_input(home.path(), &set, "Chestnut-tree-8\n").succeeded();
    run(home.path(), &["user", "set-role", "cyd", "maintainer"]).succeeded();
    run(home.path(), &["user", "disable", "cyd"]).succeeded();
    assert!(server.terminate().0);
    let told = run(home.path(), &["restore", "--yes", COPY]).succeeded();
    for says in [
        "bob has the password and PIN from then",
        "cyd is active again, disabled since",
        "cyd is reader again, maintainer since",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    let server = Server::start(home.path(), &[]);
    assert_eq!(me_by_cookie(&server, &bob), 401);
}

#[test]
fn a_server_that_runs_on_the_data_keeps_it() {
    let home = lived_in();
    run(home.path(), &["backup", COPY]).succeeded();
    let server = Server::start(home.path(), &[]);
    let line = run(home.path(), &["restore", "--yes", COPY]).in_trouble();
    assert!(line.contains("already serves") && line.contains("stop it first"), "{line}");
    login(&server, "ann");
    assert!(aside(home.path()).is_empty());
}

#[test]
fn a_copy_that_is_no_good_changes_nothing() {
    let home = lived_in();
    run(home.path(), &["backup", COPY]).succeeded();
    let good = fs::read(home.path().join(COPY)).expect("a copy");
    let newer = {
        let path = home.path().join("newer.db");
        fs::copy(home.path().join(COPY), &path).expect("copied");
        let database = Connection::open(&path).expect("a database");
        database.pragma_update(None, "user_version", migrate::LATEST + 1).expect("set");
        drop(database);
        fs::read(path).expect("a copy")
    };
    let mut torn = good.clone();
    for byte in &mut torn[4096 * 3..4096 * 40] {
        *byte ^= 0x5a;
    }
    let sealed_and_cut = {
        let arguments = ["backup", "--passphrase", "sealed.age"];
        run_with_input(home.path(), &arguments, "a long walnut tree\n").succeeded();
        let sealed = fs::read(home.path().join("sealed.age")).expect("a copy");
        sealed[..sealed.len() - 100].to_vec()
    };
    let before = fs::read(home.path().join("gatelodge.db")).expect("a database");
    let cases: [(&str, &[u8], &str); 6] = [
        ("empty", b"", "the copy is an empty file"),
        ("a letter", b"Dear Ann,", "is no database"),
        ("cut short", &good[..good.len() / 2], "the copy is damaged"),
        ("torn", &torn, "damaged"),
        ("newer", &newer, "install the newer gatelodge"),
        ("sealed and cut short", &sealed_and_cut, "cut short or changed"),
    ];
    for (name, bytes, says) in cases {
        let path = home.path().join("bad.db");
        fs::write(&path, bytes).expect("written");
        let arguments = ["restore", "--yes", "--passphrase", "bad.db"];
        let line = run_with_input(home.path(), &arguments, "a long walnut tree\n").refused();
        assert!(line.contains(says) && line.ends_with("nothing was changed"), "{name}: {line}");
        assert!(fs::read(home.path().join("gatelodge.db")).expect("it") == before, "{name}");
    }
    let line = run(home.path(), &["restore", "--yes", "not-there.db"]).in_trouble();
    assert!(line.contains("not-there.db: No such file"), "{line}");
    let left = fs::read_dir(home.path()).expect("a folder").map(|one| one.expect("it").file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("-copy-")).collect();
    assert!(left.is_empty() && aside(home.path()).is_empty(), "{left:?}");
}

#[test]
fn nobody_is_asked_where_nobody_sits_and_a_pipe_is_a_copy_too() {
    let home = lived_in();
    run(home.path(), &["backup", COPY]).succeeded();
    let ran = run(home.path(), &["restore", COPY]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("the copy:") && ran.err.contains("say --yes"), "{}", ran.err);
    assert!(aside(home.path()).is_empty());
    let mut command = program(home.path());
    command.args(["restore", "--yes", "-"]);
    command.stdin(fs::File::open(home.path().join(COPY)).expect("a copy"));
    assert!(command.output().expect("the program").status.success());
    assert_eq!(aside(home.path()).len(), 1);
    let arguments = ["backup", "--passphrase", "sealed.age"];
    run_with_input(home.path(), &arguments, "a long walnut tree\n").succeeded();
    let mut command = program(home.path());
    command.args(["restore", "--yes", "-"]);
    command.stdin(fs::File::open(home.path().join("sealed.age")).expect("a copy"));
    let said = String::from_utf8(command.output().expect("the program").stderr).expect("text");
    assert!(said.contains("standard input is the copy"), "{said}");
}

#[test]
fn a_damaged_database_is_replaced_and_kept_with_its_log() {
    let home = lived_in();
    run(home.path(), &["backup", COPY]).succeeded();
    fs::write(home.path().join("gatelodge.db"), vec![7; 40_000]).expect("written");
    fs::write(home.path().join("gatelodge.db-wal"), "a log").expect("written");
    let told = run(home.path(), &["restore", "--yes", COPY]).succeeded();
    assert!(
        told.contains("a database that cannot be read") && told.contains("lives on:"),
        "{told}"
    );
    let kept = |end: &str| {
        let all = aside(home.path()).into_iter();
        let path = all.into_iter().find(|path| path.to_string_lossy().ends_with(end));
        fs::read(path.unwrap_or_else(|| panic!("no {end}"))).expect("a file")
    };
    assert!(kept(".db") == vec![7; 40_000]);
    assert!(kept(".db-wal") == b"a log");
    assert!(!home.path().join("gatelodge.db-wal").exists());
    login(&Server::start(home.path(), &[]), "ann");
}

#[test]
fn copies_of_every_older_schema_are_restored() {
    for old in 1..migrate::LATEST {
        let home = folder();
        let mut copy = Connection::open(home.path().join(COPY)).expect("a database");
        migrate::migrate(&mut copy, old).expect("an older schema");
        copy.execute(
            "INSERT INTO accounts (id, username, username_key, display_name, role, status,
                 email_verified, epoch, created_at, updated_at)
             VALUES ('00000000-0000-4000-8000-000000000001', 'ann', 'ann', 'Ann', 'admin',
                 'active', 1, 'x', 0, 0)",
            [],
        )
        .expect("a row");
        drop(copy);
        let told = run(home.path(), &["restore", "--yes", COPY]).succeeded();
        assert!(told.contains("1 account"), "{told}");
        let list = run(home.path(), &["user", "list", "--json"]).json();
        assert_eq!(list[0]["username"], "ann", "schema {old}");
        // The other way round: what is replaced is older than the copy.
        run(home.path(), &["backup", "today.db"]).succeeded();
        fs::remove_file(home.path().join("gatelodge.db")).expect("gone");
        fs::copy(home.path().join(COPY), home.path().join("gatelodge.db")).expect("copied");
        run(home.path(), &["restore", "--yes", "today.db"]).succeeded();
    }
}

#[test]
fn two_restores_in_one_second_keep_two_databases() {
    let home = lived_in();
    run(home.path(), &["backup", COPY]).succeeded();
    for _ in 0..2 {
        run(home.path(), &["restore", "--yes", COPY]).succeeded();
    }
    assert_eq!(aside(home.path()).len(), 2);
}

#[test]
fn root_restores_for_the_owner_of_the_data() {
    const OWNER: u32 = 54321;
    let (home, away) = (lived_in(), folder());
    let path = away.path().join(COPY);
    let shown = path.to_str().expect("a path");
    run(home.path(), &["backup", shown]).succeeded();
    let owner = format!("{OWNER}:{OWNER}");
    let given = Command::new("chown").args(["-R", &owner]).arg(home.path()).output();
    if !given.is_ok_and(|done| done.status.success()) {
        println!("NOT CHECKED: only root can give folders away");
        return;
    }
    run(home.path(), &["restore", "--yes", shown]).succeeded();
    for file in fs::read_dir(home.path()).expect("a folder").map(|entry| entry.expect("an entry")) {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(file.metadata().expect("data").uid(), OWNER, "{:?}", file.file_name());
    }
}
