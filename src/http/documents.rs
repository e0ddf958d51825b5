//! The OpenAPI documents: made from the operations, committed in `openapi/`, served as committed.
//! A test holds the three together.

use std::{collections::HashMap, marker::PhantomData};

use poem::{endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    LicenseObject, OpenApi, OpenApiService, ServerObject,
    registry::{MetaApi, Registry},
};
use serde_json::{Map, Value, json};

use super::{gpodder, native, pair, pin, signup};

/// The dialects that have a document, and what is committed of it.
pub const DOCUMENTS: [(&str, &str); 5] = [
    ("native", include_str!("../../openapi/native.json")),
    ("pin", include_str!("../../openapi/pin.json")),
    ("pair", include_str!("../../openapi/pair.json")),
    ("signup", include_str!("../../openapi/signup.json")),
    ("gpodder", include_str!("../../openapi/gpodder.json")),
];

/// The document of one dialect as the operations are now, or nothing for an unknown name.
///
/// # Errors
/// When the framework prints something that is not JSON.
pub fn generate(dialect: &str) -> Option<serde_json::Result<String>> {
    match dialect {
        "native" => Some(document::<native::Apis>(
            "Gatelodge native",
            "Sign-in for everything in a home lab. Sign in at `/api/v1/auth/login`, or send an \
             API key. Every error is `{\"error\":KIND,\"message\":TEXT}`; lists are pages with a \
             `Link` header.",
        )),
        "pin" => Some(document::<(pin::LoginApi, pin::Apis)>(
            "Gatelodge pin",
            "Cookies and a PIN, for wall tablets and small apps. Every error is \
             `{\"message\":TEXT}`.",
        )),
        "pair" => Some(document::<(pair::Apis, pair::Health)>(
            "Gatelodge pair",
            "Token pairs, revocation and a log stream. Every error is \
             `{\"status\":\"error\",\"detail\":TEXT}`.",
        )),
        "signup" => Some(document::<(pin::LoginApi, signup::Apis)>(
            "Gatelodge signup",
            "Accounts by e-mail and one token of half an hour. Every error is \
             `{\"message\":TEXT}`, with `error` besides for tokens.",
        )),
        "gpodder" => Some(document::<gpodder::Apis>(
            "Gatelodge gpodder",
            "Podcast clients sign in and keep their devices in step. Every error is \
             `{\"error\":TEXT}`.",
        )),
        _ => None,
    }
}

fn document<A: OpenApi>(title: &str, description: &str) -> serde_json::Result<String> {
    let service = OpenApiService::new(Paper::<A>(PhantomData), title, env!("CARGO_PKG_VERSION"))
        .description(description)
        .license(LicenseObject::new("MIT OR Apache-2.0"))
        .server(ServerObject::new("/"));
    let mut value: Value = serde_json::from_str(&service.spec())?;
    normalise(&mut value);
    name_endings(&mut value);
    share_errors(&mut value);
    Ok(format!("{}\n", serde_json::to_string_pretty(&value)?))
}

/// Operations on paper: documents need their types alone, and no house to call them in.
struct Paper<A>(PhantomData<A>);

impl<A: OpenApi> OpenApi for Paper<A> {
    fn meta() -> Vec<MetaApi> {
        A::meta()
    }

    fn register(registry: &mut Registry) {
        A::register(registry);
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

/// `charset` has no meaning for JSON (RFC 8259, section 11) and makes generated clients stumble.
/// A choice between a list and an object is not an object, which the framework says of every one.
fn normalise(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let choices = map.get("anyOf").and_then(Value::as_array);
            if choices.is_some_and(|all| all.iter().any(|one| one["type"] == "array")) {
                map.shift_remove("type");
            }
            let renamed = map.shift_remove("application/json; charset=utf-8");
            if let Some(content) = renamed {
                map.insert("application/json".to_owned(), content);
            }
            map.values_mut().for_each(normalise);
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        _ => {}
    }
}

/// The router gives the last part of a path whole: `NAME_json` is shown as `{NAME}.json`, and
/// `NAME_file` as `{NAME}.{format}`.
fn name_endings(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, mut item) in std::mem::take(paths) {
        let shown = path.replace("_json}", "}.json").replace("_file}", "}.{format}");
        if shown != path {
            let operations = item.as_object_mut().into_iter().flat_map(Map::values_mut);
            operations.filter_map(|one| one["parameters"].as_array_mut()).for_each(name_ending);
        }
        paths.insert(shown, item);
    }
}

fn name_ending(parameters: &mut Vec<Value>) {
    let mut formats = Vec::new();
    for parameter in parameters.iter_mut().filter(|parameter| parameter["in"] == "path") {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        if let Some(file) = name.strip_suffix("_file") {
            let mut format = parameter.clone();
            format["name"] = json!("format");
            format["description"] = json!("How the list is written.");
            format["schema"] = json!({ "type": "string", "enum": ["json", "txt", "opml"] });
            formats.push(format);
            parameter["name"] = json!(file);
        } else if let Some(file) = name.strip_suffix("_json") {
            parameter["name"] = json!(file);
        }
    }
    parameters.append(&mut formats);
}

/// Every operation can fail in the same ways: each way is told once, as a shared component.
fn share_errors(document: &mut Value) {
    let mut shared = Map::new();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    for responses in operations.filter_map(|operation| operation["responses"].as_object_mut()) {
        for (status, response) in
            responses.iter_mut().filter(|(status, _)| status.as_str() >= "400")
        {
            let name = format!("Error{status}");
            if shared.entry(name.clone()).or_insert_with(|| response.clone()) == response {
                *response = json!({ "$ref": format!("#/components/responses/{name}") });
            }
        }
    }
    if !shared.is_empty() {
        document["components"]["responses"] = Value::Object(shared);
    }
}
