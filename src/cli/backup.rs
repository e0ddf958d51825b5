//! `gatelodge backup`: copies of the database, also while a server runs, and the proof that one serves.

mod drill;

use std::{fs, io, os::fd::AsFd, path::PathBuf};

use clap::Args;

use super::{Failure, house, owner, restore, say, secrets, trouble, words::pasted};
use crate::{
    config::Config,
    domain::{
        backups::{
            Copied, Scratch, Target, partial,
            seal::{self, Seal},
        },
        caller::Caller,
    },
};

#[derive(Args)]
pub struct BackupCommand {
    /// The file to make, or - for standard output; with --drill, a copy that was made before.
    file: PathBuf,
    /// Encrypt the copy to a passphrase, which a terminal asks for, else one line of standard input.
    #[arg(long, conflicts_with_all = ["recipient", "plain"])]
    passphrase: bool,
    /// Encrypt the copy to this public key of age (age1…); may be given more than once.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["plain", "drill"])]
    recipient: Vec<String>,
    /// Do not encrypt the copy, whatever the configuration says.
    #[arg(long, conflicts_with = "drill")]
    plain: bool,
    /// Make nothing: restore FILE into a scratch folder, and prove that a server serves from it.
    #[arg(long)]
    drill: bool,
    /// With --drill, the file with your secret key of age.
    #[arg(long, value_name = "FILE", requires = "drill")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    input: restore::Input,
    #[command(flatten)]
    output: Output,
}

/// The file of root, who may write where the owner of the data may not.
#[derive(Args, Default)]
struct Output {
    #[arg(skip)]
    part: Option<(Scratch, fs::File)>,
}

impl Clone for Output {
    /// For the parser, which clones before there is anything in it.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl BackupCommand {
    /// Opens what is to be read, or to be written by root, as the user who called.
    pub fn open(&mut self, config: Option<&Config>) -> Result<(), Failure> {
        if self.drill {
            return self.input.open(&self.file, self.identity.as_deref());
        }
        let is_beside =
            config.is_some_and(|config| owner::owner_beside_root(&config.data_dir).is_some());
        if is_beside && !self.is_output() {
            let part = partial(&self.file).map_err(trouble)?;
            let file = fs::OpenOptions::new().write(true).open(part.path()).map_err(trouble)?;
            self.output.part = Some((part, file));
        }
        Ok(())
    }

    /// Whether the copy is finished by root.
    pub const fn is_of_root(&self) -> bool {
        self.output.part.is_some()
    }

    fn is_output(&self) -> bool {
        self.file.as_os_str() == "-"
    }
}

pub async fn run(config: Config, mut command: BackupCommand) -> Result<(), Failure> {
    if command.drill {
        return drill::run(config, command.input, command.passphrase).await;
    }
    if command.is_output() {
        let output = io::stdout().as_fd().try_clone_to_owned().map_err(trouble)?;
        let target = Target::Open(output.into(), String::new());
        // Only the copy itself goes to standard output.
        eprint!("{}", make(&config, &command, target).await?);
        return Ok(());
    }
    let Some((part, file)) = command.output.part.take() else {
        let target = Target::File(command.file.clone());
        return say(&make(&config, &command, target).await?);
    };
    let name = command.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let made = make(&config, &command, Target::Open(file, name)).await;
    owner::come_back()?;
    let text = made?;
    let shown = command.file.display();
    part.keep(&command.file).map_err(|error| trouble(format!("{shown}: {error}")))?;
    say(&text)
}

/// Makes the copy, and says so.
async fn make(config: &Config, command: &BackupCommand, target: Target) -> Result<String, Failure> {
    let seal = seal_of(config, command)?;
    let is_sealed = !seal.is_none();
    let core = house::open(config).await?;
    let copied = core.backup_to(&Caller::operator(), target, seal).await.map_err(trouble)?;
    Ok(told(config, command, &copied, is_sealed))
}

fn seal_of(config: &Config, command: &BackupCommand) -> Result<Seal, Failure> {
    if command.plain {
        return Ok(Seal::None);
    }
    if command.passphrase {
        let word = secrets::read(&["Passphrase"])?.into_iter().next();
        let word = word.filter(|word| word.reveal().chars().count() >= 12);
        const RULE: &str = "the passphrase must have at least 12 characters; six words are good";
        return match word {
            Some(word) => Ok(Seal::Passphrase(word, seal::TYPED)),
            None => Err(Failure::No(RULE.to_owned())),
        };
    }
    if command.recipient.is_empty() {
        return Ok(house::seal(config, seal::GENERATED));
    }
    for key in &command.recipient {
        seal::recipient(key).map_err(|error| Failure::No(error.to_string()))?;
    }
    Ok(Seal::Recipients(command.recipient.clone()))
}

fn told(config: &Config, command: &BackupCommand, copied: &Copied, is_sealed: bool) -> String {
    let (shown, again) = match command.is_output() {
        true => ("standard output".to_owned(), "FILE".to_owned()),
        false => (command.file.display().to_string(), pasted(&command.file.display().to_string())),
    };
    let (kib, contents) = (copied.bytes.div_ceil(1024), &copied.contents);
    let how = if is_sealed { "encrypted" } else { "not encrypted" };
    let mut text =
        format!("{shown}: {contents}; {kib} KiB, {how}, opened again and found sound.\n");
    if !is_sealed && contents.has_secret {
        text += "It holds the master secret: whoever has it can sign tokens. Guard it.\n";
    }
    if !contents.has_secret {
        let place = match &config.auth.master_key_file {
            Some(path) => path.display().to_string(),
            None => "auth.jwt_secret".to_owned(),
        };
        text += &format!("The master secret is not in it, and PINs need it: keep {place} too.\n");
    }
    text += "Keep it on another machine or disk. Try it now and then:\n";
    text += &format!("  gatelodge backup --drill {again}\n");
    text
}
