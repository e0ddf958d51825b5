//! What a sign-in page needs to know before anybody is signed in.

use poem::http::HeaderMap;
use poem_openapi::{Object, OpenApi, payload::Json};
use uuid::Uuid;

use super::{Tag, ask::DIALECT, error::NativeError, setup::Mode, shapes::User};
use crate::{
    domain::{Core, caller::Caller, people::PadPerson, sso::ProviderSettings},
    http::{Dialects, sso::by_pages, visitor::Visitor},
};

pub struct OptionsApi {
    pub core: Core,
    /// Providers are offered only where the doors to them are open.
    pub on: Dialects,
}

/// What a sign-in page needs to know.
#[derive(Object)]
struct Options {
    setup_required: bool,
    /// Whether the first account needs the set-up token from here.
    setup_token_required: bool,
    registration_mode: Mode,
    /// Providers elsewhere by which one can sign in here.
    providers: Vec<Provider>,
    /// Whether a PIN is good from here.
    pin_allowed: bool,
    /// The people who have a PIN; empty outside the house.
    people: Vec<Person>,
    /// The dialects whose doors are open.
    dialects: Vec<String>,
    /// Whose session the cookie of the pages carries; `null` for everybody else.
    #[oai(nullable)]
    user: Option<User>,
}

/// A provider elsewhere; `login_url` is where a browser goes.
#[derive(Object)]
struct Provider {
    name: String,
    display_name: String,
    login_url: String,
}

impl From<&ProviderSettings> for Provider {
    fn from(provider: &ProviderSettings) -> Self {
        Self {
            name: provider.name.clone(),
            display_name: provider.display_name.clone(),
            login_url: provider.login_path(),
        }
    }
}

/// Somebody on the login pad.
#[derive(Object)]
struct Person {
    id: Uuid,
    username: String,
    display_name: String,
}

impl From<PadPerson> for Person {
    fn from(person: PadPerson) -> Self {
        Self { id: person.id.uuid(), username: person.username, display_name: person.display_name }
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Auth")]
impl OptionsApi {
    /// What a sign-in page needs
    ///
    /// Public. People with a PIN are listed inside the house only.
    #[oai(path = "/auth/options", method = "get", operation_id = "auth_options")]
    async fn options(
        &self,
        visitor: Visitor,
        headers: &HeaderMap,
    ) -> Result<Json<Options>, NativeError> {
        let origin = visitor.origin(DIALECT);
        let setup_required = self.core.setup_required().await?;
        let caller = by_pages(headers, &visitor.0).await?;
        let user =
            caller.as_ref().map(Caller::account).transpose()?.map(|account| (&**account).into());
        Ok(Json(Options {
            setup_required,
            setup_token_required: setup_required && !origin.at_home,
            registration_mode: self.core.settings().registration.into(),
            providers: self.providers(),
            pin_allowed: origin.is_within(&self.core.settings().pin_networks),
            people: self.core.pad_people(&origin).await?.into_iter().map(Person::from).collect(),
            dialects: self.on.names().map(str::to_owned).collect(),
            user,
        }))
    }
}

impl OptionsApi {
    fn providers(&self) -> Vec<Provider> {
        let is_open = |provider: &&ProviderSettings| match provider.is_google() {
            true => self.on.signup,
            false => self.on.gpodder,
        };
        self.core.sso_providers().iter().filter(is_open).map(Provider::from).collect()
    }
}
