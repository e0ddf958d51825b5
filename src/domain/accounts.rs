//! Accounts: one for each person or service, in every dialect.

use caseless::default_case_fold_str;
use rusqlite::{
    Connection, OptionalExtension, Row, ToSql, Transaction, params,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use super::{
    Timestamp,
    error::{Clash, Error, Field, Reason, Result},
    permissions::{self, ADMIN, Permissions},
    secret::{random_text, random_uuid, sha256},
};

const MAX_USERNAME: usize = 64;
const MAX_EMAIL: usize = 254;
const MAX_DISPLAY_NAME: usize = 128;
/// In bytes, in any spelling: what is longer is nobody's name or address.
const MAX_LOGIN: usize = 1024;
/// In bytes: no name or address has a longer part.
const MAX_PART: usize = 4 * MAX_DISPLAY_NAME;
/// Numbers that are tried behind a name which is in use.
const FREE_NAMES: u32 = 1000;
/// Names that paths and Basic credentials use for themselves.
const RESERVED: [&str; 2] = ["api", "me"];

/// A random UUID, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(Uuid);

impl AccountId {
    pub fn random() -> Self {
        Self(random_uuid())
    }

    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// One byte of it, to spread accounts evenly.
    pub fn shard_byte(self) -> u8 {
        self.0.as_bytes()[0]
    }
}

impl From<Uuid> for AccountId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl std::fmt::Display for AccountId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl ToSql for AccountId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl FromSql for AccountId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        Uuid::try_parse(text).map(Self).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

/// Whether an account may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    /// Waits for a letter to be answered; reads like wrong credentials.
    Pending,
    Disabled,
}

impl Status {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Disabled => "disabled",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "pending" => Self::Pending,
            _ => Self::Disabled,
        }
    }
}

/// Which accounts somebody wants to see.
#[derive(Clone, Debug, Default)]
pub struct AccountFilter {
    /// Part of a name, e-mail or display name.
    pub q: String,
    pub role: Option<String>,
    pub status: Option<Status>,
}

/// The one canonical form of a name or address that somebody typed: NFKC, case folded. Text that is
/// too long for either stays as it is: folded, it could be eleven times as long.
pub fn canonical(text: &str) -> String {
    if text.len() > MAX_LOGIN {
        return text.to_owned();
    }
    let composed: String = text.nfkc().collect();
    default_case_fold_str(&composed).nfkc().collect()
}

/// A user name that may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    pub shown: String,
    pub key: String,
}

impl Username {
    /// Up to 64 letters, digits, `. _ -`, not beginning or ending with a dot and not changed by
    /// NFKC; or, with an `@`, the account's own e-mail.
    ///
    /// # Errors
    /// [`Error::Invalid`] says what a name may be.
    pub fn parse(text: &str, email: Option<&Email>) -> Result<Self> {
        let wrong = |rule| Err(Error::Invalid(Field::Username, Reason::Form(rule)));
        if text.is_empty() {
            return Err(Error::Invalid(Field::Username, Reason::Missing));
        }
        if text.contains('@') {
            return match email {
                Some(email) if email.0 == text.to_lowercase() => {
                    Ok(Self { shown: email.0.clone(), key: canonical(text) })
                }
                _ => wrong("with an @ must be the account's own e-mail address"),
            };
        }
        if text.chars().count() > MAX_USERNAME {
            return Err(Error::Invalid(Field::Username, Reason::TooLong { max: MAX_USERNAME }));
        }
        if !text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-')) {
            return wrong("may have letters, digits, dots, underscores and hyphens only");
        }
        if text.starts_with('.') || text.ends_with('.') {
            return wrong("may not begin or end with a dot");
        }
        if text.nfkc().ne(text.chars()) {
            return wrong("has characters that look like others; write it with ordinary ones");
        }
        let key = canonical(text);
        if RESERVED.contains(&key.as_str()) {
            return wrong("is reserved; choose another");
        }
        Ok(Self { shown: text.to_owned(), key })
    }
}

/// An e-mail address in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Up to 254 characters, one `@`, a dotted or bare host, nothing that letters or headers
    /// would read as something else, nothing that folds to another address: an address is a name
    /// too, and must not stand before somebody else's.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn parse(text: &str) -> Result<Self> {
        // Before anything is done with it; in lower case it may become a little shorter.
        let lower = if text.len() <= MAX_LOGIN { text.to_lowercase() } else { String::new() };
        let sound = lower.len() <= MAX_EMAIL
            && canonical(&lower) == lower
            && lower.split_once('@').is_some_and(|(local, host)| is_local(local) && is_host(host));
        if sound {
            Ok(Self(lower))
        } else {
            Err(Error::Invalid(
                Field::Email,
                Reason::Form("must be an address like name@example.org"),
            ))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_local(local: &str) -> bool {
    !local.is_empty()
        && local.len() <= 64
        && !local.starts_with('.')
        && !local.ends_with('.')
        && local.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c))
}

fn is_host(host: &str) -> bool {
    host.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    })
}

/// A name for people to read: up to 128 characters, none that control the text around it.
///
/// # Errors
/// [`Error::Invalid`] for `field`.
pub fn check_line(text: &str, field: Field) -> Result<()> {
    if text.chars().count() > MAX_DISPLAY_NAME {
        return Err(Error::Invalid(field, Reason::TooLong { max: MAX_DISPLAY_NAME }));
    }
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}' | '\u{2029}'
                | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    if text.chars().any(steers) {
        return Err(Error::Invalid(field, Reason::Form("may not have control characters")));
    }
    Ok(())
}

/// One account with the rights that it has now.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: AccountId,
    pub username: String,
    pub email: Option<String>,
    pub display_name: String,
    pub role: String,
    pub permissions: Permissions,
    pub status: Status,
    pub email_verified: bool,
    pub password_hash: Option<String>,
    pub pin_hash: Option<String>,
    pub epoch: String,
    pub pending_until: Option<Timestamp>,
    pub last_login_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Account {
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// Whether somebody who types `text` means this account.
    pub fn is_called(&self, text: &str) -> bool {
        let wanted = canonical(text);
        canonical(&self.username) == wanted
            || self.email.as_deref().is_some_and(|email| canonical(email) == wanted)
    }

    /// Changes whenever the password does; tells nothing about it.
    pub fn password_mark(&self) -> [u8; 8] {
        let digest = sha256(self.password_hash.as_deref().unwrap_or_default().as_bytes());
        let mut mark = [0; 8];
        mark.copy_from_slice(&digest[..8]);
        mark
    }
}

/// An account before it is written.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Known before it is written, since a PIN is hashed with it.
    pub id: AccountId,
    pub username: Username,
    pub email: Option<Email>,
    pub display_name: String,
    pub role: String,
    pub status: Status,
    pub email_verified: bool,
    pub password_hash: Option<String>,
    pub pin_hash: Option<String>,
    pub pending_until: Option<Timestamp>,
}

// Rows

const COLUMNS: &str = "id, username, email, display_name, role, status, email_verified,
    password_hash, pin_hash, epoch, pending_until, last_login_at, created_at, updated_at";

fn from_row(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Account> {
    let role: String = row.get(4)?;
    Ok(Account {
        id: row.get(0)?,
        username: row.get(1)?,
        email: row.get(2)?,
        display_name: row.get(3)?,
        permissions: permissions::of_role(connection, &role)?,
        role,
        status: Status::parse(&row.get::<_, String>(5)?),
        email_verified: row.get(6)?,
        password_hash: row.get(7)?,
        pin_hash: row.get(8)?,
        epoch: row.get(9)?,
        pending_until: row.get(10)?,
        last_login_at: row.get(11)?,
        created_at: row.get(12)?,
        updated_at: row.get(13)?,
    })
}

fn rows_where(
    connection: &Connection,
    clause: &str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<Vec<Account>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM accounts WHERE {clause}"))?
        .query_map(values, |row| from_row(connection, row))?
        .collect()
}

pub(super) fn row_by_id(
    connection: &Connection,
    id: AccountId,
) -> rusqlite::Result<Option<Account>> {
    Ok(rows_where(connection, "id = ?1", [id])?.pop())
}

/// By name or e-mail, in any spelling that means the same.
pub(super) fn row_by_login(
    connection: &Connection,
    login: &str,
) -> rusqlite::Result<Option<Account>> {
    if login.len() > MAX_LOGIN {
        return Ok(None);
    }
    let key = canonical(login);
    let by_name = rows_where(connection, "username_key = ?1", [&key])?.pop();
    if by_name.is_some() || !login.contains('@') {
        return Ok(by_name);
    }
    row_by_email(connection, login)
}

pub(super) fn row_by_email(
    connection: &Connection,
    email: &str,
) -> rusqlite::Result<Option<Account>> {
    if email.len() > MAX_LOGIN {
        return Ok(None);
    }
    let lower: String = email.nfkc().collect::<String>().to_lowercase();
    Ok(rows_where(connection, "email = ?1", [lower])?.pop())
}

/// Matches of `q` in name, e-mail or display name, by name; and how many there are in all.
pub(super) fn rows_page(
    connection: &Connection,
    filter: &AccountFilter,
    limit: u32,
    offset: u32,
) -> rusqlite::Result<(Vec<Account>, i64)> {
    const MATCHING: &str =
        "(?1 = '' OR username_key LIKE ?2 ESCAPE '\\' OR email LIKE ?3 ESCAPE '\\'
        OR display_name LIKE ?3 ESCAPE '\\')
        AND (?4 IS NULL OR role = ?4) AND (?5 IS NULL OR status = ?5)";
    let like = |text: &str| {
        let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        format!("%{escaped}%")
    };
    let q = filter.q.trim();
    if q.len() > MAX_PART {
        return Ok((Vec::new(), 0));
    }
    let (key, shown) = (like(&canonical(q)), like(q));
    let (role, status) = (&filter.role, filter.status.map(Status::name));
    let total = connection
        .prepare_cached(&format!("SELECT count(*) FROM accounts WHERE {MATCHING}"))?
        .query_row(params![q, key, shown, role, status], |row| row.get(0))?;
    let rows = rows_where(
        connection,
        &format!("{MATCHING} ORDER BY username_key LIMIT ?6 OFFSET ?7"),
        params![q, key, shown, role, status, limit, offset],
    )?;
    Ok((rows, total))
}

/// The few active ones that have a PIN, for a login pad.
pub(super) fn rows_with_pin(connection: &Connection) -> rusqlite::Result<Vec<Account>> {
    rows_where(
        connection,
        "pin_hash IS NOT NULL AND status = 'active' ORDER BY username_key LIMIT 100",
        [],
    )
}

pub(super) fn any(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM accounts)")?
        .query_row([], |row| row.get(0))
}

pub(super) fn any_active(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM accounts WHERE status = 'active')")?
        .query_row([], |row| row.get(0))
}

/// `wanted`, or with the first number behind it that nobody has. The caller's transaction keeps
/// it free.
pub(super) fn free_username(transaction: &Transaction<'_>, wanted: &str) -> Result<Username> {
    let mut taken = transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM accounts WHERE username_key = ?1)")?;
    for number in 1..FREE_NAMES {
        let number = if number == 1 { String::new() } else { number.to_string() };
        let name = Username::parse(&format!("{wanted}{number}"), None)?;
        if !taken.query_row([&name.key], |row| row.get::<_, bool>(0))? {
            return Ok(name);
        }
    }
    Username::parse(&format!("user-{}", random_text(16)), None)
}

/// Writes a new account; the database decides whether its names are free.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    new: &NewAccount,
    now: Timestamp,
) -> Result<Account> {
    // A pending account that nobody activated in time frees its names.
    transaction
        .prepare_cached("DELETE FROM accounts WHERE status = 'pending' AND pending_until <= ?1")?
        .execute([now])?;
    transaction
        .prepare_cached(
            "INSERT INTO accounts (id, username, username_key, email, display_name, role, status,
                 email_verified, password_hash, pin_hash, epoch, pending_until, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)",
        )?
        .execute(params![
            new.id,
            new.username.shown,
            new.username.key,
            new.email.as_ref().map(Email::as_str),
            new.display_name,
            new.role,
            new.status.name(),
            new.email_verified,
            new.password_hash,
            new.pin_hash,
            random_text(16),
            new.pending_until,
            now
        ])?;
    must_exist(transaction, new.id)
}

/// Writes everything of `account` that can change but its secrets; the epoch is the caller's
/// choice.
pub(super) fn update(
    transaction: &Transaction<'_>,
    account: &Account,
    now: Timestamp,
) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE accounts SET username = ?2, username_key = ?3, email = ?4, display_name = ?5,
                 role = ?6, status = ?7, email_verified = ?8, password_hash = ?9, pin_hash = ?10,
                 epoch = ?11, pending_until = ?12, updated_at = ?13
             WHERE id = ?1",
        )?
        .execute(params![
            account.id,
            account.username,
            canonical(&account.username),
            account.email,
            account.display_name,
            account.role,
            account.status.name(),
            account.email_verified,
            account.password_hash,
            account.pin_hash,
            account.epoch,
            account.pending_until,
            now
        ])?;
    Ok(())
}

pub(super) fn delete(transaction: &Transaction<'_>, id: AccountId) -> Result<()> {
    transaction.prepare_cached("DELETE FROM accounts WHERE id = ?1")?.execute([id])?;
    Ok(())
}

pub(super) fn note_sign_in(
    transaction: &Transaction<'_>,
    id: AccountId,
    new_hash: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE accounts SET last_login_at = ?2, password_hash = coalesce(?3, password_hash)
             WHERE id = ?1",
        )?
        .execute(params![id, now, new_hash])?;
    Ok(())
}

/// Deletes pending accounts past their time; how many.
pub(super) fn sweep_pending(
    transaction: &Transaction<'_>,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached("DELETE FROM accounts WHERE status = 'pending' AND pending_until <= ?1")?
        .execute([now])
}

pub(super) fn must_exist(connection: &Connection, id: AccountId) -> Result<Account> {
    row_by_id(connection, id)?.ok_or(Error::NotFound(super::error::Noun::Account))
}

/// Call after a change to an account that was `was`: the last active admin must remain.
pub(super) fn admin_remains(transaction: &Transaction<'_>, was: &Account) -> Result<()> {
    if was.role != ADMIN || !was.is_active() {
        return Ok(());
    }
    let remains: bool = transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM accounts WHERE role = 'admin' AND status = 'active')",
        )?
        .query_row([], |row| row.get(0))?;
    if remains { Ok(()) } else { Err(Error::Conflict(Clash::LastAdmin)) }
}

/// Those who have a role, however many they are.
pub(super) fn with_role(connection: &Connection, role: &str) -> rusqlite::Result<Vec<AccountId>> {
    let mut members = connection.prepare_cached("SELECT id FROM accounts WHERE role = ?1")?;
    members.query_map([role], |row| row.get(0))?.collect()
}

/// What some deed may see of its own account, afresh inside its transaction.
pub(super) fn unchanged(connection: &Connection, seen: &Account) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM accounts WHERE id = ?1 AND status = 'active' AND epoch = ?2
                 AND password_hash IS ?3 AND pin_hash IS ?4)",
        )?
        .query_row(params![seen.id, seen.epoch, seen.password_hash, seen.pin_hash], |row| row.get(0))
        .optional()
        .map(|found| found.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_one_key() {
        for spelling in ["Alice", "ALICE", "alice", "ａｌｉｃｅ"] {
            assert_eq!(canonical(spelling), "alice", "{spelling}");
        }
        assert_eq!(canonical("Straße"), canonical("STRASSE"));
    }

    #[test]
    fn names_that_could_be_mistaken_are_refused() {
        for bad in [
            "",
            ".alice",
            "alice.",
            "al ice",
            "alice ",
            "al:ice",
            "al\u{202E}ice",
            "ａｌｉｃｅ",
            "ﬁona",
            "api",
            "API",
            "me",
            "a/b",
            "alice\0",
            "x@example.org",
            &"a".repeat(65),
        ] {
            assert!(Username::parse(bad, None).is_err(), "{bad:?}");
        }
        for good in ["alice", "Zoë", "a.b_c-d", "9", "李雷", &"a".repeat(64)] {
            assert!(Username::parse(good, None).is_ok(), "{good:?}");
        }
        let own = Email::parse("X@Example.org").expect("an address");
        assert_eq!(
            Username::parse("x@example.ORG", Some(&own)).expect("own").shown,
            "x@example.org"
        );
        assert!(Username::parse("y@example.org", Some(&own)).is_err());
    }

    #[test]
    fn addresses_that_letters_would_misread_are_refused() {
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b\r\nBcc: x",
            "<a@b>",
            "a@-b",
            "a..@",
            "a,b@c",
            "ａ@example.org",
            "jeß@example.org",
            "a@b..c",
            &format!("a@{}", "b".repeat(260)),
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            Email::parse("Ann@Example.ORG").expect("an address").as_str(),
            "ann@example.org"
        );
        assert!(Email::parse("o'neil+x@localhost").is_ok());
    }

    #[test]
    fn display_names_cannot_turn_the_text_around_them() {
        assert!(check_line("Ann & <b>Bob</b>", Field::DisplayName).is_ok());
        for bad in ["a\nb", "a\u{202E}b", "a\u{2066}b", "a\u{7f}", &"x".repeat(129)] {
            assert!(check_line(bad, Field::DisplayName).is_err(), "{bad:?}");
        }
    }
}
