//! What is said about a mistake, on one line and without the value of a secret.

use std::fmt::{self, Display};

/// What is wrong with the configuration and what would be right, on one line. It never holds the
/// value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    pub(super) fn new(place: impl Display, what: impl Display, right: impl Display) -> Self {
        // Names and paths are the user's and may hold anything; the message must stay one line.
        Self(format!("{place}: {what}; {right}").replace(char::is_control, " "))
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The known name that differs least; a right name in a wrong section is nearly right.
pub(super) fn nearest(written: &str, known: impl Iterator<Item = String>) -> String {
    let leaf = |name: &str| name.rsplit('.').next().map(str::to_owned).unwrap_or_default();
    let distance = |name: &String| {
        let leaves = strsim::levenshtein(&leaf(written), &leaf(name)) + 1;
        strsim::levenshtein(written, name).min(leaves)
    };
    format!("the nearest known one is {}", known.min_by_key(distance).unwrap_or_default())
}

/// A name for an error message. A secret that slipped into the place of a name looks different.
pub(super) fn plain(name: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let part = |part: &str| (1..=40).contains(&part.len()) && part.chars().all(plain);
    match name.len() <= 80 && name.split('.').all(part) {
        true => name,
        false => "a key that is no plain name",
    }
}

pub(super) fn quoted(text: &str) -> String {
    let clipped: String = text.chars().take(40).collect();
    format!("{clipped:?}{}", if clipped.len() < text.len() { "…" } else { "" })
}
