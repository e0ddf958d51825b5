//! `gatelodge sso`: looks at the settings of a provider from here, without a running server.

use clap::{Args, Subcommand};

use super::{Failure, house, say};
use crate::{
    config::Config,
    domain::sso::{Finding, ProviderSettings, Report, SsoSettings},
};

#[derive(Subcommand)]
pub enum SsoCommand {
    /// Say what is wrong with a provider's settings, on this side or on the other.
    Check(CheckProvider),
}

#[derive(Args)]
pub struct CheckProvider {
    /// The provider's name in the configuration.
    name: String,
}

pub async fn run(config: Config, command: SsoCommand) -> Result<(), Failure> {
    let settings = house::settings(&config).sso;
    match command {
        SsoCommand::Check(command) => check(&settings, &command.name).await,
    }
}

async fn check(settings: &SsoSettings, name: &str) -> Result<(), Failure> {
    let found = settings.providers.iter().find(|provider| provider.name == name);
    let provider = found.ok_or_else(|| Failure::No(unknown(settings)))?;
    let report = settings.check(provider).await;
    say(&told(provider, &report))?;
    if report.is_sound() {
        return say(
            "Next: sign in once, which shows whether the secret and the scopes are right.\n",
        );
    }
    Err(Failure::Trouble(format!("nobody can sign in through {name} like this")))
}

fn unknown(settings: &SsoSettings) -> String {
    let names: Vec<&str> = settings.providers.iter().map(|p| p.name.as_str()).collect();
    match names.is_empty() {
        true => "no provider is set: write one below sso.providers".to_owned(),
        false => format!("there is no such provider; there are {}", names.join(", ")),
    }
}

fn told(provider: &ProviderSettings, report: &Report) -> String {
    let lines = report.findings.iter().map(|finding| match finding {
        Finding::Right(what) => format!("right: {what}\n"),
        Finding::Doubtful(what) => format!("look at: {what}\n"),
        Finding::Wrong(what, next) => format!("wrong: {what}\n  next: {next}\n"),
    });
    let lines: String = lines.collect();
    let (client, callback) = (&provider.client_id, &report.callback);
    format!("{lines}register at the provider, for the client {client}:\n  {callback}\n")
}
