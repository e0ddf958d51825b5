//! `gatelodge backup`: copies of the database, also while a server runs, and the proof that one serves.

mod drill;

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use clap::Args;

use super::{Failure, house, restore, say, secrets, trouble, words::pasted};
use crate::{
    config::Config,
    domain::{
        backups::{
            Copied, Target, partial,
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
    /// What the file is called, where somebody else opened it.
    #[arg(long, hide = true)]
    called: Option<PathBuf>,
    #[command(flatten)]
    input: restore::Input,
}

impl BackupCommand {
    /// Opens what is to be read, as the user who called.
    pub fn open(&mut self) -> Result<(), Failure> {
        match self.drill {
            true => self.input.open(&self.file, self.identity.as_deref()),
            false => Ok(()),
        }
    }
}

impl BackupCommand {
    fn is_output(&self) -> bool {
        self.file.as_os_str() == "-"
    }

    /// The file's, for the event.
    fn name(&self) -> String {
        let name = self.called.as_ref().and_then(|path| path.file_name());
        name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub fn makes_file(&self) -> bool {
        !self.drill && !self.is_output()
    }

    /// Root may write where the owner of the data may not: the file is root's, and the owner, which is
    /// this program once more, writes the copy into it.
    pub fn by_owner(&self, config: Option<&Path>) -> Result<(), Failure> {
        let part = partial(&self.file).map_err(trouble)?;
        let shown = |error| trouble(format!("{}: {error}", self.file.display()));
        let file = fs::OpenOptions::new().write(true).open(part.path()).map_err(shown)?;
        let mut owner = Command::new(env::current_exe().map_err(trouble)?);
        if let Some(path) = config {
            owner.arg("--config").arg(path);
        }
        let mut called = OsString::from("--called=");
        called.push(&self.file);
        owner.args(["backup", "-"]).arg(called);
        owner.args(self.passphrase.then_some("--passphrase")).args(self.plain.then_some("--plain"));
        for key in &self.recipient {
            owner.arg("--recipient").arg(key);
        }
        let ended = owner.stdout(Stdio::from(file)).status().map_err(trouble)?;
        if !ended.success() {
            // It has said why.
            drop(part);
            process::exit(ended.code().unwrap_or(2));
        }
        part.keep(&self.file).map_err(shown)
    }
}

pub async fn run(config: Config, command: BackupCommand) -> Result<(), Failure> {
    if command.drill {
        return drill::run(config, command.input, command.passphrase).await;
    }
    let seal = seal_of(&config, &command)?;
    let target = match command.is_output() {
        true => Target::Open(output()?, command.name()),
        false => Target::File(command.file.clone()),
    };
    let is_sealed = !seal.is_none();
    let core = house::open(&config).await?;
    let copied = core.backup_to(&Caller::operator(), target, seal).await.map_err(trouble)?;
    let text = told(&config, &command, &copied, is_sealed);
    match command.is_output() {
        // Only the copy itself goes to standard output.
        true => {
            eprint!("{text}");
            Ok(())
        }
        false => say(&text),
    }
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

/// Our standard output as it is: what copies hold is no text.
fn output() -> Result<fs::File, Failure> {
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(trouble)?;
    Ok(output.into())
}

fn told(config: &Config, command: &BackupCommand, copied: &Copied, is_sealed: bool) -> String {
    let file = command.called.as_ref().unwrap_or(&command.file).display().to_string();
    let (shown, again) = match file.as_str() {
        "-" => ("standard output", "FILE".to_owned()),
        path => (path, pasted(path)),
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
    if let Some(why) = &copied.untold {
        text += &format!("No event tells of it, since none could be written: {why}.\n");
    }
    text += "Keep it on another machine or disk. Try it now and then:\n";
    text += &format!("  gatelodge backup --drill {again}\n");
    text
}
