//! How commands put what they found: JSON for programs, lines that nothing can steer for people.

use serde_json::Value;

use super::{Failure, say, trouble};
use crate::domain::Timestamp;

/// Prints a JSON document and nothing else.
pub fn say_json(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(trouble)?;
    say(&format!("{text}\n"))
}

/// A text that strangers chose, on one line and without what would move a terminal's cursor or
/// turn the text around it.
pub fn plain(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}' | '\u{2029}'
                | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{FFFD}' } else { c }).collect()
}

/// What somebody typed, for a message: quoted, cut short, harmless.
pub fn quoted(text: &str) -> String {
    let clipped: String = text.chars().take(64).collect();
    format!("{clipped:?}{}", if clipped.len() < text.len() { "…" } else { "" })
}

/// A name or path as it can be pasted into a shell: names may be addresses, and those hold quotes.
pub fn pasted(name: &str) -> String {
    let harmless = |c: char| c.is_alphanumeric() || "._-@+/".contains(c);
    let quoted = match name.chars().all(harmless) && !name.is_empty() {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', r"'\''")),
    };
    // Else it would be read as an option.
    if name.starts_with('-') { format!("-- {quoted}") } else { quoted }
}

/// A moment for people, or `otherwise`.
pub fn moment(moment: Option<Timestamp>, otherwise: &str) -> String {
    moment.map_or_else(|| otherwise.to_owned(), Timestamp::minute_text)
}

/// A moment for programs.
pub fn stamp(moment: Option<Timestamp>) -> Option<String> {
    moment.map(Timestamp::text)
}

/// The known name that is most like what was written, if one is like it at all.
pub fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let far = (written.chars().count() / 3).max(1);
    let measured =
        known.map(|name| (strsim::damerau_levenshtein(&written, &name.to_lowercase()), name));
    let best = measured.min_by_key(|(distance, _)| *distance)?;
    (best.0 <= far).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_pasted_without_effect() {
        assert_eq!(pasted("ann"), "ann");
        assert_eq!(pasted("Zoë@example.org"), "Zoë@example.org");
        assert_eq!(pasted("o'neil`id`@x"), r"'o'\''neil`id`@x'");
        assert_eq!(pasted("-rf"), "-- -rf");
        assert_eq!(pasted(""), "''");
    }

    #[test]
    fn what_strangers_wrote_stays_on_its_line() {
        assert_eq!(plain("a\u{1b}[2J\nb\u{202E}c"), "a\u{FFFD}[2J\u{FFFD}b\u{FFFD}c");
        assert_eq!(quoted("a\n\u{202E}"), "\"a\\n\\u{202e}\"");
        assert_eq!(quoted(&"é".repeat(65)), format!("\"{}\"…", "é".repeat(64)));
    }

    #[test]
    fn only_a_similar_name_is_near() {
        let known = || ["ann", "bob", "Robert"].into_iter();
        assert_eq!(nearest("an", known()), Some("ann"));
        assert_eq!(nearest("nan", known()), Some("ann"));
        assert_eq!(nearest("robret", known()), Some("Robert"));
        assert_eq!(nearest("zacharias", known()), None);
        assert_eq!(nearest("ann", [].into_iter()), None);
    }
}
