//! Who asks pin: its own two cookies, and nothing else.

use std::time::Duration;

use poem::{Request, RequestBody};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, registry::Registry};

use super::{DIALECT, error::PinError};
use crate::{
    domain::{
        caller::{Caller, Credential},
        tokens::TokenKind,
    },
    http::{client::cookies, scheme::of_key, visitor::facts},
};

/// The cookie of a minute.
pub const ACCESS: &str = "accessToken";
/// The cookie that stays.
pub const REFRESH: &str = "refreshToken";

async fn caller(request: &Request, name: &str, kind: TokenKind) -> poem::Result<Caller> {
    let facts = facts(request)?;
    let cookie = cookies(request.headers(), name).into_iter().next();
    let credential = cookie.map(|value| Credential::Token(kind, value));
    let caller = facts.caller_of(credential, DIALECT).await;
    let words = if name == REFRESH { "Invalid token" } else { "Unauthorized API access" };
    Ok(caller.map_err(|error| PinError::in_words(error, words))?)
}

macro_rules! cookie_scheme {
    ($(#[$doc:meta])* $name:ident, $cookie:expr, $kind:expr, $scheme:literal, $says:literal) => {
        $(#[$doc])*
        pub struct $name(pub Caller);

        impl<'a> ApiExtractor<'a> for $name {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                registry.create_security_scheme($scheme, of_key("cookie", $cookie, $says));
            }

            fn security_schemes() -> Vec<&'static str> {
                vec![$scheme]
            }

            async fn from_request(
                request: &'a Request,
                _: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                caller(request, $cookie, $kind).await.map(Self)
            }
        }
    };
}

cookie_scheme!(
    /// Somebody with a live access cookie.
    Signed,
    ACCESS,
    TokenKind::PinAccess,
    "access",
    "The cookie of a minute."
);
cookie_scheme!(
    /// Somebody with a live refresh cookie.
    Refreshing,
    REFRESH,
    TokenKind::PinRefresh,
    "refresh",
    "The cookie that stays; good for another access cookie only."
);

/// As `Max-Age` wants it.
pub fn whole_seconds(life: Duration) -> i64 {
    i64::try_from(life.as_secs()).unwrap_or(i64::MAX)
}
