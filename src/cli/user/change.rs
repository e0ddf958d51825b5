//! What `gatelodge user` changes. The deeds decide; here it is said what they did.

use super::{Core, Failure, SetPassword, SetPin, SetRole, made_up, password_once, pasted};
use crate::{
    cli::{find, say, secrets},
    domain::{
        accounts::{Account, Status},
        caller::Caller,
        error::{Clash, Error},
        people::UserChange,
    },
};

/// The refusal of a deed, with what would help.
fn refused(error: Error) -> Failure {
    match error {
        Error::Conflict(Clash::LastAdmin) => Failure::No(format!(
            "{}; make another one first: gatelodge user set-role NAME admin",
            Clash::LastAdmin
        )),
        other => other.into(),
    }
}

async fn update(core: &Core, account: &Account, change: UserChange) -> Result<(), Failure> {
    core.user_update(&Caller::operator(), account.id, change).await.map_err(refused)?;
    Ok(())
}

fn to_status(status: Status) -> UserChange {
    UserChange { status: Some(status), ..UserChange::default() }
}

pub async fn enable(core: &Core, name: &str) -> Result<(), Failure> {
    let account = find::account(core, name).await?;
    let name = &account.username;
    if account.is_active() {
        return say(&format!("{name} is active already.\n"));
    }
    update(core, &account, to_status(Status::Active)).await?;
    let mut text = format!("{name} is active and can sign in again.\n");
    if account.password_hash.is_none() && account.pin_hash.is_none() {
        let name = pasted(name);
        text += &format!("They have no password. Next: gatelodge user reset-link {name}\n");
    }
    say(&text)
}

pub async fn disable(core: &Core, name: &str) -> Result<(), Failure> {
    let account = find::account(core, name).await?;
    let name = &account.username;
    if account.status == Status::Disabled {
        return say(&format!("{name} is disabled already.\n"));
    }
    update(core, &account, to_status(Status::Disabled)).await?;
    say(&format!(
        "{name} is disabled: signed out everywhere, and no password, PIN or API key of theirs \
         works.\nTo let them in again: gatelodge user enable {}\n",
        pasted(name)
    ))
}

pub async fn set_password(core: &Core, command: &SetPassword) -> Result<(), Failure> {
    let account = find::account(core, &command.name).await?;
    if !command.generate && !command.password_stdin && !secrets::can_ask() {
        const SAY: &str = "say where the password comes from: --password-stdin or --generate";
        return Err(Failure::No(SAY.to_owned()));
    }
    let password = match command.generate {
        true => Some(made_up()),
        false => secrets::read(&["New password"])?.pop(),
    };
    let change = UserChange { password: password.clone(), ..UserChange::default() };
    update(core, &account, change).await?;
    let mut text = format!(
        "{} has another password and is signed out everywhere. API keys stay.\n",
        account.username
    );
    if let Some(password) = password.filter(|_| command.generate) {
        text += &password_once(&password);
    }
    if !account.is_active() {
        text += &format!("The account is {}: they cannot sign in yet.\n", account.status.name());
    }
    say(&text)
}

pub async fn set_pin(core: &Core, command: &SetPin) -> Result<(), Failure> {
    let account = find::account(core, &command.name).await?;
    if !command.remove && !command.pin_stdin && !secrets::can_ask() {
        const SAY: &str = "say where the PIN comes from: --pin-stdin, or take it away: --remove";
        return Err(Failure::No(SAY.to_owned()));
    }
    let pin = match command.remove {
        true => None,
        false => secrets::read(&["New PIN"])?.pop(),
    };
    core.user_pin_set(&Caller::operator(), account.id, pin).await.map_err(refused)?;
    let name = &account.username;
    say(&match command.remove {
        true => format!("{name} has no PIN any more.\n"),
        false => format!("{name} has another PIN; it works inside pin.networks.\n"),
    })
}

pub async fn set_role(core: &Core, command: &SetRole) -> Result<(), Failure> {
    let account = find::account(core, &command.name).await?;
    find::role(core, &command.role).await?;
    let (name, role) = (&account.username, &command.role);
    if account.role == *role {
        return say(&format!("{name} has the role {role} already.\n"));
    }
    let change = UserChange { role: Some(role.clone()), ..UserChange::default() };
    update(core, &account, change).await?;
    say(&format!(
        "{name} has the role {role} now, was {}, and is signed out everywhere.\n",
        account.role
    ))
}

pub async fn delete(core: &Core, name: &str) -> Result<(), Failure> {
    let account = find::account(core, name).await?;
    core.user_delete(&Caller::operator(), account.id).await.map_err(refused)?;
    say(&format!(
        "{} is deleted, with all sessions, API keys and podcasts of theirs. The name is free.\n",
        account.username
    ))
}

pub async fn sign_out(core: &Core, name: &str) -> Result<(), Failure> {
    let account = find::account(core, name).await?;
    let name = &account.username;
    let ended = core.user_sessions_close(&Caller::operator(), account.id, None).await?;
    let mut text = match ended {
        0 => format!("{name} was signed in nowhere.\n"),
        1 => format!("{name} is signed out: 1 session ended.\n"),
        _ => format!("{name} is signed out: {ended} sessions ended.\n"),
    };
    text += "Password and API keys still work; to lock them out: ";
    text += &format!("gatelodge user disable {}\n", pasted(name));
    say(&text)
}
