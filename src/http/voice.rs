//! How a dialect speaks. Each door owns the paths below its prefix and the shape of every error
//! there, also of those that no operation of its own made.

use std::collections::HashMap;

use poem::{
    Endpoint, EndpointExt, Request, Response,
    endpoint::BoxEndpoint,
    http::{Method, StatusCode},
};
use poem_openapi::{
    OpenApi, OperationId,
    registry::{MetaApi, Registry},
};

use crate::domain::error::Error;

/// What can go wrong before or beside a deed.
#[derive(Debug)]
pub enum Trouble {
    Deed(Error),
    /// The request line, a parameter or the body cannot be read; what was sent is never repeated.
    Unreadable,
    /// A body of another media type than the operation takes.
    MediaType,
    /// A request with a `Content-Encoding`.
    ContentEncoding,
    BodyTooLarge,
    BodyTooSlow,
    /// The path is right, the method is not.
    Method,
    /// A parameter of the path that names nothing.
    NoSuchThing,
    /// A parameter of the query with a value that it cannot have.
    Parameter(&'static str),
    /// A defect of ours that the panic guard caught.
    Panic,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Deed(error)
    }
}

/// Turns trouble into the answer of one dialect.
pub type Speak = fn(Trouble) -> Response;

/// Mounts the operations of one dialect: whatever error leaves them, speaks its language.
pub struct Voice<A>(pub A, pub Speak);

impl<A: OpenApi> OpenApi for Voice<A> {
    /// Empty: documents are made from the bare APIs, one for each dialect.
    fn meta() -> Vec<MetaApi> {
        Vec::new()
    }

    fn register(_: &mut Registry) {}

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        let Self(api, speak) = self;
        let mut own = HashMap::new();
        api.add_routes(&mut own);
        for (path, methods) in own {
            for (method, endpoint) in methods {
                let taken = table
                    .entry(path.clone())
                    .or_default()
                    .insert(method.clone(), Spoken { endpoint, speak }.boxed());
                assert!(taken.is_none(), "{method} {path} belongs to two dialects");
            }
        }
    }
}

/// One operation. Not made of the framework's combinators, since each of them carries the request
/// along once more.
struct Spoken {
    endpoint: BoxEndpoint<'static>,
    speak: Speak,
}

impl Endpoint for Spoken {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let answered = self.endpoint.call(request).await;
        Ok(answered.unwrap_or_else(|error| answer(error, self.speak)))
    }
}

/// Errors that are answers already stay as they are; those of the framework are translated by
/// their kind alone, since their texts repeat what was sent.
fn answer(error: poem::Error, speak: Speak) -> Response {
    let id = error.data::<OperationId>().copied();
    let mut response =
        if error.is_from_response() { error.into_response() } else { speak(trouble_of(&error)) };
    if let Some(id) = id {
        response.set_data(id);
    }
    response
}

fn trouble_of(error: &poem::Error) -> Trouble {
    if let Some(parameter) = error.downcast_ref::<poem_openapi::error::ParseParamError>() {
        return Trouble::Parameter(parameter.name);
    }
    if error.is::<poem_openapi::error::ParsePathError>() {
        return Trouble::NoSuchThing;
    }
    match error.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Trouble::MediaType,
        status if status.is_server_error() => Trouble::Panic,
        _ => Trouble::Unreadable,
    }
}

/// A dialect that may be switched off: then it has no routes at all.
pub struct Maybe<A>(pub Option<A>);

impl<A: OpenApi> OpenApi for Maybe<A> {
    fn meta() -> Vec<MetaApi> {
        A::meta()
    }

    fn register(registry: &mut Registry) {
        A::register(registry);
    }

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        if let Some(api) = self.0 {
            api.add_routes(table);
        }
    }
}
