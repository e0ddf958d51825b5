//! How pair says that something went wrong: `{"status":"error","detail":TEXT}`.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{Object, payload::Json};

use crate::{
    domain::error::Error,
    http::{shell::log_line, voice::Trouble},
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

fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Taken(_) | Error::Conflict(_) => StatusCode::CONFLICT,
        Error::Invalid(..) | Error::Expired(_) => StatusCode::BAD_REQUEST,
        Error::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Busy { .. } | Error::Disabled(_) | Error::Storage(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn detail_of(error: &Error) -> String {
    match error {
        Error::Storage(_) | Error::Internal(_) => {
            log_line(&format!("trouble what={:?}", error.to_string()));
            "internal server error".to_owned()
        }
        Error::Unauthenticated(_) => "invalid credentials".to_owned(),
        other => other.to_string(),
    }
}

fn answer(status: StatusCode, detail: impl Into<String>) -> Response {
    let mut response = Problem::new(detail).into_response();
    response.set_status(status);
    response
}

/// Speaks for pair, also where no operation did.
pub fn speak(trouble: Trouble) -> Response {
    match trouble {
        Trouble::Deed(error) => {
            let mut response = answer(status_of(&error), detail_of(&error));
            if let Error::Throttled { retry_after } | Error::Busy { retry_after } = error {
                let seconds = retry_after.as_secs().max(1);
                response.headers_mut().insert("retry-after", seconds.into());
            }
            response
        }
        Trouble::Unreadable | Trouble::Parameter(_) => {
            answer(StatusCode::BAD_REQUEST, "invalid request")
        }
        Trouble::MediaType | Trouble::ContentEncoding => {
            answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported media type")
        }
        Trouble::BodyTooLarge => answer(StatusCode::PAYLOAD_TOO_LARGE, "request body too large"),
        Trouble::BodyTooSlow => answer(StatusCode::BAD_REQUEST, "request body timed out"),
        Trouble::Method => answer(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
        Trouble::NoSuchThing => answer(StatusCode::NOT_FOUND, "not found"),
        Trouble::Panic => answer(StatusCode::INTERNAL_SERVER_ERROR, "internal server error"),
    }
}
