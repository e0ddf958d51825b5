//! The least of HTTP/1.1 that a flood needs: it shares the machine with what it measures.

use std::net::SocketAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// One connection that is kept.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("set");
        Self(BufReader::with_capacity(2048, stream))
    }

    /// Status and body.
    pub async fn ask(&mut self, bytes: &[u8]) -> (u16, Vec<u8>) {
        self.0.get_mut().write_all(bytes).await.expect("sent");
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).await.expect("a line") > 0, "it hung up");
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().expect("a status");
            }
            if let Some(rest) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = rest.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("a body");
        (status, body)
    }
}

/// An IPv4 address of these parts.
fn address([a, b, c]: [u32; 3]) -> String {
    format!("{a}.{}.{}.{}", (c >> 16) & 255, b & 255, c & 255)
}

fn request(line: &str, more: &str, from: [u32; 3], body: &str) -> Vec<u8> {
    let (from, length) = (address(from), body.len());
    format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\
         x-forwarded-for: {from}\r\n{more}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A request without a body.
pub fn with(line: &str, more: &str, from: [u32; 3]) -> Vec<u8> {
    request(line, more, from, "")
}

pub fn basic(user: &str, password: &str) -> String {
    format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

fn sign_in(path: &str, name: &str, password: &str, from: [u32; 3]) -> Vec<u8> {
    let body = serde_json::json!({"username": name, "password": password}).to_string();
    request(&format!("POST {path}"), "content-type: application/json\r\n", from, &body)
}

/// A native sign-in.
pub fn login(name: &str, password: &str, from: [u32; 3]) -> Vec<u8> {
    sign_in("/api/v1/auth/login", name, password, from)
}

/// One of pair.
pub fn pair_login(name: &str, password: &str, from: [u32; 3]) -> Vec<u8> {
    sign_in("/api/auth/login", name, password, from)
}
