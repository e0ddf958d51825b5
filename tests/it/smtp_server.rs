//! A small SMTP server for tests (RFC 5321, 3207, 4954): it talks over real sockets, encrypts with
//! certificates of its own authority, keeps what it takes, and misbehaves when it is asked to.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use gatelodge::domain::{
    secret::Secret,
    smtp::{Encryption, MailSettings, Patience},
};
use mail_parser::{Message, MessageParser};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
};

use super::house::nowhere;

/// What the server does instead of its duty.
#[derive(Clone, Copy, Debug)]
pub enum Whim {
    /// Answers this.
    Say(&'static str),
    /// Answers this, with the last line that it heard behind.
    Echo(&'static str),
    /// Answers as it should, after a while.
    Think,
    /// Says nothing more and keeps the connection.
    Hang,
    /// Hangs up.
    Die,
}

/// A whim at one point, so many times.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    /// `CONNECT`, a command, `HALF` amid the text of a letter, `TAKEN` after it is kept.
    pub at: &'static str,
    pub whim: Whim,
    pub times: usize,
}

/// How a server is.
#[derive(Clone)]
pub struct Nature {
    pub encryption: Encryption,
    /// Offered in its answer to EHLO.
    pub offers: Vec<&'static str>,
    /// The name and password that it asks for.
    pub login: Option<(&'static str, &'static str)>,
    pub mood: Option<Mood>,
}

impl Nature {
    pub fn plain() -> Self {
        Self { encryption: Encryption::None, offers: Vec::new(), login: None, mood: None }
    }

    pub fn encrypted(encryption: Encryption) -> Self {
        let offers = match encryption {
            Encryption::Starttls => vec!["STARTTLS"],
            Encryption::Implicit | Encryption::None => Vec::new(),
        };
        Self { encryption, offers, ..Self::plain() }
    }

    pub fn moody(at: &'static str, whim: Whim, times: usize) -> Self {
        Self { mood: Some(Mood { at, whim, times }), ..Self::plain() }
    }
}

/// A letter that the server has taken.
#[derive(Clone, Debug)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    /// As it came, dots unstuffed.
    pub bytes: Vec<u8>,
    pub encrypted: bool,
    pub login: Option<String>,
}

impl Received {
    pub fn message(&self) -> Message<'_> {
        MessageParser::default().parse(&self.bytes).expect("a message")
    }

    pub fn subject(&self) -> String {
        self.message().subject().expect("a subject").to_owned()
    }

    pub fn text(&self) -> String {
        self.message().body_text(0).expect("a text").replace("\r\n", "\n")
    }

    pub fn html(&self) -> String {
        self.message().body_html(0).expect("HTML").replace("\r\n", "\n")
    }

    /// The header as it came, unfolded; empty when there is none.
    pub fn header(&self, name: &str) -> String {
        let text = String::from_utf8_lossy(&self.bytes).replace("\r\n ", " ");
        let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
        let wanted = format!("{}:", name.to_ascii_lowercase());
        let mut found = head.lines().filter(|line| line.to_ascii_lowercase().starts_with(&wanted));
        let value = found.next().map(|line| line[wanted.len()..].trim().to_owned());
        assert!(found.next().is_none(), "{name} stands there twice: {head}");
        value.unwrap_or_default()
    }

    /// The token of its link, the same in text and HTML.
    pub fn token(&self) -> String {
        let text = self.text();
        let token = text.split("?token=").nth(1).expect("a link").lines().next().expect("a token");
        assert!(self.html().contains(&format!("?token={token}\"")), "{}", self.html());
        token.to_owned()
    }
}

#[derive(Default)]
struct Kept {
    letters: Vec<Received>,
    heard: Vec<String>,
    whims: usize,
}

/// The server; its thread ends with it.
pub struct SmtpServer {
    pub address: SocketAddr,
    nature: Nature,
    kept: Arc<Mutex<Kept>>,
    taken: watch::Receiver<usize>,
    folder: TempDir,
    _stop: mpsc::Sender<()>,
}

struct Clerk {
    nature: Nature,
    kept: Arc<Mutex<Kept>>,
    taken: watch::Sender<usize>,
    tls: TlsAcceptor,
}

impl SmtpServer {
    pub fn start(nature: Nature) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tls = authority(&folder.path().join("ca.pem"));
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (taken, takes) = watch::channel(0);
        let clerk = Arc::new(Clerk { nature: nature.clone(), kept: kept.clone(), taken, tls });
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
            tell.send(listener.local_addr().expect("an address")).expect("heard");
            runtime.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let clerk = Arc::clone(&clerk);
                    tokio::spawn(async move { clerk.serve(stream).await });
                }
            });
            runtime.block_on(async move {
                while stopped.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        });
        let address = told.recv().expect("an address");
        Self { address, nature, kept, taken: takes, folder, _stop: stop }
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The settings that reach it, trusting its authority.
    pub fn settings(&self) -> MailSettings {
        let login = self.nature.login.map(|(name, word)| (name.to_owned(), Secret::new(word)));
        MailSettings {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            encryption: self.nature.encryption,
            ca_file: Some(self.ca_file()),
            login,
            patience: Patience::default(),
            ..nowhere()
        }
    }

    pub fn letters(&self) -> Vec<Received> {
        self.kept.lock().expect("unpoisoned").letters.clone()
    }

    /// The one letter to somebody.
    #[track_caller]
    pub fn letter_to(&self, recipient: &str) -> Received {
        let mut found: Vec<_> = self.letters();
        found.retain(|letter| letter.to == [recipient]);
        assert_eq!(found.len(), 1, "letters to {recipient}");
        found.remove(0)
    }

    /// Every line of every conversation but the letters, with what AUTH carries.
    pub fn heard(&self) -> Vec<String> {
        self.kept.lock().expect("unpoisoned").heard.clone()
    }

    /// Waits until so many letters were taken.
    pub async fn has_taken(&self, count: usize) {
        let mut taken = self.taken.clone();
        let enough = taken.wait_for(|taken| *taken >= count);
        tokio::time::timeout(Duration::from_secs(30), enough)
            .await
            .unwrap_or_else(|_| panic!("no {count} letters: {:?}", self.heard()))
            .expect("a server");
    }

    /// The same where no runtime is.
    pub fn wait_for(&self, count: usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(self.has_taken(count));
    }
}

/// An authority whose certificate lies in `file`, and a server that it vouches for.
fn authority(file: &std::path::Path) -> TlsAcceptor {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = ca.self_signed(&ca_key).expect("a certificate");
    fs::write(file, certificate.pem()).expect("a file");
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names).expect("names").signed_by(&key, &issuer);
    let chain = vec![leaf.expect("a certificate").der().clone()];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a server");
    TlsAcceptor::from(Arc::new(config))
}

/// What is known within one conversation.
#[derive(Default)]
struct Talk {
    from: String,
    to: Vec<String>,
    encrypted: bool,
    login: Option<String>,
}

/// How one part of a conversation ended.
enum End {
    Over,
    Encrypt,
}

impl Clerk {
    async fn serve(&self, stream: TcpStream) {
        let mut talk = Talk::default();
        if self.nature.encryption == Encryption::Implicit {
            let Ok(stream) = self.tls.accept(stream).await else { return };
            talk.encrypted = true;
            self.converse(&mut BufStream::new(stream), &mut talk, true).await;
            return;
        }
        let mut plain = BufStream::new(stream);
        if let Some(End::Encrypt) = self.converse(&mut plain, &mut talk, true).await {
            let Ok(stream) = self.tls.accept(plain.into_inner()).await else { return };
            talk.encrypted = true;
            self.converse(&mut BufStream::new(stream), &mut talk, false).await;
        }
    }

    fn heard(&self, line: &str) {
        self.kept.lock().expect("unpoisoned").heard.push(line.to_owned());
    }

    /// The whim for this point, if it is the time for it.
    fn whim(&self, at: &str) -> Option<Whim> {
        let whim = self.coming(at)?;
        self.kept.lock().expect("unpoisoned").whims += 1;
        Some(whim)
    }

    /// The same without using it up.
    fn coming(&self, at: &str) -> Option<Whim> {
        let mood = self.nature.mood.filter(|mood| mood.at == at)?;
        let kept = self.kept.lock().expect("unpoisoned");
        (kept.whims < mood.times).then_some(mood.whim)
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
        talk: &mut Talk,
        greet: bool,
    ) -> Option<End> {
        if greet {
            self.answer(stream, "CONNECT", "", "220 post ready").await?;
        }
        loop {
            let line = line(stream).await?;
            self.heard(&line);
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let answer = match verb.as_str() {
                "EHLO" => self.hello(talk),
                "MAIL" if self.nature.login.is_some() && talk.login.is_none() => {
                    "530 5.7.0 sign in first".to_owned()
                }
                "MAIL" => {
                    talk.from = between(&line);
                    "250 2.1.0 sender is known".to_owned()
                }
                "RCPT" => {
                    talk.to.push(between(&line));
                    "250 2.1.5 recipient is known".to_owned()
                }
                "STARTTLS" => "220 2.0.0 go ahead".to_owned(),
                "DATA" => "354 end with a dot".to_owned(),
                "AUTH" => self.login(stream, talk, &line).await?,
                "QUIT" => "221 2.0.0 bye".to_owned(),
                _ => "500 5.5.2 what?".to_owned(),
            };
            let said = self.answer(stream, &verb, &line, &answer).await?;
            match verb.as_str() {
                "QUIT" => return Some(End::Over),
                "STARTTLS" if said => return Some(End::Encrypt),
                "DATA" if said => self.take(stream, talk).await?,
                _ => {}
            }
        }
    }

    fn hello(&self, talk: &Talk) -> String {
        let mut offers = self.nature.offers.clone();
        if talk.encrypted {
            offers.retain(|offer| *offer != "STARTTLS");
        }
        let lines: Vec<String> = offers.iter().map(|offer| format!("250-{offer}\r\n")).collect();
        format!("250-post\r\n{}250 8BITMIME", lines.concat())
    }

    /// Says its answer, or what its mood is; whether it was the answer. `None` ends it all.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
        at: &str,
        heard: &str,
        answer: &str,
    ) -> Option<bool> {
        let whim = self.whim(at);
        match whim {
            None => say(stream, answer).await?,
            Some(Whim::Say(text)) => say(stream, text).await?,
            Some(Whim::Echo(text)) => say(stream, &format!("{text} {heard}")).await?,
            Some(Whim::Think) => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                say(stream, answer).await?;
            }
            Some(Whim::Hang) => hang(stream).await,
            Some(Whim::Die) => return None,
        }
        Some(matches!(whim, None | Some(Whim::Think)))
    }

    async fn login<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
        talk: &mut Talk,
        command: &str,
    ) -> Option<String> {
        let mut words = command.split(' ').skip(1);
        let (name, password) = match words.next() {
            Some("PLAIN") => {
                let given = STANDARD.decode(words.next()?).ok()?;
                let given = String::from_utf8(given).ok()?;
                let mut parts = given.split('\0').skip(1).map(str::to_owned);
                (parts.next()?, parts.next()?)
            }
            Some("LOGIN") => (
                self.prompted(stream, "Username:").await?,
                self.prompted(stream, "Password:").await?,
            ),
            _ => return Some("504 5.5.4 not that way".to_owned()),
        };
        if self.nature.login == Some((&name, &password)) {
            talk.login = Some(name);
            return Some("235 2.7.0 welcome".to_owned());
        }
        Some("535 5.7.8 wrong name or password".to_owned())
    }

    async fn prompted<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
        prompt: &str,
    ) -> Option<String> {
        say(stream, &format!("334 {}", STANDARD.encode(prompt))).await?;
        let given = line(stream).await?;
        self.heard(&given);
        String::from_utf8(STANDARD.decode(given).ok()?).ok()
    }

    async fn take<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
        talk: &mut Talk,
    ) -> Option<()> {
        let mut bytes = Vec::new();
        loop {
            let line = line(stream).await?;
            if bytes.len() > 200 {
                match self.whim("HALF") {
                    Some(Whim::Hang) => hang(stream).await,
                    Some(_) => return None,
                    None => {}
                }
            }
            if line == "." {
                break;
            }
            let line = line.strip_prefix('.').unwrap_or(&line);
            bytes.extend_from_slice(format!("{line}\r\n").as_bytes());
        }
        let (from, to) = (std::mem::take(&mut talk.from), std::mem::take(&mut talk.to));
        let (encrypted, login) = (talk.encrypted, talk.login.clone());
        let received = Received { from, to, bytes, encrypted, login };
        let refuses = matches!(self.coming("TAKEN"), Some(Whim::Say(_) | Whim::Echo(_)));
        if !refuses {
            self.kept.lock().expect("unpoisoned").letters.push(received.clone());
            self.taken.send_modify(|count| *count += 1);
        }
        let link = received.text().lines().find(|line| line.contains("?token=")).map(str::to_owned);
        self.answer(stream, "TAKEN", &link.unwrap_or_default(), "250 2.0.0 taken").await?;
        Some(())
    }
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, text: &str) -> Option<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

async fn line<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufStream<S>) -> Option<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await {
        Ok(1..) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
        _ => None,
    }
}

/// Reads on and says nothing, until the other side is gone.
async fn hang<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut ignored = [0; 1024];
    while let Ok(1..) = stream.read(&mut ignored).await {}
}

/// What stands between `<` and `>`.
fn between(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(inner, _)| inner.to_owned()).unwrap_or_default()
}
