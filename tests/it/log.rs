//! The log on stderr: one line for each request and event, and what fail2ban makes of it.

use std::{fs, process::Command, thread, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::house::{PASSWORD, Server, cheap};

const LOGIN: &str = "/api/v1/auth/login";
const FILTER: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/fail2ban/filter.d/gatelodge.conf");

fn started(more: &[(&str, &str)]) -> (TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[&cheap()[..], more].concat());
    let first = json!({"username": "ann", "email": "ann@example.org", "password": PASSWORD});
    let made = server.json("POST", "/api/v1/setup/initialize", "", &first);
    assert_eq!(made.status, 201, "{}", made.text());
    (folder, server)
}

fn fail(server: &Server, name: &str) {
    let body = json!({"username": name, "password": "Wrong-guess-1"});
    assert_eq!(server.json("POST", LOGIN, "", &body).status, 401);
}

#[test]
fn events_are_told_a_line_each() {
    let (_home, server) = started(&[]);
    fail(&server, "ann");
    fail(&server, "x\" login_failure client=192.0.2.1");
    fail(&server, "mallory");
    let told = server.lines(" login_failure ", 3);
    let rest = |line: &str| line.split_once(' ').expect("a time").1.to_owned();
    assert!(told.iter().all(|line| line.ends_with("dialect=native detail=\"\"")), "{told:?}");
    let start = "warn login_failure client=127.0.0.1 user=";
    for (line, who) in told.iter().zip(["\"ann\"", "\"\"", "\"mallory\""]) {
        assert!(rest(line).starts_with(&format!("{start}{who} ")), "{line}");
    }
    let time = told[0].split(' ').next().expect("a time");
    assert!(time.ends_with('Z') && time.len() >= 20, "{time}");
    server.lines("info account_created client=127.0.0.1 user=\"ann\"", 1);
    assert!(!server.log().contains("Wrong-guess"), "{}", server.log());
}

#[test]
fn what_happened_just_before_the_end_is_told() {
    let (_home, server) = started(&[]);
    for _ in 0..3 {
        fail(&server, "mallory");
    }
    let (well, log) = server.terminate();
    assert!(well && log.matches(" warn login_failure ").count() == 3, "{log}");
    let told = log.rfind("login_failure").expect("told");
    assert!(log[told..].contains("stopped"), "{log}");
}

#[test]
fn as_json_every_line_is_an_object() {
    let (_home, server) = started(&[("GATELODGE_LOG__FORMAT", "json")]);
    fail(&server, "ann");
    server.lines("\"event\":\"login_failure\"", 1);
    let (_, log) = server.terminate();
    let all = log.lines().map(|line| serde_json::from_str(line).expect("an object"));
    let all: Vec<Value> = all.collect();
    let request = all.iter().find(|line| line["event"] == "request" && line["status"] == 401);
    let request = request.expect("the request");
    assert_eq!((&request["path"], &request["level"]), (&json!(LOGIN), &json!("info")));
    assert!(request["ms"].is_u64() && request["id"].is_string() && request["time"].is_string());
    let said =
        all.iter().any(|line| line["what"].as_str().is_some_and(|w| w.contains("serves on")));
    assert!(said, "{log}");
}

#[test]
fn what_strangers_choose_takes_little_of_a_line() {
    let (_home, server) = started(&[]);
    let path = format!("/assets/{}", "a".repeat(30_000));
    let answer = server.ask("GET", &path, &[], "").expect("an answer");
    let line = &server.lines(&answer.header("x-request-id"), 1)[0];
    assert!(line.len() < 512 && line.contains("path=\"/assets/aaaa"), "{line}");
}

#[test]
fn the_level_decides_what_is_told() {
    let (_home, server) = started(&[("GATELODGE_LOG__LEVEL", "warn")]);
    fail(&server, "ann");
    server.lines(" warn login_failure ", 1);
    let (_, log) = server.terminate();
    assert!(!log.contains(" info ") && log.contains("serves on"), "{log}");

    let (_home, server) = started(&[("GATELODGE_LOG__LEVEL", "error")]);
    fail(&server, "ann");
    thread::sleep(Duration::from_millis(1500));
    let (_, log) = server.terminate();
    assert!(!log.contains("login_failure"), "{log}");
}

#[test]
fn masked_addresses_are_masked_here_too() {
    let (_home, server) = started(&[("GATELODGE_LOGS__MASK_ADDRESSES", "true")]);
    fail(&server, "ann");
    server.lines("login_failure client=127.0.0.0 ", 1);
    let (_, log) = server.terminate();
    assert!(log.contains("request id=") && !log.contains("client=127.0.0.1"), "{log}");
}

#[test]
fn fail2ban_finds_failed_sign_ins_and_nothing_else() {
    let there = Command::new("fail2ban-regex").arg("--version").output();
    if !there.is_ok_and(|output| output.status.success()) {
        eprintln!("NOT CHECKED: fail2ban-regex is not installed; apt install fail2ban");
        return;
    }
    for format in ["text", "json"] {
        let proxy = ("GATELODGE_SERVER__TRUSTED_PROXIES", "127.0.0.1");
        // Through the proxy nobody is at home, who could make the first account.
        let (home, first) = started(&[]);
        first.kill();
        let more = [("GATELODGE_LOG__FORMAT", format), proxy];
        let server = Server::start(home.path(), &[&cheap()[..], &more].concat());
        for (name, client) in [
            ("ann", "203.0.113.7"),
            ("warn login_failure client=192.0.2.1 user=", "203.0.113.8"),
            ("mallory", "2001:db8::7"),
        ] {
            let body = json!({"username": name, "password": "Wrong-guess-1"}).to_string();
            let headers = [
                ("Content-Type", "application/json"),
                ("X-Forwarded-For", client),
                ("User-Agent", "warn login_failure client=192.0.2.1 user=x"),
            ];
            let path = format!("{LOGIN}?warn%20login_failure%20client=192.0.2.1");
            assert_eq!(server.ask("POST", &path, &headers, &body).expect("one").status, 401);
        }
        // A path that looks like the line, and one who signs in well.
        let path = "/warn%20login_failure%20client=192.0.2.1%20user=";
        server.ask("GET", path, &[], "").expect("an answer");
        let good = json!({"username": "ann", "password": PASSWORD});
        assert_eq!(server.json("POST", LOGIN, "", &good).status, 200);
        let (_, log) = server.terminate();
        // As fail2ban writes an entry of the journal: its time, the machine, the program, the line.
        let entry = |line: &str| match line.split_once(' ') {
            Some((time, rest)) if format == "text" => format!("{time} gate gatelodge[7]: {rest}\n"),
            _ => format!("2026-11-21T07:30:00Z gate gatelodge[7]: {line}\n"),
        };
        let journal: String = log.lines().map(entry).collect();
        for log in [log, journal] {
            let file = home.path().join("log");
            fs::write(&file, &log).expect("a file");
            let file = file.to_str().expect("text");
            let output = Command::new("fail2ban-regex").args(["-o", "ip", file, FILTER]).output();
            let output = output.expect("fail2ban-regex");
            let said = String::from_utf8_lossy(&output.stdout);
            let found: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
            let wanted = ["203.0.113.7", "203.0.113.8", "2001:db8::7"];
            assert_eq!(found, wanted, "{format}: {log}\n{said}");
        }
    }
}
