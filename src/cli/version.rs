//! What `--version` tells.

use std::{
    env::consts::{ARCH, OS},
    sync::LazyLock,
};

use crate::db;

/// The commit that a package was built from; other builds have none.
const COMMIT: &str = match option_env!("BUILD_COMMIT") {
    Some(commit) => commit,
    None => "none",
};
const LIBRARY: &str = if cfg!(target_env = "musl") { "musl" } else { "gnu" };

/// Version, commit, target and the version of SQLite.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let (version, sqlite) = (env!("CARGO_PKG_VERSION"), db::sqlite_version());
        format!("{version} (commit {COMMIT}, {ARCH}-{OS}-{LIBRARY}, SQLite {sqlite})")
    });
    &TEXT
}
