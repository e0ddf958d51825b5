//! Signing up, and what one has here.

use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{DIALECT, Tag, ask::Signed, error::SignupError};
use crate::{
    domain::{
        Core, accounts::Account, events::WrittenEvent, passwords::PasswordRule, secret::Secret,
        sessions::Session, sign_up::Registration,
    },
    http::{lenient::JsonOnly, serial::Serial, visitor::Visitor},
};

pub struct SignupApi {
    pub core: Core,
}

/// Somebody who wants an account. All four fields are required.
#[derive(Object, Deserialize)]
struct SignupRequest {
    /// The name for people to read.
    #[serde(default)]
    name: Option<String>,
    /// The user name too.
    #[serde(default)]
    email: Option<String>,
    /// Six characters or more.
    #[serde(default)]
    #[oai(write_only)]
    password: Option<String>,
    /// The same again.
    #[serde(default)]
    #[oai(write_only)]
    confirm_password: Option<String>,
    /// What the server printed at its start; only the first account may need it.
    #[serde(default)]
    #[oai(write_only)]
    setup_token: Option<String>,
}

/// A new account.
#[derive(Object)]
#[oai(rename_all = "camelCase")]
struct SignupAnswer {
    message: String,
    user_id: Uuid,
}

/// Made.
#[derive(ApiResponse)]
enum SignedUp {
    /// The account is made; it may have to confirm its address first.
    #[oai(status = 201)]
    Created(Json<SignupAnswer>),
}

/// Who one is.
#[derive(Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Profile {
    user_id: Uuid,
    name: String,
    #[oai(nullable)]
    email: Option<String>,
    /// In capitals.
    role: String,
}

impl From<&Account> for Profile {
    fn from(account: &Account) -> Self {
        Self {
            user_id: account.id.uuid(),
            name: account.display_name.clone(),
            email: account.email.clone(),
            role: account.role.to_uppercase(),
        }
    }
}

/// A place where one is signed in.
#[derive(Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Place {
    id: Uuid,
    dialect: String,
    address: String,
    /// RFC 3339.
    last_seen_at: String,
}

impl From<&Session> for Place {
    fn from(session: &Session) -> Self {
        Self {
            id: session.id.uuid(),
            dialect: session.dialect.clone(),
            address: session.address.clone(),
            last_seen_at: session.last_seen_at.text(),
        }
    }
}

/// A sign-in.
#[derive(Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct SignInEntry {
    /// RFC 3339.
    at: String,
    dialect: String,
    address: String,
}

impl From<&WrittenEvent> for SignInEntry {
    fn from(event: &WrittenEvent) -> Self {
        Self { at: event.at.text(), dialect: event.dialect.clone(), address: event.address.clone() }
    }
}

/// The summary of one's own account.
#[derive(Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Dashboard {
    message: String,
    user: Profile,
    sessions: Vec<Place>,
    /// How many API keys one has.
    api_keys: u64,
    last_sign_ins: Vec<SignInEntry>,
}

/// The fields, once they are all there and not empty.
fn complete(request: SignupRequest) -> Option<(String, String, String, String)> {
    let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    Some((
        filled(request.name)?,
        filled(request.email)?,
        filled(request.password)?,
        filled(request.confirm_password)?,
    ))
}

#[OpenApi]
impl SignupApi {
    /// Sign up
    ///
    /// In this order: 403 `Registration is closed`, then 400 `All fields are required`,
    /// `Passwords do not match`, `Password must be at least 6 characters long`,
    /// `Email already registered`.
    #[oai(path = "/auth/signup", method = "post", operation_id = "signup", tag = "Tag::Auth")]
    async fn signup(
        &self,
        visitor: Visitor,
        body: JsonOnly<SignupRequest>,
    ) -> Result<SignedUp, SignupError> {
        let mut origin = visitor.origin(DIALECT);
        let mut request = body.0;
        origin.setup_token = request.setup_token.take().map(Secret::new).or(origin.setup_token);
        self.core.may_register(&origin).await?;
        let Some((name, email, password, again)) = complete(request) else {
            return Err(SignupError::bad("All fields are required"));
        };
        if password != again {
            return Err(SignupError::bad("Passwords do not match"));
        }
        let registered = self
            .core
            .register(Registration {
                username: email.clone(),
                email: Some(email),
                display_name: Some(name),
                password: Secret::new(password),
                invitation: None,
                rule: PasswordRule::SIGNUP,
                role: Some(self.core.settings().signup_role.clone()),
                carrier: None,
                only_first: false,
                origin,
            })
            .await?;
        Ok(SignedUp::Created(Json(SignupAnswer {
            message: "Signup successful".to_owned(),
            user_id: registered.account.id.uuid(),
        })))
    }

    /// The summary of one's own account
    ///
    /// Who the caller is, where the account is signed in, how many API keys it has, its last
    /// sign-ins. 401 `No token provided`, `Invalid token format`, or `Unauthorized` with what is
    /// wrong in `error`.
    #[oai(path = "/dashboard", method = "get", operation_id = "dashboard", tag = "Tag::Dashboard")]
    async fn dashboard(&self, caller: Signed) -> Result<Serial<Dashboard>, SignupError> {
        let found = self.core.overview(&caller.0).await?;
        Ok(Serial::new(Dashboard {
            message: "Dashboard fetched successfully".to_owned(),
            user: (&**caller.0.account()?).into(),
            sessions: found.sessions.iter().map(Place::from).collect(),
            api_keys: found.api_keys,
            last_sign_ins: found.last_sign_ins.iter().map(SignInEntry::from).collect(),
        }))
    }
}
