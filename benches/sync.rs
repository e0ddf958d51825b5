//! What synchronising costs an account with 200,000 episode actions, against one with 2,000:
//! `cargo bench --bench sync`.
//!
//! Both accounts live in one house and had as much happen in the last day. Measured in turns, so
//! that whatever else the machine does meets both; a ratio is the median of the turns' ratios.

mod house;

use std::{fs, path::Path, time::Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use gatelodge::{
    domain::{Clock, Core, accounts::AccountId, caller::Caller, people::UserDraft, secret::Secret},
    http::{self, BodyLimits, Dialects, HttpSettings, client::Surroundings},
};
use poem::{
    Body, Endpoint, EndpointExt, Request, Response,
    endpoint::BoxEndpoint,
    http::{HeaderMap, Method},
};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

const PASSWORD: &str = "Walnut-tree-7";
const FEW: i64 = 2_000;
const MANY: i64 = 200_000;
const PODCASTS: i64 = 2_000;
/// What happened in the last day, in uploads of one action each.
const LATELY: i64 = 60;
const TURNS: usize = 41;

struct Lodge {
    endpoint: BoxEndpoint<'static, Response>,
    core: Core,
    _stop: watch::Sender<bool>,
    folder: TempDir,
}

impl Lodge {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = house::settings(folder.path());
        let core = Core::open(settings, Clock::real()).await.expect("a house");
        let (stop, stopped) = watch::channel(false);
        let surroundings = Surroundings::default();
        let http = HttpSettings {
            surroundings,
            dialects: Dialects::default(),
            docs: false,
            metrics: false,
            log_access: false,
            bodies: BodyLimits::default(),
        };
        let endpoint = http::routes(core.clone(), http, stopped).boxed();
        Self { endpoint, core, _stop: stop, folder }
    }

    fn database(&self) -> Connection {
        Connection::open(self.folder.path().join("gatelodge.db")).expect("the database")
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        header: (&'static str, &str),
        body: Body,
    ) -> (HeaderMap, usize, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path.parse().expect("a path"));
        request = request.header("host", "localhost").header(header.0, header.1);
        let response = self.endpoint.get_response(request.body(body)).await;
        let (parts, body) = response.into_parts();
        let bytes = body.into_bytes().await.expect("a body").to_vec();
        assert_eq!(parts.status, 200, "{path}: {}", String::from_utf8_lossy(&bytes));
        (parts.headers, bytes.len(), bytes)
    }
}

/// Somebody with so many actions, all of them heard long ago but those of the last day.
struct Listener<'a> {
    lodge: &'a Lodge,
    id: AccountId,
    name: &'static str,
    cookie: String,
    now: i64,
}

impl<'a> Listener<'a> {
    async fn new(lodge: &'a Lodge, name: &'static str, actions: i64) -> Self {
        let draft = UserDraft {
            username: name.to_owned(),
            email: Some(format!("{name}@example.org")),
            password: Some(Secret::new(PASSWORD)),
            role: Some("reader".to_owned()),
            ..UserDraft::default()
        };
        let account = lodge.core.user_create(&Caller::operator(), draft).await;
        let id = account.expect("an account").id;
        let pair = format!("Basic {}", STANDARD.encode(format!("{name}:{PASSWORD}")));
        let path = format!("/api/2/auth/{name}/login.json");
        let header = ("authorization", pair.as_str());
        let (headers, ..) = lodge.send(Method::POST, &path, header, Body::empty()).await;
        let cookie = headers["set-cookie"].to_str().expect("text");
        let cookie = cookie.split(';').next().expect("a cookie").to_owned();
        let mut listener = Self { lodge, id, name, cookie, now: 0 };
        listener.now = listener.upload(0).await["timestamp"].as_i64().expect("a stamp");
        listener.fill(actions);
        listener
    }

    /// Four actions an episode, in the order in which they came.
    fn fill(&self, actions: i64) {
        let mut database = self.lodge.database();
        let transaction = database.transaction().expect("a transaction");
        let listener: i64 = transaction
            .query_row(
                "SELECT l.id FROM listeners l JOIN accounts a ON a.id = l.account_id
                 WHERE a.username = ?1",
                [self.name],
                |row| row.get(0),
            )
            .expect("a listener");
        const EACH: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
            WHERE i < ?2)";
        let fill = |statement: &str, count: i64| {
            let text = statement.replace("EACH", EACH);
            transaction.execute(&text, params![listener, count]).expect("rows");
        };
        fill(
            "INSERT INTO podcasts (listener_id, url, title) EACH
             SELECT ?1, printf('https://feeds.example.org/show-%d/podcast.xml', i), 'A show'
             FROM n",
            PODCASTS,
        );
        fill(
            "INSERT INTO episodes (podcast_id, digest, url, guid) EACH
             SELECT (SELECT min(id) FROM podcasts WHERE listener_id = ?1) + i % 2000,
                 randomblob(16),
                 printf('https://media.example.org/show-%d/season-1/episode-%08d.mp3', i % 2000, i),
                 printf('https://example.org/?p=%d', i)
             FROM n",
            actions / 4,
        );
        let first: i64 = transaction
            .query_row("SELECT max(id) + 1 - ?1 FROM episodes", [actions / 4], |row| row.get(0))
            .expect("an episode");
        transaction
            .execute(
                "INSERT INTO episode_actions
                 WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?2 - 1)
                 SELECT ?1, CASE WHEN i < ?4 THEN ?3 - 86000 + i * 60 ELSE ?3 - 90000 - i * 30 END,
                     0, ?5 + i / 4, 1, i % 4, ?3 - i * 30, 0, i % 3600, 3600 FROM n",
                params![listener, actions, self.now, LATELY, first],
            )
            .expect("actions");
        let count = actions + 30;
        let update = "UPDATE listeners SET actions = ?2 WHERE id = ?1";
        transaction.execute(update, [listener, count]).expect("a count");
        transaction.commit().expect("written");
    }

    async fn pull(&self, query: &str) -> (f64, usize) {
        let path = format!("/api/2/episodes/{}.json?{query}", self.name);
        let (start, header) = (Instant::now(), ("cookie", self.cookie.as_str()));
        let (_, bytes, _) = self.lodge.send(Method::GET, &path, header, Body::empty()).await;
        (house::seconds_since(start) * 1000.0, bytes)
    }

    async fn upload(&self, from: usize) -> Value {
        let one = |n: usize| {
            json!({"podcast": format!("https://new.example.org/show-{}/podcast.xml", n % 9),
                "episode": format!("https://media.example.org/new/{n}.mp3"), "action": "play",
                "device": "phone", "started": 0, "position": n, "total": 3600})
        };
        let list: Vec<Value> = (from..from + 30).map(one).collect();
        let path = format!("/api/2/episodes/{}.json", self.name);
        let body = Body::from(json!(list).to_string());
        let header = ("cookie", self.cookie.as_str());
        let (.., text) = self.lodge.send(Method::POST, &path, header, body).await;
        serde_json::from_slice(&text).expect("JSON")
    }
}

/// Transactions in the write-ahead log, and its bytes (<https://sqlite.org/fileformat2.html>, 4.1).
fn log_of(folder: &Path) -> (usize, usize) {
    let log = fs::read(folder.join("gatelodge.db-wal")).expect("the log");
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().expect("four bytes"));
    let frame = 24 + number(8) as usize;
    let live = |at: &usize| log[at + 8..at + 16] == log[16..24];
    let frames: Vec<usize> = (32..log.len() - frame + 1).step_by(frame).filter(live).collect();
    (frames.iter().filter(|at| number(**at + 4) > 0).count(), frames.len() * frame)
}

async fn in_turns(
    few: &Listener<'_>,
    many: &Listener<'_>,
    query: impl Fn(&Listener<'_>) -> String,
) {
    let (mut of_few, mut of_many, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let a = few.pull(&query(few)).await;
        let b = many.pull(&query(many)).await;
        assert_eq!(a.1, b.1, "both are told as much");
        of_few.push(a.0);
        of_many.push(b.0);
        ratios.push(b.0 / a.0);
    }
    println!("  {FEW:>7} actions {:>8.3} ms", house::median(of_few));
    println!("  {MANY:>7} actions {:>8.3} ms", house::median(of_many));
    println!("  ratio           {:>8.2}", house::median(ratios));
}

#[tokio::main]
async fn main() {
    let lodge = Lodge::new().await;
    let few = Listener::new(&lodge, "few", FEW).await;
    let many = Listener::new(&lodge, "many", MANY).await;
    let database = lodge.database();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    println!("the median of {TURNS}; {}", house::machine());
    println!("what happened since a day ago ({LATELY} and 30 actions)");
    in_turns(&few, &many, |one| format!("since={}", one.now - 86_400)).await;
    println!("the same, the latest of each episode");
    in_turns(&few, &many, |one| format!("since={}&aggregated=true", one.now - 86_400)).await;
    let (milliseconds, bytes) = many.pull("since=0").await;
    println!("all {MANY}: {milliseconds:.0} ms, {} MiB", bytes / 1024 / 1024);
    let (milliseconds, bytes) = many.pull("since=0&aggregated=true").await;
    println!("the latest of each episode: {milliseconds:.0} ms, {} MiB", bytes / 1024 / 1024);
    let mut times = Vec::new();
    let rounds = 20;
    let before = log_of_fresh(&lodge, &many).await;
    for round in 1..=rounds {
        let start = Instant::now();
        many.upload(1000 * round).await;
        times.push(house::seconds_since(start) * 1000.0);
    }
    let after = log_of(lodge.folder.path());
    println!("an upload of 30 new actions: {:.2} ms", house::median(times));
    println!("  {:.2} transactions", (after.0 - before.0) as f64 / rounds as f64);
    println!("  {:.0} KiB of log", (after.1 - before.1) as f64 / 1024.0 / rounds as f64);
    let size: i64 = database
        .query_row(
            "SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'epi%' OR name LIKE '%episodes%'",
            [],
            |row| row.get(0),
        )
        .unwrap_or_default();
    println!("  all actions and episodes take {} MiB", size / 1024 / 1024);
    let start = Instant::now();
    lodge.core.user_delete(&Caller::operator(), many.id).await.expect("gone");
    println!("the account's end: {:.0} ms", house::seconds_since(start) * 1000.0);
}

/// The log after one upload into an empty one.
async fn log_of_fresh(lodge: &Lodge, listener: &Listener<'_>) -> (usize, usize) {
    let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
    lodge.database().query_row(truncate, [], |_| Ok(())).expect("a checkpoint");
    listener.upload(500_000).await;
    log_of(lodge.folder.path())
}
