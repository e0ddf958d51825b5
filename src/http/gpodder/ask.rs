//! Who asks gpodder: the cookie `sessionid`, or Basic.

use std::sync::Arc;

use poem::{
    Request, RequestBody, Response,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, registry::Registry};

use super::{DIALECT, error::GpodderError};
use crate::{
    domain::{
        accounts::canonical,
        caller::{Caller, Credential},
        error::{Error, Why},
        secret::Secret,
        tokens::Issued,
    },
    http::{
        client::{Browser, Facts, cookies},
        credentials::{Authorization, authorization},
        scheme::{of_http, of_key},
        visitor::facts,
    },
};

/// The cookie of a session.
pub const COOKIE: &str = "sessionid";

/// Whoever asks, and the live cookie by which they do, if it was that.
pub struct Found {
    pub caller: Caller,
    pub cookie: Option<Secret>,
}

/// What `Authorization` holds, as far as this dialect takes it.
pub fn basic(headers: &HeaderMap) -> Option<Credential<'_>> {
    match authorization(headers) {
        Authorization::Absent => None,
        Authorization::Basic { user, password } => Some(Credential::Basic { user, password }),
        Authorization::Bearer(_) => Some(Credential::Unreadable(Why::UnknownScheme)),
        Authorization::Unreadable(why) => Some(Credential::Unreadable(why)),
    }
}

/// The session of the first cookie that is live. An ended one says nothing: clients send the
/// old cookie and Basic together.
pub async fn by_cookie(headers: &HeaderMap, facts: &Facts) -> Result<Option<Found>, Error> {
    // A few: the jar of a broken client is not read to its end.
    for value in cookies(headers, COOKIE).into_iter().take(4) {
        let cookie = Secret::new(value);
        let credential = Some(Credential::Cookie(DIALECT, cookie.clone()));
        match facts.core.caller_of(credential, facts.origin_in(DIALECT)).await {
            Ok(caller) => return Ok(Some(Found { caller, cookie: Some(cookie) })),
            Err(Error::Unauthenticated(_)) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(None)
}

/// A live cookie, else Basic. A cookie of somebody else than Basic names is not looked at: the
/// client has changed its account.
pub async fn find(headers: &HeaderMap, facts: &Facts) -> Result<Found, Error> {
    let basic = basic(headers);
    if let Some(found) = by_cookie(headers, facts).await? {
        let same = match &basic {
            Some(Credential::Basic { user, .. }) => {
                canonical(user) == "api" || found.caller.account()?.is_called(user)
            }
            _ => true,
        };
        if same {
            return Ok(found);
        }
    }
    let ended = !cookies(headers, COOKIE).is_empty();
    let credential = basic.or(ended.then_some(Credential::Unreadable(Why::SessionEnded)));
    let caller = facts.core.caller_of(credential, facts.origin_in(DIALECT)).await?;
    Ok(Found { caller, cookie: None })
}

/// Finds out who asks. Whoever was let in by a password takes a cookie along: mygpoclient gives up on
/// its fourth Basic call otherwise. The session is there before anything is done, so that it tells of
/// the password whatever is done and answered; where it cannot be written, the request goes on.
pub async fn caller(headers: &HeaderMap, facts: &Facts) -> Result<Caller, Error> {
    let caller = find(headers, facts).await?.caller;
    if let Ok(account) = caller.account() {
        let _ = facts.user.set(Arc::clone(account));
    }
    if caller.is_by_password() {
        match facts.core.basic_session(&caller).await {
            Ok(issued) => put_cookie(facts, &issued),
            // Something of the account has changed while this waited, perhaps not what it stands on.
            Err(Error::Unauthenticated(_)) => return facts.core.caller_again(&caller).await,
            Err(_) => {}
        }
    }
    Ok(caller)
}

/// Gpodder's challenge (RFC 7617): mygpoclient sends nothing before it sees one, and the pages
/// of a web client must not open a window.
pub fn challenge(asking: Browser, response: &mut Response) {
    if response.status() == StatusCode::UNAUTHORIZED && !asking.by_page {
        const BASIC: &str = "Basic realm=\"Gatelodge\", charset=\"UTF-8\"";
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(BASIC));
    }
}

/// Gives a client its cookie.
pub fn put_cookie(facts: &Facts, issued: &Issued) {
    facts.put_issued(COOKIE, issued);
}

/// Somebody who is signed in; stands first in every operation that is not public.
pub struct Signed(pub Caller);

impl Signed {
    /// Paths name whose things they are: nobody reaches another's.
    ///
    /// # Errors
    /// 403 for another's name, whether anybody has it or not.
    pub fn must_be(&self, user: &str) -> Result<&Caller, GpodderError> {
        must_be(&self.0, user)?;
        Ok(&self.0)
    }
}

/// # Errors
/// 403 for another's name.
pub fn must_be(caller: &Caller, user: &str) -> Result<(), GpodderError> {
    if caller.account()?.is_called(user) { Ok(()) } else { Err(GpodderError::other_user()) }
}

impl<'a> ApiExtractor<'a> for Signed {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            "session",
            of_key("cookie", COOKIE, "The cookie of a sign-in."),
        );
        registry.create_security_scheme("basic", of_http("basic", "Name or e-mail and password."));
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["session", "basic"]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let facts = facts(request)?;
        let caller = caller(request.headers(), &facts).await;
        Ok(Self(caller.map_err(GpodderError::from)?))
    }
}
