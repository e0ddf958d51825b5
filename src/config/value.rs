//! The types that a setting can have: how each is read from text and shown again.

use super::error::quoted;
use super::{ConfigError, Hidden, Rule, Setting, TimeOfDay, files, web};
use ipnet::IpNet;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Each item of a list, or the one value; before it, the place of its own.
pub(super) type Items = Vec<(String, String)>;

/// A value as text, before it is known whether it suits its setting.
pub(super) struct Raw<'a> {
    pub(super) setting: &'static Setting,
    pub(super) place: String,
    pub(super) items: Items,
    /// Where relative paths begin.
    pub(super) base: &'a Path,
}

impl<'a> Raw<'a> {
    /// From a source that knows only text: there, commas separate the items of a list.
    pub(super) fn new(
        setting: &'static Setting,
        place: String,
        text: &str,
        base: &'a Path,
    ) -> Self {
        let item = |text: &str| (place.clone(), text.to_owned());
        let items = match setting.rule.is_list() {
            true => text.split(',').map(|text| item(text.trim())).collect(),
            false => vec![item(text)],
        };
        Self { setting, place, items, base }
    }

    pub(super) fn text(&self) -> &str {
        self.items.first().map_or("", |(_, text)| text)
    }

    fn parsed<T: FromStr>(&self) -> Read<T> {
        let text = self.text();
        text.trim().to_ascii_lowercase().parse().map_err(|_| self.is(text))
    }

    fn list<T>(&self, read: impl Fn(&str) -> Result<T, String>) -> Read<Vec<T>> {
        let item = |(place, text): &(String, String)| {
            read(text).map_err(|what| self.setting.refused(place, "give", what))
        };
        self.items.iter().map(item).collect()
    }

    fn wrong(&self, what: impl Display) -> ConfigError {
        self.setting.refused(&self.place, "give", what)
    }

    pub(super) fn is(&self, text: &str) -> ConfigError {
        self.wrong(format_args!("is {}", quoted(text)))
    }

    fn out_of_range(&self, value: impl Display) -> ConfigError {
        self.wrong(format_args!("is {value}, which is out of range"))
    }
}

type Read<T> = Result<T, ConfigError>;

/// A type that a setting can have.
pub(super) trait Field: Sized + PartialEq {
    fn read(raw: &Raw) -> Read<Self>;

    /// The value as it could be given; empty when not set.
    fn show(&self) -> String;

    /// Takes the new value and says whether it differs from the old one.
    fn set(&mut self, raw: &Raw) -> Read<bool> {
        let new = Self::read(raw)?;
        Ok(std::mem::replace(self, new) != *self)
    }
}

macro_rules! fields {
    ($($Type:ty: $read:expr, $show:expr;)*) => {$(
        impl Field for $Type {
            fn read(raw: &Raw) -> Read<Self> {
                $read(raw)
            }

            fn show(&self) -> String {
                $show(self)
            }
        }
    )*};
}

fields! {
    bool: Raw::parsed, Self::to_string;
    u16: port, Self::to_string;
    u32: whole, Self::to_string;
    u64: whole, Self::to_string;
    usize: whole, Self::to_string;
    Hidden: secret, |text: &Hidden| format!("(set, {} characters)", text.reveal().chars().count());
    PathBuf: path, |path: &PathBuf| path.display().to_string();
    String: plain_text, Self::clone;
    Duration: span, show_span;
    TimeOfDay: time_of_day, |time: &TimeOfDay| format!("{:02}:{:02}", time.hour, time.minute);
    Vec<SocketAddr>: sockets, joined;
    Vec<IpNet>: networks, joined;
    Vec<String>: texts, joined;
    Vec<(String, String)>: pairs, show_pairs;
}

impl<T: Field> Field for Option<T> {
    fn read(raw: &Raw) -> Read<Self> {
        T::read(raw).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
}

fn whole<T: TryFrom<i64>>(raw: &Raw) -> Read<T> {
    let number: i64 = raw.parsed()?;
    let inside =
        matches!(raw.setting.rule, Rule::Whole(min, max, _) if (min..=max).contains(&number));
    T::try_from(number).ok().filter(|_| inside).ok_or_else(|| raw.out_of_range(number))
}

fn secret(raw: &Raw) -> Read<Hidden> {
    let length = raw.text().len();
    match &raw.setting.rule {
        Rule::Secret(min) if length < *min => Err(raw.wrong(format!("is {length} bytes long"))),
        _ => Ok(Hidden::new(raw.text())),
    }
}

fn path(raw: &Raw) -> Read<PathBuf> {
    match raw.text() {
        text if text.is_empty() || text.contains('\0') => Err(raw.is(text)),
        text => Ok(files::below(raw.base, text)),
    }
}

fn port(raw: &Raw) -> Read<u16> {
    let number: i64 = raw.parsed()?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| raw.out_of_range(number))
}

fn plain_text(raw: &Raw) -> Read<String> {
    let text = raw.text();
    let right = match &raw.setting.rule {
        Rule::Word(max, more) => {
            let allowed =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
            (1..=*max).contains(&text.len()) && text.chars().all(allowed)
        }
        Rule::Line(max) => {
            (1..=*max).contains(&text.chars().count()) && !text.contains(char::is_control)
        }
        Rule::Host => web::is_host(text),
        Rule::Address => text.split_once('@').is_some_and(|(local, host)| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~.-".contains(&b);
            (1..=64).contains(&local.len()) && local.bytes().all(allowed) && web::is_host(host)
        }),
        rule => return web::checked(text, rule).map_err(|what| raw.wrong(what)),
    };
    right.then(|| text.to_owned()).ok_or_else(|| raw.is(text))
}

/// The units of a duration in milliseconds, greatest first.
const UNITS: [(&str, u128); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

fn span(raw: &Raw) -> Read<Duration> {
    let text = raw.text().trim();
    let span = go_duration(text).ok_or_else(|| raw.is(text))?;
    let inside = (Duration::from_secs(1)..=Duration::from_secs(365 * 86_400)).contains(&span);
    inside.then_some(span).ok_or_else(|| raw.out_of_range(quoted(text)))
}

fn show_span(span: &Duration) -> String {
    let mut rest = span.as_millis();
    let part = |(unit, size)| {
        let count = rest / size;
        rest %= size;
        (count > 0).then(|| format!("{count}{unit}"))
    };
    UNITS.into_iter().filter_map(part).collect()
}

/// Go's notation: numbers, fractions allowed, each with h, m, s or ms.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() || text.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let (_, size) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // Nine digits each keep the sums far below overflow and reach beyond the bounds.
        if whole.len() > 9 || fraction.len() > 9 || fraction.contains('.') {
            return None;
        }
        let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
        total += digits * size / 10u128.pow(u32::try_from(fraction.len()).ok()?);
        rest = next;
    }
    Some(Duration::from_millis(u64::try_from(total).ok()?))
}

fn sockets(raw: &Raw) -> Read<Vec<SocketAddr>> {
    if raw.items.is_empty() {
        return Err(raw.wrong("is an empty list"));
    }
    raw.list(|text| text.parse().map_err(|_| format!("has {}", quoted(text))))
}

fn networks(raw: &Raw) -> Read<Vec<IpNet>> {
    raw.list(|text| {
        let network = text.parse::<IpNet>().map(|network| network.trunc());
        let address = |_| text.parse::<IpAddr>().map(IpNet::from);
        network.or_else(address).map_err(|_| format!("has {}", quoted(text)))
    })
}

fn texts(raw: &Raw) -> Read<Vec<String>> {
    match raw.setting.rule {
        Rule::Scopes => scopes(raw),
        Rule::Recipients => recipients(raw),
        _ => origins(raw),
    }
}

fn time_of_day(raw: &Raw) -> Read<TimeOfDay> {
    let part = |text: &str, below: u8| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| plain && *number < below)
    };
    let text = raw.text().trim();
    let read = text.split_once(':').and_then(|(hour, minute)| {
        Some(TimeOfDay { hour: part(hour, 24)?, minute: part(minute, 60)? })
    });
    read.ok_or_else(|| raw.is(text))
}

fn recipients(raw: &Raw) -> Read<Vec<String>> {
    raw.list(|text| match text.parse::<age::x25519::Recipient>() {
        Ok(key) => Ok(key.to_string()),
        Err(_) => Err(format!("has {}", quoted(text))),
    })
}

/// RFC 6749, section 3.3.
fn scopes(raw: &Raw) -> Read<Vec<String>> {
    raw.list(|text| {
        let allowed = |b: u8| b.is_ascii_graphic() && !b"\"\\".contains(&b);
        let right = (1..=128).contains(&text.len()) && text.bytes().all(allowed);
        right.then(|| text.to_owned()).ok_or_else(|| format!("has {}", quoted(text)))
    })
}

/// Items that come in twos: a group, then a role as roles are called.
fn pairs(raw: &Raw) -> Read<Vec<(String, String)>> {
    let word = |text: &str| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        (1..=64).contains(&text.len()) && text.bytes().all(allowed)
    };
    let pair = |two: &[(String, String)]| match two {
        [(_, group), (_, role)] if !group.is_empty() && word(role) => {
            Ok((group.clone(), role.clone()))
        }
        [(place, _), ..] => Err(raw.setting.refused(place, "give", "has a role that is none")),
        [] => Err(raw.wrong("is empty")),
    };
    raw.items.chunks(2).map(pair).collect()
}

fn show_pairs(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(group, role)| format!("{group}: {role}")).collect::<Vec<_>>().join(", ")
}

fn origins(raw: &Raw) -> Read<Vec<String>> {
    let has = |what| format!("has an entry that {what}");
    raw.list(|text| web::checked(text, &raw.setting.rule).map_err(has))
}

fn joined(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
