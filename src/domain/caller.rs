//! Who asks, from where, and what they may.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use ipnet::IpNet;
use rusqlite::Connection;

use super::{
    Core, Timestamp,
    accounts::{self, Account, AccountId},
    api_keys,
    error::{Denied, Error, Noun, Result, Why},
    known::{LiveSession, SessionKey},
    permissions::Permissions,
    secret::{Secret, TokenDigest},
    sessions::{self, SessionId},
    throttle::Subject,
    tokens::{Claims, MAX_LENGTH, TokenKind},
};

const MAX_USER_AGENT: usize = 256;

/// Where a request comes from, as the door found out.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client; behind a trusted proxy what that proxy says.
    pub address: Option<IpAddr>,
    /// Nobody in the house, as far as can be told: a forwarding header came from a peer that is not
    /// trusted, a trusted proxy named no client, or the name that was asked for on plain http is not ours.
    pub counts_as_public: bool,
    /// Everything about the request says that a person in the house made it (wire rule 2).
    pub at_home: bool,
    /// A program on this machine or its network asks, and nothing forwarded the request: it may look,
    /// and decide nothing.
    pub nearby: bool,
    pub user_agent: String,
    pub dialect: &'static str,
    /// The set-up token from `X-Setup-Token`.
    pub setup_token: Option<Secret>,
}

impl Origin {
    /// The command line.
    pub fn local() -> Self {
        Self {
            address: None,
            counts_as_public: false,
            at_home: true,
            nearby: true,
            user_agent: "gatelodge command line".to_owned(),
            dialect: "cli",
            setup_token: None,
        }
    }

    /// The throttle's view; the command line is never throttled and shares one that nobody has.
    pub fn subject(&self) -> Subject {
        Subject::of(self.address.unwrap_or(IpAddr::from([0, 0, 0, 0])))
    }

    /// Empty for the command line.
    pub fn address_text(&self) -> String {
        self.address.map(|address| address.to_canonical().to_string()).unwrap_or_default()
    }

    /// Whether the client itself is inside one of these networks.
    pub fn is_within(&self, networks: &[IpNet]) -> bool {
        let Some(address) = self.address.map(|address| address.to_canonical()) else {
            return false;
        };
        !self.counts_as_public && networks.iter().any(|network| network.contains(&address))
    }

    /// The user agent, cut to what a row holds.
    pub fn user_agent_text(&self) -> String {
        agent_text(&self.user_agent)
    }
}

/// What a client calls itself, cut to what a row holds: whoever keeps more of it keeps what nobody reads.
pub fn agent_text(said: &str) -> String {
    said.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect()
}

/// What a request carries to prove who sent it; the door only extracts it. No `Debug`: it would
/// print the token.
pub enum Credential<'a> {
    /// A JWT of one kind, where it lies: a copy would have to be made and wiped each time.
    Token(TokenKind, &'a str),
    ApiKey(Secret),
    Basic {
        user: String,
        password: Secret,
    },
    /// The opaque session cookie of this dialect.
    Cookie(&'static str, Secret),
    /// Something was sent that cannot be read.
    Unreadable(Why),
}

/// By what somebody is signed in.
#[derive(Clone, Debug)]
pub enum Via {
    Session(SessionId),
    Basic,
    /// The key's id and, if it has them, its own narrower permissions.
    ApiKey(String, Option<Permissions>),
}

#[derive(Clone, Debug)]
enum Who {
    /// The person at the machine's own command line, who owns the database file.
    Operator,
    Account(Arc<Account>, Via),
}

/// The first argument of every deed.
#[derive(Clone, Debug)]
pub struct Caller {
    who: Who,
    origin: Origin,
}

impl Caller {
    /// The command line: may do everything that keeps the house sound.
    pub fn operator() -> Self {
        Self { who: Who::Operator, origin: Origin::local() }
    }

    pub(super) fn account_via(account: Arc<Account>, via: Via, origin: Origin) -> Self {
        Self { who: Who::Account(account, via), origin }
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    pub fn account_id(&self) -> Option<AccountId> {
        match &self.who {
            Who::Operator => None,
            Who::Account(account, _) => Some(account.id),
        }
    }

    /// The account that asks, as it was when the request came: no deed before that is missing.
    ///
    /// # Errors
    /// The operator has none.
    pub fn account(&self) -> Result<&Arc<Account>> {
        match &self.who {
            Who::Operator => Err(Error::NotFound(Noun::Account)),
            Who::Account(account, _) => Ok(account),
        }
    }

    /// The session that asks, if one does.
    pub fn session(&self) -> Option<SessionId> {
        match &self.who {
            Who::Account(_, Via::Session(id)) => Some(*id),
            _ => None,
        }
    }

    fn has(&self, permission: &str) -> bool {
        match &self.who {
            Who::Operator => true,
            Who::Account(account, Via::ApiKey(_, Some(narrower))) => {
                narrower.contains(permission) && account.permissions.contains(permission)
            }
            Who::Account(account, _) => account.permissions.contains(permission),
        }
    }

    /// # Errors
    /// [`Error::Forbidden`] without the permission.
    pub fn must(&self, permission: &str) -> Result<()> {
        if self.has(permission) {
            Ok(())
        } else {
            Err(Error::Forbidden(Denied::Permission(permission.to_owned())))
        }
    }

    /// The permissions that count now: those of the key, never more than the owner's.
    pub fn permissions(&self) -> Permissions {
        match &self.who {
            Who::Operator => Permissions::all(Default::default()),
            Who::Account(account, Via::ApiKey(_, Some(narrower))) => {
                account.permissions.intersect(narrower)
            }
            Who::Account(account, _) => account.permissions.clone(),
        }
    }

    /// Nobody edits, resets, signs out or grants what exceeds their own rights (wire rule 6).
    ///
    /// # Errors
    /// [`Error::Forbidden`] when `rights` does.
    pub fn must_cover(&self, rights: &Permissions) -> Result<()> {
        if self.permissions().covers(rights) {
            Ok(())
        } else {
            Err(Error::Forbidden(Denied::ExceedsRights))
        }
    }

    /// Whether a password came with the request itself.
    pub fn is_by_password(&self) -> bool {
        matches!(&self.who, Who::Account(_, Via::Basic))
    }

    /// The caller as it is now, read inside a deed that had to wait for a hash or for the writer: nothing
    /// remembered counts there.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] once the account, or what it came by, is no longer what it was.
    pub(super) fn again(&self, connection: &Connection, now: Timestamp) -> Result<Self> {
        let Who::Account(seen, via) = &self.who else { return Ok(self.clone()) };
        let ended = || Error::Unauthenticated(Why::SessionEnded);
        let account = accounts::row_by_id(connection, seen.id)?;
        let account = account.filter(|it| it.is_active() && it.epoch == seen.epoch);
        let account = account.ok_or_else(ended)?;
        let via = match via {
            Via::Session(id) => {
                sessions::live(connection, SessionKey::Id(*id), now)?.ok_or_else(ended)?;
                via.clone()
            }
            Via::ApiKey(id, _) => {
                let key = api_keys::live(connection, id, now)?.ok_or_else(ended)?;
                Via::ApiKey(key.id, key.permissions)
            }
            Via::Basic if account.password_mark() == seen.password_mark() => via.clone(),
            Via::Basic => return Err(ended()),
        };
        Ok(Self::account_via(Arc::new(account), via, self.origin.clone()))
    }

    /// Passwords, PINs, addresses, keys and sessions are for people (wire rule 18).
    ///
    /// # Errors
    /// [`Error::Forbidden`] for an API key.
    pub fn must_not_be_key(&self) -> Result<()> {
        match &self.who {
            Who::Account(_, Via::ApiKey(..)) => Err(Error::Forbidden(Denied::ApiKey)),
            _ => Ok(()),
        }
    }
}

impl Core {
    /// Finds out who sent `credential`. Live tokens and cookies are answered from memory.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for whatever is not wholly right, [`Error::Throttled`] and
    /// [`Error::Busy`] for Basic.
    pub async fn caller_of(
        &self,
        credential: Option<Credential<'_>>,
        origin: Origin,
    ) -> Result<Caller> {
        let (account, via) = match credential {
            None => return Err(Error::Unauthenticated(Why::Missing)),
            Some(Credential::Unreadable(why)) => return Err(Error::Unauthenticated(why)),
            Some(Credential::Token(kind, token)) => self.bearer_of_token(kind, token).await?,
            Some(Credential::Cookie(dialect, token)) => {
                self.bearer_of_cookie(dialect, &token).await?
            }
            Some(Credential::ApiKey(key)) => self.bearer_of_key(&key).await?,
            Some(Credential::Basic { user, password }) => {
                self.bearer_of_basic(&user, password, &origin).await?
            }
        };
        Ok(Caller::account_via(account, via, origin))
    }

    /// Asks again whether `caller` may still be served: for streams that outlive a request.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] once the session or the account has ended.
    pub async fn caller_again(&self, caller: &Caller) -> Result<Caller> {
        let Who::Account(account, via) = &caller.who else { return Ok(caller.clone()) };
        let ended = || Error::Unauthenticated(Why::SessionEnded);
        let now = self.account_of(account.id).await?.filter(|now| now.epoch == account.epoch);
        let now = now.ok_or_else(ended)?;
        let via = match via {
            Via::Session(id) => {
                self.note_use(&*self.live_session(SessionKey::Id(*id)).await?.ok_or_else(ended)?);
                via.clone()
            }
            Via::ApiKey(id, _) => {
                let (id, at) = (id.clone(), self.clock.now());
                let found = self.db.read(move |c| Ok::<_, Error>(api_keys::live(c, &id, at)?));
                let key = found.await?.ok_or_else(ended)?;
                Via::ApiKey(key.id, key.permissions)
            }
            Via::Basic => {
                if now.password_mark() != account.password_mark() {
                    return Err(ended());
                }
                via.clone()
            }
        };
        Ok(Caller::account_via(now, via, caller.origin.clone()))
    }

    async fn bearer_of_token(&self, kind: TokenKind, token: &str) -> Result<(Arc<Account>, Via)> {
        let claims = self.access_claims(kind, token)?;
        let ended = || Error::Unauthenticated(Why::SessionEnded);
        let session = self.live_session(SessionKey::Id(claims.sid)).await?.ok_or_else(ended)?;
        if session.account != claims.uid || session.dialect != kind.audience() {
            return Err(ended());
        }
        let account = self.account_of(claims.uid).await?.ok_or_else(ended)?;
        if account.epoch != claims.epoch {
            return Err(ended());
        }
        self.note_use(&session);
        Ok((account, Via::Session(session.id)))
    }

    /// A signature is verified once, and remembered by the token's digest.
    fn access_claims(&self, kind: TokenKind, token: &str) -> Result<Arc<Claims>> {
        let now = self.clock.now();
        let digest = (token.len() <= MAX_LENGTH).then(|| TokenDigest::of(token));
        if let Some(claims) = digest.and_then(|digest| self.known.claims(kind, digest)) {
            claims.must_last(now)?;
            return Ok(claims);
        }
        let claims = Arc::new(self.signer.read_access(kind, token, now)?);
        if let Some(digest) = digest {
            self.known.keep_claims(kind, digest, &claims);
        }
        Ok(claims)
    }

    async fn bearer_of_cookie(&self, dialect: &str, token: &Secret) -> Result<(Arc<Account>, Via)> {
        let ended = || Error::Unauthenticated(Why::SessionEnded);
        let key = SessionKey::Cookie(TokenDigest::of(token.reveal()));
        let session = self.live_session(key).await?.ok_or_else(ended)?;
        if session.dialect != dialect {
            return Err(ended());
        }
        let account = self.account_of(session.account).await?.ok_or_else(ended)?;
        self.note_use(&session);
        Ok((account, Via::Session(session.id)))
    }

    async fn bearer_of_key(&self, key: &Secret) -> Result<(Arc<Account>, Via)> {
        let bad = || Error::Unauthenticated(Why::BadKey);
        if !api_keys::is_well_formed(key.reveal()) {
            return Err(bad());
        }
        let now = self.clock.now();
        let found = self.api_key_of(TokenDigest::of(key.reveal())).await?.ok_or_else(bad)?;
        if found.expires_at.is_some_and(|end| end <= now) {
            return Err(bad());
        }
        let account = self.account_of(found.account).await?.ok_or_else(bad)?;
        self.known.touch_key(&found.id, now);
        Ok((account, Via::ApiKey(found.id.clone(), found.permissions.clone())))
    }

    /// Basic: name or e-mail + password, or `api` or the owner's name + API key (wire rule 11).
    async fn bearer_of_basic(
        &self,
        user: &str,
        password: Secret,
        origin: &Origin,
    ) -> Result<(Arc<Account>, Via)> {
        if api_keys::is_well_formed(password.reveal()) {
            let (account, via) = self.bearer_of_key(&password).await?;
            if accounts::canonical(user) != "api" && !account.is_called(user) {
                return Err(Error::Unauthenticated(Why::BadKey));
            }
            return Ok((account, via));
        }
        Ok((self.basic_password(user, password, origin).await?, Via::Basic))
    }

    /// Remembered or read, a session ends by the clock: a token that was made in its last moments
    /// does not outlive it.
    pub(super) async fn live_session(&self, key: SessionKey) -> Result<Option<Arc<LiveSession>>> {
        let now = self.clock.now();
        if let Some(session) = self.known.session(key) {
            return Ok((now < session.expires_at).then_some(session));
        }
        // In a box: what is asked from memory nearly always need not carry a read's future along.
        Box::pin(self.read_session(key, now)).await
    }

    async fn read_session(
        &self,
        key: SessionKey,
        now: Timestamp,
    ) -> Result<Option<Arc<LiveSession>>> {
        let watch = self.known.watch();
        let found = self.db.read(move |c| Ok::<_, Error>(sessions::live(c, key, now)?)).await?;
        Ok(found.map(|session| {
            let session = Arc::new(session);
            self.known.keep_session(watch, key, &session);
            session
        }))
    }

    /// The active account with this id.
    pub(super) async fn account_of(&self, id: AccountId) -> Result<Option<Arc<Account>>> {
        if let Some(account) = self.known.account(id) {
            return Ok(account.is_active().then_some(account));
        }
        Box::pin(self.read_account(id)).await
    }

    async fn read_account(&self, id: AccountId) -> Result<Option<Arc<Account>>> {
        let watch = self.known.watch();
        let found = self.db.read(move |c| Ok::<_, Error>(accounts::row_by_id(c, id)?)).await?;
        Ok(found.and_then(|account| {
            let account = Arc::new(account);
            self.known.keep_account(watch, &account);
            account.is_active().then_some(account)
        }))
    }

    async fn api_key_of(&self, digest: TokenDigest) -> Result<Option<Arc<api_keys::ApiKey>>> {
        if let Some(key) = self.known.key(digest) {
            return Ok(Some(key));
        }
        Box::pin(self.read_key(digest)).await
    }

    async fn read_key(&self, digest: TokenDigest) -> Result<Option<Arc<api_keys::ApiKey>>> {
        let watch = self.known.watch();
        let found =
            self.db.read(move |c| Ok::<_, Error>(api_keys::row_by_digest(c, digest)?)).await?;
        Ok(found.map(|key| {
            let key = Arc::new(key);
            self.known.keep_key(watch, digest, &key);
            key
        }))
    }

    fn note_use(&self, session: &LiveSession) {
        let now = self.clock.now();
        let noted = session.noted_at.load(Ordering::Relaxed);
        if now.minus(sessions::NOTE_AFTER).millis() >= noted {
            session.noted_at.store(now.millis(), Ordering::Relaxed);
            self.known.touch_session(session.id, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_calls_itself_is_cut_between_letters() {
        let long = format!("a\tb\n{}", "ä€".repeat(MAX_USER_AGENT));
        let kept = agent_text(&long);
        assert_eq!(kept.chars().count(), MAX_USER_AGENT);
        assert!(kept.starts_with("abä€") && kept.ends_with("ä€"), "{kept}");
        assert_eq!(agent_text("curl/8.5"), "curl/8.5");
    }
}
