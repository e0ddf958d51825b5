//! What a signed-in request costs, against a bare handler that answers as many bytes, in process
//! and over real connections: `cargo bench --bench requests`.
//!
//! Measured in turns, bare and ours, so that whatever else the machine does meets both; a ratio is
//! the median of the turns' ratios. The clients run on a core's worth of their own, in the same
//! process: what they cost, both sides pay.

mod house;

use std::{
    net::SocketAddr,
    os::fd::AsRawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use gatelodge::{
    domain::{Clock, Core, caller::Caller, people::UserDraft, secret::Secret},
    http::{self, Dialects, HttpSettings, client::Surroundings},
};
use poem::{
    Addr, Body, Endpoint, EndpointExt, IntoResponse, Request, RequestParts, Response, Route,
    endpoint::{BoxEndpoint, make_sync},
    get,
    http::{HeaderMap, Method, uri::Scheme},
    web::{Json, LocalAddr, RemoteAddr},
};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

const NAME: &str = "ann";
const EMAIL: &str = "ann@example.org";
const PASSWORD: &str = "Walnut-tree-7";
const PIN: &str = "4711";
const CONNECTIONS: usize = 8;
const TURNS: usize = 9;
const TURN: Duration = Duration::from_millis(400);
const FEW: u32 = 10;
const MANY: u32 = 100_000;
/// Of those who have the sessions.
const LODGERS: u32 = 1000;

type Served = Arc<BoxEndpoint<'static, Response>>;

/// One signed-in request, again and again.
struct Kind {
    name: &'static str,
    path: &'static str,
    header: (&'static str, String),
}

/// A house with one person in it, who has signed in at every dialect.
struct House {
    core: Core,
    endpoint: Served,
    kinds: Vec<Kind>,
    _stop: watch::Sender<bool>,
    folder: TempDir,
}

impl House {
    async fn new(sessions: u32, log_access: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = house::settings(folder.path());
        let core = Core::open(settings, Clock::real()).await.expect("a house");
        let draft = UserDraft {
            username: NAME.to_owned(),
            email: Some(EMAIL.to_owned()),
            password: Some(Secret::new(PASSWORD)),
            role: Some("admin".to_owned()),
            ..UserDraft::default()
        };
        core.user_create(&Caller::operator(), draft).await.expect("an account");
        let (stop, stopped) = watch::channel(false);
        let surroundings = Surroundings::default();
        let http =
            HttpSettings { surroundings, dialects: Dialects::default(), docs: false, log_access };
        let endpoint: Served = Arc::new(http::routes(core.clone(), http, stopped).boxed());
        let kinds = sign_in(&endpoint).await;
        let house = Self { core, endpoint, kinds, _stop: stop, folder };
        house.fill(sessions);
        // What runs beside the requests of a server runs here too.
        tokio::spawn(house.core.clone().upkeep(|_| {}));
        tokio::spawn(house.core.clone().journal_events(|_| {}));
        house
    }

    /// So many live sessions of others, and as many ended ones.
    fn fill(&self, sessions: u32) {
        let file = self.folder.path().join("gatelodge.db");
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

async fn sign_in(endpoint: &Served) -> Vec<Kind> {
    let post = async |path: &'static str, bearer: &str, body: Value| {
        let mut headers = HeaderMap::new();
        headers.insert("host", "localhost".parse().expect("a header"));
        headers.insert("content-type", "application/json".parse().expect("a header"));
        if !bearer.is_empty() {
            headers.insert("authorization", bearer.parse().expect("a header"));
        }
        let request = request(Method::POST, path, headers, Body::from_json(body).expect("JSON"));
        let response = endpoint.get_response(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.into_bytes().await.expect("a body");
        assert!(parts.status.is_success(), "{path}: {}", String::from_utf8_lossy(&bytes));
        let cookies = parts.headers.get_all("set-cookie").iter();
        let cookies = cookies.filter_map(|line| line.to_str().ok()?.split(';').next());
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        (serde_json::from_slice::<Value>(&bytes).expect("JSON"), cookies)
    };
    let bearer = |token: &Value| format!("Bearer {}", token.as_str().expect("a token"));
    let named = json!({"username": NAME, "password": PASSWORD});
    let native = bearer(&post("/api/v1/auth/login", "", named.clone()).await.0["token"]);
    let pin = json!({"current_password": PASSWORD, "pin": PIN});
    post("/api/v1/user/pin", &native, pin).await;
    let pair = bearer(&post("/api/auth/login", "", named).await.0["access_token"]);
    let by_email = json!({"email": EMAIL, "password": PASSWORD});
    let signup = bearer(&post("/auth/login", "", by_email).await.0["token"]);
    let (_, cookies) = post("/auth/login", "", json!({"name": NAME, "pin": PIN})).await;
    let kind = |name, path, header, value| Kind { name, path, header: (header, value) };
    vec![
        kind("pin-cookie", "/users/me", "cookie", cookies),
        kind("pair-Bearer", "/api/logs?limit=1", "authorization", pair),
        kind("signup-Bearer", "/dashboard", "authorization", signup),
        kind("native-Bearer", "/api/v1/user", "authorization", native),
    ]
}

fn request(method: Method, path: &str, headers: HeaderMap, body: Body) -> Request {
    let request = poem::http::Request::builder().method(method).uri(path).body(());
    let (mut parts, ()) = request.expect("a request").into_parts();
    parts.headers = headers;
    let local = LocalAddr(Addr::from(SocketAddr::from(([127, 0, 0, 1], 8080))));
    let peer = RemoteAddr(Addr::from(SocketAddr::from(([127, 0, 0, 1], 50_000))));
    Request::from_parts(RequestParts::from((parts, local, peer, Scheme::HTTP)), body)
}

impl Kind {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("host", "localhost:8080".parse().expect("a header"));
        headers.insert("accept", "application/json".parse().expect("a header"));
        headers.insert(self.header.0, self.header.1.parse().expect("a header"));
        headers
    }

    fn request(&self) -> Request {
        request(Method::GET, self.path, self.headers(), Body::empty())
    }

    /// The request as it goes over the wire.
    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("GET {} HTTP/1.1\r\n", self.path);
        for (name, value) in &self.headers() {
            text.push_str(&format!("{name}: {}\r\n", value.to_str().expect("text")));
        }
        format!("{text}\r\n").into_bytes()
    }

    /// A bare handler at the same path that answers the same JSON.
    async fn bare(&self, house: &House) -> Served {
        let response = house.endpoint.get_response(self.request()).await;
        assert!(response.status().is_success(), "{}: {}", self.name, response.status());
        let bytes = response.into_body().into_bytes().await.expect("a body");
        let same: Value = serde_json::from_slice(&bytes).expect("JSON");
        let handler = make_sync(move |_| Json(&same).into_response());
        let path = self.path.split('?').next().unwrap_or_default();
        Arc::new(Route::new().at(path, get(handler)).boxed())
    }
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

/// Serves `endpoint` on a port of its own until the process ends.
async fn serve(endpoint: &Served) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let never = std::future::pending();
    tokio::spawn(http::serve::serve(
        vec![http::serve::Listener::plain(listener)],
        Arc::clone(endpoint),
        http::serve::Limits::connections(64),
        never,
    ));
    address
}

/// Requests per second over several kept connections, each asking once it has its answer.
async fn over_connections(address: SocketAddr, kind: &Kind) -> f64 {
    let bytes: Arc<[u8]> = kind.bytes().into();
    let clients = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let start = Instant::now();
            let clients: Vec<_> =
                (0..CONNECTIONS).map(|_| tokio::spawn(client(address, bytes.clone()))).collect();
            let mut done = 0;
            for client in clients {
                done += client.await.expect("a client");
            }
            f64::from(done) / house::seconds_since(start)
        })
    });
    tokio::task::spawn_blocking(|| clients.join().expect("the clients")).await.expect("an end")
}

async fn client(address: SocketAddr, request: Arc<[u8]>) -> u32 {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let (start, mut done, mut buffer) = (Instant::now(), 0, Vec::with_capacity(16 * 1024));
    while start.elapsed() < TURN {
        stream.write_all(&request).await.expect("sent");
        buffer.clear();
        while !is_whole(&buffer) {
            assert_ne!(stream.read_buf(&mut buffer).await.expect("an answer"), 0, "closed");
        }
        done += 1;
    }
    done
}

/// Whether this is all of a good answer.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = std::str::from_utf8(&answer[..end]).expect("text");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|text| text.parse().ok()).expect("a length");
    answer.len() == end + 4 + length
}

/// What one kind of request does of what another does.
struct Compared {
    base: f64,
    ours: f64,
    ratio: f64,
}

async fn compare(base: impl AsyncFn() -> f64, ours: impl AsyncFn() -> f64) -> Compared {
    // Both once before it counts.
    base().await;
    ours().await;
    let (mut all_base, mut all_ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let (b, o) = (base().await, ours().await);
        all_base.push(b);
        all_ours.push(o);
        ratios.push(o / b);
    }
    let [base, ours, ratio] = [all_base, all_ours, ratios].map(house::median);
    Compared { base, ours, ratio }
}

fn head(title: &str, base: &str, ours: &str) {
    println!("\n{title}");
    println!("{:<16}{:<20}{base:>12}{ours:>12}{:>8}", "", "", "ratio");
}

fn row(kind: &Kind, compared: &Compared) {
    let Compared { base, ours, ratio } = compared;
    println!("{:<16}{:<20}{base:>12.0}{ours:>12.0}{ratio:>8.2}", kind.name, kind.path);
}

/// Access lines go nowhere: writing them counts, whoever reads them does not.
fn silence_stderr() {
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null").expect("nowhere");
    // SAFETY: both descriptors are open; the copy replaces this process's stderr.
    unsafe { libc::dup2(nowhere.as_raw_fd(), 2) };
}

async fn against_bare(title: &str, house: &House) {
    head(title, "bare/s", "ours/s");
    for kind in &house.kinds {
        let bare = kind.bare(house).await;
        let (at_bare, at_ours) = (serve(&bare).await, serve(&house.endpoint).await);
        let compared = compare(
            async || over_connections(at_bare, kind).await,
            async || over_connections(at_ours, kind).await,
        );
        row(kind, &compared.await);
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
        let bare = kind.bare(&house).await;
        let compared = compare(
            async || in_process(&bare, kind).await,
            async || in_process(&house.endpoint, kind).await,
        );
        row(kind, &compared.await);
    }

    let many = House::new(MANY, false).await;
    let title =
        format!("{MANY} live and {MANY} ended sessions in the file against {FEW} and {FEW}");
    head(&format!("{title}, over connections"), "few/s", "many/s");
    for (kind, same) in house.kinds.iter().zip(&many.kinds) {
        let (at_few, at_many) = (serve(&house.endpoint).await, serve(&many.endpoint).await);
        let compared = compare(
            async || over_connections(at_few, kind).await,
            async || over_connections(at_many, same).await,
        );
        row(kind, &compared.await);
    }
    head(&format!("{title}, in process"), "few/s", "many/s");
    for (kind, same) in house.kinds.iter().zip(&many.kinds) {
        let compared = compare(
            async || in_process(&house.endpoint, kind).await,
            async || in_process(&many.endpoint, same).await,
        );
        row(kind, &compared.await);
    }

    silence_stderr();
    let logging = House::new(FEW, true).await;
    against_bare("over connections, with a line in the log for each request", &logging).await;
}
