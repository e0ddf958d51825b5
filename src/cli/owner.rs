//! Commands that root runs beside a server of another user.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use super::{Failure, trouble};

/// What becomes of root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Never root again.
    Left,
    /// [`come_back`] makes it root again, for files that lie where the owner may not write.
    Open,
}

/// The user and group of the data, where root looks after somebody else's.
pub fn owner_beside_root(folder: &Path) -> Option<(u32, u32)> {
    let data = fs::metadata(folder).ok()?;
    // SAFETY: asks for a number and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    (is_root && data.uid() != 0).then(|| (data.uid(), data.gid()))
}

/// Goes on as the owner of the data, if root looks after somebody else's: files that root makes there,
/// the server could not open.
pub fn become_owner(folder: &Path, way: Way) -> Result<(), Failure> {
    let Some((user, group)) = owner_beside_root(folder) else { return Ok(()) };
    drop_to(user, group, way).map_err(|error| {
        trouble(format!("becoming user {user}, who owns {}: {error}", folder.display()))
    })
}

/// Root again, if it is what became the owner with [`Way::Open`].
pub fn come_back() -> Result<(), Failure> {
    // SAFETY: a plain number; for somebody else it is refused or nothing.
    done(unsafe { libc::seteuid(0) })
        .map_err(|error| trouble(format!("becoming root again: {error}")))
}

/// Group before user: whoever is not root any more may not change groups.
fn drop_to(user: u32, group: u32, way: Way) -> io::Result<()> {
    // SAFETY: one group, at an address that is good for the call; no other thread runs yet.
    done(unsafe { libc::setgroups(1, &raw const group) })?;
    // SAFETY: plain numbers.
    done(unsafe { libc::setgid(group) })?;
    let kept = if way == Way::Open { 0 } else { user };
    // SAFETY: plain numbers.
    done(unsafe { libc::setresuid(user, user, kept) })
}

fn done(code: libc::c_int) -> io::Result<()> {
    match code {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
