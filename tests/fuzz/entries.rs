//! What the fuzz targets call, one function each, and what must hold for whatever they are given. The
//! tests replay the seeds through the same functions (`tests/it/fuzz_seeds.rs`).
//!
//! A finding is a panic here: an answer of 5xx that is not "busy", JSON that is none, an answer that
//! repeats what was planted as a secret, a credential that is let in and is none.

use std::{
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gatelodge::{
    cli, config,
    domain::{
        Clock, Core, Timestamp,
        accounts::{Email, Username, canonical},
        caller::Caller,
        people::UserDraft,
        podcasts::opml,
        secret::Secret,
        sso::is_local_target,
    },
    http,
};
use poem::{
    Addr, Body, Endpoint, Request, RequestParts, Response,
    endpoint::{BoxEndpoint, EndpointExt},
    http::{HeaderName, HeaderValue, Method, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, sync::watch};

const PASSWORD: &str = "Walnut-tree-7";
/// Planted among credentials; no answer may hold it.
const SECRET: &str = "PLANTED-9rT2xQ";
const START: i64 = 1_767_225_600;

/// One house for the whole run, with its own runtime and an admin in it.
struct House {
    runtime: Runtime,
    endpoint: BoxEndpoint<'static, Response>,
    token: String,
    key: String,
    cookie: String,
    _stop: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

/// What came back.
struct Answer {
    status: u16,
    is_json: bool,
    cookie: String,
    body: String,
    headers: String,
}

fn house() -> &'static House {
    static HOUSE: OnceLock<House> = OnceLock::new();
    HOUSE.get_or_init(House::build)
}

/// As the program reads them, but that hashes are cheap and nobody has to wait.
fn settings(folder: &std::path::Path) -> config::Config {
    let environment = [
        ("GATELODGE_AUTH__ALLOW_WEAK", "true"),
        ("GATELODGE_AUTH__ARGON2_MEMORY_COST", "8"),
        ("GATELODGE_AUTH__ARGON2_TIME_COST", "1"),
        ("GATELODGE_AUTH__JWT_SECRET", "a-secret-for-fuzzing-and-nothing-else-0001"),
        ("GATELODGE_RATE_LIMIT__REQUESTS_PER_SECOND", "0"),
        ("GATELODGE_THROTTLE__MAX_ATTEMPTS", "0"),
        ("GATELODGE_REGISTRATION__MODE", "open"),
        ("GATELODGE_SERVER__TRUSTED_PROXIES", "10.0.0.1"),
        ("GATELODGE_LOG__ACCESS", "false"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    config::load(None, folder, &environment).expect("settings")
}

impl House {
    fn build() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let config = settings(folder.path());
        let (stop, stopped) = watch::channel(false);
        let endpoint = runtime.block_on(async {
            let clock = Clock::fixed(Timestamp::from_seconds(START));
            let core = Core::open(cli::settings(&config), clock).await.expect("a house");
            for (name, role) in [("ann", "admin"), ("bob", "reader")] {
                let draft = UserDraft {
                    username: name.to_owned(),
                    email: Some(format!("{name}@example.org")),
                    password: Some(Secret::new(PASSWORD)),
                    role: Some(role.to_owned()),
                    ..UserDraft::default()
                };
                core.user_create(&Caller::operator(), draft).await.expect("an account");
            }
            http::routes(core, cli::http_settings(&config), stopped).boxed()
        });
        let text = String::new;
        let mut house = Self {
            runtime,
            endpoint,
            token: text(),
            key: text(),
            cookie: text(),
            _stop: stop,
            _folder: folder,
        };
        house.furnish();
        house
    }

    fn furnish(&mut self) {
        let login = json!({"username": "ann", "password": PASSWORD}).to_string();
        let kind = [("content-type", b"application/json".to_vec())];
        let answer = self.ask("POST", "/api/v1/auth/login", "127.0.0.1", &kind, login.as_bytes());
        let said: Value = serde_json::from_str(&answer.body).expect("JSON");
        self.token = said["token"].as_str().expect("a token").to_owned();
        let signed = [kind[0].clone(), ("authorization", format!("Bearer {}", self.token).into())];
        let key = json!({"name": "fuzz"}).to_string();
        let answer = self.ask("POST", "/api/v1/api-keys", "127.0.0.1", &signed, key.as_bytes());
        let said: Value = serde_json::from_str(&answer.body).expect("JSON");
        self.key = said["key"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned();
        let answer = self.ask("POST", "/api/v1/auth/session", "127.0.0.1", &kind, login.as_bytes());
        self.cookie = answer.cookie;
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        peer: &str,
        headers: &[(&'static str, Vec<u8>)],
        body: &[u8],
    ) -> Answer {
        let mut request = poem::http::Request::builder()
            .method(method.parse::<Method>().expect("a method"))
            .uri(path)
            .body(())
            .expect("a request");
        request.headers_mut().insert("host", HeaderValue::from_static("localhost"));
        for (name, value) in headers {
            // What the connection itself would refuse comes no further.
            if let Ok(value) = HeaderValue::from_bytes(value) {
                request.headers_mut().append(HeaderName::from_static(name), value);
            }
        }
        let peer: IpAddr = peer.parse().expect("an address");
        let (parts, ()) = request.into_parts();
        let local = LocalAddr(Addr::from(SocketAddr::from(([127, 0, 0, 1], 8080))));
        let peer = RemoteAddr(Addr::from(SocketAddr::new(peer, 50_000)));
        let parts = RequestParts::from((parts, local, peer, Scheme::HTTP));
        let request = Request::from_parts(parts, Body::from_vec(body.to_vec()));
        let answer = self.runtime.block_on(async {
            let (parts, body) = self.endpoint.get_response(request).await.into_parts();
            let bytes = body.into_bytes().await.expect("a body");
            let header = |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
            let cookie = header("set-cookie");
            let value = cookie.split(';').next().and_then(|pair| pair.split_once('='));
            Answer {
                status: parts.status.as_u16(),
                is_json: header("content-type").starts_with("application/json"),
                cookie: value.map_or_else(String::new, |(_, value)| value.to_owned()),
                body: String::from_utf8_lossy(&bytes).into_owned(),
                headers: format!("{:?}", parts.headers),
            }
        });
        answer.holds(method, path);
        answer
    }

    /// Puts real credentials where `{token}`, `{key}` or `{cookie}` stands.
    fn filled(&self, data: &[u8]) -> Vec<u8> {
        let mut filled = put(data, "{token}", &self.token);
        for (mark, real) in [("{key}", &self.key), ("{cookie}", &self.cookie)] {
            filled = put(&filled, mark, real);
        }
        filled
    }
}

/// `data` with `real` where `mark` stands first.
fn put(data: &[u8], mark: &str, real: &str) -> Vec<u8> {
    let mut filled = data.to_vec();
    if let Some(at) = filled.windows(mark.len()).position(|part| part == mark.as_bytes()) {
        filled.splice(at..at + mark.len(), real.bytes());
    }
    filled
}

impl Answer {
    fn holds(&self, method: &str, path: &str) {
        let what = format!("{method} {path}: {} {}", self.status, self.body);
        assert!(self.status < 500 || self.status == 503, "{what}");
        if self.status == 503 {
            assert!(self.headers.contains("retry-after"), "{what}");
        }
        if self.is_json && !self.body.is_empty() {
            assert!(serde_json::from_str::<Value>(&self.body).is_ok(), "{what}");
        }
        if self.status >= 400 {
            assert!(self.body.len() < 4096, "{what}");
            assert!(has_shape(path, &self.body), "{what}");
            assert!(!self.repeats(), "{what} repeats");
        }
    }

    fn repeats(&self) -> bool {
        self.body.contains(SECRET) || self.headers.contains(SECRET)
    }
}

/// Whether this is how the dialect of `path` says that something is wrong: a map that has these keys
/// and no others than those.
fn has_shape(path: &str, body: &str) -> bool {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
    let (has, may_have): (&[&str], &[&str]) = if begins(&["/api/v1/", "/metrics"]) {
        (&["error", "message"], &["field", "reason", "limit"])
    } else if begins(&["/api/2/", "/subscriptions/"]) {
        if body.is_empty() {
            return true;
        }
        (&["error"], &[])
    } else if begins(&["/api/", "/health"]) {
        (&["status", "detail"], &[])
    } else {
        (&["message"], &["error", "retryAfter"])
    };
    let Ok(Value::Object(said)) = serde_json::from_str(body) else { return false };
    let known = |key: &str| has.contains(&key) || may_have.contains(&key);
    has.iter().all(|key| said.get(*key).is_some_and(Value::is_string))
        && said.keys().all(|key| known(key))
}

/// A path of each dialect for somebody who is signed in.
const SIGNED: [&str; 6] = [
    "/api/v1/user",
    "/api/ws-token",
    "/users/me",
    "/dashboard",
    "/api/2/devices/ann.json",
    "/metrics",
];

fn with_header(name: &'static str, data: &[u8], is_real: impl Fn(&[u8]) -> bool) {
    let house = house();
    let value = house.filled(data);
    let mut marked = value.clone();
    marked.extend_from_slice(SECRET.as_bytes());
    for path in SIGNED {
        let answer = house.ask("GET", path, "203.0.113.7", &[(name, value.clone())], b"");
        assert!(answer.status >= 400 || is_real(&value), "{path} lets in {data:?}");
        assert!(!answer.repeats(), "{path} repeats {data:?}");
        let answer = house.ask("GET", path, "203.0.113.7", &[(name, marked.clone())], b"");
        assert!(answer.status >= 400 || name == "cookie", "{path} lets in {data:?} and more");
        assert!(!answer.repeats(), "{path} repeats what came after {data:?}");
    }
}

fn holds(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

/// The header `Authorization`.
pub fn authorization(data: &[u8]) {
    with_header("authorization", data, |value| {
        let house = house();
        let lower = value.to_ascii_lowercase();
        holds(value, &house.token) || holds(value, &house.key) || lower.starts_with(b"basic ")
    });
}

/// The header `Cookie`.
pub fn cookies(data: &[u8]) {
    with_header("cookie", data, |value| {
        holds(value, &house().cookie) || holds(value, &house().token)
    });
}

/// An API key, in both headers.
pub fn api_key(data: &[u8]) {
    let is_real = |value: &[u8]| value.trim_ascii() == house().key.as_bytes();
    with_header("x-api-key", data, is_real);
    let bearer = [b"Bearer ", data].concat();
    with_header("authorization", &bearer, |value| {
        value.get(7..).is_some_and(|rest| is_real(rest) || rest == house().token.as_bytes())
    });
}

/// A JWT: header, claims and signature as three lines, where `{header}`, `{claims}` and
/// `{signature}` stand for those of a token that is right.
pub fn jwt(data: &[u8]) {
    let house = house();
    let real: Vec<&str> = house.token.split('.').collect();
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let part = |line: Option<&[u8]>, mark: &str, real: &str| match line {
        Some(line) if line == mark.as_bytes() => real.to_owned(),
        Some(line) => URL_SAFE_NO_PAD.encode(line),
        None => String::new(),
    };
    let token = [
        part(lines.next(), "{header}", real[0]),
        part(lines.next(), "{claims}", real[1]),
        part(lines.next(), "{signature}", real[2]),
    ]
    .join(".");
    let bearer = [("authorization", format!("Bearer {token}").into_bytes())];
    for path in SIGNED {
        let answer = house.ask("GET", path, "203.0.113.7", &bearer, b"");
        assert!(answer.status >= 400 || token == house.token, "{path} lets in {token}");
    }
    let refresh = json!({"refresh_token": token, "refreshToken": token}).to_string();
    let kind = [("content-type", b"application/json".to_vec())];
    for path in ["/api/v1/auth/refresh", "/api/auth/refresh"] {
        let answer = house.ask("POST", path, "203.0.113.7", &kind, refresh.as_bytes());
        assert!(answer.status >= 400, "{path} exchanges {token}");
    }
}

/// Operations that take a body and do not end what the caller is signed in by.
const NATIVE: [(&str, &str); 16] = [
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/session"),
    ("POST", "/api/v1/auth/refresh"),
    ("POST", "/api/v1/auth/register"),
    ("POST", "/api/v1/auth/verify-email"),
    ("POST", "/api/v1/auth/forgot-password"),
    ("POST", "/api/v1/auth/reset-password"),
    ("POST", "/api/v1/auth/link"),
    ("POST", "/api/v1/setup/initialize"),
    ("PATCH", "/api/v1/user"),
    ("POST", "/api/v1/user/pin"),
    ("POST", "/api/v1/api-keys"),
    ("POST", "/api/v1/users"),
    ("POST", "/api/v1/roles"),
    ("POST", "/api/v1/invitations"),
    ("POST", "/api/v1/system/mail-test"),
];
const PIN: [(&str, &str); 1] = [("POST", "/auth/login")];
const PAIR: [(&str, &str); 2] = [("POST", "/api/auth/login"), ("POST", "/api/auth/refresh")];
const SIGNUP: [(&str, &str); 2] = [("POST", "/auth/signup"), ("POST", "/auth/login")];
const GPODDER: [(&str, &str); 8] = [
    ("POST", "/api/2/register"),
    ("POST", "/api/2/password-reset"),
    ("POST", "/api/2/devices/ann/phone.json"),
    ("POST", "/api/2/subscriptions/ann/phone.json"),
    ("POST", "/api/2/episodes/ann.json"),
    ("POST", "/api/2/sync-devices/ann.json"),
    ("PUT", "/subscriptions/ann/phone.json"),
    ("PUT", "/subscriptions/ann/phone.txt"),
];

/// The first byte chooses the operation, the rest is the body, where `{secret}` stands for something
/// that no error may repeat.
fn body(operations: &[(&str, &str)], data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let (method, path) = operations[usize::from(*first) % operations.len()];
    let (house, body) = (house(), put(body, "{secret}", SECRET));
    let headers =
        [("content-type", b"application/json".to_vec()), ("authorization", basic_of_ann())];
    house.ask(method, path, "127.0.0.1", &headers, &body);
    house.ask(method, path, "203.0.113.7", &headers[..1], &body);
}

fn basic_of_ann() -> Vec<u8> {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("ann:{PASSWORD}"));
    format!("Basic {pair}").into_bytes()
}

pub fn body_native(data: &[u8]) {
    body(&NATIVE, data);
}

pub fn body_pin(data: &[u8]) {
    body(&PIN, data);
}

pub fn body_pair(data: &[u8]) {
    body(&PAIR, data);
}

pub fn body_signup(data: &[u8]) {
    body(&SIGNUP, data);
}

pub fn body_gpodder(data: &[u8]) {
    body(&GPODDER, data);
}

/// A list of podcasts as OPML and as lines, by itself and as a client uploads it.
pub fn opml_lists(data: &[u8]) {
    let _ = opml::parse(data);
    let _ = opml::parse_lines(data);
    let headers = [("content-type", b"text/xml".to_vec()), ("authorization", basic_of_ann())];
    house().ask("PUT", "/subscriptions/ann/fuzz.opml", "127.0.0.1", &headers, data);
}

/// A configuration file, with `{secret}` as in bodies: what is wrong with a setting is told with its
/// value, but not of those that hold a secret.
pub fn config_file(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gatelodge.yaml");
    std::fs::write(&path, put(data, "{secret}", SECRET)).expect("written");
    if let Err(error) = config::load(Some(&path), folder.path(), &[]) {
        let said = error.to_string();
        assert!(!said.trim_end().contains('\n'), "one line: {said}");
        let of_a_secret =
            ["secret", "password", "passphrase"].iter().any(|name| said.contains(name));
        let is_known = !said.contains("is not a setting");
        assert!(!(of_a_secret && is_known && said.contains(SECRET)), "repeats: {said}");
    }
}

/// Lines of headers by which proxies tell of the client; those of a peer that is not trusted give
/// nobody anything.
pub fn forwarded(data: &[u8]) {
    const NAMES: [&str; 7] = [
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "x-forwarded-host",
        "x-forwarded-proto",
        "origin",
        "referer",
    ];
    let mut headers = Vec::new();
    for (at, line) in data.split(|byte| *byte == b'\n').enumerate() {
        headers.push((NAMES[at % NAMES.len()], line.to_vec()));
    }
    let house = house();
    for peer in ["10.0.0.1", "10.0.0.2", "203.0.113.7"] {
        for path in ["/health", "/api/v1/auth/options", "/auth/users"] {
            house.ask("GET", path, peer, &headers, b"");
        }
        let forwards =
            headers.iter().take(5).any(|(_, line)| HeaderValue::from_bytes(line).is_ok());
        let answer = house.ask("GET", "/metrics", peer, &headers, b"");
        assert!(answer.status == 401 || !forwards, "{peer} reads /metrics: {headers:?}");
    }
}

/// Where a browser is sent after a sign-in: what is taken for a path of ours leads nowhere else, also
/// when a page reads the path of the resolved address once more.
pub fn redirects(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if is_local_target(text) {
        let home = reqwest::Url::parse("https://gate.example.org/sign-in").expect("a URL");
        let there = home.join(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(there.origin(), home.origin(), "{text:?} leads to {there}");
        let again = home.join(there.path()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(again.origin(), home.origin(), "{text:?}, read twice, leads to {again}");
    }
}

/// Names and addresses: the one form of a name is one form, and what is taken comes back the same.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let once = canonical(text);
    assert_eq!(canonical(&once), once, "{text:?}");
    if let Ok(name) = Username::parse(text, None) {
        let again = Username::parse(&name.shown, None).expect("a name again");
        assert_eq!((&again.key, &again.shown), (&name.key, &name.shown), "{text:?}");
        assert!(!name.shown.chars().any(char::is_control) && name.shown.chars().count() <= 64);
        assert_eq!(canonical(&name.shown), name.key, "{text:?}");
    }
    if let Ok(email) = Email::parse(text) {
        let again = Email::parse(email.as_str()).expect("an address again");
        assert_eq!(again.as_str(), email.as_str(), "{text:?}");
        assert!(!email.as_str().contains(['\r', '\n', ' ', '<', '>']), "{text:?}");
    }
}

/// What is done with the bytes of one try.
pub type Entry = fn(&[u8]);

/// Every target by its name, for those who replay seeds.
pub const ALL: [(&str, Entry); 14] = [
    ("api_key", api_key),
    ("authorization", authorization),
    ("body_gpodder", body_gpodder),
    ("body_native", body_native),
    ("body_pair", body_pair),
    ("body_pin", body_pin),
    ("body_signup", body_signup),
    ("config_file", config_file),
    ("cookies", cookies),
    ("forwarded", forwarded),
    ("jwt", jwt),
    ("names", names),
    ("opml_lists", opml_lists),
    ("redirects", redirects),
];
