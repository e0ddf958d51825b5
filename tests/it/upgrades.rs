//! Upgrades: a database of each earlier schema becomes one of today, with all that stands in it.

use gatelodge::db::{Checkpoints, Db, FILE_NAME, OpenError, migrate};
use rusqlite::Connection;

use super::{
    program::folder,
    storage::{seed_accounts, sound, version},
};

/// Rows for every table that a migration makes, by its number.
const SEEDS: &[&str] = &[
    "INSERT INTO meta VALUES ('generation', 'kept');
     INSERT INTO roles VALUES ('guest', 'Looks', '[]', 0, 0, 0);
     INSERT INTO pin_guards SELECT id, 0, 1, 0, 0, 0 FROM accounts;",
    "INSERT INTO sessions (id, account_id, dialect, method, refresh_digest, address, user_agent,
         created_at, last_seen_at, expires_at)
     SELECT 'of ' || id, id, 'native', 'password', randomblob(32), '', '', 0, 0, 1 FROM accounts;
     INSERT INTO api_keys (id, account_id, name, key_prefix, digest, created_at)
     SELECT 'key ' || id, id, 'script', 'lodge_1', randomblob(32), 0 FROM accounts;",
    "INSERT INTO one_time_tokens (digest, purpose, account_id, address, created_at, expires_at)
     SELECT randomblob(32), 'reset', id, email, 0, 1 FROM accounts;
     INSERT INTO invitations (id, token_digest, role, uses, uses_left, created_at, expires_at)
     VALUES ('one', randomblob(32), 'guest', 2, 1, 0, 1);
     INSERT INTO outbox (purpose, recipient, account_id, client, link, status, created_at, expires_at)
     SELECT 'reset-password', email, id, '', '/reset?token=x', 'held', 0, 1 FROM accounts;
     INSERT INTO identities (id, account_id, provider, issuer, subject, created_at)
     SELECT 'at ' || id, id, 'home', 'https://id.example.org', id, 0 FROM accounts;",
    "INSERT INTO events (at, kind, account_id, address, dialect, detail)
     SELECT 0, 'login', id, '', 'native', '' FROM accounts;",
    "INSERT INTO listeners (account_id, clock, actions) SELECT id, 7, 1 FROM accounts;
     INSERT INTO podcast_sets (id, listener_id) SELECT id, id FROM listeners;
     INSERT INTO podcast_devices (listener_id, set_id, name, caption, kind)
     SELECT id, id, 'phone', 'Phone', 'mobile' FROM listeners;
     INSERT INTO podcasts (id, listener_id, url)
     SELECT id, id, 'https://feeds.example.org/a' FROM listeners;
     INSERT INTO subscriptions SELECT id, id, 1, 7 FROM listeners;
     INSERT INTO episodes (id, podcast_id, digest, url)
     SELECT id, id, randomblob(16), 'https://feeds.example.org/a/1' FROM listeners;
     INSERT INTO episode_actions (listener_id, stamp, place, episode_id, device_id, kind, at)
     SELECT id, 7, 0, id, 0, 1, 7 FROM listeners;",
    "INSERT INTO https_probes VALUES ('https://feeds.example.org/a', 1, 0);",
    "INSERT INTO places SELECT id, 'home', 0 FROM accounts;",
    "UPDATE identities SET granted_role = 'guest';",
];

/// Every table, its columns, and all that stands in them.
fn contents(database: &Connection) -> Vec<(String, Vec<String>, Vec<String>)> {
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).expect(sql);
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("text")
    };
    let tables =
        texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    tables
        .into_iter()
        .map(|table| {
            let columns = texts(&format!("SELECT name FROM pragma_table_info('{table}')"));
            let rows = rows_of(database, &table, &columns);
            (table, columns, rows)
        })
        .collect()
}

fn rows_of(database: &Connection, table: &str, columns: &[String]) -> Vec<String> {
    let all: Vec<_> = columns.iter().map(|name| format!("quote({name})")).collect();
    let sql = format!("SELECT concat_ws(' ', {}) AS row FROM {table} ORDER BY row", all.join(", "));
    let mut statement = database.prepare(&sql).expect("a statement");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("text")
}

#[tokio::test]
async fn every_older_schema_is_brought_to_this_one_with_the_rows_of_every_table() {
    assert_eq!(SEEDS.len(), migrate::LATEST as usize, "a migration has no rows here");
    for old in 1..=migrate::LATEST {
        let home = folder();
        let mut database = Connection::open(home.path().join(FILE_NAME)).expect("a database");
        migrate::migrate(&mut database, old).expect("an older schema");
        assert_eq!(version(&database), old);
        seed_accounts(&database, 25);
        for seeds in &SEEDS[..old as usize] {
            database.execute_batch(seeds).expect("rows");
        }
        let before = contents(&database);
        for (table, _, rows) in &before {
            assert!(!rows.is_empty(), "{table} has no rows here");
        }
        drop(database);
        drop(Db::open(home.path(), Checkpoints::Own).expect("the present schema"));

        let database = Connection::open(home.path().join(FILE_NAME)).expect("ours");
        assert_eq!(version(&database), migrate::LATEST);
        for (table, columns, rows) in &before {
            assert_eq!(&rows_of(&database, table, columns), rows, "{table} since {old}");
        }
        let letters: i64 = database
            .query_row("SELECT count(DISTINCT message_id) FROM outbox", [], |row| row.get(0))
            .expect("a count");
        // Letters of before get their lasting names when these come.
        assert_eq!(letters, [0, 25, 1][usize::from(old >= 3) + usize::from(old >= 7)], "{old}");
        assert_eq!(sound(&database), "ok");
        assert_eq!(schema(&database), schema_of_today());
    }
}

fn schema(database: &Connection) -> Vec<String> {
    let mut statement = database
        .prepare(
            "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1",
        )
        .expect("a statement");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("text")
}

fn schema_of_today() -> Vec<String> {
    let mut fresh = Connection::open_in_memory().expect("a database");
    migrate::migrate(&mut fresh, migrate::LATEST).expect("the present schema");
    schema(&fresh)
}

#[test]
fn migrating_again_changes_nothing_and_a_newer_schema_is_refused() {
    let mut database = Connection::open_in_memory().expect("a database");
    migrate::migrate(&mut database, migrate::LATEST).expect("the present schema");
    seed_accounts(&database, 3);
    migrate::migrate(&mut database, migrate::LATEST).expect("nothing to do");
    assert_eq!((version(&database), sound(&database).as_str()), (migrate::LATEST, "ok"));
    let newer = migrate::LATEST + 1;
    database.pragma_update(None, "user_version", newer).expect("a version");
    let refused = migrate::migrate(&mut database, migrate::LATEST);
    let Err(OpenError::Newer { found, known }) = refused else { panic!("{refused:?}") };
    assert_eq!((found, known), (newer, migrate::LATEST));
}
