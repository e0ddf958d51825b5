//! `gatelodge config`: what would be read, from where, with secrets masked.

use std::fs;

use serde_json::{Value, json};

use super::program::{Ran, folder, program, ran, run};

const SECRET: &str = "a-secret-for-tests-of-the-configuration-0001";

fn of<'a>(all: &'a Value, key: &str) -> &'a Value {
    let rows = all.as_array().expect("an array");
    rows.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("no {key}"))
}

fn with(folder: &std::path::Path, environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = program(folder);
    command.envs(environment.iter().copied()).args(arguments);
    ran(command, "")
}

#[test]
fn each_setting_is_shown_with_its_value_and_where_that_comes_from() {
    let home = folder();
    fs::write(home.path().join("mail password"), "Post-horn-5\n").expect("a file");
    let yaml = "server:\n  public_url: https://gate.example.org\nemail:\n  smtp_host: \
                mail.example.org\n  smtp_from_email: gate@example.org\n  smtp_username: gate\n  \
                smtp_password_file: mail password\npin:\n  refresh_days: 7\nsso:\n  providers:\n    \
                home:\n      issuer_url: https://id.example.org\n      client_id: gate\n      \
                client_secret_file: key\n";
    fs::write(home.path().join("gatelodge.yaml"), yaml).expect("a file");
    fs::write(home.path().join("key"), SECRET).expect("a file");
    let environment = [("SECRET_KEY_FILE", "key"), ("GATELODGE_PIN__ACCESS_SECONDS", "90")];
    let all = with(home.path(), &environment, &["config", "show", "--json"]).json();
    let row = |key: &str| {
        let one = of(&all, key);
        (one["value"].clone(), one["origin"].clone(), one["masked"] == true)
    };
    let shown = |value: &str, origin: &str| (json!(value), json!(origin), false);
    assert_eq!(row("server.public_url"), shown("https://gate.example.org", "gatelodge.yaml:2"));
    assert_eq!(row("pin.refresh_days"), shown("7", "gatelodge.yaml:9"));
    let variable = "environment GATELODGE_PIN__ACCESS_SECONDS";
    assert_eq!(row("pin.access_seconds"), shown("90", variable));
    assert_eq!(row("registration.mode"), shown("closed", "default"));
    assert_eq!(row("updates.feed_url").0, Value::Null);
    let (value, origin, masked) = row("email.smtp_password");
    assert_eq!(origin, "gatelodge.yaml:7, secret file mail password");
    assert!(masked && value.is_string(), "{value}");
    let (_, origin, masked) = row("auth.jwt_secret");
    assert_eq!((origin, masked), (json!("environment SECRET_KEY_FILE, secret file key"), true));

    let secret = "sso.providers.home.client_secret";
    assert_eq!(row("sso.providers.home.client_id"), shown("gate", "gatelodge.yaml:14"));
    assert_eq!(row("sso.providers.home.email_claim"), shown("email", "default"));
    let (value, origin, masked) = row(secret);
    assert_eq!(origin, "gatelodge.yaml:15, secret file key");
    assert!(masked && value.is_string(), "{value}");

    let out = with(home.path(), &environment, &["config", "show"]).succeeded();
    assert_eq!(out.lines().count(), all.as_array().map_or(0, Vec::len), "a line each");
    let line = out.lines().find(|line| line.starts_with("server.public_url ")).expect("a line");
    assert!(line.ends_with("  https://gate.example.org  [gatelodge.yaml:2]"), "{line}");
    let out = out + &all.to_string();
    assert!(!out.contains("Post-horn") && !out.contains(SECRET), "{out}");
    assert!(!home.path().join("gatelodge.db").exists(), "nothing is made");
}

#[test]
fn a_configuration_is_checked_without_starting_anything() {
    let home = folder();
    let out = run(home.path(), &["config", "check"]).succeeded();
    assert!(
        out.starts_with("The configuration is right: 0 settings from the file, 4 from"),
        "{out}"
    );
    fs::write(home.path().join("gatelodge.yaml"), "pin:\n  refresh_days: 7\n").expect("a file");
    let out = run(home.path(), &["config", "check"]).succeeded();
    assert!(out.contains(" 1 settings from the file, 4 from the environment"), "{out}");

    fs::write(home.path().join("gatelodge.yaml"), "pin:\n  refresh_day: 7\n").expect("a file");
    let says = "gatelodge.yaml:2: pin.refresh_day is not a setting; the nearest known one is \
                pin.refresh_days";
    assert_eq!(run(home.path(), &["config", "check"]).refused(), says);
    assert_eq!(run(home.path(), &["config", "show"]).in_trouble(), says);
    let short = [("SECRET_KEY", "Post-horn-5")];
    fs::write(home.path().join("gatelodge.yaml"), "").expect("a file");
    let line = with(home.path(), &short, &["config", "check"]).refused();
    assert!(line.contains("at least 32 bytes") && !line.contains("Post-horn"), "{line}");
    assert!(!home.path().join("gatelodge.db").exists(), "nothing is made");
}

#[test]
fn a_path_with_odd_characters_moves_no_cursor() {
    let home = folder();
    let odd = "k\u{1b}[2J\u{202E}";
    fs::write(home.path().join(odd), SECRET).expect("a file");
    let environment = [("SECRET_KEY_FILE", odd)];
    let out = with(home.path(), &environment, &["config", "show"]).succeeded();
    assert!(out.contains("secret file k\u{FFFD}[2J\u{FFFD}]"), "{out:?}");
}
