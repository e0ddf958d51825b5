//! Commands that root runs beside a server of another user.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use super::{Failure, trouble};

/// Goes on as the owner of the data, if root looks after somebody else's: files that root makes there,
/// the server could not open.
pub fn become_owner(folder: &Path) -> Result<(), Failure> {
    let Some(data) = anothers(folder) else { return Ok(()) };
    drop_to(data.uid(), data.gid()).map_err(|error| {
        trouble(format!("becoming user {}, who owns {}: {error}", data.uid(), folder.display()))
    })
}

/// Whether root looks after somebody else's data.
pub fn is_another(folder: &Path) -> bool {
    anothers(folder).is_some()
}

fn anothers(folder: &Path) -> Option<fs::Metadata> {
    let data = fs::metadata(folder).ok()?;
    // SAFETY: asks for a number and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    (is_root && data.uid() != 0).then_some(data)
}

/// Group before user: whoever is not root any more may not change groups.
fn drop_to(user: u32, group: u32) -> io::Result<()> {
    let done = |code: libc::c_int| match code {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: one group, at an address that is good for the call; no other thread runs yet.
    done(unsafe { libc::setgroups(1, &raw const group) })?;
    // SAFETY: plain numbers.
    done(unsafe { libc::setgid(group) })?;
    // SAFETY: plain numbers.
    done(unsafe { libc::setuid(user) })
}
