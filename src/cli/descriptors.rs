//! Files and connections that this process may have open at once.

use crate::{http::SEATS, log};

/// For the readers of the live log, whose sockets are no connections any more, the database, its
/// copies, letters, and whatever else is open beside connections.
const BESIDE: u64 = SEATS as u64 + 96;

/// Raises what the system allows as far as it lets us; how many connections fit then, at most
/// `wanted` and at least one. More would be refused by the system, and not wait.
pub fn enough_for(wanted: usize) -> usize {
    let Some(allowed) = raised(wanted as u64 + BESIDE) else { return wanted };
    let fit = usize::try_from(allowed.saturating_sub(BESIDE)).unwrap_or(usize::MAX).max(1);
    if fit < wanted {
        log::note(&format!(
            "server.max_connections is {wanted}, and the system allows {allowed} open files: \
             {fit} connections are taken at once (see ulimit -n, or LimitNOFILE of systemd)"
        ));
    }
    fit.min(wanted)
}

/// What is allowed after it was raised to `needed`, or to as much as may be; `None` where the system
/// does not say.
#[allow(clippy::useless_conversion, reason = "these numbers have 32 bits on some machines")]
fn raised(needed: u64) -> Option<u64> {
    // SAFETY: rlimit is plain data, for which zeros are a value.
    let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to an rlimit of ours.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return None;
    }
    let before = u64::from(limit.rlim_cur);
    if before >= needed {
        return Some(before);
    }
    limit.rlim_cur = (needed as libc::rlim_t).min(limit.rlim_max);
    // SAFETY: the pointer is to an rlimit of ours, which is not changed.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Some(u64::from(limit.rlim_cur)),
        _ => Some(before),
    }
}
