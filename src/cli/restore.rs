//! `gatelodge restore`: puts a copy in the place of the database.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    Failure, say, secrets, trouble,
    words::{moment, plain},
};
use crate::{
    config::Config,
    db::{Db, ServeLock},
    domain::{
        Clock, Timestamp,
        backups::{
            Contents,
            restore::{self, Change, Comparison, Living, Prepared, Replaced, RestoreError},
            seal::{Key, Opened, identities},
        },
        secret::Secret,
    },
};

const PIPED: &str = "standard input is the copy: name it as a file, or set backup.passphrase";
/// In bytes; a file of keys is far shorter.
const MOST: u64 = 64 * 1024;

#[derive(Args)]
pub struct RestoreCommand {
    /// The copy, as `gatelodge backup` or an admin's download made it; - for standard input.
    file: PathBuf,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// End every session and revoke every API key in it.
    #[arg(long)]
    end_all: bool,
    /// The file with your secret key of age, for a copy that was encrypted to a key.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Take the passphrase from a terminal or the first line of standard input, not from the
    /// configuration.
    #[arg(long)]
    passphrase: bool,
    #[command(flatten)]
    input: Input,
}

impl RestoreCommand {
    /// Opens what is to be read, as the user who called.
    pub fn open(&mut self) -> Result<(), Failure> {
        self.input.open(&self.file, self.identity.as_deref())
    }
}

type Reader = Box<dyn Read + Send>;

/// What was opened before the program went on as the owner of the data.
#[derive(Args, Default)]
pub struct Input {
    #[arg(skip)]
    copy: Option<Opened<Reader>>,
    #[arg(skip)]
    identity: Option<String>,
    #[arg(skip)]
    is_piped: bool,
}

impl Clone for Input {
    /// For the parser, which clones before there is anything in it.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Input {
    pub fn open(&mut self, file: &Path, identity: Option<&Path>) -> Result<(), Failure> {
        let shown = |path: &Path, error: io::Error| trouble(format!("{}: {error}", path.display()));
        self.is_piped = file.as_os_str() == "-";
        let reader: Reader = match self.is_piped {
            true => Box::new(io::stdin()),
            false => Box::new(fs::File::open(file).map_err(|error| shown(file, error))?),
        };
        let opened = Opened::new(reader);
        self.copy =
            Some(opened.map_err(|error| Failure::No(RestoreError::Seal(error).to_string()))?);
        if let Some(path) = identity {
            let mut text = String::new();
            let file = fs::File::open(path).map_err(|error| shown(path, error))?;
            file.take(MOST).read_to_string(&mut text).map_err(|error| shown(path, error))?;
            self.identity = Some(text);
        }
        Ok(())
    }

    /// What opens the copy, if it is sealed.
    pub fn key(&self, config: &Config, asks: bool) -> Result<Option<Key>, Failure> {
        let Some(copy) = self.copy.as_ref().filter(|copy| copy.is_sealed()) else {
            return Ok(None);
        };
        if copy.wants_passphrase() {
            let known = config.backup.passphrase.as_ref().filter(|_| !asks);
            let word = match known {
                Some(word) => Secret::new(word.reveal()),
                // Its first line would be asked for where the copy itself comes from.
                None if self.is_piped => return Err(Failure::No(PIPED.to_owned())),
                None => secrets::ask("Passphrase")?,
            };
            return Ok(Some(Key::Passphrase(word)));
        }
        let Some(text) = &self.identity else { return Ok(None) };
        let keys = identities(text).map_err(|error| Failure::No(format!("--identity {error}")))?;
        Ok(Some(Key::Identities(keys)))
    }
}

/// The copy, ready to take its place.
pub fn prepared(
    folder: &Path,
    claim: &ServeLock,
    input: Input,
    key: Option<&Key>,
    now: Timestamp,
    end_all: bool,
) -> Result<Prepared, Failure> {
    let copy = input.copy.ok_or_else(|| trouble("no copy was opened"))?;
    restore::prepare(folder, claim, (copy, key), now, end_all).map_err(|error| match error {
        RestoreError::Seal(_)
        | RestoreError::Empty
        | RestoreError::Damaged(_)
        | RestoreError::Refused(_) => Failure::No(format!("{error}; nothing was changed")),
        RestoreError::File(..) | RestoreError::Sqlite(_) | RestoreError::Deed(_) => {
            trouble(format!("{error}; nothing was changed"))
        }
    })
}

pub fn run(config: &Config, command: RestoreCommand) -> Result<(), Failure> {
    let key = command.input.key(config, command.passphrase)?;
    let claim = Db::claim(&config.data_dir).map_err(trouble)?;
    let now = Clock::real().now();
    let prepared =
        prepared(&config.data_dir, &claim, command.input, key.as_ref(), now, command.end_all)?;
    say(&told(&prepared, command.end_all))?;
    if !command.yes {
        confirm(&command.file)?;
    }
    let (folder, living) = (config.data_dir.display(), prepared.living.clone());
    let was_at_hand = matches!(prepared.replaced, Replaced::AtHand(..));
    let aside = prepared.put_in_place(now).map_err(trouble)?;
    let mut text = format!("Restored. The database in {folder} is the copy now.\n");
    if let Some(aside) = aside {
        text += &format!("The one from before is kept: {}\n", aside.display());
    }
    if !was_at_hand && (living.sessions.len() + living.api_keys.len() > 0) {
        text += "To end something of what is listed above: gatelodge user sign-out NAME, \
                 gatelodge key revoke PREFIX\n";
    }
    say(&(text + "Next: gatelodge doctor, then start the server.\n"))
}

/// Asks at a terminal; anybody else has to say `--yes`.
fn confirm(file: &Path) -> Result<(), Failure> {
    const STOPPED: &str = "stopped; nothing was changed";
    if file.as_os_str() == "-" || !secrets::can_ask() {
        return Err(Failure::No("nobody can be asked: say --yes; nothing was changed".to_owned()));
    }
    say("Put it in its place? Write yes: ")?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(trouble)?;
    match line.trim() {
        "yes" => Ok(()),
        _ => Err(Failure::No(STOPPED.to_owned())),
    }
}

fn told(prepared: &Prepared, end_all: bool) -> String {
    let mut text = format!("the copy:   {}\n", described(&prepared.contents));
    match &prepared.replaced {
        Replaced::Nothing => text += "replaces:   nothing; there is no database yet\n",
        Replaced::Unreadable(why) => {
            text += &format!("replaces:   a database that cannot be read: {}\n", plain(why));
        }
        Replaced::AtHand(contents, comparison) => {
            text += &format!("replaces:   {}\n{}", described(contents), compared(comparison));
        }
    }
    text += "ends:       all access tokens and all links in letters from before\n";
    match &prepared.replaced {
        _ if end_all => text += "            every session and every API key\n",
        Replaced::AtHand(..) => {}
        Replaced::Nothing | Replaced::Unreadable(_) => text += &listed(&prepared.living),
    }
    text
}

fn described(contents: &Contents) -> String {
    format!("{contents}; the last thing in it happened {}", moment(contents.last, "never"))
}

fn compared(comparison: &Comparison) -> String {
    let mut text = String::new();
    for change in &comparison.changes {
        let what = match change {
            Change::Back(name) => format!("{name} is there again, deleted since"),
            Change::Gone(name) => format!("{name} is gone, made since"),
            Change::ActiveAgain(name) => format!("{name} is active again, disabled since"),
            Change::Role(name, back, since) => format!("{name} is {back} again, {since} since"),
            Change::Secret(name) => format!("{name} has the password and PIN from then"),
        };
        text += &format!("  then:     {}\n", plain(&what));
    }
    let Comparison { sessions, api_keys, invitations, identities, .. } = comparison;
    text + &format!(
        "stays ended: {sessions} sessions, {api_keys} API keys, {invitations} invitations and \
         {identities} links to accounts elsewhere\n"
    )
}

/// What may have been ended since, for all that anybody here knows.
fn listed(living: &Living) -> String {
    let mut text =
        "lives on:   what was ended after the copy was made is not known here, so look:\n"
            .to_owned();
    for (name, count) in &living.sessions {
        text += &format!("  signed in: {} ({count})\n", plain(name));
    }
    for (name, key, prefix) in &living.api_keys {
        text += &format!("  API key:  {prefix}… of {} ({})\n", plain(name), plain(key));
    }
    if living.sessions.is_empty() && living.api_keys.is_empty() {
        text += "            nothing: nobody is signed in, and there is no API key\n";
    }
    text
}
