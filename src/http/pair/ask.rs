//! Who asks pair: Bearer or Basic.

use poem::{
    Request, RequestBody, Response,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, registry::Registry};

use super::{DIALECT, error::PairError};
use crate::{
    domain::{
        caller::{Caller, Credential},
        error::Error,
        tokens::TokenKind,
    },
    http::{
        client::{Browser, Facts},
        credentials::{Authorization, authorization},
        scheme::of_http,
        visitor::facts,
    },
};

/// Finds out who asks.
pub async fn caller(headers: &HeaderMap, facts: &Facts) -> Result<Caller, Error> {
    let credential = match authorization(headers) {
        Authorization::Absent => None,
        Authorization::Bearer(token) => Some(Credential::Token(TokenKind::PairAccess, token)),
        Authorization::Basic { user, password } => Some(Credential::Basic { user, password }),
        Authorization::Unreadable(why) => Some(Credential::Unreadable(why)),
    };
    facts.caller_of(credential, DIALECT).await
}

/// Pair's challenge (RFC 6750, section 3).
pub fn challenge(_: Browser, response: &mut Response) {
    if response.status() == StatusCode::UNAUTHORIZED {
        const BEARER: &str = "Bearer realm=\"Gatelodge\"";
        let value = HeaderValue::from_static(BEARER);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
}

/// Somebody who is signed in; stands first in every operation that is not public.
pub struct Signed(pub Caller);

impl<'a> ApiExtractor<'a> for Signed {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme("bearer", of_http("bearer", "The `access_token`."));
        registry.create_security_scheme("basic", of_http("basic", "Name and password."));
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["bearer", "basic"]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let facts = facts(request)?;
        let caller = caller(request.headers(), &facts).await;
        Ok(Self(caller.map_err(PairError::from)?))
    }
}
