//! Letters: written with the deed that causes them, they wait in the outbox until the worker has
//! handed them to the mail server. What they carry stands in clear only there.

mod delivery;
mod tokens;
mod words;

use std::time::Duration;

use rusqlite::{Connection, Row, Transaction, params};

use super::{
    Core, Settings, Timestamp,
    accounts::{self, Account, AccountId, Email},
    caller::Caller,
    error::{Error, Result},
    invitations,
    known::Stale,
    page::{Page, PageOf},
    permissions::SYSTEM_ADMIN,
    secret::{Secret, random_text},
    sessions,
};
pub use delivery::{Round, mail_try};
pub use tokens::LinkInfo;
pub(super) use tokens::{consume_token, end_resets, end_tokens, issue_token, token_lives};
pub use words::Language;

/// Letters to one address for one purpose within an hour (wire rule 21).
const PER_ADDRESS: i64 = 3;
/// Letters that one client may cause within an hour.
const PER_CLIENT: i64 = 20;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Letters that went out or failed are shown this long.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

macro_rules! purposes {
    ($($(#[$doc:meta])* $name:ident => $text:literal, $path:literal);* $(;)?) => {
        /// What a letter or a one-time token is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Purpose { $($(#[$doc])* $name),* }

        impl Purpose {
            const ALL: &[Self] = &[$(Self::$name),*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The page that a link of this purpose leads to.
            pub const fn page(self) -> &'static str {
                match self { $(Self::$name => $path),* }
            }

            fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|purpose| purpose.name() == text)
            }
        }
    };
}

purposes! {
    /// A self-registered account proves its address.
    VerifyEmail => "verify-email", "verify";
    /// The same in invite mode.
    Activate => "activate", "activate";
    /// A new address proves itself before it counts.
    ChangeEmail => "change-email", "verify";
    /// Somebody forgot a password.
    ResetPassword => "reset-password", "reset";
    /// An admin made a link to hand over; it proves no address.
    ResetLink => "reset-link", "reset";
    Invitation => "invitation", "invite";
    /// The account has another address now; told to both.
    AddressChanged => "address-changed", "";
    /// Somebody signed in from a network that is new.
    NewSignIn => "new-sign-in", "";
    /// An admin switched the account off.
    AccountDisabled => "account-disabled", "";
    /// An admin tries the mail server.
    Test => "test", "";
}

/// Facts for a template, by their names there.
pub(super) type Details = Vec<(&'static str, String)>;

/// A letter before it is written.
pub(super) struct Letter {
    pub purpose: Purpose,
    pub recipient: String,
    pub account: Option<AccountId>,
    /// The invitation that it carries.
    pub invitation: Option<String>,
    /// The address that caused it; empty for the command line and for tests of the mail server,
    /// which are not limited.
    pub client: String,
    pub token: Option<Secret>,
    /// What it tells besides, by the names that its template has.
    pub details: Details,
    pub expires_at: Timestamp,
}

/// Where a letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterStatus {
    Waiting,
    /// For want of a mail server, or of an address of ours to begin links with.
    Held,
    Failed,
    Sent,
}

impl LetterStatus {
    const ALL: [Self; 4] = [Self::Waiting, Self::Held, Self::Failed, Self::Sent];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Sent => "sent",
        }
    }

    fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|status| status.name() == text).unwrap_or(Self::Failed)
    }
}

/// A letter in the outbox, as an admin sees it.
#[derive(Clone, Debug)]
pub struct OutboxLetter {
    pub id: i64,
    pub purpose: String,
    pub recipient: String,
    pub account: Option<AccountId>,
    invitation: Option<String>,
    /// To hand over by other ways; only while it waits, and only to those whose rights cover the
    /// account's or the invitation's.
    pub link: Option<String>,
    pub status: LetterStatus,
    pub attempts: u32,
    pub last_error: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// `None` once it is sent or has failed.
    pub next_attempt_at: Option<Timestamp>,
    pub sent_at: Option<Timestamp>,
}

/// A link for people; without a known address of ours only its path.
pub(super) fn link(settings: &Settings, purpose: Purpose, token: &Secret) -> String {
    let base = settings.link_base.as_deref().unwrap_or_default();
    format!("{base}/{}?token={}", purpose.page(), token.reveal())
}

// Rows

/// Ends the letters of an invitation that nobody can use any more.
pub(super) fn end_invitation(transaction: &Transaction<'_>, id: &str) -> Result<()> {
    transaction
        .prepare_cached("UPDATE outbox SET link = NULL WHERE invitation_id = ?1")?
        .execute([id])?;
    transaction
        .prepare_cached(
            "UPDATE outbox SET status = 'failed', details = '{}',
                 last_error = 'the invitation is no longer open'
             WHERE invitation_id = ?1 AND status IN ('waiting', 'held')",
        )?
        .execute([id])?;
    Ok(())
}

/// Writes a letter, with a token made for it if it is an account's, unless the address or the
/// client had too many: then it does nothing, and the letters before stay good.
pub(super) fn send(
    transaction: &Transaction<'_>,
    settings: &Settings,
    letter: Letter,
    now: Timestamp,
) -> Result<()> {
    if has_too_many(transaction, &letter, now.minus(HOUR))? {
        return Ok(());
    }
    let Some(account) = letter.account else { return post(transaction, settings, &letter, now) };
    let times = (now, letter.expires_at);
    let token = issue_token(transaction, letter.purpose, account, &letter.recipient, times)?;
    post(transaction, settings, &Letter { token: Some(token), ..letter }, now)
}

/// Whether letters with links can go out at all.
fn go_out(settings: &Settings) -> bool {
    settings.link_base.is_some() && settings.mail.is_some()
}

/// Puts a letter into the outbox, whatever the limits; held back there while none can go out.
pub(super) fn post(
    transaction: &Transaction<'_>,
    settings: &Settings,
    letter: &Letter,
    now: Timestamp,
) -> Result<()> {
    let needs_nothing = letter.token.is_none() && settings.mail.is_some();
    let status = match needs_nothing || go_out(settings) {
        true => LetterStatus::Waiting,
        false => LetterStatus::Held,
    };
    let link = letter.token.as_ref().map(|token| link(settings, letter.purpose, token));
    let details = serde_json::Map::from_iter(
        letter.details.iter().map(|(name, text)| ((*name).to_owned(), text.as_str().into())),
    );
    transaction
        .prepare_cached(
            "INSERT INTO outbox (purpose, recipient, account_id, invitation_id, client, link, status,
                 next_attempt_at, created_at, expires_at, message_id, details)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            letter.purpose.name(),
            letter.recipient,
            letter.account,
            letter.invitation,
            letter.client,
            link,
            status.name(),
            now,
            letter.expires_at,
            random_text(32),
            serde_json::Value::Object(details).to_string()
        ])?;
    Ok(())
}

/// Tells somebody what happened to their account, if letters go out and the address has proven to
/// be theirs. Counted by itself, so that nobody can use up a client's letters to silence it.
pub(super) fn tell(
    transaction: &Transaction<'_>,
    settings: &Settings,
    (purpose, details): (Purpose, Details),
    account: &Account,
    now: Timestamp,
) -> Result<()> {
    let Some(recipient) = account.email.clone().filter(|_| account.email_verified) else {
        return Ok(());
    };
    let told: i64 = transaction
        .prepare_cached(
            "SELECT count(*) FROM outbox WHERE recipient = ?1 AND purpose = ?2 AND created_at > ?3",
        )?
        .query_row(params![recipient, purpose.name(), now.minus(HOUR)], |row| row.get(0))?;
    if told >= PER_ADDRESS || !go_out(settings) {
        return Ok(());
    }
    let letter = Letter {
        purpose,
        recipient,
        account: Some(account.id),
        invitation: None,
        client: String::new(),
        token: None,
        details,
        expires_at: now.plus(DAY),
    };
    post(transaction, settings, &letter, now)
}

fn has_too_many(transaction: &Transaction<'_>, letter: &Letter, since: Timestamp) -> Result<bool> {
    if letter.client.is_empty() {
        return Ok(false);
    }
    let to_address: i64 = transaction
        .prepare_cached(
            "SELECT count(*) FROM outbox
             WHERE recipient = ?1 AND purpose = ?2 AND created_at > ?3 AND client <> ''",
        )?
        .query_row(params![letter.recipient, letter.purpose.name(), since], |row| row.get(0))?;
    let by_client: i64 = transaction
        .prepare_cached("SELECT count(*) FROM outbox WHERE client = ?1 AND created_at > ?2")?
        .query_row(params![letter.client, since], |row| row.get(0))?;
    Ok(to_address >= PER_ADDRESS || by_client >= PER_CLIENT)
}

/// Forgets letters and tokens past their time; how many.
pub(super) fn sweep(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    let tokens = transaction
        .prepare_cached("DELETE FROM one_time_tokens WHERE expires_at <= ?1")?
        .execute([now])?;
    let ended = transaction
        .prepare_cached(
            "UPDATE outbox SET status = 'failed', link = NULL, details = '{}',
                 next_attempt_at = NULL, last_error = coalesce(last_error, 'it became too old')
             WHERE status IN ('waiting', 'held') AND expires_at <= ?1",
        )?
        .execute([now])?;
    let letters = transaction
        .prepare_cached(
            "DELETE FROM outbox WHERE status IN ('sent', 'failed') AND created_at <= ?1",
        )?
        .execute([now.minus(KEPT)])?;
    Ok(tokens + ended + letters)
}

const COLUMNS: &str = "id, purpose, recipient, account_id, invitation_id, link, status, attempts,
    last_error, created_at, expires_at,
    CASE status WHEN 'waiting' THEN next_attempt_at END, sent_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<OutboxLetter> {
    Ok(OutboxLetter {
        id: row.get(0)?,
        purpose: row.get(1)?,
        recipient: row.get(2)?,
        account: row.get(3)?,
        invitation: row.get(4)?,
        link: row.get(5)?,
        status: LetterStatus::parse(&row.get::<_, String>(6)?),
        attempts: row.get(7)?,
        last_error: row.get(8)?,
        created_at: row.get(9)?,
        expires_at: row.get(10)?,
        next_attempt_at: row.get(11)?,
        sent_at: row.get(12)?,
    })
}

/// A link to an account or a role with more rights than the caller has is not shown to them.
fn hide_links_beyond(
    connection: &Connection,
    caller: &Caller,
    letters: &mut [OutboxLetter],
) -> Result<()> {
    for letter in letters {
        let opens = match (letter.account, &letter.invitation) {
            (Some(id), _) => accounts::row_by_id(connection, id)?.map(|one| one.permissions),
            (None, Some(id)) => invitations::rights_of(connection, id)?,
            (None, None) => continue,
        };
        if opens.is_none_or(|rights| caller.must_cover(&rights).is_err()) {
            letter.link = None;
        }
    }
    Ok(())
}

// Deeds

impl Core {
    /// Letters of one status, or all but those that are sent; newest first.
    pub async fn outbox_list(
        &self,
        caller: &Caller,
        status: Option<LetterStatus>,
        page: Page,
    ) -> Result<PageOf<OutboxLetter>> {
        const WHICH: &str = "(status = ?1 OR (?1 IS NULL AND status <> 'sent'))";
        caller.must_not_be_key()?;
        caller.must(SYSTEM_ADMIN)?;
        let (asking, status) = (caller.clone(), status.map(LetterStatus::name));
        self.db
            .read(move |connection| {
                let total = connection
                    .prepare_cached(&format!("SELECT count(*) FROM outbox WHERE {WHICH}"))?
                    .query_row([status], |row| row.get(0))?;
                let mut rows = connection
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS} FROM outbox WHERE {WHICH}
                         ORDER BY id DESC LIMIT ?2 OFFSET ?3"
                    ))?
                    .query_map(params![status, page.limit(), page.offset()], from_row)?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                hide_links_beyond(connection, &asking, &mut rows)?;
                Ok(PageOf::new(rows, total))
            })
            .await
    }

    /// Puts a test letter into the outbox.
    ///
    /// # Errors
    /// [`Error::Disabled`] without a mail server, [`Error::Invalid`] for the address.
    pub async fn mail_test(&self, caller: &Caller, address: &str) -> Result<()> {
        caller.must(SYSTEM_ADMIN)?;
        let recipient = Email::parse(address)?;
        if self.settings.mail.is_none() {
            return Err(Error::Disabled("a mail server"));
        }
        let (asking, settings) = (caller.clone(), self.settings.clone());
        self.deed(Stale::Nobodys, move |transaction, now| {
            sessions::must_live(transaction, &asking, now)?;
            let letter = Letter {
                purpose: Purpose::Test,
                recipient: recipient.as_str().to_owned(),
                account: None,
                invitation: None,
                client: String::new(),
                token: None,
                details: Details::new(),
                expires_at: now.plus(HOUR),
            };
            post(transaction, &settings, &letter, now)
        })
        .await
    }
}
