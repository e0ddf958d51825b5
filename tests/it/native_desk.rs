//! What the tests of native share: the callers, and the ways in which any body can be bad.

use poem::http::Method;
use serde_json::{Value, json};

use super::house::{Answer, House, PASSWORD, Plan, text};

/// Stands for what nobody may read back: no answer repeats it.
pub const MARK: &str = "qx7-marked-input";

/// A house with one caller of each kind, signed in.
pub struct Desk {
    pub house: House,
    /// `ann`
    pub admin: String,
    /// `mia`
    pub maintainer: String,
    /// `bob`
    pub reader: String,
}

impl Desk {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Plan)) -> Self {
        let house = House::lived_in_with(change).await;
        house.add("mia", "maintainer").await;
        Self {
            admin: house.token("ann").await,
            maintainer: house.token("mia").await,
            reader: house.token("bob").await,
            house,
        }
    }

    /// Makes a role of these permissions and somebody of the same name who has it; their token.
    pub async fn hire(&self, name: &str, permissions: &[&str]) -> String {
        let role = json!({"name": name, "permissions": permissions});
        self.post("/api/v1/roles", &self.admin, &role).await.ok(201);
        self.house.add(name, name).await;
        self.house.token(name).await
    }

    /// Makes an API key for whoever `token` is; the key itself.
    pub async fn key(&self, token: &str, wanted: &Value) -> String {
        text(&self.post("/api/v1/api-keys", token, wanted).await.ok(201)["key"])
    }

    pub async fn id(&self, name: &str) -> String {
        let path = format!("/api/v1/users?q={name}");
        let found = self.get(&path, &self.admin).await.ok(200);
        let people = found["data"].as_array().expect("a list");
        let person = people.iter().find(|person| person["username"] == name);
        text(&person.unwrap_or_else(|| panic!("nobody is called {name}"))["id"])
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Method::GET, path, token, &Value::Null).await
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, token, body).await
    }

    pub async fn put(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, token, body).await
    }

    pub async fn patch(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, token, body).await
    }

    pub async fn delete(&self, path: &str, token: &str) -> Answer {
        self.send(Method::DELETE, path, token, &Value::Null).await
    }

    /// An empty token is a stranger, `null` is no body.
    pub async fn send(&self, method: Method, path: &str, token: &str, body: &Value) -> Answer {
        let mut ask = self.house.ask(method, path);
        if !token.is_empty() {
            ask = ask.bearer(token);
        }
        if !body.is_null() {
            ask = ask.json(body);
        }
        ask.send().await
    }

    /// A sign-in with this password: its status.
    pub async fn sign_in(&self, name: &str, password: &str) -> u16 {
        let body = json!({"username": name, "password": password});
        self.post("/api/v1/auth/login", "", &body).await.status
    }

    /// Strangers get 401; readers 403.
    pub async fn refuses_strangers_and_readers(&self, method: Method, path: &str, body: &Value) {
        let answer = self.send(method.clone(), path, "", body).await;
        answer.problem(401, "unauthorized");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
        self.send(method, path, &self.reader, body).await.problem(403, "forbidden");
    }

    /// Every way in which a body can be bad whatever it is for; `good` would be taken.
    pub async fn refuses_bad_bodies(&self, method: Method, path: &str, good: &Value) {
        let token = &self.admin;
        let ask = || self.house.ask(method.clone(), path).bearer(token);
        let cut = good.to_string().trim_end_matches('}').to_owned();
        let broken: [Vec<u8>; 6] = [
            Vec::new(),
            cut.into_bytes(),
            format!("{{\"{MARK}\":").into_bytes(),
            format!("{good}{MARK}").into_bytes(),
            b"[".to_vec(),
            b"{\"\xff\xfe\":1}".to_vec(),
        ];
        for body in broken {
            let answer = ask().raw("application/json", body.clone()).send().await;
            answer.problem(400, "bad_request");
            assert!(!answer.text().contains(MARK), "{}", answer.text());
        }
        let values: Vec<&Value> = good.as_object().expect("an object").values().collect();
        for shape in [json!(null), json!([]), json!(7), json!(MARK), json!(values)] {
            let answer = ask().json(&shape).send().await;
            answer.problem(422, "unprocessable");
            assert!(!answer.text().contains(MARK), "{}", answer.text());
        }
        let mut unknown = good.clone();
        unknown[MARK] = json!(true);
        let answer = ask().json(&unknown).send().await;
        answer.problem(422, "unprocessable");
        assert!(!answer.text().contains(MARK), "{}", answer.text());
        for form in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
            ask().raw(form, good.to_string()).send().await.problem(415, "bad_request");
        }
        let packed = ask().json(good).header("content-encoding", "gzip").send().await;
        packed.problem(415, "bad_request");
        let long = format!("{good}{}", " ".repeat(1024 * 1024));
        ask().raw("application/json", long).send().await.problem(413, "bad_request");
    }

    /// Each body is a 422 that names the field.
    pub async fn refuses_fields(&self, method: Method, path: &str, cases: &[(Value, &str)]) {
        for (body, field) in cases {
            let answer = self.send(method.clone(), path, &self.admin, body).await;
            answer.problem(422, "unprocessable");
            assert_eq!(answer.json()["field"], *field, "{body}");
        }
    }
}

impl Answer {
    /// Asserts the status; gives the JSON, or `null` for an empty body.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }
}

/// An id that nobody has.
pub const NOBODY: &str = "00000000-0000-4000-8000-000000000000";
/// What is no id at all; percent-encoded where it has to be.
pub const NO_IDS: [&str; 4] = ["7", "not-an-id", "%ff%fe", "00000000-0000-4000-8000-00000000000"];

/// The names of the accounts in a list.
pub fn names(list: &Value) -> Vec<String> {
    list["data"].as_array().expect("a list").iter().map(|one| text(&one["username"])).collect()
}

/// `length` characters that no list of common passwords has.
pub fn long(length: usize) -> String {
    PASSWORD.chars().cycle().take(length).collect()
}
