//! Podcasts as an account knows them: an address, and a title if a list of subscriptions told one.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Listener, url::FeedUrl};

/// A title, in characters.
const MAX_TITLE: usize = 256;

/// A title as it is kept: one line, of characters that XML can carry, cut to a bearable length.
pub fn clean_title(text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let plain = line.chars().filter(|c| !matches!(c, '\u{FFFE}' | '\u{FFFF}'));
    let title: String = plain.take(MAX_TITLE).collect();
    (!title.is_empty()).then_some(title)
}

// Rows

/// The number of the podcast, if the account knows it.
pub fn find(
    connection: &Connection,
    listener: &Listener,
    url: &FeedUrl,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM podcasts WHERE url = ?1 AND listener_id = ?2")?
        .query_row(params![url.as_str(), listener.id], |row| row.get(0))
        .optional()
}

/// The number of the podcast, which is made if need be; a title replaces the one before.
pub fn intern(
    transaction: &Transaction<'_>,
    listener: &Listener,
    url: &FeedUrl,
    title: Option<&str>,
) -> rusqlite::Result<i64> {
    if let Some(id) = find(transaction, listener, url)? {
        if title.is_some() {
            transaction
                .prepare_cached("UPDATE podcasts SET title = ?2 WHERE id = ?1 AND title IS NOT ?2")?
                .execute(params![id, title])?;
        }
        return Ok(id);
    }
    transaction
        .prepare_cached(
            "INSERT INTO podcasts (url, listener_id, title) VALUES (?1, ?2, ?3) RETURNING id",
        )?
        .query_row(params![url.as_str(), listener.id, title], |row| row.get(0))
}

/// Forgets a podcast that nobody subscribes to and that has no episodes any more.
pub fn forget_unused(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM podcasts WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM subscriptions WHERE podcast_id = ?1)
             AND NOT EXISTS (SELECT 1 FROM episodes WHERE podcast_id = ?1)",
        )?
        .execute([id])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_of_bearable_length() {
        assert_eq!(clean_title("  A\tgood\r\n\u{0}show\u{FFFF} ").as_deref(), Some("A good show"));
        assert_eq!(clean_title(" \n "), None);
        assert_eq!(clean_title(&"x".repeat(1000)).map(|t| t.len()), Some(MAX_TITLE));
    }
}
