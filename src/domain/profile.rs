//! What people do with their own account.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{
    Core, Timestamp,
    accounts::{self, Account, AccountId, Email, check_line},
    api_keys,
    caller::Caller,
    error::{Clash, Error, Field, Noun, Result},
    events::{self, Event, EventKind, WrittenEvent},
    letters::{self, Letter, Purpose},
    passwords::{PasswordRule, check_pin},
    secret::Secret,
    sessions::{self, Session},
    sign_in::forget_wrong_pins,
};

const CHANGE_LIFE: Duration = Duration::from_secs(24 * 3600);

/// An account elsewhere that signs in here.
#[derive(Clone, Debug)]
pub struct Identity {
    pub id: String,
    pub provider: String,
    pub issuer: String,
    pub subject: String,
    pub email: Option<String>,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

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

// Rows

fn identity_from_row(row: &Row<'_>) -> rusqlite::Result<Identity> {
    Ok(Identity {
        id: row.get(0)?,
        provider: row.get(1)?,
        issuer: row.get(2)?,
        subject: row.get(3)?,
        email: row.get(4)?,
        created_at: row.get(5)?,
        last_used_at: row.get(6)?,
    })
}

fn identities_of(connection: &Connection, account: AccountId) -> rusqlite::Result<Vec<Identity>> {
    connection
        .prepare_cached(
            "SELECT id, provider, issuer, subject, email, created_at, last_used_at
             FROM identities WHERE account_id = ?1 ORDER BY created_at, id",
        )?
        .query_map([account], identity_from_row)?
        .collect()
}

fn email_owner(connection: &Connection, email: &Email) -> rusqlite::Result<Option<AccountId>> {
    connection
        .prepare_cached("SELECT id FROM accounts WHERE email = ?1")?
        .query_row([email.as_str()], |row| row.get(0))
        .optional()
}

fn put_password(
    transaction: &Transaction<'_>,
    caller: &Caller,
    hash: String,
    now: Timestamp,
) -> Result<()> {
    let mut account = accounts::must_exist(transaction, caller.account()?.id)?;
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
        if let Some(known) = known.filter(|known| now < known.read_at.plus(OVERVIEW_KEPT)) {
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
        let account = self
            .deed(move |transaction, now| {
                let mut account = accounts::must_exist(transaction, id)?;
                if let Some(name) = display_name {
                    account.display_name = name;
                    accounts::update(transaction, &account, now)?;
                    event.append(transaction)?;
                }
                accounts::must_exist(transaction, id)
            })
            .await?;
        self.known.forget(id);
        Ok(account)
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
        self.must_know_password(caller, current).await?;
        let place = self.hasher.place()?;
        let hash = self.hasher.hash(&place, new_password, Field::NewPassword).await?;
        let (asking, id) = (caller.clone(), caller.account()?.id);
        self.deed(move |transaction, now| put_password(transaction, &asking, hash, now)).await?;
        self.known.forget(id);
        Ok(())
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
        self.must_know_password(caller, current).await?;
        let id = caller.account()?.id;
        self.put_pin(caller, id, pin).await
    }

    pub(super) async fn put_pin(
        &self,
        caller: &Caller,
        id: AccountId,
        pin: Option<Secret>,
    ) -> Result<()> {
        let hash = match pin {
            Some(pin) => {
                let place = self.hasher.place()?;
                Some(self.hasher.hash_pin(&place, self.pepper(id, &pin)).await?)
            }
            None => None,
        };
        let asking = caller.clone();
        let event = Event::new(EventKind::PinChanged, caller, self.clock.now()).of(id);
        self.deed(move |transaction, now| {
            let mut account = accounts::must_exist(transaction, id)?;
            if asking.account_id() != Some(id) {
                asking.must_cover(&account.permissions)?;
            }
            account.pin_hash = hash;
            accounts::update(transaction, &account, now)?;
            forget_wrong_pins(transaction, id)?;
            event.append(transaction)
        })
        .await?;
        self.known.forget(id);
        Ok(())
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
        self.must_know_password(caller, current).await?;
        let (id, client) = (caller.account()?.id, caller.origin().address_text());
        let settings = self.settings.clone();
        self.deed(move |transaction, now| {
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

    /// Whether the account of this address was made by Google and has no password (seed 003).
    pub async fn signs_in_by_google(&self, email: &str) -> Result<bool> {
        let email = email.to_owned();
        self.db
            .read(move |connection| {
                let Some(account) = accounts::row_by_email(connection, &email)? else {
                    return Ok(false);
                };
                let linked = identities_of(connection, account.id)?;
                let by_google = linked.iter().any(|identity| identity.provider == "google");
                Ok(by_google && account.password_hash.is_none() && account.is_active())
            })
            .await
    }

    /// The accounts elsewhere by which the caller signs in here.
    pub async fn identities_list(&self, caller: &Caller) -> Result<Vec<Identity>> {
        caller.must_not_be_key()?;
        let id = caller.account()?.id;
        self.db.read(move |connection| Ok(identities_of(connection, id)?)).await
    }

    /// Unlinks one; not the last way in.
    pub async fn identity_unlink(&self, caller: &Caller, identity: String) -> Result<()> {
        caller.must_not_be_key()?;
        let id = caller.account()?.id;
        let event = Event::new(EventKind::IdentityUnlinked, caller, self.clock.now());
        self.deed(move |transaction, _| {
            let all = identities_of(transaction, id)?;
            let Some(found) = all.iter().find(|known| known.id == identity) else {
                return Err(Error::NotFound(Noun::Identity));
            };
            let account = accounts::must_exist(transaction, id)?;
            if all.len() == 1 && account.password_hash.is_none() {
                return Err(Error::Conflict(Clash::LastWayIn));
            }
            transaction
                .prepare_cached("DELETE FROM identities WHERE id = ?1 AND account_id = ?2")?
                .execute(params![identity, id])?;
            event.about(&found.provider).append(transaction)
        })
        .await
    }
}
