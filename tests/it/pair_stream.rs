//! The live log over a real websocket.

use std::{fs, sync::Mutex, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt, future::join_all};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, handshake::client::Request},
};

use super::{
    house::{PASSWORD, Server, text},
    pair::Pair,
};

/// Only so that what hangs fails its test instead of stopping all of them; shorter than the
/// silence after which a stream ends by itself.
const PATIENCE: Duration = Duration::from_secs(60);
const NONE: Value = Value::Null;

/// More entries than the system takes on behalf of somebody who reads nothing; still done long before
/// the silence is over.
const MANY: usize = 5_000;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A real server with the admin `ann`, and `mia` who looks on.
struct Tower {
    server: Server,
    _home: TempDir,
    ann: Pair,
    mia: Pair,
    mia_id: String,
}

impl Tower {
    fn with(environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let server = Server::start(home.path(), environment);
        let body = json!({"username": "ann", "email": "ann@example.org", "password": PASSWORD});
        let made = server.json("POST", "/api/v1/setup/initialize", "", &body);
        let admin = text(&made.json()["token"]);
        let role = json!({"name": "watcher", "permissions": ["events-read"]});
        assert_eq!(server.json("POST", "/api/v1/roles", &admin, &role).status, 201);
        let body = json!({"username": "mia", "password": PASSWORD, "role": "watcher"});
        let made = server.json("POST", "/api/v1/users", &admin, &body);
        let mia_id = text(&made.json()["id"]);
        let (ann, mia) = (sign_in(&server, "ann"), sign_in(&server, "mia"));
        Self { server, _home: home, ann, mia, mia_id }
    }

    fn new() -> Self {
        Self::with(&[])
    }

    fn ticket(&self) -> String {
        self.ticket_of(&self.mia)
    }

    fn ticket_of(&self, reader: &Pair) -> String {
        let answer = self.server.json("GET", "/api/ws-token", &reader.access, &NONE);
        assert_eq!(answer.status, 200, "{}", answer.text());
        text(&answer.json()["token"])
    }

    /// Three more who look on.
    fn others(&self) -> [Pair; 3] {
        let admin = json!({"username": "ann", "password": PASSWORD});
        let admin = self.server.json("POST", "/api/v1/auth/login", "", &admin).json();
        ["noa", "ole", "pia"].map(|name| {
            let body = json!({"username": name, "password": PASSWORD, "role": "watcher"});
            let made = self.server.json("POST", "/api/v1/users", &text(&admin["token"]), &body);
            assert_eq!(made.status, 201, "{}", made.text());
            sign_in(&self.server, name)
        })
    }

    /// As many readers as one account may have.
    async fn crowd(&self, reader: &Pair) -> Vec<Socket> {
        let mut crowd = Vec::new();
        for _ in 0..16 {
            let asked = self.by_query(&self.ticket_of(reader));
            crowd.push(connect_async(asked).await.expect("a stream").0);
        }
        crowd
    }

    fn url(&self, query: &str) -> String {
        format!("ws://{}/api/ws/logs{query}", self.server.address)
    }

    /// A handshake by `?token=`.
    fn by_query(&self, ticket: &str) -> Request {
        self.url(&format!("?token={ticket}")).into_client_request().expect("a request")
    }

    async fn watch(&self) -> Socket {
        connect_async(self.by_query(&self.ticket())).await.expect("a stream").0
    }

    /// Changes something about `mia`.
    fn edit(&self, change: &Value) {
        let admin = json!({"username": "ann", "password": PASSWORD});
        let admin = self.server.json("POST", "/api/v1/auth/login", "", &admin).json();
        let path = format!("/api/v1/users/{}", self.mia_id);
        let answer = self.server.json("PATCH", &path, &text(&admin["token"]), change);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Asks for a path that no other request asks for.
    fn mark(&self, path: &str) {
        assert_eq!(self.server.json("GET", path, &self.ann.access, &NONE).status, 404);
    }
}

fn sign_in(server: &Server, name: &str) -> Pair {
    let body = json!({"username": name, "password": PASSWORD});
    Pair::of(&server.json("POST", "/api/auth/login", "", &body))
}

/// The first entry that fits; every message before it is one entry too.
async fn until<S>(socket: &mut WebSocketStream<S>, fits: impl Fn(&Value) -> bool) -> Value
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let reading = async {
        loop {
            let message = socket.next().await.expect("not closed").expect("a message");
            let Message::Text(text) = message else { continue };
            let entry: Value = serde_json::from_str(&text).expect("JSON");
            if fits(&entry) {
                return entry;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the entry")
}

fn asks_for(path: &str) -> impl Fn(&Value) -> bool {
    move |entry| entry["destination"] == path
}

/// Waits for the server's close.
async fn closed(mut socket: Socket) {
    let reading = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(_))) => return true,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return false,
            }
        }
    };
    let said = tokio::time::timeout(PATIENCE, reading).await.expect("an end");
    assert!(said, "it says that it closes");
}

fn refused(result: Result<(Socket, impl Sized), Error>) -> (u16, String) {
    match result {
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8_lossy(&body).into_owned())
        }
        Err(other) => panic!("no answer: {other}"),
        Ok(_) => panic!("let in"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_the_stream_by_query_or_by_a_subprotocol_that_is_echoed() {
    let tower = Tower::new();
    let (mut by_query, response) =
        connect_async(tower.by_query(&tower.ticket())).await.expect("a stream");
    assert_eq!(response.status().as_u16(), 101);
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
    let mut request = tower.url("").into_client_request().expect("a request");
    let protocol = format!("token.{}", tower.ticket());
    let offer = format!("chat, {protocol}").parse().expect("a header");
    request.headers_mut().insert("sec-websocket-protocol", offer);
    let (mut by_protocol, response) = connect_async(request).await.expect("a stream");
    assert_eq!(response.headers()["sec-websocket-protocol"], protocol.as_str());
    tower.mark("/api/both-hear-this");
    for socket in [&mut by_query, &mut by_protocol] {
        until(socket, asks_for("/api/both-hear-this")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_live_ticket_there_is_a_401_before_any_upgrade() {
    let tower = Tower::new();
    let missing = (401, "missing token".to_owned());
    let over = (401, "invalid or expired token".to_owned());
    let ask = async |query: &str| refused(connect_async(tower.url(query)).await);
    assert_eq!(ask("").await, missing);
    assert_eq!(ask("?token=").await, missing);
    assert_eq!(ask("?token=nonsense").await, over);
    assert_eq!(ask(&format!("?token={}", tower.mia.access)).await, over);
    let used = tower.ticket();
    let first = connect_async(tower.by_query(&used)).await.expect("a stream");
    assert_eq!(refused(connect_async(tower.by_query(&used)).await), over);
    drop(first);
    let late = tower.ticket();
    assert_eq!(tower.server.json("POST", "/api/logout", &tower.mia.access, &NONE).status, 200);
    assert_eq!(refused(connect_async(tower.by_query(&late)).await), over);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_with_one_ticket_exactly_one_gets_in() {
    let tower = Tower::new();
    let ticket = tower.ticket();
    let (mut inside, mut outside) = (0, 0);
    for result in join_all((0..50).map(|_| connect_async(tower.by_query(&ticket)))).await {
        match result {
            Ok(_) => inside += 1,
            Err(Error::Http(response)) if response.status() == 401 => outside += 1,
            Err(other) => panic!("no answer: {other}"),
        }
    }
    assert_eq!((inside, outside), (1, 49));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_elsewhere_is_refused_and_its_ticket_is_not_used_up() {
    let tower = Tower::with(&[("GATELODGE_SERVER__ALLOWED_ORIGINS", "https://app.example.org")]);
    let ticket = tower.ticket();
    let from = async |origin: &str| {
        let mut request = tower.by_query(&ticket);
        request.headers_mut().insert("origin", origin.parse().expect("a header"));
        connect_async(request).await
    };
    for origin in ["https://evil.example", "null", "https://app.example.org.evil.example"] {
        let refusal = refused(from(origin).await);
        assert_eq!(refusal, (403, "foreign origin".to_owned()), "{origin}");
    }
    assert_eq!(from("https://app.example.org").await.expect("a stream").1.status().as_u16(), 101);
    let ticket = tower.ticket();
    let mut request = tower.by_query(&ticket);
    let own = format!("http://{}", tower.server.address).parse().expect("a header");
    request.headers_mut().insert("origin", own);
    assert_eq!(connect_async(request).await.expect("a stream").1.status().as_u16(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_events_arrive_with_their_fields() {
    let tower = Tower::new();
    let mut socket = tower.watch().await;
    tower.mark("/api/marked?token=query-secret");
    let entry = until(&mut socket, asks_for("/api/marked")).await;
    let names: Vec<&String> = entry.as_object().expect("an object").keys().collect();
    let fields = "id timestamp client_ip method destination status bytes elapsed_ms user";
    assert_eq!(names, fields.split(' ').collect::<Vec<_>>());
    assert_eq!((&entry["client_ip"], &entry["method"]), (&json!("127.0.0.1"), &json!("GET")));
    assert_eq!((&entry["status"], &entry["user"]), (&json!(404), &json!("ann")));
    assert!(entry["bytes"].is_u64() && entry["elapsed_ms"].is_u64(), "{entry}");
    let moment = text(&entry["timestamp"]);
    let form: String = moment.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00 00:00:00");

    let failures = |entry: &Value| entry["type"] == "login_failure";
    let long = "x".repeat(33);
    for (typed, shown) in [("mia", "mia"), ("nobody", "nobody"), ("pass word!", ""), (&*long, "")] {
        let body = json!({"username": typed, "password": "Wrong-tree-9"});
        let answer = tower.server.json("POST", "/api/auth/login", "", &body);
        assert_eq!(answer.status, 401);
        let entry = until(&mut socket, failures).await;
        let names: Vec<&String> = entry.as_object().expect("an object").keys().collect();
        assert_eq!(names, ["type", "data"]);
        let data = &entry["data"];
        assert_eq!((&data["client_ip"], &data["username"]), (&json!("127.0.0.1"), &json!(shown)));
        assert_eq!(data["reason"], "invalid credentials");
        assert!(!entry.to_string().contains("Wrong-tree"), "{entry}");
    }
    sign_in(&tower.server, "ann");
    let entry = until(&mut socket, |entry| entry["type"] == "signed_in").await;
    let data = &entry["data"];
    assert_eq!((&data["username"], &data["dialect"]), (&json!("ann"), &json!("pair")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_in_the_query_is_in_no_log_and_no_entry() {
    let tower = Tower::new();
    let mut first = tower.watch().await;
    let ticket = tower.ticket();
    let _second = connect_async(tower.by_query(&ticket)).await.expect("a stream");
    let entry = until(&mut first, asks_for("/api/ws/logs")).await;
    assert_eq!((&entry["status"], &entry["bytes"]), (&json!(101), &json!(0)), "{entry}");
    let kept = tower.server.json("GET", "/api/logs?limit=1000", &tower.ann.access, &NONE).text();
    assert!(kept.contains("/api/ws/logs"), "{kept}");
    tower.mark("/api/the-log-has-come-so-far");
    tower.server.lines("the-log-has-come-so-far", 1);
    let log = tower.server.log();
    assert!(log.contains("/api/ws/logs"), "{log}");
    for text in [kept, log, entry.to_string()] {
        assert!(!text.contains(&ticket) && !text.contains("token="), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_arrive_masked_when_the_configuration_says_so() {
    let tower = Tower::with(&[("GATELODGE_LOGS__MASK_ADDRESSES", "true")]);
    let mut socket = tower.watch().await;
    tower.mark("/api/marked");
    assert_eq!(until(&mut socket, asks_for("/api/marked")).await["client_ip"], "127.0.0.0");
    sign_in(&tower.server, "ann");
    let event = until(&mut socket, |entry| entry["type"] == "signed_in").await;
    assert_eq!(event["data"]["client_ip"], "127.0.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_says_is_ignored() {
    let tower = Tower::new();
    let mut socket = tower.watch().await;
    let words = [
        Message::text("{\"type\":\"subscribe\"}"),
        Message::binary(vec![0xff; 1000]),
        Message::text("x".repeat(10_000)),
        Message::Ping("are you there".into()),
        Message::Pong("unasked".into()),
    ];
    for word in words {
        socket.send(word).await.expect("sent");
    }
    tower.mark("/api/after-all-that");
    until(&mut socket, asks_for("/api/after-all-that")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_sends_more_than_it_could_have_to_say_is_let_go() {
    let tower = Tower::new();
    let mut socket = tower.watch().await;
    // The server may hang up before all of it is sent.
    let _ = socket.send(Message::binary(vec![0; 1024 * 1024])).await;
    let reading = async {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an end");
    let mut other = tower.watch().await;
    tower.mark("/api/others-go-on");
    until(&mut other, asks_for("/api/others-go-on")).await;
}

/// Asks for this many unknown paths on one connection, a hundred at once.
async fn flood(tower: &Tower, times: usize) {
    let mut stream = TcpStream::connect(tower.server.address).await.expect("a connection");
    let request = format!("GET /flood-{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(249));
    let mut heard = String::new();
    let mut piece = vec![0; 64 * 1024];
    for _ in 0..times / 100 {
        stream.write_all(request.repeat(100).as_bytes()).await.expect("asked");
        let mut answered = 0;
        while answered < 100 {
            let read = stream.read(&mut piece).await.expect("answers");
            assert!(read > 0, "it hung up");
            heard.push_str(&String::from_utf8_lossy(&piece[..read]));
            answered += heard.matches("HTTP/1.1 404").count();
            // What may be the beginning of the next answer stays.
            let rest = heard.rfind("HTTP/1.1 404").map_or(0, |at| at + 12);
            heard = heard[rest..].to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_never_reads_slows_nobody_and_loses_entries() {
    let tower = Tower::with(&[("GATELODGE_LOG__ACCESS", "false")]);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("a small buffer");
    let stream = socket.connect(tower.server.address).await.expect("a connection");
    let request = tower.by_query(&tower.ticket());
    let mut slow = client_async(request, stream).await.expect("a stream").0;
    let mut quick = tower.watch().await;
    let quick = tokio::spawn(async move {
        until(&mut quick, asks_for("/api/after-the-flood")).await;
    });
    flood(&tower, MANY).await;
    tower.mark("/api/after-the-flood");
    quick.await.expect("the other reader heard it");

    // What the system held for it comes first, then what the server still had.
    let ids = Mutex::new(Vec::new());
    until(&mut slow, |entry| {
        ids.lock().expect("unpoisoned").extend(entry["id"].as_i64());
        entry["destination"] == "/api/after-the-flood"
    })
    .await;
    let ids = ids.into_inner().expect("unpoisoned");
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "in their order");
    assert!(ids.windows(2).any(|pair| pair[1] > pair[0] + 1), "{} of {MANY}", ids.len());
    tower.mark("/api/it-is-quick-again");
    until(&mut slow, |entry| entry["destination"] == "/api/it-is-quick-again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_never_reads_is_let_go_with_its_session_all_the_same() {
    let tower = Tower::with(&[("GATELODGE_LOG__ACCESS", "false")]);
    let connections = || tower.server.sockets();
    let before = tower.server.sockets_once_quiet();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("a small buffer");
    let stream = socket.connect(tower.server.address).await.expect("a connection");
    let request = tower.by_query(&tower.ticket());
    let slow = client_async(request, stream).await.expect("a stream").0;
    flood(&tower, MANY).await;
    assert!(connections() > before, "it is there");
    assert_eq!(tower.server.json("POST", "/api/logout", &tower.mia.access, &NONE).status, 200);
    // Not by its silence, which lasts longer.
    let mut patience = 600;
    while connections() > before && patience > 0 {
        patience -= 1;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(patience > 0, "it is still there");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_readers_as_may_be_all_hear_and_memory_stays_bounded() {
    let tower = Tower::new();
    let others = tower.others();
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", tower.server.pid()));
        let status = status.expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let digits = line.expect("a size").trim().trim_end_matches(" kB");
        digits.parse::<u64>().expect("a number")
    };
    let before = memory();
    let mut readers = tower.crowd(&tower.mia).await;
    for other in &others {
        readers.extend(tower.crowd(other).await);
    }
    for number in 0..20 {
        let path = format!("/api/heard-by-all-{number}");
        tower.mark(&path);
        join_all(readers.iter_mut().map(|reader| until(reader, asks_for(&path)))).await;
    }
    let grown = memory().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB for {} readers", readers.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_the_log_are_bounded_and_the_next_is_told_to_wait() {
    let tower = Tower::with(&[("GATELODGE_SERVER__MAX_CONNECTIONS", "3")]);
    let mut mine = tower.crowd(&tower.mia).await;
    let ticket = tower.ticket();
    let told = refused(connect_async(tower.by_query(&ticket)).await);
    assert_eq!(told, (503, "too many readers".to_owned()));
    closed_by_us(mine.pop().expect("a reader")).await;
    // The ticket was not used up; the seat is given back a moment after the farewell.
    let again = async {
        loop {
            match connect_async(tower.by_query(&ticket)).await {
                Ok((socket, _)) => return socket,
                other => assert_eq!(refused(other).0, 503),
            }
        }
    };
    mine.push(tokio::time::timeout(PATIENCE, again).await.expect("a seat"));
    let mut others = Vec::new();
    for other in &tower.others() {
        others.extend(tower.crowd(other).await);
    }
    // Who has no reader yet finds no seat either, and whoever signs in is not in their way.
    let asked = tower.by_query(&tower.ticket_of(&tower.ann));
    assert_eq!(refused(connect_async(asked).await).0, 503);
    sign_in(&tower.server, "ann");
    drop((mine, others));
}

async fn closed_by_us(mut socket: Socket) {
    socket.close(None).await.expect("said");
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_closes_with_its_session() {
    let tower = Tower::new();
    let socket = tower.watch().await;
    assert_eq!(tower.server.json("POST", "/api/logout", &tower.mia.access, &NONE).status, 200);
    closed(socket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_closes_with_its_account_and_with_the_right_to_read() {
    for change in [json!({"status": "disabled"}), json!({"role": "reader"})] {
        let tower = Tower::new();
        let socket = tower.watch().await;
        tower.edit(&change);
        closed(socket).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_opened_with_basic_closes_with_the_password() {
    let tower = Tower::new();
    let basic = format!("Basic {}", STANDARD.encode(format!("mia:{PASSWORD}")));
    let answer = tower.server.ask("GET", "/api/ws-token", &[("Authorization", &basic)], "");
    let ticket = text(&answer.expect("an answer").json()["token"]);
    let socket = connect_async(tower.by_query(&ticket)).await.expect("a stream").0;
    let body = json!({"current_password": PASSWORD, "new_password": "Chestnut-tree-8"});
    let answer = tower.server.json("POST", "/api/change-password", &tower.mia.access, &body);
    assert_eq!(answer.status, 200);
    closed(socket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_close_when_the_server_stops_also_those_that_nobody_reads() {
    let tower = Tower::new();
    let (socket, unread) = (tower.watch().await, tower.watch().await);
    let Tower { server, _home, .. } = tower;
    let stopping = tokio::task::spawn_blocking(move || server.terminate());
    closed(socket).await;
    let (well, log) = stopping.await.expect("no panic");
    assert!(well && log.ends_with("stopped\n"), "{log}");
    closed(unread).await;
}
