//! Where the data is: the folder, the file system and the disk under it, the database in it.

use std::{fs, io, path::Path, time::Duration};

use super::Finding;
use crate::{
    cli::words::pasted,
    config::Config,
    db::{
        examine::{Examined, examine, shares_log},
        migrate,
    },
    domain::{
        Clock,
        disk::{
            Exposed, FEW_FILES, LEAST, LITTLE, exposed,
            ground::{Mount, SLOW, existing, mount_of, stranger, unfit, written},
            space,
        },
    },
};

const FOLDER: &str = "folder";
const DATABASE: &str = "database";
const MIB: u64 = 1024 * 1024;

/// Folder, database, file system and disk.
pub fn findings(config: &Config) -> Vec<Finding> {
    let folder = &config.data_dir;
    let written = written(folder, &Clock::real());
    vec![
        self::folder(folder, &written),
        database(folder),
        file_system(folder, written.ok()),
        disk(folder),
    ]
}

fn folder(folder: &Path, written: &io::Result<Duration>) -> Finding {
    let shown = folder.display();
    match fs::metadata(folder) {
        Ok(data) if data.is_dir() => {}
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
    }
    if let Err(error) = written {
        let found = format!("{shown} cannot be written: {error}");
        return Finding::bad(FOLDER, found, "make it writable for the user who runs gatelodge");
    }
    privacy(folder)
        .unwrap_or_else(|| Finding::fine(FOLDER, format!("{shown}, writable and private")))
}

/// What is wrong with who may do what there.
fn privacy(folder: &Path) -> Option<Finding> {
    let shown = folder.display();
    let advice = format!("chmod 700 {}", pasted(&shown.to_string()));
    let exposed = exposed(folder).ok().flatten();
    match &exposed {
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
        _ => {}
    }
    if let Some((path, owner)) = stranger(folder) {
        let found = format!("{} belongs to user {owner}", path.display());
        let advice = "let folder and files belong to the user who runs the server";
        return Some(Finding::look(FOLDER, found, advice));
    }
    exposed.map(|exposed| {
        let mode = exposed.mode();
        let found = format!("others on this machine can look into {shown} (mode {mode:o})");
        Finding::look(FOLDER, found, advice)
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

fn file_system(folder: &Path, took: Option<Duration>) -> Finding {
    const NAME: &str = "file system";
    let unknown = || Mount { kind: "of unknown kind".to_owned(), read_only: false };
    let Mount { kind, read_only } = mount_of(folder).unwrap_or_else(unknown);
    if read_only {
        let advice = "look what the system's log says of the disk, and mount it for writing";
        return Finding::bad(NAME, format!("{kind}, read-only"), advice);
    }
    if let (Some(_), Err(error)) = (took, shares_log(folder)) {
        return Finding::bad(NAME, format!("{kind}: {error}"), "until then no command works");
    }
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
        _ if files.is_some_and(|left| left < FEW_FILES) => {
            Finding::look(NAME, format!("{found}, but hardly a new file"), "look with df -i")
        }
        _ => Finding::fine(NAME, found),
    }
}
