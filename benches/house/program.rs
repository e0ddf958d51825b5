//! The program itself, as it is released but for its debug symbols, which are not loaded.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::wire::{EMAIL, NAME, PASSWORD};

/// A server with default settings, but that it listens here and believes our `X-Forwarded-For`.
pub struct Program {
    child: Child,
    pub address: SocketAddr,
    /// From before it was started to the first 200, in milliseconds.
    pub started: f64,
}

/// Of a process, in bytes.
#[derive(Clone, Copy)]
pub struct Memory {
    /// Resident: its own and what it has mapped of its file.
    pub rss: u64,
    /// The highest that `rss` has been.
    pub peak: u64,
    /// Resident and of no file.
    pub anonymous: u64,
}

fn gatelodge(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatelodge"));
    let variables = std::env::vars_os().map(|(name, _)| name);
    for name in variables.filter(|name| name.to_string_lossy().starts_with("GATELODGE_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Makes the first account by the command line.
pub fn add_person(folder: &Path) {
    let mut command = gatelodge(folder);
    command.args(["user", "add", NAME, "--email", EMAIL, "--password-stdin"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the command line");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(format!("{PASSWORD}\n").as_bytes()).expect("a password");
    drop(stdin);
    assert!(child.wait().expect("an end").success(), "user add");
}

impl Program {
    pub fn start(folder: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let mut command = gatelodge(folder);
        command.env("GATELODGE_SERVER__LISTEN", address.to_string());
        command.env("GATELODGE_SERVER__TRUSTED_PROXIES", "127.0.0.1");
        let start = Instant::now();
        let child = command.spawn().expect("the server");
        let mut program = Self { child, address, started: 0.0 };
        while !program.is_healthy() {
            let waited = start.elapsed() < Duration::from_secs(20);
            let lives = program.child.try_wait().expect("a child").is_none();
            assert!(waited && lives, "the server does not come up");
            std::thread::sleep(Duration::from_micros(200));
        }
        program.started = super::seconds_since(start) * 1000.0;
        program
    }

    fn is_healthy(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
    }

    pub fn memory(&self) -> Memory {
        let kib = |name| self.number("status", name) * 1024;
        Memory { rss: kib("VmRSS:"), peak: kib("VmHWM:"), anonymous: kib("RssAnon:") }
    }

    /// What it has caused to be written to disk, in bytes: whole pages, as the kernel counts.
    pub fn written(&self) -> u64 {
        self.number("io", "write_bytes:")
    }

    fn number(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("proc");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
