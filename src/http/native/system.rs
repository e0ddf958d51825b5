//! The house itself: letters that wait, sizes, warnings, a copy of the database.

use poem::Body;
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
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
use crate::domain::{
    Core,
    error::Error,
    letters::{LetterStatus, OutboxLetter},
    page::Page,
    system::SystemState,
    warnings,
};

pub struct SystemApi {
    pub core: Core,
}

/// A letter; those that are sent or have failed are forgotten after a week.
#[derive(Object)]
struct Letter {
    id: i64,
    /// `verify-email` · `activate` · `change-email` · `reset-password` · `invitation` ·
    /// `address-changed` · `new-sign-in` · `account-disabled` · `test`
    purpose: String,
    recipient: String,
    /// The account that it is about.
    #[oai(nullable)]
    account: Option<Uuid>,
    /// To hand over by other ways; `null` once it is used, replaced, or beyond your rights.
    #[oai(nullable)]
    link: Option<String>,
    status: Status,
    attempts: u32,
    /// What the mail server said, or did not say, to the last try.
    #[oai(nullable)]
    last_error: Option<String>,
    created_at: Moment,
    expires_at: Moment,
    #[oai(nullable)]
    next_attempt_at: Option<Moment>,
    #[oai(nullable)]
    sent_at: Option<Moment>,
}

/// Where a letter is.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
enum Status {
    Waiting,
    /// Until a mail server and `server.public_url` are set: hand its link over.
    Held,
    Failed,
    Sent,
}

impl From<LetterStatus> for Status {
    fn from(status: LetterStatus) -> Self {
        match status {
            LetterStatus::Waiting => Self::Waiting,
            LetterStatus::Held => Self::Held,
            LetterStatus::Failed => Self::Failed,
            LetterStatus::Sent => Self::Sent,
        }
    }
}

impl From<Status> for LetterStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Waiting => Self::Waiting,
            Status::Held => Self::Held,
            Status::Failed => Self::Failed,
            Status::Sent => Self::Sent,
        }
    }
}

impl From<OutboxLetter> for Letter {
    fn from(letter: OutboxLetter) -> Self {
        Self {
            id: letter.id,
            purpose: letter.purpose,
            recipient: letter.recipient,
            account: letter.account.map(|id| id.uuid()),
            link: letter.link,
            status: letter.status.into(),
            attempts: letter.attempts,
            last_error: letter.last_error,
            created_at: Moment(letter.created_at),
            expires_at: Moment(letter.expires_at),
            next_attempt_at: letter.next_attempt_at.map(Moment),
            sent_at: letter.sent_at.map(Moment),
        }
    }
}

/// Where a test letter goes.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct MailTestRequest {
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
    /// When a copy was made last, by the clock or by somebody; `null` when no event tells of one.
    #[oai(nullable)]
    last_backup_at: Option<Moment>,
    /// What somebody should look after; the gravest first.
    warnings: Vec<Warning>,
}

/// Something that somebody should look after.
#[derive(Object)]
struct Warning {
    /// `storage_failing` · `disk_full` · `files_low` · `read_only` · `wrong_owner` ·
    /// `data_exposed` · `clock_behind` · `clock_jumped` · `file_system` · `disk_slow` · `wal_large` ·
    /// `disk_low` · `backup_failed` · `no_mail_server` · `letters_failed` · `no_public_url` ·
    /// `weak_hashing`
    kind: String,
    /// The same for people.
    message: String,
    /// How many letters failed or files are left, how many bytes are free or in the log, how many
    /// milliseconds a write took, by how many seconds the clock jumped.
    #[oai(skip_serializing_if_is_none)]
    amount: Option<u64>,
}

impl From<warnings::Warning> for Warning {
    fn from(warning: warnings::Warning) -> Self {
        Self {
            kind: warning.kind().to_owned(),
            message: warning.to_string(),
            amount: warning.amount(),
        }
    }
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
            last_backup_at: state.last_backup_at.map(Moment),
            warnings: state.warnings.into_iter().map(Warning::from).collect(),
        }
    }
}

/// A copy of the database.
#[derive(ApiResponse)]
enum Backup {
    /// A SQLite file, or a file of age that holds one.
    #[oai(status = 200, content_type = "application/octet-stream")]
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
    /// Newest first; those that are sent only with `status=sent`. Needs `system-admin`.
    #[oai(path = "/outbox", method = "get", operation_id = "outbox_list")]
    async fn outbox(
        &self,
        caller: Signed,
        /// Letters of this status only.
        status: Query<Option<Status>>,
        /// From 1.
        page: Query<Option<u32>>,
        /// 1 to 200.
        page_size: Query<Option<u32>>,
    ) -> Result<Paged<Letter>, NativeError> {
        let page = Page::new(page.0, page_size.0)?;
        let status = status.0.map(LetterStatus::from);
        let found = self.core.outbox_list(&caller.0, status, page).await?;
        let path = status.map_or_else(
            || "/api/v1/outbox".to_owned(),
            |status| format!("/api/v1/outbox?status={}", status.name()),
        );
        Ok(Paged::of(&path, page, found, Letter::from))
    }

    /// Send a test letter
    ///
    /// Puts it into the outbox, where its fate can be seen: `/outbox`, and `/outbox?status=sent`
    /// once the mail server has taken it. 503 without a mail server. Needs `system-admin`.
    #[oai(path = "/system/mail-test", method = "post", operation_id = "system_mail_test")]
    async fn mail_test(
        &self,
        caller: Signed,
        body: Strict<MailTestRequest>,
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
    /// master secret. Encrypted where `backup.passphrase` or `backup.recipients` is set. Needs `system-admin`, and not an API key.
    #[oai(path = "/system/backup", method = "post", operation_id = "system_backup")]
    async fn backup(&self, caller: Signed) -> Result<Backup, NativeError> {
        let (copy, end) = self.core.backup(&caller.0).await?;
        let file = tokio::fs::File::open(copy.path()).await;
        let file = file.map_err(|error| Error::Internal(Box::new(error)))?;
        // The open file outlives its name, which goes with `copy` at the end of this block.
        let body = Body::from_async_read(file);
        let name = format!("attachment; filename=\"gatelodge{end}\"");
        Ok(Backup::File(Binary(body), name))
    }
}
