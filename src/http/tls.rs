//! https by the server itself: where its certificate comes from, what it says of itself, and how it
//! is replaced while the server runs.

mod self_signed;

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::watch;
use tokio_rustls::rustls::{
    self, ServerConfig,
    client::verify_server_name,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem, pem::PemObject},
    server::ParsedCertificate,
    sign::{CertifiedKey, SingleCertAndKey},
};
use x509_cert::der::Decode;

use crate::domain::{Timestamp, secret::sha256};

/// Where certificate and key are.
#[derive(Clone, Debug)]
pub enum Source {
    /// In files of somebody else's, who renews them.
    Files { cert: PathBuf, key: PathBuf },
    /// In one file of ours below `folder`, good for these names and addresses.
    SelfSigned { folder: PathBuf, names: Vec<String> },
}

/// Why there is no certificate: one sentence that names the file and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(String);

impl TlsError {
    fn at(path: &Path, what: impl fmt::Display) -> Self {
        Self(format!("{}: {what}", path.display()))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// A certificate that fits its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    /// From when on clients take it.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

impl Certificate {
    /// The first certificate of the chain is the server's own (RFC 8446, section 4.4.2).
    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, String> {
        let Some(own) = chain.first() else { return Err("holds no certificate".to_owned()) };
        let own = x509_cert::Certificate::from_der(own).map_err(|_| "is no certificate")?;
        let validity = own.tbs_certificate().validity();
        let moment = |time: x509_cert::time::Time| {
            let seconds = time.to_unix_duration().as_secs();
            Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
        };
        let (not_before, not_after) = (moment(validity.not_before), moment(validity.not_after));
        match CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()) {
            Ok(key) => Ok(Self { key: Arc::new(key), not_before, not_after }),
            Err(rustls::Error::InconsistentKeys(_)) => Err("does not belong to its key".to_owned()),
            Err(_) => Err("its key is of no kind that TLS knows".to_owned()),
        }
    }

    /// What a person can compare with what a browser shows: SHA-256 of the certificate.
    pub fn fingerprint(&self) -> String {
        let own = self.key.cert.first().map_or(&[][..], |own| own.as_ref());
        let bytes = sha256(own).map(|byte| format!("{byte:02X}"));
        bytes.join(":")
    }

    /// Whether clients that ask for this host name or address take it (RFC 9525).
    pub fn is_for(&self, name: &str) -> bool {
        let own = self.key.cert.first().and_then(|own| ParsedCertificate::try_from(own).ok());
        let name = ServerName::try_from(name.trim_matches(['[', ']']));
        own.zip(name.ok()).is_some_and(|(own, name)| verify_server_name(&own, &name).is_ok())
    }

    /// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    fn to_config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.key))));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl Source {
    /// What is there now; never makes one.
    ///
    /// # Errors
    /// The file that cannot be read, or what is wrong in it.
    pub fn look(&self) -> Result<Certificate, TlsError> {
        match self {
            Self::Files { cert, key } => {
                let chain = chain_in(cert)?;
                let secret = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| TlsError::at(key, words(&error, "private key")))?;
                Certificate::new(chain, secret).map_err(|what| TlsError::at(cert, what))
            }
            Self::SelfSigned { folder, .. } => self_signed::read(&self_signed::path(folder)),
        }
    }

    /// What is there, or a new one of our own where none is, or one that will not do much longer.
    fn provide(&self, now: Timestamp) -> Result<Certificate, TlsError> {
        match self {
            Self::Files { .. } => self.look(),
            Self::SelfSigned { folder, names } => self_signed::provide(folder, names, now),
        }
    }

    /// Whether all its files are there.
    pub fn exists(&self) -> bool {
        self.files().iter().all(|path| path.exists())
    }

    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Files { cert, key } => vec![cert.clone(), key.clone()],
            Self::SelfSigned { folder, .. } => vec![self_signed::path(folder)],
        }
    }

    /// What tells one state of the files from another without reading them.
    fn stamp(&self) -> Vec<Option<(u64, i64, i64)>> {
        let of = |path: PathBuf| {
            fs::metadata(path).ok().map(|data| (data.ino(), data.mtime(), data.mtime_nsec()))
        };
        self.files().into_iter().map(of).collect()
    }
}

fn chain_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |error: pem::Error| TlsError::at(path, words(&error, "certificate"));
    CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)
}

/// Nothing of the file's content is repeated: it may be the key.
fn words(error: &pem::Error, wanted: &str) -> String {
    match error {
        pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            "there is no such file".to_owned()
        }
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("holds no {wanted} in PEM"),
        _ => "is not well-formed PEM".to_owned(),
    }
}

/// The certificate in use. Connections take whichever is there when they begin.
pub struct Https {
    source: Source,
    current: watch::Sender<Arc<ServerConfig>>,
    /// Of the files that were loaded last; empty while the last try failed.
    stamp: Vec<Option<(u64, i64, i64)>>,
    /// The certificate in use.
    pub certificate: Certificate,
}

/// What listeners read the present configuration from.
pub type Current = watch::Receiver<Arc<ServerConfig>>;

impl Https {
    /// Loads the certificate, or makes the one of our own.
    ///
    /// # Errors
    /// The file that cannot be read or written, or what is wrong in it.
    pub fn open(source: Source, now: Timestamp) -> Result<Self, TlsError> {
        let certificate = source.provide(now)?;
        let stamp = source.stamp();
        let config = certificate.to_config().map_err(|error| TlsError(error.to_string()))?;
        Ok(Self { source, current: watch::Sender::new(config), stamp, certificate })
    }

    /// For a listener.
    pub fn current(&self) -> Current {
        self.current.subscribe()
    }

    /// Whether the files are others than those that were loaded last, or our own certificate is due; always
    /// after a failure, since a file that may be read again looks no different.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.source.stamp() != self.stamp
            || matches!(self.source, Source::SelfSigned { .. })
                && self_signed::is_due(&self.certificate, now)
    }

    /// Loads it again. New connections get the new one; open ones keep what they have.
    ///
    /// # Errors
    /// As [`Self::open`]; the one in use stays.
    pub fn reload(&mut self, now: Timestamp) -> Result<&Certificate, TlsError> {
        self.stamp.clear();
        // Before reading: whatever is written meanwhile is found the next time.
        let mut stamp = self.source.stamp();
        let certificate = self.source.provide(now)?;
        if let Source::SelfSigned { .. } = self.source {
            stamp = self.source.stamp();
        }
        let config = certificate.to_config().map_err(|error| TlsError(error.to_string()))?;
        self.current.send_replace(config);
        self.stamp = stamp;
        self.certificate = certificate;
        Ok(&self.certificate)
    }
}
