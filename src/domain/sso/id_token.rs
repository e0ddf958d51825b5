//! Reads an ID token (OpenID Connect Core 1.0, section 3.1.3.7; RFC 7515, RFC 8725): by three
//! algorithms and by keys that fit them, so that no key is ever used for what it is not.

use aws_lc_rs::{
    rsa::PublicKeyComponents,
    signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::trouble::BadToken;
use crate::domain::{Timestamp, secret::same};

/// The algorithms that are believed (RFC 7518, section 3.1; RFC 8037).
pub const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];
/// Longer ones are not read, in bytes.
const MAX_LENGTH: usize = 64 * 1024;
/// Clocks may differ by so many seconds.
const LEEWAY: i64 = 60;
/// Keys that are kept of one provider.
const MAX_KEYS: usize = 64;
/// In bytes (OpenID Connect Core, section 2: 255 ASCII characters).
const MAX_SUBJECT: usize = 255;

/// One key as a key set writes it (RFC 7517, RFC 7518 section 6).
#[derive(Deserialize)]
struct WrittenKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A public key that can verify one algorithm.
#[derive(Debug)]
pub struct Key {
    kid: Option<String>,
    material: Material,
}

/// What an ID token must say.
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    pub now: Timestamp,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Key {
    /// `None` for keys of other kinds and uses, which a key set may hold beside ours.
    fn of(written: WrittenKey) -> Option<Self> {
        let usable = written.usage.as_deref().is_none_or(|usage| usage == "sig");
        let decode = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let curve = written.crv.as_deref();
        let material = match written.kty.as_str() {
            "RSA" => Material::Rsa { n: decode(written.n)?, e: decode(written.e)? },
            "EC" if curve == Some("P-256") => {
                let (x, y) = (decode(written.x)?, decode(written.y)?);
                // Uncompressed (SEC 1, section 2.3.3).
                let point = [&[4], x.as_slice(), &y].concat();
                Material::P256(Some(point).filter(|point| point.len() == 65)?)
            }
            "OKP" if curve == Some("Ed25519") => Material::Ed25519(decode(written.x)?),
            _ => return None,
        };
        let key = Self { kid: written.kid, material };
        let said = written.alg.as_deref().is_none_or(|alg| alg == key.algorithm());
        (usable && said).then_some(key)
    }

    fn algorithm(&self) -> &'static str {
        match self.material {
            Material::Rsa { .. } => "RS256",
            Material::P256(_) => "ES256",
            Material::Ed25519(_) => "EdDSA",
        }
    }

    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa { n, e } => PublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
                .is_ok(),
            Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, signature)
                .is_ok(),
            Material::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(signed, signature).is_ok()
            }
        }
    }
}

/// The keys of a key set that can be used here; `None` when it is no key set.
pub fn keys(set: &[u8]) -> Option<Vec<Key>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(set).ok()?;
    let written = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
    Some(written.filter_map(Key::of).take(MAX_KEYS).collect())
}

/// The claims of a token that is wholly right.
///
/// # Errors
/// What is wrong with it.
pub fn verify(
    token: &str,
    keys: &[Key],
    expected: &Expected<'_>,
) -> Result<Map<String, Value>, BadToken> {
    if token.len() > MAX_LENGTH {
        return Err(BadToken::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::Malformed)?;
    let (head, payload) = signed.split_once('.').ok_or(BadToken::Malformed)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| BadToken::Malformed);
    let head: Head = serde_json::from_slice(&decode(head)?).map_err(|_| BadToken::Malformed)?;
    if !ALGORITHMS.contains(&head.alg.as_str()) {
        return Err(BadToken::Algorithm);
    }
    if head.crit.is_some() {
        return Err(BadToken::Malformed);
    }
    let fits =
        |key: &&Key| key.algorithm() == head.alg && (head.kid.is_none() || key.kid == head.kid);
    let mut fitting = keys.iter().filter(fits).peekable();
    if fitting.peek().is_none() {
        return Err(BadToken::UnknownKey);
    }
    let signature = decode(signature)?;
    if !fitting.any(|key| key.verifies(signed.as_bytes(), &signature)) {
        // Without an id there may be a newer key that nobody has seen here.
        return Err(if head.kid.is_some() { BadToken::Signature } else { BadToken::UnknownKey });
    }
    let claims: Map<String, Value> =
        serde_json::from_slice(&decode(payload)?).map_err(|_| BadToken::Malformed)?;
    check(&claims, expected)?;
    Ok(claims)
}

fn check(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), BadToken> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64).map(|at| at as i64);
    let now = expected.now.seconds();
    if text("iss") != Some(expected.issuer) {
        return Err(BadToken::Issuer);
    }
    let several = match claims.get("aud") {
        Some(Value::String(one)) if one == expected.client_id => false,
        Some(Value::Array(all)) if all.iter().any(|one| one == expected.client_id) => all.len() > 1,
        _ => return Err(BadToken::Audience),
    };
    match claims.get("azp") {
        Some(party) if party != expected.client_id => return Err(BadToken::Party),
        None if several => return Err(BadToken::Party),
        _ => {}
    }
    if seconds("exp").is_none_or(|end| end.saturating_add(LEEWAY) <= now) {
        return Err(BadToken::Expired);
    }
    if seconds("nbf").is_some_and(|begin| begin.saturating_sub(LEEWAY) > now) {
        return Err(BadToken::NotYet);
    }
    if !text("nonce").is_some_and(|nonce| same(nonce.as_bytes(), expected.nonce.as_bytes())) {
        return Err(BadToken::Nonce);
    }
    let is_somebody = |subject: &str| {
        (1..=MAX_SUBJECT).contains(&subject.len()) && !subject.contains(char::is_control)
    };
    if text("sub").is_some_and(is_somebody) { Ok(()) } else { Err(BadToken::Subject) }
}
