//! JSON answers of operations that are asked for all the time.

use std::marker::PhantomData;

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse,
    payload::Json,
    registry::{MetaResponses, Registry},
    types::{ParseFromJSON, ToJSON},
};
use serde::Serialize;
use serde_json::Value;

/// The same as [`Json`] of a `D`, also in the document, but written at once: the framework's makes
/// a tree of values first, which costs more than all the rest of a small answer. `T` has to write
/// what a `D` is, which a debug build checks for every answer.
pub struct Serial<T, D = T> {
    value: T,
    documented: PhantomData<fn() -> D>,
}

impl<T, D> Serial<T, D> {
    pub fn new(value: T) -> Self {
        Self { value, documented: PhantomData }
    }
}

impl<T: Serialize + Send, D: ParseFromJSON + ToJSON> IntoResponse for Serial<T, D> {
    fn into_response(self) -> Response {
        debug_assert!(is_a::<D>(serde_json::to_value(&self.value).ok()));
        // Room for most of them at once: growing step by step copies what is there each time.
        let mut text = Vec::with_capacity(1024);
        match serde_json::to_writer(&mut text, &self.value) {
            Ok(()) => Response::builder().content_type(JSON).body(text),
            // As the framework answers; texts, numbers and lists of them cannot fail.
            Err(_) => Response::from(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

const JSON: &str = "application/json; charset=utf-8";

/// Whether this is just what a `D` would have been written as.
fn is_a<D: ParseFromJSON + ToJSON>(written: Option<Value>) -> bool {
    D::parse_from_json(written.clone()).is_ok_and(|value| value.to_json() == written)
}

impl<T: Serialize + Send, D: ParseFromJSON + ToJSON> ApiResponse for Serial<T, D> {
    fn meta() -> MetaResponses {
        Json::<D>::meta()
    }

    fn register(registry: &mut Registry) {
        D::register(registry);
    }
}
