//! `gatelodge backup`, copies by the clock, and the drill.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use gatelodge::domain::{
    backups::{nightly::Nightly, seal::Seal},
    secret::Secret,
};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    house::{House, PASSWORD, Server, text},
    program::{Ran, folder, program, ran, run, run_with_input},
};

const WORD: &str = "thirty-two bytes or more: a walnut tree";

/// A house with the admin `ann`.
fn lived_in() -> TempDir {
    let home = folder();
    let arguments = ["user", "add", "ann", "--email", "ann@example.org", "--password-stdin"];
    run_with_input(home.path(), &arguments, PASSWORD).succeeded();
    home
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn accounts(copy: &Path) -> i64 {
    let copy = Connection::open(copy).expect("a database");
    let check: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it");
    assert_eq!(check, "ok");
    copy.query_row("SELECT count(*) FROM accounts", [], |row| row.get(0)).expect("a count")
}

fn with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Ran {
    let mut command = program(folder);
    command.args(arguments).envs(environment.iter().copied());
    ran(command, input)
}

/// Runs a program of age, or says that it is not there.
fn age(arguments: &[&str], folder: &Path) -> Option<std::process::Output> {
    let (program, rest) = arguments.split_first().expect("a program");
    let done = Command::new(program).args(rest).current_dir(folder).output();
    if done.is_err() {
        println!("NOT CHECKED: {program} is not installed; apt install age");
    }
    done.ok()
}

#[test]
fn a_copy_is_whole_while_a_server_writes_and_is_for_its_owner_alone() {
    let (home, away) = (lived_in(), folder());
    let server = Server::start(home.path(), &[]);
    let body = json!({"username": "ann", "password": PASSWORD});
    let token = text(&server.json("POST", "/api/v1/auth/login", "", &body).json()["token"]);
    let copies: Vec<_> = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for count in 0..30 {
                let body = json!({"username": format!("p{count}")});
                assert_eq!(server.json("POST", "/api/v1/users", &token, &body).status, 201);
            }
        });
        let copies = (0..4).map(|count| {
            let path = away.path().join(format!("{count}.db"));
            let arguments = ["backup", path.to_str().expect("a path")];
            (run(home.path(), &arguments).succeeded(), path)
        });
        let copies = copies.collect();
        writer.join().expect("written");
        copies
    });
    for (told, path) in &copies {
        let many = accounts(path);
        let counted = if many == 1 { "1 account,".to_owned() } else { format!("{many} accounts,") };
        assert!(told.contains(&counted) && told.contains("found sound"), "{told}");
        assert!(told.contains("It holds the master secret") && told.contains("--drill"), "{told}");
        assert_eq!(fs::metadata(path).expect("a file").mode() & 0o777, 0o600);
    }
    assert_eq!(names(away.path()), ["0.db", "1.db", "2.db", "3.db"]);
    let list = server.json("GET", "/api/v1/events?kind=backup_made", &token, &Value::Null).json();
    assert_eq!((&list["total"], &list["data"][0]["detail"]), (&json!(4), &json!("3.db")));
    let system = server.json("GET", "/api/v1/system", &token, &Value::Null).json();
    assert_eq!(system["last_backup_at"], list["data"][0]["at"]);
}

#[test]
fn nothing_is_written_over_and_nothing_is_left_where_a_copy_fails() {
    let (home, away) = (lived_in(), folder());
    let path = away.path().join("copy.db");
    let shown = path.to_str().expect("a path");
    fs::write(&path, "mine").expect("written");
    let line = run(home.path(), &["backup", shown]).in_trouble();
    assert!(line.contains("is there already: name another file"), "{line}");
    assert_eq!(fs::read_to_string(&path).expect("a file"), "mine");
    let nowhere = away.path().join("no/such/folder/copy.db");
    let line = run(home.path(), &["backup", nowhere.to_str().expect("a path")]).in_trouble();
    assert!(line.contains("No such file or directory"), "{line}");
    let line = run(home.path(), &["backup", "--recipient", "age1nobody", "b.db"]).refused();
    assert!(line.contains("no public key of age"), "{line}");
    let long = ["backup", "--passphrase", "b.db"];
    let line = run_with_input(home.path(), &long, "short\n").refused();
    assert!(line.contains("at least 12 characters") && !line.contains("short"), "{line}");
    assert_eq!(names(away.path()), ["copy.db"]);
    // A program that ends at once may leave the log of the database to the next.
    let left = names(home.path());
    assert!(left.iter().all(|name| name.starts_with("gatelodge.db")), "{left:?}");
}

#[test]
fn a_damaged_database_gives_no_copy() {
    let home = lived_in();
    let path = home.path().join("gatelodge.db");
    let mut bytes = fs::read(&path).expect("a database");
    // The tables' pages, and not the first, which says what they are.
    for byte in &mut bytes[4096 * 3..4096 * 40] {
        *byte ^= 0x5a;
    }
    fs::write(&path, bytes).expect("written");
    let ran = run(home.path(), &["backup", "copy.db"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    assert!(ran.err.contains("malformed") || ran.err.contains("not sound"), "{}", ran.err);
    assert_eq!(names(home.path()).iter().filter(|name| name.contains("copy")).count(), 0);
}

#[test]
fn a_copy_to_standard_output_is_the_copy_alone() {
    let home = lived_in();
    let mut command = program(home.path());
    let done = command.args(["backup", "-"]).output().expect("the program");
    assert!(done.status.success());
    let told = String::from_utf8(done.stderr).expect("text");
    assert!(told.starts_with("standard output: 1 account,"), "{told}");
    let path = home.path().join("piped.db");
    fs::write(&path, done.stdout).expect("written");
    assert_eq!(accounts(&path), 1);
}

#[test]
fn an_encrypted_copy_is_a_file_of_age_that_age_opens_too() {
    let home = lived_in();
    if age(&["age-keygen", "-o", "key.txt"], home.path()).is_none() {
        return;
    }
    let made = fs::read_to_string(home.path().join("key.txt")).expect("a key");
    let public = made.lines().find_map(|line| line.strip_prefix("# public key: ")).expect("one");
    let told = run(home.path(), &["backup", "--recipient", public, "copy.db.age"]).succeeded();
    assert!(told.contains(", encrypted,") && !told.contains("master secret"), "{told}");
    let opened = ["age", "-d", "-i", "key.txt", "-o", "opened.db", "copy.db.age"];
    assert!(age(&opened, home.path()).expect("age").status.success());
    assert_eq!(accounts(&home.path().join("opened.db")), 1);
    let drill = ["backup", "--drill", "--identity", "key.txt", "copy.db.age"];
    let told = run(home.path(), &drill).succeeded();
    assert!(told.contains("ann signed in there"), "{told}");
    let line = run(home.path(), &["backup", "--drill", "copy.db.age"]).refused();
    assert!(line.contains("--identity") && line.contains("nothing was changed"), "{line}");
}

#[test]
fn a_passphrase_of_the_configuration_opens_what_it_sealed() {
    let home = lived_in();
    let environment = [("GATELODGE_BACKUP__PASSPHRASE", WORD)];
    with(home.path(), &["backup", "copy.db.age"], &environment, "").succeeded();
    let bytes = fs::read(home.path().join("copy.db.age")).expect("a copy");
    assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    let told = with(home.path(), &["backup", "--drill", "copy.db.age"], &environment, "");
    assert!(told.succeeded().contains("The copy is good"));
    let asked = ["backup", "--drill", "--passphrase", "copy.db.age"];
    run_with_input(home.path(), &asked, &format!("{WORD}\n")).succeeded();
    let line = run_with_input(home.path(), &asked, "another walnut tree\n").refused();
    assert!(line.contains("sealed to another passphrase or key"), "{line}");
    assert!(!line.contains("walnut"), "{line}");
    with(home.path(), &["backup", "--plain", "plain.db"], &environment, "").succeeded();
    assert_eq!(accounts(&home.path().join("plain.db")), 1);
}

#[test]
fn a_drill_leaves_no_trace_and_knows_a_bad_copy() {
    let (home, away, scratch) = (lived_in(), folder(), folder());
    let path = away.path().join("copy.db");
    let shown = path.to_str().expect("a path");
    run(home.path(), &["backup", shown]).succeeded();
    let before = fs::read(home.path().join("gatelodge.db")).expect("a database");
    let drill = || {
        let place = scratch.path().to_str().expect("a path");
        with(home.path(), &["backup", "--drill", shown], &[("TMPDIR", place)], "")
    };
    let told = drill().succeeded();
    for says in ["whole and sound", "a server serves it", "ann signed in there", "is good"] {
        assert!(told.contains(says), "{told}");
    }
    let bytes = fs::read(&path).expect("a copy");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("cut");
    let ran = drill();
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("the copy is damaged"), "{}", ran.err);
    assert!(names(scratch.path()).is_empty());
    assert!(fs::read(home.path().join("gatelodge.db")).expect("a database") == before);
}

#[test]
fn root_gets_the_copy_where_the_owner_of_the_data_may_not_write() {
    const OWNER: u32 = 54321;
    let (home, away) = (lived_in(), folder());
    for path in [home.path().to_owned(), home.path().join("gatelodge.db")] {
        if chown(path, Some(OWNER), Some(OWNER)).is_err() {
            println!("NOT CHECKED: only root can give folders away");
            return;
        }
    }
    let path = away.path().join("copy.db");
    let shown = path.to_str().expect("a path");
    let ran = run(home.path(), &["backup", shown]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.starts_with(&format!("{shown}: 1 account,")), "{}", ran.err);
    assert_eq!(accounts(&path), 1);
    assert_eq!(fs::metadata(&path).expect("a copy").uid(), 0);
    let line = run(home.path(), &["backup", shown]).in_trouble();
    assert!(line.contains("is there already"), "{line}");
    let sealed = away.path().join("sealed.db.age");
    let sealed = ["backup", "--passphrase", sealed.to_str().expect("a path")];
    assert_eq!(run_with_input(home.path(), &sealed, "short\n").code, 1);
    assert_eq!(run_with_input(home.path(), &sealed, &format!("{WORD}\n")).code, 0);
    assert_eq!(names(away.path()), ["copy.db", "sealed.db.age"]);
    let owners = fs::read_dir(home.path()).expect("a folder");
    for file in owners.map(|entry| entry.expect("an entry")) {
        assert_eq!(file.metadata().expect("data").uid(), OWNER, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn a_download_is_sealed_where_the_configuration_says_so() {
    let seal = Seal::Passphrase(Secret::new(WORD), 10);
    let house = House::lived_in_with(|plan| plan.settings.seal = seal).await;
    let token = house.token("ann").await;
    let answer = house.post("/api/v1/system/backup").bearer(&token).send().await;
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"gatelodge.db.age\"");
    assert!(answer.body.starts_with(b"age-encryption.org/v1\n"));
    let left = names(house.folder());
    assert!(left.iter().all(|name| name.starts_with("gatelodge.db")), "{left:?}");
    let (away, path) = (folder(), house.folder().join("x.db.age"));
    fs::write(&path, &answer.body).expect("written");
    let drill = ["backup", "--drill", "--passphrase", path.to_str().expect("a path")];
    run_with_input(away.path(), &drill, &format!("{WORD}\n")).succeeded();
}

/// Copies that are being made, or to be handed out.
fn scratches(house: &House) -> Vec<String> {
    let mut names = names(house.folder());
    names.retain(|name| name.starts_with("gatelodge-copy-"));
    names
}

async fn until(reached: impl Fn() -> bool) {
    for _ in 0..800 {
        if reached() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never came so far");
}

/// Copies are asked for while the one thread that waits for disks has something else to do.
async fn copies_given_up() {
    let house = House::lived_in().await;
    let token = house.token("ann").await;
    // Remembered: nobody who asks needs the disk.
    assert_eq!(house.get("/api/v1/user").bearer(&token).send().await.status, 200);
    let ask = || house.post("/api/v1/system/backup").bearer(&token).send();
    let (free, busy) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || busy.recv());
    tokio::select! {
        _ = ask() => panic!("the thread is not busy"),
        () = until(|| scratches(&house).len() == 1) => {}
    }
    // The first is hung up on.
    let begun = scratches(&house);
    assert_eq!(begun.len(), 1, "what is written to is there until it is written");
    let mut again = Box::pin(ask());
    let moment = tokio::time::sleep(Duration::from_millis(200));
    tokio::select! {
        _ = &mut again => panic!("the thread is not busy"),
        () = moment => assert_eq!(scratches(&house), begun, "one at a time"),
    }
    drop(free);
    assert_eq!(again.await.status, 200);
    until(|| scratches(&house).is_empty()).await;
}

#[test]
fn a_copy_that_is_hung_up_on_keeps_its_turn_and_leaves_nothing() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build().expect("a runtime");
    runtime.block_on(copies_given_up());
}

/// A house that makes copies at half past three into `folder`, once somebody starts that.
async fn for_the_clock(folder: &Path) -> House {
    let plan = Nightly { hour: 3, minute: 30, folder: folder.to_owned(), keep: 2 };
    House::lived_in_with(|all| all.settings.nightly = Some(plan)).await
}

/// Starts it; what it tells.
fn started(house: &House) -> Arc<Mutex<Vec<String>>> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let tell = move |line: &str| heard.lock().expect("unpoisoned").push(line.to_owned());
    tokio::spawn(house.core.clone().nightly_copies(tell));
    told
}

async fn by_the_clock(folder: &Path) -> (House, Arc<Mutex<Vec<String>>>) {
    let house = for_the_clock(folder).await;
    let told = started(&house);
    (house, told)
}

/// The database takes no event of a copy, as on a disk that is full.
fn no_events(database: &Path) {
    let file = Connection::open(database).expect("the database");
    file.execute_batch(
        "CREATE TRIGGER no_events BEFORE INSERT ON events WHEN NEW.kind = 'backup_made'
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;",
    )
    .expect("a trigger");
}

/// Why the last copy by the clock failed, as an admin sees it.
async fn failed(house: &House) -> Option<String> {
    let token = house.token("ann").await;
    let system = house.get("/api/v1/system").bearer(&token).send().await.json();
    let warnings = system["warnings"].as_array().expect("a list");
    let warned = warnings.iter().find(|one| one["kind"] == "backup_failed");
    warned.map(|one| text(&one["message"]))
}

async fn until_told(told: &Mutex<Vec<String>>) -> String {
    for _ in 0..800 {
        if let Some(line) = told.lock().expect("unpoisoned").pop() {
            return line;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nothing was told");
}

#[tokio::test]
async fn a_copy_that_was_slept_through_is_made_at_once_and_old_ones_go() {
    let place = folder();
    for day in ["20251228", "20251229", "20251230"] {
        fs::write(place.path().join(format!("gatelodge-{day}T033000Z.db")), "").expect("written");
    }
    let (house, told) = by_the_clock(place.path()).await;
    let line = until_told(&told).await;
    assert!(line.contains("2 accounts") && line.contains("20260101T000000Z.db is made"), "{line}");
    for _ in 0..800 {
        if names(place.path()).len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let left = names(place.path());
    assert_eq!(left, ["gatelodge-20251230T033000Z.db", "gatelodge-20260101T000000Z.db"]);
    assert_eq!(accounts(&place.path().join(&left[1])), 2);
    let token = house.token("ann").await;
    let system = house.get("/api/v1/system").bearer(&token).send().await.json();
    assert_eq!(system["last_backup_at"], "2026-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_copy_by_the_clock_that_fails_is_told_of_and_keeps_the_older_ones() {
    let place = folder();
    fs::write(place.path().join("gatelodge-20251228T033000Z.db"), "").expect("written");
    fs::write(place.path().join("gatelodge-20260101T000000Z.db.partial"), "").expect("written");
    let (house, told) = by_the_clock(place.path()).await;
    let line = until_told(&told).await;
    assert!(line.starts_with("backup: ") && line.contains("is there already"), "{line}");
    let warned = failed(&house).await.expect("a warning");
    assert!(warned.contains("is there already"), "{warned}");
    assert!(names(place.path()).contains(&"gatelodge-20251228T033000Z.db".to_owned()));
}

#[tokio::test]
async fn copies_by_the_clock_are_thinned_and_count_while_no_event_can_be_written() {
    let place = folder();
    for day in ["20251228", "20251229", "20251230"] {
        fs::write(place.path().join(format!("gatelodge-{day}T033000Z.db")), "").expect("written");
    }
    let house = for_the_clock(place.path()).await;
    no_events(&house.database());
    let told = started(&house);
    let line = until_told(&told).await;
    assert!(line.contains("20260101T000000Z.db is made"), "{line}");
    assert!(line.contains("no event tells of it") && line.contains("the disk is full"), "{line}");
    let left = names(place.path());
    assert_eq!(left, ["gatelodge-20251230T033000Z.db", "gatelodge-20260101T000000Z.db"]);
    assert_eq!(failed(&house).await, None, "the copy is there");
}

#[tokio::test]
async fn older_copies_that_cannot_go_are_told_of_and_the_new_one_counts() {
    let place = folder();
    // No file, so that not even root removes it as one.
    fs::create_dir(place.path().join("gatelodge-20251228T033000Z.db")).expect("a folder");
    fs::write(place.path().join("gatelodge-20251229T033000Z.db"), "").expect("written");
    let (house, told) = by_the_clock(place.path()).await;
    let line = until_told(&told).await;
    assert!(line.contains("is made") && line.contains("; older ones stay: "), "{line}");
    let warned = failed(&house).await.expect("a warning");
    assert!(warned.contains("it is made, but older ones stay"), "{warned}");
}

#[test]
fn a_copy_stays_when_no_event_can_be_written_and_says_so() {
    let (home, away) = (lived_in(), folder());
    no_events(&home.path().join("gatelodge.db"));
    let path = away.path().join("copy.db");
    let told = run(home.path(), &["backup", path.to_str().expect("a path")]).succeeded();
    assert!(told.contains("found sound") && told.contains("No event tells of it"), "{told}");
    assert_eq!(accounts(&path), 1);
}

#[test]
fn a_running_server_makes_the_copy_that_is_due_and_keeps_it_in_its_folder() {
    let home = lived_in();
    fs::create_dir(home.path().join("backups")).expect("a folder");
    let old = home.path().join("backups/gatelodge-20200101T033000Z.db");
    fs::write(old, "").expect("written");
    let server = Server::start(home.path(), &[("GATELODGE_BACKUP__SCHEDULE", "03:30")]);
    server.lines("1 account, 0 sessions, 0 API keys", 1);
    let copies = names(&home.path().join("backups"));
    assert_eq!(copies.len(), 2, "{copies:?}");
    assert_eq!(accounts(&home.path().join("backups").join(&copies[1])), 1);
}
