//! How pair says that something went wrong: `{"status":"error","detail":TEXT}`.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{ApiResponse, Object, payload::Json};

use crate::{
    domain::error::{Error, Field, Reason, Why},
    http::voice::Trouble,
    log,
};

/// What every error answer says.
#[derive(Clone, Debug, Object)]
pub struct Problem {
    /// Always `error`.
    status: String,
    detail: String,
}

impl Problem {
    pub fn new(detail: impl Into<String>) -> Json<Self> {
        Json(Self { status: "error".to_owned(), detail: detail.into() })
    }
}

/// Every error of pair.
#[derive(Debug, ApiResponse)]
pub enum PairError {
    /// The request cannot be read, or a field is not as it should be.
    #[oai(status = 400)]
    BadRequest(Json<Problem>),
    /// Nobody is signed in, or the credential is not valid or no longer valid.
    #[oai(status = 401)]
    Unauthorized(Json<Problem>),
    /// The account that asks may not do this.
    #[oai(status = 403)]
    Forbidden(Json<Problem>),
    /// There is no such thing.
    #[oai(status = 404)]
    NotFound(Json<Problem>),
    /// The body is larger than 1 MiB.
    #[oai(status = 413)]
    TooLarge(Json<Problem>),
    /// The body is compressed.
    #[oai(status = 415)]
    MediaType(Json<Problem>),
    /// Too many failed tries or requests from this address.
    #[oai(status = 429)]
    TooManyRequests(
        Json<Problem>,
        /// Seconds.
        #[oai(header = "Retry-After")]
        u64,
    ),
    /// A defect of the server.
    #[oai(status = 500)]
    Internal(Json<Problem>),
    /// The server is busy, or its disk is full or failing.
    #[oai(status = 503)]
    Unavailable(
        Json<Problem>,
        /// Seconds.
        #[oai(header = "Retry-After")]
        u64,
    ),
}

impl PairError {
    pub fn bad(detail: &str) -> Self {
        Self::BadRequest(Problem::new(detail))
    }

    pub fn unauthorized(detail: &str) -> Self {
        Self::Unauthorized(Problem::new(detail))
    }
}

const fn detail_of(why: Why) -> &'static str {
    match why {
        Why::Missing => "missing Authorization header",
        Why::MalformedBasic => "malformed Basic auth header",
        Why::UnknownScheme => "unsupported authentication scheme",
        Why::WrongCredentials | Why::BadKey => "invalid credentials",
        Why::RefreshAsAccess => "refresh token not accepted on access path",
        Why::SessionEnded => "token has been revoked",
        Why::RefreshReused => "refresh token already used",
        Why::Malformed | Why::BadSignature | Why::WrongKind | Why::TokenExpired => {
            "invalid or expired token"
        }
    }
}

fn invalid(field: Field, reason: &Reason) -> String {
    match (field, reason) {
        (Field::CurrentPassword, _) => "current password is incorrect".to_owned(),
        (Field::NewPassword, Reason::TooShort { min }) => {
            format!("new password must be at least {min} characters")
        }
        (Field::NewPassword, Reason::TooPlain) => format!("password {reason}"),
        (field, reason) => format!("{field} {reason}"),
    }
}

impl From<Error> for PairError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Unauthenticated(why) => Self::unauthorized(detail_of(why)),
            Error::Forbidden(_) => Self::Forbidden(Problem::new(text)),
            Error::NotFound(_) => Self::NotFound(Problem::new(text)),
            Error::Invalid(field, reason) => Self::bad(&invalid(field, &reason)),
            Error::Taken(_) | Error::Conflict(_) | Error::Expired(_) => Self::bad(&text),
            Error::Throttled { retry_after } => Self::TooManyRequests(
                Problem::new("too many failed attempts, try again later"),
                retry_after.as_secs().max(1),
            ),
            Error::Busy { retry_after } => {
                Self::Unavailable(Problem::new(text), retry_after.as_secs().max(1))
            }
            Error::Upstream(_) => Self::Unavailable(Problem::new(text), 10),
            Error::Disabled(_) => Self::NotFound(Problem::new("not found")),
            Error::Storage(_) => {
                log::trouble("storage", &text);
                Self::Unavailable(Problem::new("the storage is full or failing"), 60)
            }
            Error::Internal(_) => {
                log::trouble("internal", &text);
                Self::Internal(Problem::new("internal server error"))
            }
        }
    }
}

/// Speaks for pair, also where no operation did.
pub fn speak(trouble: Trouble) -> Response {
    let error = match trouble {
        Trouble::Deed(error) => error.into(),
        Trouble::Unreadable | Trouble::Parameter(_) => PairError::bad("invalid request body"),
        Trouble::MediaType | Trouble::ContentEncoding => {
            PairError::MediaType(Problem::new("unsupported media type"))
        }
        Trouble::BodyTooLarge => PairError::TooLarge(Problem::new("request body too large")),
        Trouble::BodyTooSlow => PairError::bad("request body timed out"),
        Trouble::NoSuchThing => PairError::NotFound(Problem::new("not found")),
        Trouble::Panic => PairError::Internal(Problem::new("internal server error")),
        Trouble::Method => {
            let mut response = Problem::new("method not allowed").into_response();
            response.set_status(StatusCode::METHOD_NOT_ALLOWED);
            return response;
        }
    };
    error.into_response()
}
