//! The OpenAPI documents: as generated, as committed, as printed and as served are one text.

use gatelodge::http::documents;

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
    for (dialect, _) in documents::DOCUMENTS {
        assert!(
            committed(dialect) == generated(dialect),
            "openapi/{dialect}.json is out of date: run `cargo run -- openapi --write`"
        );
    }
}

#[tokio::test]
async fn a_document_is_served_as_committed_to_everybody() {
    let house = House::new().await;
    for (dialect, _) in documents::DOCUMENTS {
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
    for (dialect, _) in documents::DOCUMENTS {
        let document = printed(&["openapi", "--dialect", dialect]);
        assert_eq!(String::from_utf8_lossy(&document.stdout), committed(dialect));
    }
    let unknown = printed(&["openapi", "--dialect", "nobody"]);
    assert!(!unknown.status.success() && unknown.stdout.is_empty());
}
