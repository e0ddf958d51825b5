//! Sign-in with Google (seed 003), in a browser: whatever goes wrong leads to the sign-in page.

use poem::Request;
use poem_openapi::{ApiResponse, OpenApi, param::Query};

use super::{DIALECT, Tag, error::SignupError};
use crate::{
    domain::{
        Core,
        error::Error,
        sso::{Arrived, Way},
    },
    http::{
        client::Facts,
        sso::{Back, arrive, leave, put_pages_session, target, trouble},
        visitor::Visitor,
    },
};

pub struct GoogleApi {
    pub core: Core,
}

/// The way on.
#[derive(ApiResponse)]
enum Moved {
    /// The browser goes on there; to `/sign-in?error=…` when something is wrong.
    #[oai(status = 302)]
    Found(
        /// Google, a path of this server, or the page that takes over.
        #[oai(header = "Location")]
        String,
    ),
}

#[OpenApi(tag = "Tag::Auth")]
impl GoogleApi {
    /// Leave for Google
    ///
    /// Sends the browser to Google, with a cookie that lets it come back within ten minutes. 404
    /// when Google is not configured.
    #[oai(path = "/auth/google", method = "get", operation_id = "google_login")]
    async fn login(
        &self,
        visitor: Visitor,
        /// Where to go afterwards: a path of this server.
        to: Query<Option<String>>,
    ) -> Result<Moved, SignupError> {
        moved(leave(&self.core, &visitor, (Way::Google, DIALECT), None, to.0).await)
    }

    /// Come back from Google
    ///
    /// Signs the browser in to the pages; or, with `signup.frontend_url` and no page asked for,
    /// hands the token over in the fragment of that address.
    #[oai(path = "/auth/google/callback", method = "get", operation_id = "google_callback")]
    async fn callback(
        &self,
        request: &Request,
        visitor: Visitor,
        code: Query<Option<String>>,
        state: Query<Option<String>>,
        error: Query<Option<String>>,
        iss: Query<Option<String>>,
    ) -> Result<Moved, SignupError> {
        let back = Back { code: code.0, state: state.0, error: error.0, iss: iss.0 };
        let way = (Way::Google, DIALECT);
        let arrived = arrive(&self.core, (request.headers(), &visitor), way, back).await;
        moved(arrived.map(|arrived| way_on(&self.core, &visitor.0, &arrived)))
    }
}

/// The token goes into the fragment, which no server sees and no log holds.
fn way_on(core: &Core, facts: &Facts, arrived: &Arrived) -> String {
    let token = arrived.carried.iter().find_map(|carried| carried.access.as_ref());
    match (token, &core.settings().sso.frontend) {
        (Some(token), Some(frontend)) => format!("{frontend}#token={}", token.text.reveal()),
        _ => {
            arrived.carried.iter().for_each(|carried| put_pages_session(facts, carried));
            target(arrived)
        }
    }
}

/// A page tells people what a word means; programs are told as in the rest of this dialect when
/// Google is not configured.
fn moved(way: Result<String, Error>) -> Result<Moved, SignupError> {
    match way {
        Ok(location) => Ok(Moved::Found(location)),
        Err(error @ Error::Disabled(_)) => Err(error.into()),
        Err(error) => Ok(Moved::Found(trouble(&error))),
    }
}
