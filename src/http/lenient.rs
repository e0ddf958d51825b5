//! JSON bodies of dialects whose clients we did not write: unknown fields are ignored.

use poem::{Error, Request, RequestBody, http::StatusCode};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::Type,
};
use serde::de::DeserializeOwned;

/// A JSON object; any content type will do, or none (seed 002 says that it is ignored).
pub struct Lenient<T>(pub T);

/// The same, but only as JSON: a page elsewhere cannot send that unasked (wire rule 20).
pub struct JsonOnly<T>(pub T);

/// Whether a content type is JSON, with or without parameters.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// How a document tells of a JSON body.
pub fn json_request<T: Type>() -> MetaRequest {
    let content_type = "application/json";
    let content = vec![MetaMediaType { content_type, schema: T::schema_ref() }];
    MetaRequest { description: None, content, required: true }
}

/// Parses a body that must be JSON by its content type too.
pub async fn json_only<T: DeserializeOwned>(
    request: &Request,
    body: &mut RequestBody,
) -> poem::Result<T> {
    if request.content_type().is_some_and(is_json) {
        parse(body).await
    } else {
        Err(Error::from_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
    }
}

async fn parse<T: DeserializeOwned>(body: &mut RequestBody) -> poem::Result<T> {
    // The voice speaks; what the parser says would repeat what was sent.
    let unreadable = || Error::from_status(StatusCode::BAD_REQUEST);
    let bytes = body.take()?.into_bytes().await.map_err(|_| unreadable())?;
    // A derived reader takes an array too, for the fields in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(unreadable());
    }
    serde_json::from_slice(&bytes).map_err(|_| unreadable())
}

macro_rules! body {
    ($name:ident, |$request:ident, $body:ident| $parse:expr) => {
        impl<'a, T: DeserializeOwned + Type> ApiExtractor<'a> for $name<T> {
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
                $request: &'a Request,
                $body: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                Ok(Self($parse.await?))
            }
        }
    };
}

body!(Lenient, |_request, body| parse(body));
body!(JsonOnly, |request, body| json_only(request, body));
