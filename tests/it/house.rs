//! A house for one test: a real database file, a clock that stands still, the whole tree of
//! routes, and requests that look as they do on a real connection.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{StreamExt, stream};
use gatelodge::{
    cli, config,
    domain::{
        Clock, Core, Settings, Timestamp,
        caller::Caller,
        passwords::{HashKind, HashPolicy},
        people::UserDraft,
        secret::Secret,
        smtp::{Encryption, MailSettings, Patience},
    },
    http::{self, BodyLimits, Dialects, HttpSettings, client::Surroundings},
};
use poem::{
    Addr, Body, Endpoint, Request, RequestParts, Response,
    endpoint::{BoxEndpoint, EndpointExt},
    http::{HeaderMap, Method, StatusCode, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

/// A password that every rule of every dialect takes.
pub const PASSWORD: &str = "Walnut-tree-7";
/// When the clock of a test house stands: 2026-01-01.
pub const START: i64 = 1_767_225_600;

/// What a test may want to have otherwise.
pub struct Plan {
    pub settings: Settings,
    pub http: HttpSettings,
}

/// The house itself. Its folder goes with it.
pub struct House {
    pub core: Core,
    pub clock: Clock,
    endpoint: BoxEndpoint<'static, Response>,
    stop: watch::Sender<bool>,
    folder: TempDir,
}

/// As they are without a configuration, but that hashes are cheap (tests of the cost itself set their
/// own), no bucket makes anybody wait, and letters would go out.
fn settings(folder: &Path) -> Settings {
    let config = config::load(None, folder, &[]).expect("no configuration");
    let mut settings = cli::settings(&config);
    settings.hash = HashPolicy {
        kind: HashKind::Argon2id,
        memory: 64,
        passes: 1,
        parallelism: 1,
        lanes: 2,
        queue: 256,
    };
    settings.throttle.requests_per_second = 0;
    settings.link_base = Some("https://gate.example.org".to_owned());
    settings.mail = Some(nowhere());
    settings.probe_https = false;
    settings
}

/// A mail server that nobody asks, since no worker runs in a test house.
pub fn nowhere() -> MailSettings {
    MailSettings {
        host: "127.0.0.1".to_owned(),
        port: 9,
        encryption: Encryption::None,
        ca_file: None,
        login: None,
        from_email: "gate@example.org".to_owned(),
        from_name: "Gatelodge".to_owned(),
        patience: Patience::default(),
    }
}

impl House {
    /// A fresh house with nobody in it.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A fresh house built to another plan.
    pub async fn with(change: impl FnOnce(&mut Plan)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::open(folder, change).await
    }

    /// A house over a database that somebody prepared.
    pub async fn on(
        prepare: impl FnOnce(&mut rusqlite::Connection),
        change: impl FnOnce(&mut Plan),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gatelodge.db");
        prepare(&mut rusqlite::Connection::open(path).expect("a database"));
        Self::open(folder, change).await
    }

    async fn open(folder: TempDir, change: impl FnOnce(&mut Plan)) -> Self {
        let mut plan = Plan {
            settings: settings(folder.path()),
            http: HttpSettings {
                surroundings: Surroundings::default(),
                dialects: Dialects::default(),
                docs: true,
                metrics: true,
                log_access: false,
                bodies: BodyLimits::default(),
            },
        };
        change(&mut plan);
        let clock = Clock::fixed(Timestamp::from_seconds(START));
        let core = Core::open(plan.settings, clock.clone()).await.expect("a house");
        let (stop, stopped) = watch::channel(false);
        let endpoint = http::routes(core.clone(), plan.http, stopped).boxed();
        Self { core, clock, endpoint, stop, folder }
    }

    /// A copy of the database of another house at rest, built to a plan; its clock starts anew.
    pub async fn copied(other: &Self, change: impl FnOnce(&mut Plan)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::copy(other.database(), folder.path().join("gatelodge.db")).expect("a copy");
        Self::open(folder, change).await
    }

    /// The same folder opened anew, as after a restart; the clock goes on where it stood.
    pub async fn restarted(self, change: impl FnOnce(&mut Plan)) -> Self {
        let now = self.clock.now();
        let Self { folder, core, endpoint, .. } = self;
        drop((core, endpoint));
        let house = Self::open(folder, change).await;
        let passed = now.millis() - Timestamp::from_seconds(START).millis();
        house.clock.advance(Duration::from_millis(u64::try_from(passed).expect("later")));
        house
    }

    /// A house with an admin `ann` and a reader `bob`.
    pub async fn lived_in() -> Self {
        Self::lived_in_with(|_| {}).await
    }

    pub async fn lived_in_with(change: impl FnOnce(&mut Plan)) -> Self {
        let house = Self::with(change).await;
        house.add("ann", "admin").await;
        house.add("bob", "reader").await;
        house
    }

    /// An account with [`PASSWORD`] and the address `NAME@example.org`; its id.
    pub async fn add(&self, name: &str, role: &str) -> String {
        let draft = UserDraft {
            username: name.to_owned(),
            email: Some(format!("{name}@example.org")),
            password: Some(Secret::new(PASSWORD)),
            role: Some(role.to_owned()),
            ..UserDraft::default()
        };
        let made = self.core.user_create(&Caller::operator(), draft).await;
        made.expect("an account").id.to_string()
    }

    /// A native sign-in; the whole answer.
    pub async fn login(&self, name: &str) -> Value {
        let body = json!({"username": name, "password": PASSWORD});
        let answer = self.post("/api/v1/auth/login").json(&body).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// A native access token.
    pub async fn token(&self, name: &str) -> String {
        text(&self.login(name).await["token"])
    }

    /// As somebody does who sets the machine's clock; time that never jumps goes back with it here.
    pub fn set_back(&self, span: Duration) {
        let Clock::Fixed(millis) = &self.clock else { panic!("a clock that stands") };
        let step = i64::try_from(span.as_millis()).expect("a span");
        millis.fetch_sub(step, std::sync::atomic::Ordering::SeqCst);
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("gatelodge.db")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Tells streams that the server stops.
    pub fn stop(&self) {
        self.stop.send(true).expect("somebody listens");
    }

    pub fn get(&self, path: &str) -> Ask<'_> {
        self.ask(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Ask<'_> {
        self.ask(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> Ask<'_> {
        self.ask(Method::PUT, path)
    }

    pub fn patch(&self, path: &str) -> Ask<'_> {
        self.ask(Method::PATCH, path)
    }

    pub fn delete(&self, path: &str) -> Ask<'_> {
        self.ask(Method::DELETE, path)
    }

    pub fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        let mut headers = HeaderMap::new();
        headers.insert("host", "localhost:8080".parse().expect("a header"));
        Ask {
            house: self,
            method,
            path: path.to_owned(),
            headers,
            peer: IpAddr::from([127, 0, 0, 1]),
            body: Vec::new(),
            ends: true,
        }
    }
}

/// One request in the making. It comes from loopback and from `Host: localhost:8080`, unless said
/// otherwise.
#[must_use = "send it"]
pub struct Ask<'a> {
    house: &'a House,
    method: Method,
    path: String,
    headers: HeaderMap,
    peer: IpAddr,
    body: Vec<u8>,
    ends: bool,
}

impl Ask<'_> {
    /// Replaces a header; an empty value takes it away.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.remove(name);
        if !value.is_empty() {
            self.headers.insert(name, value.parse().expect("a header"));
        }
        self
    }

    /// Adds a header beside others of its name, of any bytes.
    pub fn also(mut self, name: &'static str, value: &[u8]) -> Self {
        self.headers.append(name, poem::http::HeaderValue::from_bytes(value).expect("a header"));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn basic(self, user: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        self.header("authorization", &format!("Basic {pair}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string())
    }

    pub fn raw(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut asked = self.header("content-type", content_type);
        asked.body = body.into();
        asked
    }

    /// What there is of the body comes at once, and its end never.
    pub fn endless(mut self) -> Self {
        self.ends = false;
        self
    }

    /// The peer's address.
    pub fn from(mut self, peer: &str) -> Self {
        self.peer = peer.parse().expect("an address");
        self
    }

    pub async fn send(self) -> Answer {
        Answer::of(self.open().await).await
    }

    /// The answer as it begins, for streams.
    pub async fn open(self) -> Response {
        let mut request = poem::http::Request::builder()
            .method(self.method)
            .uri(self.path)
            .body(())
            .expect("a request");
        *request.headers_mut() = self.headers;
        let (parts, ()) = request.into_parts();
        let peer = RemoteAddr(Addr::from(SocketAddr::new(self.peer, 50_000)));
        let local = LocalAddr(Addr::from(SocketAddr::from(([127, 0, 0, 1], 8080))));
        let parts = RequestParts::from((parts, local, peer, Scheme::HTTP));
        let body = match self.ends {
            true => Body::from_vec(self.body),
            false => {
                let begun = stream::iter([Ok::<_, std::io::Error>(self.body)]);
                Body::from_bytes_stream(begun.chain(stream::pending()))
            }
        };
        let request = Request::from_parts(parts, body);
        self.house.endpoint.get_response(request).await
    }
}

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let status: StatusCode = parts.status;
        let body = body.into_bytes().await.expect("a body").to_vec();
        Self { status: status.as_u16(), headers: parts.headers, body }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// A header's values, joined with `, `; empty when there is none.
    pub fn header(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter();
        values.map(|value| value.to_str().expect("text")).collect::<Vec<_>>().join(", ")
    }

    /// Asserts an error of native's shape; gives its message.
    #[track_caller]
    pub fn problem(&self, status: u16, kind: &str) -> String {
        let body = self.json();
        assert_eq!((self.status, body["error"].as_str()), (status, Some(kind)), "{body}");
        text(&body["message"])
    }
}

#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// The real binary, serving on a port of its own.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: Arc<std::sync::Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

/// The program under test.
pub fn gatelodge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatelodge"));
    for name in ["SECRET_KEY", "JWT_EXPIRE_DURATION", "MAX_LOGIN_ATTEMPTS"] {
        command.env_remove(name);
    }
    command
}

impl Server {
    /// Serves from `folder` with cheap hashes and the given environment besides.
    pub fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = gatelodge();
        command.current_dir(folder);
        Self::run(command, environment)
    }

    /// The same by a command that becomes the program.
    pub fn run(mut command: Command, environment: &[(&str, &str)]) -> Self {
        let mut child = command
            .env("GATELODGE_SERVER__LISTEN", "127.0.0.1:0")
            .envs(cheap())
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the server");
        let stderr = child.stderr.take().expect("its log");
        let log = Arc::new(std::sync::Mutex::new(String::new()));
        let (ready, wait) = std::sync::mpsc::channel();
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // First, so that whoever waits for this line finds it in the log.
                kept.lock().expect("unpoisoned").push_str(&format!("{line}\n"));
                if let Some(rest) = line.split("serves on http://").nth(1) {
                    let address = rest.split([',', '"']).next().unwrap_or_default();
                    let address = address.parse::<SocketAddr>().expect("an address");
                    ready.send(address).expect("heard");
                }
            }
        });
        let address = match wait.recv_timeout(Duration::from_secs(60)) {
            Ok(address) => address,
            Err(error) => panic!("{error}: {}", log.lock().expect("unpoisoned")),
        };
        let server = Self { child, address, log, reader: Some(reader) };
        server.wait_until_healthy();
        server
    }

    /// The token that a server without accounts prints.
    pub fn setup_token(&self) -> String {
        let said = self.lines("X-Setup-Token: ", 1);
        said[0].split("X-Setup-Token: ").nth(1).expect("a token").to_owned()
    }

    fn wait_until_healthy(&self) {
        for _ in 0..2400 {
            if self.ask("GET", "/health", &[], "").is_some_and(|answer| answer.status == 200) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("never healthy: {}", self.log());
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("unpoisoned").clone()
    }

    /// The lines of its log that hold `part`, once there are `wanted` of them: what reads the log may
    /// lag behind.
    #[track_caller]
    pub fn lines(&self, part: &str, wanted: usize) -> Vec<String> {
        for _ in 0..2400 {
            let log = self.log();
            let found: Vec<_> =
                log.lines().filter(|line| line.contains(part)).map(str::to_owned).collect();
            if found.len() >= wanted {
                return found;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("not {wanted} times {part:?}: {}", self.log());
    }

    /// One request on a connection of its own; `None` when the server is not there.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        parse_answer(&bytes)
    }

    /// A JSON request that has to be answered.
    pub fn json(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Content-Type", "application/json")];
        if !token.is_empty() {
            headers.push(("Authorization", &bearer));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(method, path, &headers, &body).expect("an answer")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its sockets: connections that it has taken, its listener and what is its own.
    pub fn sockets(&self) -> usize {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("its files");
        let links = folder.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }

    /// The same once they stay: connections of what went before take a moment to close.
    pub fn sockets_once_quiet(&self) -> usize {
        let mut counts = vec![self.sockets()];
        while counts.len() < 10
            || counts.iter().rev().take(10).any(|n| *n != counts[counts.len() - 1])
        {
            assert!(counts.len() < 2400, "never quiet: {counts:?}");
            std::thread::sleep(Duration::from_millis(25));
            counts.push(self.sockets());
        }
        counts[counts.len() - 1]
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> (bool, String) {
        Command::new("kill").arg(self.child.id().to_string()).status().expect("kill");
        let status = self.child.wait().expect("an end");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the whole log");
        }
        (status.success(), self.log())
    }

    /// SIGKILL: nothing is finished, nothing is flushed.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("an end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address at which nobody listens until its test does, and what keeps it for the test: a socket that
/// never listens. Whoever asks for any port gets another one, whoever names this one may have it beside
/// the socket, as each sets `SO_REUSEADDR`.
pub fn kept_address() -> (tokio::net::TcpSocket, SocketAddr) {
    let keeper = tokio::net::TcpSocket::new_v4().expect("a socket");
    keeper.set_reuseaddr(true).expect("set");
    keeper.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let address = keeper.local_addr().expect("an address");
    (keeper, address)
}

/// Settings for tests in which the cost of a hash does not matter.
pub fn cheap() -> [(&'static str, &'static str); 4] {
    [
        ("GATELODGE_AUTH__ALLOW_WEAK", "true"),
        ("GATELODGE_AUTH__ARGON2_MEMORY_COST", "64"),
        ("GATELODGE_AUTH__ARGON2_TIME_COST", "1"),
        ("GATELODGE_RATE_LIMIT__REQUESTS_PER_SECOND", "0"),
    ]
}

fn parse_answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name: poem::http::HeaderName = name.parse().ok()?;
        headers.append(name, value.trim().parse().ok()?);
    }
    let body = bytes[end + 4..].to_vec();
    let chunked = headers.get("transfer-encoding").is_some_and(|value| value == "chunked");
    let body = if chunked { dechunk(&body) } else { body };
    Some(Answer { status, headers, body })
}

fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(String::from_utf8_lossy(&body[..end]).trim(), 16);
        let Ok(size @ 1..) = size else { break };
        let from = end + 2;
        whole.extend_from_slice(&body[from..(from + size).min(body.len())]);
        body = body.get(from + size + 2..).unwrap_or_default();
    }
    whole
}
