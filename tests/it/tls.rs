//! https by the server itself, asked by openssl and curl.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use gatelodge::{
    domain::Clock,
    http::{
        serve::{Limits, Listener, serve},
        tls::{Https, Source},
    },
};
use poem::endpoint::make_sync;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;
use tempfile::TempDir;
use time::Duration as Span;

use super::{
    house::{PASSWORD, Server},
    program::{folder, program, ran},
};

const PLACE: (&str, &str) = ("GATELODGE_SERVER__TLS__LISTEN", "127.0.0.1:0");
const CERT: &str = "GATELODGE_SERVER__TLS__CERT";
const KEY: &str = "GATELODGE_SERVER__TLS__KEY";
const SELF_SIGNED: (&str, &str) = ("GATELODGE_SERVER__TLS__SELF_SIGNED", "true");
const FILES: [(&str, &str); 3] = [(CERT, "chain.pem"), (KEY, "key.pem"), PLACE];

/// An authority of a test, whose certificate stands in `ca.pem` of a folder.
pub struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    pub fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Authority of a test");
        let key = KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("a certificate");
        fs::write(folder.join("ca.pem"), own.pem()).expect("written");
        Self(Issuer::new(params, key))
    }

    /// Puts `chain.pem` and `key.pem` for localhost there, good until so many days from now.
    pub fn issue(&self, folder: &Path, days: i64) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("names");
        let now = Clock::real().now().to_calendar();
        params.not_before = now - Span::days(90);
        params.not_after = now + Span::days(days);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.0).expect("a certificate");
        fs::write(folder.join("chain.pem"), cert.pem()).expect("written");
        fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.join("key.pem"), private).expect("a mode");
    }
}

/// Where it serves https.
fn secure_address(server: &Server) -> SocketAddr {
    let log = server.log();
    let rest = log.split(", https://").nth(1).unwrap_or_else(|| panic!("no https: {log}"));
    rest.split(['\n', ',']).next().and_then(|it| it.parse().ok()).expect("an address")
}

/// What curl prints for a path of `https://localhost`, trusting `ca.pem` of the folder.
fn curl(folder: &Path, address: SocketAddr, path: &str, arguments: &[&str]) -> String {
    let url = format!("https://localhost:{}{path}", address.port());
    let ran = Command::new("curl")
        .args(["-sS", "--noproxy", "*", "--resolve"])
        .arg(format!("localhost:{}:127.0.0.1", address.port()))
        .args(["--cacert".as_ref(), folder.join("ca.pem").as_os_str()])
        .args(arguments)
        .arg(url)
        .output()
        .expect("curl");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

/// What `openssl s_client` says of the connection and of the server's certificate.
fn s_client(address: SocketAddr, arguments: &[&str]) -> String {
    let ran = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string(), "-servername", "localhost"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("openssl");
    String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr)
}

/// SHA-256 of a certificate in PEM, as openssl prints it.
fn fingerprint(pem: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    openssl.stdin.take().expect("its input").write_all(pem.as_bytes()).expect("written");
    let out = openssl.wait_with_output().expect("an end").stdout;
    let text = String::from_utf8(out).expect("text");
    text.trim().split_once('=').unwrap_or_else(|| panic!("{text:?}")).1.to_owned()
}

/// Of the certificate that a server shows.
fn shown(address: SocketAddr) -> String {
    fingerprint(&s_client(address, &[]))
}

fn of_file(path: PathBuf) -> String {
    fingerprint(&fs::read_to_string(path).expect("a file"))
}

fn hang_up(server: &Server) {
    let pid = server.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill").success());
}

/// A house with files of an authority, and the server on them.
fn certified() -> (TempDir, Authority, Server, SocketAddr) {
    let home = folder();
    let authority = Authority::new(home.path());
    authority.issue(home.path(), 60);
    let server = Server::start(home.path(), &FILES);
    let address = secure_address(&server);
    (home, authority, server, address)
}

#[test]
fn https_is_served_beside_http_as_http_1_and_2_and_by_tls_of_today_only() {
    let (home, _, server, address) = certified();
    for (wanted, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let arguments = [wanted, "-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
        let told = curl(home.path(), address, "/health", &arguments);
        assert_eq!(told, format!("{version} 200"));
    }
    assert_eq!(server.ask("GET", "/health", &[], "").expect("http").status, 200);
    let talk = s_client(address, &["-tls1_3", "-alpn", "h2,http/1.1"]);
    assert!(talk.contains("TLSv1.3") && talk.contains("ALPN protocol: h2"), "{talk}");
    let talk = s_client(address, &["-tls1_2", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(talk.contains("ECDHE-") && talk.contains("Verification"), "{talk}");
    for old in ["-tls1", "-tls1_1"] {
        let talk = s_client(address, &[old, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(talk.contains("no peer certificate available"), "{talk}");
    }
}

#[test]
fn cookies_of_https_are_for_https_and_other_apps_of_the_host_may_stay_on_http() {
    let (home, _, server, address) = certified();
    let body = json!({"username": "ann", "email": "ann@example.org", "password": PASSWORD});
    let made = server.json("POST", "/api/v1/setup/initialize", "", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    let body = json!({"username": "ann", "password": PASSWORD}).to_string();
    let sign_in = |origin: &str| {
        let origin = format!("Origin: {origin}");
        let json = "Content-Type: application/json";
        let arguments = ["-i", "--http2", "-H", json, "-H", &origin, "-d", &body];
        curl(home.path(), address, "/api/v1/auth/session", &arguments).to_lowercase()
    };
    let answer = sign_in(&format!("https://localhost:{}", address.port()));
    assert!(answer.starts_with("http/2 200"), "{answer}");
    let cookie = answer.lines().find(|line| line.starts_with("set-cookie: ")).expect("a cookie");
    assert!(cookie.contains("__host-session=") && cookie.ends_with("; secure"), "{cookie}");
    assert!(!answer.contains("strict-transport-security"), "{answer}");
    // Refused before its body is read, which must not cost it the answer.
    for _ in 0..20 {
        let foreign = sign_in("https://elsewhere.example.org");
        assert!(foreign.starts_with("http/2 403") && foreign.contains("error"), "{foreign}");
    }
}

#[test]
fn browsers_are_told_to_stay_on_https_where_its_name_is_public_and_somebody_vouches_for_it() {
    let header = |more: &[(&str, &str)]| {
        let home = folder();
        Authority::new(home.path()).issue(home.path(), 60);
        let url = ("GATELODGE_SERVER__PUBLIC_URL", "https://localhost:8443");
        let server = Server::start(home.path(), &[&[url, PLACE], more].concat());
        let arguments = ["-k", "-i"];
        let answer = curl(home.path(), secure_address(&server), "/health", &arguments);
        answer.to_lowercase().contains("strict-transport-security: max-age=")
    };
    assert!(header(&[(CERT, "chain.pem"), (KEY, "key.pem")]));
    // Behind it there would be no way around the browser's warning.
    assert!(!header(&[SELF_SIGNED]));
}

#[test]
fn sighup_brings_the_new_certificate_and_open_connections_live_on() {
    let (home, authority, server, address) = certified();
    let old = of_file(home.path().join("chain.pem"));
    assert_eq!(shown(address), old);
    let mut open = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let mut said = open.stdin.take().expect("its input");
    let mut heard = open.stdout.take().expect("its output");
    let mut ask = |end: &str| {
        let head = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: {end}\r\n\r\n");
        said.write_all(head.as_bytes()).expect("sent");
        let mut byte = [0; 1];
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert_eq!(heard.read(&mut byte).expect("an answer"), 1, "it hung up");
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    };
    ask("keep-alive");
    authority.issue(home.path(), 61);
    let new = of_file(home.path().join("chain.pem"));
    assert_ne!(old, new);
    hang_up(&server);
    server.lines("loaded again: certificate for https: good until ", 1);
    assert_eq!(shown(address), new);
    ask("close");
    open.wait().expect("an end");
}

#[test]
fn a_certificate_that_will_not_do_leaves_the_one_from_before_in_place() {
    let (home, authority, server, address) = certified();
    let chain = home.path().join("chain.pem");
    let old = of_file(chain.clone());
    // As between the two writes of a program that renews: a key of something else.
    let good = fs::read(&chain).expect("a file");
    authority.issue(home.path(), 61);
    fs::write(&chain, &good).expect("written");
    hang_up(&server);
    server.lines("does not belong to its key", 1);
    fs::write(&chain, "no certificate").expect("written");
    hang_up(&server);
    server.lines("holds no certificate", 1);
    fs::remove_file(&chain).expect("removed");
    hang_up(&server);
    server.lines("there is no such file", 1);
    assert_eq!(shown(address), old);
    assert!(!server.log().contains("PRIVATE KEY"), "{}", server.log());
    authority.issue(home.path(), 62);
    hang_up(&server);
    server.lines("loaded again", 1);
    assert_eq!(shown(address), of_file(chain));
}

#[test]
fn a_certificate_that_did_not_load_is_tried_again_although_its_files_look_the_same() {
    let home = folder();
    Authority::new(home.path()).issue(home.path(), 60);
    let [cert, key] = ["chain.pem", "key.pem"].map(|name| home.path().join(name));
    let now = Clock::real().now();
    let source = Source::Files { cert: cert.clone(), key };
    let mut https = Https::open(source, now).expect("a certificate");
    assert!(!https.is_stale(now));
    let good = fs::read(&cert).expect("a file");
    // As when somebody else may read it for a while: neither inode nor time tells.
    let write = |text: &[u8]| {
        fs::write(&cert, text).expect("written");
        let file = fs::File::options().write(true).open(&cert).expect("a file");
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1)).expect("a time");
    };
    write(b"no certificate");
    assert!(https.is_stale(now));
    https.reload(now).expect_err("no certificate");
    write(&good);
    assert!(https.is_stale(now), "it is tried until it is loaded");
    https.reload(now).expect("a certificate");
    assert!(!https.is_stale(now));
    // Also where somebody asked, and the files were those that were loaded all the time.
    write(b"no certificate");
    https.reload(now).expect_err("no certificate");
    write(&good);
    assert!(https.is_stale(now));
}

#[test]
fn sighup_ends_no_server_that_has_no_certificate() {
    let home = folder();
    let server = Server::start(home.path(), &[]);
    hang_up(&server);
    server.lines("there is none to load", 1);
    assert_eq!(server.ask("GET", "/health", &[], "").expect("an answer").status, 200);
}

#[test]
fn a_self_signed_certificate_is_made_told_of_and_kept() {
    let home = folder();
    let started = || Server::start(home.path(), &[SELF_SIGNED, PLACE]);
    let server = started();
    let path = home.path().join("gatelodge-tls.pem");
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    let seen = shown(secure_address(&server));
    assert!(server.log().contains(&format!("SHA-256 {seen}\n")), "{seen} {}", server.log());
    assert_eq!(seen, of_file(path.clone()));
    // Who trusts it needs no exception.
    fs::copy(&path, home.path().join("ca.pem")).expect("a copy");
    let told = curl(home.path(), secure_address(&server), "/health", &[]);
    assert!(told.contains("healthy"), "{told}");
    drop(server);
    let server = started();
    assert_eq!(shown(secure_address(&server)), seen);
    fs::remove_file(&path).expect("removed");
    hang_up(&server);
    server.lines("loaded again", 1);
    let next = shown(secure_address(&server));
    assert!(next != seen && next == of_file(path));
}

#[test]
fn http_within_the_port_of_https_and_other_nonsense_harm_nobody() {
    let (home, _, server, address) = certified();
    for said in ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "\x16\x03\x01\u{1}\u{1}", "\0\0\0"] {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a bound");
        stream.write_all(said.as_bytes()).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("done");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    assert!(curl(home.path(), address, "/health", &[]).contains("healthy"));
    assert!(!server.log().contains("panic"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_end_gives_back_its_place() {
    let home = folder();
    let source =
        Source::SelfSigned { folder: home.path().to_owned(), names: vec!["localhost".to_owned()] };
    let now = Clock::real().now();
    let https = Https::open(source, now).expect("a certificate");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let limits = Limits { handshake_time: Duration::from_secs(2), ..Limits::connections(3) };
    let listeners = vec![Listener::secure(listener, https.current())];
    let endpoint = make_sync(|_| "served");
    tokio::spawn(serve(listeners, endpoint, limits, std::future::pending()));
    let asked = tokio::task::spawn_blocking(move || {
        // They take all places: one is silent, two stop in the middle of a hello.
        let slow = ["", "\x16", "\x16\x03\x01\x01"].map(|said| {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.write_all(said.as_bytes()).expect("sent");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
            stream
        });
        fs::copy(home.path().join("gatelodge-tls.pem"), home.path().join("ca.pem"))
            .expect("a copy");
        let answer = curl(home.path(), address, "/", &[]);
        for mut stream in slow {
            let mut rest = Vec::new();
            match stream.read_to_end(&mut rest) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
            }
        }
        answer
    });
    assert_eq!(asked.await.expect("no panic"), "served");
}

#[test]
fn a_server_without_its_certificate_says_which_file_is_wrong() {
    let home = folder();
    let authority = Authority::new(home.path());
    let serve = |environment: &[(&str, &str)]| {
        let mut command = program(home.path());
        command.env("GATELODGE_SERVER__LISTEN", "127.0.0.1:0");
        command.envs(environment.iter().copied()).arg("serve");
        ran(command, "").in_trouble()
    };
    let told = serve(&FILES);
    assert!(told.ends_with("chain.pem: there is no such file"), "{told}");
    authority.issue(home.path(), 60);
    fs::write(home.path().join("key.pem"), "-----BEGIN PRIVATE KEY-----\nx\n").expect("written");
    let told = serve(&FILES);
    assert!(told.contains("key.pem: ") && told.starts_with("server.tls: "), "{told}");
    let told = serve(&[(CERT, "ca.pem"), (KEY, "ca.pem"), PLACE]);
    assert!(told.ends_with("ca.pem: holds no private key in PEM"), "{told}");
}

#[test]
fn doctor_looks_at_the_certificate() {
    const URL: &str = "GATELODGE_SERVER__PUBLIC_URL";
    let home = folder();
    let authority = Authority::new(home.path());
    let look = |environment: &[(&str, &str)]| {
        let mut command = program(home.path());
        command.env("GATELODGE_SERVER__LISTEN", "127.0.0.1:1");
        command.envs(environment.iter().copied()).args(["doctor", "--json"]);
        let told: serde_json::Value = serde_json::from_str(&ran(command, "").out).expect("JSON");
        let rows = told.as_array().expect("an array");
        let one = rows.iter().find(|one| one["name"] == "tls").expect("a finding");
        format!("{} {}", one["state"], one["found"]).replace('"', "")
    };
    assert!(look(&[]).starts_with("ok no https"));
    assert!(look(&FILES).ends_with("chain.pem: there is no such file"));
    for (days, found) in [
        (60, "ok the certificate is good until"),
        (5, "look the certificate ends soon"),
        (-1, "bad the certificate ended on"),
    ] {
        authority.issue(home.path(), days);
        assert!(look(&FILES).starts_with(found), "{}", look(&FILES));
    }
    authority.issue(home.path(), 60);
    let named = |url| look(&[&FILES[..], &[(URL, url)]].concat());
    assert!(named("https://localhost:8443").starts_with("ok "));
    let other = named("https://gate.example.org");
    assert!(other.starts_with("look ") && other.contains("not for gate.example.org"), "{other}");
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(home.path().join("key.pem"), readable).expect("a mode");
    assert!(look(&FILES).starts_with("look everybody on this machine may read"));
    assert!(look(&[SELF_SIGNED, PLACE]).ends_with("is made at the next start"));
    drop(Server::start(home.path(), &[SELF_SIGNED, PLACE]));
    assert!(look(&[SELF_SIGNED, PLACE]).starts_with("ok the certificate is good until"));
    fs::write(home.path().join("gatelodge-tls.pem"), "broken").expect("written");
    assert!(look(&[SELF_SIGNED, PLACE]).starts_with("look "));
}
