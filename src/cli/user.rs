//! `gatelodge user`: works on the database itself, also while a server runs, which notices
//! within a second.

use std::io::{self, IsTerminal, Read};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, house, say, trouble};
use crate::{
    config::Config,
    domain::{
        Core,
        accounts::Account,
        caller::Caller,
        error::{Error, Noun},
        page::Page,
        people::UserDraft,
        permissions::ADMIN,
        secret::{Secret, random_text},
    },
};

#[derive(Subcommand)]
pub enum UserCommand {
    /// Make an account. The first one is the admin.
    Add(AddUser),
    /// List all accounts.
    List(ListUsers),
    /// Print a link by which somebody chooses a new password; it works once, for a day.
    ResetLink(ResetLink),
}

#[derive(Args)]
pub struct ResetLink {
    /// The name or e-mail of the account.
    name: String,
}

#[derive(Args)]
pub struct AddUser {
    /// The name to sign in with.
    name: String,
    #[arg(long)]
    email: Option<String>,
    /// admin, maintainer, reader, developer, or a role of your own.
    #[arg(long)]
    role: Option<String>,
    /// Read the password from standard input (one line).
    #[arg(long, conflicts_with = "generate")]
    password_stdin: bool,
    /// Make a password and print it once.
    #[arg(long)]
    generate: bool,
    /// Read a PIN of 4 to 12 digits from standard input (after the password, if both).
    #[arg(long)]
    pin_stdin: bool,
}

#[derive(Args)]
pub struct ListUsers {
    /// Print a JSON array and nothing else.
    #[arg(long)]
    json: bool,
}

pub async fn run(config: Config, command: UserCommand) -> Result<(), Failure> {
    let core = house::open(&config).await?;
    match command {
        UserCommand::Add(command) => add(&core, command).await,
        UserCommand::List(command) => list(&core, &command).await,
        UserCommand::ResetLink(command) => reset_link(&core, command).await,
    }
}

async fn reset_link(core: &Core, command: ResetLink) -> Result<(), Failure> {
    let caller = Caller::operator();
    let found = core.user_by_login(&caller, command.name).await?;
    let account = found.ok_or(Error::NotFound(Noun::Account))?;
    let (link, until) = core.user_reset_link(&caller, account.id).await?;
    let mut text = format!("{link}\n");
    if link.starts_with('/') {
        text += "Put the address of your server before it; server.public_url is not set.\n";
    }
    let (name, until) = (&account.username, until.minute_text());
    text += &format!("Hand it to {name}: it works once, until {until}.\n");
    if !account.is_active() {
        text += &format!("The account is {}: they cannot sign in yet.\n", account.status.name());
    }
    say(&text)
}

/// The lines of standard input that were asked for; each is bounded, since a mistaken file
/// should not fill the memory.
fn read_secrets(wanted: usize) -> Result<Vec<Secret>, Failure> {
    if wanted == 0 {
        return Ok(Vec::new());
    }
    if io::stdin().is_terminal() {
        eprintln!("type it and press Enter (it is shown):");
    }
    let mut text = String::new();
    let limit = 16 * 1024;
    io::stdin().lock().take(limit).read_to_string(&mut text).map_err(trouble)?;
    let lines: Vec<Secret> = text.lines().take(wanted).map(Secret::new).collect();
    if lines.len() < wanted {
        return Err(Failure::No("standard input has too few lines".to_owned()));
    }
    Ok(lines)
}

async fn add(core: &Core, command: AddUser) -> Result<(), Failure> {
    let wanted = usize::from(command.password_stdin) + usize::from(command.pin_stdin);
    let mut lines = read_secrets(wanted)?.into_iter();
    let generated = command.generate.then(|| Secret::new(random_text(20)));
    let password = match command.password_stdin {
        true => lines.next(),
        false => generated.clone(),
    };
    let pin = lines.next();
    if password.is_none() && pin.is_none() {
        const SAY: &str = "say how they sign in: --generate, --password-stdin or --pin-stdin";
        return Err(Failure::No(SAY.to_owned()));
    }
    let wished = command.role.clone();
    let draft = UserDraft {
        username: command.name,
        email: command.email,
        display_name: None,
        password,
        pin,
        role: command.role,
        status: None,
    };
    let account = core.user_create(&Caller::operator(), draft).await?;
    say(&added(&account, wished.as_deref(), generated.as_ref()))
}

fn added(account: &Account, wished: Option<&str>, generated: Option<&Secret>) -> String {
    let mut text = format!("{} is added, with the role {}.\n", account.username, account.role);
    if account.role == ADMIN && wished != Some(ADMIN) {
        text += "They are the first active account, so they are the admin.\n";
    }
    if let Some(password) = generated {
        text += &format!("Password: {}\n", password.reveal());
        text += "It is shown this once; hand it over and let them change it.\n";
    }
    text
}

async fn list(core: &Core, command: &ListUsers) -> Result<(), Failure> {
    let mut accounts = Vec::new();
    let caller = Caller::operator();
    for number in 1.. {
        let page = Page::new(Some(number), Some(Page::MAX_SIZE))?;
        let found = core.users_list(&caller, String::new(), page).await?;
        accounts.extend(found.rows);
        if accounts.len() as u64 >= found.total {
            break;
        }
    }
    if command.json {
        let shown: Vec<_> = accounts.iter().map(shown).collect();
        let text = serde_json::to_string_pretty(&shown).map_err(trouble)?;
        return say(&format!("{text}\n"));
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

fn shown(account: &Account) -> serde_json::Value {
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
        "last_login_at": account.last_login_at.map(|moment| moment.text()),
        "created_at": account.created_at.text(),
    })
}
