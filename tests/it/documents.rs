//! The OpenAPI documents: as generated, as committed, as printed and as served are one text.

use std::collections::BTreeSet;

use gatelodge::http::documents;
use serde_json::Value;

use super::house::{House, gatelodge};

fn generated(dialect: &str) -> String {
    documents::generate(dialect).expect("a dialect with a document").expect("JSON")
}

fn committed(dialect: &str) -> String {
    let path = format!("{}/openapi/{dialect}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("a committed document")
}

#[test]
fn a_committed_document_is_the_generated_one() {
    for dialect in documents::dialects() {
        assert!(
            committed(dialect) == generated(dialect),
            "openapi/{dialect}.json is out of date: run `cargo run -- openapi --write`"
        );
    }
}

#[tokio::test]
async fn a_document_is_served_as_committed_to_everybody() {
    let house = House::new().await;
    for dialect in documents::dialects() {
        let answer = house.get(&format!("/openapi/{dialect}.json")).send().await;
        assert_eq!((answer.status, answer.text()), (200, committed(dialect)), "{dialect}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let natives = house.get("/openapi.json").send().await;
    assert_eq!((natives.status, natives.text()), (200, committed("native")));
    assert_eq!(house.get("/openapi/nobody.json").send().await.status, 404);
}

#[test]
fn the_command_line_prints_the_same_document() {
    let printed = |args: &[&str]| gatelodge().args(args).output().expect("the program");
    let natives = printed(&["openapi"]);
    assert!(natives.status.success());
    assert_eq!(String::from_utf8_lossy(&natives.stdout), committed("native"));
    for dialect in documents::dialects() {
        let document = printed(&["openapi", "--dialect", dialect]);
        assert_eq!(String::from_utf8_lossy(&document.stdout), committed(dialect));
    }
    let unknown = printed(&["openapi", "--dialect", "nobody"]);
    assert!(!unknown.status.success() && unknown.stdout.is_empty());
}

fn parsed() -> Vec<(&'static str, Value)> {
    let parse = |dialect| serde_json::from_str(&committed(dialect)).expect("JSON");
    documents::dialects().map(|dialect| (dialect, parse(dialect))).collect()
}

/// Every operation of a document, with a name for messages.
fn operations<'a>(dialect: &str, document: &'a Value) -> Vec<(String, &'a Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let named = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("operations").iter();
        methods.map(move |(method, said)| (format!("{dialect} {method} {path}"), said))
    });
    named.collect()
}

#[test]
fn every_operation_can_be_read_and_named() {
    for (dialect, document) in parsed() {
        let mut ids = BTreeSet::new();
        for (name, said) in operations(dialect, &document) {
            for word in ["summary", "description"] {
                let text = said[word].as_str().unwrap_or_default();
                assert!(!text.trim().is_empty(), "{name} has no {word}");
            }
            let id = said["operationId"].as_str().expect("an id");
            let plain = id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(plain && ids.insert(id), "{name}: {id} is no name of a method, or not its own");
            assert_eq!(said["tags"].as_array().map(Vec::len), Some(1), "{name}: one tag");
            assert!(said["security"].is_array(), "{name} does not say who may call it");
        }
    }
}

#[test]
fn every_json_body_has_an_example_and_every_field_a_sentence() {
    for (dialect, document) in parsed() {
        for (name, said) in operations(dialect, &document) {
            let answers = said["responses"].as_object().expect("answers").values();
            for body in answers.chain([&said["requestBody"]]) {
                let json = &body["content"]["application/json"];
                assert!(json.is_null() || !json["example"].is_null(), "{name}: {json}");
            }
        }
        for (schema, said) in document["components"]["schemas"].as_object().expect("schemas") {
            assert!(said["description"].is_string(), "{dialect}: {schema}");
            for (field, said) in said["properties"].as_object().into_iter().flatten() {
                let told = said["description"].is_string() || said["$ref"].is_string();
                assert!(told, "{dialect}: {schema}.{field} is not told of");
            }
        }
    }
}

#[test]
fn what_an_answer_may_lack_is_null_and_always_there() {
    let (_, native) = parsed().swap_remove(0);
    let user = &native["components"]["schemas"]["User"];
    let required = user["required"].as_array().expect("a list");
    assert_eq!(user["properties"]["email"]["nullable"], true);
    assert!(required.contains(&"email".into()) && required.contains(&"last_login_at".into()));
    let edit = &native["components"]["schemas"]["UserEdit"];
    assert_eq!(edit["properties"]["email"]["nullable"], true);
    assert!(edit["required"].is_null() && edit["additionalProperties"] == false, "{edit}");
}
