//! Whether the time of an answer tells who exists: unknown names against known ones, wrong
//! passwords against disabled and pending accounts, addresses that get a letter against others,
//! at each dialect that has them, with hashes as they are by default: `cargo bench --bench timing`.
//!
//! Both sides of a pair are asked in turns, in an order drawn anew each time, so that whatever
//! else the machine does meets both. Ends with failure when two medians differ by more than 5 %.

mod house;

use std::{
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use gatelodge::domain::{
    Settings,
    sign_up::RegistrationMode,
    smtp::{Encryption, MailSettings, Patience},
};
use house::wire::{self, NAME, PASSWORD};
use poem::{
    Addr, Body, Endpoint, Request, RequestParts,
    http::{Method, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use rusqlite::Connection;
use serde_json::{Value, json};

/// Tries of each side, where each costs a hash and where none does.
const HASHED: usize = 200;
const QUICK: usize = 400;
/// Most that two medians may differ by.
const BOUND: f64 = 0.05;
/// A pair that is over the bound is asked again this often: a machine that does something else
/// makes noise, and a leak stays.
const ROUNDS: usize = 5;
const PIN: &str = "4711";
/// Whose address gets a letter, and who has a PIN: somebody else each time, since letters are
/// bounded by address and client, and PINs lock.
const SOMEBODIES: u32 = 3000;

/// What a try asks for; the number of the try makes it another one each time.
type Asked = Box<dyn Fn(usize) -> (Option<String>, Value)>;

/// One of two questions whose times must not differ.
struct Side {
    name: &'static str,
    asked: Asked,
}

struct Pair {
    method: Method,
    path: &'static str,
    tries: usize,
    one: Side,
    other: Side,
}

/// A try's own address, so that no bound on letters and no counter of tries meets it.
fn peer(number: usize) -> RemoteAddr {
    let [.., b, c, d] = u32::try_from(number).expect("few").to_be_bytes();
    RemoteAddr(Addr::from(SocketAddr::from(([10, b, c, d], 50_000))))
}

impl Pair {
    fn request(&self, side: &Side, number: usize) -> Request {
        let (basic, body) = (side.asked)(number);
        let request = poem::http::Request::builder().method(self.method.clone()).uri(self.path);
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        parts.headers.insert("host", "localhost".parse().expect("a header"));
        if let Some(basic) = basic {
            let basic = format!("Basic {}", STANDARD.encode(basic));
            parts.headers.insert("authorization", basic.parse().expect("a header"));
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            parts.headers.insert("content-type", "application/json".parse().expect("a header"));
            Body::from_json(&body).expect("JSON")
        };
        let local = LocalAddr(Addr::from(SocketAddr::from(([127, 0, 0, 1], 8080))));
        let parts = RequestParts::from((parts, local, peer(number), Scheme::HTTP));
        Request::from_parts(parts, body)
    }

    /// Milliseconds until the whole answer is there, and what it says.
    async fn ask(&self, house: &wire::House, side: &Side, number: usize) -> (f64, String) {
        let request = self.request(side, number);
        let start = Instant::now();
        let response = house.endpoint.get_response(request).await;
        let status = response.status();
        let body = response.into_body().into_string().await.expect("a text");
        let passed = house::seconds_since(start) * 1000.0;
        // What goes on behind an answer that is given at once must not meet the next one.
        house.core.quiet().await;
        (passed, format!("{status} {body}"))
    }

    /// The two medians in milliseconds.
    async fn measured(&self, house: &wire::House, from: usize, coin: &mut Coin) -> (f64, f64) {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for number in from..=from + self.tries {
            let first = coin.toss();
            let mut said = Vec::new();
            for is_one in [first, !first] {
                let (side, times) =
                    if is_one { (&self.one, &mut one) } else { (&self.other, &mut other) };
                if self.tries == QUICK {
                    // What a letter leaves behind in caches and threads must not meet the next
                    // one: the same is asked before each.
                    self.ask(house, &self.other, number).await;
                }
                let (passed, answer) = self.ask(house, side, number).await;
                times.push(passed);
                said.push(answer);
            }
            assert_eq!(said[0], said[1], "{} {}", self.path, self.one.name);
        }
        (house::median(one), house::median(other))
    }

    /// Prints a line for each round; whether the medians are near enough to each other.
    async fn is_even(&self, house: &wire::House, coin: &mut Coin) -> bool {
        let names = format!("{} / {}", self.one.name, self.other.name);
        for round in 0..ROUNDS {
            let (one, other) = self.measured(house, round * (self.tries + 1), coin).await;
            let ratio = one / other;
            println!("{names:<36}{:<36}{one:>9.3}{other:>9.3}{ratio:>8.3}", self.path);
            if (ratio - 1.0).abs() <= BOUND {
                return true;
            }
        }
        false
    }
}

/// Which side is asked first: nobody can know it, and it is the same in each run.
struct Coin(u64);

impl Coin {
    fn toss(&mut self) -> bool {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 63 == 1
    }
}

/// A house with hashes as they are by default, open to everybody, whose letters wait.
fn settings(folder: &Path) -> Settings {
    let mut settings = house::settings(folder);
    settings.hash.memory = 19_456;
    settings.hash.passes = 2;
    settings.weak_hashing = false;
    settings.registration = RegistrationMode::Open;
    settings.email_confirmation_required = true;
    settings.throttle.max_attempts = 0;
    settings.pin_networks = vec!["10.0.0.0/8".parse().expect("a network")];
    settings.link_base = Some("https://gate.example.org".to_owned());
    settings.mail = Some(MailSettings {
        host: "127.0.0.1".to_owned(),
        port: 9,
        encryption: Encryption::None,
        ca_file: None,
        login: None,
        from_email: "gate@example.org".to_owned(),
        from_name: "Gatelodge".to_owned(),
        patience: Patience::default(),
    });
    settings
}

/// `ann` and many others are active, `dino` is disabled, `pia` pending; all have a PIN but `nora`.
async fn furnish(house: &wire::House) {
    let bearer = house.native_bearer().await;
    house
        .post("/api/v1/user/pin", &bearer, json!({"current_password": PASSWORD, "pin": PIN}))
        .await;
    for name in ["dino", "nora"] {
        let email = format!("{name}@example.org");
        let body = json!({"username": name, "email": email, "password": PASSWORD});
        house.post("/api/v1/users", &bearer, body).await;
    }
    let pia = json!({"username": "pia", "email": "pia@example.org", "password": PASSWORD});
    house.post("/api/v1/auth/register", "", pia).await;
    let file = Connection::open(house.folder.path().join("gatelodge.db")).expect("the database");
    file.execute(house::ACCOUNTS, [SOMEBODIES]).expect("accounts");
    file.execute_batch(
        "UPDATE accounts SET status = 'disabled' WHERE username = 'dino';
         UPDATE accounts SET pin_hash = (SELECT pin_hash FROM accounts WHERE username = 'ann')
         WHERE username <> 'nora';
         UPDATE accounts SET email_verified = 0 WHERE username LIKE 'somebody%';
         PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .expect("the rest of it");
    // Longer than the house takes to see that somebody else wrote.
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn body(name: &'static str, of: impl Fn(usize) -> Value + 'static) -> Side {
    Side { name, asked: Box::new(move |number| (None, of(number))) }
}

/// A password that nobody has, another one each time: wrong ones may be remembered.
fn wrong(number: usize) -> String {
    format!("Chestnut-tree-{number}")
}

/// A knock with a wrong password at one door, by whoever is named.
fn knock(at: &'static str, who: &'static str, name: &'static str) -> Side {
    let named = move |number: usize| {
        if who == "unknown" { format!("nobody{number}") } else { who.to_owned() }
    };
    match at {
        "/auth/login" => body(
            name,
            move |number| json!({"email": format!("{}@example.org", named(number)), "password": wrong(number)}),
        ),
        path if path.ends_with("/login") => {
            body(name, move |number| json!({"username": named(number), "password": wrong(number)}))
        }
        _ => {
            let basic = move |number| format!("{}:{}", named(number), wrong(number));
            Side { name, asked: Box::new(move |number| (Some(basic(number)), Value::Null)) }
        }
    }
}

fn pairs() -> Vec<Pair> {
    let doors = [
        (Method::POST, "/api/v1/auth/login"),
        (Method::GET, "/api/v1/user"),
        (Method::POST, "/api/auth/login"),
        (Method::GET, "/api/logs"),
        (Method::POST, "/auth/login"),
        (Method::GET, "/api/2/me"),
    ];
    let mut pairs = Vec::new();
    for (method, path) in doors {
        for (who, name) in [("unknown", "unknown name"), ("dino", "disabled"), ("pia", "pending")] {
            let one = knock(path, who, name);
            let other = knock(path, NAME, "wrong password");
            pairs.push(Pair { method: method.clone(), path, tries: HASHED, one, other });
        }
    }
    pairs.extend(by_pin());
    pairs.extend(by_letter());
    pairs
}

fn by_pin() -> Vec<Pair> {
    let pair = |one: Side, other: Side| Pair {
        method: Method::POST,
        path: "/auth/login",
        tries: HASHED,
        one,
        other,
    };
    let of = |name, who: &'static str| body(name, move |_| json!({"name": who, "pin": "0000"}));
    let somebody = || {
        body(
            "wrong PIN",
            |number| json!({"name": format!("somebody{}", number + 1), "pin": "0000"}),
        )
    };
    let nobody =
        || body("unknown name", |number| json!({"name": format!("nobody{number}"), "pin": "0000"}));
    vec![
        pair(nobody(), somebody()),
        pair(of("locked PIN", NAME), nobody()),
        pair(of("without a PIN", "nora"), nobody()),
        pair(of("disabled", "dino"), nobody()),
        pair(of("pending", "pia"), nobody()),
    ]
}

fn by_letter() -> Vec<Pair> {
    let doors = [
        "/api/v1/auth/forgot-password",
        "/api/v1/auth/resend-verification",
        "/api/2/password-reset",
    ];
    let pair = |path: &'static str| Pair {
        method: Method::POST,
        path,
        tries: QUICK,
        one: body(
            "mailed",
            |number| json!({"email": format!("somebody{}@example.org", number + 1)}),
        ),
        other: body("not mailed", |number| json!({"email": format!("nobody{number}@example.org")})),
    };
    doors.map(pair).into()
}

#[tokio::main]
async fn main() -> ExitCode {
    let house = wire::House::new(|folder| settings(folder.path()), false).await;
    furnish(&house).await;
    println!("{}, load {}", house::machine(), house::load());
    println!("{:<36}{:<36}{:>9}{:>9}{:>8}", "medians in milliseconds", "", "one", "other", "ratio");
    let (mut coin, mut uneven) = (Coin(1), 0);
    for pair in pairs() {
        if !pair.is_even(&house, &mut coin).await {
            uneven += 1;
        }
    }
    let file = Connection::open(house.folder.path().join("gatelodge.db")).expect("the database");
    let count = "SELECT count(*) FROM outbox WHERE recipient LIKE 'somebody%'";
    let letters: u32 = file.query_row(count, [], |row| row.get(0)).expect("a count");
    assert!(letters as usize > 3 * QUICK, "there were letters: {letters}");
    if uneven == 0 {
        return ExitCode::SUCCESS;
    }
    println!("{uneven} pairs differ by more than {} %", BOUND * 100.0);
    ExitCode::FAILURE
}
