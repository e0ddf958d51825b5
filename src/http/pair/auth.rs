//! Coming in and going out. JSON is compact, since shell clients grep `"access_token":"`.

use poem_openapi::{Object, OpenApi, payload::Json};
use serde::Deserialize;

use super::{DIALECT, Tag, ask::Signed, error::PairError};
use crate::{
    domain::{
        Core,
        carriers::Carrier,
        error::{Error, Why},
        passwords::PasswordRule,
        secret::Secret,
        sessions::Carried,
        sign_in::{Proof, SignIn},
    },
    http::{lenient::Lenient, visitor::Visitor},
};

pub struct AuthApi {
    pub core: Core,
}

/// A name and its password.
#[derive(Object, Deserialize)]
struct LoginRequest {
    /// Name or e-mail.
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    #[oai(write_only)]
    password: Option<String>,
}

/// A refresh token.
#[derive(Object, Deserialize)]
struct RefreshRequest {
    #[serde(default)]
    #[oai(write_only)]
    refresh_token: Option<String>,
}

/// The present password and the one to have from now on.
#[derive(Object, Deserialize)]
struct PasswordRequest {
    #[serde(default)]
    #[oai(write_only)]
    current_password: Option<String>,
    /// Eight characters or more, with a digit and a special character.
    #[serde(default)]
    #[oai(write_only)]
    new_password: Option<String>,
}

/// Two tokens.
#[derive(Object)]
struct PairAnswer {
    /// Always `success`.
    status: String,
    access_token: String,
    refresh_token: String,
    /// Always `Bearer`.
    token_type: String,
}

/// Done.
#[derive(Object)]
struct DoneAnswer {
    /// Always `success`.
    status: String,
    message: String,
}

/// A ticket for one websocket.
#[derive(Object)]
struct TicketAnswer {
    /// Always `success`.
    status: String,
    token: String,
}

fn success() -> String {
    "success".to_owned()
}

fn done(message: &str) -> Json<DoneAnswer> {
    Json(DoneAnswer { status: success(), message: message.to_owned() })
}

fn pair(carried: &Carried) -> Result<Json<PairAnswer>, PairError> {
    let (Some(access), Some(refresh)) = (&carried.access, &carried.refresh) else {
        return Err(Error::Internal("a sign-in without its tokens".into()).into());
    };
    Ok(Json(PairAnswer {
        status: success(),
        access_token: access.text.reveal().to_owned(),
        refresh_token: refresh.text.reveal().to_owned(),
        token_type: "Bearer".to_owned(),
    }))
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[OpenApi]
impl AuthApi {
    /// Sign in
    ///
    /// 400 `username and password required`, 401 `incorrect username or password`, 429 with
    /// `Retry-After` after five failed tries.
    #[oai(
        path = "/api/auth/login",
        method = "post",
        operation_id = "auth_login",
        tag = "Tag::Auth"
    )]
    async fn login(
        &self,
        visitor: Visitor,
        body: Lenient<LoginRequest>,
    ) -> Result<Json<PairAnswer>, PairError> {
        let (Some(who), Some(password)) = (filled(body.0.username), filled(body.0.password)) else {
            return Err(PairError::bad("username and password required"));
        };
        let proof = Proof::Password(Secret::new(password));
        let (carrier, origin) = (Carrier::PairTokens, visitor.origin(DIALECT));
        let signed = self.core.sign_in(SignIn { who, proof, carrier, origin }).await;
        match signed {
            Ok(signed) => pair(&signed.carried),
            Err(Error::Unauthenticated(_)) => {
                Err(PairError::unauthorized("incorrect username or password"))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Exchange the refresh token
    ///
    /// It works once. 400 `refresh_token required`, 401 `invalid or expired refresh token` or
    /// `refresh token already used`.
    #[oai(
        path = "/api/auth/refresh",
        method = "post",
        operation_id = "auth_refresh",
        tag = "Tag::Auth"
    )]
    async fn refresh(
        &self,
        visitor: Visitor,
        body: Lenient<RefreshRequest>,
    ) -> Result<Json<PairAnswer>, PairError> {
        let Some(token) = filled(body.0.refresh_token) else {
            return Err(PairError::bad("refresh_token required"));
        };
        let (token, origin) = (Secret::new(token), visitor.origin(DIALECT));
        match self.core.session_refresh(Carrier::PairTokens, &token, &origin).await {
            Ok((_, carried)) => pair(&carried),
            Err(Error::Unauthenticated(Why::RefreshReused)) => {
                Err(PairError::unauthorized("refresh token already used"))
            }
            Err(Error::Unauthenticated(_)) => {
                Err(PairError::unauthorized("invalid or expired refresh token"))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Sign out
    ///
    /// Ends the session of the token for good; with Basic there is nothing to end.
    #[oai(path = "/api/logout", method = "post", operation_id = "logout", tag = "Tag::Auth")]
    async fn logout(&self, caller: Signed) -> Result<Json<DoneAnswer>, PairError> {
        self.core.sign_out(&caller.0).await?;
        Ok(done("Logged out successfully"))
    }

    /// Change the own password
    ///
    /// True in every dialect at once. 400 `current password is incorrect`, `new password must be
    /// at least 8 characters`, `password must contain at least one number and one special
    /// character`.
    #[oai(
        path = "/api/change-password",
        method = "post",
        operation_id = "change_password",
        tag = "Tag::Auth"
    )]
    async fn change_password(
        &self,
        caller: Signed,
        body: Lenient<PasswordRequest>,
    ) -> Result<Json<DoneAnswer>, PairError> {
        let current = body.0.current_password.map(Secret::new);
        let new = Secret::new(body.0.new_password.unwrap_or_default());
        self.core.password_change(&caller.0, current, new, PasswordRule::PAIR).await?;
        Ok(done("Password changed successfully"))
    }

    /// A ticket for the log stream
    ///
    /// Good for one connection within two minutes. Needs `events-read`.
    #[oai(path = "/api/ws-token", method = "get", operation_id = "ws_token", tag = "Tag::Logs")]
    async fn ws_token(&self, caller: Signed) -> Result<Json<TicketAnswer>, PairError> {
        let token = self.core.ticket_issue(&caller.0)?;
        Ok(Json(TicketAnswer { status: success(), token: token.reveal().to_owned() }))
    }
}
