//! The figures that Gatelodge wants to reach on two cores: `cargo bench --bench figures`. Takes ten
//! minutes, most of them waiting. `-- 61` after it lets a server idle for at least 61 minutes,
//! `-- rates` measures the rates alone.
//!
//! Memory, start, crowd and disk are those of the program itself with default settings. Rates are
//! measured in this process, in turns: both sides are served by the same connection loop on the
//! same runtime, and asked by the same clients on a thread of their own.

mod house;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD};
use gatelodge::{
    cli,
    domain::passwords::{HashKind, HashPolicy},
};
use house::{
    median,
    program::{Program, add_person},
    wire::{self, Asking, Connection, House, Kind, NAME, PASSWORD, serve},
};
use rusqlite::params;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::Barrier, task::JoinSet, time::MissedTickBehavior};

const MIB: f64 = 1024.0 * 1024.0;
const TURNS: usize = 9;
const TURN: Duration = Duration::from_millis(500);
const STARTS: usize = 11;
const MANY: u32 = 100_000;
const CONNECTIONS: usize = 8;
const CROWD: u32 = 200;
const ROUNDS: usize = 3;
/// How long memory may take to come back, in seconds.
const BACK: u64 = 120;
/// For what is written together once a minute.
const BOOKKEEPING: Duration = Duration::from_secs(65);
/// What the issue allows above a figure that is measured: caches, threads, connections.
const SLACK: f64 = 15.0 * MIB;
const LANE: f64 = 19.0 * MIB;

/// As many as the program has by default.
fn lanes() -> usize {
    (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1)
}

/// What passwords cost by default.
fn policy() -> HashPolicy {
    HashPolicy {
        kind: HashKind::Argon2id,
        memory: 19_456,
        passes: 2,
        parallelism: 1,
        lanes: lanes(),
        queue: 256,
    }
}

#[derive(Default)]
struct Table(Vec<[String; 4]>);

impl Table {
    fn row(&mut self, figure: &str, measured: String, wanted: &str, met: Option<bool>) {
        let met = met.map_or("", |met| if met { "met" } else { "NOT MET" });
        eprintln!("… {figure}: {measured}");
        self.0.push([figure.to_owned(), measured, wanted.to_owned(), met.to_owned()]);
    }

    /// Something to know, without an aim.
    fn told(&mut self, figure: &str, measured: String) {
        self.row(figure, measured, "", None);
    }

    fn print(&self) {
        let head = ["figure", "measured", "wanted", ""].map(str::to_owned);
        let rows = || [&head].into_iter().chain(&self.0);
        let width = |column: usize| rows().map(|row| row[column].chars().count()).max();
        let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or_default());
        for (number, row) in rows().enumerate() {
            let cell = |column: usize| format!("{:<1$}", row[column], widths[column]);
            println!("| {} | {} | {} | {} |", cell(0), cell(1), cell(2), cell(3));
            if number == 0 {
                println!("|{}|", widths.map(|width| "-".repeat(width + 2)).join("|"));
            }
        }
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB)
}

/// A folder with a person and so many neighbours, all of whom have that person's password.
fn settled(neighbours: u32) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    add_person(folder.path());
    let file = rusqlite::Connection::open(folder.path().join("gatelodge.db")).expect("a database");
    file.execute(house::ACCOUNTS, [neighbours]).expect("accounts");
    let hash = "UPDATE accounts SET password_hash =
        (SELECT password_hash FROM accounts WHERE username = ?1) WHERE password_hash IS NULL";
    file.execute(hash, params![NAME]).expect("passwords");
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    folder
}

/// The median start, in milliseconds; the first does not count.
fn starts(folder: impl Fn() -> TempDir) -> f64 {
    let one = |_| {
        let folder = folder();
        Program::start(folder.path()).started
    };
    median((0..=STARTS).map(one).skip(1).collect())
}

fn starts_again(folder: &Path) -> f64 {
    median((0..=STARTS).map(|_| Program::start(folder).started).skip(1).collect())
}

fn measure_starts(table: &mut Table, many: &Path) {
    let first = starts(|| tempfile::tempdir().expect("a folder"));
    let mut tell = |what: &str, time: f64| {
        let figure = format!("start to the first 200 of `/health`, {what}");
        table.row(&figure, format!("{time:.0} ms"), "≤ 100 ms", Some(time <= 100.0));
    };
    tell("no database yet", first);
    let empty = tempfile::tempdir().expect("a folder");
    drop(Program::start(empty.path()));
    tell("empty database", starts_again(empty.path()));
    tell("100,000 accounts", starts_again(many));
}

/// The bytes of a request of ours, from a client of its own.
fn request(head: &str, client: u32, more: &str, body: &str) -> Vec<u8> {
    let [_, b, c, d] = client.to_be_bytes();
    format!(
        "{head} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\
         x-forwarded-for: 10.{b}.{c}.{d}\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn login(name: &str, client: u32) -> Vec<u8> {
    let body = json!({"username": name, "password": PASSWORD}).to_string();
    let kind = "content-type: application/json\r\n";
    request("POST /api/v1/auth/login", client, kind, &body)
}

fn neighbour(number: u32) -> String {
    format!("somebody{number}")
}

fn with_token(token: &str, client: u32) -> Vec<u8> {
    request("GET /api/v1/user", client, &format!("authorization: {token}\r\n"), "")
}

async fn token_of(address: SocketAddr, name: &str) -> String {
    let mut connection = Connection::to(address).await;
    let body = connection.ask(&login(name, 1)).await;
    let answer: Value = serde_json::from_slice(body).expect("JSON");
    wire::bearer(&answer["token"])
}

/// The rates, in this process.
async fn measure_rates(table: &mut Table) {
    let settings = |folder: &TempDir| {
        let mut settings = house::settings(folder.path());
        settings.hash = policy();
        // The bucket is asked as ever, but refuses nobody.
        settings.throttle.requests_per_second = 1_000_000;
        settings.throttle.burst = 1_000_000;
        settings
    };
    let house = House::new(settings, true).await;
    let asking = |bytes: Vec<u8>| Asking {
        requests: vec![bytes].into(),
        connections: CONNECTIONS,
        time: TURN,
    };
    let token = Kind::new("token", "/api/v1/user", "authorization", house.native_bearer().await);
    let pair = format!("Basic {}", STANDARD.encode(format!("{NAME}:{PASSWORD}")));
    let basic = Kind::new("Basic", "/api/v1/user", "authorization", pair);
    let bare = token.bare(&house.endpoint).await;
    let (at_bare, at_ours) = (serve(&bare).await, serve(&house.endpoint).await);
    let (by_token, by_basic) = (asking(token.bytes()), asking(basic.bytes()));
    let compared = house::compare(
        TURNS,
        async || wire::over_connections(at_bare, &by_token).await,
        async || wire::over_connections(at_ours, &by_token).await,
    )
    .await;
    table.row(
        "token requests, of a bare poem handler's",
        format!("{:.2} ({:.0} of {:.0}/s)", compared.ratio, compared.ours, compared.base),
        "≥ 0.60",
        Some(compared.ratio >= 0.6),
    );
    let compared = house::compare(
        TURNS,
        async || wire::over_connections(at_ours, &by_token).await,
        async || wire::over_connections(at_ours, &by_basic).await,
    )
    .await;
    table.row(
        "repeated Basic, of token requests",
        format!("{:.2} ({:.0} of {:.0}/s)", compared.ratio, compared.ours, compared.base),
        "≥ 0.50",
        Some(compared.ratio >= 0.5),
    );
    // Each turn long enough for a hundred.
    let time = TURN * 4;
    let requests = vec![login(NAME, 1)].into();
    let logins = Asking { requests, connections: CONNECTIONS, time };
    let compared = house::compare(
        TURNS,
        async || tokio::task::spawn_blocking(move || raw_hashes(time)).await.expect("hashes"),
        async || wire::over_connections(at_ours, &logins).await,
    )
    .await;
    table.row(
        "logins, of what the lanes hash raw",
        format!("{:.2} ({:.1} of {:.1}/s)", compared.ratio, compared.ours, compared.base),
        "≥ 0.90",
        Some(compared.ratio >= 0.9),
    );
    measure_chores(table, &house).await;
}

/// Hashes per second of as many threads as there are lanes, each with its own memory.
fn raw_hashes(time: Duration) -> f64 {
    let HashPolicy { memory, passes, parallelism, lanes, .. } = policy();
    let one = move || {
        let params = Params::new(memory, passes, parallelism, Some(32)).expect("parameters");
        let mut blocks = vec![Block::default(); params.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let (start, mut done, mut hash) = (Instant::now(), 0_u32, [0; 32]);
        while start.elapsed() < time {
            argon2
                .hash_password_into_with_memory(
                    PASSWORD.as_bytes(),
                    &[7; 16],
                    &mut hash,
                    &mut blocks,
                )
                .expect("a hash");
            done += 1;
        }
        f64::from(done) / house::seconds_since(start)
    };
    let threads: Vec<_> = (0..lanes).map(|_| std::thread::spawn(one)).collect();
    threads.into_iter().map(|thread| thread.join().expect("a lane")).sum()
}

/// What the house does by itself, each job once: the hourly one too, for which no bench waits.
async fn measure_chores(table: &mut Table, house: &House) {
    let path = house.folder.path().join("gatelodge.db");
    // The clients are gone; what they left to write is written.
    house.core.settle().await.expect("settled");
    let watcher = rusqlite::Connection::open(path).expect("the database");
    let version = || -> i64 {
        watcher.query_row("PRAGMA data_version", [], |row| row.get(0)).expect("a version")
    };
    let written = || {
        let text = std::fs::read_to_string("/proc/self/io").expect("proc");
        let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        line.and_then(|bytes| bytes.parse::<u64>().ok()).expect("a number")
    };
    let before = (version(), written());
    house.core.notice_others().await.expect("looked");
    house.core.settle().await.expect("settled");
    house.core.sweep().await.expect("swept");
    let bytes = written() - before.1;
    table.row(
        "written by each periodic job once, the hourly one too, nothing being due",
        format!("{bytes} bytes, {} commits", i64::from(version() != before.0)),
        "nothing",
        Some(bytes == 0 && version() == before.0),
    );
}

/// How many milliseconds token requests take that are due every ten, whether or not the last one
/// has been answered, until `done`.
async fn paced(address: SocketAddr, token: String, from: u32, done: Arc<AtomicBool>) -> Vec<f64> {
    let mut connection = Connection::to(address).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut times = Vec::new();
    for client in from.. {
        let due = ticks.tick().await;
        if done.load(Ordering::Relaxed) {
            break;
        }
        connection.ask(&with_token(&token, client)).await;
        times.push(due.elapsed().as_secs_f64() * 1000.0);
    }
    times
}

/// 200 people sign in at once, each at home; the times of the token requests meanwhile.
async fn crowd(address: SocketAddr, token: &str, round: u32) -> (Vec<f64>, f64) {
    let (done, ready) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(CROWD as usize)));
    let mut asking = JoinSet::new();
    for reader in 0..4 {
        let from = (round * 4 + reader + 1) * 100_000;
        asking.spawn(paced(address, token.to_owned(), from, Arc::clone(&done)));
    }
    let start = Instant::now();
    let mut crowd = JoinSet::new();
    for number in 1..=CROWD {
        let ready = Arc::clone(&ready);
        crowd.spawn(async move {
            let mut connection = Connection::to(address).await;
            ready.wait().await;
            connection.ask(&login(&neighbour(number), number)).await;
        });
    }
    crowd.join_all().await;
    let seconds = house::seconds_since(start);
    done.store(true, Ordering::Relaxed);
    (asking.join_all().await.concat(), seconds)
}

fn percentile(mut times: Vec<f64>, part: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() as f64 * part) as usize).min(times.len() - 1)]
}

async fn measure_crowd(table: &mut Table, program: &Program, token: &str, idle: u64) {
    let (mut times, mut rates, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (some, seconds) = crowd(program.address, token, round as u32).await;
        times.extend(some);
        rates.push(f64::from(CROWD) / seconds);
        peaks.push(program.memory().peak);
    }
    let peak = peaks[0];
    let bound = idle as f64 + lanes() as f64 * LANE + SLACK;
    let figure = format!("peak memory, {CROWD} logins at once ({:.0}/s)", median(rates));
    let wanted = format!("≤ {}", mib(bound as u64));
    table.row(&figure, mib(peak), &wanted, Some(peak as f64 <= bound));
    let figure = format!("peak memory, {ROUNDS} such crowds one after the other");
    table.told(&figure, mib(peaks[ROUNDS - 1]));
    let count = times.len();
    let p99 = percentile(times, 0.99);
    let figure = format!("token requests meanwhile, p99 of {count}");
    table.row(&figure, format!("{p99:.1} ms"), "≤ 50 ms", Some(p99 <= 50.0));
    // What the lanes took is gone; half of the slack is for what the crowd leaves to be remembered.
    let (start, most) = (Instant::now(), (idle as f64 + SLACK / 2.0) as u64);
    while program.memory().rss > most && start.elapsed().as_secs() < BACK {
        sleep(Duration::from_secs(1));
    }
    let (rss, after) = (program.memory().rss, start.elapsed().as_secs());
    let wanted = format!("≤ {} in {BACK} s", mib(most));
    table.row("memory after it", format!("{} in {after} s", mib(rss)), &wanted, Some(rss <= most));
}

async fn measure_disk(table: &mut Table, program: &Program, token: &str) {
    sleep(BOOKKEEPING);
    let mut connection = Connection::to(program.address).await;
    let before = program.written();
    for number in 1..=CROWD {
        connection.ask(&login(&neighbour(number), 1000 + number)).await;
    }
    sleep(BOOKKEEPING);
    let bytes = program.written() - before;
    let each = bytes as f64 / f64::from(CROWD) / 1024.0;
    table.told("written per login", format!("{each:.1} KiB"));
    let (before, requests) = (program.written(), 20_000);
    let mut connection = Connection::to(program.address).await;
    for number in 0..requests {
        connection.ask(&with_token(token, 2_000_000 + number)).await;
    }
    sleep(BOOKKEEPING);
    let bytes = program.written() - before;
    let figure = format!("written per token request ({requests} of one session)");
    table.told(&figure, format!("{:.2} bytes", bytes as f64 / f64::from(requests)));
}

/// The program itself: memory, start, crowd, disk.
fn measure_program(table: &mut Table, runtime: &Runtime, minutes: u64) {
    let many = settled(MANY);
    let quiet_folder = settled(10);
    let quiet = Program::start(quiet_folder.path());
    sleep(Duration::from_secs(5));
    let memory = quiet.memory();
    table.row(
        "idle memory (RSS), before any hash",
        format!("{}, {} of it anonymous", mib(memory.rss), mib(memory.anonymous)),
        "≤ 15 MiB",
        Some(memory.rss as f64 <= 15.0 * MIB),
    );
    let (idle_since, idle_before) = (Instant::now(), quiet.written());

    measure_starts(table, many.path());

    let program = Program::start(many.path());
    sleep(Duration::from_secs(5));
    let idle = program.memory().rss;
    table.told("idle memory, 100,000 accounts", mib(idle));
    let token = runtime.block_on(token_of(program.address, NAME));
    runtime.block_on(measure_crowd(table, &program, &token, idle));
    runtime.block_on(measure_disk(table, &program, &token));

    sleep(Duration::from_secs(minutes * 60).saturating_sub(idle_since.elapsed()));
    let bytes = quiet.written() - idle_before;
    let passed = house::seconds_since(idle_since) / 60.0;
    let figure = format!("written in {passed:.0} idle minutes of a server");
    table.row(&figure, format!("{bytes} bytes"), "nothing", Some(bytes == 0));
}

const ABOUT: &str = "\
The program has default settings; rates are medians of turns. Idle minutes hold every periodic job
but the hourly one, which has a row of its own. Bytes written are whole pages, as the kernel counts
them; the log went to /dev/null.
";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let minutes = words.iter().find_map(|word| word.parse().ok()).unwrap_or(3);
    let mut table = Table::default();
    // As the program does it.
    cli::calm_the_allocator();
    let runtime = cli::runtime().expect("a runtime");
    let load = house::load();
    if !words.iter().any(|word| word == "rates") {
        measure_program(&mut table, &runtime, minutes);
    }
    // Access lines are written like everything else, and go where nobody reads them.
    wire::silence_stderr();
    runtime.block_on(measure_rates(&mut table));
    println!("{}; load before {load}, now {}\n{ABOUT}", house::machine(), house::load());
    table.print();
}
