//! Whole lists of subscriptions, as JSON, lines of text or OPML.

use bytes::Bytes;
use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi,
    param::Path,
    registry::{MetaMediaType, MetaRequest, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use super::{
    Tag,
    ask::Signed,
    body::{AtMost, Done, bytes},
    error::GpodderError,
    paths::{Format, list_of},
};
use crate::domain::{
    Core,
    podcasts::{
        MAX_SUBSCRIPTIONS,
        devices::DeviceName,
        opml,
        subscriptions::{Feed, Subscription},
    },
};

const OPML: &str = "text/x-opml";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

pub struct ListsApi {
    pub core: Core,
}

/// A list as it was sent; its path says how it is written.
struct Listed(Bytes);

/// A list as it is answered.
struct ListAnswer {
    content_type: &'static str,
    text: String,
}

fn media() -> Vec<MetaMediaType> {
    let one = |content_type, schema| MetaMediaType { content_type, schema };
    vec![
        one(JSON, <Vec<String> as Type>::schema_ref()),
        one("text/plain", <String as Type>::schema_ref()),
        one(OPML, <String as Type>::schema_ref()),
    ]
}

impl<'a> ApiExtractor<'a> for Listed {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest { description: None, content: media(), required: true })
    }

    async fn from_request(
        _: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        bytes(body).await.map(Self)
    }
}

impl ApiResponse for ListAnswer {
    fn meta() -> MetaResponses {
        let response = MetaResponse {
            description: "Addresses of feeds; the OPML has their titles too.",
            status: Some(200),
            status_range: None,
            content: media(),
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(_: &mut Registry) {}
}

impl IntoResponse for ListAnswer {
    fn into_response(self) -> Response {
        Response::builder().content_type(self.content_type).body(self.text)
    }
}

impl Listed {
    fn read(&self, format: Format) -> Result<Vec<Feed>, GpodderError> {
        match format {
            Format::Opml => Ok(opml::parse(&self.0)?),
            Format::Text => Ok(opml::parse_lines(&self.0)?),
            Format::Json => {
                let list = serde_json::from_slice::<AtMost<String, MAX_SUBSCRIPTIONS>>(&self.0);
                let list = list.map_err(|_| GpodderError::bad(NOT_A_LIST))?;
                Ok(opml::of_addresses(list.0.iter().map(String::as_str))?)
            }
        }
    }
}

const NOT_A_LIST: &str = "the body must be a list of at most 10000 addresses";

fn written(subscriptions: &[Subscription], format: Format) -> ListAnswer {
    match format {
        Format::Opml => ListAnswer { content_type: OPML, text: opml::write(subscriptions) },
        Format::Text => ListAnswer { content_type: TEXT, text: opml::write_lines(subscriptions) },
        Format::Json => {
            let urls: Vec<&str> = subscriptions.iter().map(|one| one.url.as_str()).collect();
            ListAnswer { content_type: JSON, text: serde_json::json!(urls).to_string() }
        }
    }
}

#[OpenApi(prefix_path = "/subscriptions", tag = "Tag::Subscriptions")]
impl ListsApi {
    /// What all my devices subscribe to
    ///
    /// Each podcast once.
    #[oai(path = "/:username_file", method = "get", operation_id = "subscriptions_list")]
    async fn all(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username_file: Path<String>,
    ) -> Result<ListAnswer, GpodderError> {
        let (username, format) = list_of(&username_file)?;
        let caller = signed.must_be(username)?;
        Ok(written(&self.core.subscriptions_list(caller).await?, format))
    }

    /// What a device subscribes to
    ///
    /// Nothing, if it is unknown.
    #[oai(
        path = "/:username/:device_file",
        method = "get",
        operation_id = "subscriptions_of_device"
    )]
    async fn of_device(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username: Path<String>,
        /// The device's id: letters, digits and `_ . -`, at most 64.
        device_file: Path<String>,
    ) -> Result<ListAnswer, GpodderError> {
        let caller = signed.must_be(&username)?;
        let (device, format) = list_of(&device_file)?;
        let device = DeviceName::parse(device)?;
        Ok(written(&self.core.subscriptions_of_device(caller, device).await?, format))
    }

    /// Make a list all that a device subscribes to
    ///
    /// What is no address of a feed (http or https, at most 2048 bytes) is left out; the others
    /// are kept in their one form. At most 10,000 feeds and 8 MiB. OPML may be nested, and gives
    /// the podcasts their titles; one that declares entities is refused.
    #[oai(path = "/:username/:device_file", method = "put", operation_id = "subscriptions_replace")]
    async fn replace(
        &self,
        signed: Signed,
        /// The caller's own name, in any case.
        username: Path<String>,
        /// The device's id: letters, digits and `_ . -`, at most 64.
        device_file: Path<String>,
        body: Listed,
    ) -> Result<Done, GpodderError> {
        let caller = signed.must_be(&username)?;
        let (device, format) = list_of(&device_file)?;
        let device = DeviceName::parse(device)?;
        self.core.subscriptions_replace(caller, device, body.read(format)?).await?;
        Ok(Done::Done)
    }
}
