//! Accounts elsewhere that sign in here, known by issuer and subject only.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{
    Core, Timestamp,
    accounts::{self, AccountId, Email},
    caller::Caller,
    error::{Clash, Denied, Error, Noun, Result},
    events::{Event, EventKind},
    known::Stale,
    secret::random_uuid,
    sso::{self, Person},
};

/// Of one account; more of them nobody needs.
const MAX_PER_ACCOUNT: usize = 20;

/// An account elsewhere that signs in here.
#[derive(Clone, Debug)]
pub struct Identity {
    /// A UUID, as text.
    pub id: String,
    /// Whose it is here.
    pub account: AccountId,
    /// Its name in the configuration when it was linked.
    pub provider: String,
    /// `iss` of its ID tokens, to the letter.
    pub issuer: String,
    /// `sub` of its ID tokens, 255 bytes at the most.
    pub subject: String,
    /// What the provider said last; it is never believed.
    pub email: Option<String>,
    /// When it was linked.
    pub created_at: Timestamp,
    /// When somebody came in by it last.
    pub last_used_at: Option<Timestamp>,
    /// What it gave the account, by the mapping of its provider.
    pub granted_role: Option<String>,
}

// Rows

const COLUMNS: &str = "id, account_id, provider, issuer, subject, email, created_at, last_used_at,
    granted_role";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Identity> {
    Ok(Identity {
        id: row.get(0)?,
        account: row.get(1)?,
        provider: row.get(2)?,
        issuer: row.get(3)?,
        subject: row.get(4)?,
        email: row.get(5)?,
        created_at: row.get(6)?,
        last_used_at: row.get(7)?,
        granted_role: row.get(8)?,
    })
}

fn rows_of(connection: &Connection, account: AccountId) -> rusqlite::Result<Vec<Identity>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM identities WHERE account_id = ?1 ORDER BY created_at, id"
        ))?
        .query_map([account], from_row)?
        .collect()
}

pub(super) fn by_subject(
    connection: &Connection,
    issuer: &str,
    subject: &str,
) -> rusqlite::Result<Option<Identity>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM identities WHERE issuer = ?1 AND subject = ?2"
        ))?
        .query_row([issuer, subject], from_row)
        .optional()
}

pub(super) fn insert(
    transaction: &Transaction<'_>,
    account: AccountId,
    provider: &str,
    person: &Person,
    granted_role: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO identities (id, account_id, provider, issuer, subject, email, created_at,
                 last_used_at, granted_role)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)",
        )?
        .execute(params![
            random_uuid().to_string(),
            account,
            provider,
            person.issuer,
            person.subject,
            person.email.as_ref().map(Email::as_str),
            now,
            granted_role
        ])?;
    Ok(())
}

pub(super) fn note_use(
    transaction: &Transaction<'_>,
    known: &Identity,
    email: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    transaction
        .prepare_cached("UPDATE identities SET last_used_at = ?2, email = ?3 WHERE id = ?1")?
        .execute(params![known.id, now, email])?;
    Ok(())
}

pub(super) fn note_role(
    transaction: &Transaction<'_>,
    known: &Identity,
    role: Option<&str>,
) -> Result<()> {
    transaction
        .prepare_cached("UPDATE identities SET granted_role = ?2 WHERE id = ?1")?
        .execute(params![known.id, role])?;
    Ok(())
}

/// Unlinks all of them: for an account whose owner was never proven until now.
pub(super) fn delete_all(transaction: &Transaction<'_>, account: AccountId) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM identities WHERE account_id = ?1")?
        .execute([account])?;
    Ok(())
}

/// Whether Google made this account: it has no password then, and no other way in (seed 003).
pub(super) fn is_googles(connection: &Connection, account: AccountId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM identities i JOIN accounts a ON a.id = i.account_id
                 WHERE i.account_id = ?1 AND i.provider = ?2 AND a.password_hash IS NULL)",
        )?
        .query_row(params![account, sso::GOOGLE], |row| row.get(0))
}

/// # Errors
/// [`Error::Forbidden`] for an account that Google made.
pub(super) fn must_take_password(connection: &Connection, account: AccountId) -> Result<()> {
    if is_googles(connection, account)? {
        return Err(Error::Forbidden(Denied::OfGoogle));
    }
    Ok(())
}

/// # Errors
/// [`Error::Forbidden`] for an account that Google made, or that has very many linked.
pub(super) fn must_be_linkable(connection: &Connection, account: AccountId) -> Result<()> {
    must_take_password(connection, account)?;
    if rows_of(connection, account)?.len() >= MAX_PER_ACCOUNT {
        return Err(Error::Conflict(Clash::TooManyIdentities));
    }
    Ok(())
}

// Deeds

impl Core {
    /// Whether the account of this address was made by Google and has no password (seed 003).
    pub async fn signs_in_by_google(&self, email: &str) -> Result<bool> {
        let email = email.to_owned();
        self.db
            .read(move |connection| {
                let account = accounts::row_by_email(connection, &email)?;
                match account.filter(accounts::Account::is_active) {
                    Some(account) => Ok(is_googles(connection, account.id)?),
                    None => Ok(false),
                }
            })
            .await
    }

    /// The accounts elsewhere by which the caller signs in here.
    pub async fn identities_list(&self, caller: &Caller) -> Result<Vec<Identity>> {
        caller.must_not_be_key()?;
        let id = caller.account()?.id;
        self.db.read(move |connection| Ok(rows_of(connection, id)?)).await
    }

    /// Unlinks one; not the last way in. A role that it gave goes with it, which ends what the
    /// account carries.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] for the last way in and for the last admin.
    pub async fn identity_unlink(&self, caller: &Caller, identity: String) -> Result<()> {
        caller.must_not_be_key()?;
        let id = caller.account()?.id;
        let (asking, default_role) = (caller.clone(), self.settings.sso.default_role.clone());
        self.deed(Stale::Of(id), move |transaction, now| {
            let all = rows_of(transaction, id)?;
            let Some(found) = all.iter().find(|known| known.id == identity) else {
                return Err(Error::NotFound(Noun::Identity));
            };
            let asked = asking.again(transaction, now)?;
            let account = asked.account()?;
            if all.len() == 1 && account.password_hash.is_none() {
                return Err(Error::Conflict(Clash::LastWayIn));
            }
            transaction
                .prepare_cached("DELETE FROM identities WHERE id = ?1 AND account_id = ?2")?
                .execute(params![identity, id])?;
            let event = Event::new(EventKind::IdentityUnlinked, &asking, now);
            event.about(&found.provider).append(transaction)?;
            let gave = found.granted_role.as_deref() == Some(account.role.as_str());
            if gave && account.role != default_role {
                let origin = asking.origin();
                if !sso::role_change(transaction, account, &default_role, origin, now)? {
                    return Err(Error::Conflict(Clash::LastAdmin));
                }
            }
            Ok(())
        })
        .await
    }
}
