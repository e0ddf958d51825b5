//! Every setting of Gatelodge, in one table: its type, its default, its rule and its sentence of
//! documentation. The file, the environment, the list of known names and `docs/CONFIG.md` are all
//! read from that table, so that none of them can say something else than the others.

use ipnet::IpNet;
use saphyr::{AnnotatedMapping, LoadableYamlNode, MarkedYaml, Scalar, ScanError, YamlData};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE_NAME: &str = "gatelodge.yaml";
const FILE_MAX: u64 = 1 << 20;
const SECRET_FILE_MAX: u64 = 64 << 10;
const PREFIX: &str = "GATELODGE_";
const OPENSSL: &str = "for example the output of `openssl rand -base64 32`";
/// The pairs of memory (KiB) and passes that OWASP's password storage cheat sheet calls equal.
const ARGON2_FLOORS: [(u32, u32); 5] = [(19456, 2), (12288, 3), (9216, 4), (7168, 5), (47104, 1)];

/// Makes the section structs, `Config`, `SETTINGS` and `SECTIONS` out of the table. An empty
/// default means "not set" (or an empty list).
macro_rules! settings {
    (
        { $(#[doc = $tdoc:literal] $top:ident: $tty:ty = $tdef:literal, $trule:expr;)* }
        $(
            $section:ident: $Section:ident {
                $(#[doc = $doc:literal] $field:ident: $ty:ty = $def:literal, $rule:expr
                    $(, $alias:literal)*;)*
            }
        )*
    ) => {
        $(
            #[doc = concat!("The settings below `", stringify!($section), ":`.")]
            #[derive(Clone, Debug)]
            pub struct $Section {
                $(#[doc = concat!($doc, " Default: `", $def, "`. Rule: `", stringify!($rule), "`.")]
                pub $field: $ty,)*
            }
        )*

        /// All settings, checked. `Config::default()` holds the defaults of the table.
        #[derive(Clone, Debug)]
        pub struct Config {
            $(#[doc = concat!($tdoc, " Default: `", $tdef, "`. Rule: `", stringify!($trule), "`.")]
            pub $top: $tty,)*
            $(#[doc = concat!("The settings below `", stringify!($section), ":`.")]
            pub $section: $Section,)*
            /// Where each setting that is no default came from.
            origins: BTreeMap<&'static str, String>,
        }

        impl Config {
            /// Empty values of each type; no one outside sees them before the defaults are in.
            fn blank() -> Self {
                Self {
                    $($top: Default::default(),)*
                    $($section: $Section { $($field: Default::default(),)* },)*
                    origins: BTreeMap::new(),
                }
            }
        }

        const SECTIONS: &[&str] = &[$(stringify!($section)),*];

        /// Every setting, in the order of the documentation.
        pub const SETTINGS: &[Setting] = &[
            $(Setting {
                key: stringify!($top), default: $tdef, doc: $tdoc, rule: $trule, aliases: &[],
                set: |config, raw| { config.$top = Field::read(raw, &$trule)?; Ok(()) },
                show: |config| config.$top.show(),
                same: |one, other| one.$top == other.$top,
            },)*
            $($(Setting {
                key: concat!(stringify!($section), ".", stringify!($field)),
                default: $def, doc: $doc, rule: $rule, aliases: &[$($alias),*],
                set: |config, raw| { config.$section.$field = Field::read(raw, &$rule)?; Ok(()) },
                show: |config| config.$section.$field.show(),
                same: |one, other| one.$section.$field == other.$section.$field,
            },)*)*
        ];
    };
}

settings! {
    {
        /// The folder of the database and everything else that is kept.
        data_dir: PathBuf = ".", Rule::Path;
    }
    auth: Auth {
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
        /// Sign-ins that may wait for a free lane before others are told to come back later.
        hash_queue: usize = "256", Rule::Whole(1, 65_536, "waiting sign-ins");
        /// A file for the generated master secret. Not set: it is kept in the database.
        master_key_file: Option<PathBuf> = "", Rule::Path;
    }
    server: Server {
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
    }
    registration: Registration {
        /// Who may make an account: no one, people with an invitation, or everyone.
        mode: RegistrationMode = "closed", Rule::OneOf(RegistrationMode::NAMES);
    }
    rate_limit: RateLimit {
        /// Requests that one client address may make for each second; 0 turns the limit off.
        requests_per_second: u32 = "20", Rule::Whole(0, 1_000_000, "requests");
        /// Requests that a quiet client may make at once.
        burst: u32 = "60", Rule::Whole(1, 1_000_000, "requests");
    }
    throttle: Throttle {
        /// Failed sign-ins of one client address before it must wait; 0 turns the limit off.
        max_attempts: u32 = "5", Rule::Whole(0, 1_000_000, "attempts"), "MAX_LOGIN_ATTEMPTS";
        /// How long failed sign-ins are counted.
        window_seconds: u64 = "300", Rule::Whole(1, 86_400, "seconds"), "RATE_LIMIT_WINDOW_SECONDS";
    }
    api_keys: ApiKeys {
        /// The beginning of every new API key.
        prefix: String = "lodge", Rule::Word(16, "");
    }
    dialects: Dialects {
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
    }
    email: Email {
        /// The beginning of links in letters. Not set: `server.public_url`.
        verification_url_base: Option<String> = "", Rule::Link;
        /// How long a link in a letter works.
        verification_token_expiry_hours: u32 = "24", Rule::Whole(1, 720, "hours");
    }
    pin: Pin {
        /// Networks from which people can sign in with a PIN.
        networks: Vec<IpNet> = "127.0.0.0/8, ::1/128, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, fc00::/7, fe80::/10", Rule::Networks;
        /// How long an access token of this interface lasts.
        access_seconds: u64 = "60", Rule::Whole(1, 86_400, "seconds");
        /// How long a device stays signed in.
        refresh_days: u32 = "30", Rule::Whole(1, 3650, "days");
        /// Shows those networks the people who have a PIN, for a sign-in pad.
        list_users: bool = "true", Rule::Flag;
    }
    pair: Pair {
        /// How long an access token of this interface lasts.
        access_expiry: Duration = "8h", Rule::Span, "JWT_EXPIRE_DURATION";
        /// How long a refresh token of this interface lasts.
        refresh_days: u32 = "7", Rule::Whole(1, 3650, "days");
    }
    signup: Signup {
        /// How long a token of this interface lasts.
        token_minutes: u32 = "30", Rule::Whole(1, 1440, "minutes");
        /// The role of an account made by sign-up.
        default_role: String = "developer", Rule::Word(64, "-_");
        /// The page that takes over after a sign-in with Google. Not set: the built-in pages.
        frontend_url: Option<String> = "", Rule::Link;
    }
    logs: Logs {
        /// Writes client addresses into the log only in part.
        mask_addresses: bool = "false", Rule::Flag;
        /// How long log entries are kept.
        keep_days: u32 = "90", Rule::Whole(1, 3650, "days");
    }
    updates: Updates {
        /// Asked once a day for new versions. Not set: no one is asked.
        feed_url: Option<String> = "", Rule::Feed;
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
    set: fn(&mut Config, &Raw) -> Result<(), Wrong>,
    show: fn(&Config) -> String,
    same: fn(&Config, &Config) -> bool,
}

impl Setting {
    /// Whether the value must never be printed; such a setting can be read from a file of its own.
    pub fn is_secret(&self) -> bool {
        matches!(self.rule, Rule::Secret(_))
    }

    /// The environment names, `GATELODGE_…` first, without the `_FILE` forms.
    pub fn names(&self) -> Vec<String> {
        let own = format!("{PREFIX}{}", self.key.replace('.', "__").to_uppercase());
        let aliases = self.aliases.iter().map(|alias| (*alias).to_owned());
        std::iter::once(own).chain(aliases).collect()
    }
}

/// Which values a setting accepts.
#[derive(Debug)]
pub enum Rule {
    /// A whole number: least, greatest, what is counted.
    Whole(i64, i64, &'static str),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A secret of at least so many bytes.
    Secret(usize),
    /// A path; a relative one begins at the folder of the file that names it.
    Path,
    /// One or more IP addresses with port.
    Sockets,
    /// IP networks or addresses.
    Networks,
    /// Web origins.
    Origins,
    /// An http or https URL without a path.
    Root,
    /// An http or https URL; a path is allowed.
    Link,
    /// An https URL, or http on this machine; path and query are allowed.
    Feed,
    /// A duration from 1 s to 365 days, at a precision of 1 ms.
    Span,
    /// A word of at most so many lower-case ASCII letters, digits and these other characters.
    Word(usize, &'static str),
}

impl Rule {
    /// What would be right, as the object of "give".
    fn right(&self) -> String {
        match self {
            Self::Whole(min, max, unit) => {
                format!("a whole number of {unit} from {min} to {max}")
            }
            Self::Flag => "true or false".into(),
            Self::OneOf(words) => words.join(" or "),
            Self::Secret(min) => format!("at least {min} bytes, {OPENSSL}"),
            Self::Path => "a path".into(),
            Self::Sockets => "one or more IP addresses with port, such as 127.0.0.1:8080".into(),
            Self::Networks => "a list of IP networks or addresses, such as 10.0.0.0/8".into(),
            Self::Origins => "a list of origins, such as https://app.example.org".into(),
            Self::Root => {
                "an http or https URL without a path, such as https://id.example.org".into()
            }
            Self::Link => "an http or https URL, such as https://id.example.org/start".into(),
            Self::Feed => "an https URL (http only for localhost, 127.0.0.1 or [::1])".into(),
            Self::Span => "a duration such as 8h, 90m or 1h30m, from 1s to 8760h".into(),
            Self::Word(max, "") => format!("1 to {max} lower-case letters or digits"),
            Self::Word(max, _) => format!("1 to {max} lower-case letters, digits, - or _"),
        }
    }
}

/// Makes an enum of words and its reader.
macro_rules! choice {
    ($(#[$meta:meta])* $Name:ident { $(#[$first:meta])* $First:ident = $one:literal,
        $($(#[$more:meta])* $Variant:ident = $word:literal),* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $Name { $(#[$first])* #[default] $First, $($(#[$more])* $Variant),* }

        impl $Name {
            const NAMES: &'static [&'static str] = &[$one, $($word),*];
        }

        impl Field for $Name {
            fn read(raw: &Raw, _: &Rule) -> Result<Self, Wrong> {
                match raw.value.text()?.trim() {
                    $one => Ok(Self::$First),
                    $($word => Ok(Self::$Variant),)*
                    other => Err(Wrong::new(format!("is {}", quoted(other)))),
                }
            }
            fn show(&self) -> String {
                match self { Self::$First => $one, $(Self::$Variant => $word),* }.into()
            }
        }
    };
}

choice! {
    /// How new passwords are hashed.
    PasswordHash {
        /// Argon2id with the costs of the `auth` section.
        Argon2id = "argon2id",
        /// bcrypt.
        Bcrypt = "bcrypt"
    }
}

choice! {
    /// Who may make an account.
    RegistrationMode {
        /// No one.
        Closed = "closed",
        /// Everyone.
        Open = "open",
        /// People with an invitation.
        Invite = "invite"
    }
}

/// A secret that does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
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

/// What is wrong with the configuration and what would be right, on one line. It never holds the
/// value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    fn new(source: &str, what: &str, right: &str) -> Self {
        // Names and paths are the user's and may hold anything; the message must stay one line.
        let line = format!("{source}: {what}; {right}");
        Self(line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// One setting as `Config::shown` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The name in the file.
    pub key: &'static str,
    /// The value as text; `(not set)`, and for a secret only its length.
    pub value: String,
    /// `default`, `FILE:LINE` or `environment NAME`.
    pub origin: String,
}

/// A value as its source gave it.
enum Value {
    /// From the environment or the table: its type is the setting's affair.
    Loose(String),
    Text(String),
    Whole(i64),
    Fraction,
    Flag(bool),
    /// Each item with its line.
    List(Vec<(usize, Value)>),
    Map,
    Empty,
    Odd,
}

struct Raw<'a> {
    value: Value,
    /// Where relative paths begin.
    base: &'a Path,
}

/// What a reader found wrong; the key, the source and (if absent) what is right come later.
struct Wrong {
    line: Option<usize>,
    what: String,
    quotes: bool,
}

impl Wrong {
    fn new(what: impl Into<String>) -> Self {
        Self { line: None, what: what.into(), quotes: false }
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Loose(_) | Self::Text(_) => "text",
            Self::Whole(_) => "a number",
            Self::Fraction => "a number with a fraction",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Map => "a map",
            Self::Empty => "empty",
            Self::Odd => "a value with an unknown tag",
        }
    }

    fn wrong_kind(&self) -> Wrong {
        Wrong::new(format!("is {}", self.kind()))
    }

    /// YAML would change `0123` or `1e3` silently, so a bare number is never taken for text.
    fn text(&self) -> Result<&str, Wrong> {
        match self {
            Self::Loose(text) | Self::Text(text) => Ok(text),
            Self::Whole(_) | Self::Fraction | Self::Flag(_) => Err(Wrong {
                quotes: true,
                ..Wrong::new(format!("is {} without quotes", self.kind()))
            }),
            _ => Err(self.wrong_kind()),
        }
    }

    fn items(&self) -> Result<Vec<(Option<usize>, &str)>, Wrong> {
        match self {
            Self::Loose(text) if text.is_empty() => Ok(Vec::new()),
            Self::Loose(text) => Ok(text.split(',').map(|item| (None, item.trim())).collect()),
            Self::List(items) => items.iter().map(Self::item).collect(),
            _ => Ok(vec![(None, self.text()?)]),
        }
    }

    fn item((line, value): &(usize, Self)) -> Result<(Option<usize>, &str), Wrong> {
        value.text().map(|text| (Some(*line), text)).map_err(|wrong| Wrong {
            line: Some(*line),
            what: wrong.what.replacen("is", "has", 1),
            ..wrong
        })
    }

    fn from_yaml(node: &MarkedYaml) -> Self {
        match &node.data {
            YamlData::Value(Scalar::String(text)) => Self::Text(text.to_string()),
            YamlData::Value(Scalar::Integer(number)) => Self::Whole(*number),
            YamlData::Value(Scalar::FloatingPoint(_)) => Self::Fraction,
            YamlData::Value(Scalar::Boolean(flag)) => Self::Flag(*flag),
            YamlData::Value(Scalar::Null) => Self::Empty,
            YamlData::Mapping(_) => Self::Map,
            YamlData::Sequence(nodes) => Self::List(
                nodes.iter().map(|node| (line_of(node), Self::from_yaml(node))).collect(),
            ),
            _ => Self::Odd,
        }
    }
}

/// A type that a setting can have.
trait Field: Sized {
    fn read(raw: &Raw, rule: &Rule) -> Result<Self, Wrong>;
    /// The value as it could be given; empty when not set.
    fn show(&self) -> String;
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl Field for $number {
            fn read(raw: &Raw, rule: &Rule) -> Result<Self, Wrong> {
                let number = match &raw.value {
                    Value::Whole(number) => *number,
                    Value::Loose(text) => text.trim().parse::<i64>()
                        .map_err(|_| Wrong::new(format!("is {}", quoted(text))))?,
                    other => return Err(other.wrong_kind()),
                };
                let inside = matches!(rule, Rule::Whole(min, max, _) if (*min..=*max).contains(&number));
                let fits = Self::try_from(number).ok().filter(|_| inside);
                fits.ok_or_else(|| Wrong::new(format!("is {number}, which is out of range")))
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole_numbers!(u32, u64, usize);

impl Field for bool {
    fn read(raw: &Raw, _: &Rule) -> Result<Self, Wrong> {
        match &raw.value {
            Value::Flag(flag) => Ok(*flag),
            Value::Loose(text) => text
                .trim()
                .to_ascii_lowercase()
                .parse()
                .map_err(|_| Wrong::new(format!("is {}", quoted(text)))),
            other => Err(other.wrong_kind()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Field for Hidden {
    fn read(raw: &Raw, rule: &Rule) -> Result<Self, Wrong> {
        let text = raw.value.text()?;
        match rule {
            Rule::Secret(min) if text.len() < *min => {
                Err(Wrong::new(format!("is {} bytes long", text.len())))
            }
            _ => Ok(Self(text.to_owned())),
        }
    }

    fn show(&self) -> String {
        format!("(set, {} characters)", self.0.chars().count())
    }
}

impl<T: Field> Field for Option<T> {
    fn read(raw: &Raw, rule: &Rule) -> Result<Self, Wrong> {
        T::read(raw, rule).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
}

impl Field for PathBuf {
    fn read(raw: &Raw, _: &Rule) -> Result<Self, Wrong> {
        let text = raw.value.text()?;
        if text.is_empty() || text.contains('\0') {
            return Err(Wrong::new(format!("is {}", quoted(text))));
        }
        Ok(below(raw.base, text))
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Field for String {
    fn read(raw: &Raw, rule: &Rule) -> Result<Self, Wrong> {
        let text = raw.value.text()?;
        if let Rule::Word(max, more) = rule {
            let allowed =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
            return match (1..=*max).contains(&text.len()) && text.chars().all(allowed) {
                true => Ok(text.to_owned()),
                false => Err(Wrong::new(format!("is {}", quoted(text)))),
            };
        }
        web(text, rule).map_err(Wrong::new)
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Field for Duration {
    fn read(raw: &Raw, _: &Rule) -> Result<Self, Wrong> {
        let text = raw.value.text()?.trim();
        let Some(span) = go_duration(text) else {
            return Err(Wrong::new(format!("is {}", quoted(text))));
        };
        match (Duration::from_secs(1)..=Duration::from_secs(365 * 86_400)).contains(&span) {
            true => Ok(span),
            false => Err(Wrong::new(format!("is {}, which is out of range", quoted(text)))),
        }
    }

    fn show(&self) -> String {
        let (seconds, millis) = (self.as_secs(), u64::from(self.subsec_millis()));
        let parts =
            [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (millis, "ms")];
        let given = parts.iter().filter(|(count, _)| *count > 0);
        given.map(|(count, unit)| format!("{count}{unit}")).collect()
    }
}

/// Go's notation: numbers, fractions allowed, each with h, m, s or ms.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() || text.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        let (_, unit) = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
            .into_iter()
            .find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // Nine digits each keep the sums far below overflow and reach beyond the bounds.
        if whole.len() > 9 || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
        total += digits * unit / 10u128.pow(u32::try_from(fraction.len()).ok()?);
        rest = next;
    }
    Some(Duration::from_millis(u64::try_from(total).ok()?))
}

/// A type that stands in lists.
trait Item: Sized + fmt::Display {
    fn item(text: &str, rule: &Rule) -> Result<Self, String>;
}

impl Item for SocketAddr {
    fn item(text: &str, _: &Rule) -> Result<Self, String> {
        text.parse().map_err(|_| format!("has {}", quoted(text)))
    }
}

impl Item for IpNet {
    fn item(text: &str, _: &Rule) -> Result<Self, String> {
        let network = text.parse::<Self>().map(|network| network.trunc());
        let address = |_| text.parse::<IpAddr>().map(Self::from);
        network.or_else(address).map_err(|_| format!("has {}", quoted(text)))
    }
}

impl Item for String {
    fn item(text: &str, rule: &Rule) -> Result<Self, String> {
        web(text, rule).map_err(|what| format!("has an entry that {what}"))
    }
}

impl<T: Item> Field for Vec<T> {
    fn read(raw: &Raw, rule: &Rule) -> Result<Self, Wrong> {
        let items = raw.value.items()?;
        if items.is_empty() && matches!(rule, Rule::Sockets) {
            return Err(Wrong::new("is an empty list"));
        }
        let read =
            |(line, text)| T::item(text, rule).map_err(|what| Wrong { line, ..Wrong::new(what) });
        items.into_iter().map(read).collect()
    }

    fn show(&self) -> String {
        self.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// Checks a URL and writes it in the one form that can be compared. The messages do not repeat it:
/// a password may stand in it.
fn web(text: &str, rule: &Rule) -> Result<String, String> {
    let (scheme, rest) = text.split_once("://").ok_or("is no URL with http:// or https://")?;
    let usual = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return Err("has a scheme other than http or https".into()),
    };
    let allowed = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
    if text.len() > 2048 || !text.bytes().all(allowed) {
        return Err("is too long or has characters that no URL has".into());
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("has a user name or password in it".into());
    }
    let (host, port) = host_and_port(authority).ok_or("has no valid host and port")?;
    let local = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
    if matches!(rule, Rule::Feed) && usual == 80 && !local {
        return Err("is http".into());
    }
    let path = check_path(path, rule)?;
    let port = port.filter(|port| *port != usual).map(|port| format!(":{port}"));
    let (scheme, port) = (scheme.to_ascii_lowercase(), port.unwrap_or_default());
    Ok(format!("{scheme}://{host}{port}{path}"))
}

/// The path as it is kept: a base that links are appended to must not end with a slash.
fn check_path<'a>(path: &'a str, rule: &Rule) -> Result<&'a str, String> {
    if path.contains('#') {
        return Err("has a fragment".into());
    }
    if path.contains('?') && !matches!(rule, Rule::Feed) {
        return Err("has a query".into());
    }
    match rule {
        Rule::Feed => Ok(path),
        Rule::Link => Ok(path.trim_end_matches('/')),
        _ if path.is_empty() || path == "/" => Ok(""),
        _ => Err("has a path".into()),
    }
}

fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), after)
        }
        None => {
            let at = authority.find(':').unwrap_or(authority.len());
            (host_name(&authority[..at])?, &authority[at..])
        }
    };
    let Some(digits) = port.strip_prefix(':') else {
        return port.is_empty().then_some((host, None));
    };
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse::<u16>().ok().filter(|number| plain && *number > 0)?;
    Some((host, Some(number)))
}

fn host_name(name: &str) -> Option<String> {
    let last = name.rsplit('.').next()?;
    // Browsers read a name that ends in a number as an IPv4 address, so it has to be one.
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return name.parse::<Ipv4Addr>().ok().map(|address| address.to_string());
    }
    let character = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(character)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (name.len() <= 253 && name.split('.').all(label)).then(|| name.to_ascii_lowercase())
}

impl Config {
    /// The defaults, with relative paths below `folder`.
    fn at(folder: &Path) -> Self {
        let mut config = Self::blank();
        for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
            let raw = Raw { value: Value::Loose(setting.default.into()), base: folder };
            let applied = (setting.set)(&mut config, &raw);
            // A test holds every default against this; a wrong one cannot be released.
            debug_assert!(applied.is_ok(), "default of {}", setting.key);
        }
        config
    }

    fn origin(&self, key: &str) -> &str {
        self.origins.get(key).map_or("default", String::as_str)
    }

    fn apply(&mut self, setting: &Setting, raw: &Raw, source: &Origin) -> Result<(), ConfigError> {
        (setting.set)(self, raw).map_err(|wrong| {
            let source = match (source, wrong.line) {
                (Origin::File(name, _), Some(line)) => format!("{name}:{line}"),
                _ => source.to_string(),
            };
            let quotes = if wrong.quotes { "put it in quotes and " } else { "" };
            let right = format!("{quotes}give {}", setting.rule.right());
            ConfigError::new(&source, &format!("{} {}", setting.key, wrong.what), &right)
        })?;
        self.origins.insert(setting.key, source.to_string());
        Ok(())
    }

    /// Every setting with its value and where the value came from; secrets are masked.
    pub fn shown(&self) -> Vec<Shown> {
        let shown = |setting: &Setting| Shown {
            key: setting.key,
            value: Some((setting.show)(self))
                .filter(|value| !value.is_empty())
                .unwrap_or_else(|| "(not set)".into()),
            origin: self.origin(setting.key).to_owned(),
        };
        SETTINGS.iter().map(shown).collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::at(Path::new(""))
    }
}

/// Where a value stands.
enum Origin {
    File(String, usize),
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::File(name, line) => write!(f, "{name}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
        }
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
    if let Some(source) = Source::open(file, folder)? {
        source.read(&mut config)?;
    }
    read_environment(&mut config, folder, env)?;
    check_argon2(&config)?;
    Ok(config)
}

/// The settings as a Markdown table, for `docs/CONFIG.md`.
pub fn reference() -> String {
    let mut table =
        String::from("| key | default | environment | what it does |\n|---|---|---|---|\n");
    for setting in SETTINGS {
        let default = match setting.default {
            "" if matches!(setting.rule, Rule::Networks | Rule::Origins) => "empty list".into(),
            "" => "not set".into(),
            text => format!("`{text}`"),
        };
        let names = setting.names().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        let file = if setting.is_secret() { " (each also with `_FILE`)" } else { "" };
        let (key, names, doc) = (setting.key, names.join(", "), setting.doc.trim());
        let right = setting.rule.right();
        table += &format!("| `{key}` | {default} | {names}{file} | {doc} Give {right}. |\n");
    }
    table
}

/// The configuration file.
struct Source {
    name: String,
    base: PathBuf,
    text: String,
}

impl Source {
    fn open(file: Option<&Path>, folder: &Path) -> Result<Option<Self>, ConfigError> {
        let (path, name) = match file {
            Some(path) => (path.to_owned(), path.display().to_string()),
            None => (folder.join(FILE_NAME), FILE_NAME.to_owned()),
        };
        // A dangling link is a mistake, not an absent file.
        let absent =
            || path.symlink_metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
        if file.is_none() && absent() {
            return Ok(None);
        }
        let text = read_text(&path, FILE_MAX).map_err(|what| {
            ConfigError::new(&name, &what, "give a readable UTF-8 file of at most 1 MiB")
        })?;
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Some(Self { name, base, text }))
    }

    fn wrong(&self, line: usize, what: &str, right: &str) -> ConfigError {
        ConfigError::new(&format!("{}:{line}", self.name), what, right)
    }

    fn read(&self, config: &mut Config) -> Result<(), ConfigError> {
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(&self.text);
        if let Some(line) = too_deep(text) {
            let right = "settings stand at most two levels deep";
            return Err(self.wrong(line, "is nested too deep", right));
        }
        let documents = MarkedYaml::load_from_str(text).map_err(|e| self.not_yaml(text, &e))?;
        if let Some(second) = documents.get(1) {
            let right = "keep one and remove the `---` line between them";
            return Err(self.wrong(line_of(second), "a second document begins here", right));
        }
        let Some(root) = documents.first() else {
            return Ok(());
        };
        match (&root.data, Value::from_yaml(root)) {
            (YamlData::Mapping(sections), _) => self.read_sections(config, sections),
            (_, Value::Empty) => Ok(()),
            (_, other) => {
                let what = format!("the file is {}, not a map of sections", other.kind());
                let right = "write sections such as `auth:` with settings below";
                Err(self.wrong(line_of(root), &what, right))
            }
        }
    }

    fn read_sections(&self, config: &mut Config, sections: &Map<'_>) -> Result<(), ConfigError> {
        for (key, node) in sections {
            let (line, name) = (line_of(key), key_of(key));
            if let Some((section, rest)) = name.split_once('.').filter(|_| find(name).is_some()) {
                let right = format!("write `{section}:` and below it, indented, `{rest}:`");
                return Err(self.wrong(line, &format!("{name} stands on one line"), &right));
            }
            match (&node.data, SECTIONS.contains(&name)) {
                (_, false) => self.read_setting(config, name, line, node)?,
                (YamlData::Value(Scalar::Null), _) => {}
                (YamlData::Mapping(settings), _) => {
                    for (key, node) in settings {
                        let full = format!("{name}.{}", key_of(key));
                        self.read_setting(config, &full, line_of(key), node)?;
                    }
                }
                _ => {
                    let kind = Value::from_yaml(node).kind();
                    let what = format!("{name} is {kind}, not a section");
                    return Err(self.wrong(line, &what, "write its settings below it, indented"));
                }
            }
        }
        Ok(())
    }

    fn read_setting(
        &self,
        config: &mut Config,
        key: &str,
        line: usize,
        node: &MarkedYaml,
    ) -> Result<(), ConfigError> {
        let secret = key.strip_suffix("_file").and_then(find).filter(|s| s.is_secret());
        let setting = find(key).or(secret).ok_or_else(|| self.unknown(line, key))?;
        let mut value = Value::from_yaml(node);
        // `key:` with nothing behind it can only mean "not set" where that is possible.
        if matches!(value, Value::Empty) && setting.default.is_empty() {
            return Ok(());
        }
        if config.origins.contains_key(setting.key) {
            let what = format!("{} is given directly and as a file", setting.key);
            return Err(self.wrong(line, &what, "keep one of the two"));
        }
        if setting.key != key {
            value = self.content_of(key, line, &value)?;
        }
        let raw = Raw { value, base: &self.base };
        config.apply(setting, &raw, &Origin::File(self.name.clone(), line))
    }

    /// What stands in the file that `key: path` names.
    fn content_of(&self, key: &str, line: usize, path: &Value) -> Result<Value, ConfigError> {
        let content = match path.text() {
            Ok(path) => read_secret(&below(&self.base, path)),
            Err(wrong) => Err(wrong.what),
        };
        let right = "name a readable file that holds the value";
        let wrong = |what| self.wrong(line, &format!("{key} {what}"), right);
        content.map(Value::Text).map_err(wrong)
    }

    fn unknown(&self, line: usize, key: &str) -> ConfigError {
        let files = SETTINGS.iter().filter(|setting| setting.is_secret());
        let known = SETTINGS.iter().map(|setting| setting.key.to_owned());
        let known = known.chain(SECTIONS.iter().map(|section| (*section).to_owned()));
        let known = known.chain(files.map(|setting| format!("{}_file", setting.key)));
        let right = format!("the nearest known one is {}", nearest(key, known));
        self.wrong(line, &format!("{} is not a setting", plain(key)), &right)
    }

    fn not_yaml(&self, text: &str, error: &ScanError) -> ConfigError {
        let line = error.marker().line();
        if error.info().starts_with("duplicated key") {
            let key = key_at(text, line, error.marker().col());
            return self.wrong(line, &format!("{key} is given twice"), "keep one of the two");
        }
        let right = "look at the indentation, the colons and the quotes on this line and above";
        self.wrong(line, &format!("is not valid YAML ({})", error.info()), right)
    }
}

fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

type Map<'a> = AnnotatedMapping<'a, MarkedYaml<'a>>;

fn line_of(node: &MarkedYaml) -> usize {
    node.span.start.line()
}

fn key_of<'a>(key: &'a MarkedYaml) -> &'a str {
    match &key.data {
        YamlData::Value(Scalar::String(text)) => text,
        _ => "",
    }
}

/// The parser knows only the position of a doubled key; its name is read from the text again.
fn key_at(text: &str, line: usize, column: usize) -> String {
    let name = |text: &str| -> String {
        text.chars()
            .skip_while(|c| *c == '"' || *c == '\'')
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    let lines: Vec<&str> = text.lines().take(line).collect();
    let at_column: String =
        lines.last().map(|l| l.chars().skip(column).collect()).unwrap_or_default();
    let key = name(&at_column);
    let section = lines.iter().rev().map(|line| name(line)).find(|name| !name.is_empty());
    match section.filter(|_| column > 0) {
        _ if key.is_empty() => "a key".into(),
        Some(section) => plain(&format!("{section}.{key}")),
        None => plain(&key),
    }
}

/// The parser calls itself for each level, and a megabyte of `- - -` would exhaust the stack.
fn too_deep(text: &str) -> Option<usize> {
    let deep = |line: &str| {
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        let comment = line.trim_start().starts_with('#');
        let marks = line.split_whitespace().filter(|word| ["-", "?", ":"].contains(word)).count();
        !comment && (indent > 128 || marks > 16)
    };
    text.lines().position(deep).map(|index| index + 1)
}

/// The known name that differs least; a right name in a wrong section is nearly right.
fn nearest(written: &str, known: impl Iterator<Item = String>) -> String {
    fn leaf(name: &str) -> &str {
        name.rsplit('.').next().unwrap_or_default()
    }
    let distance = |name: &String| {
        let leaves = strsim::levenshtein(leaf(written), leaf(name)) + 1;
        strsim::levenshtein(written, name).min(leaves)
    };
    known.min_by_key(distance).unwrap_or_default()
}

/// A name for an error message. A secret that slipped into the place of a name looks different.
fn plain(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let part = |part: &str| (1..=40).contains(&part.len()) && part.chars().all(plain);
    match name.len() <= 80 && name.split('.').all(part) {
        true => name.to_owned(),
        false => "a key that is no plain name".into(),
    }
}

fn quoted(text: &str) -> String {
    let clipped: String = text.chars().take(40).collect();
    format!("{clipped:?}{}", if clipped.len() < text.len() { "…" } else { "" })
}

/// `path` seen from `base`, without a needless `.` in it.
fn below(base: &Path, path: &str) -> PathBuf {
    match path {
        "." if base.as_os_str().is_empty() => PathBuf::from("."),
        "." => base.to_owned(),
        path => base.join(path),
    }
}

fn read_text(path: &Path, max: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    file.and_then(|file| file.take(max + 1).read_to_end(&mut bytes))
        .map_err(|e| format!("cannot be read ({e})"))?;
    if bytes.len() as u64 > max {
        return Err(format!("is larger than {} KiB", max >> 10));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".into())
}

fn read_secret(path: &Path) -> Result<String, String> {
    let text =
        read_text(path, SECRET_FILE_MAX).map_err(|what| format!("names {path:?}, which {what}"))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

type Env = [(String, String)];

/// An empty variable counts as not set: compose files write `NAME: ${NAME:-}`.
fn variable<'a>(env: &'a Env, name: &str) -> Option<&'a str> {
    let found = env.iter().find(|(given, value)| given == name && !value.is_empty());
    found.map(|(_, value)| value.as_str())
}

fn read_environment(config: &mut Config, folder: &Path, env: &Env) -> Result<(), ConfigError> {
    refuse_unknown(env)?;
    for setting in SETTINGS {
        let mut rival = None;
        for name in setting.names() {
            let Some((name, text)) = from_environment(setting, name, folder, env)? else {
                continue;
            };
            // Two names for the master secret that disagree would sign everyone out by chance,
            // so here the file counts as a rival as well.
            if setting.is_secret() && !name.starts_with(PREFIX) && rival.is_none() {
                rival = config.origins.get(setting.key).cloned();
            }
            let before = config.clone();
            let source = Origin::Environment(name);
            let raw = Raw { value: Value::Loose(text), base: folder };
            config.apply(setting, &raw, &source)?;
            if let Some(rival) = rival.filter(|_| !(setting.same)(&before, config)) {
                let what = format!("{} has another value than in {rival}", setting.key);
                return Err(ConfigError::new(
                    &source.to_string(),
                    &what,
                    "keep one, or make both the same",
                ));
            }
            rival = Some(source.to_string());
        }
    }
    Ok(())
}

fn refuse_unknown(env: &Env) -> Result<(), ConfigError> {
    let secret_file =
        |setting: &Setting, name: &String| setting.is_secret().then(|| format!("{name}_FILE"));
    let names = |setting: &'static Setting| {
        let own = setting.names().into_iter().filter(|name| name.starts_with(PREFIX));
        own.flat_map(move |name| [secret_file(setting, &name), Some(name)]).flatten()
    };
    let known: Vec<String> = SETTINGS.iter().flat_map(names).collect();
    let unknown = |(name, value): &&(String, String)| {
        name.starts_with(PREFIX) && !value.is_empty() && !known.contains(name)
    };
    env.iter().find(unknown).map_or(Ok(()), |(name, _)| {
        let right = format!("the nearest known one is {}", nearest(name, known.iter().cloned()));
        Err(ConfigError::new(&format!("environment {}", plain(name)), "is not a setting", &right))
    })
}

/// The value of `name` or, for a secret, of the file that `name_FILE` names; with the name used.
fn from_environment(
    setting: &Setting,
    name: String,
    folder: &Path,
    env: &Env,
) -> Result<Option<(String, String)>, ConfigError> {
    let direct = variable(env, &name);
    let file_name = format!("{name}_FILE");
    let Some(path) = variable(env, &file_name).filter(|_| setting.is_secret()) else {
        return Ok(direct.map(|text| (name, text.to_owned())));
    };
    let wrong = |what: &str, right: &str| {
        let what = format!("{} {what}", setting.key);
        ConfigError::new(&format!("environment {file_name}"), &what, right)
    };
    if direct.is_some() {
        return Err(wrong(&format!("is also given by {name}"), "keep one of the two"));
    }
    let text = read_secret(&below(folder, path));
    let text = text.map_err(|what| wrong(&what, "name a readable file that holds the value"))?;
    Ok(Some((file_name, text)))
}

/// The rules that need more than one setting.
fn check_argon2(config: &Config) -> Result<(), ConfigError> {
    let auth = &config.auth;
    let (memory, passes) = (auth.argon2_memory_cost, auth.argon2_time_cost);
    let (memory_key, least) = ("auth.argon2_memory_cost", 8 * auth.argon2_parallelism);
    let wrong = |other: &str, what: &str, right: &str| {
        let set = config.origins.get(memory_key).or(config.origins.get(other));
        ConfigError::new(set.map_or("default", String::as_str), what, right)
    };
    if memory < least {
        let what = format!("{memory_key} is {memory} for {} lanes", auth.argon2_parallelism);
        let right = format!("give at least {least} KiB, or fewer lanes");
        return Err(wrong("auth.argon2_parallelism", &what, &right));
    }
    let enough = |(floor, turns): &(u32, u32)| memory >= *floor && passes >= *turns;
    if auth.allow_weak || ARGON2_FLOORS.iter().any(enough) {
        return Ok(());
    }
    let floors = ARGON2_FLOORS.map(|(m, t)| format!("{m}/{t}")).join(", ");
    let what = format!("{memory_key} {memory} with auth.argon2_time_cost {passes} is too weak");
    let right = format!("give at least one of {floors} (KiB/passes)");
    Err(wrong("auth.argon2_time_cost", &what, &right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const SECRET: &str = "correct-horse-battery-staple-0123456789";
    const OTHER: &str = "another-horse-battery-staple-0123456789";

    /// A folder of its own for each test, gone afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let name =
                format!("config-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
            std::fs::write(self.0.join(name), content).unwrap();
            self.0.join(name)
        }

        fn load(&self, env: &[(&str, &str)]) -> Result<Config, String> {
            let env: Vec<_> = env.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            let loaded = load(None, &self.0, &env).map_err(|e| e.to_string());
            let printed = format!("{loaded:?}{:?}", loaded.as_ref().map(Config::shown));
            assert!(!printed.contains("horse"), "a secret is printed: {printed}");
            loaded
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn with(yaml: &str, env: &[(&str, &str)]) -> Result<Config, String> {
        let folder = Folder::new();
        folder.write(FILE_NAME, yaml);
        folder.load(env)
    }

    /// `parts` of the message, with ` | ` between them.
    #[track_caller]
    fn refused(result: Result<Config, String>, parts: &str) {
        let message = result.expect_err("accepted");
        let all = parts.split(" | ").all(|part| message.contains(part));
        assert!(all && message.lines().count() == 1, "{message}\nlacks {parts}");
    }

    #[track_caller]
    fn env_refused(name: &str, value: &str, parts: &str) {
        let result = Folder::new().load(&[(name, value)]);
        refused(result, &format!("environment {name}: | {parts}"));
    }

    /// Each line: a file (with `\n`) or, after `$`, a variable; then parts of the message.
    #[track_caller]
    fn all_refused(table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (given, parts) = line.split_once(" => ").expect(line);
            let given = given.replace("\\n", "\n");
            match given.strip_prefix('$').and_then(|pair| pair.split_once('=')) {
                Some((name, value)) => env_refused(name, value, parts),
                None => refused(with(&given, &[]), parts),
            }
        }
    }

    fn shown(config: &Config, key: &str) -> Shown {
        config.shown().into_iter().find(|shown| shown.key == key).unwrap()
    }

    fn secret_of(config: &Config) -> Option<&str> {
        config.auth.jwt_secret.as_ref().map(Hidden::reveal)
    }

    #[test]
    fn defaults_are_those_of_the_table() {
        let config = Config::default();
        for (setting, shown) in SETTINGS.iter().zip(config.shown()) {
            let value = shown.value.replace("(not set)", "");
            assert_eq!((value.as_str(), shown.origin.as_str()), (setting.default, "default"));
        }
        assert_eq!(config.auth.argon2_memory_cost, 19456);
        assert_eq!(config.pair.access_expiry, Duration::from_secs(8 * 3600));
        assert_eq!(config.server.listen, ["0.0.0.0:8080".parse().unwrap()]);
        assert_eq!(config.registration.mode, RegistrationMode::Closed);
        let folder = Folder::new();
        assert_eq!(folder.load(&[]).unwrap().data_dir, folder.0);
    }

    #[test]
    fn what_is_empty_is_not_set() {
        let env = [("GATELODGE_DATA_DIR", ""), ("SECRET_KEY", ""), ("GATELODGE_X", "")];
        for yaml in ["", "# none\n", "---\n", "\u{feff}auth:\n", "auth:\n  jwt_secret:\n"] {
            let config = with(yaml, &env).unwrap();
            assert!(config.origins.is_empty() && config.auth.jwt_secret.is_none(), "{yaml:?}");
        }
    }

    #[test]
    fn the_documentation_holds_the_table() {
        let page = include_str!("../docs/CONFIG.md");
        let (_, rest) = page.split_once("<!-- settings begin -->\n\n").unwrap();
        let (table, _) = rest.split_once("\n<!-- settings end -->").unwrap();
        let right = reference();
        assert!(table == right, "docs/CONFIG.md should hold:\n{right}");
        assert!(table.lines().all(|line| line.matches('|').count() == 5));
    }

    #[test]
    fn the_example_of_the_documentation_is_accepted() {
        let page = include_str!("../docs/CONFIG.md");
        let (_, rest) = page.split_once("```yaml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let folder = Folder::new();
        let secret = folder.write("secret", SECRET);
        folder
            .write(FILE_NAME, example.replace("/run/secrets/gatelodge", secret.to_str().unwrap()));
        let config = folder.load(&[]).unwrap();
        assert_eq!(config.registration.mode, RegistrationMode::Invite);
        let mistake = page.lines().find(|line| line.starts_with("gatelodge.yaml:4: ")).unwrap();
        refused(with("\n\nauth:\n  jwt_expiry_hours: soon", &[]), mistake);
    }

    #[test]
    fn a_file_sets_values() {
        let folder = Folder::new();
        let yaml = r#"
            data_dir: data
            auth: {jwt_secret: SECRET, password_hash: bcrypt, master_key_file: key}
            server:
              listen: '[::1]:1'
              public_url: HTTPS://Id.Example.org:443/
              trusted_proxies: [10.1.2.3, 'fd00::1', 10.9.9.9/8]
              allowed_origins:
                - http://A:80
                - http://a:81/
            api_keys: {prefix: "12"}
            throttle: {max_attempts: 0}
            pair:
              access_expiry: 1h30m
        "#;
        let path = folder.write("other.yaml", yaml.replace("SECRET", SECRET));
        let config = load(Some(&path), Path::new("/elsewhere"), &[]).unwrap();
        assert_eq!(config.data_dir, folder.0.join("data"));
        assert_eq!(config.auth.master_key_file, Some(folder.0.join("key")));
        assert_eq!(secret_of(&config), Some(SECRET));
        assert_eq!(shown(&config, "auth.jwt_secret").value, "(set, 39 characters)");
        assert_eq!(format!("{:?}", config.auth.jwt_secret), "Some(Hidden(…))");
        assert_eq!(config.auth.password_hash, PasswordHash::Bcrypt);
        assert_eq!(config.server.listen, ["[::1]:1".parse().unwrap()]);
        assert_eq!(config.server.public_url.unwrap(), "https://id.example.org");
        let networks = ["10.1.2.3/32", "fd00::1/128", "10.0.0.0/8"].map(|net| net.parse().unwrap());
        assert_eq!(config.server.trusted_proxies, networks);
        assert_eq!(config.server.allowed_origins, ["http://a", "http://a:81"]);
        assert_eq!((config.api_keys.prefix.as_str(), config.throttle.max_attempts), ("12", 0));
        assert_eq!(config.pair.access_expiry, Duration::from_secs(5400));
        let origin = format!("{}:14", path.display());
        assert_eq!(config.origins.get("pair.access_expiry"), Some(&origin));
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let folder = Folder::new();
        let yaml = "auth: {jwt_expiry_hours: 1, jwt_secret: SECRET}\nthrottle:\n  max_attempts: 3";
        folder.write(FILE_NAME, yaml.replace("SECRET", SECRET));
        let env = [
            ("GATELODGE_AUTH__JWT_EXPIRY_HOURS", " 48 "),
            ("GATELODGE_SERVER__LISTEN", "127.0.0.1:1, [::1]:2"),
            ("GATELODGE_DATA_DIR", "inner"),
            ("GATELODGE_DIALECTS__PIN", "False"),
            ("MAX_LOGIN_ATTEMPTS", "9"),
            ("RATE_LIMIT_WINDOW_SECONDS", "10"),
            ("JWT_EXPIRE_DURATION", "1.5h"),
            ("SECRET_KEY", SECRET),
            ("HOME", "x"),
        ];
        let config = folder.load(&env).unwrap();
        assert_eq!((config.auth.jwt_expiry_hours, config.server.listen.len()), (48, 2));
        assert_eq!(config.data_dir, folder.0.join("inner"));
        assert!(!config.dialects.pin && secret_of(&config) == Some(SECRET));
        let throttle = &config.throttle;
        assert_eq!((throttle.max_attempts, throttle.window_seconds), (9, 10));
        assert_eq!(config.pair.access_expiry, Duration::from_secs(5400));
        let origin = shown(&config, "throttle.max_attempts").origin;
        assert_eq!(origin, "environment MAX_LOGIN_ATTEMPTS");
    }

    #[test]
    fn secrets_come_from_files() {
        let folder = Folder::new();
        let path = folder.write("secret", format!("{SECRET}\n")).display().to_string();
        let (own, old) = ("GATELODGE_AUTH__JWT_SECRET_FILE", "SECRET_KEY_FILE");
        for env in [(old, path.as_str()), (own, "secret")] {
            assert_eq!(secret_of(&folder.load(&[env]).unwrap()), Some(SECRET));
        }
        let both = folder.load(&[(old, "secret"), ("SECRET_KEY", SECRET)]);
        refused(both, "environment SECRET_KEY_FILE: auth.jwt_secret | by SECRET_KEY; | keep one");
        folder
            .write(FILE_NAME, format!("auth:\n  jwt_secret_file: secret\n  jwt_secret: {SECRET}"));
        refused(
            folder.load(&[]),
            "gatelodge.yaml:3: auth.jwt_secret is given directly and as a file",
        );
        folder.write(FILE_NAME, "auth:\n  jwt_secret_file: secret\n");
        assert_eq!(secret_of(&folder.load(&[]).unwrap()), Some(SECRET));
        folder.write("secret", "horse\n");
        refused(
            folder.load(&[]),
            "gatelodge.yaml:2: auth.jwt_secret is 5 bytes long; give at least 32",
        );
        folder.write("secret", b"horse\xff");
        refused(folder.load(&[]), "gatelodge.yaml:2: auth.jwt_secret_file names | not UTF-8");
        folder.write("secret", "horse".repeat(20_000));
        refused(folder.load(&[]), "gatelodge.yaml:2: | larger than 64 KiB | name a readable file");
        env_refused(old, "absent", "auth.jwt_secret names | cannot be read | name a readable file");
    }

    #[test]
    fn two_names_must_agree() {
        let pairs = [
            ("SECRET_KEY", "AUTH__JWT_SECRET", SECRET, OTHER),
            ("MAX_LOGIN_ATTEMPTS", "THROTTLE__MAX_ATTEMPTS", "5", "6"),
            ("RATE_LIMIT_WINDOW_SECONDS", "THROTTLE__WINDOW_SECONDS", "5", "6"),
            ("JWT_EXPIRE_DURATION", "PAIR__ACCESS_EXPIRY", "60m", "2h"),
        ];
        for (old, new, value, other) in pairs {
            let new = format!("{PREFIX}{new}");
            let parts = format!("environment {old}: | another value than in environment {new}");
            refused(Folder::new().load(&[(old, value), (&new, other)]), &parts);
            Folder::new().load(&[(old, value), (&new, value)]).unwrap();
        }
        let same = [("JWT_EXPIRE_DURATION", "60m"), ("GATELODGE_PAIR__ACCESS_EXPIRY", "1h")];
        Folder::new().load(&same).unwrap();
        let yaml = format!("auth:\n  jwt_secret: {SECRET}\n");
        let differs = with(&yaml, &[("SECRET_KEY", OTHER)]);
        refused(differs, "environment SECRET_KEY: auth.jwt_secret | gatelodge.yaml:2 | keep one");
        with(&yaml, &[("GATELODGE_AUTH__JWT_SECRET", OTHER)]).unwrap();
    }

    #[test]
    fn unknown_names_are_told_the_nearest() {
        all_refused(
            r"
            auth:\n  jwt_expiry_hour: 1 => gatelodge.yaml:2: auth.jwt_expiry_hour is not a setting; the nearest known one is auth.jwt_expiry_hours
            \nauht:\n  a: 1 => gatelodge.yaml:2: auht is not a setting; the nearest known one is auth
            server:\n  data_dir: x => server.data_dir | one is data_dir
            jwt_secret: horse => gatelodge.yaml:1: jwt_secret | one is auth.jwt_secret
            auth:\n  jwt_secret_fil: a => gatelodge.yaml:2: auth.jwt_secret_fil | one is auth.jwt_secret_file
            auth.jwt_secret: horse => gatelodge.yaml:1: auth.jwt_secret | write `auth:` | `jwt_secret:`
            auth:\n  horse=battery: 1 => gatelodge.yaml:2 | no plain name
            auth:\n  7: 1 => gatelodge.yaml:2 | no plain name
            $GATELODGE_AUTH_JWT_SECRET=horse => is not a setting | one is GATELODGE_AUTH__JWT_SECRET
            $GATELODGE_DATA_DIR_FILE=x => is not a setting | one is GATELODGE_DATA_DIR
            ",
        );
    }

    #[test]
    fn files_that_are_no_settings_are_refused() {
        all_refused(
            r"
            auth: {jwt_expiry_hours: 1, jwt_expiry_hours: 2} => gatelodge.yaml:1: auth.jwt_expiry_hours is given twice
            logs:\n  keep_days: 1\n  keep_days: 1\n => gatelodge.yaml:3: logs.keep_days is given twice | keep one
            auth:\n\nauth:\n => gatelodge.yaml:3: auth is given twice
            auth:\n---\nauth:\n => gatelodge.yaml:3: a second document | keep one
            - auth\n => gatelodge.yaml:1: the file is a list, not a map | auth:
            horse => gatelodge.yaml:1: the file is text
            \nauth: horse => gatelodge.yaml:2: auth is text, not a section | indented
            auth:\n  jwt_secret: horse: battery\n => gatelodge.yaml:2: is not valid YAML | colons
            auth: [ => gatelodge.yaml: | is not valid YAML
            ",
        );
        let deep = format!("\n{}", "- ".repeat(100_000));
        refused(with(&deep, &[]), "gatelodge.yaml:2: is nested too deep");
        let large = "#".repeat(1_048_577);
        refused(with(&large, &[]), "gatelodge.yaml: is larger than 1024 KiB | at most 1 MiB");
        let folder = Folder::new();
        folder.write(FILE_NAME, b"data_dir: \xff");
        refused(folder.load(&[]), "gatelodge.yaml: is not UTF-8 text | UTF-8");
        let absent = folder.0.join("absent.yaml");
        let result = load(Some(&absent), &folder.0, &[]).map_err(|e| e.to_string());
        refused(result, "absent.yaml: cannot be read | give a readable");
    }

    #[test]
    fn wrong_types_are_refused() {
        let hours = "give a whole number of hours from 1 to 8760";
        for wrong in "soon,\"24\",1.5,true,[1],{a: 1},,0,8761,-1".split(',') {
            let yaml = format!("auth:\n  jwt_expiry_hours: {wrong}");
            let parts = "gatelodge.yaml:2: auth.jwt_expiry_hours is ";
            refused(with(&yaml, &[]), &format!("{parts} | {hours}"));
        }
        all_refused(
            r#"
            $GATELODGE_AUTH__JWT_EXPIRY_HOURS=soon => auth.jwt_expiry_hours is "soon"; give a whole number of hours from 1 to 8760
            api_keys:\n  prefix: 1234 => gatelodge.yaml:2: api_keys.prefix is a number without quotes | put it in quotes
            signup: {default_role: true} => true or false without quotes | put it in quotes
            auth:\n  jwt_secret: 12345678901234567 => auth.jwt_secret is a number without quotes
            dialects:\n  pin: "yes" => gatelodge.yaml:2: dialects.pin is text | true or false
            $GATELODGE_DIALECTS__PIN=maybe => dialects.pin is "maybe" | true or false
            server:\n  listen: 8080 => server.listen is a number | 127.0.0.1:8080
            server:\n  listen: [] => server.listen is an empty list
            pin:\n  networks:\n  - 10.0.0.0/8\n  - x => gatelodge.yaml:4: pin.networks has "x" | 10.0.0.0/8
            pin:\n  networks: [[1]] => gatelodge.yaml:2: pin.networks has a list | 10.0.0.0/8
            pin:\n  networks:\n  - 7 => gatelodge.yaml:3: pin.networks has a number without quotes
            "#,
        );
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        all_refused(
            r#"
            $SECRET_KEY=horse => auth.jwt_secret is 5 bytes long | 32 bytes | openssl rand -base64 32
            $GATELODGE_AUTH__PASSWORD_HASH=md5 => is "md5" | give argon2id or bcrypt
            $GATELODGE_REGISTRATION__MODE=x\ny => give closed or open or invite
            $GATELODGE_API_KEYS__PREFIX=Lodge => is "Lodge" | 1 to 16 lower-case
            $GATELODGE_SIGNUP__DEFAULT_ROLE=a b => is "a b" | 1 to 64 lower-case
            $GATELODGE_SERVER__LISTEN=localhost:80 => has "localhost:80" | IP addresses with port
            $GATELODGE_AUTH__ARGON2_MEMORY_COST=19455 => 19455 with auth.argon2_time_cost 2 is too weak | 19456/2
            auth: {argon2_time_cost: 1} => gatelodge.yaml:1: | auth.argon2_time_cost 1 is too weak
            auth: {argon2_memory_cost: 16, allow_weak: true, argon2_parallelism: 3} => auth.argon2_memory_cost is 16 for 3 lanes | 24 KiB
            "#,
        );
        for wrong in "8 h -1h 1d 1h+2m 1.2.3h 500ms 8761h 9999999999h 1000000000h .h".split(' ') {
            env_refused("JWT_EXPIRE_DURATION", wrong, "pair.access_expiry is | 8h, 90m or 1h30m");
        }
        for good in
            ["7168, argon2_time_cost: 5", "47104, argon2_time_cost: 1", "8, allow_weak: true"]
        {
            with(&format!("auth: {{argon2_memory_cost: {good}}}"), &[]).unwrap();
        }
    }

    #[test]
    fn urls_are_checked() {
        all_refused(
            r"
            $GATELODGE_SERVER__PUBLIC_URL=example.org => server.public_url is no URL | an http or https URL
            $GATELODGE_SERVER__PUBLIC_URL=ftp://a => scheme
            $GATELODGE_SERVER__PUBLIC_URL=http:// => host
            $GATELODGE_SERVER__PUBLIC_URL=https://u:horse@a => user name
            $GATELODGE_SERVER__PUBLIC_URL=https://a/b => has a path
            $GATELODGE_SERVER__PUBLIC_URL=https://a/?b => has a query
            $GATELODGE_SERVER__PUBLIC_URL=https://a#b => has a fragment
            $GATELODGE_SERVER__PUBLIC_URL=https://a b => characters
            $GATELODGE_SERVER__PUBLIC_URL=https://ä.example => characters
            $GATELODGE_SERVER__PUBLIC_URL=https://a:0 => valid host and port
            $GATELODGE_SERVER__PUBLIC_URL=https://a:65536 => valid host and port
            $GATELODGE_SERVER__PUBLIC_URL=https://a:+1 => valid host and port
            $GATELODGE_SERVER__PUBLIC_URL=https://1.2.3 => valid host and port
            $GATELODGE_SERVER__PUBLIC_URL=https://a..b => valid host and port
            $GATELODGE_SERVER__PUBLIC_URL=https://[::g] => valid host and port
            $GATELODGE_SERVER__PUBLIC_URL=https://[::1]x => valid host and port
            $GATELODGE_EMAIL__VERIFICATION_URL_BASE=https://a/b?c => has a query
            $GATELODGE_SIGNUP__FRONTEND_URL=https://-a/b => valid host and port
            $GATELODGE_UPDATES__FEED_URL=http://example.org/feed => updates.feed_url is http; give an https URL
            $GATELODGE_SERVER__ALLOWED_ORIGINS=https://a/b => has an entry that has a path
            $GATELODGE_SERVER__ALLOWED_ORIGINS=* => has an entry that is no URL
            ",
        );
        let right = [
            ("SERVER__PUBLIC_URL", "http://[0:0::1]:8080/", "http://[::1]:8080"),
            ("SERVER__PUBLIC_URL", "http://My_Box.lan:80", "http://my_box.lan"),
            ("SIGNUP__FRONTEND_URL", "https://A/B/", "https://a/B"),
            ("UPDATES__FEED_URL", "http://localhost:9/f?g=1", "http://localhost:9/f?g=1"),
        ];
        for (name, value, stored) in right {
            let config = Folder::new().load(&[(&format!("GATELODGE_{name}"), value)]).unwrap();
            assert!(config.shown().iter().any(|shown| shown.value == stored), "{value}");
        }
    }
}
