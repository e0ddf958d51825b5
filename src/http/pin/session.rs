//! Refreshing, going out, and who is here.

use poem_openapi::{Object, OpenApi, payload::Json};
use serde::Serialize;
use uuid::Uuid;

use super::{
    DIALECT, Tag,
    ask::{ACCESS, REFRESH, Refreshing, Signed, whole_seconds},
    error::{PinError, Problem},
    shapes::{Permission, User, permissions},
};
use crate::{
    domain::{Core, carriers::Carrier},
    http::{serial::Serial, visitor::Visitor},
};

pub struct SessionApi {
    pub core: Core,
}

/// Another access token; the cookie holds the same.
#[derive(Object)]
#[oai(rename_all = "camelCase")]
struct RefreshAnswer {
    message: String,
    access_token: String,
}

/// Who I am and what I may.
#[derive(Object, Serialize)]
struct Me {
    user: User,
    perms: Vec<Permission>,
}

/// Somebody on a login pad.
#[derive(Object)]
struct PadUser {
    id: Uuid,
    name: String,
    role: String,
}

#[OpenApi]
impl SessionApi {
    /// Renew the access cookie
    ///
    /// By the refresh cookie alone, which stays as it is. 401 `Invalid token` once its session
    /// has ended.
    #[oai(path = "/auth/refresh", method = "post", operation_id = "refresh", tag = "Tag::Auth")]
    async fn refresh(
        &self,
        caller: Refreshing,
        visitor: Visitor,
    ) -> Result<Json<RefreshAnswer>, PinError> {
        let access = self.core.session_renew(Carrier::PinCookies, &caller.0)?;
        let life = whole_seconds(self.core.settings().lives.pin_access);
        visitor.0.put_cookie(ACCESS, access.text.reveal(), life);
        Ok(Json(RefreshAnswer {
            message: "Access token refreshed successfully".to_owned(),
            access_token: access.text.reveal().to_owned(),
        }))
    }

    /// Sign out
    ///
    /// Ends the session on the server at once; both cookies expire.
    #[oai(path = "/auth/logout", method = "post", operation_id = "logout", tag = "Tag::Auth")]
    async fn logout(&self, caller: Signed, visitor: Visitor) -> Result<Json<Problem>, PinError> {
        self.core.sign_out(&caller.0).await?;
        visitor.0.put_cookie(ACCESS, "", 0);
        visitor.0.put_cookie(REFRESH, "", 0);
        Ok(Json(Problem { message: "Logout successful".to_owned() }))
    }

    /// Who am I
    ///
    /// The account of the access cookie and what it may do. 401 `Unauthorized API access`.
    #[oai(path = "/users/me", method = "get", operation_id = "users_me", tag = "Tag::Users")]
    async fn me(&self, caller: Signed) -> Result<Serial<Me>, PinError> {
        let account = caller.0.account()?;
        Ok(Serial::new(Me { user: (&**account).into(), perms: permissions(account) }))
    }

    /// Who can sign in by PIN
    ///
    /// For a login pad: public inside the house, 401 elsewhere and where `pin.list_users` is off.
    #[oai(path = "/users", method = "get", operation_id = "users_list", tag = "Tag::Users")]
    async fn users(&self, visitor: Visitor) -> Result<Json<Vec<PadUser>>, PinError> {
        let origin = visitor.origin(DIALECT);
        let settings = self.core.settings();
        if !settings.pin_list_users || !origin.is_within(&settings.pin_networks) {
            return Err(PinError::unauthorized("Unauthorized API access"));
        }
        let people = self.core.pad_people(&origin).await?.into_iter().map(|person| PadUser {
            id: person.id.uuid(),
            name: person.username,
            role: person.role,
        });
        Ok(Json(people.collect()))
    }
}
