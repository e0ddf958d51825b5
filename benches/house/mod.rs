//! A house to measure, set up as a server would, and the machine that it stands on.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use gatelodge::domain::{
    Settings,
    letters::Language,
    passwords::{HashKind, HashPolicy},
    sessions::Lives,
    sign_up::RegistrationMode,
    sso::SsoSettings,
    throttle::ThrottlePolicy,
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
    }
}

/// SQL that gives `?1` accounts more, as they are after a sign-in.
#[allow(dead_code, reason = "not every benchmark needs neighbours")]
pub const ACCOUNTS: &str = "
    INSERT INTO accounts (id, username, username_key, email, display_name, role, status,
        email_verified, epoch, created_at, updated_at)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
    SELECT printf('00000000-0000-4000-8000-%012x', i), 'somebody' || i, 'somebody' || i,
        'somebody' || i || '@example.org', '', 'reader', 'active', 1, 'epoch', 0, 0
    FROM n";

/// The number of cores and the kernel.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = if kernel.is_empty() { "?" } else { kernel.trim() };
    format!("{cores} cores, {} {kernel}, {}", std::env::consts::OS, std::env::consts::ARCH)
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub fn seconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}
