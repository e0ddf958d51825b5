//! How sign-up says that something went wrong: `{"message":TEXT[,"error":TEXT]}`.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{ApiResponse, Object, payload::Json};

use crate::{
    domain::error::{Denied, Error, Field, Reason, Why},
    http::voice::Trouble,
    log,
};

/// What an error answer says.
#[derive(Clone, Debug, Object)]
#[oai(rename = "SignupProblem")]
pub struct Problem {
    pub message: String,
    /// What is wrong with a token: `jwt expired` · `jwt malformed` · `invalid signature` ·
    /// `invalid token`.
    #[oai(skip_serializing_if_is_none)]
    pub error: Option<String>,
}

fn problem(message: impl Into<String>) -> Json<Problem> {
    Json(Problem { message: message.into(), error: None })
}

/// Every error of sign-up.
#[derive(Debug, ApiResponse)]
pub enum SignupError {
    /// A field is missing or not as it should be, or the address is in use.
    #[oai(status = 400)]
    BadRequest(Json<Problem>),
    /// No token, or one that is not valid or no longer valid.
    #[oai(status = 401)]
    Unauthorized(Json<Problem>),
    /// Registration is closed.
    #[oai(status = 403)]
    Forbidden(Json<Problem>),
    /// There is no such thing.
    #[oai(status = 404)]
    NotFound(Json<Problem>),
    /// The body is larger than 1 MiB.
    #[oai(status = 413)]
    TooLarge(Json<Problem>),
    /// The body is not JSON.
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

impl SignupError {
    pub fn bad(message: &str) -> Self {
        Self::BadRequest(problem(message))
    }
}

fn unauthorized(why: Why) -> Json<Problem> {
    let of_token = |text: &str| {
        Json(Problem { message: "Unauthorized".to_owned(), error: Some(text.to_owned()) })
    };
    match why {
        Why::Missing => problem("No token provided"),
        Why::UnknownScheme | Why::MalformedBasic => problem("Invalid token format"),
        Why::TokenExpired => of_token("jwt expired"),
        Why::Malformed => of_token("jwt malformed"),
        Why::BadSignature | Why::WrongKind => of_token("invalid signature"),
        Why::WrongCredentials
        | Why::SessionEnded
        | Why::RefreshReused
        | Why::RefreshAsAccess
        | Why::BadKey => of_token("invalid token"),
    }
}

impl From<Error> for SignupError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Unauthenticated(why) => Self::Unauthorized(unauthorized(why)),
            Error::Forbidden(Denied::RegistrationClosed) => {
                Self::Forbidden(problem("Registration is closed"))
            }
            Error::Forbidden(_) => Self::Forbidden(problem(text)),
            Error::NotFound(_) => Self::NotFound(problem(text)),
            Error::Taken(Field::Email | Field::Username) => Self::bad("Email already registered"),
            Error::Invalid(Field::Password, Reason::TooShort { min }) => {
                Self::bad(&format!("Password must be at least {min} characters long"))
            }
            Error::Taken(_) | Error::Conflict(_) | Error::Invalid(..) | Error::Expired(_) => {
                Self::bad(&text)
            }
            Error::Throttled { retry_after } => {
                Self::TooManyRequests(problem(text), retry_after.as_secs().max(1))
            }
            Error::Busy { retry_after } => {
                Self::Unavailable(problem(text), retry_after.as_secs().max(1))
            }
            Error::Upstream(_) => Self::Unavailable(problem(text), 10),
            Error::Disabled(_) => Self::NotFound(problem("Not found")),
            Error::Storage(_) => {
                log::trouble("storage", &text);
                Self::Unavailable(problem("The storage is full or failing"), 60)
            }
            Error::Internal(_) => {
                log::trouble("internal", &text);
                Self::Internal(problem("Internal server error"))
            }
        }
    }
}

/// Speaks for sign-up, also where no operation did.
pub fn speak(trouble: Trouble) -> Response {
    let error = match trouble {
        Trouble::Deed(error) => error.into(),
        Trouble::Unreadable | Trouble::Parameter(_) => SignupError::bad("Invalid request"),
        Trouble::MediaType => SignupError::MediaType(problem("Send JSON")),
        Trouble::ContentEncoding => SignupError::MediaType(problem("Send the body uncompressed")),
        Trouble::BodyTooLarge => SignupError::TooLarge(problem("The body is too large")),
        Trouble::BodyTooSlow => SignupError::bad("The body did not arrive in time"),
        Trouble::NoSuchThing => SignupError::NotFound(problem("Not found")),
        Trouble::Panic => SignupError::Internal(problem("Internal server error")),
        Trouble::Method => {
            let mut response = problem("Method not allowed").into_response();
            response.set_status(StatusCode::METHOD_NOT_ALLOWED);
            return response;
        }
    };
    error.into_response()
}
