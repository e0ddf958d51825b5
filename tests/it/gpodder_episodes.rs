//! Gpodder: episode actions and updates.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{
    gpodder_sync::{A, B, EPISODES, Listener, action, empty, refused},
    house::{House, START},
};

#[tokio::test]
async fn uploads_have_a_number_of_actions_that_is_bounded() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let one = r#"{"podcast":"","episode":"","action":"new"}"#;
    for (count, status) in [(30_000, 200), (30_001, 400), (150_000, 400)] {
        let body = format!("[{}]", vec![one; count].join(","));
        let answer = bob.ask(house.post("/api/2/episodes/bob.json")).raw("", body).send().await;
        assert_eq!(answer.status, status, "{count}");
    }
    let body = format!("{{\"actions\":[{}]}}", vec![one; 30_001].join(","));
    let answer = bob.ask(house.post("/api/2/episodes/bob.json")).raw("", body).send().await;
    refused(&answer, 400);
}

#[tokio::test]
async fn actions_come_down_as_they_went_up() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let at = "2025-12-24T18:30:00";
    let sent = [
        action("1", json!({"device": "phone", "guid": "urn:1", "timestamp": at})),
        action(
            "2",
            json!({"action": "PLAY", "timestamp": "2025-12-24T18:30:00Z",
            "started": 5, "position": "120", "total": 3600.0}),
        ),
        action("3", json!({"action": "play", "timestamp": 1_766_601_000, "position": 7})),
        action(
            "4",
            json!({"action": "Delete", "timestamp": "2025-12-24T20:30:00.25+02:00",
            "started": null, "position": null, "total": null}),
        ),
        action("5", json!({"action": "new", "position": 9, "guid": " ", "device": ""})),
    ];
    let wanted = json!([
        action("1", json!({"guid": "urn:1", "device": "phone", "timestamp": at})),
        action(
            "2",
            json!({"action": "play", "timestamp": at, "started": 5, "position": 120,
            "total": 3600})
        ),
        action("3", json!({"action": "play", "timestamp": at, "position": 7})),
        action("4", json!({"action": "delete", "timestamp": at})),
        action("5", json!({"action": "new", "timestamp": "2026-01-01T00:00:00"})),
    ]);
    let done = bob.posted(EPISODES, json!(sent)).await;
    assert_eq!(done, json!({"timestamp": START, "update_urls": []}));
    assert_eq!(bob.got(EPISODES).await, json!({"actions": wanted, "timestamp": START}));
    // The same in an object is the same again.
    let done = bob.posted(EPISODES, json!({"actions": &sent[..4], "device": "x"})).await;
    assert_eq!(done["timestamp"], START + 1);
    let later = bob.got(&format!("{EPISODES}?since={START}")).await;
    assert_eq!(later, json!({"actions": [], "timestamp": START + 1}));
}

#[tokio::test]
async fn actions_that_cannot_be_are_refused_as_a_whole() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    for more in [
        json!({"action": "flattr"}),
        json!({"action": ""}),
        json!({"timestamp": "yesterday"}),
        json!({"timestamp": "2026-02-30T00:00:00"}),
        json!({"timestamp": -1}),
        json!({"device": "a b"}),
        json!({"action": "play", "started": 1}),
        json!({"action": "play", "started": 1, "position": 2}),
        json!({"action": "play", "position": "soon"}),
        json!({"guid": "x".repeat(1025)}),
        json!({"podcast": null}),
        json!({"episode": 5}),
    ] {
        let body = json!([action("good", json!({})), action("bad", more.clone())]);
        assert_eq!(bob.post(EPISODES, &body).await.status, 400, "{more}");
    }
    for body in [json!({}), json!({"actions": {}}), json!("x"), json!([[]]), json!(null)] {
        refused(&bob.post(EPISODES, &body).await, 400);
    }
    for deep in ["[".repeat(10_000), "{\"actions\":".repeat(10_000)] {
        refused(&bob.ask(house.post("/api/2/episodes/bob.json")).raw("", deep).send().await, 400);
    }
    assert_eq!(bob.got(EPISODES).await["actions"], json!([]));
    assert_eq!(bob.posted(EPISODES, json!([])).await["update_urls"], json!([]));
}

#[tokio::test]
async fn actions_are_asked_for_by_podcast_device_and_the_latest_of_each() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let at = |seconds: i64| json!({"device": "phone", "timestamp": START + seconds});
    let other = json!({"podcast": B, "device": "desk"});
    let sent = json!([action("1", at(9)), action("1", at(3)), action("2", other)]);
    bob.posted(EPISODES, sent).await;
    let count = async |query: &str| {
        let found = bob.got(&format!("{EPISODES}?{query}")).await;
        found["actions"].as_array().expect("actions").len()
    };
    assert_eq!(count("since=0").await, 3);
    assert_eq!(count("podcast=https%3A%2F%2Fexample.org%2Fa").await, 2);
    assert_eq!(count("podcast=https://example.org/b/").await, 1);
    assert_eq!(count("device=desk").await, 1);
    assert_eq!(count("device=&podcast=").await, 3);
    assert_eq!(count("device=nobody").await, 0);
    assert_eq!(count("aggregated=true").await, 2);
    assert_eq!(count("aggregated=true&device=phone").await, 1);
    assert_eq!(count("aggregated=false").await, 3);
    let latest = bob.got(&format!("{EPISODES}?aggregated=true&device=phone")).await;
    assert_eq!(latest["actions"][0]["timestamp"], "2026-01-01T00:00:09");
    refused(&bob.get(&format!("{EPISODES}?since=x")).await, 400);
}

#[tokio::test]
async fn a_large_answer_is_one_whole_list() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let sent: Vec<Value> = (0..2500).map(|n| action(&n.to_string(), json!({}))).collect();
    for part in sent.chunks(500) {
        bob.posted(EPISODES, json!(part)).await;
    }
    let whole = bob.got(EPISODES).await;
    let actions = whole["actions"].as_array().expect("actions");
    let episodes: Vec<&Value> = actions.iter().map(|action| &action["episode"]).collect();
    assert_eq!(episodes, sent.iter().map(|action| &action["episode"]).collect::<Vec<_>>());
    assert_eq!(whole["timestamp"], START + 4);
    // A page that ends where the list does.
    let page = bob.got(&format!("{EPISODES}?since={}", START + 2)).await;
    assert_eq!(page["actions"].as_array().map(Vec::len), Some(1000));
}

#[tokio::test]
async fn everything_new_for_a_device_comes_in_one_answer() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let opml = format!("<opml><outline text=\"Tea\" xmlUrl=\"{A}\"/></opml>");
    empty(&bob.put("/subscriptions/USER/phone.opml", opml).await);
    let played = json!({"action": "play", "position": 3, "device": "desk"});
    bob.posted(EPISODES, json!([action("1?x=/", played), action("2", json!({"podcast": B}))]))
        .await;
    let updates = "/api/2/updates/USER/phone.json";
    let whole = bob.got(&format!("{updates}?since=0&include_actions=true")).await;
    let podcast = json!({"title": "Tea", "url": A, "description": "", "website": "",
        "logo_url": "", "subscribers": 0, "mygpo_link": ""});
    assert_eq!(whole["add"], json!([podcast]));
    assert_eq!((&whole["remove"], &whole["timestamp"]), (&json!([]), &json!(START + 1)));
    let episode = &whole["updates"][0];
    assert_eq!(whole["updates"].as_array().map(Vec::len), Some(1), "of what it subscribes to");
    assert_eq!((&episode["title"], &episode["status"]), (&json!("1"), &json!("play")));
    assert_eq!((&episode["podcast_title"], &episode["podcast_url"]), (&json!("Tea"), &json!(A)));
    assert_eq!(
        (&episode["action"]["position"], &episode["action"]["device"]),
        (&json!(3), &json!("desk"))
    );
    assert_eq!(bob.got(updates).await["updates"][0].get("action"), None);
    let later = bob.got(&format!("{updates}?since={}", START + 1)).await;
    let nothing = json!({"add": [], "remove": [], "updates": [], "timestamp": START + 1});
    assert_eq!(later, nothing);
}

/// How many transactions the write-ahead log holds: frames that end one carry the database's size
/// (<https://sqlite.org/fileformat2.html#walformat>, sections 4.1 and 4.2).
fn commits(database: &Path) -> usize {
    let log = fs::read(database.with_extension("db-wal")).expect("the log");
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().expect("four bytes"));
    let frame = 24 + number(8) as usize;
    let salt = &log[16..24];
    let frames = (32..log.len() - frame + 1).step_by(frame);
    frames.filter(|at| log[at + 8..at + 16] == *salt && number(at + 4) > 0).count()
}

#[tokio::test]
async fn an_upload_is_one_transaction_and_a_look_is_none() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let sent = |from: i64| {
        let one = |n: i64| action(&n.to_string(), json!({"device": format!("d{}", n % 3)}));
        Value::from_iter((from..from + 30).map(one))
    };
    bob.posted(EPISODES, sent(0)).await;
    let before = commits(&house.database());
    bob.posted(EPISODES, sent(100)).await;
    assert_eq!(commits(&house.database()), before + 1, "thirty new episodes");
    bob.posted(EPISODES, sent(100)).await;
    assert_eq!(commits(&house.database()), before + 2, "the same again");
    for path in [EPISODES, "/api/2/subscriptions/USER/d1.json?since=0", "/subscriptions/USER.opml"]
    {
        assert_eq!(bob.get(path).await.status, 200);
    }
    assert_eq!(commits(&house.database()), before + 2);
}
