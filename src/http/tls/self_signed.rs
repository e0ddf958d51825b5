//! The certificate that the server makes itself: for a house where nobody vouches for names, so that
//! nobody reads along, and people compare its fingerprint once.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, pem::PemObject};

use super::{Certificate, TlsError, chain_in, words};
use crate::domain::Timestamp;

const FILE_NAME: &str = "gatelodge-tls.pem";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clients refuse certificates that are good for longer than 398 days.
const LIFE: Duration = Duration::from_secs(397 * 24 * 3600);
/// So much before its end it is made anew.
const SPARE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Certificate and key in one file, so that they are replaced together.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(FILE_NAME)
}

/// Whether it is time for a new one; also when the clock says that it is not good yet.
pub fn is_due(certificate: &Certificate, now: Timestamp) -> bool {
    certificate.not_after.minus(SPARE) <= now || certificate.not_before > now
}

/// What the file holds.
pub fn read(path: &Path) -> Result<Certificate, TlsError> {
    let chain = chain_in(path)?;
    let key = PrivateKeyDer::from_pem_file(path)
        .map_err(|error| TlsError::at(path, words(&error, "private key")))?;
    Certificate::new(chain, key).map_err(|what| TlsError::at(path, what))
}

/// The one that is there while it will do, else a new one. A name that is gone is no reason: whoever
/// trusts the certificate would have to do so again.
pub fn provide(folder: &Path, names: &[String], now: Timestamp) -> Result<Certificate, TlsError> {
    let path = path(folder);
    if let Ok(found) = read(&path)
        && !is_due(&found, now)
        && names.iter().all(|name| found.is_for(name))
    {
        return Ok(found);
    }
    let text = make(names, now).map_err(|error| TlsError::at(&path, error))?;
    put(&path, text.as_bytes()).map_err(|error| TlsError::at(&path, error))?;
    read(&path)
}

fn make(names: &[String], now: Timestamp) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "Gatelodge, self-signed");
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Clocks of clients may be behind.
    params.not_before = now.minus(DAY).to_calendar();
    params.not_after = now.minus(DAY).plus(LIFE).to_calendar();
    let key = KeyPair::generate()?;
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}

/// All of it or nothing, for the owner's eyes only.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("pem.new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn it_is_kept_while_it_will_do_and_made_anew_before_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = names(&["localhost", "127.0.0.1"]);
        let start = Timestamp::from_seconds(1_767_225_600);
        let at = |days: u32| start.plus(DAY * days);
        let first = provide(folder.path(), &home, start).expect("made");
        assert!(first.is_for("localhost") && first.is_for("127.0.0.1"));
        assert!(!first.is_for("nas.local") && !first.is_for("127.0.0.2"));
        assert_eq!(first.not_before, at(0).minus(DAY));
        assert_eq!(first.not_after, at(396));
        let fewer = provide(folder.path(), &home[..1], at(365)).expect("kept");
        assert_eq!(fewer.fingerprint(), first.fingerprint());
        let renewed = provide(folder.path(), &home, at(366)).expect("made");
        assert_ne!(renewed.fingerprint(), first.fingerprint());
        assert_eq!(renewed.not_after, at(366 + 396));
        let back = provide(folder.path(), &home, start).expect("made");
        assert_ne!(back.fingerprint(), renewed.fingerprint(), "it is not good yet");
        let more = names(&["localhost", "127.0.0.1", "nas.local", "::1"]);
        let named = provide(folder.path(), &more, start).expect("made");
        assert!(named.is_for("nas.local") && named.is_for("::1") && named.is_for("[::1]"));
    }

    #[test]
    fn its_file_is_for_its_owner_and_what_is_broken_is_replaced() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let (home, now) = (names(&["localhost"]), Timestamp::from_seconds(1_767_225_600));
        fs::write(path(folder.path()), "-----BEGIN CERTIFICATE-----\nnonsense").expect("written");
        // What a process left that was killed while it wrote.
        fs::write(folder.path().join("gatelodge-tls.pem.new"), "half").expect("written");
        provide(folder.path(), &home, now).expect("made");
        let mode = fs::metadata(path(folder.path())).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let left = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1);
    }
}
