//! Lists of subscriptions as OPML 2.0 (<http://opml.org/spec2.opml>) and as plain lines.
//!
//! Nothing of a document type is ever expanded: one that declares entities is refused, and a
//! reference to any but XML's own five is malformed.

use quick_xml::{
    Reader,
    escape::escape,
    events::{BytesStart, Event},
};

use super::{
    MAX_SUBSCRIPTIONS,
    subscriptions::{Feed, Subscription, too_many},
};
use crate::domain::error::{Error, Field, Reason, Result};

/// The feeds that an OPML document lists, at whatever depth. Outlines without the address of a
/// feed are folders or links and left out.
///
/// # Errors
/// [`Error::Invalid`] for what is not well-formed UTF-8 XML with the root `opml`, for entities
/// that it declares, and for more than [`MAX_SUBSCRIPTIONS`] feeds.
pub fn parse(document: &[u8]) -> Result<Vec<Feed>> {
    let text = std::str::from_utf8(document).map_err(|_| malformed())?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{FEFF}'));
    let (mut depth, mut has_root, mut feeds) = (0_usize, false, Vec::new());
    loop {
        match reader.read_event().map_err(|_| malformed())? {
            Event::Start(element) => {
                check_root(depth, &mut has_root, &element)?;
                depth += 1;
                note(&element, &mut feeds)?;
            }
            Event::Empty(element) => {
                check_root(depth, &mut has_root, &element)?;
                note(&element, &mut feeds)?;
            }
            // The reader has compared its name with the one that began.
            Event::End(_) => depth = depth.checked_sub(1).ok_or_else(malformed)?,
            Event::DocType(declared) if declared.contains(&b'[') => {
                const RULE: &str = "may not declare entities";
                return Err(Error::Invalid(Field::Opml, Reason::Form(RULE)));
            }
            Event::Text(text) => drop(text.unescape().map_err(|_| malformed())?),
            Event::Eof if depth == 0 && has_root => return Ok(feeds),
            Event::Eof => return Err(malformed()),
            Event::DocType(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_) => {}
        }
    }
}

const fn malformed() -> Error {
    Error::Invalid(Field::Opml, Reason::Form("is not well-formed OPML"))
}

/// A document has one root, and it is `opml`.
fn check_root(depth: usize, has_root: &mut bool, element: &BytesStart<'_>) -> Result<()> {
    if depth > 0 {
        return Ok(());
    }
    if *has_root || !element.name().as_ref().eq_ignore_ascii_case(b"opml") {
        return Err(malformed());
    }
    *has_root = true;
    Ok(())
}

/// Keeps an outline that names a feed. Duplicates of an attribute are not looked for: that takes
/// a time that grows with their square.
fn note(element: &BytesStart<'_>, feeds: &mut Vec<Feed>) -> Result<()> {
    if !element.name().as_ref().eq_ignore_ascii_case(b"outline") {
        return Ok(());
    }
    let (mut address, mut title, mut text) = (None, None, None);
    for attribute in element.attributes().with_checks(false) {
        let attribute = attribute.map_err(|_| malformed())?;
        let key = attribute.key.as_ref().to_ascii_lowercase();
        let kept = match key.as_slice() {
            b"xmlurl" => &mut address,
            b"title" => &mut title,
            b"text" => &mut text,
            _ => continue,
        };
        *kept = Some(attribute.unescape_value().map_err(|_| malformed())?);
    }
    let title = title.filter(|title| !title.trim().is_empty()).or(text);
    let Some(feed) = address.and_then(|address| Feed::parse(&address, title.as_deref())) else {
        return Ok(());
    };
    push(feed, feeds)
}

fn push(feed: Feed, feeds: &mut Vec<Feed>) -> Result<()> {
    if feeds.len() >= MAX_SUBSCRIPTIONS {
        return Err(too_many());
    }
    feeds.push(feed);
    Ok(())
}

/// Subscriptions as an OPML 2.0 document.
pub fn write(subscriptions: &[Subscription]) -> String {
    let mut text = String::with_capacity(256 + subscriptions.len() * 192);
    text.push_str(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<opml version=\"2.0\">\n  <head>\n    \
         <title>Podcast subscriptions</title>\n  </head>\n  <body>\n",
    );
    for Subscription { url, title } in subscriptions {
        let title = escape(title.as_deref().unwrap_or(url));
        let url = escape(url);
        text.push_str(&format!(
            "    <outline type=\"rss\" text=\"{title}\" title=\"{title}\" xmlUrl=\"{url}\"/>\n"
        ));
    }
    text.push_str("  </body>\n</opml>\n");
    text
}

/// The feeds of a list with one address a line; lines that are none are left out.
///
/// # Errors
/// [`Error::Invalid`] for what is not UTF-8 and for more than [`MAX_SUBSCRIPTIONS`] feeds.
pub fn parse_lines(list: &[u8]) -> Result<Vec<Feed>> {
    const RULE: &str = "is not a text in UTF-8";
    let text = std::str::from_utf8(list)
        .map_err(|_| Error::Invalid(Field::Subscriptions, Reason::Form(RULE)))?;
    of_addresses(text.trim_start_matches('\u{FEFF}').lines())
}

/// The feeds of a list of addresses; those that are none are left out.
///
/// # Errors
/// [`Error::Invalid`] for more than [`MAX_SUBSCRIPTIONS`] feeds.
pub fn of_addresses<'a>(addresses: impl Iterator<Item = &'a str>) -> Result<Vec<Feed>> {
    let mut feeds = Vec::new();
    for feed in addresses.filter_map(|address| Feed::parse(address, None)) {
        push(feed, &mut feeds)?;
    }
    Ok(feeds)
}

/// Subscriptions with one address a line.
pub fn write_lines(subscriptions: &[Subscription]) -> String {
    subscriptions.iter().flat_map(|subscription| [subscription.url.as_str(), "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(document: &str) -> Vec<(String, Option<String>)> {
        let feeds = parse(document.as_bytes()).expect("OPML");
        feeds.into_iter().map(|feed| (feed.url.into_string(), feed.title)).collect()
    }

    #[test]
    fn feeds_are_found_at_every_depth_with_their_titles() {
        let found = parsed(
            "\u{FEFF}<?xml version='1.0' encoding='UTF-8'?><!-- mine --><!DOCTYPE opml>
             <opml version=\"2.0\"><head><title>A &amp; B</title></head><body>
             <outline text=\"Folder\"><outline text='in it'>
             <outline type=\"rss\" text=\"Tea &lt;&#x26;&gt; cake\" title=\"\"
                xmlUrl=\"HTTP://Example.org/a?x=1&amp;y=2\"/></outline>
             <outline xmlurl=\"https://example.org/b/\" title=\"B\"></outline></outline>
             <outline text=\"no feed\" url=\"https://example.org/c\"/>
             <outline text=\"local\" xmlUrl=\"file:///etc/passwd\"/>
             </body></opml>\n",
        );
        let wanted = [
            ("http://example.org/a?x=1&y=2", Some("Tea <&> cake")),
            ("https://example.org/b", Some("B")),
        ];
        assert_eq!(found, wanted.map(|(url, title)| (url.to_owned(), title.map(str::to_owned))));
        assert_eq!(parsed("<opml/>"), []);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in [
            "",
            "nonsense",
            "<opml>",
            "<opml><body></opml>",
            "<opml></opml></opml>",
            "<opml/><opml/>",
            "<html><body/></html>",
            "<opml><body><outline text=\"x\" xmlUrl=\"http://example.org/></body></opml>",
            "<opml><outline xmlUrl=http://example.org/></opml>",
            "<opml><outline xmlUrl=\"http://example.org/?a=&b;\"/></opml>",
            "<opml><head><title>&nothing;</title></head></opml>",
            "[\"http://example.org\"]",
        ] {
            assert!(matches!(parse(bad.as_bytes()), Err(Error::Invalid(Field::Opml, _))), "{bad}");
        }
        assert!(parse(b"<opml>\xff</opml>").is_err());
    }

    #[test]
    fn nothing_that_is_declared_is_expanded() {
        let bomb = "<!DOCTYPE opml [<!ENTITY a \"x\"><!ENTITY b \"&a;&a;&a;\">]>
            <opml><body><outline text=\"&b;\" xmlUrl=\"http://example.org/&b;\"/></body></opml>";
        assert!(parse(bomb.as_bytes()).is_err());
        let outside = "<!DOCTYPE opml SYSTEM \"file:///etc/passwd\">
            <opml><body><outline text=\"t\" xmlUrl=\"http://example.org/x\"/></body></opml>";
        assert_eq!(parsed(outside), [("http://example.org/x".to_owned(), Some("t".to_owned()))]);
    }

    #[test]
    fn what_is_written_is_read_again_as_it_was() {
        let title = "Tea <b>&\"cake\"' ]]> ";
        let subscription = Subscription {
            url: "https://example.org/?a=1&b='2'".to_owned(),
            title: Some(title.trim().to_owned()),
        };
        let text = write(std::slice::from_ref(&subscription));
        assert_eq!(parsed(&text), [(subscription.url, subscription.title)]);
    }

    #[test]
    fn many_attributes_and_levels_take_no_long_time_and_no_stack() {
        let attributes: String = (0..100_000).map(|n| format!(" a{n}=\"x\"")).collect();
        assert_eq!(parsed(&format!("<opml><outline{attributes}/></opml>")), []);
        let deep =
            format!("<opml>{}{}</opml>", "<outline>".repeat(100_000), "</outline>".repeat(100_000));
        assert_eq!(parsed(&deep), []);
    }
}
