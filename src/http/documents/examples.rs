//! An example of every body that goes in or comes out, put together from those of its fields.

use serde_json::{Map, Value, json};

use super::{operations, words};

/// Fields that an example leaves out: what is sent instead of another field, or seldom.
const LEFT_OUT: [&str; 16] = [
    "SessionRequest.pin",
    "RegisterRequest.invitation",
    "RegisterRequest.setup_token",
    "InitializeRequest.setup_token",
    "IdentityRequest.current_password",
    "SignupRequest.setup_token",
    "GpodderRegistration.invitation",
    "GpodderRegistration.setup_token",
    "Problem.field",
    "Problem.limit",
    "Problem.reason",
    "SignupProblem.error",
    "UserEdit.username",
    "UserEdit.password",
    "UserRequest.password",
    "UserRequest.status",
];

pub fn give(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    for operation in operations(document) {
        if let Some(body) = operation.get_mut("requestBody") {
            illustrate(&schemas, body, None);
        }
        let responses = operation["responses"].as_object_mut().into_iter().flatten();
        for (status, response) in responses {
            illustrate(&schemas, response, Some(status));
        }
    }
    let shared = document["components"].get_mut("responses").and_then(Value::as_object_mut);
    for (name, response) in shared.into_iter().flatten() {
        let status = name.trim_start_matches("Error").to_owned();
        illustrate(&schemas, response, Some(&status));
    }
}

fn illustrate(schemas: &Value, body: &mut Value, status: Option<&str>) {
    let Some(json) = body.get_mut("content").and_then(|all| all.get_mut("application/json")) else {
        return;
    };
    let mut example = example_of(schemas, &json["schema"]);
    let fields = example.as_object_mut();
    if let Some((fields, status)) = fields.zip(status.filter(|status| *status >= "400")) {
        words::problem(fields, status);
    }
    if !example.is_null() {
        json["example"] = example;
    }
}

fn example_of(schemas: &Value, schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return named(schemas, name, &schemas[name]);
    }
    named(schemas, "", schema)
}

fn named(schemas: &Value, name: &str, schema: &Value) -> Value {
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    let first = |key: &str| schema[key].as_array().and_then(|all| all.first());
    if let Some(choice) = ["allOf", "anyOf", "oneOf"].into_iter().find_map(first) {
        return example_of(schemas, choice);
    }
    if let Some(value) = first("enum") {
        return value.clone();
    }
    if schema["type"] == "array" {
        let item = example_of(schemas, &schema["items"]);
        return if item.is_null() { json!([]) } else { json!([item]) };
    }
    let Some(properties) = schema["properties"].as_object() else { return Value::Null };
    let wanted =
        properties.iter().filter(|(key, _)| !LEFT_OUT.contains(&format!("{name}.{key}").as_str()));
    let fields = wanted.map(|(key, value)| (key.clone(), example_of(schemas, value)));
    Value::Object(fields.collect::<Map<_, _>>())
}
