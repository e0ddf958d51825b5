//! Every setting of Gatelodge, in one table: its type, its default, its rule and its sentence of
//! documentation. The file, the environment, the list of known names and `docs/CONFIG.md` are all
//! read from that table, so that none of them can say something else than the others.

#[macro_use]
mod table;
mod environment;
mod error;
mod files;
mod node;
mod providers;
mod rule;
mod template;
#[cfg(test)]
mod tests;
mod value;
mod web;
mod yaml;

pub use error::ConfigError;
pub use providers::Provider;
pub use rule::Rule;
pub use template::template;
pub use yaml::FILE_NAME;

use ipnet::IpNet;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use value::{Field, Raw};

const PREFIX: &str = "GATELODGE_";
/// The pairs of memory (KiB) and passes that OWASP's password storage cheat sheet calls equal.
const ARGON2_FLOORS: [(u32, u32); 5] = [(19456, 2), (12288, 3), (9216, 4), (7168, 5), (47104, 1)];

settings! {
    /// The folder of `gatelodge.db`, the database.
    data_dir: PathBuf = ".", Rule::Path;
    [auth: Auth at "auth"]
    /// The master secret that signs tokens. Not set: one is made at the first start and kept.
    jwt_secret: Option<Hidden> = "", Rule::Secret(32), "SECRET_KEY";
    /// How long an access token of the native interface lasts.
    jwt_expiry_hours: u32 = "24", Rule::Whole(1, 8760, "hours");
    /// Whether a new account must confirm its e-mail address before it can sign in.
    email_confirmation_required: bool = "false", Rule::Flag;
    /// Memory for one password hash.
    argon2_memory_cost: u32 = "19456", Rule::Whole(8, 1_048_576, "KiB");
    /// Passes over that memory.
    argon2_time_cost: u32 = "2", Rule::Whole(1, 64, "passes");
    /// Argon2 lanes inside one hash; the memory must be at least 8 KiB for each.
    argon2_parallelism: u32 = "1", Rule::Whole(1, 16, "lanes");
    /// How new passwords are hashed.
    password_hash: PasswordHash = "argon2id", Rule::OneOf(PasswordHash::NAMES);
    /// Raises the shortest password of every interface. Not set: each keeps its own floor.
    password_min_length: Option<usize> = "", Rule::Whole(1, 1024, "characters");
    /// Accepts Argon2 costs below the floors that OWASP recommends. For tests only.
    allow_weak: bool = "false", Rule::Flag;
    /// Passwords hashed at the same time. Not set: half the processor cores, at least 1.
    hash_lanes: Option<usize> = "", Rule::Whole(1, 64, "lanes");
    /// Sign-ins that may wait for a free lane before others are told to come back later; as many again of one address, and twice as many of all, may wait for others of their own address.
    hash_queue: usize = "256", Rule::Whole(1, 65_536, "waiting sign-ins");
    /// A file for the generated master secret. Not set: it is kept in the database.
    master_key_file: Option<PathBuf> = "", Rule::Path;
    [server: Server at "server"]
    /// Where the server listens.
    listen: Vec<SocketAddr> = "0.0.0.0:8080", Rule::Sockets;
    /// The address under which browsers reach the server; links and cookies rely on it.
    public_url: Option<String> = "", Rule::Root;
    /// Proxies whose `X-Forwarded-For` header is believed.
    trusted_proxies: Vec<IpNet> = "", Rule::Networks;
    /// Other web origins that may call the server from a browser.
    allowed_origins: Vec<String> = "", Rule::Origins;
    /// Connections open at the same time.
    max_connections: usize = "512", Rule::Whole(1, 65_536, "connections");
    /// Serves a page at `/docs` on which the interfaces can be read and tried.
    docs: bool = "true", Rule::Flag;
    /// Serves figures for Prometheus at `/metrics`, to programs on its own network and to whoever may see how the server is.
    metrics: bool = "true", Rule::Flag;
    [tls: Tls at "server.tls"]
    /// The certificate (PEM, with those that vouch for it) for https by this server itself.
    cert: Option<PathBuf> = "", Rule::Path;
    /// The private key (PEM) that belongs to it.
    key: Option<PathBuf> = "", Rule::Path;
    /// Serves https with a certificate that the server makes, keeps in `data_dir` and renews itself.
    self_signed: bool = "false", Rule::Flag;
    /// Where the server listens for https, beside `server.listen`.
    listen: Vec<SocketAddr> = "0.0.0.0:8443", Rule::Sockets;
    [registration: Registration at "registration"]
    /// Who may make an account: no one, people with an invitation, or everyone.
    mode: RegistrationMode = "closed", Rule::OneOf(RegistrationMode::NAMES);
    [rate_limit: RateLimit at "rate_limit"]
    /// Requests that one client address may make for each second; 0 turns the limit off.
    requests_per_second: u32 = "20", Rule::Whole(0, 1_000_000, "requests");
    /// Requests that a quiet client may make at once.
    burst: u32 = "60", Rule::Whole(1, 1_000_000, "requests");
    [throttle: Throttle at "throttle"]
    /// Failed sign-ins of one client address before it must wait; 0 turns the limit off.
    max_attempts: u32 = "5", Rule::Whole(0, 1_000_000, "attempts"), "MAX_LOGIN_ATTEMPTS";
    /// How long failed sign-ins are counted.
    window_seconds: u64 = "300", Rule::Whole(1, 86_400, "seconds"), "RATE_LIMIT_WINDOW_SECONDS";
    [api_keys: ApiKeys at "api_keys"]
    /// The beginning of every new API key.
    prefix: String = "lodge", Rule::Word(16, "");
    [dialects: Dialects at "dialects"]
    /// Serves the native interface.
    native: bool = "true", Rule::Flag;
    /// Serves the interface with a PIN and cookies.
    pin: bool = "true", Rule::Flag;
    /// Serves the interface with a pair of tokens.
    pair: bool = "true", Rule::Flag;
    /// Serves the interface for sign-up by e-mail.
    signup: bool = "true", Rule::Flag;
    /// Serves the gpodder interface.
    gpodder: bool = "true", Rule::Flag;
    [email: Email at "email"]
    /// The beginning of links in letters. Not set: `server.public_url`.
    verification_url_base: Option<String> = "", Rule::Link;
    /// How long a link in a letter works.
    verification_token_expiry_hours: u32 = "24", Rule::Whole(1, 720, "hours");
    /// The language of letters.
    language: Language = "en", Rule::OneOf(Language::NAMES);
    /// Writes to people when somebody signs in as them from a network that is new.
    new_sign_in_letters: bool = "true", Rule::Flag;
    /// The mail server. Not set: no letter goes out, and an admin hands links over.
    smtp_host: Option<String> = "", Rule::Host;
    /// Its port. Not set: 465 with `implicit`, 587 with `starttls`, 25 with `none`.
    smtp_port: Option<u16> = "", Rule::Port;
    /// How the way to it is encrypted; `auto` is `implicit` on port 465, `none` on this machine, else `starttls`.
    smtp_tls: SmtpTls = "auto", Rule::OneOf(SmtpTls::NAMES);
    /// Certificates (PEM) of the authority that vouches for it. Not set: those of the system.
    smtp_ca_file: Option<PathBuf> = "", Rule::Path;
    /// The name to sign in there with. Not set: nobody signs in.
    smtp_username: Option<String> = "", Rule::Line(320);
    /// The password that belongs to it.
    smtp_password: Option<Hidden> = "", Rule::Secret(1);
    /// The address that letters come from; needed with `email.smtp_host`.
    smtp_from_email: Option<String> = "", Rule::Address;
    /// The name that letters come from.
    smtp_from_name: String = "Gatelodge", Rule::Line(64);
    [pin: Pin at "pin"]
    /// Networks from which people can sign in with a PIN. On plain http the name that they ask for has to be an address, a name of the house (`nas`, `nas.local`, `nas.lan`) or that of `server.public_url`.
    networks: Vec<IpNet> = "127.0.0.0/8, ::1/128, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, \
        169.254.0.0/16, fc00::/7, fe80::/10", Rule::Networks;
    /// How long an access token of this interface lasts.
    access_seconds: u64 = "60", Rule::Whole(1, 86_400, "seconds");
    /// How long a device stays signed in.
    refresh_days: u32 = "30", Rule::Whole(1, 3650, "days");
    /// Shows those networks the people who have a PIN, for a sign-in pad.
    list_users: bool = "true", Rule::Flag;
    [pair: Pair at "pair"]
    /// How long an access token of this interface lasts.
    access_expiry: Duration = "8h", Rule::Span, "JWT_EXPIRE_DURATION";
    /// How long a refresh token of this interface lasts.
    refresh_days: u32 = "7", Rule::Whole(1, 3650, "days");
    [signup: Signup at "signup"]
    /// How long a token of this interface lasts.
    token_minutes: u32 = "30", Rule::Whole(1, 1440, "minutes");
    /// The role of an account made by sign-up.
    default_role: String = "developer", Rule::Word(64, "-_");
    /// The page that takes over after a sign-in with Google. Not set: the built-in pages.
    frontend_url: Option<String> = "", Rule::Link;
    [gpodder: Gpodder at "gpodder"]
    /// How long a podcast client stays signed in.
    session_days: u32 = "365", Rule::Whole(1, 3650, "days");
    /// Asks hosts of subscribed podcasts over https whether they serve the same podcast there.
    probe_https: bool = "false", Rule::Flag;
    [sso: Sso at "sso",
        /// Providers elsewhere, in the order of the file.
        providers: Vec<Provider>]
    /// Gives people whom a provider vouches for an account, as far as `registration.mode` lets anybody have one.
    auto_create: bool = "false", Rule::Flag;
    /// The role of such an account, unless its provider's groups give another.
    default_role: String = "reader", Rule::Word(64, "-_");
    [log: Log at "log"]
    /// How the lines on stderr are written.
    format: LogFormat = "text", Rule::OneOf(LogFormat::NAMES);
    /// How much is written: what does not work, also what may want a look, or all that happens.
    level: LogLevel = "info", Rule::OneOf(LogLevel::NAMES);
    /// Writes one line per request to stderr.
    access: bool = "true", Rule::Flag;
    [logs: Logs at "logs"]
    /// Writes client addresses into the log only in part.
    mask_addresses: bool = "false", Rule::Flag;
    /// How long log entries are kept.
    keep_days: u32 = "90", Rule::Whole(1, 3650, "days");
    [backup: Backup at "backup"]
    /// When a copy of the database is made each day, by this machine's time. Not set: none is.
    schedule: Option<TimeOfDay> = "", Rule::TimeOfDay;
    /// Where those copies go, best on another disk. Not set: `backups` in `data_dir`.
    folder: Option<PathBuf> = "", Rule::Path;
    /// So many of them are kept.
    keep: usize = "14", Rule::Whole(1, 3650, "copies");
    /// Copies are encrypted to this passphrase (age). Keep it elsewhere too.
    passphrase: Option<Hidden> = "", Rule::Secret(32);
    /// Copies are encrypted to whoever holds one of these age keys. Not with `backup.passphrase`.
    recipients: Vec<String> = "", Rule::Recipients;
    [storage: Storage at "storage"]
    /// Who moves what was written from the log of the database into its file: this server, or a program that replicates the log.
    checkpoint: Checkpoint = "own", Rule::OneOf(Checkpoint::NAMES);
    [updates: Updates at "updates"]
    /// Asked once a day for new versions. Not set: no one is asked.
    feed_url: Option<String> = "", Rule::Feed;
}

choice! {
    /// How new passwords are hashed.
    PasswordHash {
        /// Argon2id with the costs of the `auth` section.
        #[default]
        Argon2id = "argon2id",
        /// bcrypt.
        Bcrypt = "bcrypt",
    }
}

choice! {
    /// How a line of the log is written.
    LogFormat {
        /// Words and `key=value`.
        #[default]
        Text = "text",
        /// One JSON object.
        Json = "json",
    }
}

choice! {
    /// How much of what happens is logged.
    LogLevel {
        /// What does not work.
        Error = "error",
        /// And what somebody may want to look at.
        Warn = "warn",
        /// And everything else.
        #[default]
        Info = "info",
    }
}

choice! {
    /// Who may make an account.
    RegistrationMode {
        /// No one.
        #[default]
        Closed = "closed",
        /// Everyone.
        Open = "open",
        /// People with an invitation.
        Invite = "invite",
    }
}

choice! {
    /// Who takes checkpoints of the database.
    Checkpoint {
        /// This server, as SQLite does by itself.
        #[default]
        Own = "own",
        /// A program that replicates the log, such as Litestream.
        External = "external",
    }
}

choice! {
    /// The language of letters.
    Language {
        /// English.
        #[default]
        English = "en",
        /// German.
        German = "de",
    }
}

choice! {
    /// How the connection to the mail server is encrypted.
    SmtpTls {
        /// As the port and the host suggest.
        #[default]
        Auto = "auto",
        /// By STARTTLS (RFC 3207), or not at all sent.
        Starttls = "starttls",
        /// From the first byte on (RFC 8314).
        Implicit = "implicit",
        /// Not at all.
        None = "none",
    }
}

/// A minute of every day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    pub hour: u8,
    pub minute: u8,
}

/// A secret that does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// Takes any text; the least length is the affair of the setting.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Never log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// The name in the file, `section.name`.
    pub key: &'static str,
    /// The default, written as it would be in the environment; empty: not set.
    pub default: &'static str,
    /// What the setting does, one sentence or two.
    pub doc: &'static str,
    /// Which values are accepted.
    pub rule: Rule,
    /// Environment names from before Gatelodge that mean the same.
    pub aliases: &'static [&'static str],
    /// Says whether the value differs from the one before.
    set: fn(&mut Config, &Raw) -> Result<bool, ConfigError>,
    show: fn(&Config) -> String,
}

impl Setting {
    /// Whether the value must never be printed; such a setting can be read from a file of its own.
    pub fn is_secret(&self) -> bool {
        matches!(self.rule, Rule::Secret(_))
    }

    /// The environment names, `GATELODGE_…` first, without the `_FILE` forms.
    pub fn names(&self) -> Vec<String> {
        let aliases = self.aliases.iter().map(|alias| (*alias).to_owned());
        std::iter::once(self.name()).chain(aliases).collect()
    }

    fn name(&self) -> String {
        format!("{PREFIX}{}", self.key.replace('.', "__").to_uppercase())
    }

    /// What is wrong with a value at `place`. `give` says what to do with what would be right.
    fn refused(&self, place: &str, give: &str, what: impl fmt::Display) -> ConfigError {
        let right = format_args!("{give} {}", self.rule.right());
        ConfigError::new(place, format_args!("{} {what}", self.key), right)
    }
}

/// One setting as `Config::shown` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The name in the file.
    pub key: String,
    /// The value as text; `(not set)`, and for a secret only its length.
    pub value: String,
    /// `default`, `FILE:LINE` or `environment NAME`; for a secret from a file of its own, that too.
    pub origin: String,
    /// Whether it is a secret, of which only the length is told.
    pub masked: bool,
}

impl Shown {
    fn new(setting: &Setting, value: String, origin: Option<&String>) -> Self {
        Self {
            key: setting.key.to_owned(),
            value: if value.is_empty() { "(not set)".to_owned() } else { value },
            origin: origin.map_or("default", String::as_str).to_owned(),
            masked: setting.is_secret(),
        }
    }
}

/// Where a secret came from that stood in a file of its own.
fn from_file(origin: &str, path: &str) -> String {
    format!("{origin}, secret file {path}")
}

impl Config {
    /// The defaults, with relative paths below `folder`.
    fn at(folder: &Path) -> Self {
        let mut config = Self::blank();
        for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
            let raw = Raw::new(setting, String::new(), setting.default, folder);
            // A test holds each default against its rule, so none is refused here.
            let _ = (setting.set)(&mut config, &raw);
        }
        config
    }

    /// Takes the value and says whether it is another than before.
    fn apply(&mut self, raw: Raw) -> Result<bool, ConfigError> {
        let differs = (raw.setting.set)(self, &raw)?;
        self.origins.insert(raw.setting.key, raw.place);
        Ok(differs)
    }

    /// Notes that the secret just taken stood in a file of its own.
    fn came_from_file(&mut self, key: &'static str, path: &str) {
        if let Some(origin) = self.origins.get_mut(key) {
            *origin = from_file(origin, path);
        }
    }

    /// Every setting with its value and where the value came from; secrets are masked.
    pub fn shown(&self) -> Vec<Shown> {
        let mut all = Vec::with_capacity(SETTINGS.len());
        for setting in SETTINGS {
            all.push(Shown::new(setting, (setting.show)(self), self.origins.get(setting.key)));
            if setting.key == providers::BEFORE {
                all.extend(self.sso.providers.iter().flat_map(Provider::shown));
            }
        }
        all
    }

    /// The rules that need more than one setting.
    fn check_argon2(&self) -> Result<(), ConfigError> {
        let auth = &self.auth;
        let (memory, passes, lanes) =
            (auth.argon2_memory_cost, auth.argon2_time_cost, auth.argon2_parallelism);
        let (key, least) = ("auth.argon2_memory_cost", 8 * lanes);
        let wrong = |other: &str, what: String, right: String| {
            let place = self.origins.get(key).or(self.origins.get(other));
            Err(ConfigError::new(place.map_or("default", String::as_str), what, right))
        };
        if memory < least {
            let right = format!("give at least {least} KiB, or fewer lanes");
            let what = format!("{key} is {memory} for {lanes} lanes");
            return wrong("auth.argon2_parallelism", what, right);
        }
        let enough = |(floor, turns): &(u32, u32)| memory >= *floor && passes >= *turns;
        if auth.allow_weak || ARGON2_FLOORS.iter().any(enough) {
            return Ok(());
        }
        let floors = ARGON2_FLOORS.map(|(m, t)| format!("{m}/{t}")).join(", ");
        let right = format!("give at least one of {floors} (KiB/passes)");
        let what = format!("{key} {memory} with auth.argon2_time_cost {passes} is too weak");
        wrong("auth.argon2_time_cost", what, right)
    }
}

impl Config {
    /// A certificate needs its key, and there is one certificate.
    fn check_tls(&self) -> Result<(), ConfigError> {
        let Tls { cert, key, self_signed, .. } = &self.tls;
        let (set, what, right) = match (cert, key) {
            (Some(_), None) => ("cert", "is set without server.tls.key", "give both, or neither"),
            (None, Some(_)) => ("key", "is set without server.tls.cert", "give both, or neither"),
            (Some(_), Some(_)) if *self_signed => {
                ("cert", "is set beside server.tls.self_signed", "keep one of the two")
            }
            _ => return Ok(()),
        };
        let set = format!("server.tls.{set}");
        let place = self.origins.get(set.as_str()).map_or("default", String::as_str);
        Err(ConfigError::new(place, format_args!("{set} {what}"), right))
    }

    /// age encrypts to a passphrase or to keys.
    fn check_backup(&self) -> Result<(), ConfigError> {
        let key = "backup.passphrase";
        if self.backup.passphrase.is_none() || self.backup.recipients.is_empty() {
            return Ok(());
        }
        let place = self.origins.get(key).map_or("default", String::as_str);
        let what = format_args!("{key} is set beside backup.recipients");
        Err(ConfigError::new(place, what, "keep one of the two"))
    }

    /// A mail server needs a sender, and a name there a password.
    fn check_mail(&self) -> Result<(), ConfigError> {
        let email = &self.email;
        let (name, password) = (email.smtp_username.is_some(), email.smtp_password.is_some());
        let (has, lacks) = match (&email.smtp_host, &email.smtp_from_email) {
            (Some(_), None) => ("email.smtp_host", "email.smtp_from_email"),
            _ if name && !password => ("email.smtp_username", "email.smtp_password"),
            _ if password && !name => ("email.smtp_password", "email.smtp_username"),
            _ => return Ok(()),
        };
        let place = self.origins.get(has).map_or("default", String::as_str);
        let what = format!("{has} is set without {lacks}");
        Err(ConfigError::new(place, what, "give both, or neither"))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::at(Path::new(""))
    }
}

/// Reads the configuration: `file` (which must exist), else `gatelodge.yaml` in `folder` if there
/// is one, then `env`, which wins. Relative paths begin at the folder of the file that holds them,
/// those of the environment and of defaults at `folder`.
///
/// # Errors
/// The first mistake found, as one line that says where it is and what would be right.
pub fn load(
    file: Option<&Path>,
    folder: &Path,
    env: &[(String, String)],
) -> Result<Config, ConfigError> {
    let mut config = Config::at(folder);
    if let Some(source) = yaml::Source::open(file, folder)? {
        source.read(&mut config)?;
    }
    environment::read(&mut config, folder, env)?;
    config.check_argon2()?;
    config.check_tls()?;
    config.check_mail()?;
    config.check_backup()?;
    config.check_providers()?;
    Ok(config)
}

/// The settings as a Markdown table, for `docs/CONFIG.md`.
pub fn reference() -> String {
    let mut table =
        String::from("| key | default | environment | what it does |\n|---|---|---|---|\n");
    for setting in SETTINGS {
        let default = match setting.default {
            "" if setting.rule.is_list() => "empty list".into(),
            "" => "not set".into(),
            text => format!("`{text}`"),
        };
        let names = setting.names().join("`, `");
        let file = if setting.is_secret() { " (each also with `_FILE`)" } else { "" };
        let (key, doc, right) = (setting.key, setting.doc.trim(), setting.rule.right());
        table += &format!("| `{key}` | {default} | `{names}`{file} | {doc} Give {right}. |\n");
        if setting.key == providers::BEFORE {
            table += &providers::reference();
        }
    }
    table
}
