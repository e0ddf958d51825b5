//! What many operations have in common stands once, as a component: errors, pages of lists, the
//! headers of answers.

use serde_json::{Map, Value, json};

use super::operations;
use crate::domain::page::Page;

/// What is said before any operation is asked, whichever it is.
const BY_THE_SHELL: [&str; 2] = ["413", "415"];
/// Headers and parameters that mean the same wherever they stand, and their names as components.
const HEADERS: [(&str, &str); 2] = [("Link", "Link"), ("Retry-After", "RetryAfter")];
const PARAMETERS: [(&str, &str); 2] = [("page", "Page"), ("page_size", "PageSize")];

pub fn share(document: &mut Value) {
    let mut headers = Map::new();
    let mut parameters = Map::new();
    for operation in operations(document) {
        share_parameters(operation, &mut parameters);
        let responses =
            operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut);
        for response in responses {
            share_headers(response, &mut headers);
        }
    }
    let responses = share_errors(document);
    let all = [("responses", responses), ("parameters", parameters), ("headers", headers)];
    for (name, shared) in all.into_iter().filter(|(_, shared)| !shared.is_empty()) {
        document["components"][name] = Value::Object(shared);
    }
}

/// A reference to a component, which holds what stood here, if it can be the same for all.
fn replace(here: &mut Value, kind: &str, name: &str, shared: &mut Map<String, Value>) {
    if shared.entry(name).or_insert_with(|| here.clone()) == here {
        *here = json!({ "$ref": format!("#/components/{kind}/{name}") });
    }
}

fn share_parameters(operation: &mut Map<String, Value>, shared: &mut Map<String, Value>) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let known = PARAMETERS.iter().find(|(name, _)| parameter["name"] == *name);
        if let Some((_, name)) = known {
            let (most, usual) = match *name {
                "Page" => (1_000_000, 1),
                _ => (Page::MAX_SIZE, Page::DEFAULT_SIZE),
            };
            parameter["schema"]["minimum"] = json!(1);
            parameter["schema"]["maximum"] = json!(most);
            parameter["schema"]["default"] = json!(usual);
            replace(parameter, "parameters", name, shared);
        }
    }
}

fn share_headers(response: &mut Value, shared: &mut Map<String, Value>) {
    let Some(headers) = response.get_mut("headers").and_then(Value::as_object_mut) else { return };
    for (capitals, mut header) in std::mem::take(headers) {
        let spelled = spelled(&capitals);
        if let Some((_, name)) = HEADERS.iter().find(|(known, _)| *known == spelled) {
            replace(&mut header, "headers", name, shared);
        }
        headers.insert(spelled, header);
    }
}

/// The framework writes the names of headers in capitals.
fn spelled(capitals: &str) -> String {
    let word = |word: &str| word[..1].to_owned() + &word[1..].to_lowercase();
    capitals.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// Every operation can fail in the same ways.
fn share_errors(document: &mut Value) -> Map<String, Value> {
    let mut shared = Map::new();
    for operation in operations(document) {
        let responses = operation["responses"].as_object_mut().into_iter().flatten();
        for (status, response) in responses.filter(|(status, _)| status.as_str() >= "400") {
            replace(response, "responses", &format!("Error{status}"), &mut shared);
        }
    }
    for operation in operations(document) {
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        for status in BY_THE_SHELL {
            let name = format!("Error{status}");
            if shared.contains_key(&name) && !responses.contains_key(status) {
                let reference = json!({ "$ref": format!("#/components/responses/{name}") });
                responses.insert(status.to_owned(), reference);
            }
        }
    }
    shared
}
