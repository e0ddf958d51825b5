//! The page of the dialect: its shell lines work as they stand.

use std::{fs, process::Command};

use serde_json::json;

use super::house::{PASSWORD, Server};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/dialects/pair.md");

/// The fenced blocks of one language, in their order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = page.split(&fence).skip(1);
    parts.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_shell_lines_of_the_page_work_against_the_real_server() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::start(home.path(), &[]);
    let body = json!({"username": "ann", "email": "ann@example.org", "password": PASSWORD});
    assert_eq!(server.json("POST", "/api/v1/setup/initialize", "", &body).status, 201);
    let page = fs::read_to_string(PAGE).expect("the page");
    let lines = blocks(&page, "sh");
    assert!(lines.len() >= 8, "the page has its examples: {}", lines.len());
    // One after the other in one shell, since the later ones use what the earlier ones got.
    let script = lines.join("\necho; echo ----\n");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .env("BASE", format!("http://{}", server.address))
        .env("NAME", "ann")
        .env("PASSWORD", PASSWORD)
        .env("NEW_PASSWORD", "Chestnut-tree-8")
        .output()
        .expect("a shell");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}\n{}", server.log());
    let answers: Vec<&str> = out.split("----").map(str::trim).collect();
    let expected: [&[&str]; 8] = [
        &[],
        &[r#"{"status":"success","data":[{"#, r#""limit":1,"offset":0}"#],
        &[],
        &["Logged out successfully"],
        &["Password changed successfully"],
        &[r#""attempts":1,"blocked":false}],"meta":{"max_attempts":5,"#, "Rate limit cleared"],
        &["HTTP/1.1 101 Switching Protocols"],
        &[r#"{"status":"healthy","version":""#, r#""runtime":"rust","timestamp":""#],
    ];
    for (answer, wanted) in answers.iter().zip(expected) {
        for part in wanted {
            assert!(answer.contains(part), "{part} is missing in {answer}");
        }
    }
    assert_eq!(answers.len(), 8, "each block has its line here: {out}");
}

#[test]
fn the_json_of_the_page_is_json() {
    let page = fs::read_to_string(PAGE).expect("the page");
    for block in blocks(&page, "json") {
        let whole = serde_json::from_str::<serde_json::Value>(&block).is_ok();
        let lines = block.lines().all(|line| {
            serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| value.is_object())
        });
        assert!(whole || lines, "{block}");
    }
}
