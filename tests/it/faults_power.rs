//! Faults: the power fails. What the server does to its files is written down by
//! `tests/faults/power.c`; from that a disk is made as a cut at any moment may leave it: all that was
//! synced, and of the rest anything. A server that starts there has to know each deed that was
//! acknowledged before the cut, and each end.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use gatelodge::db::FILE_NAME;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    deeds::{Dice, Ledger, NO_THROTTLE, first_account, rounds, under_load},
    house::{Server, gatelodge},
    program::{folder, program, ran},
    storage::sound,
};

const SECTOR: usize = 512;

/// The shim, made anew; `None` where there is no compiler or no dynamic linker to load it.
fn shim(into: &Path) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/power.c");
    let library = into.join("power.so");
    let made = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .args([source, "-ldl", "-lpthread"])
        .status();
    if made.is_ok_and(|status| status.success()) {
        return Some(library);
    }
    println!("NOT CHECKED: a power cut needs cc; apt install build-essential");
    None
}

/// One thing that was done to the files.
struct Record<'a> {
    what: u8,
    file: u64,
    number: u64,
    name: String,
    data: &'a [u8],
    /// Where it ends in the log.
    end: u64,
}

fn records(mut log: &[u8]) -> Vec<Record<'_>> {
    const HEAD: usize = 24;
    let (mut all, mut end) = (Vec::new(), 0);
    let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight"));
    // The last one may be broken off.
    while log.len() >= HEAD {
        let name = usize::from(u16::from_ne_bytes([log[2], log[3]]));
        let data = u32::from_ne_bytes([log[4], log[5], log[6], log[7]]) as usize;
        let size = HEAD + name + data;
        let Some(whole) = log.get(..size) else { break };
        end += size as u64;
        all.push(Record {
            what: whole[0],
            file: number(&whole[8..16]),
            number: number(&whole[16..24]),
            name: String::from_utf8_lossy(&whole[HEAD..HEAD + name]).into_owned(),
            data: &whole[HEAD + name..],
            end,
        });
        log = &log[size..];
    }
    all
}

/// What a file holds for certain, and what was done to it since.
#[derive(Default)]
struct Inode<'a> {
    safe: Vec<u8>,
    /// `None`: cut to that size.
    pending: Vec<(u64, Option<&'a [u8]>)>,
    /// How much of it a sync that has begun will make safe.
    syncing: BTreeMap<u64, usize>,
}

fn apply(bytes: &mut Vec<u8>, (at, data): (u64, Option<&[u8]>)) {
    let at = usize::try_from(at).expect("small");
    match data {
        None => bytes.resize(at, 0),
        Some(data) => {
            let end = at + data.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[at..end].copy_from_slice(data);
        }
    }
}

#[derive(Clone)]
enum Renamed {
    Made(String, usize),
    Removed(String),
    Moved(String, String),
}

/// A disk, as far as the log tells of it.
#[derive(Default)]
struct Platter<'a> {
    inodes: Vec<Inode<'a>>,
    by_number: BTreeMap<u64, usize>,
    /// The names that are certain, and what was done to names since.
    names: BTreeMap<String, usize>,
    pending: Vec<Renamed>,
}

impl<'a> Platter<'a> {
    fn take(&mut self, record: &Record<'a>) {
        match record.what {
            b'C' => {
                self.by_number.insert(record.file, self.inodes.len());
                self.pending.push(Renamed::Made(record.name.clone(), self.inodes.len()));
                self.inodes.push(Inode::default());
            }
            b'U' => self.pending.push(Renamed::Removed(record.name.clone())),
            b'R' => {
                let to = String::from_utf8_lossy(record.data).into_owned();
                self.pending.push(Renamed::Moved(record.name.clone(), to));
            }
            b'D' => {
                for change in std::mem::take(&mut self.pending) {
                    rename(&mut self.names, &change);
                }
            }
            b'W' => self.of(record).pending.push((record.number, Some(record.data))),
            b'T' => self.of(record).pending.push((record.number, None)),
            b'S' => {
                let inode = self.of(record);
                inode.syncing.insert(record.number, inode.pending.len());
            }
            b'E' => {
                let inode = self.of(record);
                let count = inode.syncing.remove(&record.number).expect("it has begun");
                for change in inode.pending.drain(..count) {
                    apply(&mut inode.safe, change);
                }
                inode.syncing.values_mut().for_each(|left| *left = left.saturating_sub(count));
            }
            other => panic!("{other}"),
        }
    }

    fn of(&mut self, record: &Record<'_>) -> &mut Inode<'a> {
        &mut self.inodes[self.by_number[&record.file]]
    }

    /// Puts into `folder` what may be there after a cut now.
    fn cut(&self, folder: &Path, dice: &mut Dice) {
        let mut names = self.names.clone();
        // Names change in their order, as file systems with a journal do it.
        let kept = dice.below(self.pending.len() as u64 + 1) as usize;
        self.pending[..kept].iter().for_each(|change| rename(&mut names, change));
        // Nothing of what was not synced, all of it, or any of it, torn.
        let mood = dice.below(4);
        for (name, inode) in names {
            let inode = &self.inodes[inode];
            let mut bytes = inode.safe.clone();
            for (at, data) in &inode.pending {
                let luck = dice.below(8);
                match (mood, luck, data) {
                    (0, ..) | (2.., 0..=3, _) => {}
                    (2.., 4, Some(data)) if data.len() > SECTOR => {
                        let whole = dice.below((data.len() / SECTOR) as u64) as usize * SECTOR;
                        apply(&mut bytes, (*at, Some(&data[..whole])));
                    }
                    _ => apply(&mut bytes, (*at, *data)),
                }
            }
            fs::write(folder.join(name), bytes).expect("written");
        }
    }
}

fn rename(names: &mut BTreeMap<String, usize>, change: &Renamed) {
    match change {
        Renamed::Made(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Renamed::Removed(name) => {
            names.remove(name);
        }
        Renamed::Moved(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

/// What a server did to its files while people did things, from its first start on.
struct Recorded {
    ledger: Ledger,
    log: Vec<u8>,
    _home: TempDir,
}

fn recorded(lies: bool) -> Option<Recorded> {
    let (home, aside) = (folder(), folder());
    let library = shim(aside.path())?;
    let log = aside.path().join("log");
    let mut command = gatelodge();
    command.current_dir(home.path()).env("LD_PRELOAD", library);
    command.env("POWER_FOLDER", home.path()).env("POWER_LOG", &log);
    if lies {
        command.env("POWER_LIES", "1");
    }
    let server = Server::run(command, &NO_THROTTLE);
    let ledger = Ledger::default();
    let admin = first_account(&server);
    let moment = || fs::metadata(&log).expect("a log").len();
    under_load((&ledger, &server, &admin), &moment, |stop| {
        // Enough for checkpoints, also where syncs take long.
        for _ in 0..300 {
            thread::sleep(Duration::from_millis(50));
            if ledger.acknowledged() > if lies { 400 } else { 1500 } {
                break;
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    server.kill();
    let log = fs::read(&log).expect("a log");
    Some(Recorded { ledger, log, _home: home })
}

/// Cuts the power at so many moments; how much held, and what did not.
fn cuts(recorded: &Recorded, count: u64, dice: &mut Dice) -> (u64, u64, Vec<String>) {
    let all = records(&recorded.log);
    let mut moments: Vec<u64> =
        (0..count).map(|_| dice.below(recorded.log.len() as u64 + 1)).collect();
    // The last is after everything that was acknowledged.
    moments.push(recorded.log.len() as u64);
    moments.sort_unstable();
    let (mut platter, mut next) = (Platter::default(), 0);
    let (mut there, mut ended, mut wrong) = (0, 0, Vec::new());
    for moment in moments {
        while next < all.len() && all[next].end <= moment {
            platter.take(&all[next]);
            next += 1;
        }
        let home = folder();
        platter.cut(home.path(), dice);
        match after_the_cut(home.path(), &recorded.ledger, moment) {
            Ok(checked) => {
                (there, ended) = (there + checked.there, ended + checked.ended);
                wrong.extend(checked.wrong);
            }
            Err(why) => wrong.push(why),
        }
    }
    (there, ended, wrong)
}

fn after_the_cut(
    home: &Path,
    ledger: &Ledger,
    moment: u64,
) -> Result<super::deeds::Checked, String> {
    // Whether it opens at all, in a process that may refuse.
    let mut command = program(home);
    command.args(["user", "list"]);
    let listed = ran(command, "");
    if listed.code != 0 {
        return Err(format!("at {moment}: {}", listed.err));
    }
    let server = Server::start(home, &NO_THROTTLE);
    let mut checked = ledger.check_at(&server, moment);
    let database = Connection::open(home.join(FILE_NAME)).map_err(|error| error.to_string())?;
    let found = sound(&database);
    if found != "ok" {
        checked.wrong.push(found);
    }
    Ok(checked)
}

/// `FAULTS_CUTS` says how often, 25 times without it.
#[test]
fn what_was_acknowledged_before_a_power_cut_is_there_after_it() {
    let Some(recorded) = recorded(false) else { return };
    let (cuts_made, mut dice) = (rounds("FAULTS_CUTS", 25), Dice::new());
    let (there, ended, wrong) = cuts(&recorded, cuts_made, &mut dice);
    assert!(wrong.is_empty(), "{:#?}", &wrong[..wrong.len().min(5)]);
    assert!(there > 100 && ended > 100, "hardly anything was done: {there} {ended}");
    let truncations = records(&recorded.log).iter().filter(|one| one.what == b'E').count();
    println!(
        "{} power cuts, {} deeds acknowledged, {truncations} syncs, {there} found there and {ended} \
         found ended after them; lost: 0",
        cuts_made + 1,
        recorded.ledger.acknowledged()
    );
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out_by_the_same_test() {
    let Some(recorded) = recorded(true) else { return };
    let (_, _, wrong) = cuts(&recorded, 8, &mut Dice::new());
    assert!(!wrong.is_empty(), "the test cannot fail");
}

#[test]
fn a_file_system_that_cannot_share_a_log_is_told_of() {
    let (home, aside) = (folder(), folder());
    let Some(library) = shim(aside.path()) else { return };
    let with = |arguments: &[&str]| {
        let mut command = program(home.path());
        command.env("LD_PRELOAD", &library).env("POWER_FOLDER", home.path());
        command.env("POWER_NO_SHARING", "1").args(arguments);
        command.env("GATELODGE_SERVER__LISTEN", "127.0.0.1:0");
        ran(command, "")
    };
    let line = with(&["serve"]).in_trouble();
    assert!(line.contains("cannot share the log of a database"), "{line}");
    assert!(line.contains("put data_dir on a disk of this machine"), "{line}");
    let told = with(&["doctor", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&told.out).expect("JSON");
    let found = all.as_array().and_then(|all| all.iter().find(|one| one["name"] == "file system"));
    let found = found.expect("a check");
    assert_eq!(found["state"], "bad", "{all}");
    assert!(found["found"].as_str().is_some_and(|it| it.contains("cannot share")), "{found}");
}

#[test]
fn a_disk_that_is_slow_is_told_of() {
    let (home, aside) = (folder(), folder());
    let Some(library) = shim(aside.path()) else { return };
    let slow = |mut command: Command| {
        command.env("LD_PRELOAD", &library).env("POWER_FOLDER", home.path());
        command.env("POWER_SLOW", "250");
        command
    };
    let mut command = gatelodge();
    command.current_dir(home.path());
    let server = Server::run(slow(command), &[]);
    let token = first_account(&server);
    let state = server.json("GET", "/api/v1/system", &token, &serde_json::Value::Null).json();
    let warnings = state["warnings"].as_array().expect("a list");
    let told = warnings.iter().find(|one| one["kind"] == "disk_slow").expect("a warning");
    assert!(told["amount"].as_u64().is_some_and(|took| took >= 250), "{told}");
    server.lines("disk_slow: the disk is slow", 1);
    let mut command = slow(program(home.path()));
    command.args(["doctor", "--json"]);
    assert!(ran(command, "").out.contains("slow: writing a little takes "));
}
