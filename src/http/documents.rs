//! The OpenAPI documents: made from the operations, committed in `openapi/`, served as committed.
//! A test holds the three together.

mod examples;
mod shared;
mod words;

use std::{collections::HashMap, marker::PhantomData};

use poem::{endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    LicenseObject, OpenApi, OpenApiService, ServerObject,
    registry::{MetaApi, Registry},
};
use serde_json::{Map, Value, json};

use super::{files::unpacked, gpodder, native, pair, pin, signup};

macro_rules! packed {
    ($dialect:literal) => {
        ($dialect, include_bytes!(concat!(env!("OUT_DIR"), "/", $dialect, ".json.gz")))
    };
}

/// The dialects that have a document, and what is committed of it, as gzip.
const PACKED: [(&str, &[u8]); 5] =
    [packed!("native"), packed!("pin"), packed!("pair"), packed!("signup"), packed!("gpodder")];

/// The dialects that have a document.
pub fn dialects() -> impl Iterator<Item = &'static str> {
    PACKED.into_iter().map(|(name, _)| name)
}

/// The document of one dialect as it is committed, in gzip; nothing for an unknown name.
pub fn packed(dialect: &str) -> Option<&'static [u8]> {
    PACKED.into_iter().find(|(name, _)| *name == dialect).map(|(_, bytes)| bytes)
}

/// The same as text.
pub fn committed(dialect: &str) -> Option<String> {
    packed(dialect).map(|bytes| String::from_utf8_lossy(&unpacked(bytes)).into_owned())
}

/// The document of one dialect as the operations are now, or nothing for an unknown name.
///
/// # Errors
/// When the framework prints something that is not JSON.
pub fn generate(dialect: &str) -> Option<serde_json::Result<String>> {
    match dialect {
        "native" => Some(document::<native::Apis>(
            NATIVE,
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
    let is_strict = title == NATIVE;
    let service = OpenApiService::new(Paper::<A>(PhantomData), title, env!("CARGO_PKG_VERSION"))
        .description(description)
        .license(LicenseObject::new("MIT OR Apache-2.0").url(LICENCE))
        .server(ServerObject::new("/"));
    let mut value: Value = serde_json::from_str(&service.spec())?;
    normalise(&mut value);
    name_endings(&mut value);
    tell_security(&mut value);
    tell_streams(&mut value);
    if is_strict {
        tell_strictness(&mut value);
    }
    words::explain(&mut value);
    shared::share(&mut value);
    examples::give(&mut value);
    Ok(format!("{}\n", serde_json::to_string_pretty(&value)?))
}

/// The title of native's.
const NATIVE: &str = "Gatelodge native";
/// Whichever of the two one takes, this is one.
const LICENCE: &str = "https://opensource.org/license/mit";
/// Operations that look at a session if there is one and are good without.
const OPTIONAL: [(&str, &str); 1] = [("/api/2/auth/{username}/logout.json", "session")];

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
/// What it says beside a reference belongs beside it, and what counts is never negative.
fn normalise(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let choices = map.get("anyOf").and_then(Value::as_array);
            if choices.is_some_and(|all| all.iter().any(|one| one["type"] == "array")) {
                map.shift_remove("type");
            }
            let beside = map.get_mut("allOf").and_then(Value::as_array_mut);
            let said = beside
                .filter(|all| all.len() == 2)
                .and_then(|all| all[1].get("description").cloned().inspect(|_| all.truncate(1)));
            if let Some(said) = said {
                map.insert("description".to_owned(), said);
            }
            // `null` is a value of a type, which a reference alone does not name here.
            if map.contains_key("nullable") && map.contains_key("allOf") {
                map.insert("type".to_owned(), json!("object"));
            }
            if map.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
                map.entry("minimum").or_insert(json!(0));
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

/// All operations of a document.
fn operations(document: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    operations.filter_map(Value::as_object_mut)
}

/// An operation without credentials says so, which tools else take for forgotten.
fn tell_security(document: &mut Value) {
    for operation in operations(document) {
        operation.entry("security").or_insert_with(|| json!([]));
    }
    for (path, scheme) in OPTIONAL {
        if let Some(item) = document["paths"].get_mut(path) {
            item["post"]["security"] = json!([{ scheme: [] }, {}]);
        }
    }
}

/// Native takes no field that it does not know, and `null` for one that may be left out.
fn tell_strictness(document: &mut Value) {
    for name in words::asked(document) {
        let Some(schema) = document["components"]["schemas"][&name].as_object_mut() else {
            continue;
        };
        let required = schema.get("required").cloned().unwrap_or_default();
        let is_required =
            |key: &str| required.as_array().is_some_and(|all| all.iter().any(|n| n == key));
        let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            continue;
        };
        for (key, field) in fields {
            if field.get("type").is_some() && !is_required(key) {
                field["nullable"] = json!(true);
            }
        }
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
}

/// An event of a stream is a text; what stands in it is told in words.
fn tell_streams(document: &mut Value) {
    for operation in operations(document) {
        let answer = operation.get_mut("responses").and_then(|all| all.get_mut("200"));
        let content = answer.and_then(|answer| answer.get_mut("content"));
        let stream = content.and_then(|content| content.get_mut("text/event-stream"));
        let Some(stream) = stream else { continue };
        let held =
            stream["schema"]["items"]["$ref"].as_str().and_then(|name| name.rsplit('/').next());
        let says = format!("The `data` of each event is a JSON text: {}.", held.unwrap_or("Event"));
        stream["schema"] = json!({ "type": "string", "description": says });
    }
}
