//! What letters say, to whom, and how many there may be.

use std::time::Duration;

use gatelodge::domain::{letters::Language, sign_up::RegistrationMode};
use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::{House, PASSWORD, Plan, text},
    mail_delivery::{bob_forgets, delivered, house_with, outbox},
    smtp_server::{Nature, Received, SmtpServer},
};

const AWAY: &str = "203.0.113.7";

async fn house_by(server: &SmtpServer, change: impl FnOnce(&mut Plan)) -> House {
    let mail = server.settings();
    House::lived_in_with(|plan| {
        plan.settings.mail = Some(mail);
        change(plan);
    })
    .await
}

async fn done(house: &House, method: Method, path: &str, who: &str, body: Value) -> Value {
    let asked = house.ask(method, path).json(&body);
    let asked = if who.is_empty() { asked } else { asked.bearer(&house.token(who).await) };
    let answer = asked.send().await;
    assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
    house.core.quiet().await;
    answer.json()
}

async fn register(house: &House, name: &str) {
    let email = format!("{name}@example.org");
    let body = json!({"username": name, "email": email, "password": PASSWORD});
    done(house, Method::POST, "/api/v1/auth/register", "", body).await;
}

async fn verify(house: &House, letter: &Received) -> u16 {
    let body = json!({"token": letter.token()});
    house.post("/api/v1/auth/verify-email").json(&body).send().await.status
}

async fn login_from(house: &House, name: &str, peer: &str, agent: &str) {
    let body = json!({"username": name, "password": PASSWORD});
    let asked = house.post("/api/v1/auth/login").from(peer).header("user-agent", agent);
    assert_eq!(asked.json(&body).send().await.status, 200);
}

async fn path_of(house: &House, name: &str) -> String {
    let ann = house.token("ann").await;
    let found = house.get(&format!("/api/v1/users?q={name}")).bearer(&ann).send().await.json();
    format!("/api/v1/users/{}", text(&found["data"][0]["id"]))
}

/// In text and in HTML, whose escapes are undone.
#[track_caller]
fn says(letter: &Received, all: &[&str]) {
    let html = letter.html().replace("&quot;", "\"").replace("&#39;", "'").replace("<br>\n", "\n");
    for text in all {
        assert!(letter.text().contains(text), "{text:?} is not in {}", letter.text());
        assert!(html.contains(text), "{text:?} is not in {html}");
    }
}

#[tokio::test]
async fn a_registration_is_confirmed_by_letter() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_by(&server, |plan| {
        plan.settings.registration = RegistrationMode::Open;
        plan.settings.email_confirmation_required = true;
    })
    .await;
    register(&house, "cleo").await;
    delivered(&house).await;
    let letter = server.letter_to("cleo@example.org");
    assert_eq!(letter.subject(), "Confirm your address for Gatelodge");
    assert_eq!(letter.header("To"), "<cleo@example.org>", "who is not proven has no name");
    says(&letter, &["\"cleo\" at Gatelodge", "https://gate.example.org/verify?token="]);
    says(&letter, &["once, until 2026-01-02 00:00 UTC"]);
    assert_eq!(verify(&house, &letter).await, 200);
    assert_eq!(verify(&house, &letter).await, 400);
    house.login("cleo").await;
}

#[tokio::test]
async fn in_invite_mode_an_account_is_activated_by_letter_and_it_comes_again_on_request() {
    let server = SmtpServer::start(Nature::plain());
    let house =
        house_by(&server, |plan| plan.settings.registration = RegistrationMode::Invite).await;
    register(&house, "cleo").await;
    delivered(&house).await;
    let first = server.letter_to("cleo@example.org");
    assert_eq!(first.subject(), "Activate your account at Gatelodge");
    says(&first, &["https://gate.example.org/activate?token=", "cannot be used yet"]);
    let again = json!({"email": "cleo@example.org"});
    done(&house, Method::POST, "/api/v1/auth/resend-verification", "", again).await;
    delivered(&house).await;
    let second = server.letters().pop().expect("another letter");
    assert_ne!(first.header("Message-ID"), second.header("Message-ID"));
    assert_eq!(verify(&house, &first).await, 400, "a new link ends the one before");
    assert_eq!(verify(&house, &second).await, 200);
    house.login("cleo").await;
}

#[tokio::test]
async fn an_invitation_names_who_made_it_and_lets_somebody_in() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    let named = json!({"display_name": "Ann <b>O'Neill</b>"});
    done(&house, Method::PATCH, "/api/v1/user", "ann", named).await;
    let body = json!({"email": "cleo@example.org", "role": "reader"});
    done(&house, Method::POST, "/api/v1/invitations", "ann", body).await;
    delivered(&house).await;
    let letter = server.letter_to("cleo@example.org");
    assert_eq!(letter.subject(), "You are invited to Gatelodge");
    says(&letter, &["https://gate.example.org/invite?token=", "until 2026-01-08 00:00 UTC"]);
    assert!(letter.text().contains("Ann <b>O'Neill</b> invites you to Gatelodge"));
    assert!(letter.html().contains("Ann &lt;b&gt;O&#39;Neill&lt;/b&gt; invites you"));
    let body = json!({
        "username": "cleo", "email": "cleo@example.org", "password": PASSWORD,
        "invitation": letter.token(),
    });
    done(&house, Method::POST, "/api/v1/auth/register", "", body).await;
    house.login("cleo").await;
}

#[tokio::test]
async fn an_address_is_changed_by_a_letter_to_the_new_one_and_both_are_told() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    let body = json!({"email": "robert@example.net", "current_password": PASSWORD});
    done(&house, Method::POST, "/api/v1/user/email", "bob", body).await;
    delivered(&house).await;
    let letter = server.letter_to("robert@example.net");
    assert_eq!(letter.subject(), "Confirm your new address for Gatelodge");
    says(&letter, &["\"bob\" at Gatelodge is to have this address", "/verify?token="]);
    assert_eq!(server.letters().len(), 1, "nothing has changed yet");
    assert_eq!(verify(&house, &letter).await, 200);
    delivered(&house).await;
    let letters = server.letters();
    let told: Vec<_> = letters[1..].iter().map(|letter| letter.to[0].as_str()).collect();
    assert_eq!(told, ["bob@example.org", "robert@example.net"]);
    for letter in &letters[1..] {
        assert_eq!(letter.subject(), "Your address at Gatelodge was changed");
        says(letter, &["before: bob@example.org\nnow: robert@example.net"]);
        assert!(!letter.text().contains("token="), "{}", letter.text());
    }
}

#[tokio::test]
async fn an_admin_who_changes_an_address_or_switches_off_is_told_of() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    let bob = path_of(&house, "bob").await;
    done(&house, Method::PATCH, &bob, "ann", json!({"email": "rob@example.net"})).await;
    done(&house, Method::PATCH, &bob, "ann", json!({"status": "disabled"})).await;
    done(&house, Method::PATCH, &bob, "ann", json!({"display_name": "Bobby"})).await;
    delivered(&house).await;
    let sent: Vec<_> =
        server.letters().iter().map(|letter| (letter.to[0].clone(), letter.subject())).collect();
    let changed = "Your address at Gatelodge was changed";
    let wanted = [
        ("bob@example.org", changed),
        ("rob@example.net", changed),
        ("rob@example.net", "Your account at Gatelodge was switched off"),
    ];
    assert_eq!(sent, wanted.map(|(to, subject)| (to.to_owned(), subject.to_owned())));
    says(&server.letters()[2], &["switched off your account \"bob\" at Gatelodge"]);
}

#[tokio::test]
async fn a_sign_in_from_a_new_place_is_told_and_the_first_never_is() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    login_from(&house, "bob", AWAY, "first").await;
    login_from(&house, "bob", "203.0.113.99", "a neighbour of the first").await;
    assert_eq!(delivered(&house).await.sent, 0);
    login_from(&house, "bob", "2001:db8:1::7", "Reader/1 <script>").await;
    login_from(&house, "bob", "2001:db8:1:9::8", "the same household").await;
    login_from(&house, "bob", AWAY, "back again").await;
    assert_eq!(delivered(&house).await.sent, 1);
    let letter = server.letter_to("bob@example.org");
    assert_eq!(letter.subject(), "New sign-in to your account at Gatelodge");
    says(&letter, &["when: 2026-01-01 00:00 UTC\nfrom: 2001:db8:1::7\nwith: Reader/1"]);
    assert!(letter.html().contains("Reader/1 &lt;script&gt;"), "{}", letter.html());
    assert!(
        letter.html().contains("<a href=\"https://gate.example.org/reset\">"),
        "{}",
        letter.html()
    );
}

#[tokio::test]
async fn a_right_password_by_basic_is_an_event_and_its_new_network_is_told() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    let ann = house.token("ann").await;
    let events = async || {
        let asked = house.get("/api/v1/events?kind=signed_in").bearer(&ann).send().await;
        let all = asked.json()["data"].as_array().expect("events").clone();
        all.iter().filter(|event| event["detail"] == "basic").count()
    };
    let come = async |peer: &str| {
        let asked = house.get("/api/v1/user").from(peer).basic("bob", PASSWORD);
        assert_eq!(asked.send().await.status, 200);
    };
    come("192.168.1.7").await;
    assert_eq!(events().await, 1);
    // A script that comes again and again is told of once an hour.
    for _ in 0..11 {
        house.clock.advance(Duration::from_secs(301));
        come("192.168.1.7").await;
    }
    assert_eq!(events().await, 1);
    house.clock.advance(Duration::from_secs(301));
    come("192.168.1.7").await;
    assert_eq!(events().await, 2);
    assert_eq!(delivered(&house).await.sent, 0);
    come(AWAY).await;
    assert_eq!(events().await, 3);
    assert_eq!(delivered(&house).await.sent, 1);
    let letter = server.letter_to("bob@example.org");
    assert_eq!(letter.subject(), "New sign-in to your account at Gatelodge");
    says(&letter, &["from: 203.0.113.7"]);
}

#[tokio::test]
async fn sign_ins_are_not_told_to_those_who_did_not_want_it_or_never_proved_their_address() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_by(&server, |plan| plan.settings.new_sign_in_letters = false).await;
    login_from(&house, "bob", AWAY, "first").await;
    login_from(&house, "bob", "198.51.100.7", "second").await;
    assert_eq!(delivered(&house).await.sent, 0);

    let open = house_by(&server, |plan| plan.settings.registration = RegistrationMode::Open).await;
    register(&open, "cleo").await;
    delivered(&open).await;
    login_from(&open, "cleo", AWAY, "second").await;
    assert_eq!(delivered(&open).await.sent, 0);
    assert_eq!(
        server.letter_to("cleo@example.org").subject(),
        "Confirm your address for Gatelodge"
    );
}

#[tokio::test]
async fn news_is_bounded_and_nobody_can_use_it_up_for_somebody_else() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    login_from(&house, "bob", AWAY, "first").await;
    // Somebody uses up all letters that they may cause.
    for number in 0..25 {
        let name = format!("n{number}");
        house.add(&name, "reader").await;
        let body = json!({"email": format!("{name}@example.org")});
        let asked = house.post("/api/v1/auth/forgot-password").from("198.51.100.1");
        asked.json(&body).send().await;
        house.core.quiet().await;
    }
    assert_eq!(delivered(&house).await.sent, 20);
    login_from(&house, "bob", "198.51.100.1", "the same somebody").await;
    assert_eq!(delivered(&house).await.sent, 1);
    for place in 2..9 {
        login_from(&house, "bob", &format!("198.51.{place}.1"), "elsewhere").await;
    }
    assert_eq!(delivered(&house).await.sent, 2, "three an hour");
    house.clock.advance(Duration::from_secs(3601));
    login_from(&house, "bob", "192.0.2.1", "elsewhere").await;
    assert_eq!(delivered(&house).await.sent, 1);
}

#[tokio::test]
async fn at_most_three_letters_an_hour_go_to_an_address_for_one_purpose() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    for _ in 0..5 {
        bob_forgets(&house).await;
        delivered(&house).await;
    }
    assert_eq!(server.letters().len(), 3);
    let last = server.letters().pop().expect("a letter").token();
    let body = json!({"token": last, "new_password": "Chestnut-tree-8"});
    let reset = house.post("/api/v1/auth/reset-password").json(&body).send().await;
    assert_eq!(reset.status, 200, "a letter that is dropped does not end the one before");
    house.clock.advance(Duration::from_secs(3601));
    bob_forgets(&house).await;
    assert_eq!(delivered(&house).await.sent, 1);
}

#[tokio::test]
async fn at_most_twenty_letters_an_hour_are_caused_by_one_client() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    for number in 0..25 {
        house.add(&format!("n{number}"), "reader").await;
    }
    let forget = async |number: usize, peer: &str| {
        let body = json!({"email": format!("n{number}@example.org")});
        house.post("/api/v1/auth/forgot-password").from(peer).json(&body).send().await;
        house.core.quiet().await;
    };
    for number in 0..25 {
        forget(number, AWAY).await;
    }
    assert_eq!(delivered(&house).await.sent, 20);
    forget(24, "198.51.100.1").await;
    assert_eq!(delivered(&house).await.sent, 1, "another client is not held up");
}

#[tokio::test]
async fn a_display_name_makes_neither_headers_nor_markup() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_with(&server).await;
    let names = [
        "Eve\r\nBcc: thief@example.net\r\n\r\n<h1>body</h1>",
        "\"Eve\" <thief@example.net>, x",
        "Zoë Größe 木 \u{202e}gnp.exe",
        "=?utf-8?Q?Eve=0D=0ABcc:_thief@example.net?=",
        "{link} {reset_page} {body}",
    ];
    for (number, name) in names.iter().enumerate() {
        // What no door takes may still stand in an old database.
        let database = rusqlite::Connection::open(house.database()).expect("the database");
        let put = "UPDATE accounts SET display_name = ?1 WHERE username = 'bob'";
        database.execute(put, [name]).expect("written");
        bob_forgets(&house).await;
        assert_eq!(delivered(&house).await.sent, 1);
        let letter = server.letters().pop().expect("a letter");
        assert_eq!(letter.to, ["bob@example.org"]);
        let message = letter.message();
        assert!(message.bcc().is_none() && message.cc().is_none(), "{name:?}");
        assert!(message.html_body_count() == 1 && message.text_body_count() == 1);
        let to = message.to().expect("To").first().expect("an address");
        assert_eq!(to.address(), Some("bob@example.org"), "{name:?}");
        assert!(letter.header("To").is_ascii() && letter.header("To").len() < 200);
        assert!(!letter.html().contains("<h1>body"), "{}", letter.html());
        assert!(!letter.text().contains(['\u{202e}']), "{}", letter.text());
        let first = letter.text().lines().next().expect("a line").to_owned();
        assert!(first.starts_with("Hello ") && first.ends_with(','), "{number}: {first}");
        house.clock.advance(Duration::from_secs(3601));
    }
}

#[tokio::test]
async fn letters_speak_the_language_of_the_house() {
    let server = SmtpServer::start(Nature::plain());
    let house = house_by(&server, |plan| {
        plan.settings.language = Language::German;
        let mail = plan.settings.mail.as_mut().expect("a mail server");
        mail.from_name = "Torhäuschen".to_owned();
    })
    .await;
    bob_forgets(&house).await;
    delivered(&house).await;
    let letter = server.letter_to("bob@example.org");
    assert_eq!(letter.subject(), "Neues Passwort für Torhäuschen wählen");
    says(&letter, &["Hallo bob,", "Ihr Konto „bob“ bei Torhäuschen", "/reset?token="]);
    assert!(letter.html().contains("<html lang=\"de\">"));
    assert!(letter.header("From").is_ascii(), "{}", letter.header("From"));
    let message = letter.message();
    let from = message.from().and_then(|from| from.first()).and_then(|one| one.name());
    assert_eq!(from.map(str::to_owned), Some("Torhäuschen".to_owned()));
}

#[tokio::test]
async fn an_address_beyond_ascii_needs_a_server_that_takes_it() {
    for (offers, sent) in [(vec![], 0), (vec!["SMTPUTF8"], 1)] {
        let server = SmtpServer::start(Nature { offers, ..Nature::plain() });
        let house = house_with(&server).await;
        let bob = path_of(&house, "bob").await;
        done(&house, Method::PATCH, &bob, "ann", json!({"email": "böb@example.org"})).await;
        delivered(&house).await;
        let taken = server.letters().iter().filter(|one| one.to == ["böb@example.org"]).count();
        assert_eq!(taken, sent);
        if sent == 0 {
            let stuck = outbox(&house, "?status=failed").await;
            assert!(text(&stuck[0]["last_error"]).contains("beyond ASCII"), "{stuck:?}");
        } else {
            assert!(server.heard().iter().any(|line| line.ends_with("> SMTPUTF8")));
        }
    }
}

#[tokio::test]
async fn the_state_of_the_house_warns_of_letters_that_do_not_go_out() {
    let refusing = super::smtp_server::Whim::Say("550 5.1.1 no");
    let server = SmtpServer::start(Nature::moody("RCPT", refusing, 9));
    let house = house_with(&server).await;
    let warnings = async |house: &House| {
        let ann = house.token("ann").await;
        house.get("/api/v1/system").bearer(&ann).send().await.json()["warnings"].to_string()
    };
    assert_eq!(warnings(&house).await, "[]");
    bob_forgets(&house).await;
    delivered(&house).await;
    let told = warnings(&house).await;
    assert!(told.contains("1 letters") && told.contains("outbox?status=failed"), "{told}");
    house.clock.advance(Duration::from_secs(8 * 24 * 3600));
    house.core.sweep().await.expect("swept");
    assert_eq!(warnings(&house).await, "[]");

    let house = House::lived_in_with(|plan| plan.settings.mail = None).await;
    assert!(warnings(&house).await.contains("email.smtp_host is not set"));
    let ann = house.token("ann").await;
    let body = json!({"email": "ann@example.org"});
    let test = house.post("/api/v1/system/mail-test").bearer(&ann).json(&body).send().await;
    assert!(test.problem(503, "unavailable").contains("a mail server is not set up here"));
}
