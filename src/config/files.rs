//! Paths in the configuration, and reading what stands behind them.

use super::ConfigError;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What to do about a secret that cannot be read.
pub(super) const NAME_ONE: &str = "name a readable file that holds the value";
const SECRET_MAX: u64 = 64 << 10;

/// `path` seen from `base`, without a needless `.` in it.
pub(super) fn below(base: &Path, path: &str) -> PathBuf {
    match path {
        "." if base.as_os_str().is_empty() => PathBuf::from("."),
        "." => base.to_owned(),
        path => base.join(path),
    }
}

pub(super) fn read_text(path: &Path, max: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max + 1).read_to_end(&mut bytes))
        .map_err(|e| format!("cannot be read ({e})"))?;
    if bytes.len() as u64 > max {
        return Err(format!("is larger than {} KiB", max >> 10));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".into())
}

/// The secret in the file that `key` names at `place`.
pub(super) fn secret(
    base: &Path,
    path: &str,
    place: &str,
    key: &str,
) -> Result<String, ConfigError> {
    let path = below(base, path);
    let text = read_text(&path, SECRET_MAX).map_err(|what| {
        ConfigError::new(place, format_args!("{key} names {path:?}, which {what}"), NAME_ONE)
    })?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
