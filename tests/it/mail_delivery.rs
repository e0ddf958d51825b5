//! Letters on their way: from the outbox to a real mail server, once.

use std::{fs, path::Path, time::Duration};

use gatelodge::{
    db::migrate::migrate,
    domain::{
        letters::Round,
        smtp::{Encryption, MailError},
    },
};
use serde_json::{Value, json};

use super::{
    house::{House, PASSWORD, START, Server, gatelodge, text},
    smtp_server::{Nature, SmtpServer, Whim},
};

/// A house with `ann`, an admin, and `bob`, whose letters go to this server.
pub async fn house_with(server: &SmtpServer) -> House {
    let mail = server.settings();
    House::lived_in_with(|plan| plan.settings.mail = Some(mail)).await
}

/// Bob asks for a reset link; the letter is in the outbox when this returns.
pub async fn bob_forgets(house: &House) {
    let body = json!({"email": "bob@example.org"});
    let answer = house.post("/api/v1/auth/forgot-password").json(&body).send().await;
    assert_eq!(answer.status, 200);
    house.core.quiet().await;
}

pub async fn delivered(house: &House) -> Round {
    house.core.deliver_due().await.expect("a round")
}

/// The outbox as an admin sees it; `query` such as `?status=sent`.
pub async fn outbox(house: &House, query: &str) -> Vec<Value> {
    let token = house.token("ann").await;
    let path = format!("/api/v1/outbox{query}");
    let answer = house.get(&path).bearer(&token).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_letter_arrives_as_text_and_html_with_sound_headers() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    bob_forgets(&house).await;
    let round = delivered(&house).await;
    assert_eq!((round.sent, round.troubles.len(), round.paused), (1, 0, false));

    let letter = server.letter_to("bob@example.org");
    assert_eq!(letter.from, "gate@example.org");
    assert_eq!(letter.header("From"), "\"Gatelodge\" <gate@example.org>");
    assert_eq!(letter.header("To"), "\"bob\" <bob@example.org>");
    assert_eq!(letter.header("Auto-Submitted"), "auto-generated");
    assert_eq!(letter.header("Date"), "Thu, 1 Jan 2026 00:00:00 +0000");
    assert!(
        letter.header("Message-ID").ends_with("@example.org>"),
        "{}",
        letter.header("Message-ID")
    );
    assert!(letter.header("Content-Type").starts_with("multipart/alternative"));
    assert_eq!(letter.subject(), "Choose a new password for Gatelodge");
    let link = format!("https://gate.example.org/reset?token={}", letter.token());
    assert!(letter.text().contains(&format!("\n{link}\n")), "{}", letter.text());
    assert!(
        letter.html().contains(&format!("<a class=\"button\" href=\"{link}\"")),
        "{}",
        letter.html()
    );
    let long = letter.bytes.split(|byte| *byte == b'\n').find(|line| line.len() > 999);
    assert!(long.is_none(), "no line is longer than SMTP takes");

    let body = json!({"token": letter.token(), "new_password": "Chestnut-tree-8"});
    assert_eq!(house.post("/api/v1/auth/reset-password").json(&body).send().await.status, 200);
}

#[tokio::test]
async fn a_letter_goes_by_starttls_to_a_server_of_a_private_authority() {
    let server = SmtpServer::start(Nature::encrypted(Encryption::Starttls));
    let house = house_with(&server).await;
    bob_forgets(&house).await;
    assert_eq!(delivered(&house).await.sent, 1);
    assert!(server.letter_to("bob@example.org").encrypted);
    let hellos = server.heard().iter().filter(|line| line.starts_with("EHLO ")).count();
    assert_eq!(hellos, 2, "what was said before the encryption does not count after it");
}

#[tokio::test]
async fn a_letter_goes_by_implicit_tls_to_a_server_of_a_private_authority() {
    let server = SmtpServer::start(Nature::encrypted(Encryption::Implicit));
    let house = house_with(&server).await;
    bob_forgets(&house).await;
    assert_eq!(delivered(&house).await.sent, 1);
    assert!(server.letter_to("bob@example.org").encrypted);
}

#[tokio::test]
async fn a_letter_goes_signed_in_by_whichever_way_the_server_offers() {
    for offers in [vec!["AUTH PLAIN LOGIN"], vec!["AUTH LOGIN"], vec!["AUTH CRAM-MD5 PLAIN"]] {
        let login = Some(("gate", "Post-horn-5"));
        let server = SmtpServer::start(Nature { offers, login, ..Nature::plain() });
        let house = house_with(&server).await;
        bob_forgets(&house).await;
        assert_eq!(delivered(&house).await.sent, 1, "{:?}", server.heard());
        assert_eq!(server.letter_to("bob@example.org").login.as_deref(), Some("gate"));
    }
}

#[tokio::test]
async fn what_is_sent_is_wiped_and_not_sent_again() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    bob_forgets(&house).await;
    assert_eq!(outbox(&house, "").await.len(), 1);
    delivered(&house).await;
    assert!(outbox(&house, "").await.is_empty());
    let sent = outbox(&house, "?status=sent").await;
    assert_eq!((sent.len(), &sent[0]["link"], &sent[0]["attempts"]), (1, &Value::Null, &json!(1)));
    assert_eq!(sent[0]["sent_at"], "2026-01-01T00:00:00Z");
    house.clock.advance(Duration::from_secs(3600));
    assert_eq!(delivered(&house).await.sent, 0);

    let file = rusqlite::Connection::open(house.database()).expect("the database");
    let moved = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    assert_eq!(moved.expect("a checkpoint"), 0);
    let token = server.letter_to("bob@example.org").token();
    for entry in fs::read_dir(house.folder()).expect("a folder") {
        let bytes = fs::read(entry.expect("a file").path()).expect("bytes");
        let found = bytes.windows(token.len()).any(|at| at == token.as_bytes());
        assert!(!found, "a mailed token lies on the disk after it was sent");
    }
}

#[tokio::test]
async fn a_letter_of_an_older_version_goes_out_and_under_one_id() {
    let server = SmtpServer::start(Nature::moody("RCPT", Whim::Say("450 4.7.1 greylisted"), 1));
    let mail = server.settings();
    let house = House::on(
        |database| {
            migrate(database, 6).expect("the schema before letters went out");
            let old = "INSERT INTO outbox (purpose, recipient, client, status, next_attempt_at,
                           created_at, expires_at)
                       VALUES ('test', 'cleo@example.org', '', 'waiting', 0, ?1, ?1 + 86400000)";
            database.execute(old, [START * 1000]).expect("a letter");
        },
        |plan| plan.settings.mail = Some(mail),
    )
    .await;
    assert_eq!(delivered(&house).await.sent, 0);
    house.clock.advance(Duration::from_secs(120));
    assert_eq!(delivered(&house).await.sent, 1);
    let id = server.letter_to("cleo@example.org").header("Message-ID");
    assert_eq!(id.len(), "<@example.org>".len() + 32, "{id}");
}

#[tokio::test]
async fn the_worker_sends_at_once_after_a_deed_and_when_a_letter_is_due_again() {
    let grey = Whim::Say("451 4.7.1 come back later");
    let server = SmtpServer::start(Nature::moody("RCPT", grey, 1));
    let house = house_with(&server).await;
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let worker = tokio::spawn(house.core.clone().deliver(stopped, |_| {}));
    bob_forgets(&house).await;
    let heard = || server.heard().iter().any(|line| line.starts_with("RCPT"));
    while !heard() {
        tokio::task::yield_now().await;
    }
    // The clock of the house stands still: only its moving on makes the letter due.
    while outbox(&house, "").await[0]["last_error"] == Value::Null {
        tokio::task::yield_now().await;
    }
    assert!(server.letters().is_empty());
    house.clock.advance(Duration::from_secs(120));
    // Any deed rings the bell.
    house.token("bob").await;
    server.has_taken(1).await;
    worker.abort();
}

/// The environment of a real server that mails through this one.
fn environment(server: &SmtpServer) -> Vec<(&'static str, String)> {
    vec![
        ("GATELODGE_EMAIL__SMTP_HOST", "127.0.0.1".to_owned()),
        ("GATELODGE_EMAIL__SMTP_PORT", server.address.port().to_string()),
        ("GATELODGE_EMAIL__SMTP_FROM_EMAIL", "gate@example.org".to_owned()),
        ("GATELODGE_SERVER__PUBLIC_URL", "https://gate.example.org".to_owned()),
    ]
}

fn started(home: &Path, server: &SmtpServer) -> Server {
    let environment = environment(server);
    let environment: Vec<_> = environment.iter().map(|(name, text)| (*name, &**text)).collect();
    Server::start(home, &environment)
}

fn ann_moves_in(house: &Server) {
    let body = json!({"username": "ann", "email": "ann@example.org", "password": PASSWORD});
    assert_eq!(house.json("POST", "/api/v1/setup/initialize", "", &body).status, 201);
}

fn ann_forgets(house: &Server) {
    let body = json!({"email": "ann@example.org"});
    assert_eq!(house.json("POST", "/api/v1/auth/forgot-password", "", &body).status, 200);
}

fn letters_of(house: &Server, query: &str) -> Vec<Value> {
    let body = json!({"username": "ann", "password": PASSWORD});
    let token = text(&house.json("POST", "/api/v1/auth/login", "", &body).json()["token"]);
    let path = format!("/api/v1/outbox{query}");
    let found = house.json("GET", &path, &token, &Value::Null).json();
    found["data"].as_array().expect("a list").clone()
}

#[test]
fn a_letter_that_was_sent_is_not_sent_again_after_kill_9() {
    let home = tempfile::tempdir().expect("a folder");
    let server = SmtpServer::start(Nature::plain());
    let house = started(home.path(), &server);
    ann_moves_in(&house);
    ann_forgets(&house);
    server.wait_for(1);
    while letters_of(&house, "?status=sent").is_empty() {
        std::thread::yield_now();
    }
    house.kill();
    let house = started(home.path(), &server);
    ann_forgets(&house);
    server.wait_for(2);
    while letters_of(&house, "?status=sent").len() < 2 {
        std::thread::yield_now();
    }
    let ids: Vec<_> = server.letters().iter().map(|letter| letter.header("Message-ID")).collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1], "each was sent once");
}

#[test]
fn a_letter_in_hand_is_finished_when_the_server_is_told_to_stop() {
    let home = tempfile::tempdir().expect("a folder");
    let server = SmtpServer::start(Nature::moody("TAKEN", Whim::Think, 1));
    let house = started(home.path(), &server);
    ann_moves_in(&house);
    ann_forgets(&house);
    server.wait_for(1);
    let (ended_well, log) = house.terminate();
    assert!(ended_well, "{log}");
    let house = started(home.path(), &server);
    assert_eq!(letters_of(&house, "?status=sent").len(), 1);
    assert_eq!(server.letters().len(), 1);
}

#[test]
fn a_letter_whose_fate_a_kill_9_left_open_comes_once_more_under_the_same_id() {
    let home = tempfile::tempdir().expect("a folder");
    // It keeps the letter and never says so: nobody can know whether it did.
    let server = SmtpServer::start(Nature::moody("TAKEN", Whim::Hang, 1));
    let house = started(home.path(), &server);
    ann_moves_in(&house);
    ann_forgets(&house);
    server.wait_for(1);
    house.kill();
    let house = started(home.path(), &server);
    // It says so soon after it serves.
    let mut waiting = letters_of(&house, "");
    for _ in 0..2400 {
        if !waiting[0]["last_error"].is_null() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
        waiting = letters_of(&house, "");
    }
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    let error = text(&waiting[0]["last_error"]);
    assert!(error.starts_with("interrupted while it was handed over"), "{error}");
    assert_ne!(waiting[0]["next_attempt_at"], Value::Null, "it waits before it goes again");
    house.kill();

    let database = rusqlite::Connection::open(home.path().join("gatelodge.db")).expect("open");
    let due = database.execute("UPDATE outbox SET next_attempt_at = 0", []).expect("due");
    assert_eq!(due, 1);
    drop(database);
    let house = started(home.path(), &server);
    server.wait_for(2);
    while letters_of(&house, "?status=sent").is_empty() {
        std::thread::yield_now();
    }
    let letters = server.letters();
    assert_eq!(letters.len(), 2);
    assert!(letters[0].bytes == letters[1].bytes, "the same letter to the byte");
}

fn mail_test(home: &Path, environment: &[(&'static str, String)], to: &str) -> (i32, String) {
    let mut command = gatelodge();
    command.current_dir(home).envs(environment.iter().cloned()).args(["mail", "test", to]);
    let output = command.output().expect("the program");
    let both = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(both).expect("text");
    assert!(!said.contains("Post-horn-5"), "{said}");
    assert!(!home.join("gatelodge.db").exists(), "it needs no database");
    (output.status.code().expect("an end"), said)
}

#[test]
fn the_command_line_tries_the_mail_server_and_says_what_to_do() {
    let home = tempfile::tempdir().expect("a folder");
    let server = SmtpServer::start(Nature::plain());
    let reached = environment(&server);
    let (code, said) = mail_test(home.path(), &reached, "Ann@example.org");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("not encrypted, without signing in, from Gatelodge <gate@example.org>"));
    assert!(said.contains("took the letter for Ann@example.org.\nNext: look whether"), "{said}");
    assert_eq!(server.letter_to("ann@example.org").subject(), "A test letter from Gatelodge");

    let (code, said) = mail_test(home.path(), &[], "ann@example.org");
    assert!(code == 1 && said.contains("set email.smtp_host and email.smtp_from_email"), "{said}");
    let (code, said) = mail_test(home.path(), &reached, "nobody");
    assert!(code == 1 && said.contains("must be an address like"), "{said}");

    let refusing = Nature::moody("RCPT", Whim::Say("550 5.1.1 nobody of that name"), 9);
    let (code, said) =
        mail_test(home.path(), &environment(&SmtpServer::start(refusing)), "ann@example.org");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("naming the recipient: 550 5.1.1 nobody of that name\nNext: "), "{said}");
    assert!(said.contains(MailError::NotAscii.advice()) || said.contains("email.smtp_from_email"));

    let mut gone = environment(&server);
    gone[1].1 = "1".to_owned();
    let (code, said) = mail_test(home.path(), &gone, "ann@example.org");
    assert!(
        code == 2 && said.contains("cannot be reached") && said.contains("smtp_port"),
        "{said}"
    );

    let login = Some(("gate", "Another-word-1"));
    let strict = SmtpServer::start(Nature { offers: vec!["AUTH PLAIN"], login, ..Nature::plain() });
    let mut wrong = environment(&strict);
    wrong.push(("GATELODGE_EMAIL__SMTP_USERNAME", "gate".to_owned()));
    wrong.push(("GATELODGE_EMAIL__SMTP_PASSWORD", "Post-horn-5".to_owned()));
    let (code, said) = mail_test(home.path(), &wrong, "ann@example.org");
    assert!(code == 2 && said.contains("refuses the sign-in: 535"), "{said}");
    assert!(said.contains("look at email.smtp_username and email.smtp_password"), "{said}");
}

#[test]
fn the_command_line_prints_a_reset_link() {
    let home = tempfile::tempdir().expect("a folder");
    let server = SmtpServer::start(Nature::plain());
    let house = started(home.path(), &server);
    ann_moves_in(&house);
    let run = |name: &str| {
        let mut command = gatelodge();
        command.current_dir(home.path()).envs(super::house::cheap());
        command.envs(environment(&server)).args(["user", "reset-link", name]);
        let output = command.output().expect("the program");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, _) = run("Ann@example.org");
    assert_eq!(code, Some(0));
    let token = out.split("https://gate.example.org/reset?token=").nth(1).expect("a link");
    let token = token.lines().next().expect("a token");
    assert!(out.contains("Hand it to ann: it works once, until 20"), "{out}");
    let body = json!({"token": token, "new_password": "Chestnut-tree-8"});
    assert_eq!(house.json("POST", "/api/v1/auth/reset-password", "", &body).status, 200);
    let (code, out, err) = run("nobody");
    let says = "gatelodge: no account \"nobody\"; see gatelodge user list\n";
    assert_eq!((code, out, err), (Some(1), String::new(), says.to_owned()));
}
