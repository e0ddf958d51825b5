//! Secrets: types that refuse to print, digests, and the only source of randomness.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hkdf, hmac, rand};
use rusqlite::{
    ToSql,
    types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef},
};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Text that must not be printed: a password, a PIN, a token before it is handed over.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself; name the reason where you call this.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SHA-256 of a random token: what the database keeps. A plain digest is enough, since every
/// token that is stored this way carries at least 122 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub fn of(token: &str) -> Self {
        Self(sha256(token.as_bytes()))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

impl ToSql for TokenDigest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl FromSql for TokenDigest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 32]>::column_result(value).map(Self)
    }
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    out
}

/// HMAC-SHA-256 (RFC 2104) of several parts, each with its length before it, so that moving a
/// byte from one part to the next gives another result.
pub fn keyed_digest(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// Compares in a time that does not tell where two texts differ.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// Random bytes from the crypto provider.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if rand::fill(&mut bytes).is_err() {
        // Without randomness every secret made from here on would be guessable.
        std::process::abort();
    }
    bytes
}

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `length` random letters and digits, 5.95 bits each, without bias.
pub fn random_text(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        for byte in random_bytes::<64>() {
            // 248 = 4 × 62: what lies above would favour the first letters.
            if byte < 248 && text.len() < length {
                text.push(char::from(ALPHABET[usize::from(byte % 62)]));
            }
        }
    }
    text
}

/// `length` letters and digits that follow from `data`: a checksum, not a secret.
pub fn checksum_text(data: &str, length: usize) -> String {
    sha256(data.as_bytes())
        .iter()
        .take(length)
        .map(|byte| char::from(ALPHABET[usize::from(byte % 62)]))
        .collect()
}

/// A random UUID (RFC 9562, version 4).
pub fn random_uuid() -> Uuid {
    uuid::Builder::from_random_bytes(random_bytes()).into_uuid()
}

/// The secret that all keys of the house come from: `auth.jwt_secret`, or a generated one.
#[derive(Clone)]
pub struct MasterSecret(Zeroizing<Vec<u8>>);

impl MasterSecret {
    /// Bounds in bytes: at least this many.
    pub const MIN_BYTES: usize = 32;

    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// 43 letters and digits, 256 bits.
    pub fn generate() -> Secret {
        Secret::new(random_text(43))
    }

    /// One 256-bit key for one purpose (HKDF-SHA-256, RFC 5869).
    pub fn derive(&self, context: &[&str]) -> Zeroizing<[u8; 32]> {
        let info: Vec<&[u8]> =
            context.iter().flat_map(|part| [part.as_bytes(), b"\0".as_slice()]).collect();
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"gatelodge");
        let mut key = Zeroizing::new([0; 32]);
        let filled = salt
            .extract(&self.0)
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut *key));
        if filled.is_err() {
            // Cannot happen for 32 bytes; a zero key would be worse than no server.
            std::process::abort();
        }
        key
    }
}

impl fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
        assert_eq!(format!("{:?}", MasterSecret::new("hunter2")), "MasterSecret(…)");
        assert_eq!(format!("{:?}", TokenDigest::of("hunter2")), "TokenDigest(…)");
    }

    #[test]
    fn keys_differ_by_context_and_its_borders() {
        let master = MasterSecret::new("0123456789abcdef0123456789abcdef");
        assert_ne!(master.derive(&["a", "b"]), master.derive(&["ab"]));
        assert_eq!(master.derive(&["a", "b"]), master.derive(&["a", "b"]));
        let key = random_bytes();
        assert_ne!(keyed_digest(&key, &[b"ab", b"c"]), keyed_digest(&key, &[b"a", b"bc"]));
    }

    #[test]
    fn random_text_has_its_length_and_alphabet() {
        let text = random_text(200);
        assert_eq!(text.len(), 200);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(text, random_text(200));
    }
}
