//! What stays of clients that come by Basic. Of those that keep a cookie (wire, "gpodder") a session: one
//! for each account and address, given again while it lives. Of others an event, now and then.

use std::time::Duration;

use rusqlite::{Transaction, params};

use super::{
    Core, Timestamp,
    accounts::{self, Account, AccountId},
    caller::{Caller, Origin},
    carriers::Carrier,
    error::{Error, Result, Why},
    events::{Event, EventKind},
    known::{SessionKey, Stale},
    places,
    secret::{Secret, TokenDigest},
    sessions::{self, SessionId},
    tokens::Issued,
};

/// How such sessions are told from those of other ways in.
const METHOD: &str = "basic";
/// Somebody who comes by Basic without a session is told of this often, for each address: a script
/// proves its password every few minutes.
const TOLD_AGAIN: Duration = Duration::from_secs(3600);
/// Cookies that can be given again; in the file they are digests only.
pub(super) const REMEMBERED: usize = 1024;

/// Whose cookie, and where it is used.
pub(super) type Place = (AccountId, String);

/// A cookie in clear, in memory only.
#[derive(Clone)]
pub(super) struct Given {
    session: SessionId,
    cookie: Secret,
}

// Rows

/// After a restart the cookie is no longer known: its session makes room for the next.
fn end_at(
    transaction: &Transaction<'_>,
    account: AccountId,
    address: &str,
    now: Timestamp,
) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE sessions SET ended_at = ?4
             WHERE account_id = ?1 AND ended_at IS NULL AND dialect = ?2 AND method = ?5
                 AND address = ?3",
        )?
        .execute(params![account, Carrier::GpodderCookie.dialect(), address, now, METHOD])?;
    Ok(())
}

// Deeds

impl Core {
    /// The cookie of somebody who was let in by a password: the one of this account and address,
    /// or a new one. Writes once for many requests.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a caller who came otherwise, or is no longer active.
    pub async fn basic_session(&self, caller: &Caller) -> Result<Issued> {
        if !caller.is_by_password() {
            return Err(Error::Unauthenticated(Why::WrongKind));
        }
        let place = (caller.account()?.id, caller.origin().address_text());
        // One at a time: parallel first calls of one client get one session.
        let _turn = self.basic_turn.lock().await;
        if let Some(given) = self.basic_given.get(&place)
            && let Some(session) = self.live_session(SessionKey::Id(given.session)).await?
        {
            return Ok(Issued { text: given.cookie, expires_at: session.expires_at });
        }
        self.open_basic_session(caller, place).await
    }

    async fn open_basic_session(&self, caller: &Caller, place: Place) -> Result<Issued> {
        let (account, origin) = (caller.account()?.clone(), caller.origin());
        let (opening, carried) =
            self.open_session(&account, Carrier::GpodderCookie, METHOD, origin)?;
        let event = Event::new(EventKind::SignedIn, caller, self.clock.now()).about(METHOD);
        let (id, address) = place.clone();
        let (core, origin) = (self.clone(), origin.clone());
        self.deed(Stale::Of(id), move |transaction, now| {
            if !accounts::unchanged(transaction, &account)? {
                return Err(Error::Unauthenticated(Why::SessionEnded));
            }
            end_at(transaction, id, &address, now)?;
            accounts::note_sign_in(transaction, id, None, now)?;
            sessions::insert(transaction, &opening)?;
            places::arrived(transaction, &core.settings, &account, &origin, now)?;
            event.append(transaction)
        })
        .await?;
        let issued = carried.cookie.ok_or(Error::Internal("a session without a cookie".into()))?;
        self.basic_given
            .insert(place, Given { session: carried.session, cookie: issued.text.clone() });
        Ok(issued)
    }

    /// Whether somebody whom a password has let in was told of a short while ago, or a session tells it.
    pub(super) fn is_basic_told(&self, account: &Account, origin: &Origin) -> bool {
        let told = self.basic_told.get(&(account.id, origin.address));
        let now = self.clock.now();
        told.is_some_and(|at| at <= now && now < at.plus(TOLD_AGAIN))
            || origin.dialect == Carrier::GpodderCookie.dialect()
    }

    /// Tells of somebody whom a password has let in, and writes to them when the network is new: also
    /// of a client that hangs up on it, who would else come by untold until the next time.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the account is no longer what was proven. A disk that takes
    /// nothing is no reason to refuse who is right: then it is told the next time.
    pub(super) async fn basic_arrived(&self, account: &Account, origin: &Origin) -> Result<()> {
        let (core, account, origin) = (self.clone(), account.clone(), origin.clone());
        let told = tokio::spawn(async move { core.tell_of_basic(account, origin).await });
        told.await.map_err(|panic| Error::Internal(panic.into()))?
    }

    async fn tell_of_basic(self, account: Account, origin: Origin) -> Result<()> {
        let (id, place) = (account.id, (account.id, origin.address));
        self.basic_told.insert(place, self.clock.now());
        let event = Event::from_origin(EventKind::SignedIn, &origin, self.clock.now());
        let event = event.by(account.id).about(METHOD);
        let core = self.clone();
        let told = self.deed(Stale::Of(id), move |transaction, now| {
            if !accounts::unchanged(transaction, &account)? {
                return Err(Error::Unauthenticated(Why::WrongCredentials));
            }
            places::arrived(transaction, &core.settings, &account, &origin, now)?;
            accounts::note_sign_in(transaction, id, None, now)?;
            event.append(transaction)
        });
        told.await.or_else(|trouble| {
            self.basic_told.remove(&place);
            match trouble {
                Error::Unauthenticated(why) => Err(Error::Unauthenticated(why)),
                _ => Ok(()),
            }
        })
    }

    /// A live cookie with the time until which it is good, to be sent again.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn cookie_again(&self, caller: &Caller, cookie: Secret) -> Result<Option<Issued>> {
        let key = SessionKey::Cookie(TokenDigest::of(cookie.reveal()));
        let session = self.live_session(key).await?;
        let own = session.filter(|session| Some(session.account) == caller.account_id());
        Ok(own.map(|session| Issued { text: cookie, expires_at: session.expires_at }))
    }
}
