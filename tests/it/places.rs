//! Everywhere that somebody may carry something to, and every way to sign in.

use base64::{Engine, engine::general_purpose::STANDARD};
use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::{Answer, House, Server, text},
    native_auth::cookie_of,
    pin::cookie,
};

/// One request, for a house or for the real server.
pub struct Step {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

impl Step {
    pub fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: Value::Null }
    }

    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub fn post(path: &str, body: Value) -> Self {
        Self { body, ..Self::new(Method::POST, path) }.with("content-type", "application/json")
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.with("authorization", format!("Bearer {token}"))
    }

    pub fn basic(self, user: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        self.with("authorization", format!("Basic {pair}"))
    }

    pub async fn at(&self, house: &House) -> Answer {
        let mut ask = house.ask(self.method.clone(), &self.path);
        if !self.body.is_null() {
            ask = ask.json(&self.body);
        }
        for (name, value) in &self.headers {
            ask = ask.header(name, value);
        }
        ask.send().await
    }

    pub fn on(&self, server: &Server) -> Answer {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = if self.body.is_null() { String::new() } else { self.body.to_string() };
        let answer = server.ask(self.method.as_str(), &self.path, &headers, &body);
        answer.expect("an answer")
    }
}

/// Where somebody may carry something to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Native,
    NativeKey,
    NativeRefresh,
    Pages,
    Pin,
    PinRefresh,
    Pair,
    PairRefresh,
    PairStream,
    Signup,
    Gpodder,
}

use Place::*;

pub const PLACES: [Place; 11] = [
    Native,
    NativeKey,
    NativeRefresh,
    Pages,
    Pin,
    PinRefresh,
    Pair,
    PairRefresh,
    PairStream,
    Signup,
    Gpodder,
];

impl Place {
    pub fn present(self, token: &str) -> Step {
        match self {
            Native => Step::get("/api/v1/user").bearer(token),
            NativeKey => Step::get("/api/v1/user").with("x-api-key", token),
            NativeRefresh => Step::post("/api/v1/auth/refresh", json!({"refresh_token": token})),
            Pages => Step::get("/api/v1/user").with("cookie", format!("session={token}")),
            Pin => Step::get("/users/me").with("cookie", format!("accessToken={token}")),
            PinRefresh => Step::post("/auth/refresh", json!({}))
                .with("cookie", format!("refreshToken={token}")),
            Pair => Step::post("/api/change-password", json!({})).bearer(token),
            PairRefresh => Step::post("/api/auth/refresh", json!({"refresh_token": token})),
            PairStream => Step::get(&format!("/api/ws/logs?token={}", escaped(token)))
                .with("connection", "Upgrade")
                .with("upgrade", "websocket")
                .with("sec-websocket-version", "13")
                .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            Signup => Step::get("/dashboard").bearer(token),
            Gpodder => Step::get("/api/2/me").with("cookie", format!("sessionid={token}")),
        }
    }

    /// Ends the session of a token that signed in here.
    pub fn sign_out(self, token: &str) -> Option<Step> {
        match self {
            Native => Some(Step::post("/api/v1/auth/logout", json!({})).bearer(token)),
            Pages => Some(
                Step::new(Method::DELETE, "/api/v1/auth/session")
                    .with("cookie", format!("session={token}")),
            ),
            Pin => Some(
                Step::post("/auth/logout", json!({}))
                    .with("cookie", format!("accessToken={token}")),
            ),
            Pair => Some(Step::post("/api/logout", json!({})).bearer(token)),
            _ => None,
        }
    }

    /// What a good token brings here: pair's is asked for a password that nobody sent.
    pub const fn welcome(self) -> u16 {
        match self {
            Pair => 400,
            _ => 200,
        }
    }

    /// 401 in the shape of this place.
    #[track_caller]
    pub fn refuses(self, answer: &Answer, what: &str) {
        assert_eq!(answer.status, 401, "{self:?} {what}: {}", answer.text());
        let challenge = answer.header("www-authenticate");
        match self {
            Native | NativeKey | NativeRefresh | Pages => {
                answer.problem(401, "unauthorized");
                assert!(challenge.starts_with("Bearer"), "{challenge}");
            }
            Pin => assert_eq!(answer.json(), json!({"message": "Unauthorized API access"})),
            PinRefresh => assert_eq!(answer.json(), json!({"message": "Invalid token"})),
            Pair | PairRefresh => {
                let body = answer.json();
                assert_eq!(body["status"], "error", "{body}");
                assert!(body["detail"].is_string(), "{body}");
                assert_eq!(challenge, "Bearer realm=\"Gatelodge\"");
            }
            PairStream => assert!(
                ["missing token", "invalid or expired token"].contains(&answer.text().as_str()),
                "{}",
                answer.text()
            ),
            Gpodder => {
                assert!(answer.json()["error"].is_string(), "{}", answer.text());
                assert!(challenge.starts_with("Basic realm=\"Gatelodge\""), "{challenge}");
            }
            Signup => {
                let body = answer.json();
                assert!(body["message"].is_string() && answer.header("set-cookie").is_empty());
            }
        }
    }
}

/// A token in a query or a cookie, so that it arrives as it was.
fn escaped(token: &str) -> String {
    let bytes = token.bytes();
    bytes
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The sign-ins of every dialect, and what each status is when something is wrong.
pub fn sign_ins(name: &str, password: &str, pin: &str) -> [(Step, u16); 6] {
    let email = format!("{name}@example.org");
    let by_name = json!({"username": name, "password": password});
    [
        (Step::post("/api/v1/auth/login", by_name.clone()), 401),
        (Step::post("/api/v1/auth/session", by_name.clone()), 401),
        (Step::post("/auth/login", json!({"name": name, "pin": pin})), 401),
        (Step::post("/api/auth/login", by_name), 401),
        (Step::post("/auth/login", json!({"email": email, "password": password})), 400),
        (
            Step::new(Method::POST, &format!("/api/2/auth/{email}/login.json"))
                .basic(&email, password),
            401,
        ),
    ]
}

/// What the answers to [`sign_ins`] hold.
#[track_caller]
pub fn carried(answers: &[Answer]) -> Vec<(Place, String)> {
    let [native, pages, pin, pair, signup, gpodder] = answers else { panic!("six answers") };
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let pages = cookie_of(pages);
    vec![
        (Native, text(&native.json()["token"])),
        (NativeRefresh, text(&native.json()["refresh_token"])),
        (Pages, pages.split_once('=').expect("a cookie").1.to_owned()),
        (Pin, cookie(pin, "accessToken")),
        (PinRefresh, cookie(pin, "refreshToken")),
        (Pair, text(&pair.json()["access_token"])),
        (PairRefresh, text(&pair.json()["refresh_token"])),
        (Signup, text(&signup.json()["token"])),
        (Gpodder, cookie(gpodder, "sessionid")),
    ]
}
