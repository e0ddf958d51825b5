//! What somebody takes along to a provider: sealed into a cookie of their browser, so that nothing
//! is remembered here of those who never come back.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::domain::{
    Timestamp,
    accounts::AccountId,
    error::{Error, Result},
    secret::{Secret, TokenDigest, random_bytes, same, sha256},
    sessions::SessionId,
};

/// Flows that came back within their ten minutes; more of them and the oldest are forgotten first.
const MAX_USED: usize = 4096;
/// Longer tickets are none of ours, in bytes.
const MAX_TICKET: usize = 4096;
const NONCE: usize = 12;
const PURPOSE: &[u8] = b"gatelodge sso";

/// One way to a provider and back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flow {
    pub provider: String,
    /// RFC 6749, section 10.12.
    pub state: String,
    /// OpenID Connect Core, section 15.5.2.
    pub nonce: String,
    /// RFC 7636, section 4.1.
    pub verifier: String,
    pub to: Option<String>,
    pub link: Option<Link>,
    /// The set-up token was shown at the start: a GET can be provoked by any page, so that being
    /// at home is not enough for the first account here.
    pub setup: bool,
    /// In seconds since 1970.
    pub until: i64,
}

/// Whose account a flow is to link.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Link {
    pub account: AccountId,
    pub session: SessionId,
    /// [`Account::password_mark`] of the password that was asked for.
    ///
    /// [`Account::password_mark`]: crate::domain::accounts::Account::password_mark
    pub password: [u8; 8],
}

impl Flow {
    /// RFC 7636, section 4.2.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(self.verifier.as_bytes()))
    }
}

/// Seals flows and remembers those that came back.
pub struct Flows {
    /// Of this process only: what was begun before a restart is begun anew, and cannot be replayed
    /// after one.
    key: RandomizedNonceKey,
    used: Mutex<HashMap<TokenDigest, i64>>,
}

impl Flows {
    pub fn new() -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &random_bytes::<32>());
        // Fails for a key of another length only.
        let key = key.unwrap_or_else(|_| std::process::abort());
        Self { key, used: Mutex::default() }
    }

    pub fn seal(&self, flow: &Flow) -> Result<Secret> {
        let mut text = serde_json::to_vec(flow).map_err(|e| Error::Internal(Box::new(e)))?;
        let nonce = self.key.seal_in_place_append_tag(Aad::from(PURPOSE), &mut text);
        let nonce = nonce.map_err(|e| Error::Internal(Box::new(e)))?;
        let sealed = [nonce.as_ref().as_slice(), &text].concat();
        Ok(Secret::new(URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// The flow in `ticket`, if it is ours, belongs to `state`, is in time and has not come back
    /// before. It has now.
    pub fn open(&self, ticket: &Secret, state: &str, now: Timestamp) -> Option<Flow> {
        let flow = self.unseal(ticket)?;
        if !same(flow.state.as_bytes(), state.as_bytes()) || flow.until <= now.seconds() {
            return None;
        }
        self.use_up(TokenDigest::of(state), flow.until, now.seconds()).then_some(flow)
    }

    fn unseal(&self, ticket: &Secret) -> Option<Flow> {
        let ticket = Some(ticket.reveal()).filter(|ticket| ticket.len() <= MAX_TICKET)?;
        let mut sealed = URL_SAFE_NO_PAD.decode(ticket).ok()?;
        let (nonce, text) = sealed.split_at_mut_checked(NONCE)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.key.open_in_place(nonce, Aad::from(PURPOSE), text).ok()?;
        serde_json::from_slice(text).ok()
    }

    /// Of many at once exactly one is the first.
    fn use_up(&self, state: TokenDigest, until: i64, now: i64) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= MAX_USED {
            used.retain(|_, until| *until > now);
        }
        if used.len() >= MAX_USED
            && let Some(oldest) = used.iter().min_by_key(|(_, until)| **until).map(|(d, _)| *d)
        {
            used.remove(&oldest);
        }
        used.insert(state, until).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(state: &str) -> Flow {
        Flow {
            provider: "home".to_owned(),
            state: state.to_owned(),
            nonce: "n".to_owned(),
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned(),
            to: None,
            link: None,
            setup: false,
            until: 1000,
        }
    }

    const NOW: Timestamp = Timestamp::from_seconds(999);

    #[test]
    fn a_flow_comes_back_once_in_time_with_its_own_state() {
        let flows = Flows::new();
        let ticket = flows.seal(&flow("s")).expect("a ticket");
        assert!(flows.open(&ticket, "t", NOW).is_none());
        assert!(flows.open(&ticket, "s", Timestamp::from_seconds(1000)).is_none());
        assert_eq!(flows.open(&ticket, "s", NOW).expect("a flow").provider, "home");
        assert!(flows.open(&ticket, "s", NOW).is_none(), "once");
        assert!(Flows::new().open(&ticket, "s", NOW).is_none(), "of another process");
    }

    #[test]
    fn a_ticket_that_was_changed_is_none() {
        let flows = Flows::new();
        let ticket = flows.seal(&flow("s")).expect("a ticket");
        let text = ticket.reveal();
        let sealed = URL_SAFE_NO_PAD.decode(text).expect("base64url");
        assert!(!sealed.windows(4).any(|w| w == b"home"), "nobody reads it");
        for place in 0..sealed.len() {
            let mut other = sealed.clone();
            other[place] ^= 1;
            let other = Secret::new(URL_SAFE_NO_PAD.encode(other));
            assert!(flows.open(&other, "s", NOW).is_none(), "{place}");
        }
        for other in ["", "a", &text[..20], &format!("{text}="), &"A".repeat(MAX_TICKET + 4)] {
            assert!(flows.open(&Secret::new(other), "s", NOW).is_none(), "{other}");
        }
        assert!(flows.open(&ticket, "s", NOW).is_some());
    }

    #[test]
    fn what_came_back_is_remembered_in_bounded_memory() {
        let flows = Flows::new();
        for number in 0..MAX_USED + 100 {
            assert!(flows.use_up(TokenDigest::of(&number.to_string()), 1000, 999));
        }
        assert!(flows.used.lock().expect("unpoisoned").len() <= MAX_USED);
    }

    /// RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_that_of_the_standard() {
        assert_eq!(flow("s").challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
