//! Hostile cases: guessing and flooding.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Stdio,
    time::Duration,
};

use bytes::Bytes;
use gatelodge::http::{
    BodyLimits,
    serve::{Limits, Listener, serve},
};
use http_body::Frame;
use http_body_util::{Either, Empty, StreamBody};
use poem::{
    endpoint::make_sync,
    http::{HeaderMap, HeaderValue, Method, StatusCode},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::house::{Answer, House, PASSWORD, Server, cheap, gatelodge, text};

const KIB: u64 = 1024;
const LANE_KIB: u64 = 19_456;
/// Argon2 as it is by default.
const REAL: [(&str, &str); 2] =
    [("GATELODGE_AUTH__ARGON2_MEMORY_COST", "19456"), ("GATELODGE_AUTH__ARGON2_TIME_COST", "2")];

/// A figure of `/proc/PID/status`, in KiB.
fn memory(server: &Server, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
    let status = status.expect("a running server");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a figure");
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
}

fn add_user(folder: &Path, name: &str, environment: &[(&str, &str)]) {
    let mut adding = gatelodge()
        .args(["user", "add", name, "--password-stdin"])
        .current_dir(folder)
        .envs(cheap())
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program");
    let mut input = adding.stdin.take().expect("its input");
    writeln!(input, "{PASSWORD}").expect("written");
    drop(input);
    assert!(adding.wait().expect("an end").success());
}

/// A sign-in that a proxy on this machine forwards.
fn forwarded(server: &Server, client: &str, password: &str) -> Answer {
    let body = json!({"username": "ann", "password": password}).to_string();
    let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", client)];
    server.ask("POST", "/api/v1/auth/login", &headers, &body).expect("an answer")
}

fn in_database(folder: &TempDir, statement: &str) {
    let path = folder.path().join("gatelodge.db");
    let database = rusqlite::Connection::open(path).expect("the database");
    database.execute_batch(statement).expect("a statement");
}

#[test]
fn a_name_that_is_nobodys_costs_the_same_hash_as_a_known_one() {
    // One hash takes 128 MiB here: whoever takes the way around it is seen by its memory.
    const BIG: [(&str, &str); 2] =
        [("GATELODGE_AUTH__ARGON2_MEMORY_COST", "131072"), ("GATELODGE_AUTH__HASH_LANES", "1")];
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["ann", "bob", "dora"] {
        add_user(folder.path(), name, &BIG);
    }
    in_database(
        &folder,
        "UPDATE accounts SET status = 'disabled' WHERE username = 'dora';
         UPDATE accounts SET password_hash = NULL WHERE username = 'bob';",
    );
    for (name, proof) in [
        ("ann", json!({"password": "not-this-one"})),
        ("nobody", json!({"password": "not-this-one"})),
        ("bob", json!({"password": PASSWORD})),
        ("dora", json!({"password": PASSWORD})),
        ("nobody", json!({"pin": "2580"})),
        ("ann", json!({"pin": "2580"})),
    ] {
        let server = Server::start(folder.path(), &BIG);
        let before = memory(&server, "VmHWM:");
        let mut knock = json!({"username": name});
        knock.as_object_mut().expect("one").extend(proof.as_object().expect("one").clone());
        let answer = server.json("POST", "/api/v1/auth/session", "", &knock);
        assert_eq!(answer.problem(401, "unauthorized"), "wrong name or password");
        let grown = memory(&server, "VmHWM:") - before;
        assert!((120 * KIB..160 * KIB).contains(&grown), "{knock}: {grown} KiB");
    }
}

#[test]
fn two_hundred_sign_ins_at_once_stay_within_the_memory_of_the_lanes() {
    let folder = tempfile::tempdir().expect("a folder");
    add_user(folder.path(), "ann", &REAL);
    let mut environment = REAL.to_vec();
    environment.extend([
        ("GATELODGE_AUTH__HASH_LANES", "2"),
        ("GATELODGE_AUTH__HASH_QUEUE", "64"),
        // Each wrong one shall reach the hasher.
        ("MAX_LOGIN_ATTEMPTS", "20"),
    ]);
    let idle = {
        let server = Server::start(folder.path(), &environment);
        memory(&server, "VmRSS:")
    };
    let server = Server::start(folder.path(), &environment);
    let knock = |password: &str| {
        let body = json!({"username": "ann", "password": password});
        server.json("POST", "/api/v1/auth/login", "", &body)
    };
    let token = text(&knock(PASSWORD).json()["token"]);
    let flood = |password: &str| -> Vec<Answer> {
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..200).map(|_| scope.spawn(|| knock(password))).collect();
            for _ in 0..20 {
                let me = server.json("GET", "/api/v1/user", &token, &Value::Null);
                assert_eq!(me.status, 200, "a token is checked meanwhile");
            }
            all.into_iter().map(|one| one.join().expect("an answer")).collect()
        })
    };
    let statuses = |answers: &[Answer]| {
        for answer in answers {
            assert!([200, 401, 429, 503].contains(&answer.status), "{}", answer.text());
            let told = answer.header("retry-after").parse::<u64>().is_ok_and(|s| s > 0);
            assert_eq!(told, [429, 503].contains(&answer.status), "{}", answer.status);
        }
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        (count(200), count(401), count(429), count(503))
    };
    let (right, wrong, _, busy) = statuses(&flood(PASSWORD));
    assert!(right >= 66 && busy > 0 && wrong == 0, "{right} signed in, {busy} told to wait");
    let (right, wrong, ..) = statuses(&flood("not-this-one"));
    assert_eq!((right, wrong), (0, 20), "no more than the throttle allows");
    assert_eq!(knock(PASSWORD).status, 429);

    let peak = memory(&server, "VmHWM:");
    let most = idle + 2 * LANE_KIB + 15 * KIB;
    assert!(peak <= most, "peak {peak} KiB, idle {idle} KiB, at most {most} KiB");
}

#[test]
fn one_address_takes_no_places_from_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [
        &REAL[..],
        &[
            ("GATELODGE_AUTH__HASH_LANES", "1"),
            ("GATELODGE_AUTH__HASH_QUEUE", "8"),
            ("GATELODGE_SERVER__TRUSTED_PROXIES", "127.0.0.1"),
        ],
    ]
    .concat();
    add_user(folder.path(), "ann", &environment);
    let server = Server::start(folder.path(), &environment);
    let sign_in = |client: &str| forwarded(&server, client, PASSWORD).status;
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let crowd = || {
            let mut told = Vec::new();
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                told.push(sign_in("203.0.113.7"));
                std::thread::sleep(Duration::from_millis(5));
            }
            told
        };
        let all: Vec<_> = (0..24).map(|_| scope.spawn(crowd)).collect();
        let others: Vec<_> = (1..=10).map(|n| sign_in(&format!("198.51.100.{n}"))).collect();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        let crowd = all.into_iter().flat_map(|one| one.join().expect("answers"));
        let crowd: Vec<_> = crowd.collect();
        assert!(crowd.contains(&200) && crowd.contains(&503), "a crowd: {crowd:?}");
        assert!(others.iter().all(|status| *status == 200), "{others:?}");
    });
}

/// One connection that is kept.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn to(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).expect("a connection")))
    }

    /// The status of a sign-in as `name` that a proxy says comes from `from`.
    fn knock(&mut self, name: &str, from: &str) -> u16 {
        let body = json!({"username": name, "password": "not-this-one"}).to_string();
        let head = format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {from}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(head.as_bytes()).expect("sent");
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a line");
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().expect("a status");
            }
            let lower = line.to_ascii_lowercase();
            if let Some(rest) = lower.strip_prefix("content-length:") {
                length = rest.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        status
    }
}

#[test]
fn ten_thousand_invented_names_and_addresses_take_no_memory_and_lock_out_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    add_user(folder.path(), "ann", &[]);
    let server = Server::start(
        folder.path(),
        &[
            ("GATELODGE_SERVER__TRUSTED_PROXIES", "127.0.0.0/8"),
            ("GATELODGE_RATE_LIMIT__REQUESTS_PER_SECOND", "1000"),
        ],
    );
    let flood = |numbers: std::ops::Range<u32>| {
        let mut kept = Kept::to(server.address);
        for number in numbers {
            let [_, b, c, d] = number.to_be_bytes();
            let status = kept.knock(&format!("invented{number}"), &format!("198.{b}.{c}.{d}"));
            assert_eq!(status, 401);
        }
    };
    flood(0..1_000);
    let before = memory(&server, "VmRSS:");
    std::thread::scope(|scope| {
        for quarter in 0..4 {
            scope.spawn(move || flood(1_000 + quarter * 2_500..1_000 + (quarter + 1) * 2_500));
        }
    });
    let grown = memory(&server, "VmRSS:").saturating_sub(before);
    assert!(grown < 8 * KIB, "{grown} KiB for 10,000 names");
    let body = json!({"username": "ann", "password": PASSWORD});
    assert_eq!(server.json("POST", "/api/v1/auth/login", "", &body).status, 200);
    let events = || -> i64 {
        let database = rusqlite::Connection::open(folder.path().join("gatelodge.db"));
        let database = database.expect("the database");
        let count = "SELECT count(*) FROM events WHERE kind = 'login_failure'";
        database.query_row(count, [], |row| row.get(0)).expect("a count")
    };
    // Written line by line up to a bound for each minute, and counted beyond it.
    assert!(events() <= 60 * 10, "{} lines", events());
}

#[tokio::test]
async fn parallel_guesses_do_not_slip_through_the_throttle() {
    let house = House::lived_in().await;
    let guesses = (0..50).map(|number| {
        let body = json!({"username": "bob", "password": format!("guess-number-{number}")});
        house.post("/api/v1/auth/login").json(&body).send()
    });
    let answers = futures_util::future::join_all(guesses).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(401), count(429)), (5, 45));
    let basics = (0..50).map(|number| {
        let ask = house.get("/api/v1/user").from("10.0.0.9");
        ask.basic("bob", &format!("guess-number-{number}")).send()
    });
    let answers = futures_util::future::join_all(basics).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(401), count(429)), (5, 45));
}

#[tokio::test]
async fn deep_and_wide_json_is_refused_before_it_costs_anything() {
    let house = House::lived_in().await;
    let admin = house.token("ann").await;
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    let (arrays, objects) = (deep("[", "]"), deep("{\"a\":", "}").replace(":}", ":1}"));
    let wide = format!("[{}0]", "0,".repeat(400_000));
    for nested in [&arrays, &objects, &wide] {
        for (path, body) in [
            ("/api/v1/auth/login", nested.clone()),
            ("/api/v1/auth/login", format!("{{\"username\":{nested}}}")),
            ("/api/v1/auth/login", format!("{{\"unknown\":{nested}}}")),
            ("/api/v1/auth/refresh", format!("{{\"refresh_token\":{nested}}}")),
            ("/api/v1/roles", format!("{{\"name\":\"x\",\"permissions\":{nested}}}")),
            ("/api/v1/user/pin", format!("{{\"pin\":{nested}}}")),
        ] {
            let ask = house.post(path).bearer(&admin).raw("application/json", body);
            let answer = ask.send().await;
            assert!([400, 422].contains(&answer.status), "{path}: {}", answer.status);
            assert!(answer.body.len() < 500, "{path}");
        }
    }
    let names = format!("[{}\"z\"]", "\"a\",".repeat(250_000));
    let many = format!("{{\"name\":\"x\",\"permissions\":{names}}}");
    let ask = house.post("/api/v1/roles").bearer(&admin).raw("application/json", many);
    ask.send().await.problem(422, "unprocessable");
    let million = format!("[{}0]", "0,".repeat(1_000_000));
    let ask = house.post("/api/v1/auth/login").raw("application/json", million);
    ask.send().await.problem(413, "bad_request");
}

#[tokio::test]
async fn a_password_of_a_megabyte_is_never_hashed() {
    let house = House::lived_in().await;
    let long = "x".repeat(1_000_000);
    let token = house.token("bob").await;
    let hashes = async || {
        let text = house.get("/metrics").send().await.text();
        let line = text.lines().find(|line| line.starts_with("gatelodge_hash_seconds_count "));
        line.expect("a count").to_owned()
    };
    let before = hashes().await;
    for name in ["bob", "nobody"] {
        let login = json!({"username": name, "password": long});
        let ask = house.post("/api/v1/auth/login").json(&login);
        ask.send().await.problem(401, "unauthorized");
    }
    assert_eq!(hashes().await, before);
    for new in [&long, &"x".repeat(1_025)] {
        let change = json!({"current_password": PASSWORD, "new_password": new});
        let ask = house.post("/api/v1/user/password").bearer(&token).json(&change);
        ask.send().await.problem(422, "unprocessable");
    }
    let beyond = json!({"username": "bob", "password": "x".repeat(1024 * 1024)});
    let ask = house.post("/api/v1/auth/login").json(&beyond);
    ask.send().await.problem(413, "bad_request");
    // 1,024 bytes are the most that somebody can have.
    let most = "x".repeat(1_024);
    let change = json!({"current_password": PASSWORD, "new_password": most});
    let changed = house.post("/api/v1/user/password").bearer(&token).json(&change).send().await;
    assert_eq!(changed.status, 200);
    let login = json!({"username": "bob", "password": most});
    assert_eq!(house.post("/api/v1/auth/login").json(&login).send().await.status, 200);
}

#[tokio::test]
async fn a_compressed_body_is_refused_unread() {
    let house = House::lived_in().await;
    let body = json!({"username": "bob", "password": PASSWORD});
    for path in ["/api/v1/auth/login", "/api/health", "/health", "/"] {
        for encoding in ["gzip", "GZIP", "br", "deflate", "zstd", "gzip, gzip", "x"] {
            let ask = house.post(path).json(&body).header("content-encoding", encoding);
            assert_eq!(ask.send().await.status, 415, "{path} {encoding}");
        }
        let two = house.post(path).json(&body).header("content-encoding", "identity");
        assert_eq!(two.also("content-encoding", b"gzip").send().await.status, 415, "{path}");
    }
}

#[test]
fn bodies_that_come_slowly_or_without_an_end_hold_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    add_user(folder.path(), "ann", &[]);
    let server = Server::start(folder.path(), &[]);
    let connect = || TcpStream::connect(server.address).expect("a connection");
    let slow: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = connect();
            let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\n\
                        Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
            stream.write_all(head.as_bytes()).expect("sent");
            stream
        })
        .collect();
    let mut endless = connect();
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    endless.write_all(head.as_bytes()).expect("sent");
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    // It stops listening after 1 MiB; what is sent beyond may fail.
    while endless.write_all(chunk.as_bytes()).is_ok() {
        let mut first = [0; 12];
        endless.set_read_timeout(Some(Duration::from_millis(1))).expect("set");
        if endless.read_exact(&mut first).is_ok() {
            assert_eq!(&first, b"HTTP/1.1 413");
            break;
        }
    }
    let body = json!({"username": "ann", "password": PASSWORD});
    assert_eq!(server.json("POST", "/api/v1/auth/login", "", &body).status, 200);
    drop(slow);
}

/// A connection from 127.0.0.`from`.
fn connect_from(from: u8, server: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let stream = runtime.expect("a runtime").block_on(async {
        socket.connect(server).await.expect("a connection").into_std().expect("a stream")
    });
    stream.set_nonblocking(false).expect("set");
    stream
}

/// What lies in the system between a server and its clients, in bytes.
fn under_way(server: SocketAddr) -> u64 {
    let port = format!(":{:04X}", server.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the system's connections");
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = lines.filter(|line| line[1].ends_with(&port) || line[2].ends_with(&port));
    let bytes = |text: &str| u64::from_str_radix(text, 16).expect("a number");
    ours.map(|line| line[4].split(':').map(bytes).sum::<u64>()).sum()
}

#[test]
fn large_bodies_that_never_end_refuse_no_sign_in() {
    const LARGE: usize = 8 * 1024 * 1024;
    let folder = tempfile::tempdir().expect("a folder");
    add_user(folder.path(), "ann", &[]);
    let server = Server::start(folder.path(), &[]);
    // Four of them are all that there is for large bodies, and each waits for its last byte.
    let held = [1, 2, 3, 4].map(|from| {
        let mut stream = connect_from(from, server.address);
        let head = format!(
            "PUT /subscriptions/ann/phone.json HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nContent-Length: {LARGE}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(&vec![b' '; LARGE - 1]).expect("sent");
        stream
    });
    while under_way(server.address) > 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let body = json!({"username": "ann", "password": PASSWORD});
    assert_eq!(server.json("POST", "/api/v1/auth/login", "", &body).status, 200);
    drop(held);
}

/// As many requests of HTTP/2 with these headers as one connection from 127.0.0.`from` may have but one,
/// all of whose bodies never come. The server has all of them when this is done.
async fn await_bodies(
    (from, server): (u8, SocketAddr),
    headers: &HeaderMap,
) -> JoinSet<hyper::Result<StatusCode>> {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).expect("an address");
    let stream = socket.connect(server).await.expect("a connection");
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.expect("HTTP/2");
    let mut waiting = JoinSet::new();
    tokio::spawn(connection);
    let mut ask = |method: Method| {
        let frames = futures_util::stream::pending::<Result<Frame<Bytes>, io::Error>>();
        let mut request = hyper::Request::new(match method {
            Method::GET => Either::Left(Empty::new()),
            _ => Either::Right(StreamBody::new(frames)),
        });
        *request.method_mut() = method;
        *request.uri_mut() = format!("http://{server}/health").parse().expect("an address");
        request.headers_mut().clone_from(headers);
        sender.send_request(request)
    };
    for _ in 0..31 {
        let asked = ask(Method::POST);
        waiting.spawn(async { asked.await.map(|answer| answer.status()) });
    }
    // It has no body, waits for none, and comes behind all others.
    assert_eq!(ask(Method::GET).await.expect("an answer").status(), 200);
    waiting
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_whose_bodies_never_come_are_bounded_with_their_headers() {
    let folder = tempfile::tempdir().expect("a folder");
    add_user(folder.path(), "ann", &[]);
    let server = Server::start(folder.path(), &[]);
    let mut headers = HeaderMap::new();
    for name in ["user-agent", "x-b", "x-c", "x-d", "x-e", "x-f", "x-g"] {
        // Each of them is sent as it is, and not as what came before.
        let mut large = HeaderValue::from_bytes(&[b'x'; 4_000]).expect("a header");
        large.set_sensitive(true);
        headers.insert(name, large);
    }
    let before = memory(&server, "VmHWM:");
    let mut crowd = Vec::new();
    for _ in 0..64 {
        crowd.push(await_bodies((2, server.address), &headers).await);
    }
    let body = json!({"username": "ann", "password": PASSWORD});
    assert_eq!(server.json("POST", "/api/v1/auth/login", "", &body).status, 200);
    // 1,984 requests of 28 kB each.
    let grown = memory(&server, "VmHWM:") - before;
    assert!(grown < 32 * KIB, "{grown} KiB");
    let mut refused = 0;
    // On a slow machine the first are told by then that their bodies do not come.
    while refused < 1_800 && crowd.iter().any(|connection| !connection.is_empty()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        for connection in &mut crowd {
            while let Some(status) = connection.try_join_next() {
                let status = status.expect("no panic").expect("an answer");
                refused += u32::from(status == StatusCode::SERVICE_UNAVAILABLE);
            }
        }
    }
    assert!(refused >= 1_200, "{refused}");
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_answered_and_gives_back_its_share() {
    // One body of one client's finds room.
    let time = Duration::from_millis(50);
    let bodies = BodyLimits { time, small: 4, large: 4, ..BodyLimits::default() };
    let house = House::lived_in_with(|plan| plan.http.bodies = bodies).await;
    let body = json!({"username": "ann", "password": PASSWORD});
    let login = || house.post("/api/v1/auth/login").json(&body);
    for _ in 0..2 {
        let (slow, other) = tokio::join!(login().endless().send(), login().send());
        slow.problem(400, "bad_request");
        other.problem(503, "busy");
    }
    assert_eq!(login().send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_stay_silent_or_dribble_a_header_give_back_their_places() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let limits = Limits { header_time: Duration::from_secs(1), ..Limits::connections(4) };
    let endpoint = make_sync(|_| "served");
    tokio::spawn(serve(vec![Listener::plain(listener)], endpoint, limits, std::future::pending()));
    let asked = tokio::task::spawn_blocking(move || {
        // They take all places.
        let silent =
            ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nHost: x\r\nX"].map(|said| {
                let mut stream = TcpStream::connect(address).expect("a connection");
                stream.write_all(said.as_bytes()).expect("sent");
                stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
                stream
            });
        let mut last = TcpStream::connect(address).expect("a connection");
        let ask = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        last.write_all(ask).expect("sent");
        last.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        let mut answer = String::new();
        last.read_to_string(&mut answer).expect("an answer");
        for mut stream in silent {
            let mut rest = Vec::new();
            match stream.read_to_end(&mut rest) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
            }
        }
        answer
    });
    let answer = asked.await.expect("no panic");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("served"), "{answer}");
}

#[tokio::test]
async fn a_connection_of_http_2_that_only_answers_pings_gives_back_its_place() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let limits = Limits { header_time: Duration::from_secs(1), ..Limits::connections(1) };
    let endpoint = make_sync(|_| "served");
    tokio::spawn(serve(vec![Listener::plain(listener)], endpoint, limits, std::future::pending()));
    for round in 0..2 {
        // The second one is served once the first, which keeps answering pings, is shown out.
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, io).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let request = hyper::Request::get(format!("http://{address}/"))
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), 200, "{round}");
        drop(response);
        // It ends although its sender is still there.
        let _ = connection.await.expect("no panic");
        drop(sender);
    }
}

#[tokio::test]
async fn a_connection_of_http_2_that_takes_no_answer_gives_back_its_place() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let limits = Limits { header_time: Duration::from_secs(1), ..Limits::connections(1) };
    let endpoint = make_sync(|_| bytes::Bytes::from(vec![b'x'; 100_000]));
    tokio::spawn(serve(vec![Listener::plain(listener)], endpoint, limits, std::future::pending()));
    // No room at all, and room for one byte.
    for window in [0, 1] {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let io = hyper_util::rt::TokioIo::new(stream);
        let mut builder =
            hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (mut sender, connection) = builder.handshake(io).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let request = hyper::Request::get(format!("http://{address}/"))
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), 200, "{window}");
        // It ends although the client answers pings and still has the answer before it.
        let ended = tokio::time::timeout(Duration::from_secs(60), connection).await;
        let _ = ended.expect("shown out").expect("no panic");
        drop((response, sender));
    }
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = || Server::start(folder.path(), &[]);
    let mut server = start();
    let first = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
    let ann = server.json("POST", "/api/v1/setup/initialize", "", &first);
    let admin = text(&ann.json()["token"]);
    for round in 0..3 {
        let name = format!("guest{round}");
        let post = |path: &str, token: &str, body: Value| server.json("POST", path, token, &body);
        let guest = json!({"username": name, "password": PASSWORD});
        assert_eq!(post("/api/v1/users", &admin, guest).status, 201);
        let knock = json!({"username": name, "password": PASSWORD});
        let login = || post("/api/v1/auth/login", "", knock.clone()).json();
        let (ended, kept) = (login(), text(&login()["token"]));
        let mint = |name: &str| {
            let key = post("/api/v1/api-keys", &kept, json!({"name": name})).json();
            (text(&key["key"]), format!("/api/v1/api-keys/{}", text(&key["id"])))
        };
        let ((key, _), (revoked, path)) = (mint("kept"), mint("revoked"));
        assert_eq!(server.json("GET", "/api/v1/user", &revoked, &Value::Null).status, 200);
        let out = post("/api/v1/auth/logout", &text(&ended["token"]), Value::Null);
        assert_eq!(out.status, 200);
        assert_eq!(server.json("DELETE", &path, &kept, &Value::Null).status, 204);
        // The very moment after the answer.
        server.kill();

        server = start();
        let status = |token: &str| server.json("GET", "/api/v1/user", token, &Value::Null).status;
        assert_eq!([status(&admin), status(&kept), status(&key)], [200, 200, 200]);
        assert_eq!([status(&text(&ended["token"])), status(&revoked)], [401, 401]);
        let late = json!({"refresh_token": ended["refresh_token"]});
        assert_eq!(server.json("POST", "/api/v1/auth/refresh", "", &late).status, 401);
        assert_eq!(server.json("POST", "/api/v1/auth/login", "", &knock).status, 200);
    }
}

#[test]
fn a_database_that_cannot_be_used_stops_the_start_and_stays_as_it_is() {
    let refused = |folder: &Path, words: &str| {
        let path = folder.join("gatelodge.db");
        let before = std::fs::read(&path).ok();
        let mut command = gatelodge();
        command.current_dir(folder).env("GATELODGE_SERVER__LISTEN", "127.0.0.1:0").envs(cheap());
        let ended = command.output().expect("the program");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && said.contains(words), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        assert!(std::fs::read(&path).ok() == before, "{words}: the file was changed");
    };
    let newer = tempfile::tempdir().expect("a folder");
    add_user(newer.path(), "ann", &[]);
    in_database(&newer, "PRAGMA user_version = 9999; PRAGMA wal_checkpoint(TRUNCATE);");
    refused(newer.path(), "install the newer");
    let garbage = tempfile::tempdir().expect("a folder");
    std::fs::write(garbage.path().join("gatelodge.db"), [0x5a; 8192]).expect("written");
    refused(garbage.path(), "is not a SQLite database");
    let foreign = tempfile::tempdir().expect("a folder");
    in_database(&foreign, "CREATE TABLE things (name TEXT);");
    refused(foreign.path(), "of another program");
    let file = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(file.path().join("gatelodge.db")).expect("a folder in the way");
    refused(file.path(), "gatelodge.db");
}
