//! The networks that people sign in from. A sign-in from one that is new to an account is told to
//! its owner by letter; the first one never is.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use rusqlite::{Transaction, params};

use super::{
    Settings, Timestamp,
    accounts::{Account, AccountId},
    caller::Origin,
    error::Result,
    letters::{self, Purpose},
};

/// Networks that are remembered for one account; the longest unseen go first.
const MAX_PER_ACCOUNT: u32 = 100;
/// What of a user agent stands in a letter, in characters: whoever signs in writes it.
const SHOWN_DEVICE: usize = 100;
/// A network that nobody signed in from for so long is new again.
pub(super) const KEPT: Duration = Duration::from_secs(180 * 24 * 3600);

/// The network that an address belongs to, as far as a household or an office goes: /24 of IPv4,
/// /48 of IPv6 (RFC 6177). All private networks are one, the house itself.
fn place_of(address: IpAddr) -> String {
    let prefix = match address {
        IpAddr::V4(v4) if v4.is_private() || v4.is_loopback() || v4.is_link_local() => None,
        IpAddr::V6(v6)
            if v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() =>
        {
            None
        }
        IpAddr::V4(_) => Some(24),
        IpAddr::V6(_) => Some(48),
    };
    let network = prefix.and_then(|prefix| IpNet::new(address, prefix).ok());
    network.map_or_else(|| "home".to_owned(), |network| network.trunc().to_string())
}

// Rows

/// Notes the place; whether the account has signed in before, but never from there.
fn note(transaction: &Transaction<'_>, id: AccountId, place: &str, now: Timestamp) -> Result<bool> {
    let (known, here): (u32, bool) = transaction
        .prepare_cached(
            "SELECT count(*), coalesce(max(place = ?2), 0) FROM places WHERE account_id = ?1",
        )?
        .query_row(params![id, place], |row| Ok((row.get(0)?, row.get(1)?)))?;
    transaction
        .prepare_cached(
            "INSERT INTO places (account_id, place, seen_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (account_id, place) DO UPDATE SET seen_at = ?3",
        )?
        .execute(params![id, place, now])?;
    if known > MAX_PER_ACCOUNT {
        transaction
            .prepare_cached(
                "DELETE FROM places WHERE account_id = ?1 AND place IN (
                     SELECT place FROM places WHERE account_id = ?1
                     ORDER BY seen_at DESC LIMIT -1 OFFSET ?2)",
            )?
            .execute(params![id, MAX_PER_ACCOUNT])?;
    }
    Ok(known > 0 && !here)
}

/// Forgets places that nobody came from for long; how many.
pub(super) fn sweep(transaction: &Transaction<'_>, before: Timestamp) -> rusqlite::Result<usize> {
    transaction.prepare_cached("DELETE FROM places WHERE seen_at <= ?1")?.execute([before])
}

/// Remembers where somebody signed in from, and writes to them when that is new.
pub(super) fn arrived(
    transaction: &Transaction<'_>,
    settings: &Settings,
    account: &Account,
    origin: &Origin,
    now: Timestamp,
) -> Result<()> {
    // The command line signs nobody in.
    let Some(address) = origin.address.map(|address| address.to_canonical()) else { return Ok(()) };
    let is_new = note(transaction, account.id, &place_of(address), now)?;
    if !is_new || !settings.new_sign_in_letters {
        return Ok(());
    }
    let details = vec![
        ("at", now.minute_text()),
        ("place", address.to_string()),
        ("device", origin.user_agent_text().chars().take(SHOWN_DEVICE).collect()),
    ];
    letters::tell(transaction, settings, (Purpose::NewSignIn, details), account, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_place_and_the_house_is_one() {
        let place = |text: &str| place_of(text.parse().expect("an address"));
        assert_eq!(place("203.0.113.7"), place("203.0.113.200"));
        assert_ne!(place("203.0.113.7"), place("203.0.114.7"));
        assert_eq!(place("2001:db8:1:2::3"), place("2001:db8:1:ffff::9"));
        assert_ne!(place("2001:db8:1:2::3"), place("2001:db8:2::3"));
        for home in ["127.0.0.1", "192.168.4.5", "10.0.0.9", "::1", "fd00::1", "fe80::1"] {
            assert_eq!(place(home), "home");
        }
    }
}
