//! What only a real connection shows: bodies in pieces, heads, the log, the bound, the end.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::house::{Answer, PASSWORD, Server, text};

const MIB: usize = 1024 * 1024;
const LOGIN: &str = "/api/v1/auth/login";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A connection that speaks bytes.
struct Line(TcpStream);

impl Line {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a bound");
        Self(stream)
    }

    fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("heard");
    }

    /// Reads until a whole head, and as much of a body as it announces, is there.
    fn hear(&mut self) -> String {
        let mut heard = Vec::new();
        let mut byte = [0; 1];
        while !heard.ends_with(b"\r\n\r\n") {
            assert_eq!(self.0.read(&mut byte).expect("an answer"), 1, "it hung up: {heard:?}");
            heard.push(byte[0]);
        }
        let head = String::from_utf8(heard).expect("text").to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
        self.0.read_exact(&mut body).expect("a body");
        head + &String::from_utf8_lossy(&body)
    }
}

fn started(environment: &[(&str, &str)]) -> (TempDir, Server, String) {
    let home = folder();
    let server = Server::start(home.path(), environment);
    let body = json!({"username": "ann", "email": "ann@example.org", "password": PASSWORD});
    let made = server.json("POST", "/api/v1/setup/initialize", "", &body);
    let token = text(&made.json()["token"]);
    (home, server, token)
}

#[test]
fn a_body_that_announces_too_much_is_refused_before_it_comes() {
    let (_home, server, _) = started(&[]);
    let mut line = Line::to(server.address);
    line.say(format!(
        "POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        MIB + 1
    ));
    let answer = line.hear();
    assert!(answer.starts_with("http/1.1 413 "), "{answer}");
    assert!(answer.contains("\"error\":\"bad_request\""), "{answer}");
    assert!(answer.contains("x-request-id: "), "{answer}");
}

#[test]
fn a_body_in_pieces_is_refused_once_it_is_too_large() {
    let (_home, server, _) = started(&[]);
    let mut line = Line::to(server.address);
    line.say(format!(
        "POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    ));
    let piece = [format!("{:x}\r\n", 64 * 1024).as_bytes(), &[b' '; 64 * 1024], b"\r\n"].concat();
    // One piece beyond the bound, and no end: the answer does not wait for it.
    for _ in 0..MIB / (64 * 1024) {
        line.say(&piece);
    }
    line.say("1\r\n \r\n");
    let answer = line.hear();
    assert!(answer.starts_with("http/1.1 413 "), "{answer}");
}

#[test]
fn a_head_that_is_too_large_is_refused_and_the_server_serves_on() {
    let (_home, server, token) = started(&[]);
    let mut line = Line::to(server.address);
    let head =
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: {}\r\n", "a".repeat(40_000));
    line.say(head);
    let answer = line.hear();
    assert!(answer.starts_with("http/1.1 431 "), "{answer}");
    let fits = "a".repeat(20_000);
    let answer = server.ask("GET", "/health", &[("X-A", &fits)], "").expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(server.json("GET", "/api/v1/user", &token, &Value::Null).status, 200);
}

#[test]
fn head_is_answered_as_get_without_its_body() {
    let (_home, server, token) = started(&[]);
    let bearer = format!("Bearer {token}");
    for (path, headers, status) in [
        ("/health", &[][..], 200),
        ("/openapi.json", &[], 200),
        ("/api/v1/user", &[("Authorization", bearer.as_str())], 200),
        ("/api/v1/user", &[], 401),
        ("/nowhere", &[], 404),
    ] {
        let answer = server.ask("HEAD", path, headers, "").expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (status, ""), "{path}");
        assert!(!answer.header("x-request-id").is_empty());
    }
}

#[test]
fn the_log_has_one_line_for_each_request_and_tells_no_secret() {
    let (_home, server, token) = started(&[]);
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("User-Agent", "agent-of-mine")];
    let answer =
        server.ask("GET", "/api/v1/user?token=in-the-query", &headers, "").expect("an answer");
    let id = answer.header("x-request-id");
    let line = &server.lines(&id, 1)[0];
    let (line, time) = line.rsplit_once(' ').expect("fields");
    assert!(time.strip_prefix("ms=").is_some_and(|ms| ms.parse::<u64>().is_ok()), "{time}");
    let (_, line) = line.split_once(' ').expect("a time");
    assert_eq!(
        line,
        format!(
            "info request id={id} client=127.0.0.1 user=\"ann\" method=GET path=\"/api/v1/user\" \
             status=200"
        )
    );

    let strange = "/api/v1/%22%0Arequest%20id=forged%1b[31m\"quoted\\";
    let answer = server.ask("GET", strange, &[], "").expect("an answer");
    let line = &server.lines(&answer.header("x-request-id"), 1)[0];
    assert!(line.contains("user=\"-\" ") && line.contains(" status=401 "), "{line}");
    assert!(line.contains("\\\"quoted\\\\\" "), "{line}");
    let body = json!({"username": "ann", "password": "Wrong-guess-1"});
    server.json("POST", LOGIN, "", &body).problem(401, "unauthorized");
    let (_, log) = server.terminate();
    for secret in ["in-the-query", &token, PASSWORD, "Wrong-guess-1", "agent-of-mine"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(log.chars().all(|c| c == '\n' || !c.is_control()), "{log}");
    assert_eq!(log.matches("method=GET path=\"/api/v1/user\"").count(), 1, "{log}");
}

#[test]
fn a_request_in_flight_is_finished_when_the_server_is_told_to_stop() {
    let (_home, server, _) = started(&[]);
    let body = json!({"username": "ann", "password": PASSWORD}).to_string();
    let (first, rest) = body.split_at(10);
    let mut slow = Line::to(server.address);
    slow.say(format!(
        "POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    ));
    // Its operation runs: it asks for the body.
    let go_on = slow.hear();
    assert!(go_on.starts_with("http/1.1 100 "), "{go_on}");
    slow.say(first);
    let mut idle = Line::to(server.address);
    idle.say("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(idle.hear().starts_with("http/1.1 200 "));

    Command::new("kill").arg(server.pid().to_string()).status().expect("kill");
    server.lines("stopping: requests in flight finish", 1);
    // Requests in flight have ten seconds.
    let closed = (0..800).any(|_| {
        thread::sleep(Duration::from_millis(10));
        TcpStream::connect(server.address).is_err()
    });
    assert!(closed, "newcomers are still let in");
    let mut nothing = [0; 1];
    assert_eq!(idle.0.read(&mut nothing).expect("an end"), 0, "idle connections are closed");
    slow.say(rest);
    let answer = slow.hear();
    assert!(answer.starts_with("http/1.1 200 "), "{answer}");
    assert!(answer.contains("\"refresh_token\":"), "{answer}");
    let (ended_well, log) = server.terminate();
    assert!(ended_well && log.ends_with("stopped\n"), "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn connections_beyond_the_bound_wait_until_one_ends() {
    let (_home, server, _) = started(&[("GATELODGE_SERVER__MAX_CONNECTIONS", "2")]);
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let greet = |line: &mut Line| {
        line.say(request);
        line.hear()
    };
    let alone = server.sockets_once_quiet();
    let mut kept = [Line::to(server.address), Line::to(server.address)];
    for line in &mut kept {
        assert!(greet(line).starts_with("http/1.1 200 "));
    }
    let mut waiting: Vec<Line> = (0..3).map(|_| Line::to(server.address)).collect();
    for line in &mut waiting {
        line.say(request);
    }
    for line in &mut kept {
        assert!(greet(line).starts_with("http/1.1 200 "), "those inside are served");
    }
    // Both are there, as they were served; no third is.
    assert!(server.sockets() <= alone + 2, "{} beside {alone}", server.sockets());
    drop(kept);
    for mut line in waiting {
        assert!(line.hear().starts_with("http/1.1 200 "), "and then the next");
    }
}

#[test]
fn one_connection_carries_many_requests() {
    let (_home, server, _) = started(&[]);
    let mut line = Line::to(server.address);
    let mut ids = Vec::new();
    for _ in 0..3 {
        line.say("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = line.hear();
        let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        ids.push(id.expect("an id").to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn bytes_that_are_no_request_are_refused_and_the_server_serves_on() {
    let (_home, server, token) = started(&[]);
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n"] {
        let mut line = Line::to(server.address);
        line.say(bytes);
        let _ = line.0.shutdown(std::net::Shutdown::Write);
        let mut heard = Vec::new();
        // A reset is an end, too.
        let _ = line.0.read_to_end(&mut heard);
        assert!(!heard.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&heard));
    }
    let me: Answer = server.json("GET", "/api/v1/user", &token, &Value::Null);
    assert_eq!(me.status, 200);
}
