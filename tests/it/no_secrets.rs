//! No secret stays anywhere but with its owner: after a busy day every password, PIN, key and
//! token that was used is searched for in the database, its log, the whole folder and the log.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    hostile_binding::token_of,
    house::{Answer, Server, text},
};

/// What was used, under the name that a failure tells.
#[derive(Default)]
struct Used(Vec<(String, String)>);

impl Used {
    fn secret(&mut self, what: &str, secret: &str) -> String {
        assert!(secret.len() >= 8, "{what} is too short to be searched for");
        self.0.push((what.to_owned(), secret.to_owned()));
        secret.to_owned()
    }

    /// Where any of them stands, in clear or as Basic wrote it.
    fn found_in(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let holds = |needle: &str| bytes.windows(needle.len()).any(|at| at == needle.as_bytes());
        let found = self.0.iter().filter(|(_, secret)| {
            // A token's signature is enough to forge it with what else is public.
            let signature = secret.rsplit('.').next().unwrap_or(secret);
            holds(signature) || holds(&STANDARD.encode(secret))
        });
        found.map(|(what, _)| format!("{what} in {place}")).collect()
    }

    fn found_below(&self, folder: &Path) -> Vec<String> {
        let files =
            fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
        files
            .flat_map(|path| match path.is_dir() {
                true => self.found_below(&path),
                false => {
                    let bytes = fs::read(&path).expect("a file");
                    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                    self.found_in(&name, &bytes)
                }
            })
            .collect()
    }
}

struct Day {
    server: Server,
    used: Used,
}

impl Day {
    fn post(&self, path: &str, token: &str, body: Value, status: u16) -> Value {
        let answer = self.server.json("POST", path, token, &body);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        answer.json()
    }

    fn me(&self, name: &str, value: &str) -> Answer {
        self.server.ask("GET", "/api/v1/user", &[(name, value)], "").expect("an answer")
    }

    fn tokens(&mut self, whose: &str, answer: &Value) -> String {
        if let Some(refresh) = answer["refresh_token"].as_str() {
            self.used.secret(&format!("refresh token of {whose}"), refresh);
        }
        self.used.secret(&format!("access token of {whose}"), &text(&answer["token"]))
    }

    /// The first account from elsewhere, by the set-up token; its access token.
    fn sets_up(&mut self, password: &str) -> String {
        let token = self.server.setup_token();
        let body = json!({"username": "ann", "email": "a@example.org", "password": password});
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Forwarded-For", "203.0.113.7"),
            ("X-Setup-Token", token.as_str()),
        ];
        let path = "/api/v1/setup/initialize";
        let made = self.server.ask("POST", path, &headers, &body.to_string()).expect("an answer");
        assert_eq!(made.status, 201, "{}", made.text());
        self.tokens("ann", &made.json())
    }

    /// By every carrier that there is.
    fn signs_in(&mut self, name: &str, password: &str, pin: &str) -> String {
        let body = json!({"username": name, "password": password});
        let tokens = self.post("/api/v1/auth/login", "", body, 200);
        let token = self.tokens(name, &tokens);
        let refreshed = json!({"refresh_token": tokens["refresh_token"]});
        let refreshed = self.post("/api/v1/auth/refresh", "", refreshed, 200);
        self.tokens(name, &refreshed);
        let set = json!({"current_password": password, "pin": pin});
        self.post("/api/v1/user/pin", &token, set, 200);
        for proof in [json!({"pin": pin}), json!({"password": password})] {
            let mut body = json!({"username": name});
            body.as_object_mut().expect("one").extend(proof.as_object().expect("one").clone());
            let answer = self.server.json("POST", "/api/v1/auth/session", "", &body);
            let cookie = answer.header("set-cookie");
            let cookie = cookie.split(';').next().expect("a cookie");
            assert_eq!(self.me("Cookie", cookie).status, 200);
            self.used.secret("cookie", cookie.trim_start_matches("session="));
        }
        let pair = STANDARD.encode(format!("{name}:{password}"));
        self.used.secret("Basic credential", &pair);
        assert_eq!(self.me("Authorization", &format!("Basic {pair}")).status, 200);
        let key = self.post("/api/v1/api-keys", &token, json!({"name": "script"}), 201);
        let key = self.used.secret("API key", &text(&key["key"]));
        assert_eq!(self.me("X-API-Key", &key).status, 200);
        let pair = STANDARD.encode(format!("api:{key}"));
        assert_eq!(self.me("Authorization", &format!("Basic {pair}")).status, 200);
        token
    }

    fn types_it_in_wrong_places(&mut self, token: &str) {
        let typed = self.used.secret("password typed as a name", "Quince jam, 9 jars!");
        let body = json!({"username": typed, "password": "x"});
        self.post("/api/v1/auth/login", "", body, 401);
        let long = self.used.secret("long password typed as a name", &"Medlar-tree-".repeat(4));
        let body = json!({"username": long, "password": "x"});
        self.post("/api/v1/auth/login", "", body, 401);
        let wrong = self.used.secret("wrong password", "Mulberry-bush-4");
        let body = json!({"username": "ann", "password": wrong});
        self.post("/api/v1/auth/login", "", body, 401);
        let pair = STANDARD.encode(format!("ann:{wrong}"));
        assert_eq!(self.me("Authorization", &format!("Basic {pair}")).status, 401);
        let change = json!({"current_password": wrong, "new_password": "Bramble-hedge-5"});
        self.used.secret("new password that was refused", "Bramble-hedge-5");
        self.post("/api/v1/user/password", token, change, 422);
        for path in ["/api/v1/user", "/api/v1/nowhere", "/nowhere"] {
            let path = format!("{path}?token={token}&access_token={token}&key={typed}");
            let path = path.replace(' ', "%20");
            let answer = self.server.ask("GET", &path, &[], "").expect("an answer");
            assert!([401, 404].contains(&answer.status), "{}", answer.status);
        }
        // As broken bodies, and as values of the wrong kind.
        for body in [
            format!("{{\"username\":\"ann\",\"password\":[\"{wrong}\"]}}"),
            format!("{{\"username\":\"ann\",\"password\":\"{wrong}\""),
            format!("{{\"username\":\"ann\",\"{wrong}\":1}}"),
        ] {
            let headers = [("Content-Type", "application/json")];
            let answer = self.server.ask("POST", "/api/v1/auth/login", &headers, &body);
            let answer = answer.expect("an answer");
            assert!([400, 422].contains(&answer.status) && !answer.text().contains(&wrong));
        }
    }
}

#[test]
fn no_secret_of_a_busy_day_stays_in_the_folder_or_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [("MAX_LOGIN_ATTEMPTS", "50")];
    let mut day = Day { server: Server::start(folder.path(), &environment), used: Used::default() };
    let setup = day.server.setup_token();
    let password = day.used.secret("password of ann", "Walnut-tree-7");
    let pin = day.used.secret("PIN of ann", "739184620557");
    let admin = day.sets_up(&password);
    day.signs_in("ann", &password, &pin);

    let invitation = day.post("/api/v1/invitations", &admin, json!({}), 201);
    let invitation = day.used.secret("invitation", &token_of(&invitation["link"]));
    let theirs = day.used.secret("password of bob", "Chestnut-tree-8");
    let body = json!({"username": "bob", "email": "b@example.org", "password": theirs,
                      "invitation": invitation});
    let made = day.post("/api/v1/auth/register", "", body, 201);
    day.tokens("bob", &made);
    let theirs_pin = day.used.secret("PIN of bob", "920573618440");
    day.signs_in("bob", &theirs, &theirs_pin);

    let path = format!("/api/v1/users/{}/reset-link", text(&made["user"]["id"]));
    let unused = token_of(&day.post(&path, &admin, Value::Null, 201)["link"]);
    day.used.secret("unused reset token", &unused);
    let link = token_of(&day.post(&path, &admin, Value::Null, 201)["link"]);
    let link = day.used.secret("reset token", &link);
    let newer = day.used.secret("new password of bob", "Hazel-bush-nine");
    let body = json!({"token": link, "new_password": newer});
    day.post("/api/v1/auth/reset-password", "", body, 200);
    day.types_it_in_wrong_places(&admin);
    let typed = day.used.secret("PIN typed wrong", "111122223333");
    let body = json!({"username": "bob", "pin": typed});
    day.post("/api/v1/auth/session", "", body, 401);

    // While it runs the WAL holds what was written; after the end the log is whole.
    let setup_used = Used(vec![("set-up token".to_owned(), setup.clone())]);
    let mut found = day.used.found_below(folder.path());
    found.extend(setup_used.found_below(folder.path()));
    let log_of_writes = fs::metadata(folder.path().join("gatelodge.db-wal")).expect("a WAL").len();
    assert!(log_of_writes > 0, "the WAL is searched while there is one");
    let Day { server, used } = day;
    let (ended, log) = server.terminate();
    assert!(ended, "{log}");
    found.extend(used.found_in("the log", log.as_bytes()));
    found.extend(used.found_below(folder.path()));
    found.extend(setup_used.found_below(folder.path()));
    assert!(found.is_empty(), "{found:#?}\n{log}");
    assert_eq!(log.matches(&setup).count(), 1, "in the greeting and nowhere else");
    // The search itself can find something: names are no secrets.
    let name = Used(vec![("name".to_owned(), "a@example.org".to_owned())]);
    assert!(!name.found_below(folder.path()).is_empty());
    assert!(log.contains("user=\"ann\""), "{log}");
}
