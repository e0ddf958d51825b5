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
    db::Checkpoints,
    domain::{
        Settings,
        backups::seal::Seal,
        letters::Language,
        passwords::{HashKind, HashPolicy},
        sessions::Lives,
        sign_up::RegistrationMode,
        sso::SsoSettings,
        throttle::ThrottlePolicy,
    },
};

/// Cheap hashes: what is measured here is everything else. No bucket: it would be all that is
/// measured.
pub fn settings(folder: &Path) -> Settings {
    let day = Duration::from_secs(24 * 3600);
    Settings {
        data_dir: folder.to_owned(),
        jwt_secret: None,
        master_key_file: None,
        hash: HashPolicy {
            kind: HashKind::Argon2id,
            memory: 64,
            passes: 1,
            parallelism: 1,
            lanes: 1,
            queue: 256,
        },
        weak_hashing: true,
        password_min_length: 0,
        email_confirmation_required: false,
        registration: RegistrationMode::Closed,
        throttle: ThrottlePolicy {
            max_attempts: 5,
            window: Duration::from_secs(300),
            requests_per_second: 0,
            burst: 60,
        },
        // Every token outlives the measuring.
        lives: Lives {
            native_access: day,
            native_refresh: day * 30,
            pages_cookie: day * 30,
            pin_access: day,
            pin_refresh: day * 30,
            pair_access: day,
            pair_refresh: day * 7,
            signup_token: day,
            gpodder_cookie: day * 365,
        },
        api_key_prefix: "lodge".to_owned(),
        link_base: None,
        verification_life: day,
        mail: None,
        language: Language::English,
        new_sign_in_letters: true,
        pin_networks: vec!["127.0.0.0/8".parse().expect("a network")],
        pin_list_users: true,
        events_kept: day * 90,
        signup_role: "developer".to_owned(),
        mask_addresses: false,
        probe_https: false,
        sso: SsoSettings::default(),
        checkpoints: Checkpoints::Own,
        nightly: None,
        seal: Seal::None,
    }
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
