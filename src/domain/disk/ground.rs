//! What lies under the data folder: the kind of its file system, whose files these are, and how long
//! it takes until something written there stays.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    db::{FILE_NAME, examine::beside},
    domain::Clock,
};

/// Each sign-in waits for the disk once; longer than this, people notice.
pub const SLOW: Duration = Duration::from_millis(200);
/// What begins the name of a file that is written to see how long that takes.
const PROBE_PREFIX: &str = "gatelodge-probe-";

/// A file system, as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `ext4`, `nfs4`, …
    pub kind: String,
    /// Mounted so, or made so by the kernel after a fault of the disk.
    pub read_only: bool,
}

/// What `path` lies on; `None` where the system does not say.
pub fn mount_of(path: &Path) -> Option<Mount> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    deepest(&mounts, &existing(path))
}

/// The path itself, or the deepest folder above it that is there.
pub fn existing(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find_map(|path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        fs::canonicalize(path).ok()
    });
    found.unwrap_or_else(|| PathBuf::from("/"))
}

/// By the deepest mount above it; later lines lie on top.
fn deepest(mounts: &str, path: &Path) -> Option<Mount> {
    let mut best: Option<(usize, Mount)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (words.next(), words.next()) else { continue };
        let mut options = words.next().unwrap_or_default().split(',');
        let point = point.replace("\\040", " ");
        let depth = Path::new(&point).components().count();
        if path.starts_with(&point) && best.as_ref().is_none_or(|(deepest, _)| depth >= *deepest) {
            let read_only = options.any(|option| ["ro", "emergency_ro"].contains(&option));
            best = Some((depth, Mount { kind: kind.to_owned(), read_only }));
        }
    }
    best.map(|(_, mount)| mount)
}

/// What of a kind of file system does not suit a database, and what to do instead.
pub fn unfit(kind: &str) -> Option<(&'static str, &'static str)> {
    const LOCAL: &str = "put data_dir on a disk of this machine";
    let network = ["nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "afs", "davfs", "fuse"];
    match kind {
        "overlay" | "aufs" => Some((
            "a layer of a container, gone when the container is replaced",
            "mount a volume there",
        )),
        "tmpfs" | "ramfs" => Some(("memory, gone when the machine restarts", LOCAL)),
        "vfat" | "exfat" | "msdos" => {
            Some(("knows no owners: everybody on this machine can read it", LOCAL))
        }
        kind if network.iter().any(|name| kind.starts_with(name)) => Some((
            "over a network or through another program, where locks may fail and damage the \
             database",
            LOCAL,
        )),
        _ => None,
    }
}

/// The first of the database's files that belongs to somebody else than this process, and to whom.
/// Root opens everybody's: for it the owner of the folder counts.
pub fn stranger(folder: &Path) -> Option<(PathBuf, u32)> {
    // SAFETY: asks for a number and cannot fail.
    let us = match unsafe { libc::geteuid() } {
        0 => fs::metadata(folder).ok()?.uid(),
        us => us,
    };
    let file = folder.join(FILE_NAME);
    let mut files = ["", "-wal", "-shm"].map(|end| beside(&file, end)).into_iter();
    files.find_map(|path| {
        let owner = fs::metadata(&path).ok()?.uid();
        (owner != us).then_some((path, owner))
    })
}

/// How long it took to write a little so that it stays.
///
/// # Errors
/// When it cannot be written.
pub fn written(folder: &Path, clock: &Clock) -> io::Result<Duration> {
    let (process, now) = (std::process::id(), clock.now().millis());
    let path = folder.join(format!("{PROBE_PREFIX}{process}-{now}.tmp"));
    let mut options = fs::OpenOptions::new();
    let begun = clock.ticks();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
    let done = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
    let took = clock.ticks().saturating_sub(begun);
    match fs::remove_file(&path) {
        // A server that starts sweeps them.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => done.map(|()| took),
    }
}

/// Removes what a killed process left behind of that.
pub fn sweep_probes(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PROBE_PREFIX) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_deepest_mount() {
        let mounts = "/dev/sda / ext4 rw,relatime 0 0\nnas:/x /mnt/my\\040nas nfs4 rw 0 0\n\
                      tmpfs /run tmpfs rw 0 0\n/dev/sdb /run ext4 ro,noatime 0 0\n\
                      /dev/sdc /broken ext4 rw,emergency_ro,errors=remount-ro 0 0\nbroken\n";
        let mount = |path| deepest(mounts, Path::new(path)).map(|it| (it.kind, it.read_only));
        let told = |kind: &str, read_only| Some((kind.to_owned(), read_only));
        assert_eq!(mount("/home/ann"), told("ext4", false));
        assert_eq!(mount("/mnt/my nas/gate"), told("nfs4", false));
        assert_eq!(mount("/mnt/my nasty"), told("ext4", false));
        assert_eq!(mount("/run/gate"), told("ext4", true), "the later one lies on top");
        assert_eq!(mount("/broken/gate"), told("ext4", true), "the kernel gave it up");
        assert_eq!(deepest("", Path::new("/")), None);
    }

    #[test]
    fn what_does_not_suit_a_database_is_known() {
        for kind in ["nfs4", "cifs", "fuse.sshfs", "9p", "overlay", "tmpfs", "vfat"] {
            assert!(unfit(kind).is_some(), "{kind}");
        }
        for kind in ["ext4", "xfs", "btrfs", "zfs", "f2fs"] {
            assert!(unfit(kind).is_none(), "{kind}");
        }
    }

    #[test]
    fn a_probe_leaves_nothing_and_one_that_was_killed_is_swept() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(written(folder.path(), &Clock::real()).is_ok());
        let left = || fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left(), 0);
        fs::write(folder.path().join("gatelodge-probe-1-2.tmp"), "").expect("written");
        fs::write(folder.path().join("gatelodge.db"), "").expect("written");
        sweep_probes(folder.path());
        assert_eq!(left(), 1);
        assert!(written(&folder.path().join("nowhere"), &Clock::real()).is_err());
    }
}
