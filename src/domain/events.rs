//! What happened: rows written with the deed that they speak of, and a bell for those who watch.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tokio::sync::watch;

use super::{
    Core, Timestamp,
    accounts::AccountId,
    caller::{Caller, Origin},
    error::Result,
    page::{Page, PageOf},
    permissions::EVENTS_READ,
};

/// Failed sign-ins written line by line in one minute; more are counted and told in one line.
const FAILURES_A_MINUTE: usize = 60;
/// How many wait while nothing can be written.
const MOST_WAITING: usize = 10 * FAILURES_A_MINUTE;

macro_rules! kinds {
    ($($name:ident => $text:literal),* $(,)?) => {
        /// What an event is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EventKind { $($name),* }

        impl EventKind {
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

kinds! {
    AccountActivated => "account_activated",
    AccountCreated => "account_created",
    AccountDeleted => "account_deleted",
    AccountUpdated => "account_updated",
    ApiKeyCreated => "api_key_created",
    ApiKeyRevoked => "api_key_revoked",
    ApiKeyUpdated => "api_key_updated",
    BackupMade => "backup_made",
    DatabaseRestored => "database_restored",
    EmailChanged => "email_changed",
    EmailVerified => "email_verified",
    IdentityLinked => "identity_linked",
    IdentityUnlinked => "identity_unlinked",
    InvitationCreated => "invitation_created",
    InvitationWithdrawn => "invitation_withdrawn",
    LoginFailure => "login_failure",
    LoginFailures => "login_failures",
    PasswordChanged => "password_changed",
    PinChanged => "pin_changed",
    PinLocked => "pin_locked",
    RefreshReused => "refresh_reused",
    ResetLinkMade => "reset_link_made",
    RoleCreated => "role_created",
    RoleDeleted => "role_deleted",
    RoleUpdated => "role_updated",
    SessionEnded => "session_ended",
    SignedIn => "signed_in",
    SignedOut => "signed_out",
}

/// One event before it is written.
#[derive(Clone, Debug)]
pub struct Event {
    at: Timestamp,
    kind: EventKind,
    account: Option<AccountId>,
    actor: Option<AccountId>,
    address: String,
    dialect: &'static str,
    detail: String,
}

impl Event {
    /// A deed of `caller`.
    pub fn new(kind: EventKind, caller: &Caller, now: Timestamp) -> Self {
        let origin = caller.origin();
        let actor = caller.account_id();
        Self { actor, account: actor, ..Self::from_origin(kind, origin, now) }
    }

    /// Something that a stranger did or caused.
    pub fn from_origin(kind: EventKind, origin: &Origin, now: Timestamp) -> Self {
        Self {
            at: now,
            kind,
            account: None,
            actor: None,
            address: origin.address_text(),
            dialect: origin.dialect,
            detail: String::new(),
        }
    }

    /// The account that it is about, when that is not the caller's.
    pub fn of(mut self, account: AccountId) -> Self {
        self.account = Some(account);
        self
    }

    /// Somebody who acts for themself.
    pub fn by(mut self, account: AccountId) -> Self {
        self.account = Some(account);
        self.actor = Some(account);
        self
    }

    /// A word more; never a secret.
    pub fn about(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Writes it with the deed.
    pub fn append(&self, transaction: &Transaction<'_>) -> Result<()> {
        transaction
            .prepare_cached(
                "INSERT INTO events (at, kind, account_id, actor_id, address, dialect, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                self.at,
                self.kind.name(),
                self.account,
                self.actor,
                self.address,
                self.dialect,
                self.detail
            ])?;
        Ok(())
    }
}

/// One event as it was written; names are of those who still exist.
#[derive(Clone, Debug)]
pub struct WrittenEvent {
    pub id: i64,
    pub at: Timestamp,
    pub kind: String,
    pub account: Option<String>,
    pub account_name: Option<String>,
    pub actor: Option<String>,
    pub actor_name: Option<String>,
    pub address: String,
    pub dialect: String,
    pub detail: String,
}

/// Which events somebody wants to see.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub kind: Option<String>,
    pub account: Option<String>,
    pub dialect: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// Failed sign-ins that wait to be written together, and the bell.
pub struct EventHub {
    failures: Mutex<Failures>,
    bell: watch::Sender<u64>,
}

#[derive(Default)]
struct Failures {
    minute: i64,
    written: usize,
    waiting: Vec<Event>,
    untold: HashMap<&'static str, u64>,
}

impl Failures {
    /// Nothing can be written: those to come are counted only.
    fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_WAITING
    }

    /// Makes one event of each dialect's untold.
    fn tell_untold(&mut self, now: Timestamp) {
        if self.is_full() {
            return;
        }
        let untold = std::mem::take(&mut self.untold);
        self.waiting.extend(untold.into_iter().map(|(dialect, count)| Event {
            at: now,
            kind: EventKind::LoginFailures,
            account: None,
            actor: None,
            address: String::new(),
            dialect,
            detail: format!("{count} more failed sign-ins, not listed one by one"),
        }));
    }
}

impl Default for EventHub {
    fn default() -> Self {
        Self { failures: Mutex::default(), bell: watch::Sender::new(0) }
    }
}

impl EventHub {
    /// Tells the watchers that there may be something new to read.
    pub fn ring(&self) {
        self.bell.send_modify(|count| *count += 1);
    }

    /// Wakes whenever the bell rings; rings between two looks are one.
    pub fn listen(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A failed sign-in: written within a second, line by line up to a bound, counted beyond it,
    /// so that a flood writes little.
    pub fn note_failure(&self, event: Event) {
        let mut failures = self.failures();
        let minute = event.at.seconds().div_euclid(60);
        if failures.minute != minute {
            failures.minute = minute;
            failures.written = 0;
            failures.tell_untold(event.at);
        }
        if failures.written < FAILURES_A_MINUTE && !failures.is_full() {
            failures.written += 1;
            failures.waiting.push(event);
        } else {
            *failures.untold.entry(event.dialect).or_default() += 1;
        }
    }

    /// Tells the untold of a minute that is over, or of this one too.
    pub(super) fn end_minute(&self, now: Timestamp, this_too: bool) {
        let mut failures = self.failures();
        if this_too || failures.minute != now.seconds().div_euclid(60) {
            failures.tell_untold(now);
        }
    }

    pub(super) fn has_failures(&self) -> bool {
        !self.failures().waiting.is_empty()
    }

    /// What waits to be written. It waits on until [`Self::note_written`].
    pub(super) fn waiting_failures(&self) -> Vec<Event> {
        self.failures().waiting.clone()
    }

    /// The first `count` of those that wait are written.
    pub(super) fn note_written(&self, count: usize) {
        self.failures().waiting.drain(..count);
    }
}

// Rows

const COLUMNS: &str = "e.id, e.at, e.kind, e.account_id, a.username, e.actor_id, b.username,
    e.address, e.dialect, e.detail";
const JOINED: &str = "events e LEFT JOIN accounts a ON a.id = e.account_id
    LEFT JOIN accounts b ON b.id = e.actor_id";
const MATCHING: &str = "(?1 IS NULL OR e.kind = ?1) AND (?2 IS NULL OR e.account_id = ?2)
    AND (?3 IS NULL OR e.dialect = ?3) AND (?4 IS NULL OR e.at >= ?4) AND (?5 IS NULL OR e.at < ?5)";

fn from_row(row: &Row<'_>) -> rusqlite::Result<WrittenEvent> {
    Ok(WrittenEvent {
        id: row.get(0)?,
        at: row.get(1)?,
        kind: row.get(2)?,
        account: row.get(3)?,
        account_name: row.get(4)?,
        actor: row.get(5)?,
        actor_name: row.get(6)?,
        address: row.get(7)?,
        dialect: row.get(8)?,
        detail: row.get(9)?,
    })
}

/// Somebody's last sign-ins, ten at the most, newest first.
pub(super) fn sign_ins_of(
    connection: &Connection,
    id: AccountId,
) -> rusqlite::Result<Vec<WrittenEvent>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {JOINED}
             WHERE e.account_id = ?1 AND e.kind = 'signed_in' ORDER BY e.id DESC LIMIT 10"
        ))?
        .query_map([id], from_row)?
        .collect()
}

/// When something happened last, as far as events are kept.
pub(super) fn last(
    connection: &Connection,
    kind: EventKind,
) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached("SELECT at FROM events WHERE kind = ?1 ORDER BY id DESC LIMIT 1")?
        .query_row([kind.name()], |row| row.get(0))
        .optional()
}

fn newer_than(connection: &Connection, id: i64, limit: u32) -> rusqlite::Result<Vec<WrittenEvent>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {JOINED} WHERE e.id > ?1 ORDER BY e.id LIMIT ?2"
        ))?
        .query_map(params![id, limit], from_row)?
        .collect()
}

/// Forgets events that are older than the house keeps them; how many.
pub(super) fn sweep(transaction: &Transaction<'_>, before: Timestamp) -> rusqlite::Result<usize> {
    transaction.prepare_cached("DELETE FROM events WHERE at < ?1")?.execute([before])
}

// Deeds

impl Core {
    /// Newest first.
    pub async fn events_list(
        &self,
        caller: &Caller,
        filter: EventFilter,
        page: Page,
    ) -> Result<PageOf<WrittenEvent>> {
        caller.must(EVENTS_READ)?;
        self.db
            .read(move |connection| {
                let EventFilter { kind, account, dialect, since, until } = filter;
                let total: i64 = connection
                    .prepare_cached(&format!("SELECT count(*) FROM events e WHERE {MATCHING}"))?
                    .query_row(params![kind, account, dialect, since, until], |row| row.get(0))?;
                let rows = connection
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS} FROM {JOINED} WHERE {MATCHING}
                         ORDER BY e.id DESC LIMIT ?6 OFFSET ?7"
                    ))?
                    .query_map(
                        params![kind, account, dialect, since, until, page.limit(), page.offset()],
                        from_row,
                    )?
                    .collect::<rusqlite::Result<_>>()?;
                Ok(PageOf::new(rows, total))
            })
            .await
    }

    /// Up to 200 events after `id`, oldest first: what a stream sends next.
    pub async fn events_after(&self, caller: &Caller, id: i64) -> Result<Vec<WrittenEvent>> {
        caller.must(EVENTS_READ)?;
        self.db.read(move |connection| Ok(newer_than(connection, id, 200)?)).await
    }

    /// The id of the newest event: where a stream begins.
    pub async fn events_newest(&self, caller: &Caller) -> Result<i64> {
        caller.must(EVENTS_READ)?;
        self.db
            .read(|connection| {
                Ok(connection
                    .query_row("SELECT coalesce(max(id), 0) FROM events", [], |r| r.get(0))?)
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(second: i64) -> Event {
        Event {
            at: Timestamp::from_seconds(second),
            kind: EventKind::LoginFailure,
            account: None,
            actor: None,
            address: String::new(),
            dialect: "native",
            detail: String::new(),
        }
    }

    #[test]
    fn a_flood_is_told_each_minute_and_at_the_end() {
        let hub = EventHub::default();
        let fail = |second| hub.note_failure(failure(second));
        let told = || {
            let waiting = hub.waiting_failures();
            hub.note_written(waiting.len());
            let sums = waiting.iter().filter(|event| event.kind == EventKind::LoginFailures);
            let sums: Vec<_> = sums.map(|sum| sum.detail.clone()).collect();
            (waiting.len() - sums.len(), sums)
        };
        let more = |count| vec![format!("{count} more failed sign-ins, not listed one by one")];
        (0..60).for_each(|second| (0..2).for_each(|_| fail(second)));
        hub.end_minute(Timestamp::from_seconds(59), false);
        assert_eq!(told(), (60, Vec::new()));
        // The flood goes on, so that no minute is seen to be over.
        fail(60);
        hub.end_minute(Timestamp::from_seconds(60), false);
        assert_eq!(told(), (1, more(60)));
        (0..70).for_each(|_| fail(61));
        hub.end_minute(Timestamp::from_seconds(61), true);
        assert_eq!(told(), (59, more(11)));
    }

    #[test]
    fn what_cannot_be_written_waits_within_a_bound() {
        let hub = EventHub::default();
        for second in 0..7200 {
            hub.note_failure(failure(second));
        }
        let waiting = hub.waiting_failures().len();
        assert!((MOST_WAITING..MOST_WAITING + 10).contains(&waiting), "{waiting}");
        hub.note_written(waiting);
        hub.end_minute(Timestamp::from_seconds(7200), true);
        let sum = &hub.waiting_failures()[0].detail;
        assert!(sum.starts_with(&format!("{} more", 7200 - MOST_WAITING)), "{sum}");
    }
}
