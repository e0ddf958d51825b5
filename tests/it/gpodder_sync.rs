//! Gpodder: devices, changes of subscriptions, sync groups, and whose all this is (seed 004).

use gatelodge::http::documents;
use serde_json::{Value, json};

use super::{
    house::{Answer, Ask, House, PASSWORD, START, text},
    pin::cookie,
};

/// Somebody signed in at a house, by the cookie of a sign-in.
pub struct Listener<'a> {
    pub house: &'a House,
    pub name: String,
    pub cookie: String,
}

impl<'a> Listener<'a> {
    pub async fn new(house: &'a House, name: &str) -> Self {
        let path = format!("/api/2/auth/{name}/login.json");
        let answer = house.post(&path).basic(name, PASSWORD).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Self { house, name: name.to_owned(), cookie: cookie(&answer, "sessionid") }
    }

    /// With the cookie.
    pub fn ask(&self, ask: Ask<'a>) -> Ask<'a> {
        ask.header("cookie", &format!("sessionid={}", self.cookie))
    }

    /// A path that has `USER` for the name.
    pub fn path(&self, path: &str) -> String {
        path.replace("USER", &self.name)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(self.house.get(&self.path(path))).send().await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(self.house.post(&self.path(path))).json(body).send().await
    }

    pub async fn put(&self, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.ask(self.house.put(&self.path(path))).raw("", body).send().await
    }

    pub async fn got(&self, path: &str) -> Value {
        good(&self.get(path).await)
    }

    pub async fn posted(&self, path: &str, body: Value) -> Value {
        good(&self.post(path, &body).await)
    }
}

/// The JSON of an answer that is exactly 200.
#[track_caller]
pub fn good(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type").split(';').next(), Some("application/json"));
    answer.json()
}

/// An error in gpodder's shape; its text.
#[track_caller]
pub fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
    text(&body["error"])
}

#[track_caller]
pub fn empty(answer: &Answer) {
    assert_eq!((answer.status, answer.text()), (200, String::new()));
}

pub const PHONE: &str = "/api/2/subscriptions/USER/phone.json";
pub const EPISODES: &str = "/api/2/episodes/USER.json";
const GROUPS: &str = "/api/2/sync-devices/USER.json";
const DEVICES: &str = "/api/2/devices/USER.json";
pub const A: &str = "https://example.org/a";
pub const B: &str = "https://example.org/b";

#[tokio::test]
async fn devices_are_made_on_first_use_and_named_later() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    assert_eq!(bob.got(DEVICES).await, json!([]));
    let named = json!({"caption": "Bob's <phone>", "type": "Mobile", "unknown": 1});
    empty(&bob.post("/api/2/devices/USER/phone.json", &named).await);
    bob.posted("/api/2/subscriptions/USER/desk.json", json!({"add": [A, B]})).await;
    bob.posted(EPISODES, json!([action("1", json!({"device": "car"}))])).await;
    bob.got("/api/2/subscriptions/USER/tab.let.json?since=0").await;
    bob.got("/api/2/updates/USER/radio.json?since=0").await;
    empty(&bob.put("/subscriptions/USER/attic.txt", A).await);
    let device = |id: &str, caption: &str, kind: &str, subscriptions: u32| json!({"id": id, "caption": caption, "type": kind, "subscriptions": subscriptions});
    let wanted = json!([
        device("phone", "Bob's <phone>", "mobile", 0),
        device("desk", "desk", "other", 2),
        device("car", "car", "other", 0),
        device("tab.let", "tab.let", "other", 0),
        device("radio", "radio", "other", 0),
        device("attic", "attic", "other", 1),
    ]);
    assert_eq!(bob.got(DEVICES).await, wanted);
    // Half a change leaves the other half; an empty body changes nothing.
    empty(&bob.post("/api/2/devices/USER/phone.json", &json!({"type": "laptop"})).await);
    empty(&bob.ask(house.post("/api/2/devices/bob/phone.json")).raw("plain/text", "").send().await);
    assert_eq!(bob.got(DEVICES).await[0], device("phone", "Bob's <phone>", "laptop", 0));
}

#[tokio::test]
async fn what_cannot_be_a_device_is_refused() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let long = "x".repeat(65);
    for name in ["a%20b", "a%2Fb", "%00", "a%0Ab", "%22", &long, "a;b", ""] {
        let path = format!("/api/2/devices/USER/{name}.json");
        refused(&bob.post(&path, &json!({})).await, 400);
        refused(&bob.put(&format!("/subscriptions/USER/{name}.txt"), A).await, 400);
    }
    for body in [json!({"type": "toaster"}), json!({"caption": 7}), json!([]), json!("x")] {
        refused(&bob.post("/api/2/devices/USER/phone.json", &body).await, 400);
    }
    for path in ["/api/2/devices/USER/phone", "/api/2/devices/USER/phone.xml"] {
        refused(&bob.post(path, &json!({})).await, 404);
    }
    refused(&bob.get("/subscriptions/USER/phone.pdf").await, 404);
    refused(&bob.get("/subscriptions/USER").await, 404);
    assert_eq!(bob.got(DEVICES).await, json!([]));
}

#[tokio::test]
async fn changes_go_up_and_come_down_after_their_stamp() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let first = bob.posted(PHONE, json!({"add": [A, B], "remove": []})).await;
    assert_eq!(first, json!({"timestamp": START, "update_urls": []}));
    let second = bob.posted(PHONE, json!({"remove": [A]})).await;
    assert_eq!(second["timestamp"], START + 1, "the clock stands, the stamp does not");
    let changes = |stamp: i64| bob.got_changes(stamp);
    assert_eq!(changes(START).await, json!({"add": [], "remove": [A], "timestamp": START + 1}));
    assert_eq!(changes(START + 1).await, json!({"add": [], "remove": [], "timestamp": START + 1}));
    assert_eq!(changes(-5).await, json!({"add": [B], "remove": [], "timestamp": START + 1}));
    assert_eq!(bob.got(PHONE).await, changes(0).await, "from the beginning, if left out");
    refused(&bob.get(&format!("{PHONE}?since=yesterday")).await, 400);
    refused(&bob.post(PHONE, &json!({"add": "http://example.org"})).await, 400);
}

impl Listener<'_> {
    pub async fn got_changes(&self, since: i64) -> Value {
        self.got(&format!("{PHONE}?since={since}")).await
    }
}

#[tokio::test]
async fn renamed_addresses_are_told_in_update_urls() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let odd = " HTTPS://Example.ORG:443/Feed/?a=B#c";
    let add = json!([odd, A, "ftp://example.org/x", "nonsense", "", odd, "http://example.org/"]);
    let done = bob.posted(PHONE, json!({"add": add, "remove": ["HTTP://example.org/gone"]})).await;
    let pairs = json!([
        [odd, "https://example.org/Feed/?a=B"],
        ["ftp://example.org/x", ""],
        ["nonsense", ""],
        ["http://example.org/", "http://example.org"],
        ["HTTP://example.org/gone", "http://example.org/gone"],
    ]);
    assert_eq!(done["update_urls"], pairs);
    let kept = json!(["https://example.org/Feed/?a=B", A, "http://example.org"]);
    assert_eq!(bob.got("/subscriptions/USER/phone.json").await, kept);
    let sent = json!({"podcast": "HTTP://Example.org/f/", "episode": "HTTP://Example.org/1.mp3",
        "action": "new"});
    let lost = json!({"podcast": "local:1", "episode": "x", "action": "new"});
    let done = bob.posted(EPISODES, json!([sent, sent, lost])).await;
    let pairs = json!([
        ["HTTP://Example.org/f/", "http://example.org/f"],
        ["HTTP://Example.org/1.mp3", "http://example.org/1.mp3"],
        ["local:1", ""],
    ]);
    assert_eq!(done["update_urls"], pairs);
    assert_eq!(bob.got(EPISODES).await["actions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_address_is_not_added_and_removed_at_once() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let said = refused(&bob.post(PHONE, &json!({"add": [A, B], "remove": [B]})).await, 400);
    assert_eq!(said, "podcast cannot be added and removed at once");
    assert_eq!(bob.got("/subscriptions/USER/phone.json").await, json!([]));
    // This is how a client takes over our spelling.
    let slash = format!("{A}/");
    bob.posted(PHONE, json!({"add": [slash]})).await;
    bob.posted(PHONE, json!({"add": [A], "remove": [slash]})).await;
    assert_eq!(bob.got("/subscriptions/USER/phone.json").await, json!([A]));
}

/// An action on one episode of one podcast, with more or other fields.
pub fn action(episode: &str, more: Value) -> Value {
    let episode = format!("https://example.org/{episode}.mp3");
    let mut whole = json!({"podcast": A, "episode": episode, "action": "download"});
    for (key, value) in more.as_object().expect("fields") {
        whole[key] = value.clone();
    }
    whole
}

#[tokio::test]
async fn devices_are_kept_alike_and_let_go_again() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    assert_eq!(bob.got(GROUPS).await, json!({"synchronized": [], "not-synchronized": []}));
    bob.posted(PHONE, json!({"add": [A]})).await;
    bob.posted("/api/2/subscriptions/USER/desk.json", json!({"add": [B]})).await;
    empty(&bob.post("/api/2/devices/USER/car.json", &json!({})).await);
    let apart = json!({"synchronized": [], "not-synchronized": ["phone", "desk", "car"]});
    assert_eq!(bob.got(GROUPS).await, apart);
    let formed = bob.posted(GROUPS, json!({"synchronize": [["phone", "desk"]]})).await;
    let together = json!({"synchronized": [["phone", "desk"]], "not-synchronized": ["car"]});
    assert_eq!((&formed, &bob.got(GROUPS).await), (&together, &together));
    let told = bob.got_changes(START).await;
    assert_eq!(told["add"].as_array().map(|all| all.contains(&json!(B))), Some(true));
    bob.posted("/api/2/subscriptions/USER/desk.json", json!({"remove": [A]})).await;
    assert_eq!(bob.got_changes(START + 3).await["remove"], json!([A]));
    let stop = json!({"synchronize": [], "stop-synchronize": ["desk"]});
    assert_eq!(bob.posted(GROUPS, stop).await["synchronized"], json!([]));
    for (body, status) in [
        (json!({"synchronize": [["phone"]]}), 400),
        (json!({"synchronize": [["phone", "a b"]]}), 400),
        (json!({"synchronize": ["phone"]}), 400),
        (json!({"synchronize": [["phone", "nobody"]]}), 404),
        (json!({"stop-synchronize": ["nobody"]}), 404),
    ] {
        refused(&bob.post(GROUPS, &body).await, status);
    }
}

/// Every call, with a body that is right for it.
const CALLS: &[(&str, &str, &str)] = &[
    ("GET", DEVICES, ""),
    ("POST", "/api/2/devices/USER/phone.json", "{}"),
    ("GET", GROUPS, ""),
    ("POST", GROUPS, "{}"),
    ("GET", "/subscriptions/USER.json", ""),
    ("GET", "/subscriptions/USER.txt", ""),
    ("GET", "/subscriptions/USER.opml", ""),
    ("GET", "/subscriptions/USER/phone.json", ""),
    ("GET", "/subscriptions/USER/phone.txt", ""),
    ("GET", "/subscriptions/USER/phone.opml", ""),
    ("PUT", "/subscriptions/USER/phone.json", "[]"),
    ("PUT", "/subscriptions/USER/phone.txt", ""),
    ("PUT", "/subscriptions/USER/phone.opml", "<opml/>"),
    ("GET", PHONE, ""),
    ("POST", PHONE, "{}"),
    ("GET", EPISODES, ""),
    ("POST", EPISODES, "[]"),
    ("GET", "/api/2/updates/USER/phone.json", ""),
];

#[test]
fn every_operation_of_the_document_is_among_the_calls() {
    let text = documents::generate("gpodder").expect("a document").expect("JSON");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let called =
        |method: &str, path: &str| CALLS.iter().any(|(one, to, _)| *one == method && *to == path);
    let mut found = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{username}", "USER").replace("{device}", "phone");
        for (method, said) in item.as_object().expect("operations") {
            // A path without a name is the caller's own by itself; the others have their own tests.
            if said["tags"][0] == "Auth" || !path.contains("USER") {
                continue;
            }
            for format in ["json", "txt", "opml"] {
                let path = path.replace("{format}", format);
                assert!(called(&method.to_uppercase(), &path), "{method} {path}");
            }
            assert!(said["security"].as_array().is_some_and(|all| all.len() == 2), "{path}");
            found += 1;
        }
    }
    assert_eq!(found, 12);
}

fn call<'a>(house: &'a House, (method, path, body): (&str, &str, &str), user: &str) -> Ask<'a> {
    let method = method.parse().expect("a method");
    house.ask(method, &path.replace("USER", user)).raw("", body)
}

#[tokio::test]
async fn nobody_reaches_what_is_anothers() {
    let house = House::lived_in().await;
    let ann = Listener::new(&house, "ann").await;
    let bob = Listener::new(&house, "bob").await;
    ann.posted(PHONE, json!({"add": [A]})).await;
    for one in CALLS {
        // The admin neither; and whether somebody is there is not told.
        for (who, other) in [(&bob, "ann"), (&ann, "bob"), (&bob, "nobody")] {
            let answer = who.ask(call(&house, *one, other)).send().await;
            assert_eq!(refused(&answer, 403), "this belongs to another user", "{one:?}");
        }
        let stranger = call(&house, *one, "bob").send().await;
        refused(&stranger, 401);
        assert!(stranger.header("www-authenticate").starts_with("Basic"), "{one:?}");
    }
    assert_eq!(bob.got("/subscriptions/USER.json").await, json!([]));
    assert_eq!(bob.got(EPISODES).await["actions"], json!([]));
}

#[tokio::test]
async fn a_stranger_is_refused_before_the_body_is_read() {
    let house = House::lived_in().await;
    for (method, path, _) in CALLS {
        let answer = call(&house, (method, path, "{\"broken"), "bob").send().await;
        refused(&answer, 401);
    }
    for path in ["/api/2/episodes/bob.json/more", "/api/2/nothing"] {
        refused(&house.get(path).send().await, 401);
    }
}

#[tokio::test]
async fn names_are_compared_without_regard_to_case() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    for one in CALLS {
        for name in ["BOB", "Bob", "%42ob", "bob@Example.org", "ｂｏｂ"] {
            let answer = bob.ask(call(&house, *one, &escaped(name))).send().await;
            assert_eq!(answer.status, 200, "{one:?} {name}: {}", answer.text());
        }
    }
    assert_eq!(bob.got(DEVICES).await.as_array().map(Vec::len), Some(1), "one account, one phone");
}

fn escaped(name: &str) -> String {
    let escape = |byte: u8| match byte {
        0x80.. => format!("%{byte:02X}"),
        plain => char::from(plain).to_string(),
    };
    name.bytes().map(escape).collect()
}

#[tokio::test]
async fn an_api_key_synchronises_by_basic_and_gets_no_cookie() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    for draft in [json!({"name": "player"}), json!({"name": "bare", "permissions": []})] {
        let made = house.post("/api/v1/api-keys").bearer(&token).json(&draft).send().await;
        let key = text(&made.json()["key"]);
        for one in CALLS {
            for user in ["api", "bob"] {
                let answer = call(&house, *one, "bob").basic(user, &key).send().await;
                assert_eq!(answer.status, 200, "{one:?}: {}", answer.text());
                assert_eq!(answer.header("set-cookie"), "");
            }
        }
        let others = house.get("/subscriptions/ann.json").basic("api", &key).send().await;
        refused(&others, 403);
    }
}

#[tokio::test]
async fn what_an_account_had_is_gone_with_it() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    bob.posted(PHONE, json!({"add": [A]})).await;
    bob.posted(EPISODES, json!([action("1", json!({}))])).await;
    let ann = house.token("ann").await;
    let people = house.get("/api/v1/users?q=bob").bearer(&ann).send().await.json();
    let path = format!("/api/v1/users/{}", text(&people["data"][0]["id"]));
    assert_eq!(house.delete(&path).bearer(&ann).send().await.status, 204);
    refused(&bob.get(EPISODES).await, 401);
    house.add("bob", "reader").await;
    let bob = Listener::new(&house, "bob").await;
    assert_eq!(bob.got("/subscriptions/USER.json").await, json!([]));
    assert_eq!(bob.got(EPISODES).await["actions"], json!([]));
    assert_eq!(bob.got(DEVICES).await, json!([]));
}

#[tokio::test]
async fn bodies_are_json_whatever_their_content_type() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let body = json!({"add": [A]}).to_string();
    for kind in ["plain/text; charset=utf-8", "application/x-www-form-urlencoded", "nonsense", ""] {
        let answer = bob.ask(house.post(&bob.path(PHONE))).raw(kind, body.clone()).send().await;
        assert_eq!(answer.status, 200, "{kind:?}");
    }
    let page = bob.ask(house.post(&bob.path(PHONE))).raw("text/plain", body);
    let elsewhere = page.header("origin", "https://evil.example").send().await;
    refused(&elsewhere, 403);
}
