//! Coming in and going out.

use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};
use serde::Deserialize;

use super::{
    Tag,
    ask::{DIALECT, Moment, Signed, Strict},
    error::NativeError,
    shapes::{Created, Message, Tokens, User, UserOnly},
};
use crate::{
    domain::{
        Core,
        carriers::Carrier,
        error::{Error, Field, Reason},
        passwords::PasswordRule,
        secret::Secret,
        sign_in::{Proof, SignIn, SignedIn},
        sign_up::{Registered, Registration},
    },
    http::{
        client::{cookie_line, pages_cookie},
        visitor::Visitor,
    },
};

pub struct AuthApi {
    pub core: Core,
}

/// A name or e-mail and its password.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginRequest {
    /// Name or e-mail.
    username: String,
    #[oai(write_only)]
    password: String,
}

/// A name with its password or its PIN: exactly one of the two.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionRequest {
    /// Name or e-mail.
    username: String,
    #[serde(default)]
    #[oai(write_only)]
    password: Option<String>,
    /// Four to twelve digits; good only inside the house.
    #[serde(default)]
    #[oai(write_only)]
    pin: Option<String>,
}

/// A token from an earlier answer.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    #[oai(write_only)]
    refresh_token: String,
}

/// Somebody who wants an account.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterRequest {
    /// Up to 64 letters, digits, dots, underscores and hyphens; or the e-mail itself.
    username: String,
    email: String,
    /// Eight characters or more, not among the most common.
    #[oai(write_only)]
    password: String,
    /// The token of an invitation's link.
    #[serde(default)]
    #[oai(write_only)]
    invitation: Option<String>,
    /// What the server printed at its start; only the first account may need it.
    #[serde(default)]
    #[oai(write_only)]
    setup_token: Option<String>,
}

/// The token of a mailed link.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    #[oai(write_only)]
    token: String,
    /// The account's own, to show that whoever follows the link made the account.
    #[serde(default)]
    #[oai(write_only)]
    password: Option<String>,
}

/// An address.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmailRequest {
    email: String,
}

/// The token of a reset link and the password to have from now on.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetRequest {
    #[oai(write_only)]
    token: String,
    #[oai(write_only)]
    new_password: String,
}

/// What came of a registration; a pending account carries nothing yet.
#[derive(Object)]
struct RegisterAnswer {
    user: User,
    message: String,
    #[oai(skip_serializing_if_is_none)]
    token: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    expires_at: Option<Moment>,
}

/// A sign-in of the pages.
#[derive(ApiResponse)]
enum SessionAnswer {
    /// Signed in; the cookie carries the session.
    #[oai(status = 200)]
    SignedIn(
        Json<UserOnly>,
        /// `__Host-session` on https, `session` on http.
        #[oai(header = "Set-Cookie")]
        String,
    ),
}

/// A sign-out of the pages.
#[derive(ApiResponse)]
enum SignedOutAnswer {
    /// Signed out; the cookie expires.
    #[oai(status = 200)]
    SignedOut(
        Json<Message>,
        /// Takes the cookie away.
        #[oai(header = "Set-Cookie")]
        String,
    ),
}

fn set_cookie(secure: bool, value: &str, max_age: i64) -> String {
    cookie_line(secure, pages_cookie(secure), value, max_age)
}

fn broken(what: &'static str) -> NativeError {
    Error::Internal(what.into()).into()
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Auth")]
impl AuthApi {
    /// Sign in with name and password
    ///
    /// Gives an access token for `Authorization: Bearer` and a refresh token. Wrong names, wrong
    /// passwords and accounts that may not sign in read the same. After five failed tries an
    /// address waits.
    #[oai(path = "/auth/login", method = "post", operation_id = "auth_login")]
    async fn login(
        &self,
        visitor: Visitor,
        body: Strict<LoginRequest>,
    ) -> Result<Json<Tokens>, NativeError> {
        let knock = SignIn {
            who: body.0.username,
            proof: Proof::Password(Secret::new(body.0.password)),
            carrier: Carrier::NativeTokens,
            origin: visitor.origin(DIALECT),
        };
        let SignedIn { account, carried } = self.core.sign_in(knock).await?;
        Tokens::of(&account, &carried).map(Json).ok_or_else(|| broken("a sign-in without tokens"))
    }

    /// Sign in a browser
    ///
    /// The same with a session cookie, by password or, inside the house, by PIN.
    #[oai(path = "/auth/session", method = "post", operation_id = "auth_session_create")]
    async fn session_create(
        &self,
        visitor: Visitor,
        body: Strict<SessionRequest>,
    ) -> Result<SessionAnswer, NativeError> {
        let proof = match (body.0.password, body.0.pin) {
            (Some(password), None) => Proof::Password(Secret::new(password)),
            (None, Some(pin)) => Proof::Pin(Secret::new(pin)),
            (None, None) => return Err(Error::Invalid(Field::Password, Reason::Missing).into()),
            (Some(_), Some(_)) => {
                const RULE: &str = "cannot be sent beside a PIN";
                return Err(Error::Invalid(Field::Password, Reason::Form(RULE)).into());
            }
        };
        let (who, carrier) = (body.0.username, Carrier::PagesCookie);
        let knock = SignIn { who, proof, carrier, origin: visitor.origin(DIALECT) };
        let SignedIn { account, carried } = self.core.sign_in(knock).await?;
        let cookie = carried.cookie.ok_or_else(|| broken("a session without a cookie"))?;
        let max_age = cookie.expires_at.seconds() - self.core.now().seconds();
        let cookie = set_cookie(visitor.secure(), cookie.text.reveal(), max_age);
        Ok(SessionAnswer::SignedIn(Json(UserOnly { user: (&*account).into() }), cookie))
    }

    /// Sign out a browser
    ///
    /// Ends the session on the server and takes the cookie away.
    #[oai(path = "/auth/session", method = "delete", operation_id = "auth_session_delete")]
    async fn session_delete(
        &self,
        caller: Signed,
        visitor: Visitor,
    ) -> Result<SignedOutAnswer, NativeError> {
        self.core.sign_out(&caller.0).await?;
        let cookie = set_cookie(visitor.secure(), "", 0);
        Ok(SignedOutAnswer::SignedOut(Message::new("signed out"), cookie))
    }

    /// Exchange a refresh token
    ///
    /// Works once and gives a new pair. A refresh token that comes again later than ten seconds
    /// after its use ends the session with all its tokens.
    #[oai(path = "/auth/refresh", method = "post", operation_id = "auth_refresh")]
    async fn refresh(
        &self,
        visitor: Visitor,
        body: Strict<RefreshRequest>,
    ) -> Result<Json<Tokens>, NativeError> {
        let token = Secret::new(body.0.refresh_token);
        let carrier = Carrier::NativeTokens;
        let (account, carried) =
            self.core.session_refresh(carrier, &token, &visitor.origin(DIALECT)).await?;
        Tokens::of(&account, &carried).map(Json).ok_or_else(|| broken("a refresh without tokens"))
    }

    /// Sign out
    ///
    /// Ends the session of the token or cookie that asks, on the server and for good. With Basic
    /// or an API key there is no session to end.
    #[oai(path = "/auth/logout", method = "post", operation_id = "auth_logout")]
    async fn logout(&self, caller: Signed) -> Result<Json<Message>, NativeError> {
        self.core.sign_out(&caller.0).await?;
        Ok(Message::new("signed out"))
    }

    /// Register
    ///
    /// Makes an account, as far as the registration mode or an invitation allows. An account that
    /// has to confirm its address is pending and carries no token yet.
    #[oai(path = "/auth/register", method = "post", operation_id = "auth_register")]
    async fn register(
        &self,
        visitor: Visitor,
        body: Strict<RegisterRequest>,
    ) -> Result<Created<RegisterAnswer>, NativeError> {
        let mut origin = visitor.origin(DIALECT);
        origin.setup_token = body.0.setup_token.map(Secret::new).or(origin.setup_token);
        let registered = self
            .core
            .register(Registration {
                username: body.0.username,
                email: Some(body.0.email),
                display_name: None,
                password: Secret::new(body.0.password),
                invitation: body.0.invitation.map(Secret::new),
                rule: PasswordRule::NATIVE,
                role: None,
                carrier: Some(Carrier::NativeTokens),
                only_first: false,
                origin,
            })
            .await?;
        Ok(Created::Created(Json(registered_answer(registered))))
    }

    /// Follow a mailed link
    ///
    /// Verifies an address or activates a pending account. Does not sign in.
    ///
    /// A page that people follow links to should ask for the account's password, and send it
    /// along, unless the browser is signed in to that account already: otherwise somebody who
    /// registered the address of another gets it confirmed by its owner. A wrong password is 422,
    /// counts as a failed sign-in, and leaves the link good.
    #[oai(path = "/auth/verify-email", method = "post", operation_id = "auth_verify_email")]
    async fn verify_email(
        &self,
        visitor: Visitor,
        body: Strict<TokenRequest>,
    ) -> Result<Json<Message>, NativeError> {
        let (token, password) = (Secret::new(body.0.token), body.0.password.map(Secret::new));
        self.core.email_verify(&token, password, &visitor.origin(DIALECT)).await?;
        Ok(Message::new("the address is verified; you can sign in"))
    }

    /// Send the verification letter again
    ///
    /// Always 200, whether there is such an account or not, in the same time.
    #[oai(
        path = "/auth/resend-verification",
        method = "post",
        operation_id = "auth_resend_verification"
    )]
    async fn resend_verification(
        &self,
        visitor: Visitor,
        body: Strict<EmailRequest>,
    ) -> Result<Json<Message>, NativeError> {
        self.core.verification_resend(body.0.email, &visitor.origin(DIALECT));
        Ok(Message::new("if an account waits for this address, a letter is on its way"))
    }

    /// Ask for a reset link
    ///
    /// Always 200, whether there is such an account or not, in the same time.
    #[oai(path = "/auth/forgot-password", method = "post", operation_id = "auth_forgot_password")]
    async fn forgot_password(
        &self,
        visitor: Visitor,
        body: Strict<EmailRequest>,
    ) -> Result<Json<Message>, NativeError> {
        self.core.password_forgotten(body.0.email, &visitor.origin(DIALECT));
        Ok(Message::new("if an account has this address, a letter is on its way"))
    }

    /// Choose a new password by a reset link
    ///
    /// The link works once. All sessions of the account end.
    #[oai(path = "/auth/reset-password", method = "post", operation_id = "auth_reset_password")]
    async fn reset_password(
        &self,
        visitor: Visitor,
        body: Strict<ResetRequest>,
    ) -> Result<Json<Message>, NativeError> {
        let (token, new) = (Secret::new(body.0.token), Secret::new(body.0.new_password));
        let rule = PasswordRule::NATIVE;
        self.core.password_reset(&token, new, rule, &visitor.origin(DIALECT)).await?;
        Ok(Message::new("the password is changed; sign in with it"))
    }
}

fn registered_answer(registered: Registered) -> RegisterAnswer {
    let access = registered.carried.and_then(|carried| carried.access);
    let message = match access {
        Some(_) => "welcome",
        None => "follow the link in the letter to activate the account",
    };
    RegisterAnswer {
        user: (&registered.account).into(),
        message: message.to_owned(),
        expires_at: access.as_ref().map(|issued| Moment(issued.expires_at)),
        token: access.map(|issued| issued.text.reveal().to_owned()),
    }
}
