//! Every operation of the five documents, called by everybody who could: what is answered stands
//! in `matrix/*.txt`, one line an operation, one column a caller, for people to read. After a
//! change that is meant: `WRITE_MATRIX=1 cargo test --test it matrix::`, and read the diff.
//!
//! Bodies are the documents' examples, so far as they can work, so that nothing but rights
//! refuses. A path that names somebody's thing is called for one's own and for somebody else's.
//!
//! A few rows let nobody in, also an admin: what is for the holder of a one-time token or ticket, ways to
//! providers (none is configured here), set-up once it is done, and two that name a thing which is not
//! there. Who gets in by these is held by tests of their own.

use std::{collections::BTreeSet, fmt::Write, fs};

use gatelodge::http::documents;
use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::{House, PASSWORD, text},
    matrix_people::{Caller, Carried, Furnished, OTHER, PIN, Person, ROLE},
};

/// These get nothing that a stranger does not get as well.
const NOBODIES: [&str; 10] = [
    "pending", "disabled", "ended", "expired", "native", "pin", "pair", "signup", "gpodder",
    "refresh",
];
/// Whoever stands second may do whatever the first one may.
const LADDER: [(&str, &str); 5] = [
    ("reader", "maintainer"),
    ("maintainer", "admin"),
    ("key-none", "key-all"),
    ("key-none", "admin"),
    ("key-all", "admin"),
];

/// Whose things the path names.
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Nobodys,
    Own,
    Other,
}

struct Operation {
    id: String,
    method: Method,
    path: String,
    whose: Whose,
    example: Value,
}

impl Operation {
    fn line(&self) -> String {
        let whose = match self.whose {
            Whose::Nobodys => "",
            Whose::Own => " (own)",
            Whose::Other => " (other)",
        };
        format!("{} {}{whose}", self.method, self.path)
    }

    fn path(&self, furnished: &Furnished, caller: &Caller) -> String {
        let is_otto = |person: &&Person| person.name == OTHER;
        let person = match self.whose {
            Whose::Other => furnished.people.iter().find(is_otto).expect("the other"),
            Whose::Own | Whose::Nobodys => &furnished.people[caller.person],
        };
        let id = match self.path.as_str() {
            path if path.contains("/user/sessions/") => &person.session,
            path if path.contains("/user/identities/") => &person.identity,
            path if path.contains("/api-keys/") => &person.key,
            path if path.contains("/invitations/") => &furnished.invitation,
            _ => &person.account,
        };
        let names = [
            ("{id}", id.as_str()),
            ("{session}", &person.session),
            ("{username}", person.name),
            ("{name}", ROLE),
            ("{device}", "phone"),
            ("{format}", "json"),
            ("{ip}", "192.0.2.7"),
        ];
        let fill = |path: String, (name, value): (&str, &str)| path.replace(name, value);
        let path = names.into_iter().fold(self.path.clone(), fill);
        assert!(!path.contains('{'), "{path} has a parameter that this test does not know");
        match self.id.as_str() {
            "activate" => format!("{path}?token={}", person.account),
            "ws_logs" => format!("{path}?token={}", caller.carried.refresh()),
            _ => path,
        }
    }

    /// The document's example, where it can work for everybody.
    fn body(&self, dialect: &str, carried: &Carried) -> Value {
        let email = format!("{OTHER}@example.org");
        match (dialect, self.id.as_str()) {
            ("native", "auth_login" | "auth_session_create") | ("pair", "auth_login") => {
                json!({"username": OTHER, "password": PASSWORD})
            }
            ("native" | "pair", "auth_refresh") => json!({"refresh_token": carried.refresh()}),
            ("pin", "login") => json!({"name": OTHER, "pin": PIN}),
            ("signup", "login") => json!({"email": email, "password": PASSWORD}),
            (_, "api_key_create" | "api_key_update") => json!({"name": "a script"}),
            // There is no provider of this name: 404 is what is answered to who may.
            (_, "profile_identity_link") => {
                json!({"provider": "home", "current_password": PASSWORD})
            }
            (_, "user_replace" | "user_update") => json!({"display_name": "Somebody"}),
            _ => self.example.clone(),
        }
    }

    async fn status(&self, house: &House, furnished: &Furnished, by: &Caller, at: &str) -> u16 {
        let ask = house.ask(self.method.clone(), &self.path(furnished, by));
        let ask = by.carried.show(ask, at);
        let ask = match self.body(at, &by.carried) {
            Value::Null => ask,
            body => ask.json(&body),
        };
        // Streams have no end to wait for.
        let status = ask.open().await.status().as_u16();
        house.core.quiet().await;
        status
    }
}

fn operations(dialect: &str) -> Vec<Operation> {
    let document = documents::generate(dialect).expect("a document").expect("JSON");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let personal = ["{username}", "/users/{id}", "/api-keys/", "/user/sessions/", "/user/id"];
        let is_personal = path.contains('{') && personal.iter().any(|part| path.contains(part));
        let whose: &[Whose] =
            if is_personal { &[Whose::Own, Whose::Other] } else { &[Whose::Nobodys] };
        for (method, said) in item.as_object().expect("a path item") {
            let content = &said["requestBody"]["content"]["application/json"];
            operations.extend(whose.iter().map(|whose| Operation {
                id: text(&said["operationId"]),
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                whose: *whose,
                example: content["example"].clone(),
            }));
        }
    }
    operations
}

/// What everybody is answered: a row for each operation, a column for each caller.
async fn answers(dialect: &str, furnished: &Furnished, operations: &[Operation]) -> Vec<Vec<u16>> {
    let mut rows = vec![Vec::new(); operations.len()];
    for caller in furnished.callers(dialect) {
        let mut house = furnished.untouched(&caller).await;
        for (operation, row) in operations.iter().zip(&mut rows) {
            let status = operation.status(&house, furnished, &caller, dialect).await;
            row.push(status);
            if status < 400 && operation.method != Method::GET {
                house = furnished.untouched(&caller).await;
            }
        }
    }
    rows
}

fn table(columns: &[String], operations: &[Operation], rows: &[Vec<u16>]) -> String {
    let width = operations.iter().map(|operation| operation.line().len()).max().unwrap_or(0);
    let mut table = format!("{:width$}  {}\n", "", columns.join(" "));
    for (operation, row) in operations.iter().zip(rows) {
        let cell = |(status, column): (&u16, &String)| format!("{status:>0$}", column.len());
        let cells: Vec<String> = row.iter().zip(columns).map(cell).collect();
        writeln!(table, "{:width$}  {}", operation.line(), cells.join(" ")).expect("a line");
    }
    table
}

fn check_ladder(columns: &[String], operation: &Operation, row: &[u16]) {
    let opens = |name: &str| {
        let place = columns.iter().position(|column| column == name);
        place.is_some_and(|place| row[place] < 400)
    };
    for nobody in NOBODIES {
        let at_home = nobody == "refresh" && operation.id == "auth_refresh";
        let allowed = at_home || !opens(nobody) || opens("stranger");
        assert!(allowed, "{} opens to {nobody}", operation.line());
    }
    for (less, more) in LADDER {
        // Where a stranger is welcome, as at gpodder's way out, more can be refused than nothing.
        let allowed = !opens(less) || opens(more) || opens("stranger");
        assert!(allowed, "{} opens to {less} and not to {more}", operation.line());
    }
}

async fn holds(dialect: &str) {
    let furnished = Furnished::new().await;
    let operations = operations(dialect);
    let rows = answers(dialect, &furnished, &operations).await;
    let columns: Vec<String> =
        furnished.callers(dialect).into_iter().map(|caller| caller.column).collect();
    for (operation, row) in operations.iter().zip(&rows) {
        check_ladder(&columns, operation, row);
    }
    let path = format!("{}/tests/it/matrix/{dialect}.txt", env!("CARGO_MANIFEST_DIR"));
    let found = table(&columns, &operations, &rows);
    if std::env::var_os("WRITE_MATRIX").is_some() {
        fs::write(&path, &found).expect("the table");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let (was, is): (BTreeSet<&str>, BTreeSet<&str>) =
        (committed.lines().collect(), found.lines().collect());
    let gone: Vec<_> = was.difference(&is).collect();
    let new: Vec<_> = is.difference(&was).collect();
    assert!(committed == found, "{path}\nsays:  {gone:#?}\nfound: {new:#?}");
}

#[tokio::test]
async fn native_answers_everybody_as_its_table_says() {
    holds("native").await;
}

#[tokio::test]
async fn pin_answers_everybody_as_its_table_says() {
    holds("pin").await;
}

#[tokio::test]
async fn pair_answers_everybody_as_its_table_says() {
    holds("pair").await;
}

#[tokio::test]
async fn signup_answers_everybody_as_its_table_says() {
    holds("signup").await;
}

#[tokio::test]
async fn gpodder_answers_everybody_as_its_table_says() {
    holds("gpodder").await;
}
