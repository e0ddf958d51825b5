//! `gatelodge user`: works on the database itself, also while a server runs, which notices
//! within a second.

mod change;
mod show;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Failure, find, house, say, secrets,
    words::{pasted, say_json},
};
use crate::{
    config::Config,
    domain::{
        Core,
        accounts::Account,
        caller::Caller,
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
    /// Show one account: what it may, where it is signed in, which API keys it has.
    Show(ShowUser),
    /// Let somebody sign in again, or for the first time while they wait for their letter.
    Enable(NamedUser),
    /// Lock somebody out of everything, at once; nothing of theirs is lost.
    Disable(NamedUser),
    /// Give somebody another password; they are signed out everywhere.
    SetPassword(SetPassword),
    /// Give somebody a PIN, or take it away.
    SetPin(SetPin),
    /// Give somebody another role; they are signed out everywhere.
    SetRole(SetRole),
    /// Delete somebody with all that is theirs, for good.
    Delete(NamedUser),
    /// End all sessions of somebody, in every dialect. API keys stay.
    SignOut(NamedUser),
    /// Print a link by which somebody chooses a new password; it works once, for a day.
    ResetLink(ResetLink),
}

#[derive(Args)]
pub struct NamedUser {
    /// The name or e-mail of the account.
    name: String,
}

#[derive(Args)]
pub struct ShowUser {
    /// The name or e-mail of the account.
    name: String,
    /// Print a JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct SetPassword {
    /// The name or e-mail of the account.
    name: String,
    /// Read the password from standard input (one line); without it, a terminal asks for it.
    #[arg(long, conflicts_with = "generate")]
    password_stdin: bool,
    /// Make a password and print it once.
    #[arg(long)]
    generate: bool,
}

#[derive(Args)]
pub struct SetPin {
    /// The name or e-mail of the account.
    name: String,
    /// Read the PIN of 4 to 12 digits from standard input (one line); without it, a terminal asks.
    #[arg(long, conflicts_with = "remove")]
    pin_stdin: bool,
    /// Take the PIN away.
    #[arg(long)]
    remove: bool,
}

#[derive(Args)]
pub struct SetRole {
    /// The name or e-mail of the account.
    name: String,
    /// admin, maintainer, reader, developer, or a role of your own.
    role: String,
}

#[derive(Args)]
pub struct ResetLink {
    /// The name or e-mail of the account.
    name: String,
    /// Print a JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct AddUser {
    /// The name to sign in with.
    name: String,
    /// Their e-mail address; it counts as confirmed.
    #[arg(long)]
    email: Option<String>,
    /// admin, maintainer, reader, developer, or a role of your own.
    #[arg(long)]
    role: Option<String>,
    /// Read the password from standard input (one line); without it, a terminal asks for it.
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
        UserCommand::List(command) => show::list(&core, &command).await,
        UserCommand::Show(command) => show::show(&core, &command).await,
        UserCommand::Enable(command) => change::enable(&core, &command.name).await,
        UserCommand::Disable(command) => change::disable(&core, &command.name).await,
        UserCommand::SetPassword(command) => change::set_password(&core, &command).await,
        UserCommand::SetPin(command) => change::set_pin(&core, &command).await,
        UserCommand::SetRole(command) => change::set_role(&core, &command).await,
        UserCommand::Delete(command) => change::delete(&core, &command.name).await,
        UserCommand::SignOut(command) => change::sign_out(&core, &command.name).await,
        UserCommand::ResetLink(command) => reset_link(&core, &command).await,
    }
}

async fn reset_link(core: &Core, command: &ResetLink) -> Result<(), Failure> {
    let account = find::account(core, &command.name).await?;
    let (link, until) = core.user_reset_link(&Caller::operator(), account.id).await?;
    if command.json {
        return say_json(&json!({ "link": link, "expires_at": until.text() }));
    }
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

async fn add(core: &Core, command: AddUser) -> Result<(), Failure> {
    let nothing_said = !command.generate && !command.pin_stdin;
    let typed = command.password_stdin || nothing_said && secrets::can_ask();
    let wanted = [("Password", typed), ("PIN", command.pin_stdin)];
    let wanted: Vec<&str> =
        wanted.into_iter().filter(|(_, asked)| *asked).map(|(name, _)| name).collect();
    let mut lines = secrets::read(&wanted)?.into_iter();
    let generated = command.generate.then(made_up);
    let password = match typed {
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
        text += &password_once(password);
    }
    text
}

fn password_once(password: &Secret) -> String {
    format!(
        "Password: {}\nIt is shown this once; hand it over and let them change it.\n",
        password.reveal()
    )
}

/// A password that nobody has chosen: 20 letters and digits.
fn made_up() -> Secret {
    Secret::new(random_text(20))
}
