//! Looks after the ground that the house stands on: the disk, whose files these are, the log of the
//! database, the clock. Writes nothing. What begins and what ends is told once.

use std::{
    collections::BTreeSet,
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension};

use super::{
    Core, Timestamp,
    disk::{
        self, Exposed,
        ground::{self, SLOW},
    },
    error::{Error, Result},
    warnings::Warning,
};
use crate::db::examine::wal_of;

/// In bytes. SQLite's own checkpoints keep the log below 4 MiB, a replicator's below this.
const LARGE_LOG: u64 = 64 * 1024 * 1024;
/// Clocks that are kept right move by less.
const JUMP: Duration = Duration::from_secs(60);
/// A clock that was set is told of for so long.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// A clock that was wrong at the start is set right within so long.
const JUST: Duration = Duration::from_secs(900);

/// What is remembered between looks.
#[derive(Debug, Default)]
pub(super) struct Lookout(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Why the last deed could not be written.
    failing: Option<String>,
    /// How long a small write took at the start.
    slow: Option<Duration>,
    clock: ClockWatch,
    told: BTreeSet<&'static str>,
    /// Something is different: whoever looks need not wait for the minute.
    stirred: bool,
}

impl Lookout {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how a write ended.
    pub(super) fn note_write<T>(&self, done: &Result<T>) {
        let failing = match done {
            Ok(_) => None,
            Err(Error::Storage(error)) => Some(error.to_string()),
            // Somebody else's mistake, found before anything was written.
            Err(_) => return,
        };
        let mut state = self.state();
        state.stirred |= state.failing.is_some() != failing.is_some();
        state.failing = failing;
    }

    /// Compares the clock with time that never jumps.
    fn note_time(&self, wall: Timestamp, steady: Duration) {
        let mut state = self.state();
        if state.clock.look(wall, steady) {
            state.told.remove("clock_jumped");
            state.stirred = true;
        }
    }

    /// Whether the clock was set within the last minutes, and not set right again.
    pub(super) fn has_just_jumped(&self, steady: Duration) -> bool {
        let just = |(_, since)| steady.saturating_sub(since) < JUST;
        self.state().clock.jumped.is_some_and(just)
    }

    fn take_stir(&self) -> bool {
        std::mem::take(&mut self.state().stirred)
    }

    /// What has begun, and then the words for what has ended.
    fn news(&self, found: &[Warning]) -> Vec<String> {
        let told = &mut self.state().told;
        let now: BTreeSet<&'static str> = found.iter().map(Warning::kind).collect();
        let begun = found.iter().filter(|one| !told.contains(one.kind()));
        let mut news: Vec<_> = begun.map(|one| format!("{}: {one}", one.kind())).collect();
        news.extend(told.difference(&now).map(|kind| format!("{kind} is over")));
        *told = now;
        news
    }
}

/// Finds out when a clock is set.
#[derive(Debug, Default)]
struct ClockWatch {
    last: Option<(Timestamp, Duration)>,
    /// By so many milliseconds in all, and when that was noticed.
    jumped: Option<(i64, Duration)>,
}

impl ClockWatch {
    /// Whether it jumped since the last look.
    fn look(&mut self, wall: Timestamp, steady: Duration) -> bool {
        let (old_wall, old_steady) = self.last.replace((wall, steady)).unwrap_or((wall, steady));
        let passed = i64::try_from(steady.saturating_sub(old_steady).as_millis());
        let step = wall.millis().saturating_sub(old_wall.millis());
        let off = step.saturating_sub(passed.unwrap_or(i64::MAX));
        let jumped = is_jump(off);
        if jumped {
            let all = self.jumped.map_or(0, |(all, _)| all).saturating_add(off);
            // Set right again.
            self.jumped = is_jump(all).then_some((all, steady));
        }
        let past = |(_, since)| steady.saturating_sub(since) > REMEMBERED;
        if self.jumped.is_some_and(past) {
            self.jumped = None;
        }
        jumped
    }
}

fn is_jump(millis: i64) -> bool {
    u128::from(millis.unsigned_abs()) >= JUMP.as_millis()
}

// Rows

/// When something was written last, if that is later than a clock can be behind.
fn written_later(connection: &Connection, now: Timestamp) -> Result<Option<Timestamp>> {
    let last: Option<Timestamp> = connection
        .prepare_cached("SELECT at FROM events ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.filter(|last| *last > now.plus(JUMP)))
}

impl Core {
    /// What there is to look after, the gravest first. Reads a little of the file system.
    ///
    /// # Errors
    /// The driver's error.
    pub(super) async fn looked_after(&self) -> Result<Vec<Warning>> {
        let (settings, backup) = (self.settings.clone(), self.copies.trouble());
        let house = self.db.read(move |connection| {
            Ok::<_, Error>(super::warnings::of_the_house(connection, &settings, backup)?)
        });
        let house = house.await?;
        let mut all = self.ground().await;
        all.extend(house);
        Ok(all)
    }

    /// Measures the disk once, in a file that is gone again. For a server, at its start.
    pub async fn try_the_disk(&self) {
        let (folder, clock) = (self.folder(), self.clock.clone());
        let tried = tokio::task::spawn_blocking(move || {
            ground::sweep_probes(&folder);
            ground::written(&folder, &clock)
        });
        // What cannot be written is told by whoever has to write.
        if let Ok(Ok(took)) = tried.await {
            self.lookout.state().slow = (took > SLOW).then_some(took);
        }
    }

    /// Tells what has begun and what has ended.
    pub async fn look_around(&self, tell: &impl Fn(&str)) {
        let found = self.ground().await;
        self.lookout.news(&found).iter().for_each(|line| tell(line));
    }

    /// Notices that the clock was set or that writing fails or works again; whether it did.
    pub(super) fn stirred(&self) -> bool {
        self.lookout.note_time(self.clock.now(), self.clock.steady());
        self.lookout.take_stir()
    }

    async fn ground(&self) -> Vec<Warning> {
        let now = self.clock.now();
        let behind = self.db.read(move |connection| written_later(connection, now)).await;
        let core = self.clone();
        let found = tokio::task::spawn_blocking(move || core.ground_now(behind.ok().flatten()));
        found.await.unwrap_or_default()
    }

    /// Waits for the disk. What cannot be looked at is doctor's affair: here it would only be told
    /// again and again.
    fn ground_now(&self, behind: Option<Timestamp>) -> Vec<Warning> {
        let folder = self.folder();
        let (failing, slow, jumped) = {
            let state = self.lookout.state();
            (state.failing.clone(), state.slow, state.clock.jumped)
        };
        let (free, files) = disk::space(&folder).map_or((None, None), |it| (Some(it.0), it.1));
        let mount = ground::mount_of(&folder);
        // The files themselves are private there; volumes of containers often look like that.
        let exposed = disk::exposed(&folder).ok().flatten();
        let exposed = exposed.filter(|found| !matches!(found, Exposed::Readable(..)));
        let log = fs::metadata(wal_of(self.db.path())).map_or(0, |data| data.len());
        let jumped = jumped.filter(|_| behind.is_none());
        let unfit = |mount: ground::Mount| {
            ground::unfit(&mount.kind).map(|(why, advice)| (mount.kind, why, advice))
        };
        let all = [
            failing.map(Warning::StorageFailing),
            free.filter(|free| *free < disk::LEAST).map(Warning::DiskFull),
            files.filter(|left| *left < disk::FEW_FILES).map(Warning::FilesLow),
            mount.as_ref().is_some_and(|mount| mount.read_only).then_some(Warning::ReadOnly),
            ground::stranger(&folder).map(|(path, owner)| Warning::WrongOwner(path, owner)),
            exposed.map(Warning::DataExposed),
            behind.map(Warning::ClockBehind),
            jumped.map(|(millis, _)| Warning::ClockJumped(millis / 1000)),
            mount.and_then(unfit).map(|(kind, why, advice)| Warning::FileSystem(kind, why, advice)),
            slow.map(|took| Warning::DiskSlow(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))),
            (log > LARGE_LOG).then_some(Warning::WalLarge(log)),
            free.filter(|free| (disk::LEAST..disk::LITTLE).contains(free)).map(Warning::DiskLow),
        ];
        all.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_767_225_600;

    #[test]
    fn a_clock_that_is_set_is_noticed_and_one_that_is_kept_right_is_not() {
        let mut watch = ClockWatch::default();
        let mut look = |wall: i64, steady: u64| {
            let jumped =
                watch.look(Timestamp::from_seconds(START + wall), Duration::from_secs(steady));
            (jumped, watch.jumped.map(|(millis, _)| millis / 1000))
        };
        assert_eq!(look(0, 100), (false, None), "the first look knows nothing");
        assert_eq!(look(3, 103), (false, None));
        assert_eq!(look(30, 104), (false, None), "corrected a little");
        assert_eq!(look(31 - 3600, 105), (true, Some(-3600)));
        assert_eq!(look(32 - 3600, 106), (false, Some(-3600)), "noticed once");
        assert_eq!(look(33, 107), (true, None), "set right again");
        assert_eq!(look(34 + 86_400, 108), (true, Some(86_400)));
        let later = 108 + 86_401;
        assert_eq!(look(34 + 2 * 86_400 + 1, later), (false, None), "forgotten after a day");
    }

    #[test]
    fn what_begins_and_what_ends_is_told_once() {
        let lookout = Lookout::default();
        let low = || Warning::DiskLow(500 << 20);
        let told = lookout.news(&[low(), Warning::ReadOnly]);
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("disk_low: the disk is nearly full"), "{told:?}");
        assert!(lookout.news(&[Warning::DiskLow(400 << 20), Warning::ReadOnly]).is_empty());
        assert_eq!(lookout.news(&[low()]), ["read_only is over"]);
        assert_eq!(lookout.news(&[]), ["disk_low is over"]);
        assert_eq!(lookout.news(&[low()]).len(), 1, "and again when it comes again");
    }
}
