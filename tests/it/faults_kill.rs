//! Faults: the process is killed, or told to stop, while people do things.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use gatelodge::db::FILE_NAME;
use rusqlite::Connection;

use super::{
    deeds::{Dice, Ledger, NO_THROTTLE, admin, first_account, rounds, under_load},
    house::Server,
    program::{folder, program},
    storage::sound,
};

fn is_sound(folder: &Path) {
    let database = Connection::open(folder.join(FILE_NAME)).expect("the database");
    assert_eq!(sound(&database), "ok");
}

/// While it takes over what the last one left.
fn killed_at_its_start(folder: &Path, moment: Duration) {
    let mut command = program(folder);
    command.env("GATELODGE_SERVER__LISTEN", "127.0.0.1:0");
    let mut started = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("it");
    thread::sleep(moment);
    started.kill().expect("kill");
    started.wait().expect("an end");
}

/// `FAULTS_KILLS` says how often, twenty times without it.
#[test]
fn what_was_acknowledged_before_a_kill_is_there_and_what_was_ended_stays_ended() {
    let (home, ledger, mut dice) = (folder(), Ledger::default(), Dice::new());
    let kills = rounds("FAULTS_KILLS", 20);
    let mut server = Server::start(home.path(), &NO_THROTTLE);
    first_account(&server);
    let (mut there, mut ended) = (0, 0);
    for round in 1..=kills {
        let token = admin(&server);
        // Every second round lasts until each of the clients has ended something; the others may be
        // killed with their first deed.
        let surely = if round % 2 == 1 { 60 } else { 0 };
        let least = ledger.acknowledged() + surely + dice.below(300);
        let moment = Duration::from_micros(dice.below(10_000));
        under_load((&ledger, &server, &token), &|| 0, |_| {
            ledger.wait_for(least);
            // Anywhere within a deed, not only right after one.
            thread::sleep(moment);
            let killed = Command::new("kill").args(["-9", &server.pid().to_string()]).status();
            assert!(killed.expect("kill").success());
        });
        server.kill();
        if round.is_multiple_of(4) {
            killed_at_its_start(home.path(), Duration::from_millis(dice.below(60)));
        }
        server = Server::start(home.path(), &NO_THROTTLE);
        let checked = ledger.check_new(&server, &mut dice);
        assert!(checked.wrong.is_empty(), "kill {round}: {:#?}", checked.wrong);
        (there, ended) = (there + checked.there, ended + checked.ended);
        is_sound(home.path());
    }
    let all = ledger.check_at(&server, u64::MAX);
    assert!(all.wrong.is_empty(), "{:#?}", all.wrong);
    assert!(all.there > kills && all.ended > kills, "hardly anything was done: {all:?}");
    println!(
        "{kills} kills, {} deeds acknowledged, {there} found there and {ended} found ended after \
         them, at the end {} and {}; lost: 0",
        ledger.acknowledged(),
        all.there,
        all.ended
    );
}

/// Requests of the load that a server answered with success, as its log says.
fn answered(log: &str) -> u64 {
    let lines = log.lines().filter(|line| line.contains(" info request "));
    let lines = lines.filter(|line| !line.contains("method=GET") && line.contains(" status=2"));
    lines.count() as u64
}

#[test]
fn a_stop_under_load_finishes_what_was_begun_and_keeps_what_was_acknowledged() {
    let (home, mut dice, ledger) = (folder(), Dice::new(), Ledger::default());
    let server = Server::start(home.path(), &NO_THROTTLE);
    first_account(&server);
    server.terminate();
    for _ in 0..5 {
        let server = Server::start(home.path(), &NO_THROTTLE);
        let token = admin(&server);
        let before = ledger.acknowledged();
        // After a whole life, eight deeds at the most, something of it is there.
        let least = before + 10 + dice.below(60);
        let moment = Duration::from_micros(dice.below(10_000));
        under_load((&ledger, &server, &token), &|| 0, |_| {
            ledger.wait_for(least);
            thread::sleep(moment);
            let told = Command::new("kill").arg(server.pid().to_string()).status();
            assert!(told.expect("kill").success());
        });
        let (ended_well, log) = server.terminate();
        assert!(ended_well && log.ends_with("stopped\n"), "{log}");
        assert!(!log.contains(" status=5"), "{log}");
        // The admin's sign-in, and then the load: each answer arrived, and whole.
        assert_eq!(answered(&log) - 1, ledger.acknowledged() - before, "{log}");
        let wal = home.path().join(format!("{FILE_NAME}-wal"));
        assert!(!wal.exists(), "everything is in the file");
        is_sound(home.path());
        let server = Server::start(home.path(), &NO_THROTTLE);
        let checked = ledger.check_new(&server, &mut dice);
        assert!(checked.wrong.is_empty() && checked.there > 0, "{:#?}", checked.wrong);
    }
}
