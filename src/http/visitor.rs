//! Somebody who need not be signed in: where they come from, and by what their browser is.

use std::sync::Arc;

use poem::{FromRequest, Request, RequestBody, error::Error, http::StatusCode};

use super::client::Facts;
use crate::domain::caller::Origin;

/// What the shell found out, for operations that are public.
pub struct Visitor(pub Arc<Facts>);

impl Visitor {
    pub fn origin(&self, dialect: &'static str) -> Origin {
        self.0.origin_in(dialect)
    }

    pub fn secure(&self) -> bool {
        self.0.secure
    }
}

impl<'a> FromRequest<'a> for Visitor {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        facts(request).map(Self)
    }
}

/// The facts of a request; the shell has always put them there.
pub fn facts(request: &Request) -> poem::Result<Arc<Facts>> {
    let facts = request.extensions().get::<Arc<Facts>>();
    facts.cloned().ok_or_else(|| Error::from_status(StatusCode::INTERNAL_SERVER_ERROR))
}
