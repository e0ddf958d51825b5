//! The command line, alone and beside a running server.

use std::{io::Read, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use serde_json::{Value, json};

use super::{
    house::{PASSWORD, Server, gatelodge, text},
    program::{folder, generated, obeying, program, ran, run, run_with_input},
};

const VERSION: &str = concat!("gatelodge ", env!("CARGO_PKG_VERSION"));

fn listed(folder: &Path) -> Vec<Value> {
    let out = run(folder, &["user", "list", "--json"]).succeeded();
    serde_json::from_str::<Value>(&out)
        .expect("JSON and nothing else")
        .as_array()
        .cloned()
        .expect("an array")
}

fn sign_in(server: &Server, name: &str, password: &str) -> u16 {
    let body = json!({"username": name, "password": password});
    server.json("POST", "/api/v1/auth/login", "", &body).status
}

#[test]
fn the_first_account_is_admin_and_later_ones_are_readers() {
    let home = folder();
    let out = run(home.path(), &["user", "add", "ann", "--generate"]).succeeded();
    assert!(out.starts_with("ann is added, with the role admin.\n"), "{out}");
    let out = run(home.path(), &["user", "add", "bob", "--generate"]).succeeded();
    assert!(out.starts_with("bob is added, with the role reader.\n"), "{out}");
    let arguments = ["user", "add", "cyd", "--generate", "--role", "maintainer"];
    let out = run(home.path(), &arguments).succeeded();
    assert!(out.starts_with("cyd is added, with the role maintainer.\n"), "{out}");
    let roles: Vec<_> = listed(home.path()).iter().map(|one| text(&one["role"])).collect();
    assert_eq!(roles, ["admin", "reader", "maintainer"]);
}

#[test]
fn the_first_account_is_admin_whatever_role_was_wished() {
    let home = folder();
    let arguments = ["user", "add", "ann", "--generate", "--role", "reader"];
    let out = run(home.path(), &arguments).succeeded();
    assert!(out.contains("the role admin") && out.contains("so they are the admin"), "{out}");
    assert_eq!(listed(home.path())[0]["role"], "admin");
}

#[test]
fn a_generated_password_is_printed_once_and_signs_in() {
    let home = folder();
    let out = run(home.path(), &["user", "add", "ann", "--generate"]).succeeded();
    let password = generated(&out);
    assert!(password.len() >= 16, "{password}");
    assert_eq!(out.matches(&password).count(), 1, "{out}");
    let server = Server::start(home.path(), &[]);
    assert_eq!(sign_in(&server, "ann", &password), 200);
    assert_eq!(sign_in(&server, "ann", "another-Password-1"), 401);
}

#[test]
fn a_password_and_a_pin_are_read_from_standard_input_and_never_shown() {
    let home = folder();
    let arguments = ["user", "add", "ann", "--email", "Ann@Example.org", "--password-stdin"];
    let out = run_with_input(home.path(), &arguments, &format!("{PASSWORD}\n")).succeeded();
    assert!(!out.contains(PASSWORD), "{out}");
    let arguments = ["user", "add", "bob", "--password-stdin", "--pin-stdin"];
    let out = run_with_input(home.path(), &arguments, &format!("{PASSWORD}\n48151623\n"));
    let out = out.succeeded();
    assert!(!out.contains(PASSWORD) && !out.contains("48151623"), "{out}");
    let out = run_with_input(home.path(), &["user", "add", "cyd", "--pin-stdin"], "48151623");
    assert!(!out.succeeded().contains("48151623"));

    let accounts = listed(home.path());
    let facts: Vec<_> = accounts
        .iter()
        .map(|one| (text(&one["username"]), one["has_password"] == true, one["has_pin"] == true))
        .collect();
    let named = |name: &str, password, pin| (name.to_owned(), password, pin);
    assert_eq!(
        facts,
        [named("ann", true, false), named("bob", true, true), named("cyd", false, true)]
    );
    assert_eq!(accounts[0]["email"], "ann@example.org");

    let server = Server::start(home.path(), &[]);
    assert_eq!(sign_in(&server, "ann@example.org", PASSWORD), 200);
    assert_eq!(sign_in(&server, "bob", PASSWORD), 200);
    let by_pin = json!({"username": "cyd", "pin": "48151623"});
    assert_eq!(server.json("POST", "/api/v1/auth/session", "", &by_pin).status, 200);
}

#[test]
fn an_account_that_cannot_be_made_is_refused_with_one_line_and_code_1() {
    let home = folder();
    let add = |arguments: &[&str], input: &str| {
        let arguments = [&["user", "add"], arguments].concat();
        run_with_input(home.path(), &arguments, input)
    };
    add(&["ann", "--generate", "--email", "ann@example.org"], "").succeeded();
    for (arguments, input, says) in [
        (&["bob"][..], "", "say how they sign in: --generate, --password-stdin or --pin-stdin"),
        (&["a b", "--generate"], "", "username "),
        (&["a:b", "--generate"], "", "username "),
        (&[".bob", "--generate"], "", "username "),
        (&["api", "--generate"], "", "username "),
        (&["", "--generate"], "", "username "),
        (&["ANN", "--generate"], "", "username is already in use"),
        (&["bob", "--generate", "--email", "ANN@example.org"], "", "email is already in use"),
        (&["bob", "--generate", "--email", "nowhere"], "", "email "),
        (&["bob", "--generate", "--role", "king"], "", "role names something that does not exist"),
        (&["bob", "--password-stdin"], "short\n", "password must have at least 8 characters"),
        (&["bob", "--password-stdin"], "password123\n", "password is among the most common"),
        (&["bob", "--password-stdin"], "", "standard input has too few lines"),
        (&["bob", "--password-stdin", "--pin-stdin"], "Walnut-tree-7\n", "standard input has too"),
        (&["bob", "--pin-stdin"], "12a4\n", "pin "),
        (&["bob", "--pin-stdin"], "123\n", "pin "),
    ] {
        let line = add(arguments, input).refused();
        assert!(line.starts_with(says), "{arguments:?}: {line}");
        assert!(input.trim().is_empty() || !line.contains(input.trim()), "{line}");
    }
    assert_eq!(listed(home.path()).len(), 1, "no refused account was made");
}

#[test]
fn the_list_names_everybody_and_shows_no_secret() {
    let home = folder();
    let out = run(home.path(), &["user", "list"]).succeeded();
    assert!(out.starts_with("No accounts yet."), "{out}");
    assert_eq!(listed(home.path()), Vec::<Value>::new());

    let arguments = ["user", "add", "ann", "--email", "ann@example.org", "--generate"];
    let password = generated(&run(home.path(), &arguments).succeeded());
    run(home.path(), &["user", "add", "bob", "--generate"]).succeeded();
    let out = run(home.path(), &["user", "list"]).succeeded();
    let words: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["ann", "admin", "active", "ann@example.org"]);
    assert_eq!(words[1], ["bob", "reader", "active", "-"]);
    assert_eq!(words.len(), 2);

    let json = run(home.path(), &["user", "list", "--json"]).succeeded();
    for secret in [password.as_str(), "$argon2", "epoch"] {
        assert!(!out.contains(secret) && !json.contains(secret), "{secret}");
    }
    let accounts = listed(home.path());
    assert_eq!((&accounts[0]["username"], &accounts[1]["email"]), (&json!("ann"), &json!(null)));
    assert_eq!(accounts[0]["last_login_at"], json!(null));
}

#[test]
fn the_list_goes_on_beyond_one_page() {
    let home = folder();
    run(home.path(), &["user", "list"]).succeeded();
    let database = rusqlite::Connection::open(home.path().join("gatelodge.db")).expect("ours");
    database
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450)
             INSERT INTO accounts (id, username, username_key, display_name, role, status,
                 email_verified, epoch, created_at, updated_at)
             SELECT printf('00000000-0000-4000-8000-%012d', i), 'user' || i, 'user' || i, '',
                 'reader', 'active', 1, 'e', 0, 0 FROM n",
        )
        .expect("rows");
    let mut names: Vec<_> =
        listed(home.path()).iter().map(|account| text(&account["username"])).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 450);
}

#[test]
fn the_document_is_printed_and_is_the_committed_one() {
    let home = folder();
    let committed = include_str!("../../openapi/native.json");
    assert_eq!(run(home.path(), &["openapi"]).succeeded(), committed);
    assert_eq!(run(home.path(), &["openapi", "--dialect", "native"]).succeeded(), committed);
    let line = run(home.path(), &["openapi", "--dialect", "latin"]).refused();
    assert!(line.starts_with("no document \"latin\"; there are: native"), "{line}");
    let out = run(home.path(), &["openapi", "--write"]).succeeded();
    assert!(out.contains("openapi/native.json written\n"), "{out}");
    let written = std::fs::read_to_string(home.path().join("openapi/native.json"));
    assert_eq!(written.expect("a file"), committed);
    assert!(!home.path().join("gatelodge.db").exists(), "documents need no database");
}

#[test]
fn a_reader_of_the_output_may_leave_early() {
    let home = folder();
    let mut child = gatelodge()
        .current_dir(home.path())
        .arg("openapi")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut first = [0; 1];
    let mut stdout = child.stdout.take().expect("its output");
    stdout.read_exact(&mut first).expect("a byte");
    drop(stdout);
    let output = child.wait_with_output().expect("an end");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_told_of() {
    let home = folder();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let output = gatelodge()
        .current_dir(home.path())
        .args(["user", "list"])
        .stdout(full)
        .output()
        .expect("an end");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.starts_with("gatelodge: standard output: ") && err.lines().count() == 1, "{err}");
}

#[test]
fn the_configuration_file_is_named_before_or_after_the_command() {
    let home = folder();
    let (here, there) = (home.path().join("here"), home.path().join("there"));
    std::fs::create_dir(&here).expect("a folder");
    let file = home.path().join("other.yaml");
    std::fs::write(&file, "data_dir: there\n").expect("a file");
    let file = file.to_str().expect("text");
    run(&here, &["--config", file, "user", "add", "ann", "--generate"]).succeeded();
    run(&here, &["user", "--config", file, "add", "bob", "--generate"]).succeeded();
    run(&here, &["user", "add", "cyd", "--generate", "--config", file]).succeeded();
    let out = run(&here, &["user", "list", "--config", file]).succeeded();
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(there.join("gatelodge.db").exists() && !here.join("gatelodge.db").exists());
}

#[test]
fn the_version_and_the_help_are_printed() {
    let home = folder();
    let version = run(home.path(), &["--version"]).succeeded();
    let rest = version.strip_prefix(VERSION).unwrap_or_else(|| panic!("{version}"));
    let (arch, sqlite) = (std::env::consts::ARCH, rusqlite::version());
    let target = format!(", {arch}-linux-gnu, SQLite {sqlite})\n");
    assert!(rest.starts_with(" (commit ") && rest.ends_with(&target), "{version}");
    let help = run(home.path(), &["--help"]).succeeded();
    for word in ["serve", "user", "openapi", "--config"] {
        assert!(help.contains(word), "{help}");
    }
    assert_eq!(std::fs::read_dir(home.path()).expect("a folder").count(), 0, "nothing is made");
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_code_2() {
    let home = folder();
    for arguments in [
        &["frobnicate"][..],
        &["user"],
        &["user", "add"],
        &["user", "add", "ann", "--generate", "--password-stdin"],
        &["user", "list", "--xml"],
        &["--config"],
    ] {
        let ran = run(home.path(), arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}: {}", ran.err);
    }
    let ran = run(home.path(), &["user", "list", "--config", "absent.yaml"]);
    assert_eq!((ran.code, ran.err.lines().count()), (2, 1), "{}", ran.err);
    assert!(ran.err.starts_with("gatelodge: absent.yaml: cannot be read"), "{}", ran.err);
}

#[test]
fn without_a_command_it_serves_and_with_the_command_too() {
    let home = folder();
    // `Server` gives no command.
    let server = Server::start(home.path(), &[]);
    let second = gatelodge()
        .current_dir(home.path())
        .env("GATELODGE_SERVER__LISTEN", "127.0.0.1:0")
        .arg("serve")
        .output()
        .expect("an end");
    let err = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{err}");
    assert!(err.contains("another gatelodge already serves"), "{err}");
    let (ended_well, log) = server.terminate();
    assert!(ended_well && log.ends_with("stopped\n"), "{log}");
}

#[test]
fn a_running_server_sees_what_the_command_line_changed() {
    let home = folder();
    let server = Server::start(home.path(), &[]);
    let status = || {
        let answer = server.json("GET", "/api/v1/setup/status", "", &json!(null));
        answer.json()["setup_required"].clone()
    };
    assert_eq!(status(), true);
    let arguments = ["user", "add", "ann", "--generate"];
    let password = generated(&run(home.path(), &arguments).succeeded());
    assert_eq!(status(), false);
    let body = json!({"username": "eve", "email": "eve@example.org", "password": PASSWORD});
    let late = server.json("POST", "/api/v1/setup/initialize", "", &body);
    late.problem(409, "conflict");
    assert_eq!(sign_in(&server, "ann", &password), 200);
    run_with_input(home.path(), &["user", "add", "bob", "--password-stdin"], PASSWORD).succeeded();
    assert_eq!(sign_in(&server, "bob", PASSWORD), 200);
}

#[test]
fn a_running_server_notices_that_another_process_ended_a_session() {
    let home = folder();
    run_with_input(home.path(), &["user", "add", "ann", "--password-stdin"], PASSWORD).succeeded();
    let server = Server::start(home.path(), &[]);
    let body = json!({"username": "ann", "password": PASSWORD});
    let token = text(&server.json("POST", "/api/v1/auth/login", "", &body).json()["token"]);
    let me = || server.json("GET", "/api/v1/user", &token, &json!(null)).status;
    assert_eq!(me(), 200);
    let database = rusqlite::Connection::open(home.path().join("gatelodge.db")).expect("ours");
    database.execute("UPDATE sessions SET ended_at = created_at", []).expect("a row");
    let ended = (0..2400).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(25));
        me() == 401
    });
    assert!(ended, "the session lives on");
}

/// One command of each kind that opens the database.
const OPENING: &[&[&str]] = &[
    &["user", "list", "--json"],
    &["user", "show", "ann"],
    &["user", "disable", "ann"],
    &["user", "delete", "ann"],
    &["key", "create", "--user", "ann", "--name", "k"],
    &["key", "list"],
    &["invite", "create"],
    &["invite", "list", "--json"],
];

#[test]
fn a_database_that_is_not_for_this_version_is_left_alone() {
    let home = folder();
    run(home.path(), &["user", "add", "ann", "--generate"]).succeeded();
    let path = home.path().join("gatelodge.db");
    let set = |sql: &str| {
        let database = rusqlite::Connection::open(&path).expect("ours");
        database.execute_batch(sql).expect("a pragma");
    };
    let refused = |says: &str| {
        for arguments in OPENING {
            let line = run(home.path(), arguments).in_trouble();
            assert!(line.contains(says), "{arguments:?}: {line}");
        }
    };
    set("PRAGMA user_version = 999");
    refused("the database has schema 999, this version knows");
    set("PRAGMA user_version = 7; PRAGMA application_id = 1");
    refused("is a database of another program");
    std::fs::write(&path, "not a database, but long enough to look like one").expect("a file");
    refused("is not a SQLite database");
}

#[test]
fn no_command_panics_when_nobody_reads_what_it_says() {
    let home = folder();
    run(home.path(), &["user", "add", "ann", "--generate"]).succeeded();
    for arguments in OPENING {
        let (read, write) = std::io::pipe().expect("a pipe");
        drop(read);
        let mut command = program(home.path());
        let output = command.args(*arguments).stdout(write).output().expect("an end");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| code < 2), "{arguments:?}: {err}");
        assert!(!err.contains("panic"), "{arguments:?}: {err}");
    }
}

#[test]
fn a_folder_that_must_not_be_written_and_a_full_disk_are_told_of() {
    // SAFETY: sets no handler. What is started from here inherits it and sees an error where a
    // file cannot grow, as it does on a full disk, and not the end.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let home = folder();
    run(home.path(), &["user", "add", "ann", "--generate"]).succeeded();
    run(home.path(), &["user", "add", "bob", "--generate"]).succeeded();
    // Whoever leaves last takes the log and its index along: with them the folder need not be written
    // for everything.
    let database = rusqlite::Connection::open(home.path().join("gatelodge.db")).expect("ours");
    database.query_row("SELECT count(*) FROM accounts", [], |_| Ok(())).expect("read");
    drop(database);
    let set_mode = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(home.path(), mode).expect("a mode");
    };
    const WRITING: [&[&str]; 3] =
        [&["user", "disable", "bob"], &["user", "delete", "bob"], &["invite", "create"]];
    for arguments in WRITING {
        set_mode(0o500);
        let mut command = obeying(home.path());
        command.args(arguments);
        let told = ran(command, "");
        set_mode(0o700);
        let line = told.in_trouble();
        assert!(line.contains("the data folder must be writable"), "{arguments:?}: {line}");
    }
    for arguments in WRITING {
        let usual = program(home.path());
        let mut command = std::process::Command::new("prlimit");
        command.arg("--fsize=4096").arg(usual.get_program()).args(arguments);
        let environment = usual.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.current_dir(home.path()).envs(environment);
        let told = ran(command, "");
        assert!(told.code == 2 && told.out.is_empty(), "{arguments:?}: {}", told.err);
        assert_eq!(told.err.lines().count(), 1, "{}", told.err);
    }
    let statuses: Vec<_> = listed(home.path()).iter().map(|one| text(&one["status"])).collect();
    assert_eq!(statuses, ["active", "active"], "nothing was changed");
    assert_eq!(run(home.path(), &["invite", "list", "--json"]).json(), json!([]));
}
