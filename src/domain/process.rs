//! What the system says of this process.

use std::{fs, time::Duration};

/// This process at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Processor time, of user and system together.
    pub cpu: Duration,
    /// Seconds since 1970 when it began.
    pub started: f64,
    /// In bytes.
    pub resident: u64,
    pub virtual_memory: u64,
    /// Files and connections that are open, and how many may be.
    pub files: u64,
    pub max_files: u64,
}

/// `None` where there is no `/proc`.
pub fn look() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name stands in brackets and may hold anything, brackets too.
    let rest = stat.get(stat.rfind(')')? + 2..)?;
    let field = |at: usize| rest.split(' ').nth(at - 3)?.parse::<u64>().ok();
    let (hertz, page) = (system(libc::_SC_CLK_TCK)?, system(libc::_SC_PAGESIZE)?);
    let seconds = |ticks: u64| ticks as f64 / hertz as f64;
    Some(Process {
        cpu: Duration::from_secs_f64(seconds(field(14)? + field(15)?)),
        started: booted()? + seconds(field(22)?),
        resident: field(24)? * page,
        virtual_memory: field(23)?,
        files: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        max_files: most_files()?,
    })
}

/// Seconds since 1970.
fn booted() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn system(name: libc::c_int) -> Option<u64> {
    // SAFETY: sysconf only looks a number up.
    u64::try_from(unsafe { libc::sysconf(name) }).ok().filter(|number| *number > 0)
}

fn most_files() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to an rlimit of ours.
    let said = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (said == 0).then_some(limit.rlim_cur)
}
