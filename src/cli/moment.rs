//! Moments as people write them on a command line.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Failure, words::quoted};
use crate::domain::Timestamp;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const MOST: u64 = 100 * 366 * DAY;

/// Reads when something ends: `90d` from now (also `12h`, `4w`), `2026-03-01` until that day is
/// over in UTC, or a moment such as `2026-03-01T12:00:00Z`.
///
/// # Errors
/// [`Failure::No`] for anything else, and for what is more than a hundred years away.
pub fn end(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    match span(text).map(|span| now.plus(span)).or_else(|| date(text)) {
        Some(end) if end <= now.plus(Duration::from_secs(MOST)) => Ok(end),
        _ => Err(Failure::No(format!(
            "{} is no end; write 90d, 12h or 4w from now, a day such as 2026-03-01, or a moment \
             such as 2026-03-01T12:00:00Z",
            quoted(text)
        ))),
    }
}

fn span(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        'h' => HOUR,
        'd' => DAY,
        'w' => 7 * DAY,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| plain)?;
    count.checked_mul(unit).filter(|seconds| *seconds <= MOST).map(Duration::from_secs)
}

fn date(text: &str) -> Option<Timestamp> {
    let parsed = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    match text.len() {
        10 => {
            let begins = Timestamp::from_calendar(parsed(&format!("{text}T00:00:00Z"))?);
            Some(begins.plus(Duration::from_secs(DAY)))
        }
        _ => parsed(text).map(Timestamp::from_calendar),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

    #[test]
    fn ends_are_read() {
        let text = |text| end(text, NOW).map(Timestamp::text).ok();
        for (written, read) in [
            ("90d", "2026-04-01T00:00:00Z"),
            ("12h", "2026-01-01T12:00:00Z"),
            ("4w", "2026-01-29T00:00:00Z"),
            ("2026-03-01", "2026-03-02T00:00:00Z"),
            ("2026-03-01T12:00:00+01:00", "2026-03-01T11:00:00Z"),
        ] {
            assert_eq!(text(written).as_deref(), Some(read), "{written}");
        }
    }

    #[test]
    fn nonsense_is_no_end() {
        for bad in [
            "",
            "d",
            "90",
            "-1d",
            "+1d",
            "1.5d",
            "1é",
            "90 d",
            "9999999999999999999d",
            "36601d",
            "2026-02-30",
            "2026-3-1",
            "tomorrow",
            "9999-01-01",
            "2026-03-01T12:00",
        ] {
            assert!(end(bad, NOW).is_err(), "{bad}");
        }
    }
}
