//! mygpoclient, the library of gPodder, against the real server.

use std::process::Command;

use serde_json::json;

use super::house::{PASSWORD, Server, cheap};

/// A Python that has mygpoclient: `PYTHON_WITH_CLIENTS`, else the system's if it has.
fn python() -> Option<String> {
    let wanted = std::env::var("PYTHON_WITH_CLIENTS");
    let python = wanted.clone().unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python).args(["-c", "import mygpoclient"]).output();
    let has = has.is_ok_and(|output| output.status.success());
    assert!(has || wanted.is_err(), "{python} has no mygpoclient");
    has.then_some(python)
}

#[test]
fn mygpoclient_keeps_a_desktop_in_step() {
    let Some(python) = python() else {
        eprintln!("NOT CHECKED: python3 has no mygpoclient; pip install mygpoclient");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &cheap());
    let body = json!({"username": "ann", "password": PASSWORD});
    let made = server.json("POST", "/api/2/register", "", &body);
    assert_eq!(made.status, 200, "{}", made.text());
    let root = format!("http://{}", server.address);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/mygpo.py");
    let output = Command::new(python).args([script, &root, "ann", PASSWORD]).output();
    let output = output.expect("Python");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().last(), Some("a wrong password is refused"));
    // One session for all of it.
    let login = server.json("POST", "/api/v1/auth/login", "", &body).json();
    let token = login["token"].as_str().expect("a token");
    let list = server.json("GET", "/api/v1/user/sessions", token, &json!(null)).json();
    let all = list["data"].as_array().expect("a list");
    let own = all.iter().filter(|session| session["dialect"] == "gpodder");
    assert_eq!(own.count(), 1, "{list}");
}
