//! `gatelodge key` and `gatelodge invite`, alone and beside a running server.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    house::{PASSWORD, Server, text},
    program::{Ran, folder, run, run_with_input},
};

/// A house with the admin `ann`, the reader `bob` and the maintainer `cyd`.
fn lived_in() -> TempDir {
    let home = folder();
    for (name, role) in [("ann", "admin"), ("bob", "reader"), ("cyd", "maintainer")] {
        let arguments = ["user", "add", name, "--role", role, "--password-stdin"];
        run_with_input(home.path(), &arguments, PASSWORD).succeeded();
    }
    home
}

fn create(home: &TempDir, arguments: &[&str]) -> Ran {
    run(home.path(), &[&["key", "create"], arguments].concat())
}

fn keys(folder: &Path) -> Vec<Value> {
    run(folder, &["key", "list", "--json"]).json().as_array().cloned().expect("an array")
}

fn status(server: &Server, path: &str, key: &str) -> u16 {
    server.json("GET", path, key, &Value::Null).status
}

/// Waits until the key is answered with `wanted`.
#[track_caller]
fn soon(server: &Server, path: &str, key: &str, wanted: u16) {
    let come = (0..400).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(25));
        status(server, path, key) == wanted
    });
    assert!(come, "still {} and not {wanted}", status(server, path, key));
}

#[test]
fn a_key_is_printed_once_acts_for_its_owner_and_ends() {
    let home = lived_in();
    let server = Server::start(home.path(), &[]);
    let arguments = ["--user", "cyd", "--name", "nightly backup", "--expires", "90d"];
    let out = create(&home, &arguments).succeeded();
    let key = out.lines().next().expect("a key").to_owned();
    assert!(key.starts_with("lodge_") && out.matches(&key).count() == 1, "{out}");
    assert!(out.contains("It acts for cyd and may all that its owner may until 20"), "{out}");
    soon(&server, "/api/v1/users", &key, 200);
    assert_eq!(status(&server, "/api/v1/roles", &key), 403, "no more than cyd may");

    let listed = keys(home.path());
    assert_eq!((listed.len(), &listed[0]["user"]), (1, &json!("cyd")));
    assert_eq!(
        (&listed[0]["name"], &listed[0]["permissions"]),
        (&json!("nightly backup"), &json!(null))
    );
    let text_list = run(home.path(), &["key", "list"]).succeeded();
    let prefix = text(&listed[0]["key_prefix"]);
    assert!(text_list.starts_with("cyd ") && text_list.contains(&prefix), "{text_list}");
    assert!(text_list.contains("nightly backup") && !text_list.contains(&key), "{text_list}");
    assert!(!listed[0].to_string().contains(&key));

    let out = run(home.path(), &["key", "revoke", &prefix]).succeeded();
    assert_eq!(out, format!("{prefix} of cyd (nightly backup) is revoked and works no more.\n"));
    soon(&server, "/api/v1/users", &key, 401);
    assert_eq!(keys(home.path()), Vec::<Value>::new());
    let line = run(home.path(), &["key", "revoke", &prefix]).refused();
    assert_eq!(line, "no such API key; see gatelodge key list");
    let out = run(home.path(), &["key", "list"]).succeeded();
    assert!(out.starts_with("No API keys."), "{out}");
}

#[test]
fn a_key_may_be_narrower_than_its_owner_and_never_wider() {
    let home = lived_in();
    let arguments =
        ["--user", "ann", "--name", "k", "--permissions", "users-read,events-read", "--json"];
    let made = create(&home, &arguments).json();
    assert_eq!(made["permissions"], json!(["events-read", "users-read"]));
    assert_eq!((&made["user"], &made["expires_at"]), (&json!("ann"), &json!(null)));
    let server = Server::start(home.path(), &[]);
    let key = text(&made["key"]);
    assert_eq!(status(&server, "/api/v1/users", &key), 200);
    assert_eq!(status(&server, "/api/v1/roles", &key), 403);

    for (user, permissions, says) in [
        (
            "bob",
            "users-read",
            "bob has no permission \"users-read\", so no key of theirs can; the role reader has no permissions",
        ),
        (
            "cyd",
            "users-raed",
            "cyd has no permission \"users-raed\", so no key of theirs can; the nearest of theirs is users-read",
        ),
        ("ann", "Users Read", "permissions must be names like libraries-read"),
        ("an", "users-read", "no account \"an\"; the nearest is ann"),
    ] {
        let line = create(&home, &["--user", user, "--name", "k", "--permissions", permissions]);
        let line = line.refused();
        assert!(line.starts_with(says), "{line}");
    }
    assert_eq!(keys(home.path()).len(), 1);
}

#[test]
fn keys_are_listed_by_owner_and_revoked_by_id() {
    let home = lived_in();
    for (user, name) in [("cyd", "c1"), ("ann", "a1"), ("ann", "a2")] {
        create(&home, &["--user", user, "--name", name]).succeeded();
    }
    let owners: Vec<_> = keys(home.path()).iter().map(|key| text(&key["user"])).collect();
    assert_eq!(owners, ["ann", "ann", "cyd"]);
    let of_cyd = run(home.path(), &["key", "list", "--user", "CYD", "--json"]).json();
    assert_eq!((of_cyd[0]["name"].clone(), of_cyd[1].clone()), (json!("c1"), json!(null)));
    let line = run(home.path(), &["key", "list", "--user", "cid"]).refused();
    assert_eq!(line, "no account \"cid\"; the nearest is cyd");
    run(home.path(), &["key", "revoke", &text(&of_cyd[0]["id"])]).succeeded();
    let left: Vec<_> = keys(home.path()).iter().map(|key| text(&key["name"])).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_key_that_makes_no_sense_is_refused_and_never_repeated() {
    let home = lived_in();
    for (arguments, says) in [
        (&["--user", "bob", "--name", " "][..], "name is required"),
        (&["--user", "bob", "--name", "a\u{1b}[2J"], "name may not have control characters"),
        (&["--user", "bob", "--name", "k", "--expires", "2020-01-01"], "expires_at must be in"),
        (&["--user", "bob", "--name", "k", "--expires", "soon"], "\"soon\" is no end; write 90d"),
    ] {
        let line = create(&home, arguments).refused();
        assert!(line.starts_with(says), "{line}");
    }
    let made = create(&home, &["--user", "bob", "--name", "k", "--json"]).json();
    let whole = text(&made["key"]);
    let line = run(home.path(), &["key", "revoke", &whole]).refused();
    assert!(!line.contains(&whole), "{line}");
    for missing in [&["key", "create", "--user", "bob"][..], &["key", "create", "--name", "k"]] {
        assert_eq!(run(home.path(), missing).code, 2);
    }
}

fn accept(server: &Server, link: &str, name: &str) -> u16 {
    let token = link.split("token=").nth(1).expect("a token");
    let body = json!({
        "username": name,
        "email": format!("{name}@example.org"),
        "password": PASSWORD,
        "invitation": token,
    });
    server.json("POST", "/api/v1/auth/register", "", &body).status
}

#[test]
fn an_invitation_lets_somebody_in_once_and_can_be_ended() {
    let home = lived_in();
    let base = [("GATELODGE_SERVER__PUBLIC_URL", "https://gate.example.org")];
    let server = Server::start(home.path(), &base);
    let out = run(home.path(), &["invite", "create", "--role", "maintainer"]).succeeded();
    let link = out.lines().next().expect("a link").to_owned();
    assert!(link.starts_with("/invite?token="), "{link}");
    assert!(out.contains("server.public_url is not set"), "{out}");
    assert!(out.contains("One person can use it until 20"), "{out}");
    assert!(out.contains("for the role maintainer") && out.contains("whoever has it"), "{out}");
    assert_eq!(accept(&server, &link, "dora"), 201);
    assert_eq!(accept(&server, &link, "emil"), 422);
    let dora = run(home.path(), &["user", "show", "dora", "--json"]).json();
    assert_eq!(dora["role"], "maintainer");

    let arguments =
        ["invite", "create", "--uses", "3", "--expires", "30d", "--email", "Fay@example.org"];
    let out = run(home.path(), &arguments).succeeded();
    assert!(out.contains("3 people") && out.contains("only fay@example.org can use it"), "{out}");
    let made = run(home.path(), &["invite", "create", "--json"]).json();
    assert_eq!((&made["state"], &made["uses"]), (&json!("open"), &json!(1)));
    let list = run(home.path(), &["invite", "list", "--json"]).json();
    let of = |id: &Value| {
        let all = list.as_array().expect("an array");
        all.iter().find(|one| one["id"] == *id).expect("listed").clone()
    };
    assert_eq!(of(&made["id"])["role"], "reader");
    assert!(
        list.as_array()
            .is_some_and(|all| all.len() == 3 && all.iter().any(|one| one["state"] == "used_up"))
    );

    let id = text(&made["id"]);
    let out = run(home.path(), &["invite", "revoke", &id]).succeeded();
    assert!(out.starts_with("The invitation is revoked"), "{out}");
    assert_eq!(accept(&server, &text(&made["link"]), "gus"), 422);
    let out = run(home.path(), &["invite", "list"]).succeeded();
    let line = out.lines().find(|line| line.starts_with(&id)).expect("listed");
    assert!(line.contains("revoked") && line.contains("for anybody"), "{line}");
    assert!(!out.contains("token") && !list.to_string().contains("token"), "{out}");
}

#[test]
fn an_invitation_that_makes_no_sense_is_refused() {
    let home = folder();
    let out = run(home.path(), &["invite", "list"]).succeeded();
    assert!(out.starts_with("No invitations."), "{out}");
    assert_eq!(run(home.path(), &["invite", "list", "--json"]).json(), json!([]));
    for (arguments, says) in [
        (&["create", "--role", "kind"][..], "no role \"kind\"; there are: admin"),
        (&["create", "--uses", "0"], "uses must be 1 to 1000"),
        (&["create", "--expires", "400d"], "expires_at must be in the future, within a year"),
        (&["create", "--email", "nowhere"], "email must be an address"),
        (&["revoke", "x\ny"], "no invitation \"x\\ny\"; see gatelodge invite list"),
    ] {
        let line = run(home.path(), &[&["invite"], arguments].concat()).refused();
        assert!(line.starts_with(says), "{line}");
    }
    assert_eq!(run(home.path(), &["invite", "create", "--uses", "many"]).code, 2);
}
