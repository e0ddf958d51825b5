//! All dialects together: no token crosses, and what is true in one is true in all (wire rules 1,
//! 2, 13, 14).

use std::time::Duration;

use gatelodge::{
    domain::{
        Clock, Core,
        accounts::{AccountId, Status},
        caller::Caller,
        people::{UserChange, UserDraft},
        secret::Secret,
        sign_up::RegistrationMode,
    },
    http::documents,
};
use poem::http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    house::{Answer, House, PASSWORD, Plan, Server, text},
    pin::PIN,
    places::{
        PLACES,
        Place::{self, *},
        Step, carried, sign_ins,
    },
};

const NEW: &str = "Chestnut-tree-8";

async fn sign_in_everywhere(house: &House, name: &str, password: &str) -> Vec<(Place, String)> {
    let mut answers = Vec::new();
    for (step, _) in sign_ins(name, password, PIN) {
        answers.push(step.at(house).await);
    }
    carried(&answers)
}

async fn all_end(house: &House, tokens: &[(Place, String)], why: &str) {
    for (place, token) in tokens {
        place.refuses(&place.present(token).at(house).await, why);
    }
}

async fn add(core: &Core, name: &str, role: &str) -> AccountId {
    let draft = UserDraft {
        username: name.to_owned(),
        email: Some(format!("{name}@example.org")),
        password: Some(Secret::new(PASSWORD)),
        pin: Some(Secret::new(PIN)),
        role: Some(role.to_owned()),
        ..UserDraft::default()
    };
    core.user_create(&Caller::operator(), draft).await.expect("an account").id
}

/// A house in which `ann` is admin and `mia` maintainer, both with password and PIN.
async fn house_with(change: impl FnOnce(&mut Plan)) -> (House, AccountId) {
    let house = House::with(|plan| {
        plan.settings.throttle.max_attempts = 0;
        change(plan);
    });
    let house = house.await;
    add(&house.core, "ann", "admin").await;
    let mia = add(&house.core, "mia", "maintainer").await;
    (house, mia)
}

#[tokio::test]
async fn no_token_crosses_into_another_place() {
    let (house, _) = house_with(|_| {}).await;
    let mut tokens = sign_in_everywhere(&house, "ann", PASSWORD).await;
    let native = tokens[0].1.clone();
    let pair = tokens.iter().find(|(place, _)| *place == Pair).expect("a token").1.clone();
    let key = Step::post("/api/v1/api-keys", json!({"name": "a script"})).bearer(&native);
    tokens.push((NativeKey, text(&key.at(&house).await.json()["key"])));
    let ticket = Step::get("/api/ws-token").bearer(&pair).at(&house).await.json();
    tokens.push((PairStream, text(&ticket["token"])));
    let mut tried = 0;
    for (own, token) in &tokens {
        for place in PLACES {
            // A key is a Bearer credential too.
            if place == *own || (*own == NativeKey && place == Native) {
                continue;
            }
            let what = format!("with what is for {own:?}");
            place.refuses(&place.present(token).at(&house).await, &what);
            tried += 1;
        }
        for (prefix, own_ones) in [("/api/v1", vec![Native, NativeKey]), ("/api", vec![Pair])] {
            if !own_ones.contains(own) {
                let path = format!("{prefix}/no-such-thing");
                let answer = Step::get(&path).bearer(token).at(&house).await;
                assert_eq!(answer.status, 401, "{path} with what is for {own:?}");
            }
        }
    }
    assert_eq!(tried, tokens.len() * (PLACES.len() - 1) - 1);
    for (own, token) in tokens.iter().filter(|(own, _)| *own != PairStream) {
        let answer = own.present(token).at(&house).await;
        assert_eq!(answer.status, own.welcome(), "{own:?}: {}", answer.text());
    }
}

/// Everything that ends all of mia's sessions, through one dialect or another.
fn deeds(mia: AccountId, ann: &str) -> Vec<(&'static str, Step)> {
    let path = format!("/api/v1/users/{mia}");
    let patch =
        |change: Value| Step { method: Method::PATCH, ..Step::post(&path, change).bearer(ann) };
    let own = json!({"current_password": PASSWORD, "new_password": NEW});
    vec![
        ("disabled", patch(json!({"status": "disabled"}))),
        ("deleted", Step::new(Method::DELETE, &path).bearer(ann)),
        ("demoted", patch(json!({"role": "reader"}))),
        ("password", patch(json!({"password": NEW}))),
        ("password", Step::post("/api/v1/user/password", own.clone()).basic("mia", PASSWORD)),
        ("password", Step::post("/api/change-password", own).basic("mia", PASSWORD)),
    ]
}

/// Which of the sign-ins are open after a deed: old password, and new.
#[track_caller]
fn check_doors(deed: &str, old: &[Answer], new: &[Answer]) {
    let steps = sign_ins("mia", PASSWORD, PIN);
    for (at, (step, refusal)) in steps.iter().enumerate() {
        let by_pin = step.body.get("pin").is_some();
        let (with_old, with_new) = match deed {
            "disabled" | "deleted" => (*refusal, *refusal),
            "demoted" if by_pin => (200, 200),
            "demoted" => (200, *refusal),
            "password" if by_pin => (200, 200),
            _ => (*refusal, 200),
        };
        let seen = (old[at].status, new[at].status);
        assert_eq!(seen, (with_old, with_new), "{deed}: {} {}", step.path, step.body);
    }
}

/// The role as each dialect tells it.
fn roles(answers: &[Answer]) -> [Value; 3] {
    let [native, _, pin, _, signup, _] = answers else { panic!("six answers") };
    let native = native.json()["user"]["role"].clone();
    [native, pin.json()["user"]["role"].clone(), signup.json()["role"].clone()]
}

#[tokio::test]
async fn what_is_done_through_one_dialect_is_true_in_all_at_the_next_request() {
    for number in 0..6 {
        let (house, mia) = house_with(|_| {}).await;
        let ann = house.token("ann").await;
        let tokens = sign_in_everywhere(&house, "mia", PASSWORD).await;
        for (place, token) in tokens.iter().filter(|(place, _)| *place != NativeRefresh) {
            if *place != PairRefresh {
                let answer = place.present(token).at(&house).await;
                assert_eq!(answer.status, place.welcome(), "{place:?}: {}", answer.text());
            }
        }
        let (deed, step) = deeds(mia, &ann).swap_remove(number);
        let done = step.at(&house).await;
        assert!(done.status < 300, "{deed}: {}", done.text());
        all_end(&house, &tokens, deed).await;
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (step, _) in sign_ins("mia", PASSWORD, PIN) {
            old.push(step.at(&house).await);
        }
        for (step, _) in sign_ins("mia", NEW, PIN) {
            new.push(step.at(&house).await);
        }
        check_doors(deed, &old, &new);
        if deed == "demoted" {
            assert_eq!(roles(&old), [json!("reader"), json!("reader"), json!("READER")]);
        }
    }
}

/// The house as the command line opens it, beside the running server.
async fn beside(folder: &std::path::Path) -> Core {
    let mut settings = House::new().await.core.settings().clone();
    settings.data_dir = folder.to_owned();
    Core::open(settings, Clock::real()).await.expect("a house")
}

#[tokio::test]
async fn what_another_process_does_is_true_in_all_dialects_of_a_running_server() {
    for deed in ["disabled", "deleted", "demoted", "password"] {
        let folder = tempfile::tempdir().expect("a folder");
        let core = beside(folder.path()).await;
        add(&core, "ann", "admin").await;
        let server = Server::start(folder.path(), &[("MAX_LOGIN_ATTEMPTS", "0")]);
        let mia = add(&core, "mia", "maintainer").await;
        let ask_all = |password| -> Vec<Answer> {
            sign_ins("mia", password, PIN).iter().map(|(step, _)| step.on(&server)).collect()
        };
        let tokens = carried(&ask_all(PASSWORD));
        assert_eq!(Native.present(&tokens[0].1).on(&server).status, 200);
        let change = match deed {
            "disabled" => UserChange { status: Some(Status::Disabled), ..UserChange::default() },
            "demoted" => UserChange { role: Some("reader".to_owned()), ..UserChange::default() },
            _ => UserChange { password: Some(Secret::new(NEW)), ..UserChange::default() },
        };
        let operator = Caller::operator();
        match deed {
            "deleted" => core.user_delete(&operator, mia).await.expect("gone"),
            _ => drop(core.user_update(&operator, mia, change).await.expect("changed")),
        }
        let noticed = (0..2400).any(|_| {
            std::thread::sleep(Duration::from_millis(25));
            Native.present(&tokens[0].1).on(&server).status == 401
        });
        assert!(noticed, "{deed}");
        for (place, token) in &tokens {
            place.refuses(&place.present(token).on(&server), deed);
        }
        check_doors(deed, &ask_all(PASSWORD), &ask_all(NEW));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_first_accounts_through_two_dialects_one_is_admin() {
    for mode in [RegistrationMode::Closed, RegistrationMode::Open].repeat(4) {
        let house = House::with(|plan| plan.settings.registration = mode).await;
        let native = Step::post(
            "/api/v1/auth/register",
            json!({"username": "ann", "email": "ann@example.org", "password": PASSWORD}),
        );
        let signup = Step::post(
            "/auth/signup",
            json!({
                "name": "Bob",
                "email": "bob@example.org",
                "password": PASSWORD,
                "confirm_password": PASSWORD,
            }),
        );
        let (native, signup) =
            futures_util::future::join(native.at(&house), signup.at(&house)).await;
        let mut statuses = [native.status, signup.status];
        statuses.sort_unstable();
        let second = if mode == RegistrationMode::Closed { 403 } else { 201 };
        assert_eq!(statuses, [201, second], "{} {}", native.text(), signup.text());
        let connection = Connection::open(house.database()).expect("the database");
        let admins = "SELECT count(*) FROM accounts WHERE role = 'admin'";
        let admins: i64 = connection.query_row(admins, [], |row| row.get(0)).expect("a number");
        assert_eq!(admins, 1);
    }
}

#[test]
fn what_was_signed_out_stays_so_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let core = beside(folder.path()).await;
        add(&core, "ann", "admin").await;
    });
    for last in [Native, Pages, Pin, Pair] {
        let server = Server::start(folder.path(), &[]);
        let all = || {
            let steps = sign_ins("ann", PASSWORD, PIN);
            carried(&steps.each_ref().map(|(step, _)| step.on(&server)))
        };
        let (ended, kept) = (all(), all());
        let of = |place: Place| &ended.iter().find(|(own, _)| *own == place).expect("one").1;
        let out = last.sign_out(of(last)).expect("a way out").on(&server);
        assert!(out.status < 300, "{last:?}: {}", out.text());
        server.kill();

        let server = Server::start(folder.path(), &[]);
        let gone = |place: &Place| match last {
            Native => matches!(place, Native | NativeRefresh),
            Pin => matches!(place, Pin | PinRefresh),
            Pair => matches!(place, Pair | PairRefresh),
            other => *place == other,
        };
        for (place, token) in ended.iter().filter(|(place, _)| gone(place)) {
            place.refuses(&place.present(token).on(&server), "after the kill");
        }
        for (place, token) in kept.iter().filter(|(place, _)| gone(place)) {
            let answer = place.present(token).on(&server);
            assert_eq!(answer.status, place.welcome(), "{place:?}: {}", answer.text());
        }
    }
}

/// Other ways to write a token.
fn spellings(token: &str) -> Vec<String> {
    let (front, last) = token.split_at(token.len() - 1);
    let (head, signature) = token.rsplit_once('.').unwrap_or(("", token));
    let mut all: Vec<String> = vec![
        token.to_owned(),
        token.to_uppercase(),
        token.to_lowercase(),
        format!("{head}.{}", signature.to_uppercase()),
        format!("{token}="),
        format!("{token}=="),
        format!("{token}%3D"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}\t"),
        format!("{token} x"),
        format!("\"{token}\""),
        format!("{token}, {token}"),
        token.replace('.', "%2E"),
        token.replace('-', "+").replace('_', "/"),
    ];
    const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let others = BASE64.chars().filter(|other| !last.starts_with(*other));
    all.extend(others.map(|other| format!("{front}{other}")));
    all
}

#[tokio::test]
async fn no_spelling_of_an_ended_token_is_alive() {
    let (house, _) = house_with(|_| {}).await;
    let ended = sign_in_everywhere(&house, "mia", PASSWORD).await;
    let here = house.token("mia").await;
    let others = Step::new(Method::DELETE, "/api/v1/user/sessions").bearer(&here);
    assert!(others.at(&house).await.status < 300);
    for (place, token) in &ended {
        for spelling in spellings(token) {
            place.refuses(&place.present(&spelling).at(&house).await, &spelling);
        }
    }
    assert_eq!(Native.present(&here).at(&house).await.status, 200);
}

#[tokio::test]
async fn an_account_made_through_any_dialect_signs_in_through_all() {
    let (house, _) = house_with(|plan| plan.settings.registration = RegistrationMode::Open).await;
    let ann = house.token("ann").await;
    let with = |name: &str| {
        json!({
            "username": name,
            "email": format!("{name}@example.org"),
            "password": PASSWORD,
        })
    };
    let signup = json!({
        "name": "Cyd",
        "email": "cyd@example.org",
        "password": PASSWORD,
        "confirm_password": PASSWORD,
    });
    for (who, step) in [
        ("bob", Step::post("/api/v1/auth/register", with("bob"))),
        ("cyd@example.org", Step::post("/auth/signup", signup)),
        ("dan", Step::post("/api/v1/users", with("dan")).bearer(&ann)),
    ] {
        let made = step.at(&house).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let name = who.split('@').next().expect("a name");
        let mut sign_ins = sign_ins(name, PASSWORD, PIN);
        for (step, _) in &mut sign_ins {
            for key in ["username", "name"] {
                if step.body.get(key).is_some() {
                    step.body[key] = json!(who);
                }
            }
        }
        let token = text(&sign_ins[0].0.at(&house).await.json()["token"]);
        let no_pin_yet = sign_ins[2].0.at(&house).await;
        assert_eq!(no_pin_yet.status, 401);
        let pin = json!({"current_password": PASSWORD, "pin": PIN});
        let set = Step::post("/api/v1/user/pin", pin).bearer(&token).at(&house).await;
        assert_eq!(set.status, 200, "{}", set.text());
        let mut answers = Vec::new();
        for (step, _) in &sign_ins {
            answers.push(step.at(&house).await);
        }
        for (place, token) in carried(&answers) {
            let answer = place.present(&token).at(&house).await;
            assert_eq!(answer.status, place.welcome(), "{who} {place:?}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn documents_are_the_same_made_committed_and_served() {
    let house = House::new().await;
    let names: Vec<&str> = documents::dialects().collect();
    assert_eq!(names, ["native", "pin", "pair", "signup", "gpodder"]);
    for name in names {
        let committed = documents::committed(name).expect("a document");
        let made = documents::generate(name).expect("a dialect").expect("a document");
        assert_eq!(made, committed, "{name}: cargo run -- openapi --write");
        let path = format!("{}/openapi/{name}.json", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(std::fs::read_to_string(path).expect("a file"), committed);
        let served = house.get(&format!("/openapi/{name}.json")).send().await;
        assert_eq!((served.status, served.text().as_str()), (200, committed.as_str()));
    }
}

#[tokio::test]
async fn the_shared_sign_in_is_documented_in_both_shapes() {
    let house = House::new().await;
    for name in ["pin", "signup"] {
        let document = house.get(&format!("/openapi/{name}.json")).send().await.json();
        let schemas = &document["components"]["schemas"];
        let login = schemas["Login"]["anyOf"].as_array().or(schemas["Login"]["oneOf"].as_array());
        assert_eq!(login.map(Vec::len), Some(2), "{name}: {}", schemas["Login"]);
        for (shape, fields) in
            [("PinLogin", ["name", "pin"]), ("EmailLogin", ["email", "password"])]
        {
            for field in fields {
                assert!(schemas[shape]["example"][field].is_string(), "{name} {shape} {field}");
            }
        }
    }
}
