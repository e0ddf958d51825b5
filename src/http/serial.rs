//! JSON answers of operations that are asked for all the time.

use poem::{IntoResponse, Response};
use poem_openapi::{
    ApiResponse,
    payload::{Json, Payload},
    registry::{MetaResponses, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use serde::Serialize;

/// The same as [`Json`], also in the document, but written at once: the framework's makes a tree
/// of values first, which costs more than all the rest of a small answer. Both have to write the
/// same, which a debug build checks for every answer.
pub struct Serial<T>(pub T);

impl<T: Type> Payload for Serial<T> {
    const CONTENT_TYPE: &'static str = Json::<T>::CONTENT_TYPE;

    fn check_content_type(content_type: &str) -> bool {
        Json::<T>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ToJSON + Serialize> IntoResponse for Serial<T> {
    fn into_response(self) -> Response {
        debug_assert_eq!(serde_json::to_value(&self.0).ok(), self.0.to_json());
        poem::web::Json(self.0).into_response()
    }
}

impl<T: ToJSON + Serialize> ApiResponse for Serial<T> {
    fn meta() -> MetaResponses {
        Json::<T>::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}
