//! The database file: whose it is, what guards it, what happens when it cannot be used.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
    time::Duration,
};

use gatelodge::db::{Checkpoints, Db, DbError, FILE_NAME, migrate};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::house::{House, PASSWORD, Server, gatelodge, text};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

/// Runs a command that must not come to an end well; its one line.
fn trouble(mut command: Command) -> String {
    let output = command.output().expect("an end");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    let line = err.trim_end().strip_prefix("gatelodge: ");
    line.unwrap_or_else(|| panic!("{err}")).to_owned()
}

fn serve_in(folder: &Path) -> Command {
    let mut command = gatelodge();
    command.current_dir(folder).env("GATELODGE_SERVER__LISTEN", "127.0.0.1:0");
    command
}

fn first_account(server: &Server) -> String {
    let body = json!({"username": "ann", "email": "ann@example.org", "password": PASSWORD});
    let made = server.json("POST", "/api/v1/setup/initialize", "", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    text(&made.json()["token"])
}

fn add(server: &Server, token: &str, name: &str) -> super::house::Answer {
    let body = json!({"username": name, "password": PASSWORD});
    server.json("POST", "/api/v1/users", token, &body)
}

#[test]
fn the_file_and_the_folder_are_for_their_owner_alone() {
    let home = folder();
    let server = Server::start(home.path(), &[("GATELODGE_DATA_DIR", "a/b")]);
    first_account(&server);
    for made in ["a", "a/b"] {
        assert_eq!(mode(&home.path().join(made)), 0o700, "{made}");
    }
    let files: Vec<_> = fs::read_dir(home.path().join("a/b"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert!(files.len() >= 3, "database, WAL, lock: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_file_that_others_could_read_is_narrowed_and_a_folder_that_was_there_is_left_alone() {
    let home = folder();
    set_mode(home.path(), 0o755);
    drop(Db::open(home.path(), Checkpoints::Own).expect("a database"));
    let file = home.path().join(FILE_NAME);
    set_mode(&file, 0o644);
    drop(Db::open(home.path(), Checkpoints::Own).expect("a database"));
    assert_eq!((mode(&file), mode(home.path())), (0o600, 0o755));
}

#[tokio::test]
async fn every_connection_writes_ahead_syncs_fully_and_keeps_references() {
    let home = folder();
    let db = Db::open(home.path(), Checkpoints::Own).expect("a database");
    let pragmas = |connection: &Connection| {
        let number = |name: &str| {
            connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
        };
        let journal: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        let rest = ["synchronous", "foreign_keys", "secure_delete", "busy_timeout"];
        let rest = rest.iter().map(|name| number(name)).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, DbError>((journal, rest))
    };
    // FULL is 2.
    let right = ("wal".to_owned(), vec![2, 1, 1, 5000]);
    assert_eq!(db.read(pragmas).await.expect("a reader"), right);
    assert_eq!(db.write(move |writer| pragmas(writer)).await.expect("the writer"), right);
}

#[tokio::test]
async fn a_row_without_its_account_cannot_be_written() {
    let home = folder();
    let db = Db::open(home.path(), Checkpoints::Own).expect("a database");
    let orphan = db
        .write(|transaction| {
            Ok::<_, DbError>(
                transaction
                    .execute("INSERT INTO pin_guards VALUES ('nobody', 0, 0, 0, 0, 0)", [])?,
            )
        })
        .await;
    assert!(matches!(orphan, Err(DbError::Driver(_))), "{orphan:?}");
}

#[test]
fn a_second_server_on_the_same_folder_refuses_to_start() {
    let home = folder();
    let server = Server::start(home.path(), &[]);
    let line = trouble(serve_in(home.path()));
    assert!(line.starts_with("another gatelodge already serves "), "{line}");
    assert!(line.contains(home.path().to_str().expect("text")), "{line}");
    assert!(line.ends_with("stop it first"), "{line}");
    // A lock of a server that died is no lock.
    server.kill();
    drop(Server::start(home.path(), &[]));
}

#[test]
fn a_server_that_may_not_serve_changes_nothing_first() {
    let home = folder();
    let old = migrate::LATEST - 1;
    let mut database = Connection::open(home.path().join(FILE_NAME)).expect("a database");
    migrate::migrate(&mut database, old).expect("an older schema");
    let _lock = Db::claim(home.path()).expect("the folder");
    let line = trouble(serve_in(home.path()));
    assert!(line.starts_with("another gatelodge already serves "), "{line}");
    assert_eq!(version(&database), old, "the other server's database is left as it is");
}

#[test]
fn a_command_does_not_migrate_what_an_older_server_serves() {
    let home = folder();
    let old = migrate::LATEST - 1;
    let mut database = Connection::open(home.path().join(FILE_NAME)).expect("a database");
    migrate::migrate(&mut database, old).expect("an older schema");
    let server = Db::claim(home.path()).expect("the folder");
    let mut command = gatelodge();
    command.current_dir(home.path()).args(["user", "list"]);
    let line = trouble(command);
    assert!(line.contains("an older version serves"), "{line}");
    assert_eq!(version(&database), old, "the other server's database is left as it is");
    drop(server);
    let mut command = gatelodge();
    let listed = command.current_dir(home.path()).args(["user", "list"]).status();
    assert!(listed.expect("a command").success());
    assert_eq!(version(&database), migrate::LATEST);
}

pub fn version(database: &Connection) -> u32 {
    database.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a version")
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let home = folder();
    drop(Db::open(home.path(), Checkpoints::Own).expect("a database"));
    let file = home.path().join(FILE_NAME);
    let newer = migrate::LATEST + 95;
    let database = Connection::open(&file).expect("ours");
    database.pragma_update(None, "user_version", newer).expect("a version");
    database.close().expect("closed");
    let before = fs::read(&file).expect("a file");
    let line = trouble(serve_in(home.path()));
    let says = format!("the database has schema {newer}, this version knows {}", migrate::LATEST);
    assert!(line.starts_with(&says) && line.contains("restore a backup"), "{line}");
    assert!(fs::read(&file).expect("a file") == before, "not a byte is changed");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let home = folder();
    let file = home.path().join(FILE_NAME);
    let garbage = "this is a shopping list, not a database\n".repeat(300);
    fs::write(&file, &garbage).expect("a file");
    let line = trouble(serve_in(home.path()));
    assert!(line.starts_with("gatelodge.db is not a SQLite database: "), "{line}");
    assert_eq!(fs::read_to_string(&file).expect("a file"), garbage);
    let mut command = serve_in(home.path());
    command.args(["user", "list"]);
    assert!(trouble(command).contains("is not a SQLite database"));
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    for (version, id) in [(0, 0), (2, 0), (migrate::LATEST, 7)] {
        let home = folder();
        let file = home.path().join(FILE_NAME);
        let other = Connection::open(&file).expect("a database");
        other.execute_batch("CREATE TABLE recipes (name TEXT)").expect("a table");
        other.pragma_update(None, "user_version", version).expect("a version");
        other.pragma_update(None, "application_id", id).expect("an id");
        other.close().expect("closed");
        set_mode(&file, 0o644);
        let before = fs::read(&file).expect("a file");
        let line = trouble(serve_in(home.path()));
        assert!(line.starts_with("gatelodge.db is a database of another program"), "{line}");
        assert!(fs::read(&file).expect("a file") == before, "not a byte is changed");
        assert_eq!(mode(&file), 0o644, "nor who may read it");
    }
}

#[test]
fn a_folder_that_cannot_be_one_is_told_of() {
    let home = folder();
    fs::write(home.path().join("taken"), "a file").expect("a file");
    for folder in ["taken", "taken/below"] {
        let mut command = serve_in(home.path());
        command.env("GATELODGE_DATA_DIR", folder);
        let line = trouble(command);
        assert!(line.contains("taken") && line.contains("the data folder must be"), "{line}");
    }
    fs::create_dir(home.path().join(FILE_NAME)).expect("a folder");
    let line = trouble(serve_in(home.path()));
    assert!(line.contains(FILE_NAME) && line.contains("directory"), "{line}");
}

/// Root writes wherever it likes, unless it gives that up.
fn obeying_permissions(folder: &Path) -> Command {
    if fs::metadata(folder).expect("a folder").uid() != 0 {
        return serve_in(folder);
    }
    let program = gatelodge().get_program().to_owned();
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", "-dac_override,-dac_read_search", "--"])
        .arg(program)
        .current_dir(folder)
        .env("GATELODGE_SERVER__LISTEN", "127.0.0.1:0");
    command
}

#[test]
fn a_folder_that_must_not_be_written_is_told_of() {
    let home = folder();
    set_mode(home.path(), 0o500);
    let line = trouble(obeying_permissions(home.path()));
    assert!(line.contains("Permission denied"), "{line}");
    assert!(line.contains("the data folder must be writable"), "{line}");
    set_mode(home.path(), 0o700);
    drop(Db::open(home.path(), Checkpoints::Own).expect("a database"));
    set_mode(home.path(), 0o500);
    let line = trouble(obeying_permissions(home.path()));
    let mut command = obeying_permissions(home.path());
    command.args(["user", "list"]);
    let listing = trouble(command);
    set_mode(home.path(), 0o700);
    assert!(listing.contains("the data folder must be writable"), "{listing}");
    assert!(line.contains("the data folder must be writable"), "{line}");
}

/// Lets no file of a running process grow past `bytes`, or lifts that.
fn limit_files(server: &Server, bytes: Option<u64>) {
    let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let done = Command::new("prlimit")
        .args(["--pid", &server.pid().to_string(), &format!("--fsize={limit}:")])
        .status()
        .expect("prlimit");
    assert!(done.success());
}

#[test]
fn a_full_disk_refuses_what_writes_and_loses_nothing() {
    // SAFETY: sets no handler. What is started from here inherits it and sees an error where a
    // file cannot grow, as it does on a full disk, and not the end.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let home = folder();
    let server = Server::start(home.path(), &[]);
    let token = first_account(&server);
    assert_eq!(add(&server, &token, "before").status, 201);

    limit_files(&server, Some(4096));
    for _ in 0..3 {
        let refused = add(&server, &token, "during");
        let message = refused.problem(503, "unavailable");
        assert!(message.contains("nothing was changed"), "{message}");
        assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|wait| wait > 0));
    }
    let body = json!({"username": "ann", "password": PASSWORD});
    server.json("POST", "/api/v1/auth/login", "", &body).problem(503, "unavailable");
    let known = server.json("GET", "/api/v1/users", &token, &Value::Null);
    assert_eq!(known.status, 200, "what only reads goes on: {}", known.text());

    limit_files(&server, None);
    assert_eq!(add(&server, &token, "after").status, 201);
    assert_eq!(server.json("POST", "/api/v1/auth/login", "", &body).status, 200);
    server.lines("trouble kind=storage", 1);
    server.kill();

    let server = Server::start(home.path(), &[]);
    let all = server.json("GET", "/api/v1/users", &token, &Value::Null).json();
    let names: Vec<_> = all["data"].as_array().expect("a list").iter().collect();
    let names: Vec<_> = names.iter().map(|one| text(&one["username"])).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for name in ["ann", "before", "after"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    server.terminate();
    let database = Connection::open(home.path().join(FILE_NAME)).expect("ours");
    assert_eq!(sound(&database), "ok");
}

pub fn sound(database: &Connection) -> String {
    let broken: i64 = database
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(broken, 0, "every reference is kept");
    database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check")
}

/// Accounts as the first migration knows them.
pub fn seed_accounts(database: &Connection, count: u32) {
    database
        .execute_batch(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO accounts (id, username, username_key, email, display_name, role, status,
                 email_verified, password_hash, epoch, created_at, updated_at)
             SELECT printf('00000000-0000-4000-8000-%012d', i), 'user' || i, 'user' || i,
                 'user' || i || '@example.org', 'User ' || i,
                 CASE i WHEN 1 THEN 'admin' ELSE 'reader' END, 'active', 1,
                 '$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$' || hex(randomblob(16)),
                 hex(randomblob(8)), 0, 0 FROM n"
        ))
        .expect("rows");
}

/// What a server has read from files since its start, in bytes.
#[cfg(target_os = "linux")]
fn bytes_read(server: &Server) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", server.pid())).expect("its counters");
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("a counter");
    line.parse().expect("a number")
}

/// Starts, asks what a stranger may ask, signs somebody in; what all that had to read.
#[cfg(target_os = "linux")]
fn reading_of_a_start(accounts: u32) -> (u64, u64) {
    let home = folder();
    let file = home.path().join(FILE_NAME);
    let mut database = Connection::open(&file).expect("a database");
    migrate::migrate(&mut database, migrate::LATEST).expect("a schema");
    seed_accounts(&database, accounts);
    database.close().expect("closed");
    let server = Server::start(home.path(), &[]);
    let status = server.json("GET", "/api/v1/setup/status", "", &Value::Null);
    assert_eq!(status.json()["setup_required"], false);
    let body = json!({"username": "user7", "password": PASSWORD});
    server.json("POST", "/api/v1/auth/login", "", &body).problem(401, "unauthorized");
    (bytes_read(&server), fs::metadata(&file).expect("a file").len())
}

#[cfg(target_os = "linux")]
#[test]
fn a_start_with_many_accounts_reads_hardly_more_than_one_with_few() {
    let (few, _) = reading_of_a_start(10);
    let (many, size) = reading_of_a_start(100_000);
    assert!(size > 20 << 20, "there is something to read: {size}");
    // Deeper trees: a few pages more for each lookup.
    assert!(many < few + (1 << 20), "{few} bytes with ten accounts, {many} with 100,000");
}

#[tokio::test]
async fn a_house_opens_again_where_it_was() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let house = house.restarted(|_| {}).await;
    let me = house.get("/api/v1/user").bearer(&token).send().await;
    assert_eq!((me.status, me.json()["username"].as_str()), (200, Some("bob")));
}

#[tokio::test]
async fn what_the_house_does_by_itself_writes_nothing_when_nothing_happened() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let watcher = Connection::open(house.database()).expect("the database");
    // Moves with every commit of another connection that changed something.
    let version = || -> i64 {
        watcher.query_row("PRAGMA data_version", [], |row| row.get(0)).expect("a version")
    };
    let log = || fs::read(house.folder().join("gatelodge.db-wal")).expect("the log");
    let chores = async || {
        house.core.notice_others().await.expect("looked");
        house.core.settle().await.expect("written");
        house.core.sweep().await.expect("swept");
    };
    chores().await;
    let (before, bytes) = (version(), log());
    for _ in 0..3 {
        house.clock.advance(Duration::from_secs(3600));
        chores().await;
    }
    assert_eq!(version(), before, "nothing was committed");
    assert!(log() == bytes, "nothing was written");

    // And what did happen is written once.
    for _ in 0..3 {
        house.get("/api/v1/user").bearer(&token).send().await;
        assert_eq!(version(), before, "a request writes nothing");
    }
    chores().await;
    let after = version();
    assert_ne!(after, before, "the session's use is noted");
    chores().await;
    assert_eq!(version(), after);
}
