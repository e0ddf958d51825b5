//! Sign-in through a provider elsewhere (seed 004), in a browser.

use poem::Request;
use poem_openapi::{ApiResponse, Object, OpenApi, param::Query, payload::Json};

use super::{DIALECT, Tag, ask::COOKIE, error::GpodderError};
use crate::{
    domain::{Core, error::Error, sso::Way},
    http::{
        pages::wants_page,
        sso::{Back, arrive, leave, put_pages_session, put_session, target, trouble},
        visitor::Visitor,
    },
};

pub struct SsoApi {
    pub core: Core,
}

/// What a client needs to know before it offers this.
#[derive(Object)]
struct SsoInfo {
    /// Whether there is a provider.
    enabled: bool,
    /// The name for people of the provider that is meant without `provider`.
    #[oai(nullable)]
    provider_name: Option<String>,
    /// `open` · `invite` · `closed`
    registration: String,
}

/// The way on.
#[derive(ApiResponse)]
enum Moved {
    /// The browser goes on there.
    #[oai(status = 302)]
    Found(
        /// An address of the provider, or a path of this server.
        #[oai(header = "Location")]
        String,
    ),
}

#[OpenApi(prefix_path = "/auth/sso", tag = "Tag::Auth")]
impl SsoApi {
    /// Leave for a provider
    ///
    /// Sends the browser to the provider, with a cookie that lets it come back within ten minutes.
    /// 404 without a provider, 503 while it cannot be reached; browsers are led to the sign-in
    /// page, which says so.
    #[oai(path = "/login", method = "get", operation_id = "sso_login")]
    async fn login(
        &self,
        request: &Request,
        visitor: Visitor,
        /// The provider's name; without it the first that is configured.
        provider: Query<Option<String>>,
        /// Where to go afterwards: a path of this server.
        to: Query<Option<String>>,
    ) -> Result<Moved, GpodderError> {
        let way = (Way::Sso, DIALECT);
        match leave(&self.core, &visitor, way, provider.0, to.0).await {
            Ok(location) => Ok(Moved::Found(location)),
            Err(error) => told(error, request),
        }
    }

    /// Come back from a provider
    ///
    /// Signs the browser in: `sessionid` for podcasts, and the session of the pages. Once, in the
    /// browser that left. 403 for people who have no account here or whose account is not active,
    /// 409 when an account has their e-mail address and is not linked; browsers are led to the
    /// sign-in page, which says so.
    #[oai(path = "/callback", method = "get", operation_id = "sso_callback")]
    async fn callback(
        &self,
        request: &Request,
        visitor: Visitor,
        code: Query<Option<String>>,
        state: Query<Option<String>>,
        error: Query<Option<String>>,
        iss: Query<Option<String>>,
    ) -> Result<Moved, GpodderError> {
        let back = Back { code: code.0, state: state.0, error: error.0, iss: iss.0 };
        let way = (Way::Sso, DIALECT);
        let arrived = match arrive(&self.core, (request.headers(), &visitor), way, back).await {
            Ok(arrived) => arrived,
            Err(error) => return told(error, request),
        };
        if let [pages, podcasts] = arrived.carried.as_slice() {
            put_pages_session(&visitor.0, pages);
            put_session(&visitor.0, COOKIE, podcasts);
        }
        Ok(Moved::Found(target(&arrived)))
    }

    /// Whether there is a provider
    #[oai(path = "/info", method = "get", operation_id = "sso_info")]
    async fn info(&self) -> Json<SsoInfo> {
        let provider = self.core.sso_default();
        Json(SsoInfo {
            enabled: provider.is_some(),
            provider_name: provider.map(|provider| provider.display_name.clone()),
            registration: self.core.settings().registration.name().to_owned(),
        })
    }
}

/// People read what is wrong on a page, programs in the words of the dialect.
fn told(error: Error, request: &Request) -> Result<Moved, GpodderError> {
    if wants_page(request.headers()) {
        return Ok(Moved::Found(trouble(&error)));
    }
    Err(error.into())
}
