//! One's own account: making it, reading it, its password.

use poem_openapi::{ApiResponse, Enum, Object, OpenApi, param::Query, payload::Json};
use serde::Deserialize;

use super::{DIALECT, Tag, ask::Signed, error::GpodderError};
use crate::{
    domain::{
        Core,
        accounts::Account,
        passwords::PasswordRule,
        permissions::ADMIN,
        secret::Secret,
        sign_up::{Registered, Registration},
    },
    http::{lenient::Lenient, visitor::Visitor},
};

pub struct AccountApi {
    pub core: Core,
}

/// Somebody who wants an account.
#[derive(Object, Deserialize)]
#[oai(rename = "GpodderRegistration")]
struct RegisterRequest {
    /// Up to 64 letters, digits, dots, underscores and hyphens.
    username: String,
    /// Eight characters or more.
    #[oai(write_only)]
    password: String,
    /// Needed when accounts are activated by letter.
    #[serde(default)]
    email: Option<String>,
    /// The token of an invitation's link.
    #[serde(default)]
    #[oai(write_only)]
    invitation: Option<String>,
    /// What the server printed at its start; only the first account may need it.
    #[serde(default)]
    #[oai(write_only)]
    setup_token: Option<String>,
}

/// Where a registration stands.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
enum Standing {
    Active,
    PendingActivation,
}

/// What came of a registration.
#[derive(Object)]
struct RegisterAnswer {
    status: Standing,
    /// Of an active account only.
    #[oai(skip_serializing_if_is_none)]
    is_admin: Option<bool>,
    /// Of a pending account only: what to do next.
    #[oai(skip_serializing_if_is_none)]
    message: Option<String>,
}

/// Who I am.
#[derive(Object)]
#[oai(rename = "GpodderMe")]
struct Me {
    username: String,
    #[oai(nullable)]
    email: Option<String>,
    is_admin: bool,
    is_active: bool,
}

/// The password that one has and the one to have from now on.
#[derive(Object, Deserialize)]
#[oai(rename = "GpodderPassword")]
struct PasswordRequest {
    /// May be left out only by an account that has none.
    #[serde(default)]
    #[oai(write_only)]
    old_password: Option<String>,
    #[oai(write_only)]
    new_password: String,
}

/// An address.
#[derive(Object, Deserialize)]
#[oai(rename = "GpodderAddress")]
struct EmailRequest {
    email: String,
}

/// The token of a letter's link and the password to have from now on.
#[derive(Object, Deserialize)]
#[oai(rename = "GpodderReset")]
struct ResetRequest {
    #[oai(write_only)]
    token: String,
    #[oai(write_only)]
    new_password: String,
}

/// What happened, in words.
#[derive(Object)]
#[oai(rename = "GpodderMessage")]
struct Message {
    message: String,
}

impl Message {
    fn new(text: &str) -> Json<Self> {
        Json(Self { message: text.to_owned() })
    }
}

/// The way to the page behind a link.
#[derive(ApiResponse)]
enum ToPage {
    /// The page posts the token: following a link changes nothing.
    #[oai(status = 302)]
    Found(
        /// The page.
        #[oai(header = "Location")]
        String,
    ),
}

fn is_admin(account: &Account) -> bool {
    account.role == ADMIN
}

#[OpenApi(prefix_path = "/api/2", tag = "Tag::Account")]
impl AccountApi {
    /// Register
    ///
    /// As the registration mode allows: `open` makes an active account, `invite` one that waits
    /// until its mailed link is followed, `closed` none. While there is no account at all, the
    /// first becomes admin in any mode.
    #[oai(path = "/register", method = "post", operation_id = "register")]
    async fn register(
        &self,
        visitor: Visitor,
        body: Lenient<RegisterRequest>,
    ) -> Result<Json<RegisterAnswer>, GpodderError> {
        let mut origin = visitor.origin(DIALECT);
        origin.setup_token = body.0.setup_token.map(Secret::new).or(origin.setup_token);
        let registration = Registration {
            username: body.0.username,
            email: body.0.email.filter(|email| !email.is_empty()),
            display_name: None,
            password: Secret::new(body.0.password),
            invitation: body.0.invitation.map(Secret::new),
            rule: PasswordRule::GPODDER,
            role: None,
            carrier: None,
            only_first: false,
            origin,
        };
        Ok(Json(registered(self.core.register(registration).await?)))
    }

    /// Follow an activation link
    ///
    /// Leads to the page that activates the account; by itself it changes nothing.
    #[oai(path = "/activate", method = "get", operation_id = "activate")]
    async fn activate(
        &self,
        /// The token of the letter.
        token: Query<String>,
    ) -> Result<ToPage, GpodderError> {
        let token = token.0.bytes().filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        let token: String = token.take(64).map(char::from).collect();
        Ok(ToPage::Found(format!("/activate?token={token}")))
    }

    /// Who I am
    ///
    /// The account of the cookie or of Basic. 401 with a challenge for strangers.
    #[oai(path = "/me", method = "get", operation_id = "me")]
    async fn me(&self, caller: Signed) -> Result<Json<Me>, GpodderError> {
        let account = caller.0.account()?;
        Ok(Json(Me {
            username: account.username.clone(),
            email: account.email.clone(),
            is_admin: is_admin(account),
            is_active: account.is_active(),
        }))
    }

    /// Change my password
    ///
    /// All sessions end but the one that asks. 403 for a wrong old password.
    #[oai(path = "/me/password", method = "post", operation_id = "me_password")]
    async fn password(
        &self,
        caller: Signed,
        visitor: Visitor,
        body: Lenient<PasswordRequest>,
    ) -> Result<Json<Message>, GpodderError> {
        let (old, new) = (body.0.old_password.map(Secret::new), Secret::new(body.0.new_password));
        self.core.password_change(&caller.0, old, new, PasswordRule::GPODDER).await?;
        if caller.0.is_by_password() {
            // The session of the old password has just ended with all others.
            visitor.0.withdraw_cookies();
        }
        Ok(Message::new("the password is changed"))
    }

    /// Ask for a reset link
    ///
    /// Always 200, whether there is such an account or not, in the same time.
    #[oai(path = "/password-reset", method = "post", operation_id = "password_reset")]
    async fn password_reset(
        &self,
        visitor: Visitor,
        body: Lenient<EmailRequest>,
    ) -> Result<Json<Message>, GpodderError> {
        self.core.password_forgotten(body.0.email, &visitor.origin(DIALECT));
        Ok(Message::new("if an account has this address, a letter is on its way"))
    }

    /// Choose a new password by a reset link
    ///
    /// The link works once. All sessions of the account end.
    #[oai(
        path = "/password-reset/confirm",
        method = "post",
        operation_id = "password_reset_confirm"
    )]
    async fn password_reset_confirm(
        &self,
        visitor: Visitor,
        body: Lenient<ResetRequest>,
    ) -> Result<Json<Message>, GpodderError> {
        let (token, new) = (Secret::new(body.0.token), Secret::new(body.0.new_password));
        let origin = visitor.origin(DIALECT);
        self.core.password_reset(&token, new, PasswordRule::GPODDER, &origin).await?;
        Ok(Message::new("the password is changed; sign in with it"))
    }
}

fn registered(registered: Registered) -> RegisterAnswer {
    if registered.account.is_active() {
        let is_admin = Some(is_admin(&registered.account));
        return RegisterAnswer { status: Standing::Active, is_admin, message: None };
    }
    RegisterAnswer {
        status: Standing::PendingActivation,
        is_admin: None,
        message: Some("Check your email to activate your account".to_owned()),
    }
}
