//! Who asks sign-up: a Bearer token, and nothing else.

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use super::{DIALECT, error::SignupError};
use crate::{
    domain::{
        caller::{Caller, Credential},
        error::Why,
        tokens::TokenKind,
    },
    http::{
        credentials::{Authorization, authorization},
        scheme::of_http,
        visitor::facts,
    },
};

/// Somebody with a live token.
pub struct Signed(pub Caller);

impl<'a> ApiExtractor<'a> for Signed {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let token = of_http("bearer", "The `token` of a sign-in.");
        registry.create_security_scheme(
            "bearer",
            MetaSecurityScheme { bearer_format: Some("JWT"), ..token },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["bearer"]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let facts = facts(request)?;
        let credential = match authorization(request.headers()) {
            Authorization::Absent => None,
            Authorization::Bearer(token) => Some(Credential::Token(TokenKind::SignupAccess, token)),
            Authorization::Basic { .. } | Authorization::Unreadable(_) => {
                Some(Credential::Unreadable(Why::UnknownScheme))
            }
        };
        let caller = facts.caller_of(credential, DIALECT).await;
        Ok(Self(caller.map_err(SignupError::from)?))
    }
}
