//! The one error of the domain. It knows nothing of HTTP: each dialect translates it.

use std::{fmt, time::Duration};

use super::sso::Trouble;
use crate::db::DbError;

/// What a deed can end with instead of its result.
#[derive(Debug)]
pub enum Error {
    /// Nobody, or nobody we know. The reason is for the log; what the client may read is the
    /// dialect's decision.
    Unauthenticated(Why),
    /// Somebody who may not do this.
    Forbidden(Denied),
    NotFound(Noun),
    /// A unique value is in use.
    Taken(Field),
    /// The deed does not fit the present state.
    Conflict(Clash),
    Invalid(Field, Reason),
    /// A one-time token, an invitation: unknown, used or too old, which are not told apart.
    Expired(Noun),
    /// Too many failed tries or requests from this address.
    Throttled {
        retry_after: Duration,
    },
    /// The hash queue is full, or another queue.
    Busy {
        retry_after: Duration,
    },
    /// A provider that people sign in through fails, or is not believed.
    Upstream(Trouble),
    /// Switched off or not configured here.
    Disabled(&'static str),
    /// The disk is full, read-only or failing; nothing was changed.
    Storage(DbError),
    /// A defect of ours.
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

/// Why somebody is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No credential was sent.
    Missing,
    /// A credential was sent that cannot be read.
    Malformed,
    /// An authentication scheme that we do not speak.
    UnknownScheme,
    /// Wrong name, password or PIN, or an account that may not sign in.
    WrongCredentials,
    /// A token with a broken signature or of another house.
    BadSignature,
    /// A token of another kind or dialect.
    WrongKind,
    /// A token past its time.
    TokenExpired,
    /// A session that has ended, with all its tokens.
    SessionEnded,
    /// A refresh token that was used before.
    RefreshReused,
    /// An API key that is unknown, revoked or past its time.
    BadKey,
    /// A Basic credential that cannot be decoded.
    MalformedBasic,
    /// A refresh token where an access token belongs.
    RefreshAsAccess,
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// This permission is missing.
    Permission(String),
    /// An API key never may (wire rule 18).
    ApiKey,
    /// The other account has rights that the caller lacks (wire rule 6).
    ExceedsRights,
    /// One's own password and PIN are changed with the current password.
    OwnPassword,
    /// One's own PIN is set with the current password.
    OwnPin,
    /// One's own address is changed with the current password, and confirmed.
    OwnEmail,
    /// Registration is closed.
    RegistrationClosed,
    /// The first account needs the set-up token from here.
    SetupToken,
    /// A page elsewhere made the browser ask.
    CrossSite,
    /// A provider knows somebody whom nobody here knows.
    NoAccount,
    /// The account is disabled or waits for its letter.
    Inactive,
    /// The account was made now and waits for its letter.
    Waits,
    /// An account with a password does not sign in by Google (seed 003).
    HasPassword,
    /// An account of Google has no other way in (seed 003).
    OfGoogle,
    /// The provider does not vouch for the address that an account needs.
    Unverified,
    /// The provider let nobody in, or they changed their mind.
    ByProvider,
    /// Only somebody who is signed in with a session.
    NoSession,
}

/// What was not found or has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    Account,
    Session,
    ApiKey,
    Role,
    Invitation,
    Identity,
    OneTimeToken,
    Page,
    Device,
    Provider,
    SignIn,
}

/// The input that an error speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Username,
    Email,
    DisplayName,
    Password,
    CurrentPassword,
    NewPassword,
    Pin,
    Role,
    Status,
    Permissions,
    Name,
    Description,
    ExpiresAt,
    Uses,
    Invitation,
    Page,
    Device,
    DeviceType,
    Podcast,
    Episode,
    Guid,
    Action,
    Actions,
    Timestamp,
    Position,
    Subscriptions,
    Opml,
    SyncGroup,
    /// Where to go after a sign-in.
    To,
}

/// What is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    Missing,
    TooShort {
        min: usize,
    },
    TooLong {
        max: usize,
    },
    TooCommon,
    /// A digit and a special character are asked for (seed 002).
    TooPlain,
    /// The present password was asked for and another one came.
    Wrong,
    /// It names something that is not there.
    Unknown,
    /// What would be right, in words.
    Form(&'static str),
}

/// What the present state forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    LastAdmin,
    Oneself,
    RoleInUse,
    BuiltInRole,
    SetupDone,
    LastWayIn,
    /// Another account here has it.
    IdentityTaken,
    TooManyIdentities,
    /// A provider names an address that an account here has.
    AddressKnown,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthenticated(why) => write!(f, "not signed in: {why:?}"),
            Self::Forbidden(denied) => write!(f, "{denied}"),
            Self::NotFound(noun) => write!(f, "no such {noun}"),
            Self::Taken(field) => write!(f, "{field} is already in use"),
            Self::Conflict(clash) => write!(f, "{clash}"),
            Self::Invalid(field, reason) => write!(f, "{field} {reason}"),
            Self::Expired(noun) => write!(f, "the {noun} is not valid or no longer valid"),
            Self::Throttled { retry_after } => {
                write!(
                    f,
                    "too many tries from this address; try again in {} s",
                    retry_after.as_secs()
                )
            }
            Self::Busy { .. } => write!(f, "many people are signing in; try again in a moment"),
            Self::Upstream(trouble) => write!(f, "{trouble}"),
            Self::Disabled(feature) => write!(f, "{feature} is not set up here"),
            Self::Storage(error) => write!(f, "{error}"),
            Self::Internal(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permission(name) => write!(f, "this needs the permission {name}"),
            Self::ApiKey => write!(f, "an API key may not do this; sign in instead"),
            Self::ExceedsRights => write!(f, "this would exceed your own rights"),
            Self::OwnPassword => {
                write!(
                    f,
                    "change your own password or PIN with the current password, at \
                     /api/v1/user/password and /api/v1/user/pin"
                )
            }
            Self::OwnPin => {
                write!(f, "set your own PIN with the current password, at /api/v1/user/pin")
            }
            Self::OwnEmail => {
                write!(
                    f,
                    "change your own address with the current password, at /api/v1/user/email"
                )
            }
            Self::RegistrationClosed => write!(f, "Registration is closed"),
            Self::SetupToken => write!(
                f,
                "the first account needs the set-up token that the server printed at its start"
            ),
            Self::NoAccount => write!(
                f,
                "nobody here is known by this sign-in; ask for an account, or sign in to yours \
                 and link it"
            ),
            Self::Inactive => write!(f, "the account is not active"),
            Self::Waits => write!(f, "follow the link in the letter to activate the account"),
            Self::HasPassword => write!(f, "this account has a password; sign in with it"),
            Self::OfGoogle => {
                write!(f, "this account signs in by Google and has no other way in")
            }
            Self::Unverified => {
                write!(f, "the provider does not vouch for the e-mail address that is needed")
            }
            Self::ByProvider => write!(f, "the provider let nobody in"),
            Self::NoSession => write!(f, "sign in on the pages first"),
            Self::CrossSite => write!(
                f,
                "requests from other sites are refused; if this is your own address, set it as \
                 server.public_url"
            ),
        }
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "account",
            Self::Session => "session",
            Self::ApiKey => "API key",
            Self::Role => "role",
            Self::Invitation => "invitation",
            Self::Identity => "linked identity",
            Self::OneTimeToken => "link",
            Self::Page => "page",
            Self::Device => "device",
            Self::Provider => "provider",
            Self::SignIn => "sign-in",
        })
    }
}

impl Field {
    /// The name that the field has in requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::Email => "email",
            Self::DisplayName => "display_name",
            Self::Password => "password",
            Self::CurrentPassword => "current_password",
            Self::NewPassword => "new_password",
            Self::Pin => "pin",
            Self::Role => "role",
            Self::Status => "status",
            Self::Permissions => "permissions",
            Self::Name => "name",
            Self::Description => "description",
            Self::ExpiresAt => "expires_at",
            Self::Uses => "uses",
            Self::Invitation => "invitation",
            Self::Page => "page",
            Self::Device => "device",
            Self::DeviceType => "type",
            Self::Podcast => "podcast",
            Self::Episode => "episode",
            Self::Guid => "guid",
            Self::Action => "action",
            Self::Actions => "actions",
            Self::Timestamp => "timestamp",
            Self::Position => "position",
            Self::Subscriptions => "subscriptions",
            Self::Opml => "opml",
            Self::SyncGroup => "synchronize",
            Self::To => "to",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "is required"),
            Self::TooShort { min } => write!(f, "must have at least {min} characters"),
            Self::TooLong { max } => write!(f, "must have at most {max} characters"),
            Self::TooCommon => write!(f, "is among the most common passwords; choose another"),
            Self::TooPlain => {
                write!(f, "must contain at least one number and one special character")
            }
            Self::Wrong => write!(f, "is not right"),
            Self::Unknown => write!(f, "names something that does not exist"),
            Self::Form(rule) => f.write_str(rule),
        }
    }
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LastAdmin => "the last active admin must remain",
            Self::Oneself => "you cannot disable, demote or delete your own account",
            Self::RoleInUse => "the role is in use",
            Self::BuiltInRole => "a built-in role cannot be changed or deleted",
            Self::SetupDone => "set-up is done: an account exists",
            Self::IdentityTaken => "this sign-in is linked to another account here",
            Self::TooManyIdentities => "no more sign-ins can be linked to the account",
            Self::AddressKnown => {
                "an account here has this e-mail address; sign in to it and link this sign-in there"
            }
            Self::LastWayIn => "this is the account's last way to sign in",
        })
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unique(column) => match column.as_str() {
                "accounts.username_key" => Self::Taken(Field::Username),
                "accounts.email" => Self::Taken(Field::Email),
                "roles.name" => Self::Taken(Field::Name),
                _ => Self::Internal(Box::new(DbError::Unique(column))),
            },
            DbError::Storage(_) => Self::Storage(error),
            DbError::Missing | DbError::Driver(_) => Self::Internal(Box::new(error)),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        DbError::from(error).into()
    }
}

/// What a deed gives.
pub type Result<T> = std::result::Result<T, Error>;
