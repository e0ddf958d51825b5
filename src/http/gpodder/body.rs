//! What podcast clients send. Their content types are not looked at: AntennaPod says
//! `plain/text`, others say nothing.

use std::{fmt, marker::PhantomData};

use bytes::Bytes;
use poem::{Error, Request, RequestBody, http::StatusCode};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions,
    registry::{MetaRequest, Registry},
    types::Type,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, SeqAccess, Visitor},
};

use crate::http::lenient::json_request;

/// Nothing but that it worked.
#[derive(ApiResponse)]
pub enum Done {
    /// Done.
    #[oai(status = 200)]
    Done,
}

/// A JSON object, a list where `LIST` says so, or nothing, which reads like an empty object.
pub struct Sent<T, const LIST: bool = false>(pub T);

/// The body as it came.
///
/// # Errors
/// 400 when it cannot be read; the voice speaks, since a parser's words would repeat it.
pub async fn bytes(body: &mut RequestBody) -> poem::Result<Bytes> {
    body.take()?.into_bytes().await.map_err(|_| unreadable())
}

/// A request that cannot be read.
pub fn unreadable() -> Error {
    Error::from_status(StatusCode::BAD_REQUEST)
}

impl<'a, T: DeserializeOwned + Type, const LIST: bool> ApiExtractor<'a> for Sent<T, LIST> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest { required: false, ..json_request::<T>() })
    }

    async fn from_request(
        _: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = bytes(body).await?;
        let text = match bytes.trim_ascii_start() {
            [] => b"{}",
            // A derived reader takes a list too, for the fields in their order.
            [b'[', ..] if !LIST => return Err(unreadable()),
            text => text,
        };
        serde_json::from_slice(text).map(Self).map_err(|_| unreadable())
    }
}

/// A list of at most `N`: a body of millions of small things is let go of early.
pub struct AtMost<T, const N: usize>(pub Vec<T>);

impl<T, const N: usize> Default for AtMost<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for AtMost<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Counting::<T, N>(PhantomData))
    }
}

struct Counting<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Counting<T, N> {
    type Value = AtMost<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {N}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        collect::<_, _, N>(list).map(AtMost)
    }
}

/// What a list holds.
///
/// # Errors
/// For more than `N`.
pub fn collect<'de, A: SeqAccess<'de>, T: Deserialize<'de>, const N: usize>(
    mut list: A,
) -> Result<Vec<T>, A::Error> {
    let mut kept = Vec::new();
    while let Some(one) = list.next_element()? {
        if kept.len() >= N {
            return Err(serde::de::Error::custom("too many"));
        }
        kept.push(one);
    }
    Ok(kept)
}
