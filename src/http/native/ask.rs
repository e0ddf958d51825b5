//! Who asks native, and with which words: credentials, strict JSON bodies, moments.

use std::borrow::Cow;

use poem::{
    Request, RequestBody,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaRequest, MetaSchema, MetaSchemaRef, Registry},
    types::{ParseFromParameter, ParseResult, ToJSON, Type},
};
use serde::{
    Deserialize, Serialize, Serializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, error::Category};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::error::NativeError;
use crate::{
    domain::{
        Timestamp,
        caller::{Caller, Credential},
        error::Error,
        secret::Secret,
        tokens::TokenKind,
    },
    http::{
        client::{Browser, Facts, PAGES, cookies, pages_cookie},
        credentials::{Authorization, authorization},
        lenient::{is_json, json_request},
        scheme::{of_http, of_key},
        visitor::facts,
    },
};

/// The dialect's name in sessions and events.
pub const DIALECT: &str = "native";

/// `Authorization`, then `X-API-Key`, then the cookie of the pages; the first that is present
/// counts, also when it is wrong.
fn credential(headers: &HeaderMap, secure: bool) -> Option<Credential<'_>> {
    match authorization(headers) {
        Authorization::Bearer(token) if token.contains('.') => {
            return Some(Credential::Token(TokenKind::NativeAccess, token));
        }
        Authorization::Bearer(key) => return Some(Credential::ApiKey(Secret::new(key))),
        Authorization::Basic { user, password } => {
            return Some(Credential::Basic { user, password });
        }
        Authorization::Unreadable(why) => return Some(Credential::Unreadable(why)),
        Authorization::Absent => {}
    }
    if let Some(key) = headers.get("x-api-key") {
        return Some(Credential::ApiKey(Secret::new(key.to_str().unwrap_or_default())));
    }
    let cookie = cookies(headers, pages_cookie(secure)).into_iter().next();
    cookie.map(|value| Credential::Cookie(PAGES, Secret::new(value)))
}

/// Finds out who asks.
pub async fn caller(headers: &HeaderMap, facts: &Facts) -> Result<Caller, Error> {
    facts.caller_of(credential(headers, facts.secure), DIALECT).await
}

/// Native's challenge (RFC 9110, section 11.6.1): Bearer, and Basic besides for readers and
/// scripts. Browsers do not get it, since they would open a window of their own.
pub fn challenge(asking: Browser, response: &mut poem::Response) {
    if response.status() != StatusCode::UNAUTHORIZED {
        return;
    }
    let headers = response.headers_mut();
    headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    if !asking.is_browser {
        const BASIC: &str = "Basic realm=\"Gatelodge\", charset=\"UTF-8\"";
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(BASIC));
    }
}

/// Somebody who is signed in. Stands first in every operation that is not public, so that a
/// stranger learns nothing about what comes after.
pub struct Signed(pub Caller);

impl<'a> ApiExtractor<'a> for Signed {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            "bearer",
            of_http("bearer", "The `token` of a sign-in, or an API key."),
        );
        registry.create_security_scheme(
            "basic",
            of_http("basic", "Name or e-mail and password, or `api` and an API key."),
        );
        registry.create_security_scheme("api_key", of_key("header", "X-API-Key", "An API key."));
        const SESSION: &str = "The cookie of the pages; its name is `__Host-session` on https.";
        registry.create_security_scheme("session", of_key("cookie", "session", SESSION));
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["bearer", "basic", "api_key", "session"]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let facts = facts(request)?;
        let caller = caller(request.headers(), &facts).await;
        Ok(Self(caller.map_err(NativeError::from)?))
    }
}

/// A JSON body in which every field must be known and of its own type: native's clients are
/// generated, and a number that passes for a string hides a mistake.
pub struct Strict<T>(pub T);

impl<'a, T: DeserializeOwned + Type> ApiExtractor<'a> for Strict<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(json_request::<T>())
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        if !request.content_type().is_some_and(is_json) {
            return Err(NativeError::media_type().into());
        }
        let bytes = body.take()?.into_bytes().await.map_err(|_| NativeError::unreadable())?;
        // The whole text first: broken JSON is that, whatever its fields would be.
        if serde_json::from_slice::<IgnoredAny>(&bytes).is_err() || !is_text(&bytes) {
            return Err(NativeError::unreadable().into());
        }
        // A derived reader takes an array too, for the fields in their order.
        if bytes.trim_ascii_start().starts_with(b"[") {
            return Err(no_object().into());
        }
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            misread::<T>(&path, error.inner())
        })?;
        Ok(Self(parsed))
    }
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

/// Says what is wrong in our own words: the parser's would repeat what was sent.
fn misread<T: Type>(path: &str, error: &serde_json::Error) -> NativeError {
    if error.classify() != Category::Data {
        return NativeError::unreadable();
    }
    let text = error.to_string();
    let known = fields_of::<T>();
    if let Some(field) =
        known.iter().find(|field| text.starts_with(&format!("missing field `{field}`")))
    {
        return NativeError::field(Some(field), format!("{field} is required"));
    }
    if text.starts_with("unknown field") {
        return NativeError::field(
            None,
            format!("a field is unknown; known are: {}", known.join(", ")),
        );
    }
    match known.iter().find(|field| path.split(['.', '[']).next() == Some(field)) {
        Some(field) => {
            NativeError::field(Some(field), format!("{field} has the wrong type or form"))
        }
        None => no_object(),
    }
}

fn no_object() -> NativeError {
    NativeError::field(None, "the body must be a JSON object of known fields".to_owned())
}

fn fields_of<T: Type>() -> Vec<&'static str> {
    let mut registry = Registry::new();
    T::register(&mut registry);
    match T::schema_ref() {
        MetaSchemaRef::Reference(name) => registry
            .schemas
            .get(&name)
            .map(|schema| schema.properties.iter().map(|(name, _)| *name).collect())
            .unwrap_or_default(),
        MetaSchemaRef::Inline(schema) => schema.properties.iter().map(|(name, _)| *name).collect(),
    }
}

/// A moment on the wire: RFC 3339, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

impl Type for Moment {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string_date-time".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "date-time")))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.text())
    }
}

impl ToJSON for Moment {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.0.text()))
    }
}

impl ParseFromParameter for Moment {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let moment = OffsetDateTime::parse(value, &Rfc3339);
        moment
            .map(|m| Self(Timestamp::from_calendar(m)))
            .map_err(poem_openapi::types::ParseError::custom)
    }
}

impl poem_openapi::types::ParseFromJSON for Moment {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            Some(Value::String(text)) => {
                Self::parse_from_parameter(&text).map_err(|e| e.propagate())
            }
            other => Err(poem_openapi::types::ParseError::expected_type(other.unwrap_or_default())),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        let moment = OffsetDateTime::parse(&text, &Rfc3339)
            .map_err(|_| serde::de::Error::custom("not an RFC 3339 moment"))?;
        Ok(Self(Timestamp::from_calendar(moment)))
    }
}
