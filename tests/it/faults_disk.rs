//! Faults: the disk is full, becomes read-only, is damaged; the database is locked by somebody else.
//! What writes is refused in each dialect's words, what reads goes on, and nothing is lost.

use std::{
    fs,
    io::Write,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use gatelodge::db::{Checkpoints, Db, FILE_NAME, examine::wal_of};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    deeds::{CLIENTS, Ledger, NO_THROTTLE, first_account, under_load},
    disks::Disk,
    house::{Answer, PASSWORD, Server, text},
    places::{carried, sign_ins},
    program::{folder, ran, run},
    storage::{seed_accounts, sound},
};

const PIN: &str = "2580";
/// What SQLite reads and writes at once.
const PAGE: usize = 4096;

/// An admin `ann` who can sign in everywhere; her token.
fn ann(server: &Server) -> String {
    let token = first_account(server);
    let pin = json!({"current_password": PASSWORD, "pin": PIN});
    let set = server.json("POST", "/api/v1/user/pin", &token, &pin);
    assert_eq!(set.status, 200, "{}", set.text());
    token
}

fn all_sign_in(server: &Server) -> Vec<Answer> {
    thread::scope(|scope| {
        let steps = sign_ins("ann", PASSWORD, PIN);
        let asked: Vec<_> =
            steps.into_iter().map(|(step, _)| scope.spawn(move || step.on(server))).collect();
        asked.into_iter().map(|one| one.join().expect("an answer")).collect()
    })
}

/// 503 in the shape of each dialect, with a time to come back.
#[track_caller]
fn all_are_refused(answers: &[Answer]) {
    let [native, pages, pin, pair, signup, gpodder] = answers else { panic!("six answers") };
    for answer in answers {
        assert_eq!(answer.status, 503, "{}", answer.text());
        let wait = answer.header("retry-after").parse::<u32>();
        assert!(wait.is_ok_and(|wait| wait > 0), "{}", answer.text());
        assert!(answer.header("set-cookie").is_empty());
    }
    for answer in [native, pages] {
        let message = answer.problem(503, "unavailable");
        assert!(message.contains("nothing was changed"), "{message}");
    }
    assert!(pin.json()["message"].is_string() && signup.json()["message"].is_string());
    assert!(gpodder.json()["error"].is_string(), "{}", gpodder.text());
    let body = pair.json();
    assert!(body["status"] == "error" && body["detail"].is_string(), "{body}");
}

fn kinds(server: &Server, token: &str) -> Vec<String> {
    let state = server.json("GET", "/api/v1/system", token, &Value::Null);
    assert_eq!(state.status, 200, "{}", state.text());
    let state = state.json();
    let warnings = state["warnings"].as_array().expect("a list");
    warnings.iter().map(|one| text(&one["kind"])).collect()
}

/// Waits for a line of the log.
#[track_caller]
fn said(server: &Server, part: &str) {
    let there = (0..2400).any(|_| {
        thread::sleep(Duration::from_millis(25));
        server.log().contains(part)
    });
    assert!(there, "{part:?} is not in the log: {}", server.log());
}

/// Writes until nothing more fits.
fn fill(path: &std::path::Path) {
    let mut file = fs::File::create(path).expect("a file");
    for size in [1 << 16, 1 << 12, 1 << 9] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

fn add(server: &Server, token: &str, name: &str) -> Answer {
    server.json("POST", "/api/v1/users", token, &json!({"username": name}))
}

#[test]
fn a_disk_that_is_full_is_told_of_before_and_writes_come_back_once_there_is_room() {
    let Some(disk) = Disk::small("48m") else { return };
    let server = disk.serve(&NO_THROTTLE);
    let token = ann(&server);
    said(&server, "disk_low: the disk is nearly full");
    let told = kinds(&server, &token);
    assert!(told.contains(&"disk_low".to_owned()) && told.contains(&"file_system".to_owned()));
    let ledger = Ledger::default();
    let work = |least: u64| {
        under_load((&ledger, &server, &token), &|| 0, |stop| {
            ledger.wait_for(least);
            stop.store(true, Ordering::Relaxed);
        });
    };
    work(60);

    let filler = disk.path("filler");
    fill(&filler);
    // What the log has already is written over first.
    let full = (0..2000).any(|count| add(&server, &token, &format!("f{count}")).status == 503);
    assert!(full, "it never got full");
    let known = server.json("GET", "/api/v1/users", &token, &Value::Null).json()["total"].clone();
    all_are_refused(&all_sign_in(&server));
    for _ in 0..3 {
        add(&server, &token, "refused").problem(503, "unavailable");
        assert_eq!(server.json("GET", "/api/v1/user", &token, &Value::Null).status, 200);
    }
    let guess = json!({"username": "ann", "password": "Wrong-guess-1"});
    server.json("POST", "/api/v1/auth/login", "", &guess).problem(401, "unauthorized");
    let told = kinds(&server, &token);
    for kind in ["storage_failing", "disk_full"] {
        assert!(told.contains(&kind.to_owned()), "{kind}: {told:?}");
        said(&server, &format!("what=\"{kind}: "));
    }
    let users = server.json("GET", "/api/v1/users", &token, &Value::Null).json();
    assert_eq!(users["total"], known, "what is refused is not there");

    fs::remove_file(&filler).expect("removed");
    assert_eq!(add(&server, &token, "after").status, 201);
    carried(&all_sign_in(&server));
    said(&server, "storage_failing is over");
    said(&server, "disk_full is over");
    // Whoever guessed meanwhile is written down now.
    said(&server, " login_failure client=127.0.0.1");
    work(120);
    for part in ["\"storage_failing: ", "\"disk_full: "] {
        assert_eq!(server.log().matches(part).count(), 1, "once: {}", server.log());
    }
    let checked = ledger.check_at(&server, u64::MAX);
    assert!(checked.wrong.is_empty() && checked.there > 10, "{checked:?}");
    server.kill();

    fill(&filler);
    let mut command = disk.program();
    command.env("GATELODGE_SERVER__LISTEN", "127.0.0.1:0").arg("doctor").arg("--json");
    let doctor = ran(command, "");
    assert!(doctor.code == 1 && doctor.out.contains("MiB free"), "{}", doctor.out);
    // Without the room that the log left behind.
    fs::remove_file(disk.path("gatelodge.db-shm")).expect("a file");
    fill(&disk.path("more"));
    let mut command = disk.program();
    command.env("GATELODGE_SERVER__LISTEN", "127.0.0.1:0");
    let line = ran(command, "").in_trouble();
    assert!(line.contains("the disk is full: 0 KiB are free"), "{line}");
    fs::remove_file(&filler).expect("removed");
    let server = disk.serve(&NO_THROTTLE);
    let checked = ledger.check_at(&server, u64::MAX);
    assert!(checked.wrong.is_empty(), "{checked:?}");
}

#[test]
fn a_disk_that_becomes_read_only_is_told_of_and_nothing_is_lost() {
    let Some(disk) = Disk::that_fails("64m") else { return };
    let server = disk.serve(&NO_THROTTLE);
    let token = ann(&server);
    let (ledger, failing) = (Ledger::default(), AtomicU64::new(0));
    under_load((&ledger, &server, &token), &|| failing.load(Ordering::SeqCst), |_| {
        ledger.wait_for(60);
        failing.store(1, Ordering::SeqCst);
        disk.fail();
    });
    assert!(ledger.acknowledged() >= 60, "hardly anything was done before");
    all_are_refused(&all_sign_in(&server));
    assert_eq!(server.json("GET", "/api/v1/user", &token, &Value::Null).status, 200);
    let told = kinds(&server, &token);
    for kind in ["storage_failing", "read_only"] {
        assert!(told.contains(&kind.to_owned()), "{kind}: {told:?}");
        said(&server, &format!("what=\"{kind}: "));
    }
    let mut command = disk.program();
    command.env("GATELODGE_SERVER__LISTEN", server.address.to_string()).args(["doctor", "--json"]);
    let doctor = ran(command, "");
    assert!(doctor.code == 1 && doctor.out.contains("ext4, read-only"), "{}", doctor.out);
    let (_, log) = server.terminate();
    assert!(!log.contains("panic"), "{log}");

    let mut command = disk.program();
    command.env("GATELODGE_SERVER__LISTEN", "127.0.0.1:0");
    let line = ran(command, "").in_trouble();
    assert!(line.to_lowercase().contains("read-only"), "{line}");

    let here = disk.folder().display();
    disk.sh(&format!(
        "cd / && device=$(findmnt -n -o SOURCE {here}) && \
         image=$(losetup -n -O BACK-FILE \"$device\") && umount {here} && \
         {{ e2fsck -fy \"$image\" >/dev/null; [ $? -le 1 ]; }} && mount -o loop \"$image\" {here}"
    ));
    let server = disk.serve(&NO_THROTTLE);
    let checked = ledger.check_settled_at(&server, 0);
    assert!(checked.wrong.is_empty() && checked.there > 3, "{checked:?}");
    // In the very moment in which it gives up, the kernel answers some syncs without doing them: what
    // was in flight then may have been acknowledged and be gone. Later nothing is acknowledged.
    let in_flight = ledger.check_at(&server, u64::MAX).wrong;
    assert!(in_flight.len() <= CLIENTS, "{in_flight:?}");
    assert_eq!(add(&server, &token, "after").status, 201);
}

#[test]
fn a_database_that_another_process_locks_is_waited_for_and_then_refused_until_it_is_free() {
    let home = folder();
    let server = Server::start(home.path(), &NO_THROTTLE);
    let token = ann(&server);
    // Another process for the server.
    let other = Connection::open(home.path().join(FILE_NAME)).expect("the database");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    thread::scope(|scope| {
        let refused = scope.spawn(|| all_sign_in(&server));
        for _ in 0..20 {
            let me = server.json("GET", "/api/v1/user", &token, &Value::Null);
            assert_eq!(me.status, 200, "a token is checked meanwhile");
        }
        all_are_refused(&refused.join().expect("answers"));
    });
    assert!(kinds(&server, &token).contains(&"storage_failing".to_owned()));
    let waits = thread::scope(|scope| {
        let waits = scope.spawn(|| add(&server, &token, "patient"));
        thread::sleep(Duration::from_millis(300));
        other.execute_batch("COMMIT").expect("let go");
        waits.join().expect("an answer")
    });
    assert_eq!(waits.status, 201, "whoever waits less than that is served");
    carried(&all_sign_in(&server));
    assert!(!kinds(&server, &token).contains(&"storage_failing".to_owned()));
    said(&server, "storage_failing is over");
}

/// A house whose accounts lie on pages that were written over, except the first; its admin's password.
fn damaged(home: &std::path::Path) -> String {
    let out = run(home, &["user", "add", "ann", "--generate"]).succeeded();
    let file = home.join(FILE_NAME);
    let database = Connection::open(&file).expect("the database");
    seed_accounts(&database, 5000);
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("moved");
    database.close().expect("closed");
    let mut bytes = fs::read(&file).expect("a file");
    let pages = bytes.len() / PAGE;
    for number in pages / 3..pages * 2 / 3 {
        bytes[number * PAGE..number * PAGE + 64].fill(0xAA);
    }
    fs::write(&file, bytes).expect("written");
    super::program::generated(&out)
}

#[test]
fn damaged_pages_end_requests_and_not_the_process_and_are_found_by_doctor_and_backup() {
    let home = folder();
    let password = damaged(home.path());
    let server = Server::start(home.path(), &NO_THROTTLE);
    let body = json!({"username": "ann", "password": password});
    let login = server.json("POST", "/api/v1/auth/login", "", &body);
    assert_eq!(login.status, 200, "{}", login.text());
    let token = text(&login.json()["token"]);
    let mut hurt = 0;
    for page in 1..=26 {
        let path = format!("/api/v1/users?page_size=200&page={page}");
        let list = server.json("GET", &path, &token, &Value::Null);
        if list.status != 200 {
            let message = list.problem(503, "unavailable");
            assert!(!message.contains("malformed"), "{message}");
            hurt += 1;
        }
    }
    for number in (1..5000).step_by(50) {
        let body = json!({"username": format!("user{number}"), "password": "Wrong-guess-1"});
        let status = server.json("POST", "/api/v1/auth/login", "", &body).status;
        assert!([401, 503].contains(&status), "{status}");
        hurt += u32::from(status == 503);
    }
    assert!(hurt > 0, "the damage is never met");
    let health = server.ask("GET", "/health", &[], "").expect("an answer");
    assert_eq!(health.status, 200, "{}", health.text());
    assert_eq!(server.json("GET", "/api/v1/user", &token, &Value::Null).status, 200);

    let copy = server.json("POST", "/api/v1/system/backup", &token, &Value::Null);
    assert!([500, 503].contains(&copy.status), "{}", copy.status);
    let target = home.path().join("copy.db");
    let backup = run(home.path(), &["backup", target.to_str().expect("text")]);
    assert_ne!(backup.code, 0, "{}", backup.out);
    assert!(!target.exists(), "{}", backup.err);
    let mut command = super::program::program(home.path());
    command.env("GATELODGE_SERVER__LISTEN", server.address.to_string()).args(["doctor", "--json"]);
    let doctor = ran(command, "");
    assert!(doctor.code == 1 && doctor.out.contains("damaged: "), "{}", doctor.out);
    let (ended_well, log) = server.terminate();
    assert!(ended_well && !log.contains(" panic "), "{log}");
    assert!(log.contains("trouble kind=storage"), "{log}");
}

#[test]
fn a_folder_of_somebody_else_is_told_of() {
    let home = folder();
    run(home.path(), &["user", "add", "ann", "--generate"]).succeeded();
    // SAFETY: asks for a number and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("NOT CHECKED: only root can give files away");
        return;
    }
    let server = Server::start(home.path(), &[]);
    std::os::unix::fs::chown(home.path().join(FILE_NAME), Some(12_345), None).expect("given away");
    let out = run(home.path(), &["doctor", "--json"]).out;
    assert!(out.contains("belongs to user 12345"), "{out}");
    server.kill();
    let server = Server::start(home.path(), &[]);
    said(&server, "wrong_owner: ");
}

#[tokio::test]
async fn a_newer_or_foreign_database_that_died_with_a_log_keeps_it() {
    let home = folder();
    drop(Db::open(home.path(), Checkpoints::Own).expect("a database"));
    let file = home.path().join(FILE_NAME);
    let newer = Connection::open(&file).expect("ours");
    newer.pragma_update(None, "wal_autocheckpoint", 0).expect("set");
    newer.pragma_update(None, "user_version", 999).expect("a version");
    let (before, log) = (fs::read(&file).expect("a file"), fs::read(wal_of(&file)).expect("a log"));
    // What a process leaves that is killed.
    let copy = folder();
    fs::write(copy.path().join(FILE_NAME), &before).expect("written");
    fs::write(wal_of(&copy.path().join(FILE_NAME)), &log).expect("written");
    assert!(Db::open(copy.path(), Checkpoints::Own).is_err());
    assert!(Db::open_claimed(copy.path(), Checkpoints::Own).is_err());
    let file = copy.path().join(FILE_NAME);
    assert!(
        fs::read(&file).expect("a file") == before && fs::read(wal_of(&file)).expect("it") == log
    );
    drop(newer);
    assert_eq!(sound(&Connection::open(&file).expect("it")), "ok");
}
