//! Links that let somebody in.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Tag,
    ask::{Moment, Signed, Strict},
    error::NativeError,
    shapes::{Created, Done, Paged},
};
use crate::domain::{
    Core, Timestamp,
    invitations::{self, InvitationDraft},
    page::Page,
};

pub struct InvitationsApi {
    pub core: Core,
}

/// An invitation to make.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct InvitationRequest {
    /// Only for this address; a letter goes there if letters can go out.
    #[serde(default)]
    email: Option<String>,
    /// `reader`, if left out; nothing that exceeds your own rights.
    #[serde(default)]
    role: Option<String>,
    /// In seven days, if left out; within a year.
    #[serde(default)]
    expires_at: Option<Moment>,
    /// How many may use it, 1 to 1000; one, if left out.
    #[serde(default)]
    uses: Option<u32>,
}

/// An invitation.
#[derive(Object)]
struct Invitation {
    id: Uuid,
    #[oai(nullable)]
    email: Option<String>,
    role: String,
    uses: u32,
    uses_left: u32,
    /// `open` · `used_up` · `expired` · `withdrawn`
    state: String,
    /// The account that made it; `null` for the command line.
    #[oai(nullable)]
    created_by: Option<Uuid>,
    created_at: Moment,
    expires_at: Moment,
    /// Shown when it is made and never again; a path only, while `server.public_url` is not set.
    #[oai(skip_serializing_if_is_none)]
    link: Option<String>,
}

impl Invitation {
    fn of(invitation: invitations::Invitation, now: Timestamp, link: Option<String>) -> Self {
        Self {
            state: invitation.state(now).name().to_owned(),
            id: invitation.id.parse().unwrap_or_default(),
            email: invitation.email,
            role: invitation.role,
            uses: invitation.uses,
            uses_left: invitation.uses_left,
            created_by: invitation.created_by.map(|id| id.uuid()),
            created_at: Moment(invitation.created_at),
            expires_at: Moment(invitation.expires_at),
            link,
        }
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Invitations")]
impl InvitationsApi {
    /// List invitations
    ///
    /// Newest first. Needs `invitations-read`.
    #[oai(path = "/invitations", method = "get", operation_id = "invitations_list")]
    async fn list(
        &self,
        caller: Signed,
        /// From 1.
        page: Query<Option<u32>>,
        /// 1 to 200.
        page_size: Query<Option<u32>>,
    ) -> Result<Paged<Invitation>, NativeError> {
        let page = Page::new(page.0, page_size.0)?;
        let found = self.core.invitations_list(&caller.0, page).await?;
        let now = self.core.now();
        Ok(Paged::of("/api/v1/invitations", page, found, |one| Invitation::of(one, now, None)))
    }

    /// Invite somebody
    ///
    /// The link works in every registration mode, with or without a mail server. Needs
    /// `invitations-write`.
    #[oai(path = "/invitations", method = "post", operation_id = "invitation_create")]
    async fn create(
        &self,
        caller: Signed,
        body: Strict<InvitationRequest>,
    ) -> Result<Created<Invitation>, NativeError> {
        let draft = InvitationDraft {
            email: body.0.email,
            role: body.0.role,
            expires_at: body.0.expires_at.map(|moment| moment.0),
            uses: body.0.uses,
        };
        let (invitation, link) = self.core.invitation_create(&caller.0, draft).await?;
        let shape = Invitation::of(invitation, self.core.now(), Some(link));
        Ok(Created::Created(Json(shape)))
    }

    /// Show an invitation
    ///
    /// Needs `invitations-read`.
    #[oai(path = "/invitations/:id", method = "get", operation_id = "invitation_get")]
    async fn get(&self, caller: Signed, id: Path<Uuid>) -> Result<Json<Invitation>, NativeError> {
        let invitation = self.core.invitation_get(&caller.0, id.0.to_string()).await?;
        Ok(Json(Invitation::of(invitation, self.core.now(), None)))
    }

    /// Withdraw an invitation
    ///
    /// Those who came in by it stay. Needs `invitations-write`.
    #[oai(path = "/invitations/:id", method = "delete", operation_id = "invitation_withdraw")]
    async fn withdraw(&self, caller: Signed, id: Path<Uuid>) -> Result<Done, NativeError> {
        self.core.invitation_withdraw(&caller.0, id.0.to_string()).await?;
        Ok(Done::Done)
    }
}
