//! How pin says that something went wrong: `{"message":TEXT}`.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{ApiResponse, Object, payload::Json};

use crate::{domain::error::Error, http::voice::Trouble, log};

/// What an error answer says.
#[derive(Clone, Debug, Object)]
pub struct Problem {
    pub message: String,
}

/// What somebody is told who has to wait.
#[derive(Clone, Debug, Object)]
pub struct Wait {
    pub message: String,
    /// Seconds.
    #[oai(rename = "retryAfter")]
    pub retry_after: u64,
}

fn problem(message: impl Into<String>) -> Json<Problem> {
    Json(Problem { message: message.into() })
}

/// Every error of pin.
#[derive(Debug, ApiResponse)]
pub enum PinError {
    /// The request cannot be read, or a field is missing.
    #[oai(status = 400)]
    BadRequest(Json<Problem>),
    /// Nobody is signed in, or the credential is not right.
    #[oai(status = 401)]
    Unauthorized(Json<Problem>),
    /// Not from there.
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
        Json<Wait>,
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
        Json<Wait>,
        /// Seconds.
        #[oai(header = "Retry-After")]
        u64,
    ),
}

impl PinError {
    pub fn bad(message: &str) -> Self {
        Self::BadRequest(problem(message))
    }

    pub fn unauthorized(message: &str) -> Self {
        Self::Unauthorized(problem(message))
    }

    /// The same refusal in the words of one operation.
    pub fn in_words(error: Error, message: &str) -> Self {
        match error {
            Error::Unauthenticated(_) => Self::unauthorized(message),
            other => other.into(),
        }
    }
}

impl From<Error> for PinError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let wait =
            |seconds: u64| (Json(Wait { message: text.clone(), retry_after: seconds }), seconds);
        match error {
            Error::Unauthenticated(_) => Self::unauthorized("Unauthorized API access"),
            Error::Forbidden(_) => Self::Forbidden(problem(text)),
            Error::NotFound(_) => Self::NotFound(problem(text)),
            Error::Taken(_) | Error::Conflict(_) | Error::Invalid(..) | Error::Expired(_) => {
                Self::BadRequest(problem(text))
            }
            Error::Throttled { retry_after } => {
                let (body, seconds) = wait(retry_after.as_secs().max(1));
                Self::TooManyRequests(body, seconds)
            }
            Error::Busy { retry_after } => {
                let (body, seconds) = wait(retry_after.as_secs().max(1));
                Self::Unavailable(body, seconds)
            }
            Error::Upstream(_) => {
                let (body, seconds) = wait(10);
                Self::Unavailable(body, seconds)
            }
            Error::Disabled(_) => Self::NotFound(problem("Not found")),
            Error::Storage(_) => {
                log::trouble("storage", &text);
                let message = "The storage is full or failing".to_owned();
                Self::Unavailable(Json(Wait { message, retry_after: 60 }), 60)
            }
            Error::Internal(_) => {
                log::trouble("internal", &text);
                Self::Internal(problem("Internal server error"))
            }
        }
    }
}

/// Speaks for pin, also where no operation did.
pub fn speak(trouble: Trouble) -> Response {
    let error = match trouble {
        Trouble::Deed(error) => error.into(),
        Trouble::Unreadable | Trouble::Parameter(_) => PinError::bad("Invalid request"),
        Trouble::MediaType => PinError::MediaType(problem("Send JSON")),
        Trouble::ContentEncoding => PinError::MediaType(problem("Send the body uncompressed")),
        Trouble::BodyTooLarge => PinError::TooLarge(problem("The body is too large")),
        Trouble::BodyTooSlow => PinError::bad("The body did not arrive in time"),
        Trouble::NoSuchThing => PinError::NotFound(problem("Not found")),
        Trouble::Panic => PinError::Internal(problem("Internal server error")),
        Trouble::Method => {
            let mut response = problem("Method not allowed").into_response();
            response.set_status(StatusCode::METHOD_NOT_ALLOWED);
            return response;
        }
    };
    error.into_response()
}
