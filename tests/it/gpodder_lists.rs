//! Gpodder: whole lists of subscriptions in their formats, and how large a body may be.

use serde_json::json;

use super::{
    gpodder_sync::{A, B, Listener, PHONE, action, empty, good, refused},
    house::{House, START},
};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_whole_list_comes_and_goes_in_three_formats() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let opml = format!(
        "<?xml version=\"1.0\"?><opml version=\"1.0\"><body><outline text=\"Mine\">
         <outline type=\"rss\" text=\"Tea &amp; &lt;cake&gt;\" xmlUrl=\"{A}/\"/></outline>
         <outline type=\"rss\" text=\"x\" xmlUrl=\"{B}?x=1&amp;y=2\"/></body></opml>"
    );
    empty(&bob.put("/subscriptions/USER/phone.opml", opml).await);
    let other = format!("{B}?x=1&y=2");
    assert_eq!(bob.got("/subscriptions/USER/phone.json").await, json!([A, other]));
    let lines = bob.get("/subscriptions/USER/phone.txt").await;
    assert_eq!((lines.status, lines.text()), (200, format!("{A}\n{other}\n")));
    assert!(lines.header("content-type").starts_with("text/plain"));
    let listed = bob.get("/subscriptions/USER/phone.opml").await;
    assert_eq!(listed.header("content-type"), "text/x-opml");
    let line = format!(
        "<outline type=\"rss\" text=\"Tea &amp; &lt;cake&gt;\" \
         title=\"Tea &amp; &lt;cake&gt;\" xmlUrl=\"{A}\"/>"
    );
    assert!(listed.text().contains(&line), "{}", listed.text());
    // Its own OPML is taken as it is.
    empty(&bob.put("/subscriptions/USER/desk.opml", listed.body).await);
    assert_eq!(bob.got("/subscriptions/USER/desk.json").await, json!([A, other]));

    // A list is all that there is: what is not in it has ended.
    empty(&bob.put("/subscriptions/USER/phone.txt", format!("\r\n{A}\r\n\r\nnonsense\r\n")).await);
    let told = bob.got_changes(START + 1).await;
    assert_eq!((&told["add"], &told["remove"]), (&json!([]), &json!([other])));
    empty(
        &bob.put("/subscriptions/USER/phone.json", json!(["http://c.example"]).to_string()).await,
    );
    assert_eq!(bob.got("/subscriptions/USER/phone.json").await, json!(["http://c.example"]));
    let union = json!([A, other, "http://c.example"]);
    assert_eq!(bob.got("/subscriptions/USER.json").await, union);
    let lines = bob.get("/subscriptions/USER.txt").await.text();
    assert_eq!(lines.lines().count(), 3);
    assert!(bob.get("/subscriptions/USER.opml").await.text().contains("http://c.example"));
}

#[tokio::test]
async fn malformed_lists_are_refused_and_change_nothing() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    empty(&bob.put("/subscriptions/USER/phone.txt", A).await);
    for bad in ["", "<opml>", "<opml><body></opml>", "<html/>", "[]", "<opml>&nothing;</opml>"] {
        let said = refused(&bob.put("/subscriptions/USER/phone.opml", bad).await, 400);
        assert_eq!(said, "opml is not well-formed OPML", "{bad}");
    }
    for bad in ["", "{}", "[1]", "[\"http://example.org\"", "nonsense"] {
        refused(&bob.put("/subscriptions/USER/phone.json", bad).await, 400);
    }
    refused(&bob.put("/subscriptions/USER/phone.txt", vec![0xff, 0xfe]).await, 400);
    let many = json!(vec![""; 10_001]).to_string();
    refused(&bob.put("/subscriptions/USER/phone.json", many).await, 400);
    assert_eq!(bob.got("/subscriptions/USER/phone.json").await, json!([A]));
}

#[tokio::test]
async fn opml_that_declares_entities_is_refused() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let mut bomb = "<!DOCTYPE opml [<!ENTITY a0 \"ha\">".to_owned();
    for n in 1..30 {
        let refer = format!("&a{};", n - 1).repeat(10);
        bomb.push_str(&format!("<!ENTITY a{n} \"{refer}\">"));
    }
    bomb.push_str("]><opml><body><outline xmlUrl=\"http://example.org/&a29;\"/></body></opml>");
    let said = refused(&bob.put("/subscriptions/USER/phone.opml", bomb).await, 400);
    assert_eq!(said, "opml may not declare entities");
    let outside = "<!DOCTYPE opml [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>
        <opml><body><outline text=\"&x;\" xmlUrl=\"http://example.org\"/></body></opml>";
    refused(&bob.put("/subscriptions/USER/phone.opml", outside).await, 400);
    assert_eq!(bob.got("/subscriptions/USER/phone.json").await, json!([]));
}

#[tokio::test]
async fn a_body_just_below_eight_mebibytes_is_taken_and_one_above_is_not() {
    let house = House::lived_in().await;
    let bob = Listener::new(&house, "bob").await;
    let padded = |text: &str, length: usize| text.to_owned() + &" ".repeat(length - text.len());
    let opml = format!("<opml><body><outline xmlUrl=\"{A}\"/></body></opml>");
    let list = json!([action("1", json!({}))]).to_string();
    empty(&bob.put("/subscriptions/USER/phone.opml", padded(&opml, 8 * MIB)).await);
    let said =
        refused(&bob.put("/subscriptions/USER/phone.opml", padded(&opml, 8 * MIB + 1)).await, 413);
    assert_eq!(said, "the body is too large");
    let send = |body: String| bob.ask(house.post("/api/2/episodes/bob.json")).raw("", body).send();
    good(&send(padded(&list, 8 * MIB)).await);
    refused(&send(padded(&list, 8 * MIB + 1)).await, 413);
    let change = |body: String| bob.ask(house.post(&bob.path(PHONE))).raw("", body).send();
    good(&change(padded("{}", MIB)).await);
    refused(&change(padded("{}", MIB + 1)).await, 413);
}
