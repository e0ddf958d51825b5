//! Coming in and going out.

use std::sync::Arc;

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, OpenApi, param::Path, registry::Registry,
};

use super::{
    DIALECT, Tag,
    ask::{COOKIE, Found, Signed, basic, by_cookie, must_be, put_cookie},
    body::Done,
    error::GpodderError,
};
use crate::{
    domain::{Core, error::Error},
    http::{client::Facts, visitor::Visitor, visitor::facts},
};

pub struct AuthApi {
    pub core: Core,
}

/// Somebody who signs in: Basic counts where it is sent, also beside a live cookie, so that a
/// wrong password is told.
struct Knock(Found);

impl<'a> ApiExtractor<'a> for Knock {
    const TYPES: &'static [ApiExtractorType] = Signed::TYPES;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Signed::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        Signed::security_schemes()
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let found = knock(request, &*facts(request)?).await;
        Ok(Self(found.map_err(GpodderError::from)?))
    }
}

async fn knock(request: &Request, facts: &Facts) -> Result<Found, Error> {
    let by_cookie = by_cookie(request.headers(), facts).await?;
    let (credential, cookie) = match (basic(request.headers()), by_cookie) {
        (None, Some(found)) => return Ok(found),
        (credential, found) => (credential, found),
    };
    let caller = facts.core.caller_of(credential, facts.origin_in(DIALECT)).await?;
    let same = cookie.filter(|found| found.caller.account_id() == caller.account_id());
    Ok(Found { caller, cookie: same.and_then(|found| found.cookie) })
}

#[OpenApi(prefix_path = "/api/2/auth", tag = "Tag::Auth")]
impl AuthApi {
    /// Sign in
    ///
    /// By name and password; the answer's cookie is good for everything after. With a live cookie
    /// it says that it is one. The body is not looked at.
    #[oai(path = "/:username/login.json", method = "post", operation_id = "auth_login")]
    async fn login(
        &self,
        knock: Knock,
        visitor: Visitor,
        /// The caller's own name, in any case.
        username: Path<String>,
    ) -> Result<Done, GpodderError> {
        let Found { caller, cookie } = knock.0;
        let account = caller.account()?;
        let _ = visitor.0.user.set(Arc::clone(account));
        let issued = match cookie {
            Some(cookie) => self.core.cookie_again(&caller, cookie).await?,
            None if caller.is_by_password() => Some(self.core.basic_session(&caller).await?),
            None => None,
        };
        // After the session, which tells of whoever was let in by a password.
        must_be(&caller, &username)?;
        if let Some(issued) = issued {
            put_cookie(&visitor.0, &issued);
        }
        Ok(Done::Done)
    }

    /// Sign out
    ///
    /// Ends the session of the cookie on the server. Good without a live cookie too.
    #[oai(path = "/:username/logout.json", method = "post", operation_id = "auth_logout")]
    async fn logout(
        &self,
        request: &Request,
        visitor: Visitor,
        /// The caller's own name, in any case.
        username: Path<String>,
    ) -> Result<Done, GpodderError> {
        if let Some(found) = by_cookie(request.headers(), &visitor.0).await? {
            must_be(&found.caller, &username)?;
            self.core.sign_out(&found.caller).await?;
        }
        visitor.0.put_cookie(COOKIE, "", 0);
        Ok(Done::Done)
    }
}
