//! What a link is for, before somebody follows it.

use poem_openapi::{Enum, Object, OpenApi, payload::Json};
use serde::Deserialize;

use super::{
    Tag,
    ask::{Moment, Strict},
    error::NativeError,
};
use crate::domain::{
    Core,
    error::{Error, Noun},
    letters::{LinkInfo, Purpose},
    secret::Secret,
};

pub struct LinksApi {
    pub core: Core,
}

/// The token of a link.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkRequest {
    #[oai(write_only)]
    token: String,
}

/// What following a link does.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "kebab-case")]
enum LinkPurpose {
    /// Proves an address: `/auth/verify-email`.
    VerifyEmail,
    /// Proves an address and activates the account: `/auth/verify-email`.
    Activate,
    /// Puts a new address in force: `/auth/verify-email`.
    ChangeEmail,
    /// Sets a new password: `/auth/reset-password`.
    ResetPassword,
    /// Lets somebody in: `/auth/register`.
    Invitation,
}

impl LinkPurpose {
    fn of(purpose: Purpose) -> Option<Self> {
        match purpose {
            Purpose::VerifyEmail => Some(Self::VerifyEmail),
            Purpose::Activate => Some(Self::Activate),
            Purpose::ChangeEmail => Some(Self::ChangeEmail),
            Purpose::ResetPassword | Purpose::ResetLink => Some(Self::ResetPassword),
            Purpose::Invitation => Some(Self::Invitation),
            Purpose::AddressChanged
            | Purpose::NewSignIn
            | Purpose::AccountDisabled
            | Purpose::Test => None,
        }
    }
}

/// What a link is for.
#[derive(Object)]
struct Link {
    purpose: LinkPurpose,
    /// The account that it is about; `null` for an invitation.
    #[oai(nullable)]
    username: Option<String>,
    /// The address that the account will have, or that an invitation is for.
    #[oai(nullable)]
    email: Option<String>,
    /// What an invitation gives.
    #[oai(nullable)]
    role: Option<String>,
    /// Whether the account has a password, by which whoever follows the link can show that they
    /// made it.
    has_password: bool,
    expires_at: Moment,
}

impl Link {
    fn of(info: LinkInfo) -> Option<Self> {
        Some(Self {
            purpose: LinkPurpose::of(info.purpose)?,
            username: info.username,
            email: info.email,
            role: info.role,
            has_password: info.has_password,
            expires_at: Moment(info.expires_at),
        })
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Auth")]
impl LinksApi {
    /// What a link is for
    ///
    /// Tells whoever holds the token of a mailed or handed over link what following it would do
    /// and to which account, and does nothing: so that nobody confirms a stranger's account.
    #[oai(path = "/auth/link", method = "post", operation_id = "auth_link_info")]
    async fn link_info(&self, body: Strict<LinkRequest>) -> Result<Json<Link>, NativeError> {
        let info = self.core.link_info(&Secret::new(body.0.token)).await?;
        let link = Link::of(info).ok_or(Error::Expired(Noun::OneTimeToken))?;
        Ok(Json(link))
    }
}
