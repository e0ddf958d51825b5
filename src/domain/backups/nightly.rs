//! Copies by the clock, into a folder that keeps so many of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use time::PrimitiveDateTime;
use tokio::{
    sync::OwnedMutexGuard,
    time::{MissedTickBehavior, interval},
};

use super::{
    BackupError, Copied, PARTIAL, Target, local_time, off,
    seal::{PLAIN_END, SEALED_END, Seal},
};
use crate::domain::{
    Core, Timestamp,
    caller::Origin,
    events::{Event, EventKind},
    known::Stale,
};

const LOOK: Duration = Duration::from_secs(20);
/// After a failure it is tried again, for whoever mends it by day.
const AGAIN: Duration = Duration::from_secs(3600);
const PREFIX: &str = "gatelodge-";

/// When, where and how many.
#[derive(Clone, Debug)]
pub struct Nightly {
    pub hour: u8,
    pub minute: u8,
    pub folder: PathBuf,
    /// At least 1.
    pub keep: usize,
}

/// What the running house knows of its copies.
#[derive(Debug, Default)]
pub struct Copies {
    /// One is made at a time: each takes a disk's attention, and a passphrase 16 MiB.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Why the last by the clock failed, until one does not: for people who look after the house.
    trouble: Mutex<Option<String>>,
}

impl Copies {
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

impl Nightly {
    fn due(&self, after: Timestamp) -> Timestamp {
        local_time::next(after, self.hour, self.minute)
    }

    /// When the newest copy was made. What seems to come from the future says nothing.
    fn newest(&self, now: Timestamp) -> Option<Timestamp> {
        let names = names(&self.folder).unwrap_or_default();
        let whole = names.iter().filter(|name| !name.ends_with(PARTIAL));
        whole.filter_map(|name| made_at(name)).filter(|at| *at <= now).max()
    }

    /// Lets go of what is more than is kept, and of what was broken off. What seems to come from the
    /// future goes first: it must not take the place of the copy that was just made.
    fn thin(&self, now: Timestamp) -> io::Result<()> {
        let mut names = names(&self.folder)?;
        names.sort_unstable_by_key(|name| {
            let at = made_at(name);
            (at.is_none_or(|at| at <= now), at)
        });
        let (whole, parts): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| !name.ends_with(PARTIAL));
        let spare = whole.len().saturating_sub(self.keep.max(1));
        for name in whole.iter().take(spare).chain(&parts) {
            fs::remove_file(self.folder.join(name))?;
        }
        Ok(())
    }
}

fn name(now: Timestamp, seal: &Seal) -> String {
    format!("{PREFIX}{}{}", now.stamp(), seal.end())
}

/// Files that are copies of ours by their names, whole or not; others stay untouched.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if made_at(&name).is_some() {
            names.push(name);
        }
    }
    Ok(names)
}

/// When a copy was made, as its name says.
fn made_at(name: &str) -> Option<Timestamp> {
    let name = name.strip_suffix(PARTIAL).unwrap_or(name);
    let stamp = [PLAIN_END, SEALED_END].iter().find_map(|end| name.strip_suffix(end))?;
    let stamp = stamp.strip_prefix(PREFIX)?;
    let form = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let moment = PrimitiveDateTime::parse(stamp, &form).ok()?;
    Some(Timestamp::from_calendar(moment.assume_utc()))
}

impl Core {
    /// Makes copies until the process ends, if somebody wishes any. A time that was slept through is
    /// made up for at once.
    pub async fn nightly_copies(self, tell: impl Fn(&str) + Send + 'static) {
        let Some(plan) = self.settings.nightly.clone() else { return };
        let now = self.clock.now();
        let looked = plan.clone();
        let last = off(move || Ok(looked.newest(now))).await.unwrap_or_default();
        let mut due = plan.due(last.unwrap_or(now));
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            looks.tick().await;
            let now = self.clock.now();
            // A clock that was set back far must not put the next copy off for as long.
            due = due.min(plan.due(now));
            if now < due {
                continue;
            }
            due = match self.nightly_copy(&plan).await {
                Ok(told) => {
                    tell(&told);
                    plan.due(now)
                }
                Err(error) => {
                    tell(&format!("backup: {error}"));
                    self.copies.set(Some(error.to_string()));
                    plan.due(now).min(now.plus(AGAIN))
                }
            };
        }
    }

    /// One copy, now; what was made, in a line. It counts once it is there, whatever goes wrong behind it:
    /// made again each hour, copies would fill their disk.
    async fn nightly_copy(&self, plan: &Nightly) -> Result<String, BackupError> {
        let now = self.clock.now();
        let (seal, name) = (self.settings.seal.clone(), name(now, &self.settings.seal));
        let file = plan.folder.join(&name);
        let folder = plan.folder.clone();
        off(move || make_folder(&folder)).await?;
        let mut copied = self.copied(Target::File(file.clone()), seal).await?;
        let event = Event::from_origin(EventKind::BackupMade, &Origin::local(), now).about(name);
        let noted =
            self.deed(Stale::Nobodys, move |transaction, _| event.append(transaction)).await;
        copied.untold = noted.err().map(|error| error.to_string());
        let (thinned, folder) = (plan.clone(), plan.folder.clone());
        let thin = move || thinned.thin(now).map_err(|error| BackupError::File(folder, error));
        let stay = off(thin).await.err().map(|error| format!("older ones stay: {error}"));
        let told = told(&file, &copied, stay.as_deref());
        self.copies.set(stay.map(|stay| format!("it is made, but {stay}")));
        Ok(told)
    }
}

fn told(file: &Path, copied: &Copied, stay: Option<&str>) -> String {
    let kib = copied.bytes.div_ceil(1024);
    let made = format!("backup: {} is made, {kib} KiB, {}", file.display(), copied.contents);
    let untold = copied.untold.as_ref().map(|why| format!("no event tells of it: {why}"));
    let parts = [Some(made.as_str()), untold.as_deref(), stay];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn make_folder(folder: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| BackupError::File(folder.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(folder: &Path, keep: usize) -> Nightly {
        Nightly { hour: 3, minute: 30, folder: folder.to_owned(), keep }
    }

    #[test]
    fn names_tell_when_a_copy_was_made_and_nothing_else_counts() {
        let now = Timestamp::from_seconds(1_767_268_801);
        assert_eq!(name(now, &Seal::None), "gatelodge-20260101T120001Z.db");
        assert_eq!(made_at(&name(now, &Seal::None)), Some(now));
        let sealed = name(now, &Seal::Recipients(Vec::new()));
        assert_eq!((sealed.ends_with(".db.age"), made_at(&sealed)), (true, Some(now)));
        assert_eq!(made_at(&format!("{sealed}.partial")), Some(now));
        for other in ["gatelodge.db", "gatelodge-20260101.db", "gatelodge-20261301T120001Z.db", ""]
        {
            assert_eq!(made_at(other), None, "{other}");
        }
    }

    #[test]
    fn the_newest_stay_and_files_of_others_do_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let day = |day| format!("gatelodge-2026010{day}T033000Z.db");
        let mut all: Vec<String> = (1..=4).map(day).collect();
        all.extend([
            day(5) + ".age",
            day(6) + PARTIAL,
            "gatelodge.db".to_owned(),
            "a.db".to_owned(),
        ]);
        for name in &all {
            fs::write(folder.path().join(name), "").expect("written");
        }
        let now = Timestamp::from_seconds(1_767_700_000);
        assert_eq!(
            plan(folder.path(), 2).newest(now).map(Timestamp::text).as_deref(),
            Some("2026-01-05T03:30:00Z")
        );
        plan(folder.path(), 2).thin(now).expect("thinned");
        let left = fs::read_dir(folder.path()).expect("a folder");
        let mut left: Vec<_> = left
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        let expected = [
            "a.db",
            "gatelodge-20260104T033000Z.db",
            "gatelodge-20260105T033000Z.db.age",
            "gatelodge.db",
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn copies_from_the_future_make_room_for_the_one_just_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = Timestamp::from_seconds(1_767_268_801);
        let made = name(now, &Seal::None);
        for name in ["gatelodge-20990101T033000Z.db", "gatelodge-20990102T033000Z.db", &made] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        plan(folder.path(), 1).thin(now).expect("thinned");
        assert_eq!(names(folder.path()).expect("a folder"), [made]);
    }
}
