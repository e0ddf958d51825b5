//! The first account.

use poem_openapi::{Enum, Object, OpenApi, payload::Json};
use serde::Deserialize;

use super::{
    Tag,
    ask::{DIALECT, Moment, Strict},
    error::NativeError,
    shapes::{Created, User},
};
use crate::{
    domain::{
        Core,
        carriers::Carrier,
        error::Error,
        passwords::PasswordRule,
        secret::Secret,
        sign_up::{Registered, Registration, RegistrationMode},
    },
    http::visitor::Visitor,
};

pub struct SetupApi {
    pub core: Core,
}

/// The first account.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct InitializeRequest {
    username: String,
    email: String,
    #[oai(write_only)]
    password: String,
    /// What the server printed at its start; needed from outside the house. `X-Setup-Token`
    /// does the same.
    #[serde(default)]
    #[oai(write_only)]
    setup_token: Option<String>,
}

/// The first account and its token.
#[derive(Object)]
struct InitializeAnswer {
    token: String,
    expires_at: Moment,
    user: User,
}

/// Whether the first account is still to be made.
#[derive(Object)]
struct SetupStatus {
    setup_required: bool,
    registration_mode: Mode,
}

/// Who may make an account by themself.
#[derive(Enum)]
#[oai(rename_all = "lowercase")]
pub enum Mode {
    Open,
    Invite,
    Closed,
}

impl From<RegistrationMode> for Mode {
    fn from(mode: RegistrationMode) -> Self {
        match mode {
            RegistrationMode::Open => Self::Open,
            RegistrationMode::Invite => Self::Invite,
            RegistrationMode::Closed => Self::Closed,
        }
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Setup")]
impl SetupApi {
    /// Whether the first account is still to be made
    ///
    /// Public. Until it is made, whoever makes it becomes the admin.
    #[oai(path = "/setup/status", method = "get", operation_id = "setup_status")]
    async fn setup_status(&self) -> Result<Json<SetupStatus>, NativeError> {
        Ok(Json(SetupStatus {
            setup_required: self.core.setup_required().await?,
            registration_mode: self.core.settings().registration.into(),
        }))
    }

    /// Make the first account
    ///
    /// It is the admin. From inside the house it needs nothing more; from elsewhere the token
    /// that the server printed at its start.
    #[oai(path = "/setup/initialize", method = "post", operation_id = "setup_initialize")]
    async fn setup_initialize(
        &self,
        visitor: Visitor,
        body: Strict<InitializeRequest>,
    ) -> Result<Created<InitializeAnswer>, NativeError> {
        let mut origin = visitor.origin(DIALECT);
        origin.setup_token = body.0.setup_token.map(Secret::new).or(origin.setup_token);
        let Registered { account, carried } = self
            .core
            .register(Registration {
                username: body.0.username,
                email: Some(body.0.email),
                display_name: None,
                password: Secret::new(body.0.password),
                invitation: None,
                rule: PasswordRule::NATIVE,
                role: None,
                carrier: Some(Carrier::NativeTokens),
                only_first: true,
                origin,
            })
            .await?;
        let token = carried.and_then(|carried| carried.access);
        let token =
            token.ok_or_else(|| Error::Internal("a first account without a token".into()))?;
        Ok(Created::Created(Json(InitializeAnswer {
            token: token.text.reveal().to_owned(),
            expires_at: Moment(token.expires_at),
            user: (&account).into(),
        })))
    }
}
