//! The machine: its clock, and what a password costs on it.

use std::{fs, path::Path, time::Duration};

use super::Finding;
use crate::domain::{
    Clock, Settings, Timestamp,
    error::{Field, Result},
    passwords::{HashKind, HashPolicy, Hasher},
    secret::{Secret, random_text},
};

/// No clock that is right is behind this: 2026-01-01.
const MADE_AFTER: Timestamp = Timestamp::from_seconds(1_767_225_600);
/// File systems round, and machines differ a little.
const TOLERANCE: Duration = Duration::from_secs(60);
/// Longer than this, people notice.
const SLOW: Duration = Duration::from_secs(1);
const MIB: u64 = 1024 * 1024;

/// Whether the clock can be right: tokens, links and sessions end by it.
pub fn clock(folder: &Path, now: Timestamp) -> Finding {
    const NAME: &str = "clock";
    let text = now.minute_text();
    if now < MADE_AFTER {
        let advice = "set the clock; machines without a battery need the network's time (NTP)";
        return Finding::bad(NAME, format!("it is {text}, before this program was made"), advice);
    }
    if let Some(later) = written_later(folder, now) {
        let found = format!("it is {text}, but the database was written at {later}");
        return Finding::bad(NAME, found, "set the clock, or wait until it is past that moment");
    }
    if synchronised() == Some(false) {
        let found = format!("it is {text}; nothing keeps this clock right");
        return Finding::look(NAME, found, "switch on NTP, for example timedatectl set-ntp true");
    }
    Finding::fine(NAME, format!("it is {text}"))
}

fn written_later(folder: &Path, now: Timestamp) -> Option<String> {
    let written =
        |name: &str| fs::metadata(folder.join(name)).and_then(|data| data.modified()).ok();
    let files = ["gatelodge.db", "gatelodge.db-wal"].into_iter().filter_map(written);
    let last = files.map(|moment| Timestamp::from_calendar(moment.into())).max()?;
    (last > now.plus(TOLERANCE)).then(|| last.minute_text())
}

/// What the kernel thinks of its own clock; `None` where it does not say.
#[cfg(target_os = "linux")]
fn synchronised() -> Option<bool> {
    // SAFETY: timex is plain data, for which zeros are a value; no modes means to read only.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a timex of ours.
    let told = unsafe { libc::adjtimex(&raw mut state) };
    (told >= 0).then_some(state.status & libc::STA_UNSYNC == 0)
}

#[cfg(not(target_os = "linux"))]
fn synchronised() -> Option<bool> {
    None
}

/// What hashing a password costs here.
pub async fn hashing(settings: &Settings) -> Finding {
    const NAME: &str = "passwords";
    let policy = settings.hash;
    let took = match measured(policy).await {
        Ok(took) => took,
        Err(error) => {
            let advice = "give the process more memory, or lower auth.argon2_memory_cost";
            return Finding::bad(NAME, format!("no password can be hashed: {error}"), advice);
        }
    };
    let found = cost(policy, took);
    let needed = policy.lanes as u64 * u64::from(policy.memory) * 1024;
    let free = free_memory(&read("/proc/meminfo"), &read("/sys/fs/cgroup/memory.max"));
    if let Some(free) = free.filter(|free| needed > free / 2) {
        let found = format!("{found}; {} MiB are free", free / MIB);
        return Finding::look(NAME, found, "lower auth.hash_lanes, or free some memory");
    }
    if settings.weak_hashing {
        let advice = "set auth.allow_weak to false; hashes get better as people sign in";
        return Finding::look(NAME, format!("{found}; auth.allow_weak is on"), advice);
    }
    if took > SLOW {
        return Finding::look(
            NAME,
            found,
            "look what else runs here: each sign-in takes that long",
        );
    }
    Finding::fine(NAME, found)
}

fn cost(policy: HashPolicy, took: Duration) -> String {
    let (lanes, took) = (policy.lanes, took.as_secs_f64().max(1e-6));
    let each = match policy.kind {
        HashKind::Argon2id => {
            let memory = f64::from(policy.memory) / 1024.0;
            format!("Argon2id takes {:.0} ms and {memory:.1} MiB", took * 1000.0)
        }
        HashKind::Bcrypt => format!("bcrypt takes {:.0} ms", took * 1000.0),
    };
    let total = policy.lanes as f64 * f64::from(policy.memory) / 1024.0;
    let memory = match policy.kind {
        HashKind::Argon2id => format!(", {total:.1} MiB in all while people sign in"),
        HashKind::Bcrypt => String::new(),
    };
    let lane = if lanes == 1 { "lane" } else { "lanes" };
    format!("{each}; {lanes} {lane}: about {:.0} a second{memory}", lanes as f64 / took)
}

/// The faster of two: the first one also fetches the memory.
async fn measured(policy: HashPolicy) -> Result<Duration> {
    let hasher = Hasher::start(HashPolicy { lanes: 1, ..policy })
        .map_err(|error| crate::domain::error::Error::Internal(Box::new(error)))?;
    let (clock, mut best) = (Clock::real(), Duration::MAX);
    for _ in 0..2 {
        let place = hasher.place()?;
        let begun = clock.ticks();
        hasher.hash(&place, Secret::new(random_text(20)), Field::Password).await?;
        best = best.min(clock.ticks().saturating_sub(begun));
    }
    Ok(best)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// In bytes, from what Linux says of the machine and of the container.
fn free_memory(meminfo: &str, limit: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let free = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let free = free.map(|kib| kib * 1024);
    match (free, limit.trim().parse().ok()) {
        (Some(free), Some(limit)) => Some(free.min(limit)),
        (free, limit) => free.or(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_the_smaller_of_machine_and_container() {
        let machine = "MemTotal:  4096 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(free_memory(machine, "max\n"), Some(2 << 20));
        assert_eq!(free_memory(machine, "1048576\n"), Some(1 << 20));
        assert_eq!(free_memory("", ""), None);
    }

    #[test]
    fn a_clock_of_the_past_is_bad() {
        let folder = Path::new("/nonexistent");
        let found = clock(folder, Timestamp::from_seconds(0));
        assert!(found.found.contains("1970-01-01 00:00 UTC, before"), "{}", found.found);
    }
}
