//! Where the data is: the folder, the file system and the disk under it, the database in it.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::Finding;
use crate::{
    cli::words::pasted,
    config::Config,
    db::{
        examine::{Examined, examine},
        migrate,
    },
    domain::{
        Clock, Timestamp,
        disk::{Exposed, LEAST, LITTLE, exposed, space},
    },
};

const FOLDER: &str = "folder";
const DATABASE: &str = "database";
const MIB: u64 = 1024 * 1024;
/// Each sign-in waits for the disk once.
const SLOW: Duration = Duration::from_millis(200);

/// Folder, database, file system and disk.
pub fn findings(config: &Config, now: Timestamp) -> Vec<Finding> {
    let folder = &config.data_dir;
    let written = written(folder, now);
    vec![
        self::folder(folder, &written),
        database(folder),
        file_system(folder, written.ok()),
        disk(folder),
    ]
}

/// How long it took to write a little so that it stays.
fn written(folder: &Path, now: Timestamp) -> io::Result<Duration> {
    let name = format!("gatelodge-doctor-{}-{}.tmp", std::process::id(), now.millis());
    let path = folder.join(name);
    let (clock, mut options) = (Clock::real(), fs::OpenOptions::new());
    let begun = clock.ticks();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
    let done = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
    let took = clock.ticks().saturating_sub(begun);
    fs::remove_file(&path)?;
    done.map(|()| took)
}

fn folder(folder: &Path, written: &io::Result<Duration>) -> Finding {
    let shown = folder.display();
    let data = match fs::metadata(folder) {
        Ok(data) if data.is_dir() => data,
        Ok(_) => {
            let advice = "give data_dir the path of a folder";
            return Finding::bad(FOLDER, format!("{shown} is no folder"), advice);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let found = format!("{shown} does not exist yet");
            return Finding::look(FOLDER, found, "the first start makes it, if it may");
        }
        Err(error) => {
            let advice = "look at data_dir and at who may enter the folders above it";
            return Finding::bad(FOLDER, format!("{shown}: {error}"), advice);
        }
    };
    if let Err(error) = written {
        let found = format!("{shown} cannot be written: {error}");
        return Finding::bad(FOLDER, found, "make it writable for the user who runs gatelodge");
    }
    privacy(folder, &data)
        .unwrap_or_else(|| Finding::fine(FOLDER, format!("{shown}, writable and private")))
}

/// What is wrong with who may do what there.
fn privacy(folder: &Path, data: &fs::Metadata) -> Option<Finding> {
    let shown = folder.display();
    let advice = format!("chmod 700 {}", pasted(&shown.to_string()));
    match exposed(folder).ok().flatten() {
        Some(Exposed::File(path, mode)) => {
            let shown = path.display();
            let found = format!("others on this machine can open {shown} (mode {mode:o})");
            let all = pasted(&folder.join(crate::db::FILE_NAME).display().to_string());
            return Some(Finding::bad(FOLDER, found, format!("chmod 600 {all}*")));
        }
        Some(Exposed::Writable(_, mode)) => {
            let found =
                format!("others on this machine can put files into {shown} (mode {mode:o})");
            return Some(Finding::bad(FOLDER, found, advice));
        }
        Some(Exposed::Readable(_, mode)) => {
            let found = format!("others on this machine can look into {shown} (mode {mode:o})");
            return Some(Finding::look(FOLDER, found, advice));
        }
        None => {}
    }
    let owner = |path: &Path| fs::metadata(path).map(|data| data.uid()).ok();
    let file = owner(&folder.join(crate::db::FILE_NAME))?;
    (file != data.uid()).then(|| {
        let found = format!("{shown} belongs to user {}, the database to {file}", data.uid());
        Finding::look(FOLDER, found, "let both belong to the user who runs the server")
    })
}

fn database(folder: &Path) -> Finding {
    match examine(folder) {
        Examined::Absent => Finding::fine(DATABASE, "none yet; the first start makes it"),
        Examined::Sound { schema, bytes } => {
            let found = format!("sound, schema {schema}, {:.1} MiB", bytes as f64 / MIB as f64);
            match schema == migrate::LATEST {
                true => Finding::fine(DATABASE, found),
                false => Finding::look(
                    DATABASE,
                    format!("{found}; this version has {}", migrate::LATEST),
                    "the next start brings it up to date; make a copy before",
                ),
            }
        }
        Examined::Damaged(faults) => Finding::bad(
            DATABASE,
            format!("damaged: {}", faults.join("; ")),
            "stop the server, keep a copy of the folder, put back the last good copy of the \
             database, and look at the disk",
        ),
        Examined::Refused(error) => {
            Finding::bad(DATABASE, error.to_string(), "until then no command works")
        }
    }
}

/// The folder itself, or where it will be.
fn existing(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find_map(|path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        fs::canonicalize(path).ok()
    });
    found.unwrap_or_else(|| PathBuf::from("/"))
}

fn file_system(folder: &Path, took: Option<Duration>) -> Finding {
    const NAME: &str = "file system";
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let kind = kind_of(&mounts, &existing(folder)).unwrap_or_else(|| "of unknown kind".to_owned());
    if let Some((found, advice)) = unfit(&kind) {
        return Finding::look(NAME, format!("{kind}: {found}"), advice);
    }
    match took {
        Some(took) if took > SLOW => Finding::look(
            NAME,
            format!("{kind}, slow: writing a little takes {} ms", took.as_millis()),
            "each sign-in waits for that; a better disk or card helps",
        ),
        Some(took) => {
            let took = took.as_secs_f64() * 1000.0;
            Finding::fine(NAME, format!("{kind}; writing a little takes {took:.1} ms"))
        }
        None => Finding::fine(NAME, kind),
    }
}

/// The kind of file system at `path`, by the deepest mount above it; later lines lie on top.
fn kind_of(mounts: &str, path: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (words.next(), words.next()) else { continue };
        let point = point.replace("\\040", " ");
        let depth = Path::new(&point).components().count();
        if path.starts_with(&point) && best.is_none_or(|(deepest, _)| depth >= deepest) {
            best = Some((depth, kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

/// What does not suit a database, and what to do instead.
fn unfit(kind: &str) -> Option<(&'static str, &'static str)> {
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

fn disk(folder: &Path) -> Finding {
    const NAME: &str = "disk";
    let Ok((free, files)) = space(&existing(folder)) else {
        return Finding::look(NAME, "the disk does not say what is free", "look with df -h");
    };
    let found = format!("{} MiB free", free / MIB);
    let advice = "free some space, or put data_dir on a larger disk";
    match free {
        ..LEAST => Finding::bad(NAME, found, advice),
        LEAST..LITTLE => Finding::look(NAME, found, advice),
        // Some file systems have no fixed number of files and say 0 of 0.
        _ if files.is_some_and(|left| left < 100) => {
            Finding::look(NAME, format!("{found}, but hardly a new file"), "look with df -i")
        }
        _ => Finding::fine(NAME, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_deepest_mount() {
        let mounts = "/dev/sda / ext4 rw 0 0\nnas:/x /mnt/my\\040nas nfs4 rw 0 0\n\
                      tmpfs /run tmpfs rw 0 0\n/dev/sdb /run ext4 rw 0 0\nbroken\n";
        let kind = |path| kind_of(mounts, Path::new(path));
        assert_eq!(kind("/home/ann").as_deref(), Some("ext4"));
        assert_eq!(kind("/mnt/my nas/gate").as_deref(), Some("nfs4"));
        assert_eq!(kind("/mnt/my nasty").as_deref(), Some("ext4"));
        assert_eq!(kind("/run/gate").as_deref(), Some("ext4"), "the later one lies on top");
        assert_eq!(kind_of("", Path::new("/")), None);
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
}
