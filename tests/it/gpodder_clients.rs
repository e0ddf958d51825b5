//! What real podcast clients send, call for call, as their public source tells it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    gpodder_sync::{Listener, action, good},
    house::{Answer, Ask, House, PASSWORD, START},
    pin::cookie,
};

const FEED: &str = "https://example.org/feed";

/// AntennaPod: signs in by Basic with an empty body, and carries the cookie alone from then on.
/// Its bodies have a content type of their own.
struct AntennaPod<'a> {
    house: &'a House,
    cookie: String,
    device: &'static str,
    /// What it asks "since", for subscriptions and for episodes.
    since: (i64, i64),
}

impl<'a> AntennaPod<'a> {
    async fn new(house: &'a House, device: &'static str) -> Self {
        let login = house.post("/api/2/auth/bob/login.json").basic("bob", PASSWORD);
        let answer = login.raw("plain/text; charset=utf-8", "").send().await;
        assert_eq!(answer.status, 200);
        Self { house, cookie: cookie(&answer, "sessionid"), device, since: (0, 0) }
    }

    async fn send(&self, ask: Ask<'a>) -> Answer {
        ask.header("cookie", &format!("sessionid={}", self.cookie)).send().await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let ask = self.house.post(path);
        self.send(ask.raw("application/json; charset=utf-8", body.to_string())).await
    }

    async fn name_device(&self, caption: &str) {
        let path = format!("/api/2/devices/bob/{}.json", self.device);
        let body = json!({"caption": caption, "type": "mobile"});
        assert_eq!(self.post(&path, &body).await.status, 200);
    }

    /// What changed elsewhere, then its own changes; it goes on from what the upload answers.
    async fn sync_subscriptions(&mut self, add: &[&str], remove: &[&str]) -> (Value, Value) {
        let path = format!("/api/2/subscriptions/bob/{}.json", self.device);
        let since = format!("{path}?since={}", self.since.0);
        let told = good(&self.send(self.house.get(&since)).await);
        self.since.0 = told["timestamp"].as_i64().expect("a stamp");
        if !add.is_empty() || !remove.is_empty() {
            let done = good(&self.post(&path, &json!({"add": add, "remove": remove})).await);
            self.since.0 = done["timestamp"].as_i64().expect("a stamp");
            assert!(done["update_urls"].is_array());
        }
        (told["add"].clone(), told["remove"].clone())
    }

    /// The same for what happened, in bare lists of thirty.
    async fn sync_episodes(&mut self, actions: &[Value]) -> Vec<Value> {
        let path = format!("/api/2/episodes/bob.json?since={}", self.since.1);
        let told = good(&self.send(self.house.get(&path)).await);
        self.since.1 = told["timestamp"].as_i64().expect("a stamp");
        for part in actions.chunks(30) {
            let done = good(&self.post("/api/2/episodes/bob.json", &json!(part)).await);
            self.since.1 = done["timestamp"].as_i64().expect("a stamp");
        }
        told["actions"].as_array().expect("actions").clone()
    }
}

fn listened(n: i64) -> Value {
    action(
        &n.to_string(),
        json!({"action": "play", "device": "phone", "guid": format!("id-{n}"),
            "timestamp": "2026-01-01T00:00:00", "started": 0, "position": n, "total": 1800}),
    )
}

#[tokio::test]
async fn two_antennapods_are_kept_in_step() {
    let house = House::lived_in().await;
    let mut phone = AntennaPod::new(&house, "phone").await;
    let mut tablet = AntennaPod::new(&house, "tablet").await;
    phone.name_device("Bob's phone").await;
    tablet.name_device("Bob's tablet").await;
    let group = json!({"synchronize": [["phone", "tablet"]], "stop-synchronize": []});
    assert_eq!(phone.post("/api/2/sync-devices/bob.json", &group).await.status, 200);

    let (add, remove) = phone.sync_subscriptions(&[FEED, "https://example.org/two"], &[]).await;
    assert_eq!((add, remove), (json!([]), json!([])));
    let (add, remove) = tablet.sync_subscriptions(&[], &[]).await;
    assert_eq!((add, remove), (json!([FEED, "https://example.org/two"]), json!([])));
    tablet.sync_subscriptions(&[], &[FEED]).await;
    let (add, remove) = phone.sync_subscriptions(&[], &[]).await;
    assert_eq!((add, remove), (json!([]), json!([FEED])));
    let (add, remove) = phone.sync_subscriptions(&[], &[]).await;
    assert_eq!((add, remove), (json!([]), json!([])), "once is enough");

    let sent: Vec<Value> = (0..95).map(listened).collect();
    assert!(phone.sync_episodes(&sent).await.is_empty());
    assert_eq!(tablet.sync_episodes(&[]).await, sent, "as they were sent, each once");
    assert!(tablet.sync_episodes(&[]).await.is_empty());
    assert!(phone.sync_episodes(&[]).await.is_empty(), "nobody is told what they said");

    // A lost answer: everything is sent again, and nothing is told twice.
    phone.sync_episodes(&sent).await;
    assert!(tablet.sync_episodes(&[]).await.is_empty());
}

/// Kasts: Basic on every call, its name in the path; lists all, with guid and positions.
#[tokio::test]
async fn a_kasts_goes_through_its_calls() {
    let house = House::lived_in().await;
    let login = basic(house.post("/api/2/auth/bob/login.json")).raw("", "").send().await;
    assert_eq!(login.status, 200);
    let get = async |path: &str| good(&basic(house.get(path)).send().await);
    let post = async |path: &str, body: &Value| {
        basic(house.post(path)).raw("application/json", body.to_string()).send().await
    };
    assert_eq!(get("/api/2/devices/bob.json").await, json!([]));
    let named = json!({"caption": "kasts-desk", "type": "desktop"});
    assert_eq!(post("/api/2/devices/bob/kasts-desk.json", &named).await.status, 200);
    let device = json!({"id": "kasts-desk", "caption": "kasts-desk", "type": "desktop",
        "subscriptions": 0});
    assert_eq!(get("/api/2/devices/bob.json").await, json!([device]));
    let groups = json!({"synchronized": [], "not-synchronized": ["kasts-desk"]});
    assert_eq!(get("/api/2/sync-devices/bob.json").await, groups);

    let subscriptions = "/api/2/subscriptions/bob/kasts-desk.json";
    let told = get(&format!("{subscriptions}?since=0")).await;
    assert_eq!((&told["add"], &told["remove"]), (&json!([]), &json!([])));
    let done = good(&post(subscriptions, &json!({"add": [FEED], "remove": []})).await);
    assert!(done["timestamp"].as_i64() > told["timestamp"].as_i64());

    house.clock.advance(Duration::from_secs(30));
    let since = get("/api/2/episodes/bob.json?since=0&aggregated=true").await;
    assert_eq!(since["actions"], json!([]));
    let mut sent = vec![listened(7), listened(7), listened(8)];
    sent[1]["timestamp"] = json!("2026-01-01T00:00:20");
    sent[1]["position"] = json!(77);
    good(&post("/api/2/episodes/bob.json", &json!(sent)).await);
    let told = get("/api/2/episodes/bob.json?since=0&aggregated=true").await;
    assert_eq!(told["actions"], json!([sent[1], sent[2]]));
    assert_eq!(told["timestamp"], START + 30);
    let whole = get("/api/2/episodes/bob.json?since=0&aggregated=false").await;
    assert_eq!(whole["actions"], json!(sent));

    let logout = basic(house.post("/api/2/auth/bob/logout.json")).raw("", "").send().await;
    assert_eq!(logout.status, 200);
}

fn basic(ask: Ask<'_>) -> Ask<'_> {
    ask.basic("bob", PASSWORD)
}

#[tokio::test]
async fn mygpoclients_calls_are_answered_in_the_forms_that_it_takes() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    // An empty answer is what it takes for success here.
    let put = bob.put("/subscriptions/USER/n800.json", json!([FEED]).to_string()).await;
    assert_eq!((put.status, put.text()), (200, String::new()));
    let named = json!({"caption": "My n800", "type": "mobile"});
    let answer = bob.post("/api/2/devices/USER/n800.json", &named).await;
    assert_eq!((answer.status, answer.text()), (200, String::new()));
    assert_eq!(good(&bob.get("/subscriptions/USER/n800.json").await), json!([FEED]));
    // It refuses a position without a play, and a start without a position.
    let sent = json!([listened(1), action("2", json!({"started": 1, "position": 2, "total": 3}))]);
    good(&bob.post("/api/2/episodes/USER.json", &sent).await);
    let told = good(&bob.get("/api/2/episodes/USER.json?since=0").await);
    let keys = |n: usize| {
        let action = told["actions"][n].as_object().expect("an action");
        ["started", "position", "total"].map(|key| action.contains_key(key))
    };
    assert_eq!((keys(0), keys(1)), ([true; 3], [false; 3]));
}
