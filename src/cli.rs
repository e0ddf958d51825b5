//! The command line: reads the configuration, opens the house, does one thing, says what
//! happened.

mod backup;
mod config;
mod descriptors;
mod doctor;
mod find;
mod house;
mod https;
mod invite;
mod key;
mod mail;
mod moment;
mod openapi;
mod owner;
mod restore;
mod secrets;
mod serve;
mod sso;
mod systemd;
mod user;
mod version;
mod words;

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory, Parser, Subcommand};

pub use house::{calm_the_allocator, http_settings, runtime, settings};

use crate::{config::Config, domain::error::Error};

/// How long threads that block may still take when all is done.
const THREADS_END: Duration = Duration::from_secs(3);

/// One login for everything in your home lab.
#[derive(Parser)]
#[command(name = "gatelodge", version = version::text(), about, max_term_width = 100)]
struct Arguments {
    /// The configuration file; without it, gatelodge.yaml in the working folder, if there is one,
    /// and for a program in /usr else /etc/gatelodge/gatelodge.yaml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until told to stop (the default).
    Serve,
    /// Look after accounts, also while a server runs.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Look after API keys, also while a server runs.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Let people in by links, also while a server runs.
    #[command(subcommand)]
    Invite(invite::InviteCommand),
    /// Look at the configuration without starting anything.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Make a copy of the database, also while a server runs, or try one.
    Backup(backup::BackupCommand),
    /// Put a copy in the place of the database, while no server runs.
    Restore(restore::RestoreCommand),
    /// Look at the machine, the database and the settings, and say what to do.
    Doctor(doctor::DoctorCommand),
    /// Try the mail server.
    #[command(subcommand)]
    Mail(mail::MailCommand),
    /// Look at the providers that people sign in through.
    #[command(subcommand)]
    Sso(sso::SsoCommand),
    /// Print the OpenAPI documents.
    Openapi(openapi::OpenapiCommand),
}

impl Command {
    /// Whether it does the same whoever runs it, or has a service manager to choose the user.
    const fn is_for_root(&self) -> bool {
        matches!(self, Self::Serve | Self::Config(_) | Self::Openapi(_))
    }
}

/// Why a command did not do what it was asked to: `No` for a refusal, `Trouble` for what is
/// broken or in the way.
enum Failure {
    No(String),
    Trouble(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Storage(_) | Error::Internal(_) | Error::Busy { .. } | Error::Upstream(_) => {
                Self::Trouble(text)
            }
            Error::Unauthenticated(_)
            | Error::Forbidden(_)
            | Error::NotFound(_)
            | Error::Taken(_)
            | Error::Conflict(_)
            | Error::Invalid(..)
            | Error::Expired(_)
            | Error::Throttled { .. }
            | Error::Disabled(_) => Self::No(text),
        }
    }
}

fn trouble(error: impl fmt::Display) -> Failure {
    Failure::Trouble(error.to_string())
}

/// Prints to standard output. Whoever reads it may leave early, as `head` does.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(trouble(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// The command line, for man pages and completions. Its version is that of the release alone: pages of
/// one release do not differ from machine to machine.
pub fn command() -> clap::Command {
    Arguments::command().version(env!("CARGO_PKG_VERSION"))
}

/// Runs the command line of this process: exit code 0 done, 1 no, 2 trouble.
pub fn main() -> ExitCode {
    house::calm_the_allocator();
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::No(text)) => {
            eprintln!("gatelodge: {text}");
            ExitCode::from(1)
        }
        Err(Failure::Trouble(text)) => {
            eprintln!("gatelodge: {text}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut command = arguments.command.unwrap_or(Command::Serve);
    if let Command::Openapi(command) = command {
        return openapi::run(&command);
    }
    let loaded = load(arguments.config.clone());
    match &mut command {
        Command::Backup(command) => command.open()?,
        Command::Restore(command) => command.open()?,
        _ => {}
    }
    if let (Ok(config), false) = (&loaded, command.is_for_root()) {
        if let Command::Backup(command) = &command
            && command.makes_file()
            && owner::is_another(&config.data_dir)
        {
            return command.by_owner(arguments.config.as_deref());
        }
        owner::become_owner(&config.data_dir)?;
    }
    let runtime = house::runtime().map_err(trouble)?;
    let done = runtime.block_on(async {
        match command {
            // These two are for what is wrong, so they want to hear of it.
            Command::Config(command) => config::run(loaded, &command),
            Command::Doctor(command) => doctor::run(loaded, &command).await,
            Command::Backup(command) => backup::run(loaded?, command).await,
            Command::Restore(command) => restore::run(&loaded?, command),
            Command::Serve => serve::run(loaded?).await,
            Command::User(command) => user::run(loaded?, command).await,
            Command::Key(command) => key::run(loaded?, command).await,
            Command::Invite(command) => invite::run(loaded?, command).await,
            Command::Mail(command) => mail::run(loaded?, command).await,
            Command::Sso(command) => sso::run(loaded?, command).await,
            Command::Openapi(command) => openapi::run(&command),
        }
    });
    // A name that is looked up in vain would keep the process for half a minute.
    runtime.shutdown_timeout(THREADS_END);
    done
}

fn load(file: Option<PathBuf>) -> Result<Config, Failure> {
    let folder = std::env::current_dir().map_err(trouble)?;
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os() {
        // Names that are not text are not ours; a value of ours that is not text is told of.
        let Some(name) = name.to_str().map(str::to_owned) else { continue };
        match value.into_string() {
            Ok(value) => environment.push((name, value)),
            Err(_) if name.starts_with("GATELODGE_") => {
                return Err(trouble(format!("environment {name}: is not UTF-8 text")));
            }
            Err(_) => {}
        }
    }
    let file = file.or_else(|| installed(&folder));
    crate::config::load(file.as_deref(), &folder, &environment).map_err(trouble)
}

/// The file of a packaged program, which has no working folder of its own.
fn installed(folder: &Path) -> Option<PathBuf> {
    const FILE: &str = "/etc/gatelodge/gatelodge.yaml";
    let is_installed = std::env::current_exe().is_ok_and(|path| path.starts_with("/usr"));
    let has_own = folder.join(crate::config::FILE_NAME).exists();
    (is_installed && !has_own && Path::new(FILE).exists()).then(|| FILE.into())
}
