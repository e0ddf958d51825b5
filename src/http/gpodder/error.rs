//! How gpodder says that something went wrong: `{"error":TEXT}`.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{ApiResponse, Object, payload::Json};

use crate::{
    domain::error::{Denied, Error, Field, Reason},
    http::voice::Trouble,
    log,
};

/// What an error answer says.
#[derive(Clone, Debug, Object)]
#[oai(rename = "GpodderProblem")]
pub struct Problem {
    pub error: String,
}

fn problem(error: impl Into<String>) -> Json<Problem> {
    Json(Problem { error: error.into() })
}

/// Every error of gpodder.
#[derive(Debug, ApiResponse)]
pub enum GpodderError {
    /// A field is missing or not as it should be.
    #[oai(status = 400)]
    BadRequest(Json<Problem>),
    /// No live cookie, and no name and password that are right.
    #[oai(status = 401)]
    Unauthorized(Json<Problem>),
    /// Another's name in the path, a wrong old password, or closed registration.
    #[oai(status = 403)]
    Forbidden(Json<Problem>),
    /// There is no such thing.
    #[oai(status = 404)]
    NotFound(Json<Problem>),
    /// The name or address is in use.
    #[oai(status = 409)]
    Conflict(Json<Problem>),
    /// The body is too large.
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

impl GpodderError {
    pub fn bad(message: &str) -> Self {
        Self::BadRequest(problem(message))
    }

    /// The path names somebody else.
    pub fn other_user() -> Self {
        Self::Forbidden(problem("this belongs to another user"))
    }
}

impl From<Error> for GpodderError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Unauthenticated(_) => Self::Unauthorized(problem("unauthorized")),
            Error::Forbidden(Denied::RegistrationClosed) => {
                Self::Forbidden(problem("Registration is closed"))
            }
            Error::Forbidden(_) => Self::Forbidden(problem(text)),
            Error::Invalid(Field::CurrentPassword, Reason::Wrong | Reason::Missing) => {
                Self::Forbidden(problem("incorrect old password"))
            }
            Error::NotFound(_) => Self::NotFound(problem(text)),
            Error::Taken(_) | Error::Conflict(_) => Self::Conflict(problem(text)),
            Error::Invalid(..) | Error::Expired(_) => Self::bad(&text),
            Error::Throttled { retry_after } => {
                Self::TooManyRequests(problem(text), retry_after.as_secs().max(1))
            }
            Error::Busy { retry_after } => {
                Self::Unavailable(problem(text), retry_after.as_secs().max(1))
            }
            // Whoever comes back with what proves nothing is refused; all else may pass.
            Error::Upstream(trouble) if trouble.is_wrong_proof() => Self::Forbidden(problem(text)),
            Error::Upstream(_) => Self::Unavailable(problem(text), 10),
            Error::Disabled(_) => Self::NotFound(problem(text)),
            Error::Storage(_) => {
                log::trouble("storage", &text);
                Self::Unavailable(problem("the storage is full or failing"), 60)
            }
            Error::Internal(_) => {
                log::trouble("internal", &text);
                Self::Internal(problem("internal error"))
            }
        }
    }
}

/// Speaks for gpodder, also where no operation did.
pub fn speak(trouble: Trouble) -> Response {
    let error = match trouble {
        Trouble::Deed(error) => error.into(),
        Trouble::Unreadable => GpodderError::bad("the request cannot be read"),
        Trouble::Parameter(name) => GpodderError::bad(&format!("{name} has the wrong form")),
        Trouble::MediaType | Trouble::ContentEncoding => {
            GpodderError::MediaType(problem("send the body uncompressed"))
        }
        Trouble::BodyTooLarge => GpodderError::TooLarge(problem("the body is too large")),
        Trouble::BodyTooSlow => GpodderError::bad("the body did not arrive in time"),
        Trouble::NoSuchThing => GpodderError::NotFound(problem("not found")),
        Trouble::Panic => GpodderError::Internal(problem("internal error")),
        Trouble::Method => {
            let mut response = problem("method not allowed").into_response();
            response.set_status(StatusCode::METHOD_NOT_ALLOWED);
            return response;
        }
    };
    error.into_response()
}
