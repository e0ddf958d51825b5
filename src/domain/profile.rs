//! What people do with their own account.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::{
    Core, Timestamp,
    accounts::{self, Account, AccountId, Email, check_line},
    api_keys,
    caller::Caller,
    error::{Error, Field, Reason, Result},
    events::{self, Event, EventKind, WrittenEvent},
    identities,
    known::Stale,
    letters::{self, Letter, Purpose},
    passwords::{PasswordRule, check_pin},
    secret::Secret,
    sessions::{self, Session},
    sign_in::forget_wrong_pins,
};

const CHANGE_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Nothing in an overview is older: uses of sessions are noted without a deed.
const OVERVIEW_KEPT: Duration = Duration::from_secs(10);

/// What somebody has besides their account.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The last used first.
    pub sessions: Vec<Session>,
    /// How many.
    pub api_keys: u64,
    /// Ten at the most, newest first.
    pub last_sign_ins: Vec<WrittenEvent>,
    read_at: Timestamp,
}

impl Overview {
    /// What seems to come from the future was read before the clock was set back, and says nothing of now.
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.read_at <= now && now < self.read_at.plus(OVERVIEW_KEPT)
    }
}

// Rows

fn email_owner(connection: &Connection, email: &Email) -> rusqlite::Result<Option<AccountId>> {
    connection
        .prepare_cached("SELECT id FROM accounts WHERE email = ?1")?
        .query_row([email.as_str()], |row| row.get(0))
        .optional()
}

/// The caller's account as it is now, if whoever proved to be its owner still is: behind the proof
/// they waited for a hash or for the writer, and a password that was set meanwhile must not be
/// undone by the old one.
///
/// # Errors
/// [`Error::Unauthenticated`] once the session has ended or a Basic credential is wrong,
/// [`Error::Invalid`] when the password that was given is no longer the present one.
fn still_proven(
    transaction: &Transaction<'_>,
    caller: &Caller,
    proven: &Account,
    now: Timestamp,
) -> Result<Account> {
    // Whatever rights were lost meanwhile, one's own account needs none.
    let asking = caller.again(transaction, now)?;
    let account = asking.account()?;
    if account.password_hash == proven.password_hash {
        return Ok(Account::clone(account));
    }
    Err(Error::Invalid(Field::CurrentPassword, Reason::Wrong))
}

fn put_password(
    transaction: &Transaction<'_>,
    (caller, proven): (&Caller, &Account),
    hash: String,
    now: Timestamp,
) -> Result<()> {
    let mut account = still_proven(transaction, caller, proven, now)?;
    identities::must_take_password(transaction, account.id)?;
    account.password_hash = Some(hash);
    accounts::update(transaction, &account, now)?;
    // Whoever changes a password stays where they are; everybody else has to come in anew.
    sessions::end_all(transaction, account.id, caller.session(), now)?;
    letters::end_tokens(transaction, account.id, None)?;
    forget_wrong_pins(transaction, account.id)?;
    Event::new(EventKind::PasswordChanged, caller, now).append(transaction)
}

// Deeds

impl Core {
    /// What the caller has here, all of one moment.
    pub async fn overview(&self, caller: &Caller) -> Result<Arc<Overview>> {
        caller.must_not_be_key()?;
        let (id, now) = (caller.account()?.id, self.clock.now());
        let known = self.known.overview(id);
        if let Some(known) = known.filter(|known| known.is_fresh(now)) {
            return Ok(known);
        }
        let watch = self.known.watch();
        let read = self.db.read(move |connection| {
            Ok::<_, Error>(Overview {
                sessions: sessions::live_of(connection, id, now)?,
                api_keys: api_keys::count_of(connection, id)?,
                last_sign_ins: events::sign_ins_of(connection, id)?,
                read_at: now,
            })
        });
        let overview = Arc::new(read.await?);
        self.known.keep_overview(watch, id, &overview);
        Ok(overview)
    }

    /// Changes the name that people see.
    pub async fn profile_update(
        &self,
        caller: &Caller,
        display_name: Option<String>,
    ) -> Result<Account> {
        let id = caller.account()?.id;
        if let Some(name) = &display_name {
            check_line(name, Field::DisplayName)?;
        }
        let event = Event::new(EventKind::AccountUpdated, caller, self.clock.now());
        let asking = caller.clone();
        self.deed(Stale::Of(id), move |transaction, now| {
            let mut account = Account::clone(asking.again(transaction, now)?.account()?);
            if let Some(name) = display_name {
                account.display_name = name;
                accounts::update(transaction, &account, now)?;
                event.append(transaction)?;
            }
            accounts::must_exist(transaction, id)
        })
        .await
    }

    /// Changes the caller's password, or gives one to an account that has none. All other
    /// sessions end.
    ///
    /// # Errors
    /// [`Error::Invalid`] for either password, [`Error::Throttled`], [`Error::Busy`].
    pub async fn password_change(
        &self,
        caller: &Caller,
        current: Option<Secret>,
        new_password: Secret,
        rule: PasswordRule,
    ) -> Result<()> {
        caller.must_not_be_key()?;
        rule.check(&new_password, self.settings.password_min_length, Field::NewPassword)?;
        let proven = self.must_know_password(caller, current).await?;
        let place = self.hasher.place()?;
        let hash = self.hasher.hash(&place, new_password, Field::NewPassword).await?;
        let (asking, id) = (caller.clone(), caller.account()?.id);
        self.deed(Stale::Of(id), move |transaction, now| {
            put_password(transaction, (&asking, &proven), hash, now)
        })
        .await
    }

    /// Gives the caller a PIN, or takes it away. Both need the present password.
    pub async fn pin_set(
        &self,
        caller: &Caller,
        current: Option<Secret>,
        pin: Option<Secret>,
    ) -> Result<()> {
        caller.must_not_be_key()?;
        if let Some(pin) = &pin {
            check_pin(pin)?;
        }
        let proven = self.must_know_password(caller, current).await?;
        self.put_pin(caller, proven.id, pin, Some(proven)).await
    }

    pub(super) async fn new_pin_hash(&self, id: AccountId, pin: &Secret) -> Result<String> {
        let place = self.hasher.place()?;
        self.hasher.hash_pin(&place, self.pepper(id, pin)).await
    }

    /// `proven` is the caller's own account, once its password was asked for; somebody else's is
    /// held against the caller's rights.
    pub(super) async fn put_pin(
        &self,
        caller: &Caller,
        id: AccountId,
        pin: Option<Secret>,
        proven: Option<Account>,
    ) -> Result<()> {
        let hash = match pin {
            Some(pin) => Some(self.new_pin_hash(id, &pin).await?),
            None => None,
        };
        let asking = caller.clone();
        let event = Event::new(EventKind::PinChanged, caller, self.clock.now()).of(id);
        self.deed(Stale::Of(id), move |transaction, now| {
            let mut account = match &proven {
                Some(proven) => still_proven(transaction, &asking, proven, now)?,
                None => {
                    sessions::must_live(transaction, &asking, now)?;
                    let account = accounts::must_exist(transaction, id)?;
                    asking.must_cover(&account.permissions)?;
                    account
                }
            };
            account.pin_hash = hash;
            accounts::update(transaction, &account, now)?;
            forget_wrong_pins(transaction, id)?;
            event.append(transaction)
        })
        .await
    }

    /// Asks for another address: it counts once the letter to it is answered.
    pub async fn email_change(
        &self,
        caller: &Caller,
        current: Option<Secret>,
        email: &str,
    ) -> Result<()> {
        caller.must_not_be_key()?;
        let email = Email::parse(email)?;
        let proven = self.must_know_password(caller, current).await?;
        let (id, client) = (proven.id, caller.origin().address_text());
        let (asking, settings) = (caller.clone(), self.settings.clone());
        self.deed(Stale::Nobodys, move |transaction, now| {
            still_proven(transaction, &asking, &proven, now)?;
            if email_owner(transaction, &email)?.is_some_and(|owner| owner != id) {
                return Err(Error::Taken(Field::Email));
            }
            let letter = Letter {
                purpose: Purpose::ChangeEmail,
                recipient: email.as_str().to_owned(),
                account: Some(id),
                invitation: None,
                client,
                token: None,
                details: Vec::new(),
                expires_at: now.plus(CHANGE_LIFE),
            };
            letters::send(transaction, &settings, letter, now)
        })
        .await
    }
}
