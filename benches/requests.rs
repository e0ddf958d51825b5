//! What signed-in requests of each dialect cost, against a bare handler that answers as many bytes,
//! in process and over real connections: `cargo bench --bench requests`.

mod house;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use house::wire::{self, Asking, EMAIL, Kind, NAME, PASSWORD, Served, bearer, serve};
use poem::Endpoint;
use rusqlite::{Connection, params};
use serde_json::json;

const PIN: &str = "4711";
const CONNECTIONS: usize = 8;
const TURNS: usize = 9;
const TURN: Duration = Duration::from_millis(400);
const FEW: u32 = 10;
const MANY: u32 = 100_000;
/// Of those who have the sessions.
const LODGERS: u32 = 1000;

/// A house whose one person has signed in at every dialect.
struct House {
    endpoint: Served,
    kinds: Vec<Kind>,
    inside: wire::House,
}

impl House {
    async fn new(sessions: u32, log_access: bool) -> Self {
        let inside = wire::House::new(|folder| house::settings(folder.path()), log_access).await;
        let kinds = sign_in(&inside).await;
        let house = Self { endpoint: Arc::clone(&inside.endpoint), kinds, inside };
        house.fill(sessions);
        house
    }

    /// So many live sessions of others, and as many ended ones.
    fn fill(&self, sessions: u32) {
        let file = self.inside.folder.path().join("gatelodge.db");
        let file = Connection::open(file).expect("the database");
        file.execute(house::ACCOUNTS, [LODGERS]).expect("accounts");
        for (place, ended) in [(1, None), (2, Some(1))] {
            file.execute(
                "INSERT INTO sessions (id, account_id, dialect, method, refresh_digest, address,
                     user_agent, created_at, last_seen_at, expires_at, ended_at)
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                 SELECT lower(printf('%s-%s-4%s-8%s-%s', hex(randomblob(4)), hex(randomblob(2)),
                         substr(hex(randomblob(2)), 2), substr(hex(randomblob(2)), 2),
                         hex(randomblob(6)))),
                     printf('00000000-0000-4000-8000-%012x', 1 + i % ?2), 'native', 'password',
                     randomblob(32), '192.0.2.' || ?3, 'an app', i, i, 1 << 52, ?4
                 FROM n",
                params![sessions, LODGERS, place, ended],
            )
            .expect("sessions");
        }
        file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    }
}

async fn sign_in(house: &wire::House) -> Vec<Kind> {
    let native = house.native_bearer().await;
    let pin = json!({"current_password": PASSWORD, "pin": PIN});
    house.post("/api/v1/user/pin", &native, pin).await;
    let named = json!({"username": NAME, "password": PASSWORD});
    let pair = bearer(&house.post("/api/auth/login", "", named).await.0["access_token"]);
    let by_email = json!({"email": EMAIL, "password": PASSWORD});
    let signup = bearer(&house.post("/auth/login", "", by_email).await.0["token"]);
    let by_pin = json!({"name": NAME, "pin": PIN});
    let (_, cookies) = house.post("/auth/login", "", by_pin).await;
    vec![
        Kind::new("pin-cookie", "/users/me", "cookie", cookies),
        Kind::new("pair-Bearer", "/api/logs?limit=1", "authorization", pair),
        Kind::new("signup-Bearer", "/dashboard", "authorization", signup),
        Kind::new("native-Bearer", "/api/v1/user", "authorization", native),
    ]
}

/// Requests per second, one after the other, without a connection.
async fn in_process(endpoint: &Served, kind: &Kind) -> f64 {
    let (start, mut done) = (Instant::now(), 0_u32);
    while start.elapsed() < TURN {
        for _ in 0..16 {
            let response = endpoint.get_response(kind.request()).await;
            let body = response.into_body().into_bytes().await.expect("a body");
            assert!(!body.is_empty());
        }
        done += 16;
    }
    f64::from(done) / house::seconds_since(start)
}

async fn over_connections(address: std::net::SocketAddr, kind: &Kind) -> f64 {
    let requests = vec![kind.bytes()].into();
    let asking = Asking { requests, connections: CONNECTIONS, time: TURN };
    wire::over_connections(address, &asking).await
}

fn head(title: &str, base: &str, ours: &str) {
    println!("\n{title}");
    println!("{:<16}{:<20}{base:>12}{ours:>12}{:>8}", "", "", "ratio");
}

async fn row(kind: &Kind, base: impl AsyncFn() -> f64, ours: impl AsyncFn() -> f64) {
    let house::Compared { base, ours, ratio } = house::compare(TURNS, base, ours).await;
    println!("{:<16}{:<20}{base:>12.0}{ours:>12.0}{ratio:>8.2}", kind.name, kind.path);
}

async fn against_bare(title: &str, house: &House) {
    head(title, "bare/s", "ours/s");
    for kind in &house.kinds {
        let bare = kind.bare(&house.endpoint).await;
        let (at_bare, at_ours) = (serve(&bare).await, serve(&house.endpoint).await);
        row(
            kind,
            async || over_connections(at_bare, kind).await,
            async || over_connections(at_ours, kind).await,
        )
        .await;
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let house = House::new(FEW, false).await;
    // For a profiler: `cargo bench --bench requests -- pair-Bearer` does only this, and only ours.
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    if let Some(wanted) = wanted {
        let address = serve(&house.endpoint).await;
        for kind in house.kinds.iter().filter(|kind| kind.name == wanted) {
            for _ in 0..TURNS * 2 {
                let (alone, connected) = (
                    in_process(&house.endpoint, kind).await,
                    over_connections(address, kind).await,
                );
                println!("{:<16}{alone:>12.0}{connected:>12.0}", kind.name);
            }
        }
        return;
    }
    println!("requests per second, the median of {TURNS}; {}", house::machine());

    against_bare(&format!("over {CONNECTIONS} kept loopback connections"), &house).await;

    head("in process, through all routes", "bare/s", "ours/s");
    for kind in &house.kinds {
        let bare = kind.bare(&house.endpoint).await;
        row(
            kind,
            async || in_process(&bare, kind).await,
            async || in_process(&house.endpoint, kind).await,
        )
        .await;
    }

    let many = House::new(MANY, false).await;
    let title =
        format!("{MANY} live and {MANY} ended sessions in the file against {FEW} and {FEW}");
    head(&format!("{title}, over connections"), "few/s", "many/s");
    for (kind, same) in house.kinds.iter().zip(&many.kinds) {
        let (at_few, at_many) = (serve(&house.endpoint).await, serve(&many.endpoint).await);
        row(
            kind,
            async || over_connections(at_few, kind).await,
            async || over_connections(at_many, same).await,
        )
        .await;
    }
    head(&format!("{title}, in process"), "few/s", "many/s");
    for (kind, same) in house.kinds.iter().zip(&many.kinds) {
        row(
            kind,
            async || in_process(&house.endpoint, kind).await,
            async || in_process(&many.endpoint, same).await,
        )
        .await;
    }

    wire::silence_stderr();
    let logging = House::new(FEW, true).await;
    against_bare("over connections, with a line in the log for each request", &logging).await;
}
