//! `gatelodge doctor`: what it finds, against each fault that can be made here.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    house::Server,
    program::{Ran, folder, obeying, program, ran, run},
    smtp_server::{Nature, SmtpServer},
};

/// Of a command that found nothing bad.
fn checks(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out)
        .unwrap_or_else(|error| panic!("{error}: {} {}", ran.out, ran.err))
}

fn of<'a>(all: &'a Value, name: &str) -> &'a Value {
    let rows = all.as_array().expect("an array");
    rows.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {all}"))
}

/// One check: how it is, what it found, what to do.
fn check(folder: &Path, environment: &[(&str, &str)], name: &str) -> (String, String, String) {
    let mut command = program(folder);
    // Nobody else's server is asked.
    command.env("GATELODGE_SERVER__LISTEN", "127.0.0.1:1");
    command.envs(environment.iter().copied()).args(["doctor", "--json"]);
    let ran = ran(command, "");
    let all = checks(&ran);
    let bad = all.as_array().expect("an array").iter().any(|one| one["state"] == "bad");
    assert_eq!(ran.code, i32::from(bad), "{all}");
    let one = of(&all, name);
    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("found"), text("advice"))
}

/// A folder of mode 0700 with a database in it.
fn lived_in() -> TempDir {
    let home = folder();
    set_mode(home.path(), 0o700);
    run(home.path(), &["user", "add", "ann", "--generate"]).succeeded();
    home
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn a_sound_house_is_told_of_in_text_and_json() {
    let home = lived_in();
    let server = Server::start(home.path(), &[]);
    let doctor = |arguments: &[&str]| {
        let mut command = program(home.path());
        command.env("GATELODGE_SERVER__LISTEN", server.address.to_string());
        command.arg("doctor").args(arguments);
        ran(command, "")
    };
    let told = doctor(&["--json"]);
    let all = checks(&told);
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{all}");
    let names: Vec<_> = all.as_array().expect("checks").iter().map(|one| &one["name"]).collect();
    let known = [
        "folder",
        "database",
        "file system",
        "disk",
        "clock",
        "passwords",
        "tls",
        "public_url",
        "proxies",
        "mail",
        "server",
    ];
    assert_eq!(names, known);
    for name in ["folder", "database", "mail", "server", "proxies"] {
        assert_eq!(
            (&of(&all, name)["state"], &of(&all, name)["advice"]),
            (&json!("ok"), &json!(null))
        );
    }
    let found = |name: &str| of(&all, name)["found"].as_str().unwrap_or_default().to_owned();
    assert!(found("database").starts_with("sound, schema "), "{all}");
    assert!(found("server").ends_with(&server.address.to_string()), "{all}");
    let lanes = found("passwords");
    assert!(lanes.contains(" ms and 0.1 MiB; ") && lanes.contains(" MiB in all"), "{lanes}");

    let out = doctor(&[]).succeeded();
    for name in known {
        assert!(out.lines().any(|line| line[6..].starts_with(name)), "{name}: {out}");
    }
    assert!(out.lines().last().is_some_and(|line| line.starts_with("It works; ")), "{out}");
    let left: Vec<_> = fs::read_dir(home.path()).expect("a folder").flatten().collect();
    assert!(left.iter().all(|one| !one.file_name().to_string_lossy().contains("doctor")));
}

#[test]
fn a_folder_that_others_see_is_told_of() {
    let home = lived_in();
    set_mode(home.path(), 0o755);
    let (state, found, advice) = check(home.path(), &[], "folder");
    assert_eq!(state, "look");
    assert!(found.contains("can look into") && found.ends_with("(mode 755)"), "{found}");
    assert!(advice.starts_with("chmod 700 "), "{advice}");
    set_mode(home.path(), 0o777);
    let (state, found, _) = check(home.path(), &[], "folder");
    assert!(state == "bad" && found.contains("can put files into"), "{found}");
    set_mode(home.path(), 0o700);
    set_mode(&home.path().join("gatelodge.db"), 0o644);
    let (state, found, advice) = check(home.path(), &[], "folder");
    assert!(state == "bad" && found.contains("gatelodge.db (mode 644)"), "{found}");
    assert!(advice.starts_with("chmod 600 ") && advice.ends_with("gatelodge.db*"), "{advice}");
    assert!(Command::new("sh").arg("-c").arg(advice).status().expect("a shell").success());
    assert_eq!(check(home.path(), &[], "folder").0, "ok");
}

#[test]
fn a_folder_that_is_not_there_or_not_ours_is_told_of() {
    let home = folder();
    let (state, found, _) = check(home.path(), &[("GATELODGE_DATA_DIR", "absent/data")], "folder");
    assert!(state == "look" && found.ends_with("absent/data does not exist yet"), "{found}");
    assert!(!home.path().join("absent").exists(), "nothing is made");
    fs::write(home.path().join("file"), "").expect("a file");
    let (state, found, _) = check(home.path(), &[("GATELODGE_DATA_DIR", "file")], "folder");
    assert!(state == "bad" && found.ends_with("file is no folder"), "{found}");

    set_mode(home.path(), 0o500);
    let mut command = obeying(home.path());
    command.args(["doctor", "--json"]);
    let told = ran(command, "");
    set_mode(home.path(), 0o700);
    let all = checks(&told);
    let found = of(&all, "folder")["found"].as_str().expect("a text");
    assert!(told.code == 1 && found.contains("cannot be written: Permission denied"), "{all}");
    assert!(told.err.starts_with("gatelodge: 1 of 11 checks"), "{}", told.err);
}

#[test]
fn a_database_that_is_not_sound_is_told_of_and_left_alone() {
    let home = folder();
    let database = home.path().join("gatelodge.db");
    assert_eq!(check(home.path(), &[], "database").1, "none yet; the first start makes it");
    assert!(!database.exists(), "nothing is made");

    run(home.path(), &["user", "add", "ann", "--generate"]).succeeded();
    let set = |sql: &str| {
        let database = rusqlite::Connection::open(&database).expect("ours");
        database.execute_batch(sql).expect("a pragma");
    };
    set("PRAGMA user_version = 999");
    let (state, found, _) = check(home.path(), &[], "database");
    assert!(state == "bad" && found.starts_with("the database has schema 999"), "{found}");
    set("PRAGMA user_version = 6");
    let (state, found, _) = check(home.path(), &[], "database");
    assert!(state == "look" && found.contains("schema 6"), "{found}");
    set("PRAGMA user_version = 7; PRAGMA application_id = 1");
    let (state, found, _) = check(home.path(), &[], "database");
    assert!(state == "bad" && found.contains("of another program"), "{found}");
    set("PRAGMA application_id = 0x474c6467; PRAGMA journal_mode = DELETE;
         PRAGMA foreign_keys = OFF;
         INSERT INTO identities (id, account_id, provider, issuer, subject, created_at)
         VALUES ('x', 'nobody', 'p', 'i', 's', 0)");
    let (state, found, _) = check(home.path(), &[], "database");
    assert!(state == "bad" && found.contains("1 rows refer to rows that are not there"), "{found}");

    let mut bytes = fs::read(&database).expect("a file");
    for byte in bytes.iter_mut().skip(4096 + 4).take(60_000) {
        *byte = 0xAA;
    }
    fs::write(&database, &bytes).expect("a file");
    let (state, found, advice) = check(home.path(), &[], "database");
    assert!(state == "bad" && found.starts_with("damaged: "), "{found}");
    assert!(advice.contains("put back the last good copy"), "{advice}");
    assert_eq!(fs::read(&database).expect("a file"), bytes, "it only looked");

    fs::write(&database, "something else entirely, and long enough").expect("a file");
    let (state, found, _) = check(home.path(), &[], "database");
    assert!(state == "bad" && found.contains("is not a SQLite database"), "{found}");
}

#[test]
fn a_disk_that_is_full_is_told_of() {
    let home = lived_in();
    // SAFETY: sets no handler. What is started from here inherits it and sees an error where a
    // file cannot grow, as it does on a full disk, and not the end.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let mut command = Command::new("prlimit");
    command.arg("--fsize=1024").arg(program(home.path()).get_program());
    command.current_dir(home.path()).args(["doctor", "--json"]);
    let told = ran(command, "");
    let all = checks(&told);
    let folder = of(&all, "folder");
    let found = folder["found"].as_str().expect("a text");
    assert!(told.code == 1 && folder["state"] == "bad", "{all}");
    assert!(found.contains("cannot be written: File too large"), "{found}");
}

#[test]
fn a_clock_that_went_back_is_told_of() {
    let home = lived_in();
    let file = fs::File::options().append(true).open(home.path().join("gatelodge.db"));
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800);
    file.expect("a file").set_modified(later).expect("a moment");
    let (state, found, _) = check(home.path(), &[], "clock");
    assert!(state == "bad" && found.ends_with("written at 2100-01-01 00:00 UTC"), "{found}");
}

#[test]
fn settings_that_do_not_fit_together_are_told_of() {
    let home = folder();
    const URL: &str = "GATELODGE_SERVER__PUBLIC_URL";
    const PROXIES: &str = "GATELODGE_SERVER__TRUSTED_PROXIES";
    assert_eq!(check(home.path(), &[], "public_url").0, "look");
    let (state, found, _) = check(home.path(), &[(URL, "http://gate.example.org")], "public_url");
    assert!(state == "look" && found.contains("is not encrypted"), "{found}");
    assert_eq!(check(home.path(), &[(URL, "http://nas.local:8080")], "public_url").0, "ok");
    let https = (URL, "https://gate.example.org");
    assert_eq!(check(home.path(), &[https], "public_url").0, "ok");
    let (state, found, advice) = check(home.path(), &[https], "proxies");
    assert!(state == "look" && found.contains("no proxy is named"), "{found}");
    assert!(advice.contains("server.trusted_proxies"), "{advice}");
    assert_eq!(check(home.path(), &[https, (PROXIES, "127.0.0.1")], "proxies").0, "ok");
    let (state, found, _) = check(home.path(), &[(PROXIES, "192.168.1.0/24")], "proxies");
    assert_eq!(state, "look");
    assert!(found.contains("PINs do not work for them"), "{found}");
    let (state, found, _) = check(home.path(), &[(PROXIES, "10.0.0.1, 0.0.0.0/0")], "proxies");
    assert!(state == "bad" && found.starts_with("0.0.0.0/0 in"), "{found}");
    let (state, found, _) = check(home.path(), &[], "passwords");
    assert!(state == "look" && found.ends_with("auth.allow_weak is on"), "{found}");
    let many =
        [("GATELODGE_AUTH__ARGON2_MEMORY_COST", "19456"), ("GATELODGE_AUTH__HASH_LANES", "3")];
    let (_, found, _) = check(home.path(), &many, "passwords");
    assert!(
        found.contains("19.0 MiB; 3 lanes: about ") && found.contains("57.0 MiB in all"),
        "{found}"
    );

    fs::write(home.path().join("gatelodge.yaml"), "pin:\n  refresh_day: 7\n").expect("a file");
    let told = run(home.path(), &["doctor"]);
    assert_eq!(told.code, 1, "{}", told.err);
    assert!(
        told.out.starts_with("bad   configuration gatelodge.yaml:2: pin.refresh_day"),
        "{}",
        told.out
    );
    assert_eq!(checks(&run(home.path(), &["doctor", "--json"]))[0]["state"], "bad");
    assert_eq!(run(home.path(), &["doctor", "--health"]).code, 1);
}

#[test]
fn the_mail_server_is_asked_and_gets_no_letter() {
    let home = folder();
    let login = Some(("gate", "Another-word-1"));
    let server = SmtpServer::start(Nature { offers: vec!["AUTH PLAIN"], login, ..Nature::plain() });
    let port = server.settings().port.to_string();
    let with = |password: &'static str, port: &str| {
        let environment = [
            ("GATELODGE_EMAIL__SMTP_HOST", "127.0.0.1"),
            ("GATELODGE_EMAIL__SMTP_PORT", port),
            ("GATELODGE_EMAIL__SMTP_FROM_EMAIL", "gate@example.org"),
            ("GATELODGE_EMAIL__SMTP_USERNAME", "gate"),
            ("GATELODGE_EMAIL__SMTP_PASSWORD", password),
        ];
        check(home.path(), &environment, "mail")
    };
    let (state, found, _) = with("Another-word-1", &port);
    assert!(state == "ok" && found.ends_with("would take letters"), "{found}");
    let (state, found, advice) = with("Post-horn-5", &port);
    assert!(state == "bad" && found.contains("refuses the sign-in: 535"), "{found}");
    assert!(advice.contains("email.smtp_password") && !found.contains("Post-horn"), "{advice}");
    assert!(
        server.letters().is_empty() && !server.heard().iter().any(|line| line.starts_with("MAIL"))
    );
    let (state, found, advice) = with("Another-word-1", "1");
    assert!(state == "bad" && found.contains("cannot be reached"), "{found}");
    assert!(advice.contains("email.smtp_port"), "{advice}");
}

fn health(folder: &Path, listen: &str) -> Ran {
    let mut command = program(folder);
    command.env("GATELODGE_SERVER__LISTEN", listen).args(["doctor", "--health"]);
    ran(command, "")
}

#[test]
fn a_container_can_ask_for_health() {
    let home = folder();
    let server = Server::start(home.path(), &[("GATELODGE_DIALECTS__PAIR", "false")]);
    let port = server.address.port();
    assert_eq!(health(home.path(), &server.address.to_string()).succeeded(), "healthy\n");
    assert_eq!(health(home.path(), &format!("0.0.0.0:{port}")).succeeded(), "healthy\n");
    let both = format!("127.0.0.1:1, 127.0.0.1:{port}");
    assert_eq!(health(home.path(), &both).succeeded(), "healthy\n");
    let (ended_well, _) = server.terminate();
    assert!(ended_well);
    // Somebody else's server may have the port of the old one by now.
    let line = health(home.path(), "127.0.0.1:1").refused();
    assert!(line.starts_with("not healthy: 127.0.0.1:1: no server"), "{line}");
}

#[test]
fn another_program_on_the_port_is_not_healthy() {
    let home = folder();
    for (answer, says) in [
        ("HTTP/1.1 200 OK\r\n\r\nhello", "is another program"),
        ("HTTP/1.1 503 No\r\n\r\n", "answers 503"),
        ("220 mail\r\n", "speaks no HTTP; another program listens there"),
        ("", "speaks no HTTP; another program listens there"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let stranger = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        });
        let line = health(home.path(), &address).refused();
        assert_eq!(line, format!("not healthy: {address} {says}"));
        stranger.join().expect("an end");
    }
}
