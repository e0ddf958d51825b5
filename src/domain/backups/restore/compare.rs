//! What has ended or changed since a copy was made: the copy is `main`, the database that it replaces
//! is attached as `replaced`. This SQL speaks of two databases at once, so it stands here and not
//! under the types whose rows it compares.

use rusqlite::{Connection, Row, Transaction};

use crate::domain::Timestamp;

/// The schema from which on all that is compared is there.
pub(super) const OLDEST: u32 = 4;
/// So many of each kind are named.
const NAMED: i64 = 200;

/// What the replaced database knew better.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// So many sessions of the copy had ended since, and stay ended.
    pub sessions: usize,
    /// The same for API keys that were revoked.
    pub api_keys: usize,
    /// The same for invitations that were withdrawn or used up.
    pub invitations: usize,
    /// The same for accounts elsewhere that were unlinked.
    pub identities: usize,
    /// What is as it was when the copy was made; 200 of each kind at the most.
    pub changes: Vec<Change>,
}

/// What somebody should know of an account, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was deleted since and is there again.
    Back(String),
    /// It was made since and is gone.
    Gone(String),
    /// It was disabled since and is not any more.
    ActiveAgain(String),
    /// It had another role: that of the copy, and the one that it had.
    Role(String, String, String),
    /// It had another password or PIN.
    Secret(String),
}

/// What can still be used by whoever has it; 200 of each kind at the most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Living {
    /// Names of accounts, each with its number of sessions.
    pub sessions: Vec<(String, i64)>,
    /// Names of accounts, each with the name and the beginning of a key.
    pub api_keys: Vec<(String, String, String)>,
}

impl Living {
    pub(super) fn of(copy: &Connection, now: Timestamp) -> rusqlite::Result<Self> {
        let sessions = copy
            .prepare(
                "SELECT username, count(*) FROM sessions JOIN accounts ON accounts.id = account_id
                 WHERE ended_at IS NULL AND expires_at > ?1 AND status = 'active'
                 GROUP BY account_id ORDER BY username_key LIMIT ?2",
            )?
            .query_map((now, NAMED), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let api_keys = copy
            .prepare(
                "SELECT username, name, key_prefix
                 FROM api_keys JOIN accounts ON accounts.id = account_id
                 WHERE revoked_at IS NULL AND status = 'active'
                   AND (api_keys.expires_at IS NULL OR api_keys.expires_at > ?1)
                 ORDER BY username_key, name LIMIT ?2",
            )?
            .query_map((now, NAMED), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self { sessions, api_keys })
    }
}

/// Links that were mailed before work no more, and letters with them do not go out again.
pub(super) fn forget_links(copy: &Transaction<'_>) -> rusqlite::Result<()> {
    copy.execute("DELETE FROM one_time_tokens", [])?;
    copy.execute(
        "UPDATE outbox SET status = 'failed', link = NULL, details = '{}', next_attempt_at = NULL,
             sending_since = NULL, last_error = 'the database was restored from a copy'
         WHERE status IN ('waiting', 'held')",
        [],
    )?;
    Ok(())
}

/// Ends every session and revokes every API key.
pub(super) fn end_all(copy: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<()> {
    copy.execute("UPDATE sessions SET ended_at = ?1 WHERE ended_at IS NULL", [now])?;
    copy.execute("UPDATE api_keys SET revoked_at = ?1 WHERE revoked_at IS NULL", [now])?;
    Ok(())
}

impl Comparison {
    /// What the replaced database had ended, or had no more, ends in the copy too.
    pub(super) fn end_what_ended(copy: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<Self> {
        let changes = changes(copy)?;
        let sessions = copy.execute(
            "UPDATE main.sessions SET ended_at = ?1
             WHERE ended_at IS NULL AND id NOT IN (
                 SELECT id FROM replaced.sessions WHERE ended_at IS NULL)",
            [now],
        )?;
        let api_keys = copy.execute(
            "UPDATE main.api_keys SET revoked_at = ?1
             WHERE revoked_at IS NULL AND id NOT IN (
                 SELECT id FROM replaced.api_keys WHERE revoked_at IS NULL)",
            [now],
        )?;
        let invitations = copy.execute(
            "UPDATE main.invitations SET withdrawn_at = ?1
             WHERE withdrawn_at IS NULL AND uses_left > 0 AND id NOT IN (
                 SELECT id FROM replaced.invitations WHERE withdrawn_at IS NULL AND uses_left > 0)",
            [now],
        )?;
        let identities = copy.execute(
            "DELETE FROM main.identities
             WHERE account_id IN (SELECT id FROM replaced.accounts)
               AND id NOT IN (SELECT id FROM replaced.identities)",
            [],
        )?;
        carry_over(copy)?;
        Ok(Self { sessions, api_keys, invitations, identities, changes })
    }
}

/// What was narrowed since stays so: tokens that were rotated, uses of an invitation, the rights and
/// the end of a key.
fn carry_over(copy: &Transaction<'_>) -> rusqlite::Result<()> {
    copy.execute_batch(
        "UPDATE main.sessions AS mine
         SET refresh_digest = theirs.refresh_digest, rotated_digest = theirs.rotated_digest,
             rotated_at = theirs.rotated_at, cookie_digest = theirs.cookie_digest,
             expires_at = theirs.expires_at
         FROM replaced.sessions AS theirs WHERE mine.id = theirs.id AND mine.ended_at IS NULL;
         UPDATE main.invitations AS mine SET uses_left = min(mine.uses_left, theirs.uses_left)
         FROM replaced.invitations AS theirs WHERE mine.id = theirs.id;
         UPDATE main.api_keys AS mine
         SET permissions = theirs.permissions, expires_at = theirs.expires_at
         FROM replaced.api_keys AS theirs WHERE mine.id = theirs.id AND mine.revoked_at IS NULL;
         -- Whoever follows events from the last one that they saw must not be shown old numbers again.
         UPDATE main.sqlite_sequence AS mine SET seq = max(mine.seq, theirs.seq)
         FROM replaced.sqlite_sequence AS theirs WHERE mine.name = theirs.name;",
    )
}

/// The accounts that are in both.
const BOTH: &str = "FROM main.accounts AS mine JOIN replaced.accounts AS theirs USING (id)";

fn changes(copy: &Transaction<'_>) -> rusqlite::Result<Vec<Change>> {
    let only = |mine: &str, theirs: &str| {
        format!(
            "SELECT username FROM {mine}.accounts WHERE id NOT IN (SELECT id FROM {theirs}.accounts)"
        )
    };
    let both = |rule: &str| format!("SELECT mine.username {BOTH} WHERE {rule}");
    let queries = [
        (only("main", "replaced"), Change::Back as fn(String) -> Change),
        (only("replaced", "main"), Change::Gone),
        (both("mine.status = 'active' AND theirs.status = 'disabled'"), Change::ActiveAgain),
        (
            both(
                "mine.password_hash IS NOT theirs.password_hash
                 OR mine.pin_hash IS NOT theirs.pin_hash",
            ),
            Change::Secret,
        ),
    ];
    let mut changes = Vec::new();
    for (sql, change) in queries {
        changes.extend(found(copy, &sql, |row| row.get(0).map(change))?);
    }
    let roles = format!(
        "SELECT mine.username, mine.role, theirs.role {BOTH} WHERE mine.role <> theirs.role"
    );
    let role = |row: &Row<'_>| Ok(Change::Role(row.get(0)?, row.get(1)?, row.get(2)?));
    changes.extend(found(copy, &roles, role)?);
    Ok(changes)
}

fn found(
    copy: &Transaction<'_>,
    sql: &str,
    change: impl Fn(&Row<'_>) -> rusqlite::Result<Change>,
) -> rusqlite::Result<Vec<Change>> {
    let mut statement = copy.prepare(&format!("{sql} ORDER BY 1 LIMIT {NAMED}"))?;
    statement.query_map([], |row| change(row))?.collect()
}
