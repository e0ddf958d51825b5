//! The shell lines that clients were given, and those of our own pages, run as they stand: real
//! `bash`, `curl`, `grep` and `cut` against the real binary. Only addresses, names and secrets are
//! put in.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::house::{PASSWORD, Server, cheap, gatelodge};

/// Makes an account by the command line.
fn add(folder: &Path, name: &str, secrets: &[(&str, &str)]) {
    let mut command = gatelodge();
    command.current_dir(folder).envs(cheap()).args(["user", "add", name]);
    command.args(["--email", &format!("{name}@example.org")]);
    command.args(secrets.iter().map(|(option, _)| *option));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program");
    let mut stdin = child.stdin.take().expect("its input");
    for (_, secret) in secrets {
        writeln!(stdin, "{secret}").expect("room for it");
    }
    drop(stdin);
    assert!(child.wait().expect("an end").success());
}

/// A server with the admin `admin` and somebody called `name`.
fn server_with(name: &str, secrets: &[(&str, &str)], more: &[(&str, &str)]) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    add(folder.path(), "admin", &[("--password-stdin", PASSWORD)]);
    add(folder.path(), name, secrets);
    (Server::start(folder.path(), more), folder)
}

/// Runs a script to its end, which has to be a good one; what it printed, a line each.
fn run(script: &str) -> Vec<String> {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script]).env("no_proxy", "*");
    let output = bash.output().expect("bash");
    let [out, err] = [&output.stdout, &output.stderr].map(|all| String::from_utf8_lossy(all));
    assert!(output.status.success(), "{script}\n--\n{out}\n--\n{err}");
    out.lines().map(str::to_owned).collect()
}

#[track_caller]
fn json_of(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Replaces what stands for somebody's own values; each has to be there.
fn put(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in {text}");
        text.replace(from, to)
    })
}

const NATIVE_LOGIN: &str = r#"
curl -X POST http://localhost:8080/api/v1/auth/login \
-H "Content-Type: application/json" \
-d '{"username":"user","password":"pass"}'
"#;

const NATIVE_TOKEN: &str = r#"
curl -H "Authorization: Bearer $TOKEN" \
http://localhost:8080/api/v1/libraries
"#;

const NATIVE_KEY: &str = r#"
curl -H "Authorization: Bearer codex_key_here" \
http://localhost:8080/api/v1/libraries
"#;

const NATIVE_BASIC: &str = r#"
curl -u "username:password" \
http://localhost:8080/api/v1/libraries
"#;

const NATIVE_RESEND: &str = r#"
curl -X POST http://localhost:8080/api/v1/auth/resend-verification \
-H "Content-Type: application/json" \
-d '{"email":"user@example.com"}'
"#;

const NATIVE_RESET: &str = r#"
# Admin updates user password
curl -X PUT http://localhost:8080/api/v1/users/{id} \
-H "Authorization: Bearer $ADMIN_TOKEN" \
-H "Content-Type: application/json" \
-d '{"password":"new-password"}'
"#;

/// Tells the status in a line of its own.
fn with_status(line: &str) -> String {
    put(line, &[("curl ", "curl -s -w '\\n%{http_code}\\n' ")])
}

#[test]
fn the_lines_of_the_native_seed_work_as_they_stand() {
    let (server, folder) =
        server_with("user", &[("--password-stdin", PASSWORD)], &[("MAX_LOGIN_ATTEMPTS", "0")]);
    let here = format!("http://{}", server.address);
    let at = ("http://localhost:8080", here.as_str());
    let login = put(NATIVE_LOGIN, &[at, ("\"pass\"", &format!("\"{PASSWORD}\""))]);
    let answer = run(&login);
    let answer = json_of(&answer[0]);
    let token = answer["token"].as_str().expect("a token");
    assert!(token.starts_with("eyJ") && answer["expires_at"].is_string(), "{answer}");
    assert_eq!(answer["user"]["username"], "user");
    let id = answer["user"]["id"].as_str().expect("an id");

    // The sample's libraries belong to apps: known callers get 404, strangers 401.
    let key = server.json("POST", "/api/v1/api-keys", token, &json!({"name": "a reader"})).json();
    let key = key["key"].as_str().expect("a key");
    let basic = format!("user:{PASSWORD}");
    for (line, good, bad) in [
        (NATIVE_TOKEN, ("$TOKEN", token), ("$TOKEN", "a.b.c")),
        (NATIVE_KEY, ("codex_key_here", key), ("codex_key_here", "codex_key_here")),
        (NATIVE_BASIC, ("username:password", basic.as_str()), ("username:", "user:")),
    ] {
        for (change, status) in [(good, "404"), (bad, "401")] {
            let lines = run(&with_status(&put(line, &[at, change])));
            assert_eq!(lines[1], status, "{line} with {change:?}: {}", lines[0]);
            assert!(json_of(&lines[0])["error"].is_string());
        }
    }
    let lines = run(&with_status(&put(NATIVE_RESEND, &[at])));
    assert!(lines.last().is_some_and(|status| status.starts_with('2')), "{lines:?}");

    let admin = json!({"username": "admin", "password": PASSWORD});
    let admin = server.json("POST", "/api/v1/auth/login", "", &admin).json();
    let admin = admin["token"].as_str().expect("a token");
    let reset = put(NATIVE_RESET, &[at, ("{id}", id), ("$ADMIN_TOKEN", admin)]);
    let lines = run(&with_status(&put(&reset, &[("new-password", "Chestnut-tree-8")])));
    assert_eq!(lines[1], "200", "{}", lines[0]);
    let again = put(&login, &[(PASSWORD, "Chestnut-tree-8")]);
    assert!(json_of(&run(&again)[0])["token"].is_string());
    assert_eq!(run(&with_status(&login))[1], "401", "the old one is over");
    drop((server, folder));
}

const PIN_LOGIN: &str = r#"
headers=$(curl -i -X POST http://127.0.0.1:9154/auth/login \
-H 'Content-Type: application/json' \
-d '{
"name": "cooluser1",
"pin": "0000"
}')

access_token=$(echo "$headers" | grep -o 'accessToken=[^;]*' | cut -s -d= -f2)
refresh_token=$(echo "$headers" | grep -o 'refreshToken=[^;]*' | cut -s -d= -f2)

export ACCESS_TOKEN="$access_token"
export REFRESH_TOKEN="$refresh_token"
"#;

const PIN_REFRESH: &str = r#"
curl -v -X POST http://127.0.0.1:9154/auth/refresh \
-H "Cookie: accessToken=$ACCESS_TOKEN" \
-H "Cookie: refreshToken=$REFRESH_TOKEN"
"#;

const PIN_LOGOUT: &str = r#"
curl -X POST http://127.0.0.1:9154/auth/logout \
-H "Cookie: accessToken=$ACCESS_TOKEN" \
-H "Cookie: refreshToken=$REFRESH_TOKEN"
"#;

#[test]
fn the_lines_of_the_pin_seed_work_as_they_stand() {
    let (server, folder) = server_with("cooluser1", &[("--pin-stdin", "0000")], &[]);
    let here = format!("http://{}", server.address);
    let at = ("http://127.0.0.1:9154", here.as_str());
    let [login, refresh, logout] =
        [PIN_LOGIN, PIN_REFRESH, PIN_LOGOUT].map(|line| put(line, &[at]));
    let show = "echo \"$headers\" | tail -n 1\necho \"$ACCESS_TOKEN\"\necho \"$REFRESH_TOKEN\"\n";
    let script = format!("{login}{show}{refresh}\necho\n{logout}\necho\n{logout}\necho\n{refresh}");
    let lines = run(&script);
    let [said, access, refresh, renewed, out, again, dead] = &lines[..] else {
        panic!("seven lines: {lines:#?}")
    };
    assert_eq!(json_of(said)["message"], "Login successful");
    for token in [access, refresh] {
        assert_eq!(token.split('.').count(), 3, "one whole token: {token}");
    }
    let renewed = json_of(renewed);
    assert_eq!(renewed["message"], "Access token refreshed successfully");
    assert_ne!(renewed["accessToken"], json!(access));
    assert_eq!(out, r#"{"message":"Logout successful"}"#);
    assert_eq!(again, r#"{"message":"Unauthorized API access"}"#);
    assert_eq!(dead, r#"{"message":"Invalid token"}"#);
    drop((server, folder));
}

const SIGNUP: &str = r#"
curl -X POST https://your-keybox-server.com/auth/signup \
  -H "Content-Type: application/json" \
  -d '{
    "name": "John Doe",
    "email": "[email protected]",
    "password": "securepass123",
    "confirm_password": "securepass123"
  }'
"#;

const SIGNUP_LOGIN: &str = r#"
curl -X POST https://your-keybox-server.com/auth/login \
  -H "Content-Type: application/json" \
  -d '{
    "email": "[email protected]",
    "password": "securepass123"
  }'
"#;

const SIGNUP_DASHBOARD: &str = r#"
curl -X GET https://your-keybox-server.com/dashboard \
  -H "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9..."
"#;

#[test]
fn the_lines_of_the_signup_seed_work_as_they_stand() {
    let open = [("GATELODGE_REGISTRATION__MODE", "open")];
    let (server, folder) = server_with("ann", &[("--password-stdin", PASSWORD)], &open);
    let here = format!("http://{}", server.address);
    let at = ("https://your-keybox-server.com", here.as_str());
    let who = ("[email protected]", "john@example.org");
    let made = json_of(&run(&put(SIGNUP, &[at, who]))[0]);
    let id = &made["userId"];
    assert_eq!(made, json!({"message": "Signup successful", "userId": id}));
    let login = json_of(&run(&put(SIGNUP_LOGIN, &[at, who]))[0]);
    let token = login["token"].as_str().expect("a token");
    let wanted = json!({
        "message": "Login successful", "token": token, "userId": id, "role": "DEVELOPER",
    });
    assert_eq!(login, wanted);
    let sample = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...";
    let board = json_of(&run(&put(SIGNUP_DASHBOARD, &[at, (sample, token)]))[0]);
    assert_eq!(board["message"], "Dashboard fetched successfully");
    assert_eq!(board["user"]["userId"], *id);
    let refused = json_of(&run(&put(SIGNUP_DASHBOARD, &[at]))[0]);
    assert_eq!(refused, json!({"message": "Unauthorized", "error": "jwt malformed"}));
    drop((server, folder));
}

const GPODDER_LOGIN: &str = r#"
curl -X POST "http://localhost:3005/api/2/auth/myuser/login.json" \
  -H "Authorization: Basic $(echo -n myuser:mypass | base64)" \
  -c cookies.txt
"#;

const GPODDER_LOGOUT: &str = r#"
curl -X POST "http://localhost:3005/api/2/auth/myuser/logout.json" \
  -b cookies.txt
"#;

#[test]
fn the_lines_of_the_gpodder_seed_work_as_they_stand() {
    let (server, folder) = server_with("myuser", &[("--password-stdin", PASSWORD)], &[]);
    let here = format!("http://{}", server.address);
    let at = ("http://localhost:3005", here.as_str());
    let jar = folder.path().join("cookies.txt");
    let jar = ("cookies.txt", jar.to_str().expect("text"));
    let me = format!("curl -s {here}/api/2/me -b cookies.txt");
    let lines = [
        put(GPODDER_LOGIN, &[at, jar, ("mypass", PASSWORD)]),
        put(&me, &[jar]),
        put(GPODDER_LOGOUT, &[at, jar]),
    ];
    let found = json_of(&run(&lines.concat())[0]);
    assert_eq!((&found["username"], &found["is_active"]), (&json!("myuser"), &json!(true)));
    let after = json_of(&run(&put(&me, &[jar]))[0]);
    assert_eq!(after, json!({"error": "unauthorized"}));
    drop((server, folder));
}

/// The fenced `sh` blocks of a page, in their order.
fn blocks(page: &str) -> String {
    let mut found = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => found.push_str(&format!("{line}\n")),
            _ => {}
        }
        if line == "```" {
            found.push_str("echo\n");
        }
    }
    found
}

#[test]
fn the_lines_of_our_own_pages_work_as_they_stand() {
    for (page, words) in [
        (
            include_str!("../../docs/dialects/native.md"),
            vec!["\"refresh_expires_at\"", "\"username\":\"ann\"", "\"total\":2"],
        ),
        (
            include_str!("../../docs/dialects/pin.md"),
            vec!["\"isAdmin\"", "{\"message\":\"Logout successful\"}", "\"name\":\"ann\""],
        ),
        (
            include_str!("../../docs/dialects/signup.md"),
            vec!["Signup successful", "Dashboard fetched successfully"],
        ),
        (
            include_str!("../../docs/dialects/gpodder.md"),
            vec!["\"is_admin\":true", "the password is changed", "[]"],
        ),
    ] {
        let secrets = [("--password-stdin", PASSWORD), ("--pin-stdin", "2468")];
        let folder = tempfile::tempdir().expect("a folder");
        add(folder.path(), "ann", &secrets);
        add(folder.path(), "bob", &secrets);
        let server = Server::start(folder.path(), &[("GATELODGE_REGISTRATION__MODE", "open")]);
        let script = blocks(page);
        assert!(script.matches("curl -fsS").count() >= 3, "{script}");
        let here = format!("http://{}", server.address);
        let jar = folder.path().join("cookies.txt");
        let script = put(&script, &[("http://localhost:8080", &here)])
            .replace("cookies.txt", jar.to_str().expect("text"));
        let script = format!("PASSWORD={PASSWORD}\n{script}");
        let out = run(&script).join("\n");
        for word in words {
            assert!(out.contains(word), "{word} is not in {out}");
        }
    }
}
