//! API keys: made once, shown once, for scripts and service accounts.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{
    Core, Timestamp,
    accounts::{self, AccountId, check_line},
    caller::Caller,
    error::{Denied, Error, Field, Noun, Reason, Result},
    events::{Event, EventKind},
    known::Stale,
    page::{Page, PageOf},
    permissions::{API_KEYS_DELETE, API_KEYS_READ, API_KEYS_WRITE, Permissions},
    secret::{Secret, TokenDigest, checksum_text, random_text, random_uuid},
    sessions,
};

const SHOWN: usize = 8;
const HIDDEN: usize = 32;
const CHECKSUM: usize = 6;
const MAX_PER_ACCOUNT: i64 = 100;

/// A key as the database holds it; the key itself is not in it.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: String,
    pub account: AccountId,
    pub name: String,
    /// `lodge_` and eight characters: enough to find it in a list.
    pub key_prefix: String,
    /// `None`: all of the owner's.
    pub permissions: Option<Permissions>,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// A key and whose it is, by name.
#[derive(Clone, Debug)]
pub struct OwnedKey {
    pub key: ApiKey,
    pub owner: String,
}

/// A key as somebody wants it to be.
#[derive(Clone, Debug)]
pub struct ApiKeyDraft {
    pub name: String,
    pub permissions: Option<Vec<String>>,
    pub expires_at: Option<Timestamp>,
}

/// A change to a key; `None` leaves as it is.
#[derive(Clone, Debug, Default)]
pub struct ApiKeyChange {
    pub name: Option<String>,
    pub permissions: Option<Option<Vec<String>>>,
    pub expires_at: Option<Option<Timestamp>>,
}

/// Whether a text has the form of a key: `PREFIX_` + 8 + `_` + 32 + a checksum of what stands
/// before it, so that a mistyped or invented one costs no look-up, and a password is not taken
/// for one.
pub fn is_well_formed(text: &str) -> bool {
    let mut parts = text.split('_');
    let (Some(prefix), Some(shown), Some(rest), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric());
    if prefix.is_empty()
        || prefix.len() > 16
        || shown.len() != SHOWN
        || rest.len() != HIDDEN + CHECKSUM
        || ![prefix, shown, rest].into_iter().all(plain)
    {
        return false;
    }
    let (body, checksum) = text.split_at(text.len() - CHECKSUM);
    checksum_text(body, CHECKSUM) == checksum
}

fn mint(prefix: &str) -> Secret {
    let body = format!("{prefix}_{}_{}", random_text(SHOWN), random_text(HIDDEN));
    let checksum = checksum_text(&body, CHECKSUM);
    Secret::new(body + &checksum)
}

fn shown_part(key: &Secret, prefix: &str) -> String {
    key.reveal().chars().take(prefix.len() + 1 + SHOWN).collect()
}

fn check_name(name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::Invalid(Field::Name, Reason::Missing));
    }
    check_line(name, Field::Name)
}

/// Permissions that the caller has; granting others is refused.
fn check_permissions(caller: &Caller, names: Option<Vec<String>>) -> Result<Option<Permissions>> {
    let permissions = names.map(Permissions::parse).transpose()?;
    if let Some(permissions) = &permissions {
        caller.must_cover(permissions)?;
    }
    Ok(permissions)
}

/// A key never has more than its owner, also while somebody with more rights makes it.
fn must_be_within(owner: &Permissions, wanted: Option<&Permissions>) -> Result<()> {
    match wanted {
        Some(wanted) if !owner.covers(wanted) => Err(Error::Forbidden(Denied::ExceedsRights)),
        _ => Ok(()),
    }
}

/// What a key is given that may have all of its owner's rights. Made by somebody else it has those of
/// now: whoever has it must not rise with the owner. The command line is nobody's hand but the house's.
fn whole(caller: &Caller, owner: AccountId, rights: &Permissions) -> Option<Permissions> {
    let by_another = caller.account_id().is_some_and(|asking| asking != owner);
    by_another.then(|| rights.clone())
}

fn check_expiry(expires_at: Option<Timestamp>, now: Timestamp) -> Result<()> {
    match expires_at {
        Some(end) if end <= now => {
            Err(Error::Invalid(Field::ExpiresAt, Reason::Form("must be in the future")))
        }
        _ => Ok(()),
    }
}

// Rows

const COLUMNS: &str =
    "id, account_id, name, key_prefix, permissions, expires_at, last_used_at, created_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: row.get(0)?,
        account: row.get(1)?,
        name: row.get(2)?,
        key_prefix: row.get(3)?,
        permissions: Permissions::from_column(row.get(4)?),
        expires_at: row.get(5)?,
        last_used_at: row.get(6)?,
        created_at: row.get(7)?,
    })
}

/// How many keys somebody has.
pub(super) fn count_of(connection: &Connection, owner: AccountId) -> rusqlite::Result<u64> {
    let count: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM api_keys WHERE account_id = ?1 AND revoked_at IS NULL",
        )?
        .query_row([owner], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

pub(super) fn row_by_digest(
    connection: &Connection,
    digest: TokenDigest,
) -> rusqlite::Result<Option<ApiKey>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM api_keys WHERE digest = ?1 AND revoked_at IS NULL"
        ))?
        .query_row([digest], from_row)
        .optional()
}

fn row_by_id(connection: &Connection, id: &str) -> Result<ApiKey> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM api_keys WHERE id = ?1 AND revoked_at IS NULL"
        ))?
        .query_row([id], from_row)
        .optional()?
        .ok_or(Error::NotFound(Noun::ApiKey))
}

/// The key as it is now, unless it has ended.
pub(super) fn live(
    connection: &Connection,
    id: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<ApiKey>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM api_keys WHERE id = ?1 AND revoked_at IS NULL
             AND (expires_at IS NULL OR expires_at > ?2)"
        ))?
        .query_row(params![id, now], from_row)
        .optional()
}

fn insert(transaction: &Transaction<'_>, key: &ApiKey, digest: TokenDigest) -> Result<()> {
    let count: i64 = transaction
        .prepare_cached(
            "SELECT count(*) FROM api_keys WHERE account_id = ?1 AND revoked_at IS NULL",
        )?
        .query_row([key.account], |row| row.get(0))?;
    if count >= MAX_PER_ACCOUNT {
        const RULE: &str = "cannot be given: 100 keys exist; revoke one first";
        return Err(Error::Invalid(Field::Name, Reason::Form(RULE)));
    }
    transaction
        .prepare_cached(
            "INSERT INTO api_keys (id, account_id, name, key_prefix, digest, permissions, expires_at,
                 created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            key.id,
            key.account,
            key.name,
            key.key_prefix,
            digest,
            key.permissions.as_ref().map(Permissions::to_json),
            key.expires_at,
            key.created_at
        ])?;
    Ok(())
}

fn update(transaction: &Transaction<'_>, key: &ApiKey) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE api_keys SET name = ?2, permissions = ?3, expires_at = ?4 WHERE id = ?1",
        )?
        .execute(params![
            key.id,
            key.name,
            key.permissions.as_ref().map(Permissions::to_json),
            key.expires_at
        ])?;
    Ok(())
}

pub(super) fn note_use(
    transaction: &Transaction<'_>,
    id: &str,
    at: Timestamp,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1")?
        .execute(params![id, at])?;
    Ok(())
}

/// Ends all keys of an account.
pub(super) fn revoke_all(
    transaction: &Transaction<'_>,
    account: AccountId,
    now: Timestamp,
) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE api_keys SET revoked_at = ?2 WHERE account_id = ?1 AND revoked_at IS NULL",
        )?
        .execute(params![account, now])?;
    Ok(())
}

/// Forgets keys that were revoked long ago; how many.
pub(super) fn sweep(transaction: &Transaction<'_>, before: Timestamp) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("DELETE FROM api_keys WHERE revoked_at IS NOT NULL AND revoked_at <= ?1")?
        .execute([before])
}

/// The caller's own key, or somebody else's with `permission`. Without it, a key of somebody
/// else is not there at all.
fn reachable(
    connection: &Connection,
    caller: &Caller,
    id: &str,
    permission: &str,
) -> Result<ApiKey> {
    let key = row_by_id(connection, id)?;
    if caller.account_id() == Some(key.account) {
        return Ok(key);
    }
    caller.must(permission).map_err(|_| Error::NotFound(Noun::ApiKey))?;
    let owner = accounts::must_exist(connection, key.account)?;
    if permission != API_KEYS_READ {
        caller.must_cover(&owner.permissions)?;
    }
    Ok(key)
}

// Deeds

impl Core {
    /// Makes a key for the caller, or for `owner` with api-keys-write, which never has more than
    /// `owner` has now. The key itself is given here and never again.
    pub async fn api_key_create(
        &self,
        caller: &Caller,
        owner: Option<AccountId>,
        draft: ApiKeyDraft,
    ) -> Result<(ApiKey, Secret)> {
        caller.must_not_be_key()?;
        let owner = match owner {
            Some(owner) if caller.account_id() != Some(owner) => {
                caller.must(API_KEYS_WRITE)?;
                owner
            }
            _ => caller.account()?.id,
        };
        let now = self.clock.now();
        check_name(&draft.name)?;
        check_expiry(draft.expires_at, now)?;
        let permissions = check_permissions(caller, draft.permissions)?;
        let plain = mint(&self.settings.api_key_prefix);
        let digest = TokenDigest::of(plain.reveal());
        let key = ApiKey {
            id: random_uuid().to_string(),
            account: owner,
            name: draft.name,
            key_prefix: shown_part(&plain, &self.settings.api_key_prefix),
            permissions,
            expires_at: draft.expires_at,
            last_used_at: None,
            created_at: now,
        };
        let asking = caller.clone();
        let event = Event::new(EventKind::ApiKeyCreated, caller, now).of(owner).about(&key.name);
        let key = self
            .deed(Stale::Of(owner), move |transaction, now| {
                sessions::must_live_for((transaction, now), &asking, owner)?;
                let mut key = key;
                let rights = accounts::must_exist(transaction, owner)?.permissions;
                if asking.account_id() != Some(owner) {
                    asking.must_cover(&rights)?;
                }
                must_be_within(&rights, key.permissions.as_ref())?;
                key.permissions = key.permissions.or_else(|| whole(&asking, owner, &rights));
                insert(transaction, &key, digest)?;
                event.append(transaction)?;
                Ok(key)
            })
            .await?;
        Ok((key, plain))
    }

    /// The caller's keys, or somebody's with api-keys-read; newest first.
    pub async fn api_keys_list(
        &self,
        caller: &Caller,
        owner: Option<AccountId>,
        page: Page,
    ) -> Result<PageOf<ApiKey>> {
        caller.must_not_be_key()?;
        let owner = match owner {
            Some(owner) if caller.account_id() != Some(owner) => {
                caller.must(API_KEYS_READ)?;
                owner
            }
            _ => caller.account()?.id,
        };
        self.db
            .read(move |connection| {
                accounts::must_exist(connection, owner)?;
                let total = count_of(connection, owner)?;
                let rows = connection
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS} FROM api_keys WHERE account_id = ?1 AND revoked_at IS NULL
                         ORDER BY created_at DESC, id LIMIT ?2 OFFSET ?3"
                    ))?
                    .query_map(params![owner, page.limit(), page.offset()], from_row)?
                    .collect::<rusqlite::Result<_>>()?;
                Ok(PageOf { rows, total })
            })
            .await
    }

    /// Everybody's keys, by the name of their owner, then newest first.
    pub async fn api_keys_of_all(&self, caller: &Caller, page: Page) -> Result<PageOf<OwnedKey>> {
        caller.must_not_be_key()?;
        caller.must(API_KEYS_READ)?;
        self.db
            .read(move |connection| {
                let total = connection
                    .prepare_cached("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL")?
                    .query_row([], |row| row.get(0))?;
                let rows = connection
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS}, (SELECT username FROM accounts a WHERE a.id = account_id)
                         FROM api_keys WHERE revoked_at IS NULL
                         ORDER BY (SELECT username_key FROM accounts a WHERE a.id = account_id),
                             created_at DESC, id LIMIT ?1 OFFSET ?2"
                    ))?
                    .query_map([page.limit(), page.offset()], |row| {
                        Ok(OwnedKey { key: from_row(row)?, owner: row.get(8)? })
                    })?
                    .collect::<rusqlite::Result<_>>()?;
                Ok(PageOf::new(rows, total))
            })
            .await
    }

    pub async fn api_key_get(&self, caller: &Caller, id: String) -> Result<ApiKey> {
        caller.must_not_be_key()?;
        let asking = caller.clone();
        self.db.read(move |connection| reachable(connection, &asking, &id, API_KEYS_READ)).await
    }

    /// Renames a key, narrows or widens its rights within the caller's and the owner's.
    pub async fn api_key_update(
        &self,
        caller: &Caller,
        id: String,
        change: ApiKeyChange,
    ) -> Result<ApiKey> {
        caller.must_not_be_key()?;
        let now = self.clock.now();
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        check_expiry(change.expires_at.flatten(), now)?;
        let permissions = match change.permissions {
            Some(names) => Some(check_permissions(caller, names)?),
            None => None,
        };
        let asking = caller.clone();
        self.deed(Stale::OfWhom(|key: &ApiKey| Some(key.account)), move |transaction, now| {
            let mut key = reachable(transaction, &asking, &id, API_KEYS_WRITE)?;
            sessions::must_live_for((transaction, now), &asking, key.account)?;
            key.name = change.name.unwrap_or(key.name);
            if let Some(permissions) = permissions {
                let rights = accounts::must_exist(transaction, key.account)?.permissions;
                must_be_within(&rights, permissions.as_ref())?;
                key.permissions = permissions.or_else(|| whole(&asking, key.account, &rights));
            }
            key.expires_at = change.expires_at.unwrap_or(key.expires_at);
            update(transaction, &key)?;
            let event = Event::new(EventKind::ApiKeyUpdated, &asking, now);
            event.of(key.account).about(&key.name).append(transaction)?;
            Ok(key)
        })
        .await
    }

    /// Ends a key at once and for good.
    pub async fn api_key_revoke(&self, caller: &Caller, id: String) -> Result<()> {
        caller.must_not_be_key()?;
        let asking = caller.clone();
        self.deed(Stale::OfWhom(|owner| Some(*owner)), move |transaction, now| {
            let key = reachable(transaction, &asking, &id, API_KEYS_DELETE)?;
            transaction
                .prepare_cached("UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1")?
                .execute(params![key.id, now])?;
            let event = Event::new(EventKind::ApiKeyRevoked, &asking, now);
            event.of(key.account).about(&key.name).append(transaction)?;
            Ok(key.account)
        })
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_key_has_its_form_and_a_changed_one_has_not() {
        for prefix in ["lodge", "codex", "x"] {
            let key = mint(prefix);
            assert!(is_well_formed(key.reveal()), "{}", key.reveal());
            assert_eq!(shown_part(&key, prefix).len(), prefix.len() + 9);
            let mut other = key.reveal().to_owned();
            let last = if other.ends_with('a') { 'b' } else { 'a' };
            other.pop();
            other.push(last);
            assert!(!is_well_formed(&other));
        }
        for bad in ["", "lodge", "lodge_", "__", "a_b_c", "lodge_12345678_é"] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
