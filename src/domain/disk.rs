//! The folder that holds the data, and the disk under it: who else can look in, what is left.

pub mod ground;

use std::{
    ffi::CString,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

const MIB: u64 = 1024 * 1024;
/// In bytes. Less than this is too little for the log of the database and a letter.
pub const LEAST: u64 = 32 * MIB;
/// In bytes. Less than this is little for a copy of the database and some years.
pub const LITTLE: u64 = 512 * MIB;
/// Files that can still be made, where a file system counts them. The database needs three.
pub const FEW_FILES: u64 = 100;

/// What others on this machine can do with the data; modes are those of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// Open this file.
    File(PathBuf, u32),
    /// Put files into the folder.
    Writable(PathBuf, u32),
    /// Look into the folder.
    Readable(PathBuf, u32),
}

impl Exposed {
    pub const fn mode(&self) -> u32 {
        match self {
            Self::File(_, mode) | Self::Writable(_, mode) | Self::Readable(_, mode) => *mode,
        }
    }
}

/// The worst of what others can do with the folder and the database in it.
///
/// # Errors
/// When the folder cannot be looked at.
pub fn exposed(folder: &Path) -> io::Result<Option<Exposed>> {
    let mode = fs::metadata(folder)?.mode() & 0o777;
    if let Some((path, mode)) = open_file(folder) {
        return Ok(Some(Exposed::File(path, mode)));
    }
    Ok(match mode {
        mode if mode & 0o022 != 0 => Some(Exposed::Writable(folder.to_owned(), mode)),
        mode if mode & 0o077 != 0 => Some(Exposed::Readable(folder.to_owned(), mode)),
        _ => None,
    })
}

fn open_file(folder: &Path) -> Option<(PathBuf, u32)> {
    let names = ["", "-wal", "-shm"].map(|end| format!("{}{end}", crate::db::FILE_NAME));
    names.into_iter().map(|name| folder.join(name)).find_map(|path| {
        let mode = fs::metadata(&path).ok()?.mode() & 0o777;
        (mode & 0o077 != 0).then_some((path, mode))
    })
}

/// The bytes, and where they are counted the files, that somebody who is not root may still write.
///
/// # Errors
/// When the disk does not say.
pub fn space(path: &Path) -> io::Result<(u64, Option<u64>)> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statvfs is plain data, for which zeros are a value.
    let mut data: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero, the other pointer is to a statvfs of ours.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut data) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let files = (data.f_files > 0).then_some(data.f_favail);
    Ok((data.f_bavail.saturating_mul(data.f_frsize), files))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_worst_that_others_can_do_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(crate::db::FILE_NAME);
        fs::write(&file, "").expect("written");
        let told = |folder_mode, file_mode| {
            let set =
                |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode));
            set(&file, file_mode).expect("set");
            set(folder.path(), folder_mode).expect("set");
            exposed(folder.path()).expect("looked at")
        };
        assert_eq!(told(0o700, 0o600), None);
        assert_eq!(told(0o750, 0o600), Some(Exposed::Readable(folder.path().to_owned(), 0o750)));
        assert_eq!(told(0o770, 0o600), Some(Exposed::Writable(folder.path().to_owned(), 0o770)));
        assert_eq!(told(0o777, 0o604), Some(Exposed::File(file.clone(), 0o604)));
        assert!(exposed(&folder.path().join("nowhere")).is_err());
    }
}
