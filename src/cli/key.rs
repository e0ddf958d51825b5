//! `gatelodge key`: API keys of anybody, also while a server runs.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure, find, house, moment, say,
    words::{self, nearest, plain, say_json, stamp},
};
use crate::{
    config::Config,
    domain::{
        Core,
        accounts::Account,
        api_keys::{ApiKey, ApiKeyDraft, OwnedKey},
        caller::Caller,
        secret::Secret,
    },
};

#[derive(Subcommand)]
pub enum KeyCommand {
    /// Make an API key for somebody and print it once.
    Create(CreateKey),
    /// List API keys, without the keys themselves.
    List(ListKeys),
    /// End an API key at once, for good.
    Revoke(RevokeKey),
}

#[derive(Args)]
pub struct CreateKey {
    /// The name or e-mail of the account that the key acts for.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// What the key is for, to find it again.
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// What it may, such as users-read,events-read; without it, all that its owner may.
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    permissions: Option<Vec<String>>,
    /// When it ends: 90d, 12h or 4w from now, a day (UTC) or a moment; without it, never.
    #[arg(long, value_name = "END")]
    expires: Option<String>,
    /// Print a JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct ListKeys {
    /// Only those of the account with this name or e-mail.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Print a JSON array and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct RevokeKey {
    /// The beginning of the key as the list shows it, or its id.
    key: String,
}

pub async fn run(config: Config, command: KeyCommand) -> Result<(), Failure> {
    let core = house::open(&config).await?;
    match command {
        KeyCommand::Create(command) => create(&core, command).await,
        KeyCommand::List(command) => list(&core, &command).await,
        KeyCommand::Revoke(command) => revoke(&core, &command.key).await,
    }
}

async fn create(core: &Core, command: CreateKey) -> Result<(), Failure> {
    let owner = find::account(core, &command.user).await?;
    let expires_at = command.expires.map(|text| moment::end(&text, core.now())).transpose()?;
    if let Some(names) = &command.permissions {
        must_have(&owner, names)?;
    }
    let draft = ApiKeyDraft { name: command.name, permissions: command.permissions, expires_at };
    let (key, plain) = core.api_key_create(&Caller::operator(), Some(owner.id), draft).await?;
    if command.json {
        let mut value = shown(&key);
        value["user"] = json!(owner.username);
        value["key"] = json!(plain.reveal());
        return say_json(&value);
    }
    say(&made(&owner, &key, &plain))
}

/// The deed refuses this too, in words that suit somebody whose own rights are too few.
fn must_have(owner: &Account, names: &[String]) -> Result<(), Failure> {
    let Some(lacking) = names.iter().find(|name| !owner.permissions.contains(name)) else {
        return Ok(());
    };
    let owned = owner.permissions.names();
    let has = match nearest(lacking, owned.iter().map(String::as_str)) {
        Some(name) => format!("the nearest of theirs is {name}"),
        None if owned.is_empty() => format!("the role {} has no permissions", owner.role),
        None => format!("they have {}", owned.join(", ")),
    };
    let (name, lacking) = (&owner.username, words::quoted(lacking));
    Err(Failure::No(format!("{name} has no permission {lacking}, so no key of theirs can; {has}")))
}

/// The key stands alone on the first line, for scripts.
fn made(owner: &Account, key: &ApiKey, plain: &Secret) -> String {
    let mut text = format!("{}\n", plain.reveal());
    let end = words::moment(key.expires_at, "revoked");
    text += "It is shown this once. ";
    text += &format!("It acts for {} and may {} until {end}.\n", owner.username, may(key));
    text += &format!("To end it: gatelodge key revoke {}\n", key.key_prefix);
    if !owner.is_active() {
        text += &format!("The account is {}: it does not work yet.\n", owner.status.name());
    }
    text
}

fn may(key: &ApiKey) -> String {
    match key.permissions.as_ref().map(|permissions| permissions.names()) {
        None => "all that its owner may".to_owned(),
        Some(names) if names.is_empty() => "nothing beyond its owner's profile".to_owned(),
        Some(names) => names.join(", "),
    }
}

async fn list(core: &Core, command: &ListKeys) -> Result<(), Failure> {
    let owner = match &command.user {
        Some(name) => Some(find::account(core, name).await?.id),
        None => None,
    };
    let mut keys = everybodys(core).await?;
    keys.retain(|one| owner.is_none_or(|owner| one.key.account == owner));
    if command.json {
        return say_json(&keys.iter().map(shown_owned).collect());
    }
    if keys.is_empty() {
        return say("No API keys. Make one: gatelodge key create --user NAME --name TEXT\n");
    }
    say(&keys.iter().map(|one| format!("{:<24} {}", one.owner, line(&one.key))).collect::<String>())
}

async fn everybodys(core: &Core) -> Result<Vec<OwnedKey>, Failure> {
    let caller = Caller::operator();
    find::all(async |page| core.api_keys_of_all(&caller, page).await, usize::MAX).await
}

/// One key on a line, without its owner.
pub fn line(key: &ApiKey) -> String {
    format!(
        "{:<20} {:<24} until {}, last used {}, may {}\n",
        key.key_prefix,
        plain(&key.name),
        words::moment(key.expires_at, "revoked"),
        words::moment(key.last_used_at, "never"),
        may(key)
    )
}

/// One key for programs, without its owner.
pub fn shown(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "key_prefix": key.key_prefix,
        "permissions": key.permissions.as_ref().map(|permissions| permissions.names()),
        "expires_at": stamp(key.expires_at),
        "last_used_at": stamp(key.last_used_at),
        "created_at": key.created_at.text(),
    })
}

fn shown_owned(one: &OwnedKey) -> Value {
    let mut value = shown(&one.key);
    value["user"] = json!(one.owner);
    value
}

async fn revoke(core: &Core, wanted: &str) -> Result<(), Failure> {
    let keys = everybodys(core).await?;
    let fits = |one: &&OwnedKey| one.key.id == wanted || one.key.key_prefix == wanted;
    let found: Vec<&OwnedKey> = keys.iter().filter(fits).collect();
    // What was given is not repeated: it may be a whole key.
    let one = match found[..] {
        [one] => one,
        [] => return Err(Failure::No("no such API key; see gatelodge key list".to_owned())),
        _ => {
            const SAY: &str = "several keys begin so; give the id: gatelodge key list --json";
            return Err(Failure::No(SAY.to_owned()));
        }
    };
    core.api_key_revoke(&Caller::operator(), one.key.id.clone()).await?;
    let (prefix, name) = (&one.key.key_prefix, plain(&one.key.name));
    say(&format!("{prefix} of {} ({name}) is revoked and works no more.\n", one.owner))
}
