//! Who calls in the matrix of rights: a house in which everybody has signed in at every dialect,
//! built once a dialect and copied for whoever needs an untouched one.

use std::time::Duration;

use gatelodge::domain::sign_up::RegistrationMode;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    house::{Answer, Ask, House, PASSWORD, Plan, text},
    native_auth::cookie_of,
    pin::cookie,
};

pub const DIALECTS: [&str; 5] = ["native", "pin", "pair", "signup", "gpodder"];
pub const PIN: &str = "2580";
/// Somebody whom none of the callers is.
pub const OTHER: &str = "otto";
pub const ROLE: &str = "guests";
/// Longer than whatever a sign-in of any dialect lives.
const LATE: Duration = Duration::from_secs(400 * 24 * 3600);

/// One person, and what is theirs.
pub struct Person {
    pub name: &'static str,
    pub account: String,
    /// A session that is not the one that asks.
    pub session: String,
    pub key: String,
    pub identity: String,
    /// What they carry after signing in, one for each of [`DIALECTS`].
    carried: Vec<Carried>,
}

/// What a request shows.
#[derive(Clone)]
pub enum Carried {
    Nothing,
    Session { access: String, refresh: Option<String> },
    Key(String),
}

impl Carried {
    fn access(answer: &Value, access: &str, refresh: &str) -> Self {
        Self::Session {
            access: text(&answer[access]),
            refresh: answer[refresh].as_str().map(Into::into),
        }
    }

    /// What a dialect takes from its own refresh tokens; whoever has none tries what they have.
    pub fn refresh(&self) -> &str {
        match self {
            Self::Nothing => "",
            Self::Session { access, refresh } => refresh.as_ref().unwrap_or(access),
            Self::Key(key) => key,
        }
    }

    fn shown(&self) -> &str {
        match self {
            Self::Nothing => "",
            Self::Session { access, .. } => access,
            Self::Key(key) => key,
        }
    }

    /// As a client of this dialect shows it, whatever it is.
    pub fn show<'a>(&self, ask: Ask<'a>, dialect: &str) -> Ask<'a> {
        let shown = self.shown();
        match (self, dialect) {
            (Self::Nothing, _) => ask,
            (Self::Key(key), "pair" | "gpodder") => ask.basic("api", key),
            (_, "pin") => {
                let both = format!("accessToken={shown}; refreshToken={}", self.refresh());
                ask.header("cookie", &both)
            }
            (_, "gpodder") => ask.header("cookie", &format!("sessionid={shown}")),
            _ => ask.bearer(shown),
        }
    }
}

/// One column.
pub struct Caller {
    pub column: String,
    /// Whose things count as the caller's own.
    pub person: usize,
    pub carried: Carried,
    /// Comes when everything that anybody carries has expired.
    late: bool,
}

pub struct Furnished {
    house: House,
    pub people: Vec<Person>,
    pub invitation: String,
    bare_key: String,
    full_key: String,
}

const ADMIN: usize = 0;
const MAINTAINER: usize = 1;
const READER: usize = 2;
const PENDING: usize = 3;
const DISABLED: usize = 4;
const ENDED: usize = 5;
/// Those who could do most if only what is wrong with them were overlooked are admins.
const PEOPLE: [(&str, &str); 7] = [
    ("alma", "admin"),
    ("mona", "maintainer"),
    ("rita", "reader"),
    ("pia", "admin"),
    ("dino", "admin"),
    ("enno", "admin"),
    (OTHER, "reader"),
];

fn plan(plan: &mut Plan) {
    plan.settings.registration = RegistrationMode::Open;
    // Refusals follow each other here without an end.
    plan.settings.throttle.max_attempts = 0;
}

async fn ok(ask: Ask<'_>) -> Answer {
    let answer = ask.send().await;
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
    answer
}

async fn signed_in(house: &House, name: &str) -> Vec<Carried> {
    let named = json!({"username": name, "password": PASSWORD});
    let native = ok(house.post("/api/v1/auth/login").json(&named)).await.json();
    let pin = ok(house.post("/auth/login").json(&json!({"name": name, "pin": PIN}))).await;
    let pair = ok(house.post("/api/auth/login").json(&named)).await.json();
    let by_email = json!({"email": format!("{name}@example.org"), "password": PASSWORD});
    let signup = ok(house.post("/auth/login").json(&by_email)).await.json();
    let login = house.post(&format!("/api/2/auth/{name}/login.json")).basic(name, PASSWORD);
    let gpodder = cookie_of(&ok(login).await);
    let sessionid = gpodder.strip_prefix("sessionid=").expect("a session").to_owned();
    vec![
        Carried::access(&native, "token", "refresh_token"),
        Carried::Session {
            access: cookie(&pin, "accessToken"),
            refresh: Some(cookie(&pin, "refreshToken")),
        },
        Carried::access(&pair, "access_token", "refresh_token"),
        Carried::access(&signup, "token", "none"),
        Carried::Session { access: sessionid, refresh: None },
    ]
}

async fn person(house: &House, name: &'static str, role: &str) -> Person {
    let account = house.add(name, role).await;
    let token = house.token(name).await;
    let pin = json!({"current_password": PASSWORD, "pin": PIN});
    ok(house.post("/api/v1/user/pin").bearer(&token).json(&pin)).await;
    let sessions = ok(house.get("/api/v1/user/sessions").bearer(&token)).await.json();
    let session = text(&sessions["data"][0]["id"]);
    let key = house.post("/api/v1/api-keys").bearer(&token).json(&json!({"name": "theirs"}));
    let key = text(&ok(key).await.json()["id"]);
    let identity = account.replace(&account[..8], "00000000");
    let carried = signed_in(house, name).await;
    Person { name, account, session, key, identity, carried }
}

impl Furnished {
    pub async fn new() -> Self {
        let house = House::with(plan).await;
        let mut people = Vec::new();
        for (name, role) in PEOPLE {
            people.push(person(&house, name, role).await);
        }
        let admin = house.token("alma").await;
        let post = async |path: &str, body: Value| {
            ok(house.post(path).bearer(&admin).json(&body)).await.json()
        };
        post("/api/v1/roles", json!({"name": ROLE, "permissions": []})).await;
        let invitation = text(&post("/api/v1/invitations", json!({"role": "reader"})).await["id"]);
        let bare_key = json!({"name": "nothing", "permissions": []});
        let bare_key = text(&post("/api/v1/api-keys", bare_key).await["key"]);
        let full_key = text(&post("/api/v1/api-keys", json!({"name": "all"})).await["key"]);
        let ended = format!("/api/v1/users/{}/sessions", people[ENDED].account);
        ok(house.delete(&ended).bearer(&admin)).await;
        let furnished = Self { house, people, invitation, bare_key, full_key };
        furnished.write();
        furnished
    }

    /// What no request does here: nobody leaves for a provider, and nothing but the status stands
    /// against those who are pending or disabled, their sessions live on.
    fn write(&self) {
        let file = Connection::open(self.house.database()).expect("the database");
        for person in &self.people {
            file.execute(
                "INSERT INTO identities (id, account_id, provider, issuer, subject, created_at)
                 VALUES (?1, ?2, 'home', 'https://id.example.org', ?2, 0)",
                [&person.identity, &person.account],
            )
            .expect("an identity");
        }
        for (who, status) in [(PENDING, "pending"), (DISABLED, "disabled")] {
            file.execute(
                "UPDATE accounts SET status = ?1,
                     pending_until = CASE ?1 WHEN 'pending' THEN 1 << 52 END WHERE id = ?2",
                [status, &self.people[who].account],
            )
            .expect("a status");
        }
        file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    }

    /// A house that nobody has touched since.
    pub async fn untouched(&self, caller: &Caller) -> House {
        let house = House::copied(&self.house, plan).await;
        if caller.late {
            house.clock.advance(LATE);
        }
        house
    }

    /// Everybody who calls at this dialect.
    pub fn callers(&self, dialect: &str) -> Vec<Caller> {
        let own = DIALECTS.iter().position(|known| *known == dialect).expect("a dialect");
        let caller = |column: &str, person: usize, carried: Carried| Caller {
            column: column.to_owned(),
            person,
            carried,
            late: false,
        };
        let by = |column, person: usize| {
            caller(column, person, self.people[person].carried[own].clone())
        };
        let mut callers = vec![
            caller("stranger", READER, Carried::Nothing),
            by("pending", PENDING),
            by("disabled", DISABLED),
            by("ended", ENDED),
            Caller { late: true, ..by("expired", ADMIN) },
        ];
        for (place, foreign) in DIALECTS.iter().enumerate().filter(|(place, _)| *place != own) {
            callers.push(caller(foreign, ADMIN, self.people[ADMIN].carried[place].clone()));
        }
        if let Carried::Session { refresh: Some(token), .. } = &self.people[ADMIN].carried[own]
            && dialect != "pin"
        {
            let swapped = Carried::Session { access: token.clone(), refresh: None };
            callers.push(caller("refresh", ADMIN, swapped));
        }
        callers.extend([
            caller("key-none", ADMIN, Carried::Key(self.bare_key.clone())),
            caller("key-all", ADMIN, Carried::Key(self.full_key.clone())),
            by("reader", READER),
            by("maintainer", MAINTAINER),
            by("admin", ADMIN),
        ]);
        callers
    }
}
