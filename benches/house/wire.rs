//! Requests as clients send them over kept loopback connections, and the house that answers them.
//!
//! The clients run on a thread of their own in the same process: what they cost, both sides of a
//! comparison pay.

use std::{
    future::pending,
    net::SocketAddr,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use gatelodge::{
    domain::{Clock, Core, Settings, caller::Caller, people::UserDraft, secret::Secret},
    http::{self, BodyLimits, Dialects, HttpSettings, client::Surroundings},
};
use poem::{
    Addr, Body, Endpoint, EndpointExt, IntoResponse, Request, RequestParts, Response, Route,
    endpoint::{BoxEndpoint, make_sync},
    get,
    http::{HeaderMap, Method, uri::Scheme},
    web::{Json, LocalAddr, RemoteAddr},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub const NAME: &str = "ann";
pub const EMAIL: &str = "ann@example.org";
pub const PASSWORD: &str = "Walnut-tree-7";

pub type Served = Arc<BoxEndpoint<'static, Response>>;

/// A house with one person in it, and all its doors.
pub struct House {
    pub core: Core,
    pub endpoint: Served,
    _stop: watch::Sender<bool>,
    pub folder: TempDir,
}

impl House {
    pub async fn new(settings: impl FnOnce(&TempDir) -> Settings, log_access: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let core = Core::open(settings(&folder), Clock::real()).await.expect("a house");
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
        let http = HttpSettings {
            surroundings,
            dialects: Dialects::default(),
            docs: false,
            metrics: false,
            log_access,
            bodies: BodyLimits::default(),
        };
        let endpoint: Served = Arc::new(http::routes(core.clone(), http, stopped).boxed());
        // What runs beside the requests of a server runs here too.
        tokio::spawn(core.clone().upkeep(pending::<()>(), |_| {}));
        tokio::spawn(core.clone().journal_events(pending::<()>(), |_| {}));
        Self { core, endpoint, _stop: stop, folder }
    }

    /// Posts JSON to a door; the answer's JSON and its cookies.
    pub async fn post(&self, path: &'static str, bearer: &str, body: Value) -> (Value, String) {
        let mut headers = HeaderMap::new();
        headers.insert("host", "localhost".parse().expect("a header"));
        headers.insert("content-type", "application/json".parse().expect("a header"));
        if !bearer.is_empty() {
            headers.insert("authorization", bearer.parse().expect("a header"));
        }
        let request = request(Method::POST, path, headers, Body::from_json(body).expect("JSON"));
        let response = self.endpoint.get_response(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.into_bytes().await.expect("a body");
        assert!(parts.status.is_success(), "{path}: {}", String::from_utf8_lossy(&bytes));
        let cookies = parts.headers.get_all("set-cookie").iter();
        let cookies = cookies.filter_map(|line| line.to_str().ok()?.split(';').next());
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        (serde_json::from_slice::<Value>(&bytes).expect("JSON"), cookies)
    }

    /// `Authorization` of somebody who has signed in at native.
    pub async fn native_bearer(&self) -> String {
        let named = json!({"username": NAME, "password": PASSWORD});
        bearer(&self.post("/api/v1/auth/login", "", named).await.0["token"])
    }
}

pub fn bearer(token: &Value) -> String {
    format!("Bearer {}", token.as_str().expect("a token"))
}

fn request(method: Method, path: &str, headers: HeaderMap, body: Body) -> Request {
    let request = poem::http::Request::builder().method(method).uri(path).body(());
    let (mut parts, ()) = request.expect("a request").into_parts();
    parts.headers = headers;
    let local = LocalAddr(Addr::from(SocketAddr::from(([127, 0, 0, 1], 8080))));
    let peer = RemoteAddr(Addr::from(SocketAddr::from(([127, 0, 0, 1], 50_000))));
    Request::from_parts(RequestParts::from((parts, local, peer, Scheme::HTTP)), body)
}

/// One signed-in request, again and again.
pub struct Kind {
    pub name: &'static str,
    pub path: &'static str,
    pub header: (&'static str, String),
}

impl Kind {
    pub fn new(
        name: &'static str,
        path: &'static str,
        header: &'static str,
        value: String,
    ) -> Self {
        Self { name, path, header: (header, value) }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("host", "localhost:8080".parse().expect("a header"));
        headers.insert("accept", "application/json".parse().expect("a header"));
        headers.insert(self.header.0, self.header.1.parse().expect("a header"));
        headers
    }

    pub fn request(&self) -> Request {
        request(Method::GET, self.path, self.headers(), Body::empty())
    }

    /// The request as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("GET {} HTTP/1.1\r\n", self.path);
        for (name, value) in &self.headers() {
            text.push_str(&format!("{name}: {}\r\n", value.to_str().expect("text")));
        }
        format!("{text}\r\n").into_bytes()
    }

    /// A bare handler at the same path that answers the same JSON: a route, a handler that
    /// serialises, and nothing around them.
    pub async fn bare(&self, endpoint: &Served) -> Served {
        let response = endpoint.get_response(self.request()).await;
        assert!(response.status().is_success(), "{}: {}", self.name, response.status());
        let bytes = response.into_body().into_bytes().await.expect("a body");
        let same: Value = serde_json::from_slice(&bytes).expect("JSON");
        let handler = make_sync(move |_| Json(&same).into_response());
        let path = self.path.split('?').next().unwrap_or_default();
        Arc::new(Route::new().at(path, get(handler)).boxed())
    }
}

/// Serves `endpoint` on a port of its own until the process ends.
pub async fn serve(endpoint: &Served) -> SocketAddr {
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

/// What clients ask, one after the other, and for how long.
#[derive(Clone)]
pub struct Asking {
    pub requests: Arc<[Vec<u8>]>,
    pub connections: usize,
    pub time: Duration,
}

/// Requests per second over several kept connections, each asking once it has its answer.
pub async fn over_connections(address: SocketAddr, asking: &Asking) -> f64 {
    let asking = asking.clone();
    let clients = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let (start, next) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
            let one = |_| tokio::spawn(client(address, asking.clone(), Arc::clone(&next)));
            let clients: Vec<_> = (0..asking.connections).map(one).collect();
            let mut done = 0;
            for client in clients {
                done += client.await.expect("a client");
            }
            f64::from(done) / super::seconds_since(start)
        })
    });
    tokio::task::spawn_blocking(|| clients.join().expect("the clients")).await.expect("an end")
}

async fn client(address: SocketAddr, asking: Asking, next: Arc<AtomicUsize>) -> u32 {
    let mut connection = Connection::to(address).await;
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < asking.time {
        let number = next.fetch_add(1, Ordering::Relaxed);
        connection.ask(&asking.requests[number % asking.requests.len()]).await;
        done += 1;
    }
    done
}

/// A kept connection.
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    pub async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, answer: Vec::with_capacity(16 * 1024) }
    }

    /// Sends a request and waits for all of its answer, which has to be 200; gives the body.
    pub async fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.expect("sent");
        self.answer.clear();
        loop {
            if let Some(body) = body_of_whole(&self.answer) {
                return &self.answer[body..];
            }
            assert_ne!(self.stream.read_buf(&mut self.answer).await.expect("an answer"), 0);
        }
    }
}

/// Where the body begins, if this is all of a good answer.
fn body_of_whole(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).expect("text");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|text| text.parse().ok()).expect("a length");
    (answer.len() == end + 4 + length).then_some(end + 4)
}

/// Access lines go nowhere: writing them counts, whoever reads them does not.
pub fn silence_stderr() {
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null").expect("nowhere");
    // SAFETY: both descriptors are open; the copy replaces this process's stderr.
    unsafe { libc::dup2(nowhere.as_raw_fd(), 2) };
}
