//! Nothing is public by accident: a stranger is refused by every operation of native's document,
//! whatever they send, unless it stands in a list here; an entry that is unknown fails too, so that
//! the list only shrinks. Who else may do what stands in the tables of `matrix.rs`.

use std::{collections::BTreeSet, fs};

use gatelodge::http::documents;
use poem::http::Method;
use serde_json::Value;

use super::house::{House, text};

/// What a stranger may call.
const PUBLIC: &[&str] = &[
    "auth_forgot_password",
    "auth_link_info",
    "auth_login",
    "auth_options",
    "auth_refresh",
    "auth_register",
    "auth_resend_verification",
    "auth_reset_password",
    "auth_session_create",
    "auth_verify_email",
    "setup_initialize",
    "setup_status",
];

struct Operation {
    id: String,
    method: Method,
    path: String,
    said: Value,
}

impl Operation {
    fn is_in(&self, list: &[&str]) -> bool {
        list.contains(&self.id.as_str())
    }
}

fn document() -> Value {
    let text = documents::generate("native").expect("a document").expect("JSON");
    serde_json::from_str(&text).expect("JSON")
}

fn operations() -> Vec<Operation> {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let methods = |(path, item): (&String, &Value)| {
        let item = item.as_object().expect("a path item").clone();
        let path = path.clone();
        item.into_iter().map(move |(method, said)| Operation {
            id: text(&said["operationId"]),
            method: method.to_uppercase().parse().expect("a method"),
            path: path.clone(),
            said,
        })
    };
    paths.iter().flat_map(methods).collect()
}

#[test]
fn every_operation_has_an_id_a_summary_one_tag_and_its_security() {
    let operations = operations();
    let mut ids = BTreeSet::new();
    for Operation { id, method, path, said } in &operations {
        assert!(!id.is_empty() && ids.insert(id.clone()), "{method} {path}: {id} is not unique");
        assert!(said["summary"].as_str().is_some_and(|s| !s.trim().is_empty()), "{id}: summary");
        assert_eq!(said["tags"].as_array().map(Vec::len), Some(1), "{id}: one tag");
        let secured = said["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
        assert_eq!(secured, !PUBLIC.contains(&id.as_str()), "{id}: security");
    }
}

#[test]
fn no_operation_is_lost_between_the_code_and_the_document() {
    let folder = format!("{}/src/http/native", env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(folder).expect("the operations");
    let declared: usize = files
        .map(|file| fs::read_to_string(file.expect("a file").path()).expect("a text"))
        .map(|code| code.matches("operation_id = \"").count())
        .sum();
    assert_eq!(operations().len(), declared);
}

#[test]
fn the_list_names_operations_that_exist_and_only_once() {
    let known: BTreeSet<String> = operations().into_iter().map(|operation| operation.id).collect();
    assert!(PUBLIC.is_sorted_by(|one, next| one < next), "sorted, and each once");
    let unknown: Vec<_> = PUBLIC.iter().filter(|id| !known.contains(**id)).collect();
    assert!(unknown.is_empty(), "not in the document: {unknown:?}");
}

#[tokio::test]
async fn a_stranger_is_refused_everywhere_whatever_they_send() {
    let house = House::lived_in().await;
    for operation in operations() {
        let path = operation.path.replace(['{', '}'], "%20");
        let ask = || house.ask(operation.method.clone(), &format!("{path}?page=x&user=y"));
        let answers = [
            ask().send().await,
            ask().raw("text/plain", "{\"broken").send().await,
            ask().raw("application/json", "{\"broken").send().await,
            ask().raw("application/json", vec![0xff; 2048]).send().await,
        ];
        for answer in answers {
            if operation.is_in(PUBLIC) {
                assert_ne!(answer.status, 401, "{} is not public at all", operation.id);
            } else {
                assert_eq!(answer.status, 401, "{}: {}", operation.id, answer.text());
                answer.problem(401, "unauthorized");
            }
        }
    }
}
