//! Faults: the clock is set back an hour and on a day, by Debian's `faketime`, under a real server.

use std::{fs, path::PathBuf, thread, time::Duration};

use serde_json::{Value, json};

use super::{
    deeds::{NO_THROTTLE, first_account},
    house::{PASSWORD, Server, gatelodge, text},
    program::{folder, run_with_input},
};

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let found = folders.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let found = found.into_iter().find(|path| path.exists());
    if found.is_none() {
        println!("NOT CHECKED: a clock that is set needs faketime; apt install faketime");
    }
    found
}

struct Clocked {
    server: Server,
    file: PathBuf,
    _home: tempfile::TempDir,
}

impl Clocked {
    fn start() -> Option<Self> {
        let (library, home) = (library()?, folder());
        let adding = ["user", "add", "ann", "--email", "ann@example.org", "--password-stdin"];
        run_with_input(home.path(), &adding, PASSWORD).succeeded();
        let file = home.path().join("clock");
        fs::write(&file, "+0").expect("written");
        let mut command = gatelodge();
        command.current_dir(home.path()).env("LD_PRELOAD", library);
        command.env("FAKETIME_TIMESTAMP_FILE", &file).env("FAKETIME_NO_CACHE", "1");
        // Time that never jumps does not.
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        let server = Server::run(command, &[("GATELODGE_SERVER__TRUSTED_PROXIES", "127.0.0.0/8")]);
        Some(Self { server, file, _home: home })
    }

    /// By so many seconds off the real one, once the server has noticed.
    fn set(&self, seconds: i64) {
        let before = self.server.log().matches("\"clock_").count();
        let other = self.file.with_extension("new");
        fs::write(&other, format!("{seconds:+}")).expect("written");
        fs::rename(&other, &self.file).expect("set");
        self.server.lines("\"clock_", before + 1);
    }

    fn me(&self, token: &str) -> u16 {
        self.server.json("GET", "/api/v1/user", token, &Value::Null).status
    }

    fn sign_in(&self) -> (String, String) {
        let body = json!({"username": "ann", "password": PASSWORD});
        let answer = self.server.json("POST", "/api/v1/auth/login", "", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        (text(&answer.json()["token"]), text(&answer.json()["refresh_token"]))
    }

    fn refreshed(&self, token: &str) -> (u16, Value) {
        let body = json!({"refresh_token": token});
        let answer = self.server.json("POST", "/api/v1/auth/refresh", "", &body);
        (answer.status, answer.json())
    }

    fn signed_out(&self, token: String) -> String {
        let answer = self.server.json("POST", "/api/v1/auth/logout", &token, &Value::Null);
        assert_eq!(answer.status, 200, "{}", answer.text());
        token
    }

    fn key(&self, token: &str) -> (String, String) {
        let answer = self.server.json("POST", "/api/v1/api-keys", token, &json!({"name": "k"}));
        assert_eq!(answer.status, 201, "{}", answer.text());
        (text(&answer.json()["key"]), format!("/api/v1/api-keys/{}", text(&answer.json()["id"])))
    }

    fn kinds(&self, token: &str) -> String {
        self.server.json("GET", "/api/v1/system", token, &Value::Null).text()
    }

    /// Until nothing is told of the clock: the line that `set` saw may have been about what went before.
    fn is_right(&self, token: &str) {
        let right = (0..2400).any(|_| {
            thread::sleep(Duration::from_millis(25));
            !self.kinds(token).contains("\"clock_")
        });
        assert!(right, "{}", self.kinds(token));
    }

    /// A wrong sign-in from somewhere.
    fn guess(&self, from: &str) -> u16 {
        let body = json!({"username": "ann", "password": "Wrong-guess-1"}).to_string();
        let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", from)];
        self.server.ask("POST", "/api/v1/auth/login", &headers, &body).expect("an answer").status
    }
}

#[test]
fn a_clock_that_goes_back_an_hour_locks_nobody_out_and_revives_nothing() {
    let Some(house) = Clocked::start() else { return };
    let (token, refresh) = house.sign_in();
    let gone = house.signed_out(house.sign_in().0);
    let (key, _) = house.key(&token);
    let (revoked, path) = house.key(&token);
    house.server.json("DELETE", &path, &token, &Value::Null);
    for _ in 0..5 {
        assert_eq!(house.guess("198.51.100.7"), 401);
    }
    assert_eq!(house.guess("198.51.100.7"), 429);

    house.set(-3600);
    assert!(house.kinds(&token).contains("\"clock_behind\""), "{}", house.server.log());
    assert_eq!((house.me(&token), house.me(&key)), (200, 200), "what was good is good");
    assert_eq!((house.me(&gone), house.me(&revoked)), (401, 401), "what ended stays ended");
    assert_eq!(house.guess("198.51.100.7"), 429, "guessers wait on");
    assert_eq!(house.guess("198.51.100.8"), 401);
    let (status, fresh) = house.refreshed(&refresh);
    assert_eq!((status, house.me(&text(&fresh["token"]))), (200, 200));
    let (second, _) = house.sign_in();
    assert_eq!(house.me(&second), 200);
    let second = house.signed_out(second);
    assert_eq!(house.me(&second), 401);
    let told = house.kinds(&token);
    assert!(told.contains("\"clock_jumped\""), "and the last event is of now: {told}");

    house.set(0);
    assert_eq!((house.me(&token), house.me(&second), house.me(&gone)), (200, 401, 401));
    house.is_right(&token);
    let (ended_well, log) = house.server.terminate();
    assert!(ended_well && !log.contains(" panic "), "{log}");
    assert!(log.contains("is over"), "{log}");
}

#[test]
fn a_clock_that_goes_on_a_day_ends_what_ends_and_nothing_of_it_stays() {
    let Some(house) = Clocked::start() else { return };
    let (admin, _) = house.sign_in();
    let (token, refresh) = house.sign_in();
    let (key, _) = house.key(&token);
    let gone = house.signed_out(house.sign_in().0);
    let body = json!({"username": "bob"});
    let bob = text(&house.server.json("POST", "/api/v1/users", &admin, &body).json()["id"]);
    let link = format!("/api/v1/users/{bob}/reset-link");
    let link = house.server.json("POST", &link, &admin, &Value::Null);
    assert_eq!(link.status, 201, "{}", link.text());
    let one_time = text(&link.json()["link"]).split("token=").nth(1).expect("a token").to_owned();
    let reset = |password: &str| {
        let body = json!({"token": one_time, "new_password": password});
        house.server.json("POST", "/api/v1/auth/reset-password", "", &body).status
    };

    house.set(2 * 24 * 3600);
    assert_eq!(house.me(&token), 401, "an access token of a day is over");
    assert_eq!((house.me(&key), house.me(&gone)), (200, 401));
    assert!([400, 401, 410, 422].contains(&reset("Chestnut-tree-8")), "the link is over");
    let (status, fresh) = house.refreshed(&refresh);
    assert_eq!(status, 200, "whoever holds a refresh token goes on");
    let later = text(&fresh["token"]);
    assert_eq!(house.me(&later), 200);
    let ended_later = house.signed_out(house.sign_in().0);
    let (revoked_later, path) = house.key(&later);
    house.server.json("DELETE", &path, &later, &Value::Null);
    assert!(house.kinds(&later).contains("\"clock_jumped\""));

    house.set(0);
    assert_eq!((house.me(&ended_later), house.me(&revoked_later)), (401, 401), "ended stays ended");
    assert_eq!(house.me(&later), 200, "nobody is locked out");
    assert!(house.kinds(&later).contains("\"clock_behind\""), "the last event is of the future");
    let (fresh, _) = house.sign_in();
    assert_eq!(house.me(&fresh), 200);
    house.is_right(&fresh);
    assert_eq!(reset("Chestnut-tree-8"), 200, "the link is good again, for the time it had");
    assert_ne!(reset("Chestnut-tree-9"), 200, "and once");
    let (ended_well, log) = house.server.terminate();
    assert!(ended_well && !log.contains(" panic "), "{log}");
}

#[test]
fn a_clock_that_is_behind_the_database_is_told_of_at_the_start() {
    let home = folder();
    let server = Server::start(home.path(), &NO_THROTTLE);
    first_account(&server);
    server.kill();
    let file = home.path().join(gatelodge::db::FILE_NAME);
    let database = rusqlite::Connection::open(&file).expect("the database");
    database.execute("UPDATE events SET at = 4102444800000", []).expect("later");
    drop(database);
    let server = Server::start(home.path(), &NO_THROTTLE);
    server.lines("clock_behind: the clock is behind: the database was written at 2100", 1);
}
