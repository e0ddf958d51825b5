//! How documents tell of credentials (OpenAPI 3, "Security Scheme Object").

use poem_openapi::registry::MetaSecurityScheme;

/// A scheme of `Authorization`, such as `bearer`.
pub fn of_http(scheme: &'static str, description: &'static str) -> MetaSecurityScheme {
    MetaSecurityScheme {
        ty: "http",
        description: Some(description),
        name: None,
        key_in: None,
        scheme: Some(scheme),
        bearer_format: None,
        flows: None,
        openid_connect_url: None,
    }
}

/// A secret with a name of its own, in a `header` or a `cookie`.
pub fn of_key(
    key_in: &'static str,
    name: &'static str,
    description: &'static str,
) -> MetaSecurityScheme {
    MetaSecurityScheme {
        ty: "apiKey",
        name: Some(name),
        key_in: Some(key_in),
        scheme: None,
        ..of_http("", description)
    }
}
