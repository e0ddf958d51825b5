//! A house to measure, set up as a server would, and the machine that it stands on.

#![allow(dead_code, reason = "no benchmark needs all of it")]

pub mod program;
pub mod wire;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use gatelodge::{
    cli, config,
    domain::{
        Settings,
        passwords::{HashKind, HashPolicy},
    },
};

/// As they are without a configuration, but that hashes are cheap, since what is measured is
/// everything else; no bucket, since it would be all that is measured; and every token outlives the
/// measuring.
pub fn settings(folder: &Path) -> Settings {
    let day = Duration::from_secs(24 * 3600);
    let config = config::load(None, folder, &[]).expect("no configuration");
    let mut settings = cli::settings(&config);
    settings.hash = HashPolicy {
        kind: HashKind::Argon2id,
        memory: 64,
        passes: 1,
        parallelism: 1,
        lanes: 1,
        queue: 256,
    };
    settings.weak_hashing = true;
    settings.throttle.requests_per_second = 0;
    settings.lives.pin_access = day;
    settings.lives.pair_access = day;
    settings.lives.signup_token = day;
    settings.probe_https = false;
    settings
}

/// SQL that gives `?1` accounts more, as they are after a sign-in.
pub const ACCOUNTS: &str = "
    INSERT INTO accounts (id, username, username_key, email, display_name, role, status,
        email_verified, epoch, created_at, updated_at)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
    SELECT printf('00000000-0000-4000-8000-%012x', i), 'somebody' || i, 'somebody' || i,
        'somebody' || i || '@example.org', '', 'reader', 'active', 1, 'epoch', 0, 0
    FROM n";

/// The cores and their kind, the memory and the kernel.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let after = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("?", |rest| rest.trim_start_matches([' ', '\t', ':'])).trim().to_owned()
    };
    let kind = after("/proc/cpuinfo", "model name");
    let memory = after("/proc/meminfo", "MemTotal");
    let memory: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (system, chip) = (std::env::consts::OS, std::env::consts::ARCH);
    let gib = (memory + (1 << 19)) >> 20;
    format!("{cores} cores ({kind}), {gib} GiB, {system} {}, {chip}", kernel.trim())
}

/// How much else the machine does: the load of the last minute.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub fn seconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

/// What one side does of what another does.
pub struct Compared {
    pub base: f64,
    pub ours: f64,
    pub ratio: f64,
}

/// Measures both in turns, so that whatever else the machine does meets both; the ratio is the
/// median of the turns' ratios.
pub async fn compare(
    turns: usize,
    base: impl AsyncFn() -> f64,
    ours: impl AsyncFn() -> f64,
) -> Compared {
    // Both once before it counts.
    base().await;
    ours().await;
    let (mut all_base, mut all_ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..turns {
        let (b, o) = (base().await, ours().await);
        all_base.push(b);
        all_ours.push(o);
        ratios.push(o / b);
    }
    let [base, ours, ratio] = [all_base, all_ours, ratios].map(median);
    Compared { base, ours, ratio }
}
