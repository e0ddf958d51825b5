//! Why something was refused, as one word that stays the same: for pages and programs that say it
//! in another language than the message.

use crate::domain::error::{Clash, Denied, Error, Noun, Reason, Why};

/// The word, and the number that a limit is about. Nothing where the kind says it all.
pub fn of(error: &Error) -> (Option<&'static str>, Option<u64>) {
    let word = match error {
        Error::Unauthenticated(why) => unauthenticated(*why),
        Error::Forbidden(denied) => forbidden(denied),
        Error::Taken(_) => Some("taken"),
        Error::Conflict(clash) => Some(conflict(*clash)),
        Error::Invalid(_, reason) => return invalid(reason),
        Error::Expired(Noun::Invitation) => Some("invitation_invalid"),
        Error::Expired(_) => Some("link_invalid"),
        Error::NotFound(_)
        | Error::Throttled { .. }
        | Error::Busy { .. }
        | Error::Upstream(_)
        | Error::Disabled(_)
        | Error::Storage(_)
        | Error::Internal(_) => None,
    };
    (word, None)
}

const fn unauthenticated(why: Why) -> Option<&'static str> {
    match why {
        Why::WrongCredentials => Some("wrong_credentials"),
        Why::TokenExpired | Why::SessionEnded => Some("session_ended"),
        Why::Missing
        | Why::Malformed
        | Why::UnknownScheme
        | Why::BadSignature
        | Why::WrongKind
        | Why::RefreshReused
        | Why::BadKey
        | Why::MalformedBasic
        | Why::RefreshAsAccess => None,
    }
}

const fn forbidden(denied: &Denied) -> Option<&'static str> {
    match denied {
        Denied::ExceedsRights => Some("exceeds_rights"),
        Denied::OwnPassword | Denied::OwnPin | Denied::OwnEmail => Some("own_credentials"),
        Denied::RegistrationClosed => Some("registration_closed"),
        Denied::SetupToken => Some("setup_token"),
        Denied::Inactive => Some("inactive"),
        Denied::OfGoogle => Some("of_google"),
        Denied::CrossSite => Some("cross_site"),
        Denied::Permission(_)
        | Denied::ApiKey
        | Denied::NoAccount
        | Denied::Waits
        | Denied::HasPassword
        | Denied::Unverified
        | Denied::ByProvider
        | Denied::NoSession => None,
    }
}

const fn conflict(clash: Clash) -> &'static str {
    match clash {
        Clash::LastAdmin => "last_admin",
        Clash::Oneself => "oneself",
        Clash::RoleInUse => "role_in_use",
        Clash::BuiltInRole => "built_in_role",
        Clash::SetupDone => "setup_done",
        Clash::LastWayIn => "last_way_in",
        Clash::IdentityTaken => "identity_taken",
        Clash::TooManyIdentities => "too_many_identities",
        Clash::AddressKnown => "address_known",
    }
}

fn invalid(reason: &Reason) -> (Option<&'static str>, Option<u64>) {
    let number = |n: &usize| u64::try_from(*n).ok();
    match reason {
        Reason::Missing => (Some("missing"), None),
        Reason::TooShort { min } => (Some("too_short"), number(min)),
        Reason::TooLong { max } => (Some("too_long"), number(max)),
        Reason::TooCommon => (Some("too_common"), None),
        Reason::TooPlain => (Some("too_plain"), None),
        Reason::Wrong => (Some("wrong"), None),
        Reason::Unknown => (Some("unknown"), None),
        Reason::Form(_) => (Some("form"), None),
    }
}
