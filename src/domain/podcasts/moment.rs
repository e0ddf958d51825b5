//! When something happened to an episode, in the spellings that clients use.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::domain::Timestamp;

/// The end of the year 9999, in seconds since 1970.
const LAST: i64 = 253_402_300_799;
/// Numbers from here on are milliseconds: as seconds they would lie beyond the year 5000.
const MILLISECONDS: i64 = 100_000_000_000;

/// Seconds since 1970 of `YYYY-MM-DDTHH:MM:SS`, with or without a fraction (dropped), `Z` or an
/// offset (UTC, if none), or of a number of seconds or milliseconds in digits.
pub fn seconds_of(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return seconds_of_number(number);
    }
    if !text.is_ascii() || text.len() < 19 || text.len() > 40 {
        return None;
    }
    let (base, rest) = text.split_at(19);
    let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit()).trim_start();
    let zone = match zone.len() {
        0 => "Z".to_owned(),
        // "+0200"
        5 => format!("{}:{}", &zone[..3], &zone[3..]),
        _ => zone.to_ascii_uppercase(),
    };
    let whole = format!("{}{zone}", base.replacen(' ', "T", 1));
    let moment = OffsetDateTime::parse(&whole, &Rfc3339).ok()?.unix_timestamp();
    (0..=LAST).contains(&moment).then_some(moment)
}

fn seconds_of_number(number: i64) -> Option<i64> {
    let seconds = if number < MILLISECONDS { number } else { number / 1000 };
    (0..=LAST).contains(&seconds).then_some(seconds)
}

/// `YYYY-MM-DDTHH:MM:SS`, UTC: Kasts reads nothing that has more.
pub fn text_of(seconds: i64) -> String {
    let mut text = Timestamp::from_seconds(seconds).text();
    text.truncate(19);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_moment_is_the_same_moment() {
        let moment = 1_767_322_800;
        assert_eq!(text_of(moment), "2026-01-02T03:00:00");
        for text in [
            "2026-01-02T03:00:00",
            "2026-01-02T03:00:00Z",
            "2026-01-02T03:00:00z",
            "2026-01-02 03:00:00",
            "2026-01-02T03:00:00.123456",
            "2026-01-02T03:00:00.5Z",
            "2026-01-02T05:00:00+02:00",
            "2026-01-02T05:00:00+0200",
            "2026-01-01T22:00:00.9-05:00",
            " 1767322800 ",
            "1767322800000",
        ] {
            assert_eq!(seconds_of(text), Some(moment), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for bad in [
            "",
            "yesterday",
            "2026-01-02",
            "2026-13-02T03:00:00",
            "2026-01-02T25:00:00",
            "2026-01-02T03:00:00+2:00",
            "2026-01-02T03:00:00 nonsense",
            "1026-01-02T03:00:00",
            "-5",
            "9999999999999999",
            "２026-01-02T03:00:00",
        ] {
            assert_eq!(seconds_of(bad), None, "{bad:?}");
        }
    }
}
