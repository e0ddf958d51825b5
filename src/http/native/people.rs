//! Other people's accounts.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    types::MaybeUndefined,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Tag,
    ask::{Moment, Signed, Strict},
    error::NativeError,
    profile::{Session, Sessions},
    shapes::{Created, Done, Message, Paged, SettableStatus, User, UserStatus, change, with_query},
};
use crate::domain::{
    Core,
    accounts::{self, AccountFilter},
    page::Page,
    people::{UserChange, UserDraft},
    secret::Secret,
};

pub struct UsersApi {
    pub core: Core,
}

/// An account to make; it counts as verified.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserRequest {
    username: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
    /// Left out: they cannot sign in by password until they have a reset link.
    #[serde(default)]
    #[oai(write_only)]
    password: Option<String>,
    /// `reader`, if left out; nothing that exceeds your own rights.
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    status: Option<SettableStatus>,
}

/// A change to an account; what is left out stays.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEdit {
    #[serde(default)]
    username: Option<String>,
    /// `null` takes the address away. Your own is changed at `/user/email`.
    #[serde(default)]
    email: MaybeUndefined<String>,
    #[serde(default)]
    display_name: Option<String>,
    /// Resets the password; not your own.
    #[serde(default)]
    #[oai(write_only)]
    password: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    status: Option<SettableStatus>,
}

/// A PIN, or `null` to have none.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinEdit {
    /// Four to twelve digits.
    #[serde(default)]
    #[oai(write_only)]
    pin: MaybeUndefined<String>,
}

/// A link to hand over.
#[derive(Object)]
struct ResetLink {
    /// A path only, while `server.public_url` is not set.
    link: String,
    expires_at: Moment,
}

fn list_path(filter: &AccountFilter) -> String {
    let pairs = [
        ("q", Some(filter.q.as_str()).filter(|q| !q.is_empty())),
        ("role", filter.role.as_deref()),
        ("status", filter.status.map(accounts::Status::name)),
    ];
    with_query("/api/v1/users", pairs)
}

impl UsersApi {
    async fn edit(
        &self,
        caller: Signed,
        id: Uuid,
        edit: UserEdit,
    ) -> Result<Json<User>, NativeError> {
        let wanted = UserChange {
            username: edit.username,
            email: change(edit.email),
            display_name: edit.display_name,
            password: edit.password.map(Secret::new),
            role: edit.role,
            status: edit.status.map(Into::into),
        };
        let account = self.core.user_update(&caller.0, id.into(), wanted).await?;
        Ok(Json((&account).into()))
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Users")]
impl UsersApi {
    /// List accounts
    ///
    /// By name. Needs `users-read`.
    #[oai(path = "/users", method = "get", operation_id = "users_list")]
    async fn list(
        &self,
        caller: Signed,
        /// Part of a name, e-mail or display name.
        q: Query<Option<String>>,
        /// Only with this role.
        role: Query<Option<String>>,
        /// Only with this status.
        status: Query<Option<UserStatus>>,
        /// From 1.
        page: Query<Option<u32>>,
        /// 1 to 200.
        page_size: Query<Option<u32>>,
    ) -> Result<Paged<User>, NativeError> {
        let page = Page::new(page.0, page_size.0)?;
        let filter = AccountFilter {
            q: q.0.unwrap_or_default(),
            role: role.0,
            status: status.0.map(accounts::Status::from),
        };
        let path = list_path(&filter);
        let found = self.core.users_list(&caller.0, filter, page).await?;
        Ok(Paged::of(&path, page, found, |account| (&account).into()))
    }

    /// Make an account
    ///
    /// Needs `users-write`.
    #[oai(path = "/users", method = "post", operation_id = "user_create")]
    async fn create(
        &self,
        caller: Signed,
        body: Strict<UserRequest>,
    ) -> Result<Created<User>, NativeError> {
        let draft = UserDraft {
            username: body.0.username,
            email: body.0.email,
            display_name: body.0.display_name,
            password: body.0.password.map(Secret::new),
            pin: None,
            role: body.0.role,
            status: body.0.status.map(Into::into),
        };
        let account = self.core.user_create(&caller.0, draft).await?;
        Ok(Created::Created(Json((&account).into())))
    }

    /// Show an account
    ///
    /// Needs `users-read`, but for one's own.
    #[oai(path = "/users/:id", method = "get", operation_id = "user_get")]
    async fn get(&self, caller: Signed, id: Path<Uuid>) -> Result<Json<User>, NativeError> {
        Ok(Json((&self.core.user_get(&caller.0, id.0.into()).await?).into()))
    }

    /// Change an account
    ///
    /// What is left out stays, as with PATCH. Needs `users-write`. A new password, role or status
    /// ends all of the account's sessions.
    #[oai(path = "/users/:id", method = "put", operation_id = "user_replace")]
    async fn replace(
        &self,
        caller: Signed,
        id: Path<Uuid>,
        body: Strict<UserEdit>,
    ) -> Result<Json<User>, NativeError> {
        self.edit(caller, id.0, body.0).await
    }

    /// Change an account
    ///
    /// Needs `users-write`. A new password, role or status ends all of the account's sessions.
    #[oai(path = "/users/:id", method = "patch", operation_id = "user_update")]
    async fn update(
        &self,
        caller: Signed,
        id: Path<Uuid>,
        body: Strict<UserEdit>,
    ) -> Result<Json<User>, NativeError> {
        self.edit(caller, id.0, body.0).await
    }

    /// Delete an account
    ///
    /// With all that is its own. Needs `users-delete`.
    #[oai(path = "/users/:id", method = "delete", operation_id = "user_delete")]
    async fn delete(&self, caller: Signed, id: Path<Uuid>) -> Result<Done, NativeError> {
        self.core.user_delete(&caller.0, id.0.into()).await?;
        Ok(Done::Done)
    }

    /// Where somebody is signed in
    ///
    /// Needs `users-read`.
    #[oai(path = "/users/:id/sessions", method = "get", operation_id = "user_sessions_list")]
    async fn sessions(
        &self,
        caller: Signed,
        id: Path<Uuid>,
    ) -> Result<Json<Sessions>, NativeError> {
        let found = self.core.user_sessions_list(&caller.0, id.0.into()).await?.into_iter();
        let current = caller.0.session();
        Ok(Json(Sessions { data: found.map(|session| Session::of(session, current)).collect() }))
    }

    /// Sign somebody out everywhere
    ///
    /// Needs `users-write`.
    #[oai(path = "/users/:id/sessions", method = "delete", operation_id = "user_sessions_close")]
    async fn sessions_close(&self, caller: Signed, id: Path<Uuid>) -> Result<Done, NativeError> {
        self.core.user_sessions_close(&caller.0, id.0.into(), None).await?;
        Ok(Done::Done)
    }

    /// Sign somebody out of one session
    ///
    /// Needs `users-write`.
    #[oai(
        path = "/users/:id/sessions/:session",
        method = "delete",
        operation_id = "user_session_close"
    )]
    async fn session_close(
        &self,
        caller: Signed,
        id: Path<Uuid>,
        session: Path<Uuid>,
    ) -> Result<Done, NativeError> {
        let session = Some(session.0.into());
        self.core.user_sessions_close(&caller.0, id.0.into(), session).await?;
        Ok(Done::Done)
    }

    /// Set or remove somebody's PIN
    ///
    /// Not your own. Needs `users-write`.
    #[oai(path = "/users/:id/pin", method = "post", operation_id = "user_pin_set")]
    async fn pin_set(
        &self,
        caller: Signed,
        id: Path<Uuid>,
        body: Strict<PinEdit>,
    ) -> Result<Json<Message>, NativeError> {
        let Some(pin) = change(body.0.pin) else {
            return Err(NativeError::field(Some("pin"), "pin is required".to_owned()));
        };
        let message = if pin.is_some() { "the PIN is set" } else { "the PIN is removed" };
        self.core.user_pin_set(&caller.0, id.0.into(), pin.map(Secret::new)).await?;
        Ok(Message::new(message))
    }

    /// Make a link by which somebody chooses a new password
    ///
    /// To hand over; good for a day and one use; not for yourself. Needs `users-write`.
    #[oai(path = "/users/:id/reset-link", method = "post", operation_id = "user_reset_link")]
    async fn reset_link(
        &self,
        caller: Signed,
        id: Path<Uuid>,
    ) -> Result<Created<ResetLink>, NativeError> {
        let (link, end) = self.core.user_reset_link(&caller.0, id.0.into()).await?;
        Ok(Created::Created(Json(ResetLink { link, expires_at: Moment(end) })))
    }
}
