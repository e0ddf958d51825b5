//! Versions in their order (Semantic Versioning 2.0.0, section 11), and ranges of them.

/// In bytes.
const MAX_LENGTH: usize = 128;
const MAX_BOUNDS: usize = 16;

/// `1.2.3` or `1.2.3-beta.1`; a build after `+` counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    numbers: [u64; 3],
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Before(Vec<Part>),
    Released,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let text = text.split_once('+').map_or(text, |(text, _)| text);
        let (numbers, stage) = match text.split_once('-') {
            Some((numbers, parts)) => {
                (numbers, Stage::Before(parts.split('.').map(part).collect::<Option<_>>()?))
            }
            None => (text, Stage::Released),
        };
        let numbers: Vec<u64> = numbers.split('.').map(number).collect::<Option<_>>()?;
        Some(Self { numbers: numbers.try_into().ok()?, stage })
    }
}

fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with('0');
    (plain && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn part(text: &str) -> Option<Part> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return number(text).map(Part::Number);
    }
    let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (!text.is_empty() && text.bytes().all(known)).then(|| Part::Word(text.to_owned()))
}

/// Bounds that all have to hold: `>=0.1.0,<0.1.5`.
#[derive(Debug)]
pub(super) struct Range(Vec<(Bound, Version)>);

#[derive(Clone, Copy, Debug)]
enum Bound {
    Below,
    UpTo,
    Exactly,
    From,
    Above,
}

/// Longer signs stand before those that they begin with.
const SIGNS: [(&str, Bound); 5] = [
    ("<=", Bound::UpTo),
    ("<", Bound::Below),
    (">=", Bound::From),
    (">", Bound::Above),
    ("=", Bound::Exactly),
];

impl Range {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LENGTH * MAX_BOUNDS {
            return None;
        }
        let bounds = text.split(',').map(|text| {
            let text = text.trim();
            let (version, bound) =
                SIGNS.iter().find_map(|(sign, bound)| Some((text.strip_prefix(sign)?, *bound)))?;
            Some((bound, Version::parse(version.trim())?))
        });
        bounds.collect::<Option<Vec<_>>>().filter(|all| all.len() <= MAX_BOUNDS).map(Self)
    }

    pub(super) fn holds(&self, version: &Version) -> bool {
        self.0.iter().all(|(bound, limit)| match bound {
            Bound::Below => version < limit,
            Bound::UpTo => version <= limit,
            Bound::Exactly => version == limit,
            Bound::From => version >= limit,
            Bound::Above => version > limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap_or_else(|| panic!("no version: {text}"))
    }

    #[test]
    fn versions_stand_in_their_order() {
        let order = [
            "0.0.9",
            "0.1.0-alpha",
            "0.1.0-alpha.1",
            "0.1.0-beta.2",
            "0.1.0-beta.11",
            "0.1.0",
            "0.1.1",
            "0.2.0",
            "0.10.0",
            "1.0.0-rc.1",
            "1.0.0",
        ];
        for pair in order.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("1.2.3+build.7"), version("1.2.3"));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for bad in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "v1.2.3",
            "01.2.3",
            "1.2.x",
            "1.-2.3",
            "1.2.3-",
            "1.2.3-a..b",
            " 1.2.3",
            "1.2.3-ä",
            "99999999999999999999.0.0",
        ] {
            assert_eq!(Version::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Version::parse(&format!("1.2.3-{}", "a".repeat(MAX_LENGTH))), None);
    }

    #[test]
    fn ranges_hold_what_lies_within_all_their_bounds() {
        for (range, inside, outside) in [
            ("<0.2.0", "0.1.9", "0.2.0"),
            ("<=0.2.0", "0.2.0", "0.2.1"),
            ("=0.1.0", "0.1.0", "0.1.1"),
            (">0.1.0", "0.1.1", "0.1.0"),
            (">=0.1.0,<0.1.5", "0.1.0", "0.1.5"),
            (">= 0.1.0, < 0.1.5", "0.1.4", "0.0.9"),
        ] {
            let parsed = Range::parse(range).unwrap_or_else(|| panic!("no range: {range}"));
            assert!(parsed.holds(&version(inside)), "{range} holds {inside}");
            assert!(!parsed.holds(&version(outside)), "{range} does not hold {outside}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in ["", "*", "0.1.0", "<", "<0.1", "~0.1.0", "<0.2.0,", "<0.2.0 || =0.3.0"] {
            assert!(Range::parse(bad).is_none(), "{bad:?}");
        }
        assert!(Range::parse(&["<1.0.0"; MAX_BOUNDS + 1].join(",")).is_none());
    }
}
