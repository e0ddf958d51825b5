//! What the doors to providers share: the cookie that binds a way there to the browser that took
//! it, what comes back, and the way to a page.

use std::sync::Arc;

use poem::http::HeaderMap;

use super::{
    client::{Facts, PAGES, cookies, pages_cookie},
    visitor::Visitor,
};
use crate::{
    domain::{
        Core,
        caller::{Caller, Credential},
        error::{Clash, Denied, Error},
        secret::Secret,
        sessions::Carried,
        sso::{Arrival, Arrived, Departure, FLOW_LIFE, Leaving, Way},
    },
    log,
};

/// Where somebody goes who asked for nothing else.
const HOME: &str = "/";

/// What a provider sends back (RFC 6749, section 4.1.2; RFC 9207).
pub struct Back {
    pub code: Option<String>,
    pub state: Option<String>,
    pub error: Option<String>,
    pub iss: Option<String>,
}

/// `__Host-` binds it to this very host (RFC 6265bis).
fn ticket_cookie(secure: bool) -> &'static str {
    if secure { "__Host-sso" } else { "sso" }
}

/// Lets the browser come back for ten minutes.
pub fn put_ticket(facts: &Facts, departure: &Departure) {
    let max_age = i64::try_from(FLOW_LIFE.as_secs()).unwrap_or(0);
    facts.put_cookie(ticket_cookie(facts.secure), departure.ticket.reveal(), max_age);
}

/// The way to a provider.
pub async fn leave(
    core: &Core,
    visitor: &Visitor,
    (way, dialect): (Way, &'static str),
    provider: Option<String>,
    to: Option<String>,
) -> Result<String, Error> {
    let origin = visitor.origin(dialect);
    let departure = core.sso_leave(Leaving { way, provider, to, origin }).await?;
    put_ticket(&visitor.0, &departure);
    Ok(departure.location)
}

/// Somebody who comes back; the ticket is good for one try, whatever comes of it.
pub async fn arrive(
    core: &Core,
    (headers, visitor): (&HeaderMap, &Visitor),
    (way, dialect): (Way, &'static str),
    back: Back,
) -> Result<Arrived, Error> {
    let facts = &visitor.0;
    let ticket = cookies(headers, ticket_cookie(facts.secure)).into_iter().next();
    facts.drop_cookie(ticket_cookie(facts.secure));
    let arrival = Arrival {
        way,
        ticket: ticket.map(Secret::new),
        state: back.state,
        code: back.code,
        error: back.error,
        iss: back.iss,
        pages: by_pages(headers, facts).await?,
        origin: visitor.origin(dialect),
    };
    let arrived = core.sso_arrive(arrival).await?;
    let _ = facts.user.set(Arc::clone(&arrived.account));
    Ok(arrived)
}

/// Whoever is signed in to the pages in this browser.
pub async fn by_pages(headers: &HeaderMap, facts: &Facts) -> Result<Option<Caller>, Error> {
    let cookie = cookies(headers, pages_cookie(facts.secure)).into_iter().next();
    let Some(cookie) = cookie else { return Ok(None) };
    let credential = Some(Credential::Cookie(PAGES, Secret::new(cookie)));
    match facts.core.caller_of(credential, facts.origin_in("native")).await {
        Ok(caller) => Ok(Some(caller)),
        Err(Error::Unauthenticated(_)) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// Gives the browser the session of `carried` as the cookie `name`.
pub fn put_session(facts: &Facts, name: &str, carried: &Carried) {
    if let Some(issued) = &carried.cookie {
        facts.put_issued(name, issued);
    }
}

/// The session of the pages.
pub fn put_pages_session(facts: &Facts, carried: &Carried) {
    put_session(facts, pages_cookie(facts.secure), carried);
}

/// Where to go now.
pub fn target(arrived: &Arrived) -> String {
    arrived.to.clone().unwrap_or_else(|| HOME.to_owned())
}

/// The page that tells people what is wrong, by a word for it.
pub fn trouble(error: &Error) -> String {
    format!("/sign-in?error={}", word(error))
}

fn word(error: &Error) -> &'static str {
    match error {
        Error::Forbidden(Denied::HasPassword) | Error::Conflict(Clash::AddressKnown) => {
            "use_password"
        }
        Error::Forbidden(Denied::NoAccount) => "no_account",
        Error::Forbidden(Denied::RegistrationClosed) => "registration_closed",
        Error::Forbidden(Denied::Inactive) => "inactive",
        Error::Forbidden(Denied::Waits) => "check_email",
        Error::Forbidden(Denied::Unverified) => "email_unverified",
        Error::Forbidden(Denied::SetupToken) => "setup_required",
        Error::Forbidden(_) => "refused",
        Error::Expired(_) => "expired",
        Error::Throttled { .. } => "wait",
        Error::Upstream(_) => "provider",
        Error::Busy { .. } => "busy",
        Error::Storage(_) | Error::Internal(_) => {
            log::trouble("internal", &error.to_string());
            "internal"
        }
        Error::Unauthenticated(_)
        | Error::NotFound(_)
        | Error::Taken(_)
        | Error::Conflict(_)
        | Error::Invalid(..)
        | Error::Disabled(_) => "refused",
    }
}
