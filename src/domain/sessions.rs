//! Sessions: one row for each sign-in of each dialect, visible to its owner and ended at once.

use std::{sync::atomic::AtomicI64, time::Duration};

use rusqlite::{
    Connection, OptionalExtension, Row, ToSql, Transaction, params,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Core, Timestamp,
    accounts::{self, Account, AccountId},
    caller::{Caller, Origin},
    carriers::Carrier,
    error::{Error, Noun, Result, Why},
    events::{Event, EventKind},
    known::{LiveSession, SessionKey, Stale},
    permissions::{USERS_READ, USERS_WRITE},
    secret::{Secret, TokenDigest, random_text, random_uuid},
    tokens::{Issued, TokenKind},
};

/// The oldest unused ones go first beyond this many (wire rule 13).
const MAX_PER_ACCOUNT: u32 = 100;
/// A session's use is noted again when the last note is this old: SD cards wear out.
pub(super) const NOTE_AFTER: Duration = Duration::from_secs(300);
/// The first time, the sign-in itself being the last note, it is this old.
const FIRST_NOTE_AFTER: Duration = Duration::from_secs(60);
/// A session that is used all the time has a note in the database that is no older than this, since
/// notes are written once a minute.
const IN_USE: Duration = Duration::from_secs(420);
/// A refresh token that comes again this soon was sent twice by its own client (wire rule 17). Before its
/// first use by the clock, too: a clock that is corrected by a second or two ends no session, and one that is
/// set back an hour gives a thief no hour.
const REUSE_GRACE: Duration = Duration::from_secs(10);
const COOKIE_LENGTH: usize = 64;
/// In bytes of JSON. A token with more would be longer than we take ourselves.
const MAX_SHOWN_RIGHTS: usize = 10 * 1024;

/// A random UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

impl SessionId {
    pub fn random() -> Self {
        Self(random_uuid())
    }

    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for SessionId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl ToSql for SessionId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl FromSql for SessionId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        Uuid::try_parse(text).map(Self).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

/// The bearers of one session, shown once.
#[derive(Clone, Debug)]
pub struct Carried {
    pub session: SessionId,
    pub access: Option<Issued>,
    pub refresh: Option<Issued>,
    pub cookie: Option<Issued>,
}

/// A session that is ready to be written.
pub(super) struct Opening {
    id: SessionId,
    account: AccountId,
    carrier: Carrier,
    method: &'static str,
    cookie_digest: Option<TokenDigest>,
    refresh_digest: Option<TokenDigest>,
    address: String,
    user_agent: String,
    now: Timestamp,
    expires_at: Timestamp,
}

/// A session as its owner sees it.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: SessionId,
    pub account: AccountId,
    pub dialect: String,
    /// `password`, `pin`, …
    pub method: String,
    pub address: String,
    pub user_agent: String,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
}

// Rows

const COLUMNS: &str =
    "id, account_id, dialect, method, address, user_agent, created_at, last_seen_at, expires_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        account: row.get(1)?,
        dialect: row.get(2)?,
        method: row.get(3)?,
        address: row.get(4)?,
        user_agent: row.get(5)?,
        created_at: row.get(6)?,
        last_seen_at: row.get(7)?,
        expires_at: row.get(8)?,
    })
}

/// The dialects by their one static spelling, for comparing without allocation.
fn dialect_name(text: &str) -> &'static str {
    const ALL: [&str; 6] = ["native", "pages", "pin", "pair", "signup", "gpodder"];
    ALL.into_iter().find(|name| *name == text).unwrap_or("")
}

pub(super) fn live(
    connection: &Connection,
    key: SessionKey,
    now: Timestamp,
) -> rusqlite::Result<Option<LiveSession>> {
    const SELECT: &str =
        "SELECT id, account_id, dialect, expires_at, last_seen_at, created_at FROM sessions";
    let read = |row: &Row<'_>| {
        let (seen, created): (Timestamp, Timestamp) = (row.get(4)?, row.get(5)?);
        let noted = if seen > created { seen } else { seen.minus(NOTE_AFTER - FIRST_NOTE_AFTER) };
        Ok(LiveSession {
            id: row.get(0)?,
            account: row.get(1)?,
            dialect: dialect_name(&row.get::<_, String>(2)?),
            expires_at: row.get(3)?,
            noted_at: AtomicI64::new(noted.millis()),
        })
    };
    const STILL: &str = "ended_at IS NULL AND expires_at > ?2";
    match key {
        SessionKey::Id(id) => connection
            .prepare_cached(&format!("{SELECT} WHERE id = ?1 AND {STILL}"))?
            .query_row(params![id, now], read),
        SessionKey::Cookie(digest) => connection
            .prepare_cached(&format!("{SELECT} WHERE cookie_digest = ?1 AND {STILL}"))?
            .query_row(params![digest, now], read),
    }
    .optional()
}

/// Asked inside a deed whose caller had to wait for a hash or for the writer: what the caller came by may
/// have ended meanwhile, and the rights it was judged by may be gone. The operator always lives.
///
/// # Errors
/// [`Error::Unauthenticated`] once it has, [`Error::Forbidden`] once a right is gone.
pub(super) fn must_live(connection: &Connection, caller: &Caller, now: Timestamp) -> Result<()> {
    caller.again(connection, now)?.must_cover(&caller.permissions())
}

/// The same for a deed about `account`: one's own needs no right that may be lost.
pub(super) fn must_live_for(
    (connection, now): (&Connection, Timestamp),
    caller: &Caller,
    account: AccountId,
) -> Result<()> {
    match caller.account_id() == Some(account) {
        true => caller.again(connection, now).map(drop),
        false => must_live(connection, caller, now),
    }
}

/// Whether the caller may end sessions of `account`, now.
fn must_reach(
    (connection, now): (&Connection, Timestamp),
    caller: &Caller,
    account: AccountId,
) -> Result<()> {
    must_live_for((connection, now), caller, account)?;
    if caller.account_id() == Some(account) {
        return Ok(());
    }
    caller.must_cover(&accounts::must_exist(connection, account)?.permissions)
}

/// Writes a new session and ends the oldest unused ones beyond the bound: whoever signs in again and
/// again ends what they left behind so, and not what is in use elsewhere.
pub(super) fn insert(transaction: &Transaction<'_>, opening: &Opening) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO sessions (id, account_id, dialect, method, cookie_digest, refresh_digest,
                 address, user_agent, created_at, last_seen_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)",
        )?
        .execute(params![
            opening.id,
            opening.account,
            opening.carrier.dialect(),
            opening.method,
            opening.cookie_digest,
            opening.refresh_digest,
            opening.address,
            opening.user_agent,
            opening.now,
            opening.expires_at
        ])?;
    transaction
        .prepare_cached(
            "UPDATE sessions SET ended_at = ?2 WHERE ended_at IS NULL AND id IN (
                 SELECT id FROM sessions WHERE account_id = ?1 AND ended_at IS NULL
                 ORDER BY id = ?4 DESC, last_seen_at > max(created_at, ?5) DESC,
                     last_seen_at DESC, created_at DESC LIMIT -1 OFFSET ?3)",
        )?
        .execute(params![
            opening.account,
            opening.now,
            MAX_PER_ACCOUNT,
            opening.id,
            opening.now.minus(IN_USE)
        ])?;
    Ok(())
}

/// Ends one session of `account`; whether it was live.
pub(super) fn end(
    transaction: &Transaction<'_>,
    account: AccountId,
    id: SessionId,
    now: Timestamp,
) -> Result<bool> {
    let ended = transaction
        .prepare_cached(
            "UPDATE sessions SET ended_at = ?3
             WHERE id = ?1 AND account_id = ?2 AND ended_at IS NULL AND expires_at > ?3",
        )?
        .execute(params![id, account, now])?;
    Ok(ended > 0)
}

/// Ends all sessions of `account` but one; how many.
pub(super) fn end_all(
    transaction: &Transaction<'_>,
    account: AccountId,
    except: Option<SessionId>,
    now: Timestamp,
) -> Result<usize> {
    Ok(transaction
        .prepare_cached(
            "UPDATE sessions SET ended_at = ?3
             WHERE account_id = ?1 AND ended_at IS NULL AND id IS NOT ?2",
        )?
        .execute(params![account, except, now])?)
}

pub(super) fn live_of(
    connection: &Connection,
    account: AccountId,
    now: Timestamp,
) -> rusqlite::Result<Vec<Session>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM sessions
             WHERE account_id = ?1 AND ended_at IS NULL AND expires_at > ?2
             ORDER BY last_seen_at DESC, created_at DESC"
        ))?
        .query_map(params![account, now], from_row)?
        .collect()
}

pub(super) fn note_use(
    transaction: &Transaction<'_>,
    id: SessionId,
    at: Timestamp,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE sessions SET last_seen_at = max(last_seen_at, ?2) WHERE id = ?1")?
        .execute(params![id, at])?;
    Ok(())
}

/// Forgets rows whose bearers have expired anyway; how many.
pub(super) fn sweep(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    transaction.prepare_cached("DELETE FROM sessions WHERE expires_at <= ?1")?.execute([now])
}

enum Rotation {
    Done(Account),
    Reused { ended: Option<Account> },
    Over,
}

/// One conditional UPDATE: of many at once exactly one finds its digest still there.
fn rotate(
    transaction: &Transaction<'_>,
    id: SessionId,
    (old, new): (TokenDigest, TokenDigest),
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<Rotation> {
    let rotated = transaction
        .prepare_cached(
            "UPDATE sessions SET refresh_digest = ?3, rotated_digest = ?2, rotated_at = ?4,
                 last_seen_at = ?4, expires_at = ?5
             WHERE id = ?1 AND refresh_digest = ?2 AND ended_at IS NULL AND expires_at > ?4",
        )?
        .execute(params![id, old, new, now, expires_at])?;
    let row = transaction
        .prepare_cached(
            "SELECT account_id, ended_at,
                 rotated_at > ?3 AND rotated_at < ?4 AND rotated_digest = ?2
             FROM sessions WHERE id = ?1",
        )?
        .query_row(params![id, old, now.minus(REUSE_GRACE), now.plus(REUSE_GRACE)], |row| {
            Ok((
                row.get(0)?,
                row.get::<_, Option<Timestamp>>(1)?,
                row.get::<_, Option<bool>>(2)?.unwrap_or(false),
            ))
        })
        .optional()?;
    let Some((account, ended_at, sent_twice)) = row else { return Ok(Rotation::Over) };
    let account = accounts::must_exist(transaction, account)?;
    if rotated > 0 {
        let active = account.is_active();
        return Ok(if active { Rotation::Done(account) } else { Rotation::Over });
    }
    if ended_at.is_some() {
        return Ok(Rotation::Over);
    }
    if sent_twice {
        return Ok(Rotation::Reused { ended: None });
    }
    end(transaction, account.id, id, now)?;
    Ok(Rotation::Reused { ended: Some(account) })
}

// Deeds

impl Core {
    /// Makes the bearers of a new session; the row is written by whoever opens it.
    pub(super) fn open_session(
        &self,
        account: &Account,
        carrier: Carrier,
        method: &'static str,
        origin: &Origin,
    ) -> Result<(Opening, Carried)> {
        let id = SessionId::random();
        let now = self.clock.now();
        let expires_at = now.plus(self.settings.lives.session(carrier));
        let access = match carrier.access() {
            Some(kind) => Some(self.access_token(kind, carrier, account, id)?),
            None => None,
        };
        let refresh = match carrier.refresh() {
            Some(kind) => {
                let times = (now, now.plus(self.settings.lives.refresh(carrier)));
                Some(self.signer.write(kind, account, id, times, shown_claims(kind, account))?)
            }
            None => None,
        };
        let cookie = carrier
            .has_cookie()
            .then(|| Issued { text: Secret::new(random_text(COOKIE_LENGTH)), expires_at });
        let opening = Opening {
            id,
            account: account.id,
            carrier,
            method,
            cookie_digest: cookie.as_ref().map(|issued| TokenDigest::of(issued.text.reveal())),
            refresh_digest: refresh.as_ref().map(|(_, jti)| TokenDigest::of(&jti.to_string())),
            address: origin.address_text(),
            user_agent: origin.user_agent_text(),
            now,
            expires_at,
        };
        let refresh = refresh.map(|(issued, _)| issued);
        Ok((opening, Carried { session: id, access, refresh, cookie }))
    }

    fn access_token(
        &self,
        kind: TokenKind,
        carrier: Carrier,
        account: &Account,
        session: SessionId,
    ) -> Result<Issued> {
        let now = self.clock.now();
        let times = (now, now.plus(self.settings.lives.access(carrier)));
        Ok(self.signer.write(kind, account, session, times, shown_claims(kind, account))?.0)
    }

    /// Exchanges a refresh token for a new pair. Each works once: of many at once one wins, and
    /// one that comes again later than ten seconds after ends its session.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub async fn session_refresh(
        &self,
        carrier: Carrier,
        refresh_token: &Secret,
        origin: &Origin,
    ) -> Result<(Account, Carried)> {
        let Some(kind) = carrier.refresh() else {
            return Err(Error::Unauthenticated(Why::WrongKind));
        };
        let now = self.clock.now();
        let claims = self.signer.read(kind, refresh_token.reveal(), now)?;
        let expires_at = now.plus(self.settings.lives.session(carrier));
        let ended = || Error::Unauthenticated(Why::SessionEnded);
        let account = self.account_of(claims.uid).await?.ok_or_else(ended)?;
        if account.epoch != claims.epoch {
            return Err(ended());
        }
        let times = (now, now.plus(self.settings.lives.refresh(carrier)));
        let (refresh, jti) =
            self.signer.write(kind, &account, claims.sid, times, shown_claims(kind, &account))?;
        let digests = (TokenDigest::of(&claims.jti.to_string()), TokenDigest::of(&jti.to_string()));
        let event = Event::from_origin(EventKind::RefreshReused, origin, now).by(account.id);
        let rotation = self
            .deed(Stale::Of(claims.uid), move |transaction, now| {
                let rotation = rotate(transaction, claims.sid, digests, now, expires_at)?;
                if let Rotation::Reused { ended: Some(_) } = &rotation {
                    event.append(transaction)?;
                }
                Ok(rotation)
            })
            .await?;
        match rotation {
            Rotation::Done(account) => {
                let access = match carrier.access() {
                    Some(kind) => Some(self.access_token(kind, carrier, &account, claims.sid)?),
                    None => None,
                };
                let session = claims.sid;
                Ok((account, Carried { session, access, refresh: Some(refresh), cookie: None }))
            }
            Rotation::Reused { .. } => Err(Error::Unauthenticated(Why::RefreshReused)),
            Rotation::Over => Err(ended()),
        }
    }

    /// Another access token for the session that asks: for dialects whose refresh token stays.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a caller without a session.
    pub fn session_renew(&self, carrier: Carrier, caller: &Caller) -> Result<Issued> {
        match (carrier.access(), caller.session()) {
            (Some(kind), Some(id)) => self.access_token(kind, carrier, caller.account()?, id),
            _ => Err(Error::Unauthenticated(Why::WrongKind)),
        }
    }

    /// Ends the session that asks; a caller without one has nothing to end.
    pub async fn sign_out(&self, caller: &Caller) -> Result<()> {
        let Some(id) = caller.session() else { return Ok(()) };
        let account = caller.account()?.id;
        let event = Event::new(EventKind::SignedOut, caller, self.clock.now());
        self.deed(Stale::Of(account), move |transaction, now| {
            end(transaction, account, id, now)?;
            event.append(transaction)
        })
        .await
    }

    /// Where the caller is signed in, in every dialect.
    pub async fn sessions_list(&self, caller: &Caller) -> Result<Vec<Session>> {
        caller.must_not_be_key()?;
        let (account, now) = (caller.account()?.id, self.clock.now());
        self.db.read(move |connection| Ok(live_of(connection, account, now)?)).await
    }

    /// Ends one of the caller's own sessions.
    pub async fn session_close(&self, caller: &Caller, id: SessionId) -> Result<()> {
        caller.must_not_be_key()?;
        self.close(caller, caller.account()?.id, id).await
    }

    /// Ends all of the caller's sessions but the one that asks; how many.
    pub async fn sessions_close_others(&self, caller: &Caller) -> Result<usize> {
        caller.must_not_be_key()?;
        self.close_all(caller, caller.account()?.id, caller.session()).await
    }

    /// Where somebody is signed in.
    pub async fn user_sessions_list(&self, caller: &Caller, of: AccountId) -> Result<Vec<Session>> {
        caller.must_not_be_key()?;
        caller.must(USERS_READ)?;
        let now = self.clock.now();
        self.db
            .read(move |connection| {
                accounts::must_exist(connection, of)?;
                Ok(live_of(connection, of, now)?)
            })
            .await
    }

    /// Signs somebody out of one session or, without an id, everywhere; how many ended.
    pub async fn user_sessions_close(
        &self,
        caller: &Caller,
        of: AccountId,
        id: Option<SessionId>,
    ) -> Result<usize> {
        caller.must_not_be_key()?;
        caller.must(USERS_WRITE)?;
        match id {
            Some(id) => self.close(caller, of, id).await.map(|()| 1),
            None => self.close_all(caller, of, None).await,
        }
    }

    async fn close(&self, caller: &Caller, account: AccountId, id: SessionId) -> Result<()> {
        let event = Event::new(EventKind::SessionEnded, caller, self.clock.now()).of(account);
        let asking = caller.clone();
        self.deed(Stale::Of(account), move |transaction, now| {
            must_reach((transaction, now), &asking, account)?;
            if !end(transaction, account, id, now)? {
                return Err(Error::NotFound(Noun::Session));
            }
            event.append(transaction)
        })
        .await
    }

    async fn close_all(
        &self,
        caller: &Caller,
        account: AccountId,
        except: Option<SessionId>,
    ) -> Result<usize> {
        let event = Event::new(EventKind::SessionEnded, caller, self.clock.now()).of(account);
        let asking = caller.clone();
        self.deed(Stale::Of(account), move |transaction, now| {
            must_reach((transaction, now), &asking, account)?;
            let ended = end_all(transaction, account, except, now)?;
            if ended > 0 {
                event.about(format!("{ended} sessions")).append(transaction)?;
            }
            Ok(ended)
        })
        .await
    }
}

/// What clients of each kind like to read out of a token; nothing here is ever believed. Rights that
/// are too many for a token are not in it: `GET /user` has them all.
fn shown_claims(kind: TokenKind, account: &Account) -> Map<String, Value> {
    let claims = match kind {
        TokenKind::NativeAccess => {
            let mut claims = json!({
                "sub": account.id,
                "username": account.username,
                "role": account.role,
            });
            let rights = account.permissions.named();
            if rights.iter().map(|name| name.len() + 3).sum::<usize>() <= MAX_SHOWN_RIGHTS {
                claims["permissions"] = json!(rights);
            }
            claims
        }
        TokenKind::PinAccess => json!({ "sub": account.id, "name": account.username }),
        TokenKind::PairAccess | TokenKind::PairRefresh => json!({ "sub": account.username }),
        TokenKind::SignupAccess => json!({
            "userId": account.id,
            "email": account.email,
            "role": account.role.to_uppercase(),
        }),
        TokenKind::NativeRefresh | TokenKind::PinRefresh => json!({ "sub": account.id }),
    };
    match claims {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
