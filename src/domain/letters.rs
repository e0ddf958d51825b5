//! Letters and the one-time tokens in them. A letter is written with the deed that causes it and
//! waits in the outbox; the token stands in clear only there.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use uuid::Uuid;

use super::{
    Core, Settings, Timestamp,
    accounts::{self, AccountId, Email},
    caller::Caller,
    error::{Error, Noun, Result},
    invitations,
    page::{Page, PageOf},
    permissions::SYSTEM_ADMIN,
    secret::{Secret, TokenDigest, random_uuid},
};

/// Letters to one address for one purpose within an hour (wire rule 21).
const PER_ADDRESS: i64 = 3;
/// Letters that one client may cause within an hour.
const PER_CLIENT: i64 = 20;
const HOUR: Duration = Duration::from_secs(3600);

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
    /// An admin tries the mail server.
    Test => "test", "";
}

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
    pub expires_at: Timestamp,
}

/// A one-time token that was right, once.
pub(super) struct Consumed {
    pub purpose: Purpose,
    pub account: AccountId,
    pub address: String,
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
    /// `waiting` · `held` (no address of ours is known) · `failed` · `sent`
    pub status: String,
    pub attempts: u32,
    pub last_error: Option<String>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A link for people; without a known address of ours only its path.
pub(super) fn link(settings: &Settings, purpose: Purpose, token: &Secret) -> String {
    let base = settings.link_base.as_deref().unwrap_or_default();
    format!("{base}/{}?token={}", purpose.page(), token.reveal())
}

// Rows

/// Makes a token for `purpose`; older ones of this account and purpose end.
pub(super) fn issue_token(
    transaction: &Transaction<'_>,
    purpose: Purpose,
    account: AccountId,
    address: &str,
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<Secret> {
    let token = random_uuid().to_string();
    end_tokens(transaction, account, Some(purpose))?;
    transaction
        .prepare_cached(
            "INSERT INTO one_time_tokens (digest, purpose, account_id, address, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            TokenDigest::of(&token),
            purpose.name(),
            account,
            address,
            now,
            expires_at
        ])?;
    Ok(Secret::new(token))
}

/// Ends what is open for an account, and the letters that would carry it.
pub(super) fn end_tokens(
    transaction: &Transaction<'_>,
    account: AccountId,
    purpose: Option<Purpose>,
) -> Result<()> {
    let name = purpose.map(Purpose::name);
    transaction
        .prepare_cached(
            "DELETE FROM one_time_tokens WHERE account_id = ?1 AND (?2 IS NULL OR purpose = ?2)",
        )?
        .execute(params![account, name])?;
    transaction
        .prepare_cached(
            "UPDATE outbox SET link = NULL, status = 'failed', last_error = 'replaced by a newer letter'
             WHERE account_id = ?1 AND (?2 IS NULL OR purpose = ?2) AND status IN ('waiting', 'held')",
        )?
        .execute(params![account, name])?;
    Ok(())
}

/// The one canonical spelling of a token that came back, or nothing.
fn token_digest(token: &str) -> Option<TokenDigest> {
    let parsed = Uuid::try_parse(token).ok()?.to_string();
    (parsed == token).then(|| TokenDigest::of(token))
}

/// Whether a token would be right, without using it up: asked before anything costly.
pub(super) fn token_lives(
    connection: &Connection,
    purposes: &[Purpose],
    token: &str,
    now: Timestamp,
) -> Result<()> {
    let expired = || Error::Expired(Noun::OneTimeToken);
    let digest = token_digest(token).ok_or_else(expired)?;
    let purpose: Option<String> = connection
        .prepare_cached(
            "SELECT purpose FROM one_time_tokens
             WHERE digest = ?1 AND consumed_at IS NULL AND expires_at > ?2",
        )?
        .query_row(params![digest, now], |row| row.get(0))
        .optional()?;
    let found = purpose.as_deref().and_then(Purpose::parse).ok_or_else(expired)?;
    if purposes.contains(&found) { Ok(()) } else { Err(expired()) }
}

/// Uses a token up. One conditional UPDATE: of fifty at once exactly one gets it.
pub(super) fn consume_token(
    transaction: &Transaction<'_>,
    purposes: &[Purpose],
    token: &str,
    now: Timestamp,
) -> Result<Consumed> {
    let expired = || Error::Expired(Noun::OneTimeToken);
    let digest = token_digest(token).ok_or_else(expired)?;
    let row = transaction
        .prepare_cached(
            "UPDATE one_time_tokens SET consumed_at = ?2
             WHERE digest = ?1 AND consumed_at IS NULL AND expires_at > ?2
             RETURNING purpose, account_id, address",
        )?
        .query_row(params![digest, now], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (purpose, account, address) = row.ok_or_else(expired)?;
    let found = Purpose::parse(&purpose).filter(|purpose| purposes.contains(purpose));
    transaction
        .prepare_cached("UPDATE outbox SET link = NULL WHERE account_id = ?1 AND purpose = ?2")?
        .execute(params![account, purpose])?;
    Ok(Consumed { purpose: found.ok_or_else(expired)?, account, address })
}

/// Ends the letters of an invitation that nobody can use any more.
pub(super) fn end_invitation(transaction: &Transaction<'_>, id: &str) -> Result<()> {
    transaction
        .prepare_cached("UPDATE outbox SET link = NULL WHERE invitation_id = ?1")?
        .execute([id])?;
    transaction
        .prepare_cached(
            "UPDATE outbox SET status = 'failed', last_error = 'the invitation is no longer open'
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

/// Puts a letter into the outbox, whatever the limits; held back there while no address of ours is known.
pub(super) fn post(
    transaction: &Transaction<'_>,
    settings: &Settings,
    letter: &Letter,
    now: Timestamp,
) -> Result<()> {
    let status = if settings.link_base.is_some() { "waiting" } else { "held" };
    let link = letter.token.as_ref().map(|token| link(settings, letter.purpose, token));
    transaction
        .prepare_cached(
            "INSERT INTO outbox (purpose, recipient, account_id, invitation_id, client, link, status,
                 next_attempt_at, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
        )?
        .execute(params![
            letter.purpose.name(),
            letter.recipient,
            letter.account,
            letter.invitation,
            letter.client,
            link,
            status,
            now,
            letter.expires_at
        ])?;
    Ok(())
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
    // An hour more, since the limits count them.
    let tokens = transaction
        .prepare_cached("DELETE FROM one_time_tokens WHERE expires_at <= ?1")?
        .execute([now])?;
    let letters = transaction
        .prepare_cached("DELETE FROM outbox WHERE expires_at <= ?1")?
        .execute([now.minus(HOUR)])?;
    Ok(tokens + letters)
}

const COLUMNS: &str = "id, purpose, recipient, account_id, invitation_id, link, status, attempts,
    last_error, created_at, expires_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<OutboxLetter> {
    Ok(OutboxLetter {
        id: row.get(0)?,
        purpose: row.get(1)?,
        recipient: row.get(2)?,
        account: row.get(3)?,
        invitation: row.get(4)?,
        link: row.get(5)?,
        status: row.get(6)?,
        attempts: row.get(7)?,
        last_error: row.get(8)?,
        created_at: row.get(9)?,
        expires_at: row.get(10)?,
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
    /// Letters that wait, are held back or failed; newest first.
    pub async fn outbox_list(&self, caller: &Caller, page: Page) -> Result<PageOf<OutboxLetter>> {
        caller.must_not_be_key()?;
        caller.must(SYSTEM_ADMIN)?;
        let asking = caller.clone();
        self.db
            .read(move |connection| {
                let total = connection
                    .prepare_cached("SELECT count(*) FROM outbox WHERE status <> 'sent'")?
                    .query_row([], |row| row.get(0))?;
                let mut rows = connection
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS} FROM outbox WHERE status <> 'sent'
                         ORDER BY id DESC LIMIT ?1 OFFSET ?2"
                    ))?
                    .query_map([page.limit(), page.offset()], from_row)?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                hide_links_beyond(connection, &asking, &mut rows)?;
                Ok(PageOf::new(rows, total))
            })
            .await
    }

    /// Puts a test letter into the outbox.
    pub async fn mail_test(&self, caller: &Caller, address: &str) -> Result<()> {
        caller.must(SYSTEM_ADMIN)?;
        let recipient = Email::parse(address)?;
        let settings = self.settings.clone();
        self.deed(move |transaction, now| {
            let letter = Letter {
                purpose: Purpose::Test,
                recipient: recipient.as_str().to_owned(),
                account: None,
                invitation: None,
                client: String::new(),
                token: None,
                expires_at: now.plus(HOUR),
            };
            post(transaction, &settings, &letter, now)
        })
        .await
    }
}
