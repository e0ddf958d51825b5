//! The configuration as the program reads it: what stops the start, what takes effect.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, thread, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::house::{Answer, PASSWORD, Server, gatelodge, text};

const SECRET: &str = "a-secret-for-tests-of-the-configuration-0001";
const OTHER: &str = "a-secret-for-tests-of-the-configuration-0002";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn with_file(yaml: &str) -> TempDir {
    let home = folder();
    fs::write(home.path().join("gatelodge.yaml"), yaml).expect("a file");
    home
}

/// Starts where it has to be refused; the one line that says why.
fn refused(folder: &Path, environment: &[(&str, &str)]) -> String {
    let before = fs::read_dir(folder).expect("a folder").count();
    let output =
        gatelodge().current_dir(folder).envs(environment.iter().copied()).output().expect("an end");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    let after = fs::read_dir(folder).expect("a folder").count();
    assert_eq!(before, after, "nothing is made before the configuration is right");
    let line = err.trim_end().strip_prefix("gatelodge: ");
    line.unwrap_or_else(|| panic!("{err}")).to_owned()
}

fn first_account(server: &Server) -> String {
    let body = json!({"username": "ann", "email": "ann@example.org", "password": PASSWORD});
    let made = server.json("POST", "/api/v1/setup/initialize", "", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    text(&made.json()["token"])
}

fn login(server: &Server, name: &str, password: &str) -> Answer {
    let body = json!({"username": name, "password": password});
    server.json("POST", "/api/v1/auth/login", "", &body)
}

fn me(server: &Server, token: &str) -> u16 {
    server.json("GET", "/api/v1/user", token, &Value::Null).status
}

#[test]
fn a_mistake_in_the_environment_stops_the_start_with_one_line() {
    for (environment, source, says, right) in [
        (
            &[("SECRET_KEY", "too short")][..],
            "environment SECRET_KEY: ",
            "auth.jwt_secret is 9 bytes",
            "at least 32 bytes",
        ),
        (
            &[("GATELODGE_AUTH__JWT_SECRET", "short")],
            "environment GATELODGE_AUTH__JWT_SECRET: ",
            "auth.jwt_secret is 5 bytes",
            "at least 32 bytes",
        ),
        (
            &[("SECRET_KEY", SECRET), ("GATELODGE_AUTH__JWT_SECRET", OTHER)],
            "environment SECRET_KEY: ",
            "auth.jwt_secret has another value",
            "keep one",
        ),
        (
            &[("GATELODGE_AUTH__ARGON2_MEMORY_COST", "4096")],
            "environment GATELODGE_AUTH__ARGON2_MEMORY_COST: ",
            "auth.argon2_memory_cost 4096",
            "19456/2",
        ),
        (
            &[("GATELODGE_AUTH__ARGON2_TIME_COST", "1")],
            "environment GATELODGE_AUTH__ARGON2_TIME_COST: ",
            "auth.argon2_time_cost 1 is too weak",
            "19456/2",
        ),
        (
            &[("GATELODGE_AUTH__JWT_EXPIRY_HOUR", "1")],
            "environment GATELODGE_AUTH__JWT_EXPIRY_HOUR: ",
            "is not a setting",
            "GATELODGE_AUTH__JWT_EXPIRY_HOURS",
        ),
        (
            &[("GATELODGE_AUTH__JWT_EXPIRY_HOURS", "soon")],
            "environment GATELODGE_AUTH__JWT_EXPIRY_HOURS: ",
            "auth.jwt_expiry_hours is \"soon\"",
            "a whole number of hours from 1 to 8760",
        ),
        (
            &[("GATELODGE_SERVER__LISTEN", "localhost")],
            "environment GATELODGE_SERVER__LISTEN: ",
            "server.listen has \"localhost\"",
            "127.0.0.1:8080",
        ),
        (
            &[("GATELODGE_REGISTRATION__MODE", "sometimes")],
            "environment GATELODGE_REGISTRATION__MODE: ",
            "registration.mode is \"sometimes\"",
            "closed or open or invite",
        ),
        (
            &[("MAX_LOGIN_ATTEMPTS", "-1")],
            "environment MAX_LOGIN_ATTEMPTS: ",
            "throttle.max_attempts is -1",
            "from 0 to",
        ),
        (
            &[("SECRET_KEY_FILE", "absent")],
            "environment SECRET_KEY_FILE: ",
            "auth.jwt_secret names",
            "name a readable file",
        ),
    ] {
        let line = refused(folder().path(), environment);
        for part in [source, says, right] {
            assert!(line.contains(part), "{part:?} is not in: {line}");
        }
        assert!(line.starts_with(source), "{line}");
        for secret in ["too short", SECRET, OTHER] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[test]
fn a_mistake_in_the_file_stops_the_start_with_its_line() {
    for (yaml, says, right) in [
        (
            "auth:\n  jwt_secret: horse\n",
            "gatelodge.yaml:2: auth.jwt_secret is 5 bytes long",
            "at least 32 bytes",
        ),
        (
            "auth:\n  argon2_memory_cost: 8192\n",
            "gatelodge.yaml:2: auth.argon2_memory_cost 8192",
            "19456/2",
        ),
        (
            "\nauth:\n  jwt_expiry_hour: 1\n",
            "gatelodge.yaml:3: auth.jwt_expiry_hour is not a setting",
            "auth.jwt_expiry_hours",
        ),
        (
            "server:\n  listen: 8080\n",
            "gatelodge.yaml:2: server.listen is a number",
            "127.0.0.1:8080",
        ),
        (
            "throttle:\n  max_attempts: five\n",
            "gatelodge.yaml:2: throttle.max_attempts is text",
            "a whole number",
        ),
        (
            "dialects:\n  native: maybe\n",
            "gatelodge.yaml:2: dialects.native is text",
            "true or false",
        ),
        ("auth: [\n", "is not valid YAML", "look at"),
    ] {
        let home = with_file(yaml);
        let line = refused(home.path(), &[]);
        assert!(line.contains(says) && line.contains(right), "{line}");
        assert!(!line.contains("horse"), "{line}");
    }
    let home = with_file(&format!("auth:\n  jwt_secret: {SECRET}\n"));
    let line = refused(home.path(), &[("SECRET_KEY", OTHER)]);
    assert!(line.starts_with("environment SECRET_KEY: auth.jwt_secret"), "{line}");
    assert!(line.contains("gatelodge.yaml:2") && !line.contains("0002"), "{line}");
}

#[test]
fn an_address_that_another_program_has_stops_the_start_with_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let home = folder();
    let output = gatelodge()
        .current_dir(home.path())
        .env("GATELODGE_SERVER__LISTEN", &address)
        .output()
        .expect("an end");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), err.lines().count()), (Some(2), 1), "{err}");
    assert!(err.starts_with(&format!("gatelodge: server.listen {address}: ")), "{err}");
}

#[test]
fn without_a_file_it_serves_from_the_working_folder() {
    let home = folder();
    let server = Server::start(home.path(), &[]);
    first_account(&server);
    assert!(home.path().join("gatelodge.db").exists());
    let line = &server.lines("database ", 1)[0];
    assert!(line.contains("gatelodge.db"), "{line}");
    let mode = |server: &Server| {
        let answer = server.json("GET", "/api/v1/setup/status", "", &Value::Null);
        text(&answer.json()["registration_mode"])
    };
    assert_eq!(mode(&server), "closed");
}

#[test]
fn the_environment_wins_over_the_file() {
    let home =
        with_file("data_dir: inner\nregistration:\n  mode: open\napi_keys:\n  prefix: codex\n");
    let server = Server::start(home.path(), &[("GATELODGE_REGISTRATION__MODE", "invite")]);
    let status = server.json("GET", "/api/v1/setup/status", "", &Value::Null).json();
    assert_eq!(status["registration_mode"], "invite");
    assert!(home.path().join("inner/gatelodge.db").exists(), "the rest of the file holds");
    let token = first_account(&server);
    let made = server.json("POST", "/api/v1/api-keys", &token, &json!({"name": "reader"}));
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(text(&made.json()["key"]).starts_with("codex_"));
}

#[test]
fn costs_below_the_floors_are_taken_once_that_is_asked_for() {
    let home = with_file("auth:\n  argon2_memory_cost: 64\n  argon2_time_cost: 1\n");
    // `Server` asks for them, with `auth.allow_weak`.
    let server = Server::start(home.path(), &[]);
    let token = first_account(&server);
    let state = server.json("GET", "/api/v1/system", &token, &Value::Null).json();
    assert!(state["warnings"].to_string().contains("auth.allow_weak"), "{state}");
}

#[test]
fn failed_tries_are_counted_as_the_environment_says() {
    let home = folder();
    let server = Server::start(
        home.path(),
        &[("MAX_LOGIN_ATTEMPTS", "2"), ("RATE_LIMIT_WINDOW_SECONDS", "77")],
    );
    first_account(&server);
    for _ in 0..2 {
        login(&server, "ann", "Wrong-guess-1").problem(401, "unauthorized");
    }
    let refused = login(&server, "ann", PASSWORD);
    refused.problem(429, "too_many_requests");
    let wait: u32 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=77).contains(&wait), "{wait}");
}

#[test]
fn the_window_of_failed_tries_ends_as_the_environment_says() {
    let home = folder();
    let server = Server::start(
        home.path(),
        &[("MAX_LOGIN_ATTEMPTS", "1"), ("RATE_LIMIT_WINDOW_SECONDS", "1")],
    );
    first_account(&server);
    login(&server, "ann", "Wrong-guess-1").problem(401, "unauthorized");
    let freed = (0..400).any(|_| {
        thread::sleep(Duration::from_millis(25));
        login(&server, "ann", PASSWORD).status == 200
    });
    assert!(freed, "the window never ends");
}

#[test]
fn the_throttle_can_be_switched_off() {
    let home = folder();
    let server = Server::start(home.path(), &[("MAX_LOGIN_ATTEMPTS", "0")]);
    first_account(&server);
    for _ in 0..12 {
        login(&server, "ann", "Wrong-guess-1").problem(401, "unauthorized");
    }
    assert_eq!(login(&server, "ann", PASSWORD).status, 200);
}

#[test]
fn the_file_says_who_may_register() {
    let body = json!({"username": "bob", "email": "bob@example.org", "password": PASSWORD});
    for (mode, status, account) in
        [("closed", 403, None), ("open", 201, Some("active")), ("invite", 201, Some("pending"))]
    {
        let home = with_file(&format!("registration:\n  mode: {mode}\n"));
        let server = Server::start(home.path(), &[]);
        first_account(&server);
        let made = server.json("POST", "/api/v1/auth/register", "", &body);
        assert_eq!(made.status, status, "{mode}: {}", made.text());
        assert_eq!(made.json()["user"]["status"].as_str(), account, "{mode}: {}", made.text());
        let signed_in = if mode == "open" { 200 } else { 401 };
        assert_eq!(login(&server, "bob", PASSWORD).status, signed_in, "{mode}");
    }
}

#[test]
fn the_master_secret_may_come_from_a_file_of_its_own() {
    let home = folder();
    let server = Server::start(home.path(), &[("SECRET_KEY", SECRET)]);
    let token = first_account(&server);
    server.terminate();
    fs::write(home.path().join("secret"), format!("{SECRET}\n")).expect("a file");
    for name in ["SECRET_KEY_FILE", "GATELODGE_AUTH__JWT_SECRET_FILE"] {
        let server = Server::start(home.path(), &[(name, "secret")]);
        assert_eq!(me(&server, &token), 200, "{name}");
        assert!(!server.log().contains(SECRET));
    }
    fs::write(home.path().join("gatelodge.yaml"), "auth:\n  jwt_secret_file: secret\n")
        .expect("a file");
    let server = Server::start(home.path(), &[]);
    assert_eq!(me(&server, &token), 200);
}

#[test]
fn a_changed_master_secret_ends_all_tokens() {
    let home = folder();
    let server = Server::start(home.path(), &[("SECRET_KEY", SECRET)]);
    let token = first_account(&server);
    assert_eq!(me(&server, &token), 200);
    server.terminate();
    let server = Server::start(home.path(), &[("SECRET_KEY", OTHER)]);
    assert_eq!(me(&server, &token), 401);
    assert_eq!(login(&server, "ann", PASSWORD).status, 200, "the password holds");
}

#[test]
fn a_generated_master_secret_is_kept_over_a_restart() {
    let home = folder();
    let server = Server::start(home.path(), &[]);
    let token = first_account(&server);
    server.terminate();
    let server = Server::start(home.path(), &[]);
    assert_eq!(me(&server, &token), 200);
}

#[test]
fn a_master_key_file_is_made_for_the_owner_alone_and_is_what_counts() {
    let home = with_file("auth:\n  master_key_file: master.key\n");
    let key = home.path().join("master.key");
    let server = Server::start(home.path(), &[]);
    let token = first_account(&server);
    let mode = fs::metadata(&key).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = fs::read_to_string(&key).expect("text");
    assert!(secret.trim_end().len() >= 32, "it is long enough");
    assert!(!server.log().contains(secret.trim_end()));
    server.terminate();
    let database = rusqlite::Connection::open(home.path().join("gatelodge.db")).expect("ours");
    let kept: i64 = database
        .query_row("SELECT count(*) FROM meta WHERE value = ?1", [secret.trim_end()], |row| {
            row.get(0)
        })
        .expect("a count");
    assert_eq!(kept, 0, "the secret stands in its file alone");

    let server = Server::start(home.path(), &[]);
    assert_eq!(me(&server, &token), 200, "the file is used again");
    server.terminate();
    fs::write(&key, OTHER).expect("a file");
    let server = Server::start(home.path(), &[]);
    assert_eq!(me(&server, &token), 401, "another file, another secret");
    server.terminate();
    fs::write(&key, "short").expect("a file");
    let output = gatelodge().current_dir(home.path()).output().expect("an end");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), err.lines().count()), (Some(2), 1), "{err}");
    assert!(err.contains("auth.master_key_file") && err.contains("fewer than 32 bytes"), "{err}");
}

#[test]
fn a_dialect_that_is_switched_off_has_no_routes() {
    let home = with_file("dialects:\n  native: false\n");
    let server = Server::start(home.path(), &[]);
    for (method, path) in [
        ("GET", "/api/v1/setup/status"),
        ("POST", "/api/v1/auth/login"),
        ("GET", "/api/v1/user"),
        ("GET", "/api/v1/nowhere"),
    ] {
        let answer = server.json(method, path, "", &json!({}));
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
    }
    assert_eq!(server.json("GET", "/health", "", &Value::Null).status, 200);
    let home = with_file("dialects:\n  pair: false\n");
    let server = Server::start(home.path(), &[]);
    assert_eq!(server.json("GET", "/api/v1/setup/status", "", &Value::Null).status, 200);
    assert_eq!(server.json("GET", "/api/health", "", &Value::Null).status, 404);
    assert_eq!(server.json("GET", "/health", "", &Value::Null).status, 200, "for supervisors");
}
