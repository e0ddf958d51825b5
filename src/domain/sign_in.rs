//! The one way in, for all dialects.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    Core, Timestamp,
    accounts::{self, Account, AccountId, Email, Username, canonical},
    caller::{Caller, Origin},
    carriers::Carrier,
    error::{Error, Field, Reason, Result, Why},
    events::{Event, EventKind},
    known::{RightBasic, Stale},
    passwords::Place,
    places,
    secret::{Secret, keyed_digest},
    sessions::{self, Carried},
    throttle::{Reservation, Subject},
};

/// A right Basic credential is remembered this long, so that clients which send it with every
/// request pay for Argon2 once.
const BASIC_REMEMBERED: Duration = Duration::from_secs(300);
const PIN_WINDOW: Duration = Duration::from_secs(3600);
const PIN_FAILURES: i64 = 10;
const PIN_DAY: Duration = Duration::from_secs(24 * 3600);
const PIN_LOCKS: i64 = 3;
/// A name that is nobody's stands in the log up to this length, in characters.
const SHOWN_NAME: usize = 32;

/// What somebody proves themself with.
#[derive(Clone, Debug)]
pub enum Proof {
    Password(Secret),
    Pin(Secret),
}

/// A knock at the gate.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Name or e-mail.
    pub who: String,
    pub proof: Proof,
    pub carrier: Carrier,
    pub origin: Origin,
}

/// Somebody who came in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub account: Arc<Account>,
    pub carried: Carried,
}

/// Wrong PINs of one account (wire rule 9).
#[derive(Clone, Copy)]
struct PinGuard {
    window_started_at: Timestamp,
    failures: i64,
    locked_until: Timestamp,
    day_started_at: Timestamp,
    locks: i64,
}

impl PinGuard {
    fn new(now: Timestamp) -> Self {
        Self {
            window_started_at: now,
            failures: 0,
            locked_until: Timestamp::from_millis(0),
            day_started_at: now,
            locks: 0,
        }
    }

    fn is_locked(&self, now: Timestamp) -> bool {
        now < self.locked_until
    }

    /// One more wrong PIN; whether this one locks it. Ten within an hour lock for an hour, the
    /// third lock within a day until a password sign-in.
    fn fail(&mut self, now: Timestamp) -> bool {
        if now >= self.window_started_at.plus(PIN_WINDOW) {
            self.window_started_at = now;
            self.failures = 0;
        }
        if now >= self.day_started_at.plus(PIN_DAY) {
            self.day_started_at = now;
            self.locks = 0;
        }
        self.failures += 1;
        if self.failures < PIN_FAILURES {
            return false;
        }
        self.failures = 0;
        self.locks += 1;
        let forever = Timestamp::from_millis(i64::MAX);
        self.locked_until = if self.locks >= PIN_LOCKS { forever } else { now.plus(PIN_WINDOW) };
        true
    }
}

// Rows

fn pin_guard(connection: &Connection, id: AccountId) -> rusqlite::Result<Option<PinGuard>> {
    connection
        .prepare_cached(
            "SELECT window_started_at, failures, locked_until, day_started_at, locks
             FROM pin_guards WHERE account_id = ?1",
        )?
        .query_row([id], |row| {
            Ok(PinGuard {
                window_started_at: row.get(0)?,
                failures: row.get(1)?,
                locked_until: row.get(2)?,
                day_started_at: row.get(3)?,
                locks: row.get(4)?,
            })
        })
        .optional()
}

fn put_pin_guard(transaction: &Transaction<'_>, id: AccountId, guard: PinGuard) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO pin_guards
                 (account_id, window_started_at, failures, locked_until, day_started_at, locks)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (account_id) DO UPDATE SET window_started_at = ?2, failures = ?3,
                 locked_until = ?4, day_started_at = ?5, locks = ?6",
        )?
        .execute(params![
            id,
            guard.window_started_at,
            guard.failures,
            guard.locked_until,
            guard.day_started_at,
            guard.locks
        ])?;
    Ok(())
}

/// Takes the place of [`put_pin_guard`] for whoever has no PIN to guess. What is written must wait
/// for the disk, and the wait would tell who has one.
fn count_pin_of_nobody(transaction: &Transaction<'_>) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES ('wrong_pins_of_nobody', 1)
             ON CONFLICT (key) DO UPDATE SET value = value + 1",
        )?
        .execute([])?;
    Ok(())
}

/// A password sign-in or a new PIN ends a lock.
pub(super) fn forget_wrong_pins(transaction: &Transaction<'_>, id: AccountId) -> Result<()> {
    transaction.prepare_cached("DELETE FROM pin_guards WHERE account_id = ?1")?.execute([id])?;
    Ok(())
}

/// Whose turn a PIN waits for. A name that is nobody's has one of its own too: tries for it that did
/// not wait for each other would tell that it is.
fn pin_turn(key: &[u8; 32], found: Option<&Account>, who: &str) -> u8 {
    match found {
        Some(account) => account.id.shard_byte(),
        None => keyed_digest(key, &[canonical(who).as_bytes()])[0],
    }
}

// Deeds

impl Core {
    /// Throttle, account, proof, active, and only then a session: the same story for everyone,
    /// at the same cost for a name that is nobody's.
    ///
    /// # Errors
    /// [`Error::Throttled`], [`Error::Busy`], or [`Error::Unauthenticated`] for everything that
    /// is not right.
    pub async fn sign_in(&self, knock: SignIn) -> Result<SignedIn> {
        let answered = self.answer(&knock).await;
        self.sign_ins.note(knock.origin.dialect, answered.as_ref().err());
        answered
    }

    async fn answer(&self, knock: &SignIn) -> Result<SignedIn> {
        let subject = knock.origin.subject();
        let (reservation, place) = self.turn(subject).await?;
        match self.prove_and_let_in(&place, knock).await {
            Ok(Ok(signed_in)) => {
                reservation.succeeded();
                Ok(signed_in)
            }
            Ok(Err(whose)) => {
                reservation.failed();
                self.events.note_failure(self.failure(whose, &knock.who, &knock.origin));
                Err(Error::Unauthenticated(Why::WrongCredentials))
            }
            Err(trouble) => {
                reservation.succeeded();
                Err(trouble)
            }
        }
    }

    /// A try for this address and then a place for its hash: an address that asks many times at once
    /// waits for itself, and takes no places from others.
    async fn turn(&self, subject: Subject) -> Result<(Reservation, Place)> {
        let reservation = self.throttle.reserve(subject).await?;
        match self.hasher.place() {
            Ok(place) => Ok((reservation, place)),
            Err(busy) => {
                reservation.succeeded();
                Err(busy)
            }
        }
    }

    /// Proves anew when the account has changed meanwhile: somebody may have disabled it or
    /// changed its password, or another sign-in may have replaced an outdated hash.
    ///
    /// What comes after the proof is in boxes, so that those who still wait for a lane do not keep
    /// memory for it.
    async fn prove_and_let_in(
        &self,
        place: &Place,
        knock: &SignIn,
    ) -> Result<std::result::Result<SignedIn, Option<AccountId>>> {
        loop {
            let proven = match &knock.proof {
                Proof::Password(password) => {
                    self.prove_password(place, &knock.who, password).await?
                }
                Proof::Pin(pin) => {
                    Box::pin(self.prove_pin(place, &knock.who, pin, &knock.origin)).await?
                }
            };
            let account = match proven {
                Ok(account) => account,
                Err(whose) => return Ok(Err(whose)),
            };
            let new_hash = match &knock.proof {
                Proof::Password(password) => {
                    Box::pin(self.better_hash(place, &account, password)).await?
                }
                Proof::Pin(_) => None,
            };
            if let Some(signed_in) = Box::pin(self.let_in(account, knock, new_hash)).await? {
                return Ok(Ok(signed_in));
            }
        }
    }

    /// `None` when the account is no longer what was proven.
    async fn let_in(
        &self,
        account: Account,
        knock: &SignIn,
        new_hash: Option<String>,
    ) -> Result<Option<SignedIn>> {
        let method = match knock.proof {
            Proof::Password(_) => "password",
            Proof::Pin(_) => "pin",
        };
        let origin = &knock.origin;
        let (opening, carried) = self.open_session(&account, knock.carrier, method, origin)?;
        let event = Event::from_origin(EventKind::SignedIn, origin, self.clock.now());
        let event = event.by(account.id).about(method);
        let (id, core, origin) = (account.id, self.clone(), knock.origin.clone());
        let account = self
            .deed(Stale::Of(id), move |transaction, now| {
                if !accounts::unchanged(transaction, &account)? {
                    return Ok(None);
                }
                places::arrived(transaction, &core.settings, &account, &origin, now)?;
                accounts::note_sign_in(transaction, id, new_hash.as_deref(), now)?;
                if method == "password" {
                    forget_wrong_pins(transaction, id)?;
                }
                sessions::insert(transaction, &opening)?;
                event.append(transaction)?;
                accounts::must_exist(transaction, id).map(Some)
            })
            .await?;
        Ok(account.map(|account| SignedIn { account: Arc::new(account), carried }))
    }

    /// `Err` holds whose password it was not, if anybody's.
    async fn prove_password(
        &self,
        place: &Place,
        who: &str,
        password: &Secret,
    ) -> Result<std::result::Result<Account, Option<AccountId>>> {
        let login = who.to_owned();
        let found = self
            .db
            .read(move |connection| Ok::<_, Error>(accounts::row_by_login(connection, &login)?))
            .await?;
        let stored = found.as_ref().and_then(|account| account.password_hash.clone());
        let fits = self.hasher.verify(place, password.clone(), stored).await?;
        let whose = found.as_ref().map(|account| account.id);
        Ok(found.filter(|account| fits && account.is_active()).ok_or(whose))
    }

    async fn prove_pin(
        &self,
        place: &Place,
        who: &str,
        pin: &Secret,
        origin: &Origin,
    ) -> Result<std::result::Result<Account, Option<AccountId>>> {
        let login = who.to_owned();
        let found = self
            .db
            .read(move |connection| Ok::<_, Error>(accounts::row_by_login(connection, &login)?))
            .await?;
        // One guess at a time for one account, whatever it is called, so that parallel ones
        // cannot outrun the counter.
        let id = found.as_ref().map_or_else(AccountId::random, |account| account.id);
        let turn = usize::from(pin_turn(&self.pin_key, found.as_ref(), who));
        let _turn = self.pin_turns[turn % self.pin_turns.len()].lock().await;
        let now = self.clock.now();
        let guard =
            self.db.read(move |connection| Ok::<_, Error>(pin_guard(connection, id)?)).await?;
        let within = origin.is_within(&self.settings.pin_networks);
        let usable = found.filter(|account| {
            within
                && account.is_active()
                && account.pin_hash.is_some()
                && !guard.is_some_and(|guard| guard.is_locked(now))
        });
        let stored = usable.as_ref().and_then(|account| account.pin_hash.clone());
        let fits = self.hasher.verify_pin(place, self.pepper(id, pin), stored).await?;
        match usable {
            Some(account) if fits => Ok(Ok(account)),
            Some(_) => {
                self.count_wrong_pin(id, guard, origin).await?;
                Ok(Err(Some(id)))
            }
            // From outside nobody's PIN counts, and nothing is written for anybody.
            None if within => {
                self.deed(Stale::Nobodys, |transaction, _| count_pin_of_nobody(transaction))
                    .await?;
                Ok(Err(None))
            }
            None => Ok(Err(None)),
        }
    }

    async fn count_wrong_pin(
        &self,
        id: AccountId,
        guard: Option<PinGuard>,
        origin: &Origin,
    ) -> Result<()> {
        let event = Event::from_origin(EventKind::PinLocked, origin, self.clock.now()).of(id);
        self.deed(Stale::Nobodys, move |transaction, now| {
            let mut guard = guard.unwrap_or_else(|| PinGuard::new(now));
            if guard.fail(now) {
                event.append(transaction)?;
            }
            put_pin_guard(transaction, id, guard)
        })
        .await
    }

    /// A PIN has so few values that a stolen file alone must not be enough to try them all.
    pub(super) fn pepper(&self, id: AccountId, pin: &Secret) -> Secret {
        let digest = keyed_digest(&self.pin_key, &[id.uuid().as_bytes(), pin.reveal().as_bytes()]);
        Secret::new(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    async fn better_hash(
        &self,
        place: &Place,
        account: &Account,
        password: &Secret,
    ) -> Result<Option<String>> {
        match &account.password_hash {
            Some(stored) if self.hasher.is_outdated(stored) => {
                match self.hasher.hash(place, password.clone(), Field::Password).await {
                    Ok(hash) => Ok(Some(hash)),
                    // What bcrypt cannot hold stays as it is.
                    Err(Error::Invalid(..)) => Ok(None),
                    Err(other) => Err(other),
                }
            }
            _ => Ok(None),
        }
    }

    /// A Basic credential: from memory when it was right a moment ago, and counted once when the
    /// same wrong one is repeated.
    pub(super) async fn basic_password(
        &self,
        user: &str,
        password: Secret,
        origin: &Origin,
    ) -> Result<Arc<Account>> {
        let note = |trouble: Option<&Error>| self.sign_ins.note(origin.dialect, trouble);
        self.throttle.check(origin.subject()).inspect_err(|error| note(Some(error)))?;
        let name = canonical(user);
        let digest =
            keyed_digest(&self.basic_key, &[name.as_bytes(), password.reveal().as_bytes()]);
        // In boxes, so that requests which are answered from memory do not carry them along.
        let account = match self.remembered_basic(user, &digest).await? {
            Some(account) => account,
            None => {
                let proven = Box::pin(self.prove_basic(user, password, origin, digest)).await;
                note(proven.as_ref().err());
                proven?
            }
        };
        if !self.is_basic_told(&account, origin) {
            Box::pin(self.basic_arrived(&account, origin)).await?;
        }
        Ok(account)
    }

    async fn prove_basic(
        &self,
        user: &str,
        password: Secret,
        origin: &Origin,
        digest: [u8; 32],
    ) -> Result<Arc<Account>> {
        let subject = origin.subject();
        let generation = self.known.generation();
        let wrong = || Error::Unauthenticated(Why::WrongCredentials);
        if self.throttle.known_wrong(subject, &digest) == Some(generation) {
            return Err(wrong());
        }
        let (reservation, place) = self.turn(subject).await?;
        match self.prove_password(&place, user, &password).await {
            Ok(Ok(account)) => {
                reservation.succeeded();
                let until = self.clock.now().plus(BASIC_REMEMBERED);
                let password_mark = account.password_mark();
                let right = RightBasic { account: account.id, password_mark, until };
                self.known.keep_basic(digest, right);
                Ok(Arc::new(account))
            }
            Ok(Err(whose)) => {
                if reservation.failed_with(digest, generation) {
                    self.events.note_failure(self.failure(whose, user, origin));
                }
                Err(wrong())
            }
            Err(trouble) => {
                reservation.succeeded();
                Err(trouble)
            }
        }
    }

    async fn remembered_basic(
        &self,
        user: &str,
        digest: &[u8; 32],
    ) -> Result<Option<Arc<Account>>> {
        let Some(right) = self.known.basic(digest) else { return Ok(None) };
        if self.clock.now() < right.until {
            let account = self.account_of(right.account).await?.filter(|account| {
                account.password_mark() == right.password_mark && account.is_called(user)
            });
            if account.is_some() {
                return Ok(account);
            }
        }
        self.known.drop_basic(digest);
        Ok(None)
    }

    /// Asks an account for its present password before something that matters; an account that
    /// has none is not asked. Wrong ones count for the throttle. Gives the account as it was then;
    /// what is written later has to ask whether its password is still that one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `current_password`, [`Error::Throttled`], [`Error::Busy`].
    pub(super) async fn must_know_password(
        &self,
        caller: &Caller,
        current: Option<Secret>,
    ) -> Result<Account> {
        let id = caller.account()?.id;
        let account = self.db.read(move |connection| accounts::must_exist(connection, id)).await?;
        let Some(stored) = account.password_hash.clone() else { return Ok(account) };
        let Some(current) = current else {
            return Err(Error::Invalid(Field::CurrentPassword, Reason::Missing));
        };
        let event = Event::new(EventKind::LoginFailure, caller, self.clock.now());
        let event = event.about("wrong current password");
        if self.matches(caller.origin(), current, Some(stored), event).await? {
            Ok(account)
        } else {
            Err(Error::Invalid(Field::CurrentPassword, Reason::Wrong))
        }
    }

    /// Whether a password is the stored one, asked by somebody who is in already or holds a link.
    /// A wrong one counts as a failed sign-in, and is told as `failure`.
    ///
    /// # Errors
    /// [`Error::Throttled`], [`Error::Busy`].
    pub(super) async fn matches(
        &self,
        origin: &Origin,
        given: Secret,
        stored: Option<String>,
        failure: Event,
    ) -> Result<bool> {
        let subject = origin.subject();
        let (reservation, place) = self.turn(subject).await?;
        let matched = self.hasher.verify(&place, given, stored).await;
        if let Ok(false) = matched {
            reservation.failed();
            self.events.note_failure(failure);
        } else {
            reservation.succeeded();
        }
        matched
    }

    /// People type passwords into the name field: a name that is nobody's is told only if it
    /// could be one.
    fn failure(&self, whose: Option<AccountId>, who: &str, origin: &Origin) -> Event {
        let event = Event::from_origin(EventKind::LoginFailure, origin, self.clock.now());
        match whose {
            Some(id) => event.of(id),
            None if who.chars().count() > SHOWN_NAME => event,
            None if Username::parse(who, None).is_ok() || Email::parse(who).is_ok() => {
                event.about(who)
            }
            None => event,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_tries_for_a_name_that_is_nobodys_wait_for_each_other_like_those_for_an_account() {
        let turn = |name: &str| pin_turn(&[7; 32], None, name);
        assert_eq!(turn("nobody"), turn("ＮＯＢＯＤＹ"));
        let turns: BTreeSet<_> = (0..100).map(|number| turn(&format!("nobody{number}"))).collect();
        assert!(turns.len() > 50, "and seldom for those for another");
    }

    #[test]
    fn ten_wrong_pins_lock_for_an_hour_and_the_third_lock_stays() {
        let mut now = Timestamp::from_seconds(1_000_000);
        let mut guard = PinGuard::new(now);
        for lock in 1..=PIN_LOCKS {
            assert!((1..PIN_FAILURES).all(|_| !guard.fail(now)));
            assert!(guard.fail(now) && guard.is_locked(now));
            now = now.plus(PIN_WINDOW);
            assert_eq!(guard.is_locked(now), lock == PIN_LOCKS);
        }
    }

    #[test]
    fn wrong_pins_of_different_hours_do_not_add_up() {
        let mut now = Timestamp::from_seconds(1_000_000);
        let mut guard = PinGuard::new(now);
        for _ in 0..5 {
            assert!((1..PIN_FAILURES).all(|_| !guard.fail(now)));
            now = now.plus(PIN_WINDOW);
        }
        assert!(!guard.is_locked(now));
    }
}
