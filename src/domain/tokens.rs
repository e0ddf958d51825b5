//! JWTs (RFC 7519): HS256, a key for each kind, one spelling only.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Timestamp,
    accounts::{Account, AccountId},
    error::{Error, Result, Why},
    secret::{MasterSecret, Secret, random_uuid},
    sessions::SessionId,
};

/// `{"typ":"JWT","alg":"HS256"}`: what all our tokens begin with. Anything else (`alg` none or
/// in other letters, `crit`, `kid`, a second `alg`) is not ours.
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9";
/// Longer ones are not ours either, in bytes.
pub const MAX_LENGTH: usize = 16 * 1024;

macro_rules! token_kinds {
    ($($name:ident => $audience:literal, $type:literal);* $(;)?) => {
        /// A dialect's access or refresh token. Each has its own key, so that none crosses.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum TokenKind { $($name),* }

        impl TokenKind {
            const ALL: &[Self] = &[$(Self::$name),*];

            /// The dialect: the claim `aud`.
            pub const fn audience(self) -> &'static str {
                match self { $(Self::$name => $audience),* }
            }

            /// The claim `type`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $type),* }
            }
        }
    };
}

token_kinds! {
    NativeAccess => "native", "access";
    NativeRefresh => "native", "refresh";
    PinAccess => "pin", "access";
    PinRefresh => "pin", "refresh";
    PairAccess => "pair", "access";
    PairRefresh => "pair", "refresh";
    SignupAccess => "signup", "access";
}

/// What every token says; `sub`, names and rights are for clients to show and never read here.
#[derive(Clone, Debug)]
pub struct Claims {
    pub uid: AccountId,
    pub sid: SessionId,
    pub jti: Uuid,
    pub epoch: String,
    /// In seconds since 1970 UTC.
    exp: i64,
}

impl Claims {
    /// # Errors
    /// [`Error::Unauthenticated`] once the token has expired.
    pub fn must_last(&self, now: Timestamp) -> Result<()> {
        match self.exp <= now.seconds() {
            true => Err(Error::Unauthenticated(Why::TokenExpired)),
            false => Ok(()),
        }
    }
}

/// Our own words have nothing in them that JSON would escape, so they are read where they lie.
#[derive(Deserialize)]
struct Read<'a> {
    uid: AccountId,
    sid: SessionId,
    jti: Uuid,
    epoch: &'a str,
    aud: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    exp: i64,
}

#[derive(Serialize)]
struct Written<'a> {
    uid: AccountId,
    sid: SessionId,
    jti: Uuid,
    aud: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    iat: i64,
    exp: i64,
    epoch: &'a str,
    #[serde(flatten)]
    shown: Map<String, Value>,
}

/// A token that was just made.
#[derive(Clone, Debug)]
pub struct Issued {
    pub text: Secret,
    pub expires_at: Timestamp,
}

struct Keys {
    write: EncodingKey,
    read: hmac::Key,
}

/// Writes and reads tokens of all kinds.
pub struct Signer {
    keys: Vec<Keys>,
}

impl Signer {
    /// `generation` is the database's: a restored copy has another, and no token from before it
    /// lives.
    pub fn new(master: &MasterSecret, generation: &str) -> Self {
        let keys = TokenKind::ALL
            .iter()
            .map(|kind| {
                let key = master.derive(&["token", kind.audience(), kind.name(), generation]);
                Keys {
                    write: EncodingKey::from_secret(&*key),
                    read: hmac::Key::new(hmac::HMAC_SHA256, &*key),
                }
            })
            .collect();
        Self { keys }
    }

    /// A token of `kind` for one session; `jti` makes two of one second differ.
    ///
    /// # Errors
    /// [`Error::Internal`] only.
    pub fn write(
        &self,
        kind: TokenKind,
        account: &Account,
        session: SessionId,
        times: (Timestamp, Timestamp),
        shown: Map<String, Value>,
    ) -> Result<(Issued, Uuid)> {
        let (now, expires_at) = times;
        let jti = random_uuid();
        let claims = Written {
            uid: account.id,
            sid: session,
            jti,
            aud: kind.audience(),
            kind: kind.name(),
            iat: now.seconds(),
            exp: expires_at.seconds(),
            epoch: &account.epoch,
            shown,
        };
        let text = encode(&Header::new(Algorithm::HS256), &claims, &self.keys[kind as usize].write)
            .map_err(|error| Error::Internal(Box::new(error)))?;
        Ok((Issued { text: Secret::new(text), expires_at: expires_at.whole_seconds() }, jti))
    }

    /// Reads a token that must be of `kind`; a refresh token in the place of its dialect's access
    /// token is told apart, since its clients are told so.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] with what was wrong.
    pub fn read_access(&self, kind: TokenKind, token: &str, now: Timestamp) -> Result<Claims> {
        let read = self.read(kind, token, now);
        match (&read, kind) {
            (Err(Error::Unauthenticated(Why::BadSignature)), TokenKind::PairAccess)
                if self.read(TokenKind::PairRefresh, token, now).is_ok() =>
            {
                Err(Error::Unauthenticated(Why::RefreshAsAccess))
            }
            _ => read,
        }
    }

    /// Reads a token that must be of `kind`.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] with what was wrong.
    pub fn read(&self, kind: TokenKind, token: &str, now: Timestamp) -> Result<Claims> {
        let refuse = |why| Err(Error::Unauthenticated(why));
        let parts = || {
            let (signed, signature) = token.rsplit_once('.')?;
            let (header, payload) = signed.split_once('.')?;
            let short = token.len() <= MAX_LENGTH && !payload.contains('.');
            short.then_some((header, payload, signed, signature))
        };
        let Some((header, payload, signed, signature)) = parts() else {
            return refuse(Why::Malformed);
        };
        // The header is always the same, so nothing of it is ever decoded: no algorithm, key id or
        // extension that a client names is looked at (RFC 8725, section 3.1).
        if header != HEADER {
            return refuse(Why::BadSignature);
        }
        // Without padding and with zero trailing bits: a signature has one spelling.
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
            return refuse(Why::Malformed);
        };
        let key = &self.keys[kind as usize].read;
        if hmac::verify(key, signed.as_bytes(), &signature).is_err() {
            return refuse(Why::BadSignature);
        }
        let Ok(json) = URL_SAFE_NO_PAD.decode(payload) else { return refuse(Why::Malformed) };
        let Ok(read) = serde_json::from_slice::<Read<'_>>(&json) else {
            return refuse(Why::Malformed);
        };
        if read.aud != kind.audience() || read.kind != kind.name() {
            return refuse(Why::WrongKind);
        }
        let Read { uid, sid, jti, exp, .. } = read;
        let claims = Claims { uid, sid, jti, exp, epoch: read.epoch.to_owned() };
        claims.must_last(now)?;
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{accounts::Status, permissions::Permissions};
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    fn signer() -> Signer {
        Signer::new(&MasterSecret::new("0123456789abcdef0123456789abcdef"), "1")
    }

    fn account() -> Account {
        let at = Timestamp::from_seconds(0);
        Account {
            id: AccountId::random(),
            username: "ann".to_owned(),
            email: None,
            display_name: String::new(),
            role: "reader".to_owned(),
            permissions: Permissions::default(),
            status: Status::Active,
            email_verified: true,
            password_hash: None,
            pin_hash: None,
            epoch: "e".to_owned(),
            pending_until: None,
            last_login_at: None,
            created_at: at,
            updated_at: at,
        }
    }

    fn token(signer: &Signer, kind: TokenKind) -> String {
        let times = (Timestamp::from_seconds(100), Timestamp::from_seconds(200));
        let made = signer.write(kind, &account(), SessionId::random(), times, Map::new());
        made.expect("a token").0.text.reveal().to_owned()
    }

    fn why(result: Result<Claims>) -> Why {
        match result {
            Err(Error::Unauthenticated(why)) => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    const NOW: Timestamp = Timestamp::from_seconds(150);

    #[test]
    fn a_token_is_read_by_its_own_kind_and_time_only() {
        let signer = signer();
        let token = token(&signer, TokenKind::NativeAccess);
        assert!(signer.read(TokenKind::NativeAccess, &token, NOW).is_ok());
        assert_eq!(why(signer.read(TokenKind::NativeRefresh, &token, NOW)), Why::BadSignature);
        let late = Timestamp::from_seconds(200);
        assert_eq!(why(signer.read(TokenKind::NativeAccess, &token, late)), Why::TokenExpired);
        let restored = Signer::new(&MasterSecret::new("0123456789abcdef0123456789abcdef"), "2");
        assert_eq!(why(restored.read(TokenKind::NativeAccess, &token, NOW)), Why::BadSignature);
    }

    #[test]
    fn other_headers_are_refused_even_with_our_signature() {
        let signer = signer();
        let key = MasterSecret::new("0123456789abcdef0123456789abcdef");
        let key = key.derive(&["token", "native", "access", "1"]);
        let good = token(&signer, TokenKind::NativeAccess);
        let payload = good.split('.').nth(1).expect("a payload");
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"hs256","typ":"JWT"}"#,
            r#"{"alg":"RS256","typ":"JWT"}"#,
            r#"{"typ":"JWT","alg":"HS256","alg":"none"}"#,
            r#"{"typ":"JWT","alg":"HS256","crit":["exp"]}"#,
            r#"{"typ":"JWT","alg":"HS256","kid":"../../dev/null"}"#,
        ] {
            let signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header));
            let mac = aws_lc_rs::hmac::sign(
                &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &*key),
                signed.as_bytes(),
            );
            let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.as_ref()));
            assert!(signer.read(TokenKind::NativeAccess, &forged, NOW).is_err(), "{header}");
            let bare = format!("{signed}.");
            assert!(signer.read(TokenKind::NativeAccess, &bare, NOW).is_err(), "{header}");
        }
    }

    #[test]
    fn a_signature_has_one_spelling() {
        let signer = signer();
        let good = token(&signer, TokenKind::NativeAccess);
        let (front, last) = good.split_at(good.len() - 1);
        const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let accepted = BASE64
            .chars()
            .filter(|c| signer.read(TokenKind::NativeAccess, &format!("{front}{c}"), NOW).is_ok());
        assert_eq!(accepted.collect::<String>(), last);
        for other in
            [format!("{good}="), format!("{good} "), format!(" {good}"), format!("{good}.")]
        {
            assert!(signer.read(TokenKind::NativeAccess, &other, NOW).is_err(), "{other:?}");
        }
    }
}
