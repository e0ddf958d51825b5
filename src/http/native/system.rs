//! The house itself: letters that wait, sizes, warnings, a copy of the database.

use poem::Body;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::Query,
    payload::{Binary, Json},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Tag,
    ask::{Moment, Signed, Strict},
    error::NativeError,
    shapes::{Message, Paged},
};
use crate::domain::{Core, error::Error, letters::OutboxLetter, page::Page, system::SystemState};

pub struct SystemApi {
    pub core: Core,
}

/// A letter that waits, is held back or failed.
#[derive(Object)]
struct Letter {
    id: i64,
    /// `verify-email` · `activate` · `change-email` · `reset-password` · `invitation` · `test`
    purpose: String,
    recipient: String,
    /// The account that it is about.
    #[oai(nullable)]
    account: Option<Uuid>,
    /// To hand over by other ways; `null` once it is used, replaced, or beyond your rights.
    #[oai(nullable)]
    link: Option<String>,
    /// `waiting` · `held` until `server.public_url` is set · `failed`
    status: String,
    attempts: u32,
    #[oai(nullable)]
    last_error: Option<String>,
    created_at: Moment,
    expires_at: Moment,
}

impl From<OutboxLetter> for Letter {
    fn from(letter: OutboxLetter) -> Self {
        Self {
            id: letter.id,
            purpose: letter.purpose,
            recipient: letter.recipient,
            account: letter.account.map(|id| id.uuid()),
            link: letter.link,
            status: letter.status,
            attempts: letter.attempts,
            last_error: letter.last_error,
            created_at: Moment(letter.created_at),
            expires_at: Moment(letter.expires_at),
        }
    }
}

/// Where a test letter goes.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct MailTest {
    email: String,
}

/// The state of the house.
#[derive(Object)]
struct System {
    version: String,
    uptime_seconds: u64,
    database_bytes: u64,
    /// What SQLite has written ahead and not yet moved into the database.
    wal_bytes: u64,
    accounts: u64,
    live_sessions: u64,
    letters_waiting: u64,
    /// How many passwords can be hashed at once.
    hash_lanes: u32,
    /// What somebody should look after, in words.
    warnings: Vec<String>,
}

impl From<SystemState> for System {
    fn from(state: SystemState) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: state.uptime_seconds,
            database_bytes: state.database_bytes,
            wal_bytes: state.wal_bytes,
            accounts: state.accounts,
            live_sessions: state.live_sessions,
            letters_waiting: state.letters_waiting,
            hash_lanes: state.hash_lanes,
            warnings: state.warnings,
        }
    }
}

/// A copy of the database.
#[derive(ApiResponse)]
enum Backup {
    /// A SQLite file.
    #[oai(status = 200, content_type = "application/vnd.sqlite3")]
    File(
        Binary<Body>,
        /// A name for the file.
        #[oai(header = "Content-Disposition")]
        String,
    ),
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::System")]
impl SystemApi {
    /// Letters that wait, are held back or failed
    ///
    /// Newest first. Needs `system-admin`.
    #[oai(path = "/outbox", method = "get", operation_id = "outbox_list")]
    async fn outbox(
        &self,
        caller: Signed,
        /// From 1.
        page: Query<Option<u32>>,
        /// 1 to 200.
        page_size: Query<Option<u32>>,
    ) -> Result<Paged<Letter>, NativeError> {
        let page = Page::new(page.0, page_size.0)?;
        let found = self.core.outbox_list(&caller.0, page).await?;
        Ok(Paged::of("/api/v1/outbox", page, found, Letter::from))
    }

    /// Send a test letter
    ///
    /// Puts it into the outbox, where its fate can be seen. Needs `system-admin`.
    #[oai(path = "/system/mail-test", method = "post", operation_id = "system_mail_test")]
    async fn mail_test(
        &self,
        caller: Signed,
        body: Strict<MailTest>,
    ) -> Result<Json<Message>, NativeError> {
        self.core.mail_test(&caller.0, &body.0.email).await?;
        Ok(Message::new("the letter is in the outbox"))
    }

    /// How the house is
    ///
    /// Needs `system-health`.
    #[oai(path = "/system", method = "get", operation_id = "system_get")]
    async fn system(&self, caller: Signed) -> Result<Json<System>, NativeError> {
        Ok(Json(self.core.system_state(&caller.0).await?.into()))
    }

    /// Download a copy of the database
    ///
    /// Consistent, made while others read and write. Guard it like the original: it can hold the
    /// master secret. Needs `system-admin`, and not an API key.
    #[oai(path = "/system/backup", method = "post", operation_id = "system_backup")]
    async fn backup(&self, caller: Signed) -> Result<Backup, NativeError> {
        let copy = self.core.backup(&caller.0).await?;
        let file = tokio::fs::File::open(copy.path()).await;
        let file = file.map_err(|error| Error::Internal(Box::new(error)))?;
        // The open file outlives its name, which goes with `copy` at the end of this block.
        let body = Body::from_async_read(file);
        let name = "attachment; filename=\"gatelodge.db\"".to_owned();
        Ok(Backup::File(Binary(body), name))
    }
}
