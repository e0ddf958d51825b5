//! From configuration to a house: the one place where settings become plain values.

use std::{io, thread, time::Duration};

use tokio::runtime::{Builder, Runtime};

use super::{Failure, trouble};
use crate::{
    config::{self, Config},
    db::{Checkpoints, ServeLock},
    domain::{
        Clock, Core, CoreError, Settings,
        backups::{
            nightly::Nightly,
            seal::{self, Seal},
        },
        carriers::Lives,
        disk,
        letters::Language,
        passwords::{HashKind, HashPolicy},
        secret::Secret,
        sign_up::RegistrationMode,
        smtp::{Encryption, MailSettings, Patience},
        sso::{ProviderSettings, SsoSettings},
        throttle::ThrottlePolicy,
    },
    http::{BodyLimits, Dialects, HttpSettings, client::Surroundings},
    log,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Threads for what blocks. The database takes five of them; but a name that is looked up keeps its thread
/// for half a minute where the network is down, whoever still waits for it, and nothing of the database may
/// wait behind such: four for providers, one each for mail, updates and podcasts. No more than are needed:
/// a busy server comes to have all of them, and each holds memory of its own.
const BLOCKING_THREADS: usize = 16;

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// As many workers as cores.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(cores().clamp(2, 8))
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(1024 * 1024)
        .enable_all()
        .build()
}

/// Large blocks come from the system and go back to it: else the memory of a quiet hash lane
/// stays with the process, and a small machine misses it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn calm_the_allocator() {
    // SAFETY: mallopt only sets parameters of the allocator; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 256 * 1024);
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn calm_the_allocator() {}

/// Opens the house that the configuration describes, for a server.
pub async fn open_to_serve(config: &Config, claim: &ServeLock) -> Result<Core, Failure> {
    let opened = Core::open_claimed(settings(config), Clock::real(), claim).await;
    opened.map_err(|error| in_the_way(config, &error))
}

/// Opens it for one command, also beside a server of the same version.
pub async fn open(config: &Config) -> Result<Core, Failure> {
    let opened = Core::open(settings(config), Clock::real()).await;
    opened.map_err(|error| in_the_way(config, &error))
}

/// SQLite says of some ways in which a full disk fails only that they fail.
fn in_the_way(config: &Config, error: &CoreError) -> Failure {
    match disk::space(&config.data_dir) {
        Ok((free, _)) if free < disk::LEAST => {
            trouble(format!("{error}; the disk is full: {} KiB are free", free / 1024))
        }
        _ => trouble(error),
    }
}

pub fn settings(config: &Config) -> Settings {
    let link_base = config.email.verification_url_base.clone();
    Settings {
        data_dir: config.data_dir.clone(),
        jwt_secret: config.auth.jwt_secret.as_ref().map(|secret| Secret::new(secret.reveal())),
        master_key_file: config.auth.master_key_file.clone(),
        hash: hash_policy(&config.auth),
        weak_hashing: config.auth.allow_weak,
        password_min_length: config.auth.password_min_length.unwrap_or(0),
        email_confirmation_required: config.auth.email_confirmation_required,
        registration: match config.registration.mode {
            config::RegistrationMode::Open => RegistrationMode::Open,
            config::RegistrationMode::Invite => RegistrationMode::Invite,
            config::RegistrationMode::Closed => RegistrationMode::Closed,
        },
        throttle: ThrottlePolicy {
            max_attempts: config.throttle.max_attempts,
            window: Duration::from_secs(config.throttle.window_seconds),
            waiting: config.auth.hash_queue,
            requests_per_second: config.rate_limit.requests_per_second,
            burst: config.rate_limit.burst,
        },
        lives: Lives {
            native_access: HOUR * config.auth.jwt_expiry_hours,
            native_refresh: DAY * 30,
            pages_cookie: DAY * 30,
            pin_access: Duration::from_secs(config.pin.access_seconds),
            pin_refresh: DAY * config.pin.refresh_days,
            pair_access: config.pair.access_expiry,
            pair_refresh: DAY * config.pair.refresh_days,
            signup_token: MINUTE * config.signup.token_minutes,
            gpodder_cookie: DAY * config.gpodder.session_days,
        },
        api_key_prefix: config.api_keys.prefix.clone(),
        link_base: link_base.or_else(|| config.server.public_url.clone()),
        verification_life: HOUR * config.email.verification_token_expiry_hours,
        mail: mail_settings(&config.email),
        language: match config.email.language {
            config::Language::English => Language::English,
            config::Language::German => Language::German,
        },
        new_sign_in_letters: config.email.new_sign_in_letters,
        pin_networks: config.pin.networks.clone(),
        pin_list_users: config.pin.list_users,
        events_kept: DAY * config.logs.keep_days,
        signup_role: config.signup.default_role.clone(),
        mask_addresses: config.logs.mask_addresses,
        probe_https: config.gpodder.probe_https,
        sso: sso_settings(config),
        checkpoints: match config.storage.checkpoint {
            config::Checkpoint::Own => Checkpoints::Own,
            config::Checkpoint::External => Checkpoints::External,
        },
        nightly: nightly(config),
        seal: seal(config, seal::GENERATED),
    }
}

fn nightly(config: &Config) -> Option<Nightly> {
    let at = config.backup.schedule?;
    Some(Nightly {
        hour: at.hour,
        minute: at.minute,
        folder: config.backup.folder.clone().unwrap_or_else(|| config.data_dir.join("backups")),
        keep: config.backup.keep,
    })
}

/// For whom copies are. Somebody who typed the passphrase gets more `work` against guesses.
pub fn seal(config: &Config, work: u8) -> Seal {
    match &config.backup.passphrase {
        Some(word) => Seal::Passphrase(Secret::new(word.reveal()), work),
        None if config.backup.recipients.is_empty() => Seal::None,
        None => Seal::Recipients(config.backup.recipients.clone()),
    }
}

fn sso_settings(config: &Config) -> SsoSettings {
    let provider = |provider: &config::Provider| ProviderSettings {
        name: provider.name.clone(),
        display_name: provider.display_name.clone().unwrap_or_else(|| provider.name.clone()),
        issuer_url: provider.issuer_url.clone().unwrap_or_default(),
        client_id: provider.client_id.clone(),
        client_secret: provider.client_secret.as_ref().map(|word| Secret::new(word.reveal())),
        scopes: provider.scopes.clone(),
        username_claim: provider.username_claim.clone(),
        email_claim: provider.email_claim.clone(),
        groups_claim: provider.groups_claim.clone(),
        role_mapping: provider.role_mapping.clone(),
        admin_group: provider.admin_group.clone(),
    };
    SsoSettings {
        base: config.server.public_url.clone().unwrap_or_default(),
        auto_create: config.sso.auto_create,
        default_role: config.sso.default_role.clone(),
        frontend: config.signup.frontend_url.clone(),
        providers: config.sso.providers.iter().map(provider).collect(),
        ..SsoSettings::default()
    }
}

/// `None` without a mail server.
fn mail_settings(email: &config::Email) -> Option<MailSettings> {
    let host = email.smtp_host.clone()?;
    let encryption = match email.smtp_tls {
        config::SmtpTls::Starttls => Encryption::Starttls,
        config::SmtpTls::Implicit => Encryption::Implicit,
        config::SmtpTls::None => Encryption::None,
        config::SmtpTls::Auto if email.smtp_port == Some(465) => Encryption::Implicit,
        config::SmtpTls::Auto if ["localhost", "127.0.0.1", "::1"].contains(&host.as_str()) => {
            Encryption::None
        }
        config::SmtpTls::Auto => Encryption::Starttls,
    };
    let usual = match encryption {
        Encryption::Implicit => 465,
        Encryption::Starttls => 587,
        Encryption::None => 25,
    };
    let name_and_password = email.smtp_username.clone().zip(email.smtp_password.as_ref());
    Some(MailSettings {
        host,
        port: email.smtp_port.unwrap_or(usual),
        encryption,
        ca_file: email.smtp_ca_file.clone(),
        login: name_and_password.map(|(name, word)| (name, Secret::new(word.reveal()))),
        from_email: email.smtp_from_email.clone()?,
        from_name: email.smtp_from_name.clone(),
        patience: Patience::default(),
    })
}

fn hash_policy(auth: &config::Auth) -> HashPolicy {
    HashPolicy {
        kind: match auth.password_hash {
            config::PasswordHash::Argon2id => HashKind::Argon2id,
            config::PasswordHash::Bcrypt => HashKind::Bcrypt,
        },
        memory: auth.argon2_memory_cost,
        passes: auth.argon2_time_cost,
        parallelism: auth.argon2_parallelism,
        lanes: auth.hash_lanes.unwrap_or_else(|| (cores() / 2).max(1)),
        queue: auth.hash_queue,
    }
}

/// What the doors need of the configuration.
pub fn http_settings(config: &Config) -> HttpSettings {
    HttpSettings {
        surroundings: Surroundings {
            public_url: config.server.public_url.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            allowed_origins: config.server.allowed_origins.clone(),
            self_signed: config.tls.self_signed,
        },
        dialects: Dialects {
            native: config.dialects.native,
            pin: config.dialects.pin,
            pair: config.dialects.pair,
            signup: config.dialects.signup,
            gpodder: config.dialects.gpodder,
        },
        docs: config.server.docs,
        metrics: config.server.metrics,
        log_access: config.log.access,
        bodies: BodyLimits::default(),
    }
}

/// How lines of the log are written.
pub fn log_format(config: &Config) -> log::Format {
    match config.log.format {
        config::LogFormat::Text => log::Format::Text,
        config::LogFormat::Json => log::Format::Json,
    }
}

/// How much is logged.
pub fn log_level(config: &Config) -> log::Level {
    match config.log.level {
        config::LogLevel::Error => log::Level::Error,
        config::LogLevel::Warn => log::Level::Warn,
        config::LogLevel::Info => log::Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn names_that_are_looked_up_in_vain_hold_up_nothing_else_that_blocks() {
        let runtime = runtime().expect("a runtime");
        let (_end, ended) = mpsc::channel::<()>();
        let ended = std::sync::Arc::new(std::sync::Mutex::new(ended));
        // The database has five left.
        for _ in 0..BLOCKING_THREADS - 5 {
            let ended = std::sync::Arc::clone(&ended);
            runtime.spawn_blocking(move || drop(ended.lock().map(|ended| ended.recv())));
        }
        let (tell, told) = mpsc::channel();
        runtime.spawn_blocking(move || tell.send(()));
        told.recv_timeout(Duration::from_secs(20)).expect("a read of the database has its turn");
        runtime.shutdown_background();
    }
}
