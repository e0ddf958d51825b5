//! Faults: too many connections, and no files left for them.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    deeds::first_account,
    house::{Server, gatelodge},
    program::folder,
};

const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(60)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    Some(stream)
}

/// Whether a kept connection is served.
fn is_served(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 4096];
    stream.write_all(REQUEST).is_ok()
        && stream.read(&mut bytes).is_ok_and(|count| bytes[..count].starts_with(b"HTTP/1.1 200"))
}

/// A figure of `/proc/PID/status`.
fn figure(server: &Server, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
    let status = status.expect("a running server");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a figure");
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
}

/// The files that a process has open.
fn files(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("its files").count()
}

fn limit(server: &Server, files: &str) {
    let pid = server.pid().to_string();
    let done = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={files}")]).status();
    assert!(done.expect("prlimit").success());
}

/// Time on a processor, in hundredths of a second.
fn ticks(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("a process");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let number = |at: usize| fields[at].parse::<u64>().expect("a number");
    number(11) + number(12)
}

#[test]
fn a_server_without_files_left_serves_on_says_so_once_and_recovers() {
    let home = folder();
    let server = Server::start(home.path(), &[]);
    let token = first_account(&server);
    // What is opened once is open.
    assert_eq!(server.json("GET", "/api/v1/users", &token, &Value::Null).status, 200);
    let mut inside = connect(server.address).expect("a connection");
    assert!(is_served(&mut inside));
    limit(&server, &format!("{}:", files(&server) + 4));
    let waiting: Vec<TcpStream> =
        (0..40).map(|_| connect(server.address).expect("a connection")).collect();
    server.lines("trouble kind=connections", 1);
    let before = ticks(&server);
    thread::sleep(Duration::from_secs(2));
    // A loop that does not wait takes a whole processor: two hundred.
    let busy = ticks(&server) - before;
    assert!(busy < 100, "{busy} of 200");
    for _ in 0..5 {
        assert!(is_served(&mut inside), "those inside are served");
    }
    drop(waiting);
    let again = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(50));
        connect(server.address).is_some_and(|mut line| is_served(&mut line))
    });
    assert!(again, "newcomers are let in again");
    assert_eq!(server.lines("trouble kind=connections", 1).len(), 1, "{}", server.log());
    assert!(!server.log().contains(" panic "));
}

/// The program, started with so many files allowed.
fn allowed(home: &std::path::Path, files: &str, connections: &str) -> Server {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={files}")).arg(gatelodge().get_program()).current_dir(home);
    Server::run(command, &[("GATELODGE_SERVER__MAX_CONNECTIONS", connections)])
}

#[test]
fn what_the_system_allows_is_raised_and_what_it_does_not_allow_is_not_promised() {
    let home = folder();
    let server = allowed(home.path(), "100:1000", "512");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    assert!(line.contains(" 672 "), "{line}");
    assert!(!server.log().contains("max_connections"), "{}", server.log());
    server.kill();
    let server = allowed(home.path(), "164:164", "512");
    // It says so after it says where it serves.
    server.lines("4 connections are taken at once", 1);
    // They wait outside, and nothing goes wrong within.
    let mut inside: Vec<TcpStream> =
        (0..4).map(|_| connect(server.address).expect("a connection")).collect();
    assert!(inside.iter_mut().all(is_served));
    let mut outside = connect(server.address).expect("the backlog");
    outside.write_all(REQUEST).expect("sent");
    assert!(inside.iter_mut().all(is_served));
    drop(inside);
    let mut bytes = [0; 12];
    outside.read_exact(&mut bytes).expect("an answer");
    assert_eq!(&bytes, b"HTTP/1.1 200");
    assert!(!server.log().contains("trouble"), "{}", server.log());
}

/// Room for the other ends of so many connections in this process.
fn may_open(files: u64) -> bool {
    // SAFETY: rlimit is plain data; both pointers are to one of ours.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 || limit.rlim_max < files {
            return false;
        }
        limit.rlim_cur = limit.rlim_cur.max(files);
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
    }
}

const CROWD: usize = 10_000;
/// Whoever is silent is shown out half a minute after it was let in, so all have to be there by then: so
/// long may it take them to connect, and so long until all of them were looked at.
const CONNECTED: Duration = Duration::from_secs(12);
const LOOKED_AT: Duration = Duration::from_secs(28);

/// Ten thousand who are let in and say nothing.
struct Crowd {
    lines: Vec<TcpStream>,
    /// Each of a sample spoke once and was answered.
    served: bool,
    files: usize,
    memory: u64,
}

impl Crowd {
    /// `None` when it took so long that the first may have been gone before the last was there.
    fn gathered(server: &Server) -> Option<Self> {
        let begun = Instant::now();
        let mut lines: Vec<TcpStream> = thread::scope(|scope| {
            let part =
                || -> Vec<_> { (0..CROWD / 2).filter_map(|_| connect(server.address)).collect() };
            let halves: [_; 2] = std::array::from_fn(|_| scope.spawn(part));
            halves.into_iter().flat_map(|half| half.join().expect("connections")).collect()
        });
        let connected = begun.elapsed();
        let served = lines.iter_mut().step_by(97).all(is_served);
        // In the time that is left the server takes what waits, or something is wrong with it.
        for _ in 0..400 {
            if files(server) > CROWD {
                break;
            }
            thread::sleep(Duration::from_millis(25));
        }
        let (files, memory) = (files(server), figure(server, "VmRSS:"));
        let in_time = connected < CONNECTED && begun.elapsed() < LOOKED_AT;
        in_time.then_some(Self { lines, served, files, memory })
    }
}

/// Whether those who came are gone.
fn is_empty_again(server: &Server) -> bool {
    (0..1200).any(|_| {
        thread::sleep(Duration::from_millis(50));
        files(server) < 200
    })
}

#[test]
fn ten_thousand_idle_connections_take_bounded_memory_and_others_are_served() {
    if !may_open(CROWD as u64 + 1_000) {
        println!("NOT CHECKED: ten thousand connections need ulimit -n 11000");
        return;
    }
    let home = folder();
    let most = (CROWD + 8).to_string();
    let server = Server::start(home.path(), &[("GATELODGE_SERVER__MAX_CONNECTIONS", &most)]);
    let token = first_account(&server);
    let before = figure(&server, "VmRSS:");
    let gathered = (0..3).find_map(|_| {
        let crowd = Crowd::gathered(&server);
        assert!(crowd.is_some() || is_empty_again(&server), "{} are left", files(&server));
        crowd
    });
    let Some(crowd) = gathered else {
        println!("NOT CHECKED: ten thousand connections need a machine that makes them in 12 s");
        return;
    };
    assert_eq!(crowd.lines.len(), CROWD);
    assert!(crowd.served, "those of a sample are served and kept");
    assert!(crowd.files > CROWD, "only {} are in", crowd.files);
    let grown = crowd.memory.saturating_sub(before);
    for _ in 0..20 {
        let me = server.json("GET", "/api/v1/user", &token, &Value::Null);
        assert_eq!(me.status, 200, "others are served");
    }
    println!("{CROWD} idle connections: {grown} KiB more, {before} KiB before");
    assert!(grown < 20 * CROWD as u64, "{grown} KiB");
    drop(crowd);
    assert!(is_empty_again(&server), "{} are left", files(&server));
    assert_eq!(server.json("GET", "/api/v1/user", &token, &Value::Null).status, 200);
}
