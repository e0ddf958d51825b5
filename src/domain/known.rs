//! What this process remembers of sessions, accounts and keys between requests: bounded, and
//! never older than the last deed that changed it.
//!
//! An entry carries a stamp; it holds only while the stamp is the account's present one. A deed
//! moves the stamp after it commits, in this process at once, and the watcher on the database
//! moves all stamps when another process wrote.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use quick_cache::sync::Cache;

use super::{
    Timestamp,
    accounts::{Account, AccountId},
    api_keys::ApiKey,
    profile::Overview,
    secret::TokenDigest,
    sessions::SessionId,
    tokens::{Claims, TokenKind},
};

const SESSIONS: usize = 4096;
const ACCOUNTS: usize = 2048;
const KEYS: usize = 1024;
const BASIC: usize = 1024;
/// An overview holds a hundred sessions at the most, some 30 KB.
const OVERVIEWS: usize = 64;
const TOKENS: usize = 4096;
const SHARDS: usize = 256;
const TOUCHED: usize = 4096;

/// What a live session's bearer is checked against.
#[derive(Debug)]
pub struct LiveSession {
    pub id: SessionId,
    pub account: AccountId,
    pub dialect: &'static str,
    pub expires_at: Timestamp,
    /// When its last use was noted; in milliseconds.
    pub noted_at: AtomicI64,
}

/// A Basic credential that was right a moment ago.
#[derive(Clone, Copy, Debug)]
pub struct RightBasic {
    pub account: AccountId,
    pub password_mark: [u8; 8],
    pub until: Timestamp,
}

/// How a session is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionKey {
    Id(SessionId),
    Cookie(TokenDigest),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    all: u64,
    account: u64,
}

struct Stamped<T> {
    stamp: Stamp,
    account: AccountId,
    value: Arc<T>,
}

impl<T> Clone for Stamped<T> {
    fn clone(&self) -> Self {
        Self { stamp: self.stamp, account: self.account, value: Arc::clone(&self.value) }
    }
}

/// Whose entries a deed makes stale; `T` is what it comes to.
pub enum Stale<T> {
    /// Nothing that it changes is remembered.
    Nobodys,
    Of(AccountId),
    /// Known only when it is done.
    OfWhom(fn(&T) -> Option<AccountId>),
    Everybodys,
}

/// The state of the stamps before a read; see [`Known::watch`].
#[derive(Clone, Copy)]
pub struct Watch(u64);

/// Last uses that wait to be written together.
#[derive(Clone, Default)]
pub struct Touches {
    pub sessions: HashMap<SessionId, Timestamp>,
    pub keys: HashMap<String, Timestamp>,
}

pub struct Known {
    sessions: Cache<SessionKey, Stamped<LiveSession>>,
    accounts: Cache<AccountId, Stamped<Account>>,
    keys: Cache<TokenDigest, Stamped<ApiKey>>,
    basic: Cache<[u8; 32], RightBasic>,
    tokens: Cache<(TokenKind, TokenDigest), Arc<Claims>>,
    overviews: Cache<AccountId, Stamped<Overview>>,
    moved: AtomicU64,
    all: AtomicU64,
    shards: Box<[AtomicU64]>,
    touches: Mutex<Touches>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            sessions: Cache::new(SESSIONS),
            accounts: Cache::new(ACCOUNTS),
            keys: Cache::new(KEYS),
            basic: Cache::new(BASIC),
            tokens: Cache::new(TOKENS),
            overviews: Cache::new(OVERVIEWS),
            moved: AtomicU64::new(0),
            all: AtomicU64::new(0),
            shards: (0..SHARDS).map(|_| AtomicU64::new(0)).collect(),
            touches: Mutex::default(),
        }
    }
}

impl Known {
    fn shard(&self, account: AccountId) -> &AtomicU64 {
        &self.shards[usize::from(account.shard_byte()) % SHARDS]
    }

    fn stamp(&self, account: AccountId) -> Stamp {
        Stamp {
            all: self.all.load(Ordering::Acquire),
            account: self.shard(account).load(Ordering::Acquire),
        }
    }

    /// Call before reading what may be kept: a read that began before a change is not kept.
    pub fn watch(&self) -> Watch {
        Watch(self.moved.load(Ordering::Acquire))
    }

    /// Call after a commit, in whatever goes on when nobody waits for it any more: a request that
    /// is hung up on does not.
    pub fn forget<T>(&self, stale: Stale<T>, done: &T) {
        match stale {
            Stale::Nobodys => {}
            Stale::Of(account) => self.forget_one(account),
            Stale::OfWhom(find) => {
                if let Some(account) = find(done) {
                    self.forget_one(account);
                }
            }
            Stale::Everybodys => self.forget_all(),
        }
    }

    fn forget_one(&self, account: AccountId) {
        // `moved` first: a reader that still sees the old `moved` has taken the old stamp.
        self.moved.fetch_add(1, Ordering::AcqRel);
        self.shard(account).fetch_add(1, Ordering::AcqRel);
    }

    fn forget_all(&self) {
        self.moved.fetch_add(1, Ordering::AcqRel);
        self.all.fetch_add(1, Ordering::AcqRel);
    }

    /// How often anything has changed: what failed before may be right after.
    pub fn generation(&self) -> u64 {
        self.moved.load(Ordering::Acquire)
    }

    fn fresh<T>(&self, entry: Stamped<T>) -> Option<Arc<T>> {
        (entry.stamp == self.stamp(entry.account)).then_some(entry.value)
    }

    fn stamped<T>(&self, watch: Watch, account: AccountId, value: &Arc<T>) -> Option<Stamped<T>> {
        let stamp = self.stamp(account);
        let unmoved = self.moved.load(Ordering::Acquire) == watch.0;
        unmoved.then(|| Stamped { stamp, account, value: Arc::clone(value) })
    }

    pub fn session(&self, key: SessionKey) -> Option<Arc<LiveSession>> {
        self.fresh(self.sessions.get(&key)?)
    }

    pub fn keep_session(&self, watch: Watch, key: SessionKey, session: &Arc<LiveSession>) {
        if let Some(entry) = self.stamped(watch, session.account, session) {
            self.sessions.insert(key, entry);
        }
    }

    pub fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        self.fresh(self.accounts.get(&id)?)
    }

    pub fn keep_account(&self, watch: Watch, account: &Arc<Account>) {
        if let Some(entry) = self.stamped(watch, account.id, account) {
            self.accounts.insert(account.id, entry);
        }
    }

    pub fn key(&self, digest: TokenDigest) -> Option<Arc<ApiKey>> {
        self.fresh(self.keys.get(&digest)?)
    }

    pub fn keep_key(&self, watch: Watch, digest: TokenDigest, key: &Arc<ApiKey>) {
        if let Some(entry) = self.stamped(watch, key.account, key) {
            self.keys.insert(digest, entry);
        }
    }

    pub fn overview(&self, id: AccountId) -> Option<Arc<Overview>> {
        self.fresh(self.overviews.get(&id)?)
    }

    pub fn keep_overview(&self, watch: Watch, id: AccountId, overview: &Arc<Overview>) {
        if let Some(entry) = self.stamped(watch, id, overview) {
            self.overviews.insert(id, entry);
        }
    }

    /// What a token says whose signature was right before: that never changes, so no stamp ends
    /// it. Its time, its session and its account are the caller's to look at.
    pub fn claims(&self, kind: TokenKind, digest: TokenDigest) -> Option<Arc<Claims>> {
        self.tokens.get(&(kind, digest))
    }

    pub fn keep_claims(&self, kind: TokenKind, digest: TokenDigest, claims: &Arc<Claims>) {
        self.tokens.insert((kind, digest), Arc::clone(claims));
    }

    /// A remembered Basic credential; the caller compares its mark with the account's.
    pub fn basic(&self, digest: &[u8; 32]) -> Option<RightBasic> {
        self.basic.get(digest)
    }

    pub fn keep_basic(&self, digest: [u8; 32], right: RightBasic) {
        self.basic.insert(digest, right);
    }

    pub fn drop_basic(&self, digest: &[u8; 32]) {
        self.basic.remove(digest);
    }

    /// Notes a session's use, to be written later; under a flood some notes are lost.
    pub fn touch_session(&self, id: SessionId, now: Timestamp) {
        let mut touches = self.touches.lock().unwrap_or_else(PoisonError::into_inner);
        if touches.sessions.len() < TOUCHED {
            touches.sessions.insert(id, now);
        }
    }

    /// Notes a key's use, to be written later.
    pub fn touch_key(&self, id: &str, now: Timestamp) {
        let mut touches = self.touches.lock().unwrap_or_else(PoisonError::into_inner);
        if touches.keys.len() < TOUCHED {
            touches.keys.insert(id.to_owned(), now);
        }
    }

    /// Takes back what could not be written; what came since is newer.
    pub fn give_back(&self, old: Touches) {
        let mut touches = self.touches.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, at) in old.sessions {
            touches.sessions.entry(id).or_insert(at);
        }
        for (id, at) in old.keys {
            touches.keys.entry(id).or_insert(at);
        }
    }

    /// Takes the notes, for writing.
    pub fn take_touches(&self) -> Touches {
        std::mem::take(&mut *self.touches.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(account: AccountId) -> Arc<LiveSession> {
        Arc::new(LiveSession {
            id: SessionId::random(),
            account,
            dialect: "native",
            expires_at: Timestamp::from_seconds(1),
            noted_at: AtomicI64::new(0),
        })
    }

    #[test]
    fn a_read_that_began_before_a_change_is_not_kept() {
        let known = Known::default();
        let session = session(AccountId::random());
        let key = SessionKey::Id(session.id);
        let watch = known.watch();
        known.forget(Stale::Of(session.account), &());
        known.keep_session(watch, key, &session);
        assert!(known.session(key).is_none());
        known.keep_session(known.watch(), key, &session);
        assert!(known.session(key).is_some());
        known.forget(Stale::Of(session.account), &());
        assert!(known.session(key).is_none());
    }

    #[test]
    fn another_process_ends_all_entries() {
        let known = Known::default();
        let session = session(AccountId::random());
        let key = SessionKey::Id(session.id);
        known.keep_session(known.watch(), key, &session);
        known.forget(Stale::Everybodys, &());
        assert!(known.session(key).is_none());
    }
}
