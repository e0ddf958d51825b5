//! One-time tokens: bound to purpose, account and address, kept as digests, used up by one UPDATE.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::Purpose;
use crate::domain::{
    Core, Timestamp,
    accounts::{self, AccountId, Status},
    error::{Error, Noun, Result},
    invitations,
    secret::{Secret, TokenDigest, random_uuid},
};

/// A one-time token that was right, once.
pub(in crate::domain) struct Consumed {
    pub purpose: Purpose,
    pub account: AccountId,
    pub address: String,
}

/// What a link is for, told to whoever holds it.
#[derive(Clone, Debug)]
pub struct LinkInfo {
    pub purpose: Purpose,
    /// The account that it is about; an invitation has none yet.
    pub username: Option<String>,
    /// The address that the account will have, or that an invitation is for.
    pub email: Option<String>,
    /// What an invitation gives.
    pub role: Option<String>,
    /// Whether the account has a password, by which whoever follows the link can show that they
    /// made it.
    pub has_password: bool,
    pub expires_at: Timestamp,
}

// Rows

/// Makes a token for `purpose`; older ones of this account and purpose end.
pub(in crate::domain) fn issue_token(
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
pub(in crate::domain) fn end_tokens(
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
            "UPDATE outbox SET link = NULL, details = '{}', status = 'failed',
                 last_error = 'its link was replaced or ended'
             WHERE account_id = ?1 AND (?2 IS NULL OR purpose = ?2) AND link IS NOT NULL",
        )?
        .execute(params![account, name])?;
    Ok(())
}

/// Ends the ways to a new password that are open to an account: a link that was made to hand over, and a
/// letter that somebody may have seen in the outbox.
pub(in crate::domain) fn end_resets(
    transaction: &Transaction<'_>,
    account: AccountId,
) -> Result<()> {
    end_tokens(transaction, account, Some(Purpose::ResetLink))?;
    end_tokens(transaction, account, Some(Purpose::ResetPassword))
}

/// The one canonical spelling of a token that came back, or nothing.
fn token_digest(token: &str) -> Option<TokenDigest> {
    let parsed = Uuid::try_parse(token).ok()?.to_string();
    (parsed == token).then(|| TokenDigest::of(token))
}

/// Whose token it is, if it would be right, without using it up: asked before anything costly.
pub(in crate::domain) fn token_lives(
    connection: &Connection,
    purposes: &[Purpose],
    token: &str,
    now: Timestamp,
) -> Result<AccountId> {
    let expired = || Error::Expired(Noun::OneTimeToken);
    let digest = token_digest(token).ok_or_else(expired)?;
    let row = connection
        .prepare_cached(
            "SELECT purpose, account_id FROM one_time_tokens
             WHERE digest = ?1 AND consumed_at IS NULL AND expires_at > ?2",
        )?
        .query_row(params![digest, now], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
        .optional()?;
    let (purpose, account) = row.ok_or_else(expired)?;
    let found = Purpose::parse(&purpose).ok_or_else(expired)?;
    if purposes.contains(&found) { Ok(account) } else { Err(expired()) }
}

/// Uses a token up. One conditional UPDATE: of fifty at once exactly one gets it.
pub(in crate::domain) fn consume_token(
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
        .prepare_cached(
            "UPDATE outbox SET link = NULL, details = '{}', status = 'failed',
                 last_error = 'its link was used'
             WHERE account_id = ?1 AND purpose = ?2 AND link IS NOT NULL",
        )?
        .execute(params![account, purpose])?;
    Ok(Consumed { purpose: found.ok_or_else(expired)?, account, address })
}

fn info(connection: &Connection, token: &str, now: Timestamp) -> Result<LinkInfo> {
    let expired = || Error::Expired(Noun::OneTimeToken);
    let digest = token_digest(token).ok_or_else(expired)?;
    if let Some(invitation) = invitations::open_by_digest(connection, digest, now)? {
        return Ok(LinkInfo {
            purpose: Purpose::Invitation,
            username: None,
            email: invitation.email,
            role: Some(invitation.role),
            has_password: false,
            expires_at: invitation.expires_at,
        });
    }
    let row = connection
        .prepare_cached(
            "SELECT purpose, account_id, address, expires_at FROM one_time_tokens
             WHERE digest = ?1 AND consumed_at IS NULL AND expires_at > ?2",
        )?
        .query_row(params![digest, now], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?))
        })
        .optional()?;
    let (purpose, account, address, expires_at) = row.ok_or_else(expired)?;
    let purpose = Purpose::parse(&purpose).ok_or_else(expired)?;
    let account = accounts::must_exist(connection, account)?;
    let lapsed = account.pending_until.is_some_and(|until| until <= now);
    if account.status == Status::Disabled || lapsed {
        return Err(expired());
    }
    let email = Some(address).filter(|address| !address.is_empty());
    Ok(LinkInfo {
        purpose,
        username: Some(account.username),
        email,
        role: None,
        has_password: account.password_hash.is_some(),
        expires_at,
    })
}

// Deeds

impl Core {
    /// Tells what a mailed or handed over link is for, and uses nothing up: so that a page can
    /// name the account before somebody confirms a stranger's.
    ///
    /// # Errors
    /// [`Error::Expired`] for whatever is not right or no longer so.
    pub async fn link_info(&self, token: &Secret) -> Result<LinkInfo> {
        let (token, now) = (token.clone(), self.clock.now());
        self.db.read(move |connection| info(connection, token.reveal(), now)).await
    }
}
