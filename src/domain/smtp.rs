//! One conversation with a mail server (RFC 5321): connect, encrypt, sign in, hand over one letter.
//! Everything is bounded in time, and what goes wrong is told without secrets.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_send::{
    Credentials, SmtpClient,
    smtp::message::{Parameter, Parameters},
};
use rustls_platform_verifier::BuilderVerifierExt;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, EXT_SMTP_UTF8, EXT_START_TLS, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

use super::secret::Secret;

/// What of a server's answer is kept, in characters.
const MAX_REPLY: usize = 200;

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// By STARTTLS (RFC 3207); without it nothing is sent.
    Starttls,
    /// From the first byte on (RFC 8314).
    Implicit,
    /// Not at all.
    None,
}

/// How long a mail server may take, and how long it is left alone.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To accept the connection.
    pub connect: Duration,
    /// To answer one command.
    pub command: Duration,
    /// For the text of a letter: when this is cut short, the letter may arrive twice, so it is
    /// long (RFC 5321, section 4.5.3.2.6).
    pub text: Duration,
    /// For everything together.
    pub whole: Duration,
    /// After trouble with the server, or with our own notes of what it took.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            command: Duration::from_secs(60),
            text: Duration::from_secs(300),
            whole: Duration::from_secs(420),
            pause: Duration::from_secs(30),
        }
    }
}

/// The mail server that takes our letters, and who they come from.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// A name or an IP address; certificates are checked against it.
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Name and password.
    pub login: Option<(String, Secret)>,
    pub from_email: String,
    pub from_name: String,
    pub patience: Patience,
}

/// A letter as it goes over the wire.
pub(super) struct Sealed {
    pub recipient: String,
    /// RFC 5322, with CRLF.
    pub message: Vec<u8>,
    /// What of it must not be repeated when the server repeats it.
    pub secret: Option<Secret>,
}

/// Where in the conversation something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Connect,
    Encrypt,
    Greeting,
    Hello,
    SignIn,
    Sender,
    Recipient,
    Text,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Encrypt => "encrypting the connection",
            Self::Greeting => "waiting for its greeting",
            Self::Hello => "saying hello",
            Self::SignIn => "signing in",
            Self::Sender => "naming the sender",
            Self::Recipient => "naming the recipient",
            Self::Text => "handing over the letter",
        })
    }
}

/// Why a letter was not taken. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailError {
    /// `email.smtp_ca_file` cannot be used, or the system has no certificates.
    Certificates(String),
    Unreachable(String),
    Tls(String),
    /// The server offers no STARTTLS.
    NoTls,
    /// The server offers no way to sign in that we have.
    NoSignIn,
    /// The server does not take our name and password.
    SignIn(String),
    /// The server does not want to talk to us.
    Unwilling(Stage, String),
    Slow(Stage),
    /// The server hung up, or said what is no SMTP.
    Broken(Stage),
    /// The server takes no addresses with letters beyond ASCII (RFC 6531).
    NotAscii,
    /// Not now (4xx).
    Later(Stage, String),
    /// Never (5xx).
    Refused(Stage, String),
}

impl MailError {
    /// Whether trying this letter again makes no sense.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Refused(..) | Self::NotAscii)
    }

    /// Whether other letters would meet the same trouble now.
    pub const fn is_of_the_server(&self) -> bool {
        match self {
            Self::Certificates(_)
            | Self::Unreachable(_)
            | Self::Tls(_)
            | Self::NoTls
            | Self::NoSignIn
            | Self::SignIn(_)
            | Self::Unwilling(..)
            | Self::Slow(_)
            | Self::Broken(_) => true,
            Self::NotAscii | Self::Later(..) | Self::Refused(..) => false,
        }
    }

    /// What somebody could do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Certificates(_) => "look at email.smtp_ca_file, or install ca-certificates",
            Self::Unreachable(_) => {
                "look at email.smtp_host and email.smtp_port, and whether a firewall is between"
            }
            Self::Tls(_) => {
                "for a private authority set email.smtp_ca_file; the name in email.smtp_host must \
                 stand in the certificate; port 465 wants email.smtp_tls implicit, 587 starttls"
            }
            Self::NoTls => {
                "set email.smtp_tls to implicit for port 465, or to none if the way to the server \
                 is safe"
            }
            Self::NoSignIn => {
                "without email.smtp_username nobody signs in; some servers offer it on port 587 only"
            }
            Self::SignIn(_) => {
                "look at email.smtp_username and email.smtp_password; some providers want a \
                 password made for one app"
            }
            Self::Unwilling(..) => "the server's own log says why it does not want to talk to us",
            Self::Slow(_) => {
                "try again; if it stays, look at email.smtp_port and email.smtp_tls: a server that \
                 waits for encryption says nothing"
            }
            Self::Broken(_) => "look whether a mail server is there, and at email.smtp_tls",
            Self::NotAscii => "use an address of ASCII characters",
            Self::Later(..) => "it is tried again by itself; new senders often have to wait",
            Self::Refused(..) => {
                "look at the address, and whether the server lets email.smtp_from_email send"
            }
        }
    }
}

impl fmt::Display for MailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificates(what) => write!(f, "no certificates to trust: {what}"),
            Self::Unreachable(what) => write!(f, "the mail server cannot be reached: {what}"),
            Self::Tls(what) => write!(f, "the connection cannot be encrypted: {what}"),
            Self::NoTls => write!(f, "the mail server offers no STARTTLS"),
            Self::NoSignIn => write!(f, "the mail server offers no PLAIN or LOGIN to sign in by"),
            Self::SignIn(reply) => write!(f, "the mail server refuses the sign-in: {reply}"),
            Self::Unwilling(stage, reply) => {
                write!(f, "the mail server is not willing, {stage}: {reply}")
            }
            Self::Slow(stage) => write!(f, "the mail server did not answer in time, {stage}"),
            Self::Broken(stage) => write!(f, "the mail server broke off, {stage}"),
            Self::NotAscii => {
                write!(f, "the mail server takes no addresses with letters beyond ASCII")
            }
            Self::Later(stage, reply) => {
                write!(f, "the mail server says not now, {stage}: {reply}")
            }
            Self::Refused(stage, reply) => write!(f, "the mail server refuses, {stage}: {reply}"),
        }
    }
}

impl std::error::Error for MailError {}

/// Hands one letter over. `Ok` means that the server has taken it and answers for it from now on.
///
/// # Errors
/// [`MailError`]; at [`Stage::Text`] the server may have taken it all the same.
pub(super) async fn hand_over(mail: &MailSettings, letter: &Sealed) -> Result<(), MailError> {
    let talk = Conversation { mail, letter: Some(letter) };
    let whole = timeout(mail.patience.whole, talk.run()).await;
    whole.unwrap_or(Err(MailError::Slow(Stage::Text)))
}

/// Asks whether the server would talk to us: connects, encrypts, signs in, and says goodbye.
///
/// # Errors
/// [`MailError`].
pub async fn knock(mail: &MailSettings) -> Result<(), MailError> {
    let whole = timeout(mail.patience.whole, Conversation { mail, letter: None }.run()).await;
    whole.unwrap_or(Err(MailError::Slow(Stage::SignIn)))
}

struct Conversation<'a> {
    mail: &'a MailSettings,
    /// Without one, everything is done but to hand it over.
    letter: Option<&'a Sealed>,
}

impl Conversation<'_> {
    async fn run(&self) -> Result<(), MailError> {
        let host = self.mail.host.as_str();
        let mut client = self.connect().await?;
        let name = own_name(&client.stream);
        match self.mail.encryption {
            Encryption::None => {
                self.greeting(&mut client).await?;
                self.talk(client, &name).await
            }
            Encryption::Implicit => {
                let tls = self.connector().await?;
                let secured = client.into_tls(&tls, host).await;
                let mut client = secured.map_err(|e| self.told(Stage::Encrypt, e))?;
                self.greeting(&mut client).await?;
                self.talk(client, &name).await
            }
            Encryption::Starttls => {
                self.greeting(&mut client).await?;
                let hello = client.ehlo(&name).await;
                let offered = hello.map_err(|e| self.told(Stage::Hello, e))?;
                if !offered.has_capability(EXT_START_TLS) {
                    return Err(MailError::NoTls);
                }
                let tls = self.connector().await?;
                // What a stranger slipped in before the encryption is forgotten with its buffer.
                let secured = client.start_tls(&tls, host).await;
                self.talk(secured.map_err(|e| self.told(Stage::Encrypt, e))?, &name).await
            }
        }
    }

    async fn connect(&self) -> Result<SmtpClient<TcpStream>, MailError> {
        let place = (self.mail.host.as_str(), self.mail.port);
        match timeout(self.mail.patience.connect, TcpStream::connect(place)).await {
            Err(_) => Err(MailError::Slow(Stage::Connect)),
            Ok(Err(error)) => Err(MailError::Unreachable(error.to_string())),
            Ok(Ok(stream)) => Ok(SmtpClient { stream, timeout: self.mail.patience.command }),
        }
    }

    async fn connector(&self) -> Result<TlsConnector, MailError> {
        let ca_file = self.mail.ca_file.clone();
        // Reads files.
        let made = tokio::task::spawn_blocking(move || tls_config(ca_file)).await;
        let config = made.map_err(|e| MailError::Certificates(e.to_string()))??;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    async fn greeting<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        client: &mut SmtpClient<T>,
    ) -> Result<(), MailError> {
        let stage = Stage::Greeting;
        let read = timeout(self.mail.patience.command, client.read()).await;
        let reply = read.map_err(|_| MailError::Slow(stage))?.map_err(|e| self.told(stage, e))?;
        if reply.code == 220 {
            return Ok(());
        }
        Err(MailError::Unwilling(stage, self.shown(&reply)))
    }

    async fn talk<T>(&self, mut client: SmtpClient<T>, name: &str) -> Result<(), MailError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let hello = client.ehlo(name).await;
        let mut offered = hello.map_err(|e| self.told(Stage::Hello, e))?;
        if let Some((name, password)) = &self.mail.login {
            // What is asked of the server is only what we can go through with.
            offered.auth_mechanisms &= AUTH_PLAIN | AUTH_LOGIN;
            let login = Credentials::new(name.as_str(), password.reveal());
            let signed_in = client.authenticate(&login, &offered).await;
            signed_in.map_err(|e| self.told(Stage::SignIn, e))?;
        }
        if let Some(letter) = self.letter {
            self.give(&mut client, letter, offered.has_capability(EXT_SMTP_UTF8)).await?;
        }
        // Nobody waits for the goodbye: what is taken must be noted at once.
        client.timeout = self.mail.patience.command;
        tokio::spawn(client.quit());
        Ok(())
    }

    async fn give<T>(
        &self,
        client: &mut SmtpClient<T>,
        letter: &Sealed,
        takes_utf8: bool,
    ) -> Result<(), MailError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let mut parameters = Parameters::default();
        if !letter.recipient.is_ascii() {
            if !takes_utf8 {
                return Err(MailError::NotAscii);
            }
            parameters.add(Parameter::from("SMTPUTF8"));
        }
        let named = client.mail_from(&self.mail.from_email, &parameters).await;
        named.map_err(|e| self.told(Stage::Sender, e))?;
        let named = client.rcpt_to(&letter.recipient, &Parameters::default()).await;
        named.map_err(|e| self.told(Stage::Recipient, e))?;
        client.timeout = self.mail.patience.text;
        let taken = client.data(&letter.message).await;
        taken.map(|_| ()).map_err(|e| self.told(Stage::Text, e))
    }

    fn told(&self, stage: Stage, error: mail_send::Error) -> MailError {
        use mail_send::Error as E;
        match error {
            E::UnexpectedReply(reply) | E::AuthenticationFailed(reply) => {
                let shown = self.shown(&reply);
                match stage {
                    Stage::Connect | Stage::Encrypt | Stage::Greeting | Stage::Hello => {
                        MailError::Unwilling(stage, shown)
                    }
                    Stage::SignIn => MailError::SignIn(shown),
                    Stage::Sender | Stage::Recipient | Stage::Text if reply.code >= 500 => {
                        MailError::Refused(stage, shown)
                    }
                    Stage::Sender | Stage::Recipient | Stage::Text => {
                        MailError::Later(stage, shown)
                    }
                }
            }
            E::Io(error) if error.kind() == io::ErrorKind::TimedOut => MailError::Slow(stage),
            E::Io(_) | E::UnparseableReply | E::Base64(_) | E::Auth(_) => MailError::Broken(stage),
            E::Tls(error) => MailError::Tls(error.to_string()),
            E::InvalidTLSName => MailError::Tls("the host has no name to check".to_owned()),
            E::Timeout => MailError::Slow(stage),
            E::MissingStartTls => MailError::NoTls,
            E::UnsupportedAuthMechanism | E::MissingCredentials => MailError::NoSignIn,
            E::MissingMailFrom | E::MissingRcptTo => MailError::Broken(stage),
        }
    }

    /// A server's answer on one line, without what it should not have repeated.
    fn shown(&self, reply: &Response<String>) -> String {
        let mut text = reply.message.replace(|c: char| c.is_control(), " ");
        let mut hidden: Vec<String> = Vec::new();
        if let Some((name, password)) = &self.mail.login {
            let password = password.reveal();
            hidden.push(STANDARD.encode(format!("\0{name}\0{password}")));
            hidden.push(STANDARD.encode(password));
            hidden.push(password.to_owned());
        }
        let token = self.letter.and_then(|letter| letter.secret.as_ref());
        hidden.extend(token.map(|secret| secret.reveal().to_owned()));
        for secret in hidden.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret.as_str(), "…");
        }
        let text: String = text.trim().chars().take(MAX_REPLY).collect();
        match reply.esc {
            [0, _, _] => format!("{} {text}", reply.code),
            // The enhanced status code says more than the other (RFC 3463).
            [class, subject, detail] => {
                format!("{} {class}.{subject}.{detail} {text}", reply.code)
            }
        }
    }
}

/// Our own address, since a house need not have a name (RFC 5321, section 4.1.3).
fn own_name(socket: &TcpStream) -> String {
    match socket.local_addr().map(|address| address.ip().to_canonical()) {
        Ok(std::net::IpAddr::V4(v4)) => format!("[{v4}]"),
        Ok(std::net::IpAddr::V6(v6)) => format!("[IPv6:{v6}]"),
        Err(_) => "[127.0.0.1]".to_owned(),
    }
}

fn tls_config(ca_file: Option<PathBuf>) -> Result<ClientConfig, MailError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| MailError::Tls(error.to_string()))?;
    let Some(path) = ca_file else {
        let trusting = builder.with_platform_verifier();
        let trusting = trusting.map_err(|error| MailError::Certificates(error.to_string()))?;
        return Ok(trusting.with_no_client_auth());
    };
    let wrong = |what: &dyn fmt::Display| {
        MailError::Certificates(format!("email.smtp_ca_file {}: {what}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"holds no certificate"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
