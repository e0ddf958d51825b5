//! `gatelodge user list` and `show`.

use serde_json::{Value, json};

use super::{Core, Failure, ListUsers, ShowUser};
use crate::{
    cli::{
        find, key, say,
        words::{moment, plain, say_json, stamp},
    },
    domain::{
        accounts::Account, api_keys::ApiKey, caller::Caller, permissions::ADMIN, sessions::Session,
    },
};

pub async fn list(core: &Core, command: &ListUsers) -> Result<(), Failure> {
    let accounts = find::accounts(core, usize::MAX).await?;
    if command.json {
        return say_json(&accounts.iter().map(shown).collect());
    }
    if accounts.is_empty() {
        return say("No accounts yet. Make the first one: gatelodge user add NAME --generate\n");
    }
    say(&accounts.iter().map(line).collect::<String>())
}

fn line(account: &Account) -> String {
    let email = account.email.as_deref().unwrap_or("-");
    let (name, role, status) = (&account.username, &account.role, account.status.name());
    format!("{name:<24} {role:<12} {status:<9} {email}\n")
}

fn shown(account: &Account) -> Value {
    json!({
        "id": account.id,
        "username": account.username,
        "email": account.email,
        "display_name": account.display_name,
        "role": account.role,
        "status": account.status.name(),
        "email_verified": account.email_verified,
        "has_password": account.password_hash.is_some(),
        "has_pin": account.pin_hash.is_some(),
        "last_login_at": stamp(account.last_login_at),
        "created_at": account.created_at.text(),
    })
}

pub async fn show(core: &Core, command: &ShowUser) -> Result<(), Failure> {
    let account = find::account(core, &command.name).await?;
    let caller = Caller::operator();
    let sessions = core.user_sessions_list(&caller, account.id).await?;
    let keys = find::all(
        async |page| core.api_keys_list(&caller, Some(account.id), page).await,
        usize::MAX,
    )
    .await?;
    if command.json {
        return say_json(&whole(&account, &sessions, &keys));
    }
    let mut text = facts(&account);
    text += &format!("  signed in     {}\n", counted(sessions.len(), "session"));
    text.extend(sessions.iter().map(session_line));
    text += &format!("  API keys      {}\n", keys.len());
    text.extend(keys.iter().map(|one| format!("    {}", key::line(one))));
    say(&text)
}

fn whole(account: &Account, sessions: &[Session], keys: &[ApiKey]) -> Value {
    let mut value = shown(account);
    value["permissions"] = json!(account.permissions.names());
    value["updated_at"] = json!(account.updated_at.text());
    value["sessions"] = sessions.iter().map(session_shown).collect();
    value["api_keys"] = keys.iter().map(key::shown).collect();
    value
}

fn facts(account: &Account) -> String {
    let email = match &account.email {
        Some(email) if account.email_verified => format!("{email} (confirmed)"),
        Some(email) => format!("{email} (not confirmed)"),
        None => "-".to_owned(),
    };
    let may = match account.permissions.names() {
        _ if account.role == ADMIN => "everything".to_owned(),
        names if names.is_empty() => "look after what is their own".to_owned(),
        names => names.join(", "),
    };
    let ways = [("password", account.password_hash.is_some()), ("PIN", account.pin_hash.is_some())];
    let ways: Vec<&str> = ways.into_iter().filter(|(_, has)| *has).map(|(way, _)| way).collect();
    let ways =
        if ways.is_empty() { "neither password nor PIN".to_owned() } else { ways.join(", ") };
    let rows = [
        ("id", account.id.to_string()),
        ("shown as", plain(&account.display_name)),
        ("e-mail", email),
        ("role", account.role.clone()),
        ("status", account.status.name().to_owned()),
        ("may", may),
        ("signs in by", ways),
        ("last sign-in", moment(account.last_login_at, "never")),
        ("made", account.created_at.minute_text()),
    ];
    let rows = rows.map(|(name, value)| format!("  {name:<13} {value}\n"));
    format!("{}\n{}", account.username, rows.concat())
}

fn session_line(session: &Session) -> String {
    let address = if session.address.is_empty() { "-" } else { &session.address };
    format!(
        "    {:<8} {:<9} {address:<15} last used {}  {}\n",
        session.dialect,
        session.method,
        session.last_seen_at.minute_text(),
        plain(&session.user_agent)
    )
}

fn session_shown(session: &Session) -> Value {
    json!({
        "id": session.id,
        "dialect": session.dialect,
        "method": session.method,
        "address": session.address,
        "user_agent": session.user_agent,
        "created_at": session.created_at.text(),
        "last_seen_at": session.last_seen_at.text(),
        "expires_at": session.expires_at.text(),
    })
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => "nowhere".to_owned(),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}
