//! Which role somebody has whom a provider vouches for. A provider grants what the configuration
//! maps, and takes back what it gave itself: a role that somebody of the house gave stays.

use rusqlite::Transaction;

use super::ProviderSettings;
use crate::domain::{
    Timestamp,
    accounts::{self, Account},
    caller::Origin,
    error::{Clash, Error, Result},
    events::{Event, EventKind},
    letters,
    permissions::{self, ADMIN},
    secret::random_text,
    sessions,
};

/// The role that these groups give: the admin group first, then the mapping in its order.
pub fn mapped<'a>(provider: &'a ProviderSettings, groups: &[String]) -> Option<&'a str> {
    if provider.admin_group.as_ref().is_some_and(|group| groups.contains(group)) {
        return Some(ADMIN);
    }
    let mapping = provider.role_mapping.iter();
    mapping.into_iter().find(|(group, _)| groups.contains(group)).map(|(_, role)| role.as_str())
}

/// What an account should have from now on: a role that the provider gave follows it in both
/// directions, another one only rises.
fn wanted(
    transaction: &Transaction<'_>,
    account: &Account,
    mapped: Option<&str>,
    given: Option<&str>,
    default_role: &str,
) -> Result<Option<String>> {
    let is_given = given == Some(account.role.as_str());
    let role = match mapped {
        Some(role) if permissions::exists(transaction, role)? => role,
        _ if is_given => default_role,
        _ => return Ok(None),
    };
    let rises = permissions::of_role(transaction, role)?.covers(&account.permissions);
    Ok((role != account.role && (is_given || rises)).then(|| role.to_owned()))
}

/// Gives the account the role of its groups; `given` is what this identity gave before. What it
/// has given now.
pub fn follow(
    transaction: &Transaction<'_>,
    account: &Account,
    (mapped, given): (Option<&str>, Option<&str>),
    default_role: &str,
    (origin, now): (&Origin, Timestamp),
) -> Result<Option<String>> {
    match wanted(transaction, account, mapped, given, default_role)? {
        Some(role) if change(transaction, account, &role, origin, now)? => Ok(Some(role)),
        // A role that was there before is nobody's gift, also when the groups would give it.
        _ => Ok(given.map(str::to_owned)),
    }
}

/// Changes the role, which ends what the account carries and the links to it; `false` for the last
/// active admin, who stays one.
pub fn change(
    transaction: &Transaction<'_>,
    was: &Account,
    role: &str,
    origin: &Origin,
    now: Timestamp,
) -> Result<bool> {
    let mut account = was.clone();
    account.role = role.to_owned();
    account.epoch = random_text(16);
    accounts::update(transaction, &account, now)?;
    match accounts::admin_remains(transaction, was) {
        Ok(()) => {}
        Err(Error::Conflict(Clash::LastAdmin)) => {
            accounts::update(transaction, was, now)?;
            return Ok(false);
        }
        Err(other) => return Err(other),
    }
    sessions::end_all(transaction, was.id, None, now)?;
    letters::end_tokens(transaction, was.id, None)?;
    let event = Event::from_origin(EventKind::AccountUpdated, origin, now).of(was.id);
    event.about(format!("role {role}, by its provider")).append(transaction)?;
    Ok(true)
}
