//! Mail servers that refuse, wait, hang, break off or are not what they say, and what becomes of
//! the letter.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use gatelodge::domain::smtp::{Encryption, MailSettings, Patience};
use rusqlite::Connection;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    house::{House, text},
    mail_delivery::{bob_forgets, delivered, house_with, outbox},
    smtp_server::{Nature, SmtpServer, Whim},
};

const MINUTE: Duration = Duration::from_secs(60);

/// The one letter that is not sent, as an admin sees it.
async fn stuck(house: &House) -> Value {
    let mut found = outbox(house, "").await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[tokio::test]
async fn a_letter_that_is_refused_fails_at_once_and_is_wiped() {
    for at in ["MAIL", "RCPT", "DATA", "TAKEN"] {
        let server = SmtpServer::start(Nature::moody(at, Whim::Say("550 5.1.1 never\t<x>"), 9));
        let house = house_with(&server).await;
        bob_forgets(&house).await;
        let round = delivered(&house).await;
        assert_eq!((round.sent, round.troubles.len(), round.paused), (0, 1, false), "{at}");
        let told = &round.troubles[0];
        assert!(told.contains("reset-password") && !told.contains("bob"), "{told}");
        let letter = stuck(&house).await;
        assert_eq!((&letter["status"], &letter["link"]), (&"failed".into(), &Value::Null), "{at}");
        let error = text(&letter["last_error"]);
        assert!(error.starts_with("the mail server refuses, "), "{error}");
        assert!(error.ends_with(": 550 5.1.1 never <x>"), "{error}");
        house.clock.advance(MINUTE * 120);
        assert_eq!(delivered(&house).await.troubles.len(), 0, "{at}: it is not tried again");
        assert!(server.letters().is_empty());
    }
}

#[tokio::test]
async fn a_letter_that_is_put_off_goes_later_the_same_to_the_byte() {
    for at in ["MAIL", "RCPT", "DATA", "TAKEN"] {
        let server = SmtpServer::start(Nature::moody(at, Whim::Say("450 4.7.1 greylisted"), 2));
        let house = house_with(&server).await;
        bob_forgets(&house).await;
        let round = delivered(&house).await;
        assert_eq!((round.sent, round.troubles.len(), round.paused), (0, 1, false), "{at}");
        let wait = round.wait.expect("another try").as_secs();
        assert!((44..=76).contains(&wait), "a minute, more or less: {wait}");
        let letter = stuck(&house).await;
        assert_eq!((&letter["status"], &letter["attempts"]), (&"waiting".into(), &1.into()));
        let error = text(&letter["last_error"]);
        assert!(error.contains("not now") && error.contains("greylisted"), "{error}");
        assert!(letter["link"].is_string() && letter["next_attempt_at"].is_string());
        house.clock.advance(Duration::from_secs(30));
        assert_eq!(delivered(&house).await.troubles.len(), 0, "{at}: not before its time");
        house.clock.advance(Duration::from_secs(60));
        assert_eq!(delivered(&house).await.troubles.len(), 1, "{at}: refused a second time");
        house.clock.advance(MINUTE * 4);
        assert_eq!(delivered(&house).await.sent, 1, "{at}");
        assert_eq!(
            server.letter_to("bob@example.org").header("Date"),
            "Thu, 1 Jan 2026 00:00:00 +0000"
        );
    }
}

#[tokio::test]
async fn a_letter_is_given_up_when_its_link_no_longer_works() {
    let server = SmtpServer::start(Nature::moody("RCPT", Whim::Say("451 4.3.0 later"), 999));
    let house = house_with(&server).await;
    bob_forgets(&house).await;
    let mut tries = 0;
    for _ in 0..240 {
        tries += delivered(&house).await.troubles.len();
        house.clock.advance(MINUTE);
    }
    let letter = stuck(&house).await;
    assert_eq!((&letter["status"], &letter["link"]), (&"failed".into(), &Value::Null));
    assert!((5..=8).contains(&tries), "each wait is longer than the one before: {tries}");
}

#[tokio::test]
async fn a_letter_that_lives_longer_is_tried_for_a_day() {
    let server = SmtpServer::start(Nature::moody("RCPT", Whim::Say("451 4.3.0 later"), 999));
    let house = house_with(&server).await;
    let ann = house.token("ann").await;
    let body = serde_json::json!({"email": "cleo@example.org"});
    let made = house.post("/api/v1/invitations").bearer(&ann).json(&body).send().await;
    assert_eq!(made.status, 201);
    let (mut tries, mut last) = (0, 0);
    for quarter in 0..4 * 30 {
        let tried = delivered(&house).await.troubles.len();
        tries += tried;
        last = if tried > 0 { quarter } else { last };
        house.clock.advance(MINUTE * 15);
    }
    assert_eq!(stuck(&house).await["status"], "failed");
    assert!((15..=40).contains(&tries), "{tries}");
    assert!((4 * 21..=4 * 24).contains(&last), "the last try was in hour {}", last / 4);
}

async fn hangs_once(at: &'static str) {
    let server = SmtpServer::start(Nature::moody(at, Whim::Hang, 1));
    // The second delivery has no more time for each answer than the first.
    let short = Duration::from_secs(2);
    let mut mail = server.settings();
    let (connect, whole) = (MINUTE, MINUTE * 3);
    mail.patience = Patience { connect, command: short, text: short, whole, ..mail.patience };
    let house = House::lived_in_with(|plan| plan.settings.mail = Some(mail)).await;
    bob_forgets(&house).await;
    let round = delivered(&house).await;
    assert_eq!((round.sent, round.troubles.len()), (0, 1), "{at}");
    assert!(round.troubles[0].contains("did not answer in time, "), "{:?}", round.troubles);
    assert!(round.paused, "{at}: others are not tried on it now");
    assert_eq!(stuck(&house).await["status"], "waiting", "{at}");
    house.clock.advance(MINUTE * 2);
    assert_eq!(delivered(&house).await.sent, 1, "{at}");
}

#[tokio::test]
async fn a_server_that_hangs_is_left_and_tried_again() {
    // At the same time, as each waits.
    let points = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "HALF", "TAKEN"];
    join_all(points.map(hangs_once)).await;
}

#[tokio::test]
async fn a_whole_conversation_is_bounded_however_slowly_it_goes() {
    let server = SmtpServer::start(Nature::moody("TAKEN", Whim::Hang, 1));
    let mut mail = server.settings();
    mail.patience.whole = Duration::from_millis(300);
    let house = House::lived_in_with(|plan| plan.settings.mail = Some(mail)).await;
    bob_forgets(&house).await;
    let round = delivered(&house).await;
    assert!(round.troubles[0].contains("did not answer in time"), "{:?}", round.troubles);
}

#[tokio::test]
async fn requests_are_answered_while_a_server_hangs() {
    let server = SmtpServer::start(Nature::moody("CONNECT", Whim::Hang, 99));
    let house = house_with(&server).await;
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let worker = tokio::spawn(house.core.clone().deliver(stopped, |_| {}));
    bob_forgets(&house).await;
    bob_forgets(&house).await;
    house.login("bob").await;
    assert_eq!(outbox(&house, "").await.len(), 2);
    worker.abort();
}

#[tokio::test]
async fn a_server_that_breaks_off_gets_the_letter_again() {
    for at in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "HALF"] {
        let server = SmtpServer::start(Nature::moody(at, Whim::Die, 1));
        let house = house_with(&server).await;
        bob_forgets(&house).await;
        let round = delivered(&house).await;
        assert!(round.troubles[0].contains("the mail server broke off, "), "{:?}", round.troubles);
        assert!(server.letters().is_empty(), "{at}");
        house.clock.advance(MINUTE * 2);
        assert_eq!(delivered(&house).await.sent, 1, "{at}");
        server.letter_to("bob@example.org");
    }
}

#[tokio::test]
async fn a_server_that_takes_a_letter_and_breaks_off_gets_it_once_more() {
    let server = SmtpServer::start(Nature::moody("TAKEN", Whim::Die, 1));
    let house = house_with(&server).await;
    bob_forgets(&house).await;
    assert_eq!(delivered(&house).await.sent, 0);
    house.clock.advance(MINUTE * 2);
    assert_eq!(delivered(&house).await.sent, 1);
    house.clock.advance(MINUTE * 120);
    assert_eq!(delivered(&house).await.sent, 0);
    let letters = server.letters();
    assert_eq!(letters.len(), 2, "nobody can know that it had been taken");
    assert!(letters[0].bytes == letters[1].bytes, "its Message-ID lets the server tell");
}

#[tokio::test]
async fn a_server_in_trouble_is_not_asked_for_every_letter() {
    let server = SmtpServer::start(Nature::moody("CONNECT", Whim::Say("421 4.3.2 closed"), 1));
    let house = house_with(&server).await;
    bob_forgets(&house).await;
    let body = serde_json::json!({"email": "ann@example.org"});
    house.post("/api/v1/auth/forgot-password").json(&body).send().await;
    house.core.quiet().await;
    let round = delivered(&house).await;
    assert_eq!((round.sent, round.troubles.len(), round.paused), (0, 1, true));
    assert!(round.troubles[0].contains("not willing, waiting for its greeting: 421"));
    let tried: Vec<_> =
        outbox(&house, "").await.iter().map(|one| one["attempts"].clone()).collect();
    assert_eq!(tried, [0, 1]);
    house.clock.advance(MINUTE * 2);
    assert_eq!(delivered(&house).await.sent, 2);
}

#[tokio::test]
async fn nothing_is_said_in_clear_to_a_server_that_should_encrypt_and_does_not() {
    let nature = Nature {
        encryption: Encryption::Starttls,
        offers: vec!["AUTH PLAIN"],
        login: Some(("gate", "Post-horn-5")),
        mood: None,
    };
    let server = SmtpServer::start(nature);
    let house = house_with(&server).await;
    bob_forgets(&house).await;
    let round = delivered(&house).await;
    assert!(round.troubles[0].contains("offers no STARTTLS"), "{:?}", round.troubles);
    assert!(server.heard().iter().all(|line| line.starts_with("EHLO")), "{:?}", server.heard());
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_nothing() {
    let stranger = SmtpServer::start(Nature::plain());
    for encryption in [Encryption::Starttls, Encryption::Implicit] {
        let server = SmtpServer::start(Nature::encrypted(encryption));
        let mut mails = [server.settings(), server.settings(), server.settings()];
        mails[0].ca_file = Some(stranger.ca_file());
        mails[1].host = "localhost".to_owned();
        mails[2].ca_file = Some(server.ca_file().with_file_name("absent.pem"));
        for (mail, says) in mails.into_iter().zip(["invalid peer certificate", "", "absent.pem"]) {
            let house = House::lived_in_with(|plan| plan.settings.mail = Some(mail)).await;
            bob_forgets(&house).await;
            let round = delivered(&house).await;
            if says.is_empty() {
                assert_eq!(round.sent, 1, "localhost stands in the certificate");
                continue;
            }
            assert_eq!((round.sent, round.paused), (0, true));
            assert!(round.troubles[0].contains(says), "{:?}", round.troubles);
        }
        assert_eq!(server.letters().len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_password_for_the_server_is_told_and_leaves_the_letter_waiting() {
    let login = Some(("gate", "Post-horn-5"));
    let nature = Nature { offers: vec!["AUTH PLAIN LOGIN"], login, ..Nature::plain() };
    let server = SmtpServer::start(nature);
    let mut mail = server.settings();
    mail.login = Some(("gate".to_owned(), gatelodge::domain::secret::Secret::new("Wrong-horn-5")));
    let house = House::lived_in_with(|plan| plan.settings.mail = Some(mail)).await;
    bob_forgets(&house).await;
    let round = delivered(&house).await;
    assert!(round.paused && round.troubles[0].contains("refuses the sign-in: 535"));
    let letter = stuck(&house).await;
    assert_eq!(letter["status"], "waiting", "the admin can mend the password");
    assert!(server.heard().iter().filter(|line| line.starts_with("AUTH")).count() == 1);
}

#[tokio::test]
async fn what_a_server_repeats_of_our_secrets_is_not_shown() {
    let login = Some(("gate", "Post-horn-5"));
    for (at, text) in [("AUTH", "535 5.7.8 cannot read"), ("TAKEN", "554 5.7.1 spam:")] {
        let mut nature = Nature { offers: vec!["AUTH PLAIN"], login, ..Nature::plain() };
        nature.mood = Nature::moody(at, Whim::Echo(text), 9).mood;
        let server = SmtpServer::start(nature);
        let house = house_with(&server).await;
        bob_forgets(&house).await;
        let token = {
            let link = super::house::text(&stuck(&house).await["link"]);
            link.rsplit('=').next().expect("a token").to_owned()
        };
        let round = delivered(&house).await;
        let said = format!("{:?}{}", round.troubles, stuck(&house).await);
        let encoded = "AGdhdGUAUG9zdC1ob3JuLTU";
        assert!(said.contains("…"), "{at}: {said}");
        assert!(!round.troubles[0].contains(&token), "{said}");
        assert!(!said.contains(encoded) && !said.contains("Post-horn"), "{said}");
    }
}

#[tokio::test]
async fn a_hostile_answer_stays_one_short_line() {
    const LONG: &str = "550-\u{1b}[31m<script>alert(1)</script>\r\n550 \
        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    let server = SmtpServer::start(Nature::moody("RCPT", Whim::Say(LONG), 9));
    let house = house_with(&server).await;
    bob_forgets(&house).await;
    delivered(&house).await;
    let error = text(&stuck(&house).await["last_error"]);
    assert!(!error.contains(char::is_control), "{error:?}");
    assert!(error.chars().count() < 300, "{error}");
}

#[tokio::test]
async fn letters_are_held_without_a_mail_server_and_go_out_once_there_is_one() {
    let house = House::lived_in_with(|plan| {
        plan.settings.mail = None;
        plan.settings.link_base = None;
    })
    .await;
    bob_forgets(&house).await;
    let held = stuck(&house).await;
    assert_eq!(held["status"], "held");
    assert!(text(&held["link"]).starts_with("/reset?token="));
    assert_eq!(delivered(&house).await.sent, 0);

    let server = SmtpServer::start(Nature::plain());
    let mail = server.settings();
    let house = house.restarted(|plan| plan.settings.mail = Some(mail)).await;
    house.core.outbox_resume().await.expect("written");
    assert_eq!(delivered(&house).await.sent, 1);
    let letter = server.letter_to("bob@example.org");
    assert!(letter.text().contains("\nhttps://gate.example.org/reset?token="), "{}", letter.text());
}

/// A worker whose pauses are short, and what it tells.
fn at_work(house: &House) -> (JoinHandle<()>, Arc<Mutex<Vec<String>>>) {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let tell = move |line: &str| {
        // The worker ends with what could stop it.
        let _ = &stop;
        heard.lock().expect("unpoisoned").push(line.to_owned());
    };
    (tokio::spawn(house.core.clone().deliver(stopped, tell)), told)
}

async fn until_told(told: &Mutex<Vec<String>>, wanted: usize) -> Vec<String> {
    for _ in 0..800 {
        let lines = told.lock().expect("unpoisoned").clone();
        if lines.len() >= wanted {
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not {wanted} lines: {told:?}");
}

/// The outbox takes no letter's new status, as on a disk that is full, until this is undone.
fn no_status(house: &House, status: &str) -> Connection {
    let file = Connection::open(house.database()).expect("the database");
    let refusal = format!(
        "CREATE TRIGGER no_status BEFORE UPDATE OF status ON outbox WHEN NEW.status = '{status}'
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;"
    );
    file.execute_batch(&refusal).expect("a trigger");
    file
}

fn hurried(server: &SmtpServer) -> MailSettings {
    let mut mail = server.settings();
    mail.patience.pause = Duration::from_millis(20);
    mail
}

#[tokio::test]
async fn letters_that_could_not_be_taken_up_at_the_start_go_out_later() {
    let house = House::lived_in_with(|plan| {
        plan.settings.mail = None;
        plan.settings.link_base = None;
    })
    .await;
    bob_forgets(&house).await;
    let server = SmtpServer::start(Nature::plain());
    let mail = hurried(&server);
    let house = house.restarted(|plan| plan.settings.mail = Some(mail)).await;
    let file = no_status(&house, "waiting");
    let (worker, told) = at_work(&house);
    let lines = until_told(&told, 2).await;
    assert!(lines.iter().all(|line| line.starts_with("mail: ")), "{lines:?}");
    assert_eq!(stuck(&house).await["status"], "held");
    file.execute_batch("DROP TRIGGER no_status").expect("no trigger");
    server.has_taken(1).await;
    worker.abort();
}

#[tokio::test]
async fn a_letter_that_is_sent_and_cannot_be_noted_is_told_of_at_once_and_once() {
    let server = SmtpServer::start(Nature::plain());
    let mail = hurried(&server);
    let house = House::lived_in_with(|plan| plan.settings.mail = Some(mail)).await;
    let file = no_status(&house, "sent");
    bob_forgets(&house).await;
    let (worker, told) = at_work(&house);
    let lines = until_told(&told, 1).await;
    assert!(lines[0].starts_with("mail: letter ") && lines[0].contains("is sent"), "{lines:?}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(told.lock().expect("unpoisoned").len(), 1, "{told:?}");
    file.execute_batch("DROP TRIGGER no_status").expect("no trigger");
    let lines = until_told(&told, 2).await;
    assert!(lines[1].ends_with("is noted, and others go out again"), "{lines:?}");
    assert_eq!(outbox(&house, "?status=sent").await.len(), 1);
    assert_eq!(server.letters().len(), 1, "it did not go out twice");
    worker.abort();
}

#[tokio::test]
async fn a_letter_whose_link_was_used_or_replaced_does_not_go_out() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    bob_forgets(&house).await;
    let first = text(&stuck(&house).await["link"]);
    bob_forgets(&house).await;
    let all = outbox(&house, "").await;
    let states: Vec<_> = all.iter().map(|one| text(&one["status"])).collect();
    assert_eq!(states, ["waiting", "failed"]);
    assert_eq!(delivered(&house).await.sent, 1);
    let sent = server.letter_to("bob@example.org");
    assert!(!first.ends_with(&sent.token()));
}
