//! How native says that something went wrong.

use poem::{IntoResponse, Response};
use poem_openapi::{ApiResponse, Enum, Object, payload::Json};

use super::reason;
use crate::{
    domain::error::{Error, Field, Noun, Why},
    http::voice::Trouble,
    log,
};

/// The kind of a problem, stable for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum Kind {
    Unauthorized,
    Forbidden,
    NotFound,
    BadRequest,
    Conflict,
    Unprocessable,
    TooManyRequests,
    Busy,
    Unavailable,
    Internal,
}

/// What every error answer says.
#[derive(Clone, Debug, Object)]
pub struct Problem {
    /// The kind, for programs.
    pub error: Kind,
    /// What is wrong, for people.
    pub message: String,
    /// The field of the request that it speaks of, where it speaks of one.
    #[oai(skip_serializing_if_is_none)]
    pub field: Option<String>,
    /// Why, as a word that stays the same: `too_short` · `taken` · `last_admin` …
    #[oai(skip_serializing_if_is_none)]
    pub reason: Option<String>,
    /// The number that `too_short` and `too_long` are about.
    #[oai(skip_serializing_if_is_none)]
    pub limit: Option<u64>,
}

impl Problem {
    fn new(error: Kind, message: impl Into<String>) -> Json<Self> {
        let message = message.into();
        Json(Self { error, message, field: None, reason: None, limit: None })
    }

    fn at(field: Field, error: Kind, message: impl Into<String>) -> Json<Self> {
        let mut problem = Self::new(error, message);
        problem.0.field = Some(field.name().to_owned());
        problem
    }

    fn at_named(field: Option<&str>, message: String) -> Json<Self> {
        let mut problem = Self::new(Kind::Unprocessable, message);
        problem.0.field = field.map(str::to_owned);
        problem
    }
}

/// Every error of native.
#[derive(Debug, ApiResponse)]
pub enum NativeError {
    /// The request cannot be read, or a link is not valid or no longer valid.
    #[oai(status = 400)]
    BadRequest(Json<Problem>),
    /// Nobody is signed in, or the credential is not valid or no longer valid.
    #[oai(status = 401)]
    Unauthorized(Json<Problem>),
    /// The account that asks may not do this.
    #[oai(status = 403)]
    Forbidden(Json<Problem>),
    /// There is no such thing, or not for the account that asks.
    #[oai(status = 404)]
    NotFound(Json<Problem>),
    /// It does not fit the present state.
    #[oai(status = 409)]
    Conflict(Json<Problem>),
    /// The body is larger than 1 MiB.
    #[oai(status = 413)]
    TooLarge(Json<Problem>),
    /// The body is not JSON, or is compressed.
    #[oai(status = 415)]
    MediaType(Json<Problem>),
    /// A field is missing, unknown or has a value that it cannot have.
    #[oai(status = 422)]
    Unprocessable(Json<Problem>),
    /// Too many requests or failed tries from this address.
    #[oai(status = 429)]
    TooManyRequests(
        Json<Problem>,
        /// Seconds until it makes sense to try again.
        #[oai(header = "Retry-After")]
        u64,
    ),
    /// A defect of the server; its log says more.
    #[oai(status = 500)]
    Internal(Json<Problem>),
    /// The server is busy, or its disk is full or failing; nothing was changed.
    #[oai(status = 503)]
    Unavailable(
        Json<Problem>,
        /// Seconds until it makes sense to try again.
        #[oai(header = "Retry-After")]
        u64,
    ),
}

impl NativeError {
    fn problem(&mut self) -> &mut Problem {
        match self {
            Self::BadRequest(problem)
            | Self::Unauthorized(problem)
            | Self::Forbidden(problem)
            | Self::NotFound(problem)
            | Self::Conflict(problem)
            | Self::TooLarge(problem)
            | Self::MediaType(problem)
            | Self::Unprocessable(problem)
            | Self::Internal(problem)
            | Self::TooManyRequests(problem, _)
            | Self::Unavailable(problem, _) => &mut problem.0,
        }
    }

    /// A body whose form is wrong; `field` and the words are ours, never the client's.
    pub fn field(field: Option<&str>, message: String) -> Self {
        Self::Unprocessable(Problem::at_named(field, message))
    }

    pub fn unreadable() -> Self {
        Self::BadRequest(Problem::new(Kind::BadRequest, "the request cannot be read"))
    }

    pub fn media_type() -> Self {
        const SAY: &str = "send JSON, with Content-Type: application/json";
        Self::MediaType(Problem::new(Kind::BadRequest, SAY))
    }
}

const fn say(why: Why) -> &'static str {
    match why {
        Why::Missing => "sign in first",
        Why::Malformed | Why::MalformedBasic => "the credential cannot be read",
        Why::UnknownScheme => "use Bearer, Basic or X-API-Key",
        Why::WrongCredentials => "wrong name or password",
        Why::TokenExpired => "the token has expired",
        Why::SessionEnded => "the session has ended",
        Why::RefreshReused => "the refresh token was used before",
        Why::BadSignature | Why::WrongKind | Why::RefreshAsAccess => "the token is not valid here",
        Why::BadKey => "the API key is not valid or no longer valid",
    }
}

impl From<Error> for NativeError {
    fn from(error: Error) -> Self {
        let (reason, limit) = reason::of(&error);
        let mut told = Self::of(error);
        let problem = told.problem();
        (problem.reason, problem.limit) = (reason.map(str::to_owned), limit);
        told
    }
}

impl NativeError {
    fn of(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Unauthenticated(why) => {
                Self::Unauthorized(Problem::new(Kind::Unauthorized, say(why)))
            }
            Error::Forbidden(_) => Self::Forbidden(Problem::new(Kind::Forbidden, text)),
            Error::NotFound(_) => Self::NotFound(Problem::new(Kind::NotFound, text)),
            Error::Taken(field) => Self::Conflict(Problem::at(field, Kind::Conflict, text)),
            Error::Conflict(_) => Self::Conflict(Problem::new(Kind::Conflict, text)),
            Error::Invalid(field, _) => {
                Self::Unprocessable(Problem::at(field, Kind::Unprocessable, text))
            }
            Error::Expired(Noun::Invitation) => {
                Self::Unprocessable(Problem::at(Field::Invitation, Kind::Unprocessable, text))
            }
            Error::Expired(_) => Self::BadRequest(Problem::new(Kind::BadRequest, text)),
            Error::Throttled { retry_after } => Self::TooManyRequests(
                Problem::new(Kind::TooManyRequests, text),
                retry_after.as_secs().max(1),
            ),
            Error::Busy { retry_after } => {
                Self::Unavailable(Problem::new(Kind::Busy, text), retry_after.as_secs().max(1))
            }
            Error::Upstream(_) => Self::Unavailable(Problem::new(Kind::Unavailable, text), 10),
            Error::Disabled(_) => Self::Unavailable(Problem::new(Kind::Unavailable, text), 3600),
            Error::Storage(_) => {
                log::trouble("storage", &text);
                const SAY: &str = "the storage is full or failing; nothing was changed";
                Self::Unavailable(Problem::new(Kind::Unavailable, SAY), 60)
            }
            Error::Internal(_) => {
                log::trouble("internal", &text);
                Self::Internal(Problem::new(Kind::Internal, "something broke; the log says more"))
            }
        }
    }
}

/// Speaks for native, also where no operation did.
pub fn speak(trouble: Trouble) -> Response {
    let bad = |text: &str| Problem::new(Kind::BadRequest, text);
    match trouble {
        Trouble::Deed(error) => NativeError::from(error),
        Trouble::Unreadable => NativeError::unreadable(),
        Trouble::MediaType => NativeError::media_type(),
        Trouble::ContentEncoding => {
            NativeError::MediaType(bad("send the body without a Content-Encoding"))
        }
        Trouble::BodyTooLarge => NativeError::TooLarge(bad("the body is too large")),
        Trouble::BodyTooSlow => NativeError::BadRequest(bad("the body did not arrive in time")),
        Trouble::NoSuchThing => {
            NativeError::NotFound(Problem::new(Kind::NotFound, "there is no such thing"))
        }
        Trouble::Parameter(name) => {
            NativeError::field(Some(name), format!("{name} has a value that it cannot have"))
        }
        Trouble::Method => {
            let problem = bad("this path does not take this method");
            let mut response = problem.into_response();
            response.set_status(poem::http::StatusCode::METHOD_NOT_ALLOWED);
            return response;
        }
        Trouble::Panic => NativeError::Internal(Problem::new(
            Kind::Internal,
            "something broke; the log says more",
        )),
    }
    .into_response()
}
