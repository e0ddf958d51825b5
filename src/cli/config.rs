//! `gatelodge config`: what the program would read, and from where.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure, say,
    words::{plain, say_json},
};
use crate::config::{Config, Shown, template};

/// What [`Config::shown`] says where there is no value.
const NOT_SET: &str = "(not set)";

#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Say whether the configuration is right: the file, the environment, the secret files.
    Check,
    /// Show each setting with its value and where that comes from; secrets are masked.
    Show(ShowConfig),
    /// Print a file to begin with: every setting with its default, none of them set.
    Template,
}

#[derive(Args)]
pub struct ShowConfig {
    /// Print a JSON array and nothing else.
    #[arg(long)]
    json: bool,
}

/// Speaks of the configuration, also of one that is wrong.
pub fn run(loaded: Result<Config, Failure>, command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check => check(loaded),
        ConfigCommand::Show(command) => show(&loaded?, command),
        ConfigCommand::Template => say(&template()),
    }
}

fn check(loaded: Result<Config, Failure>) -> Result<(), Failure> {
    let config = match loaded {
        Ok(config) => config,
        // Here it is no trouble but the answer.
        Err(Failure::Trouble(text) | Failure::No(text)) => return Err(Failure::No(text)),
    };
    let all = config.shown();
    let environment = all.iter().filter(|one| one.origin.starts_with("environment ")).count();
    let defaults = all.iter().filter(|one| one.origin == "default").count();
    let file = all.len() - environment - defaults;
    say(&format!(
        "The configuration is right: {file} settings from the file, {environment} from the \
         environment, {defaults} by default.\n\
         A running server reads it when it starts anew. Next: gatelodge config show, and gatelodge \
         doctor for the machine around it.\n"
    ))
}

fn show(config: &Config, command: &ShowConfig) -> Result<(), Failure> {
    let all = config.shown();
    if command.json {
        return say_json(&all.iter().map(shown).collect());
    }
    let width = all.iter().map(|one| one.key.len()).max().unwrap_or(0);
    let line = |one: &Shown| {
        let (key, value, origin) = (&one.key, plain(&one.value), plain(&one.origin));
        format!("{key:<width$}  {value}  [{origin}]\n")
    };
    say(&all.iter().map(line).collect::<String>())
}

fn shown(one: &Shown) -> Value {
    json!({
        "key": one.key,
        "value": Some(&one.value).filter(|value| *value != NOT_SET),
        "origin": one.origin,
        "masked": one.masked,
    })
}
