//! One's own account.

use std::sync::Arc;

use poem_openapi::{
    ApiResponse, Object, OpenApi, param::Path, payload::Json, types::MaybeUndefined,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Tag,
    ask::{Moment, Signed, Strict},
    error::NativeError,
    shapes::{Done, Message, Shown, User, change},
};
use crate::{
    domain::{Core, identities, passwords::PasswordRule, secret::Secret, sessions},
    http::{serial::Serial, sso, visitor::Visitor},
};

pub struct ProfileApi {
    pub core: Core,
}

/// A change to one's own account.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileChange {
    /// The name for people to read, up to 128 characters.
    #[serde(default)]
    display_name: Option<String>,
}

/// The present password and the one to have from now on.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// May be left out only by an account that has no password.
    #[serde(default)]
    #[oai(write_only)]
    current_password: Option<String>,
    /// Eight characters or more, not among the most common.
    #[oai(write_only)]
    new_password: String,
}

/// The present password and a PIN, or `null` to have none.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinChange {
    /// May be left out only by an account that has no password.
    #[serde(default)]
    #[oai(write_only)]
    current_password: Option<String>,
    /// Four to twelve digits.
    #[serde(default)]
    #[oai(write_only)]
    pin: MaybeUndefined<String>,
}

/// The present password and another address.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmailChange {
    email: String,
    /// May be left out only by an account that has no password.
    #[serde(default)]
    #[oai(write_only)]
    current_password: Option<String>,
}

/// A provider whose account is to be linked.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityRequest {
    /// One of `providers` of `/auth/options`, but not `google`.
    provider: String,
    /// May be left out only by an account that has no password.
    #[serde(default)]
    #[oai(write_only)]
    current_password: Option<String>,
    /// Where to go afterwards: a path of this server.
    #[serde(default)]
    to: Option<String>,
}

/// Where to send the browser.
#[derive(Object)]
struct IdentityAnswer {
    /// An address of the provider.
    location: String,
}

/// A way to the provider.
#[derive(ApiResponse)]
enum Departed {
    /// Send the browser there; the cookie lets it come back within ten minutes.
    #[oai(status = 200)]
    Departed(Json<IdentityAnswer>),
}

/// A place where somebody is signed in.
#[derive(Object)]
pub struct Session {
    pub id: Uuid,
    /// `native` · `pages` · `pin` · `pair` · `signup` · `gpodder`
    pub dialect: String,
    /// `password` · `pin` · `registration` · `sso` · `google`
    pub method: String,
    /// Where the sign-in came from.
    pub address: String,
    pub user_agent: String,
    pub created_at: Moment,
    /// To about five minutes.
    pub last_seen_at: Moment,
    pub expires_at: Moment,
    /// Whether this very session asks.
    pub current: bool,
}

impl Session {
    pub fn of(session: sessions::Session, current: Option<sessions::SessionId>) -> Self {
        Self {
            id: session.id.uuid(),
            dialect: session.dialect,
            method: session.method,
            address: session.address,
            user_agent: session.user_agent,
            created_at: Moment(session.created_at),
            last_seen_at: Moment(session.last_seen_at),
            expires_at: Moment(session.expires_at),
            current: current == Some(session.id),
        }
    }
}

/// All of somebody's live sessions, the last used first.
#[derive(Object)]
pub struct Sessions {
    pub data: Vec<Session>,
}

/// An account elsewhere that signs in here.
#[derive(Object)]
struct Identity {
    id: Uuid,
    provider: String,
    issuer: String,
    subject: String,
    #[oai(nullable)]
    email: Option<String>,
    created_at: Moment,
    #[oai(nullable)]
    last_used_at: Option<Moment>,
}

/// All linked accounts.
#[derive(Object)]
struct Identities {
    data: Vec<Identity>,
}

impl From<identities::Identity> for Identity {
    fn from(identity: identities::Identity) -> Self {
        Self {
            id: identity.id.parse().unwrap_or_default(),
            provider: identity.provider,
            issuer: identity.issuer,
            subject: identity.subject,
            email: identity.email,
            created_at: Moment(identity.created_at),
            last_used_at: identity.last_used_at.map(Moment),
        }
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Profile")]
impl ProfileApi {
    /// Who am I
    ///
    /// The account that asks, as it is now.
    #[oai(path = "/user", method = "get", operation_id = "profile_get")]
    async fn profile_get(&self, caller: Signed) -> Result<Serial<Shown, User>, NativeError> {
        Ok(Serial::new(Shown(Arc::clone(caller.0.account()?))))
    }

    /// Change the own profile
    ///
    /// What is left out stays. 422 for a name that cannot be.
    #[oai(path = "/user", method = "patch", operation_id = "profile_update")]
    async fn profile_update(
        &self,
        caller: Signed,
        body: Strict<ProfileChange>,
    ) -> Result<Json<User>, NativeError> {
        let account = self.core.profile_update(&caller.0, body.0.display_name).await?;
        Ok(Json((&account).into()))
    }

    /// Change the own password
    ///
    /// All other sessions end; the one that asks goes on.
    #[oai(path = "/user/password", method = "post", operation_id = "profile_password_change")]
    async fn password_change(
        &self,
        caller: Signed,
        body: Strict<PasswordChange>,
    ) -> Result<Json<Message>, NativeError> {
        let current = body.0.current_password.map(Secret::new);
        let new = Secret::new(body.0.new_password);
        self.core.password_change(&caller.0, current, new, PasswordRule::NATIVE).await?;
        Ok(Message::new("the password is changed; other sessions have ended"))
    }

    /// Set or remove the own PIN
    ///
    /// Needs the current password; 422 for a wrong one. 403 for API keys.
    #[oai(path = "/user/pin", method = "post", operation_id = "profile_pin_set")]
    async fn pin_set(
        &self,
        caller: Signed,
        body: Strict<PinChange>,
    ) -> Result<Json<Message>, NativeError> {
        let Some(pin) = change(body.0.pin) else {
            return Err(NativeError::field(Some("pin"), "pin is required".to_owned()));
        };
        let (current, pin) = (body.0.current_password.map(Secret::new), pin.map(Secret::new));
        let message = if pin.is_some() { "the PIN is set" } else { "the PIN is removed" };
        self.core.pin_set(&caller.0, current, pin).await?;
        Ok(Message::new(message))
    }

    /// Ask for another address
    ///
    /// It counts once the letter to it is answered.
    #[oai(path = "/user/email", method = "post", operation_id = "profile_email_change")]
    async fn email_change(
        &self,
        caller: Signed,
        body: Strict<EmailChange>,
    ) -> Result<Json<Message>, NativeError> {
        let current = body.0.current_password.map(Secret::new);
        self.core.email_change(&caller.0, current, &body.0.email).await?;
        Ok(Message::new("follow the link in the letter to the new address"))
    }

    /// Where I am signed in
    ///
    /// In every dialect, the last used first.
    #[oai(path = "/user/sessions", method = "get", operation_id = "profile_sessions_list")]
    async fn sessions_list(&self, caller: Signed) -> Result<Json<Sessions>, NativeError> {
        let sessions = self.core.sessions_list(&caller.0).await?.into_iter();
        let current = caller.0.session();
        Ok(Json(Sessions { data: sessions.map(|found| Session::of(found, current)).collect() }))
    }

    /// Sign out everywhere else
    ///
    /// Ends all sessions of the account but the one that asks, in every dialect. 403 for API keys.
    #[oai(path = "/user/sessions", method = "delete", operation_id = "profile_sessions_close")]
    async fn sessions_close(&self, caller: Signed) -> Result<Done, NativeError> {
        self.core.sessions_close_others(&caller.0).await?;
        Ok(Done::Done)
    }

    /// Sign out one session
    ///
    /// Its tokens end at the next request. 404 if it is not one of the own. 403 for API keys.
    #[oai(path = "/user/sessions/:id", method = "delete", operation_id = "profile_session_close")]
    async fn session_close(&self, caller: Signed, id: Path<Uuid>) -> Result<Done, NativeError> {
        self.core.session_close(&caller.0, id.0.into()).await?;
        Ok(Done::Done)
    }

    /// The linked accounts
    ///
    /// Accounts at providers elsewhere by which the account can sign in here.
    #[oai(path = "/user/identities", method = "get", operation_id = "profile_identities_list")]
    async fn identities_list(&self, caller: Signed) -> Result<Json<Identities>, NativeError> {
        let identities = self.core.identities_list(&caller.0).await?.into_iter();
        Ok(Json(Identities { data: identities.map(Identity::from).collect() }))
    }

    /// Link an account elsewhere
    ///
    /// Only with the cookie of the pages: the browser that asks has to come back from the provider
    /// with the same session. Accounts made by Google cannot be linked, nor can Google be.
    #[oai(path = "/user/identities", method = "post", operation_id = "profile_identity_link")]
    async fn identity_link(
        &self,
        caller: Signed,
        visitor: Visitor,
        body: Strict<IdentityRequest>,
    ) -> Result<Departed, NativeError> {
        let IdentityRequest { provider, current_password, to } = body.0;
        let current = current_password.map(Secret::new);
        let departure = self.core.identity_link(&caller.0, &provider, current, to).await?;
        sso::put_ticket(&visitor.0, &departure);
        Ok(Departed::Departed(Json(IdentityAnswer { location: departure.location })))
    }

    /// Unlink an account
    ///
    /// Not the last way to sign in.
    #[oai(
        path = "/user/identities/:id",
        method = "delete",
        operation_id = "profile_identity_unlink"
    )]
    async fn identity_unlink(&self, caller: Signed, id: Path<Uuid>) -> Result<Done, NativeError> {
        self.core.identity_unlink(&caller.0, id.0.to_string()).await?;
        Ok(Done::Done)
    }
}
