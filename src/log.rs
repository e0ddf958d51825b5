//! The log: one line on stderr for each request, each event and each trouble. Nothing in it comes
//! from a query, a body or a header; whatever a client chose is quoted and escaped. Where stderr is
//! the journal of systemd, a line goes there with its fields.

mod journal;

use std::{
    fmt::{self, Display, Write as _},
    io::Write,
    sync::OnceLock,
};

use serde_json::{Map, Value};

use self::journal::Journal;
use crate::domain::Clock;

/// How a line is written: `log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `2026-11-21T07:30:00.123Z info request id=… client=…`
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// How much is written: `log.level`, and all that is more serious.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work that should.
    Error,
    /// Somebody may want to look: a failed sign-in, a letter that is not taken.
    Warn,
    /// What happens.
    #[default]
    Info,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }
}

static SHAPE: OnceLock<(Format, Level)> = OnceLock::new();
static JOURNAL: OnceLock<Option<Journal>> = OnceLock::new();

/// Decides how the log of this process looks; the first call counts.
pub fn shape(format: Format, level: Level) {
    let _ = SHAPE.set((format, level));
    JOURNAL.get_or_init(Journal::of_stderr);
}

/// One value of a line.
#[derive(Clone, Copy)]
pub enum Field<'a> {
    /// One of our own words, or an address: as it is.
    Word(&'a dyn Display),
    Number(u64),
    /// What somebody chose: quoted and escaped.
    Text(&'a str),
}

/// One line, if its level is wanted: what it is about, and its fields in their order.
pub fn entry(level: Level, kind: &str, fields: &[(&str, Field<'_>)]) {
    let (format, wanted) = SHAPE.get().copied().unwrap_or_default();
    if level <= wanted {
        put(format, level, kind, fields);
    }
}

/// A trouble of this process, for whoever runs it.
pub fn trouble(kind: &str, what: &str) {
    let kind = ("kind", Field::Word(&kind));
    entry(Level::Error, "trouble", &[kind, ("what", Field::Text(what))]);
}

/// Something for whoever runs it to know, which mends itself or need not be mended.
pub fn note(what: &str) {
    entry(Level::Warn, "note", &[("what", Field::Text(what))]);
}

/// A sentence for the person at the terminal, whatever the level.
pub fn say(sentence: &str) {
    match (SHAPE.get().copied().unwrap_or_default().0, journal()) {
        (Format::Text, None) => print(sentence.to_owned()),
        (Format::Text, Some(journal)) => {
            if !journal.take(Level::Info, "say", &[], sentence) {
                print(sentence.to_owned());
            }
        }
        (format, _) => put(format, Level::Info, "say", &[("what", Field::Text(sentence))]),
    }
}

fn journal() -> Option<&'static Journal> {
    JOURNAL.get().and_then(Option::as_ref)
}

fn put(format: Format, level: Level, kind: &str, fields: &[(&str, Field<'_>)]) {
    let line = written(format, level, kind, fields, &now());
    // The journal has a time of its own.
    let bare = line.split_once(' ').filter(|_| format == Format::Text).map_or(&*line, |it| it.1);
    if !journal().is_some_and(|journal| journal.take(level, kind, fields, bare)) {
        print(line);
    }
}

/// A closed stderr ends no request.
fn print(mut line: String) {
    line.push('\n');
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

fn now() -> String {
    Clock::real().now().text()
}

fn written(
    format: Format,
    level: Level,
    kind: &str,
    fields: &[(&str, Field<'_>)],
    time: &str,
) -> String {
    match format {
        Format::Text => {
            // Room for an ordinary line at once: there is one for each request.
            let mut line = String::with_capacity(256);
            // Writing to a `String` cannot fail.
            let _ = write!(line, "{time} {} {kind}", level.name());
            for (name, field) in fields {
                let _ = write!(line, " {name}={field}");
            }
            line
        }
        Format::Json => {
            let mut map = Map::new();
            for (name, text) in [("time", time), ("level", level.name()), ("event", kind)] {
                map.insert(name.to_owned(), text.into());
            }
            for (name, field) in fields {
                let value = match field {
                    Field::Word(word) => word.to_string().into(),
                    Field::Number(number) => (*number).into(),
                    Field::Text(text) => (*text).into(),
                };
                map.insert((*name).to_owned(), value);
            }
            Value::Object(map).to_string()
        }
    }
}

impl Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "{word}"),
            Self::Number(number) => write!(f, "{number}"),
            // Escapes quotes, control characters and whatever else does not print.
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-21T07:30:00.123Z";

    fn both(fields: &[(&str, Field<'_>)]) -> [String; 2] {
        [Format::Text, Format::Json].map(|form| written(form, Level::Warn, "test", fields, TIME))
    }

    #[test]
    fn a_line_is_one_line_whatever_somebody_chose() {
        let evil = "a\"b\\c\nfake line\r\u{1b}[31m\u{202e}\u{7f}\u{85}\u{2028}";
        let [text, json] = both(&[("who", Field::Text(evil)), ("count", Field::Number(7))]);
        assert!(text.starts_with(&format!("{TIME} warn test who=\"a\\\"b\\\\c\\nfake line\\r")));
        assert!(text.ends_with("\" count=7"), "{text}");
        assert!(!text.chars().any(char::is_control) && !text.contains(['\u{202e}', '\u{2028}']));
        let read: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&read["who"], &read["count"]), (&evil.into(), &7.into()));
        assert!(!json.contains(['\n', '\r', '\u{1b}']), "{json}");
    }

    #[test]
    fn levels_are_ordered_by_how_serious_they_are() {
        assert!(Level::Error < Level::Warn && Level::Warn < Level::Info);
    }
}
