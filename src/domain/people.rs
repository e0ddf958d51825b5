//! What those who look after the house do with other people's accounts.

use super::{
    Core, Settings, Timestamp,
    accounts::{
        self, Account, AccountFilter, AccountId, Email, NewAccount, Status, Username, check_line,
    },
    addresses::tell_address_changed,
    caller::Caller,
    error::{Clash, Denied, Error, Field, Reason, Result},
    events::{Event, EventKind},
    identities,
    known::Stale,
    letters::{self, Purpose},
    page::{Page, PageOf},
    passwords::{PasswordRule, check_pin},
    permissions::{self, ADMIN, DEFAULT_ROLE, USERS_DELETE, USERS_READ, USERS_WRITE},
    secret::{Secret, random_text},
    sessions,
    sign_in::forget_wrong_pins,
};

const RESET_LINK_LIFE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// An account as somebody wants it to be; it counts as verified.
#[derive(Clone, Debug, Default)]
pub struct UserDraft {
    pub username: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    /// May be left out beside a PIN or for somebody who gets a reset link.
    pub password: Option<Secret>,
    pub pin: Option<Secret>,
    pub role: Option<String>,
    pub status: Option<Status>,
}

/// A change to an account; `None` leaves as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    pub username: Option<String>,
    /// `Some(None)` takes the address away.
    pub email: Option<Option<String>>,
    pub display_name: Option<String>,
    pub password: Option<Secret>,
    pub role: Option<String>,
    pub status: Option<Status>,
}

/// A person on the login pad.
#[derive(Clone, Debug)]
pub struct PadPerson {
    pub id: AccountId,
    pub username: String,
    pub display_name: String,
    pub role: String,
}

impl Core {
    /// Accounts that match the filter, by name.
    pub async fn users_list(
        &self,
        caller: &Caller,
        filter: AccountFilter,
        page: Page,
    ) -> Result<PageOf<Account>> {
        caller.must(USERS_READ)?;
        self.db
            .read(move |connection| {
                let (rows, total) =
                    accounts::rows_page(connection, &filter, page.limit(), page.offset())?;
                Ok(PageOf::new(rows, total))
            })
            .await
    }

    pub async fn user_get(&self, caller: &Caller, id: AccountId) -> Result<Account> {
        if caller.account_id() != Some(id) {
            caller.must(USERS_READ)?;
        }
        self.db.read(move |connection| accounts::must_exist(connection, id)).await
    }

    /// The account that somebody means by a name or an address.
    pub async fn user_by_login(&self, caller: &Caller, login: String) -> Result<Option<Account>> {
        caller.must(USERS_READ)?;
        self.db.read(move |connection| Ok(accounts::row_by_login(connection, &login)?)).await
    }

    /// Makes an account. While no account is active it becomes the admin, whatever was asked.
    pub async fn user_create(&self, caller: &Caller, draft: UserDraft) -> Result<Account> {
        caller.must(USERS_WRITE)?;
        if draft.password.is_some() || draft.pin.is_some() {
            caller.must_not_be_key()?;
        }
        let mut new = self.drafted(draft).await?;
        let asking = caller.clone();
        let event = |kind| Event::new(kind, caller, self.clock.now()).of(new.id);
        let created = event(EventKind::AccountCreated);
        let pin_given = new.pin_hash.is_some().then(|| event(EventKind::PinChanged));
        self.deed(Stale::OfWhom(|made: &Account| Some(made.id)), move |transaction, now| {
            sessions::must_live(transaction, &asking, now)?;
            if !accounts::any_active(transaction)? {
                new.role = ADMIN.to_owned();
                new.status = Status::Active;
            }
            permissions::grantable(transaction, &asking, &new.role)?;
            let account = accounts::insert(transaction, &new, now)?;
            [Some(created), pin_given]
                .iter()
                .flatten()
                .try_for_each(|it| it.append(transaction))?;
            Ok(account)
        })
        .await
    }

    async fn drafted(&self, draft: UserDraft) -> Result<NewAccount> {
        let email = draft.email.as_deref().map(Email::parse).transpose()?;
        let username = Username::parse(&draft.username, email.as_ref())?;
        let display_name = draft.display_name.unwrap_or_else(|| username.shown.clone());
        check_line(&display_name, Field::DisplayName)?;
        if let Some(pin) = &draft.pin {
            check_pin(pin)?;
        }
        let id = AccountId::random();
        let password_hash = match draft.password {
            Some(password) => Some(self.new_hash(password).await?),
            None => None,
        };
        let pin_hash = match draft.pin {
            Some(pin) => Some(self.new_pin_hash(id, &pin).await?),
            None => None,
        };
        Ok(NewAccount {
            id,
            username,
            email_verified: email.is_some(),
            email,
            display_name,
            role: draft.role.unwrap_or_else(|| DEFAULT_ROLE.to_owned()),
            status: draft.status.unwrap_or(Status::Active),
            password_hash,
            pin_hash,
            pending_until: None,
        })
    }

    async fn new_hash(&self, password: Secret) -> Result<String> {
        PasswordRule::NATIVE.check(
            &password,
            self.settings.password_min_length,
            Field::Password,
        )?;
        let place = self.hasher.place()?;
        self.hasher.hash(&place, password, Field::Password).await
    }

    /// Changes somebody's account. A new password, another role or status ends what they carry.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for one's own password and address and for whatever exceeds the
    /// caller's rights, [`Error::Conflict`] for oneself and the last admin, [`Error::Taken`], [`Error::Invalid`].
    pub async fn user_update(
        &self,
        caller: &Caller,
        id: AccountId,
        change: UserChange,
    ) -> Result<Account> {
        caller.must(USERS_WRITE)?;
        if change.password.is_some() || change.email.is_some() {
            caller.must_not_be_key()?;
        }
        if change.password.is_some() {
            must_be_another(caller, id)?;
        }
        if let Some(name) = &change.display_name {
            check_line(name, Field::DisplayName)?;
        }
        // Before anything is hashed for somebody whom the caller may not touch.
        let target = self.db.read(move |connection| accounts::must_exist(connection, id)).await?;
        caller.must_cover(&target.permissions)?;
        let hash = match change.password.clone() {
            Some(password) => Some(self.new_hash(password).await?),
            None => None,
        };
        let (asking, settings) = (caller.clone(), self.settings.clone());
        self.deed(Stale::Of(id), move |transaction, now| {
            sessions::must_live(transaction, &asking, now)?;
            let was = accounts::must_exist(transaction, id)?;
            asking.must_cover(&was.permissions)?;
            if hash.is_some() {
                identities::must_take_password(transaction, id)?;
            }
            let mut account = changed(&was, &change)?;
            if account.role != was.role {
                permissions::grantable(transaction, &asking, &account.role)?;
            }
            forbid_oneself(&asking, &was, &account)?;
            account.password_hash = hash.clone().or(account.password_hash);
            end_what_was(transaction, &was, &mut account, hash.is_some(), now)?;
            accounts::update(transaction, &account, now)?;
            accounts::admin_remains(transaction, &was)?;
            note_change(transaction, &asking, &was, &account, now)?;
            tell_change(transaction, &settings, &was, &account, now)?;
            accounts::must_exist(transaction, id)
        })
        .await
    }

    /// Deletes somebody with all that is theirs. Their id is never given again.
    pub async fn user_delete(&self, caller: &Caller, id: AccountId) -> Result<()> {
        caller.must(USERS_DELETE)?;
        let asking = caller.clone();
        self.deed(Stale::Of(id), move |transaction, now| {
            sessions::must_live(transaction, &asking, now)?;
            let account = accounts::must_exist(transaction, id)?;
            asking.must_cover(&account.permissions)?;
            if asking.account_id() == Some(id) {
                return Err(Error::Conflict(Clash::Oneself));
            }
            accounts::delete(transaction, id)?;
            accounts::admin_remains(transaction, &account)?;
            let event = Event::new(EventKind::AccountDeleted, &asking, now).of(id);
            event.about(&account.username).append(transaction)
        })
        .await
    }

    /// Gives somebody else a PIN, or takes it away.
    pub async fn user_pin_set(
        &self,
        caller: &Caller,
        id: AccountId,
        pin: Option<Secret>,
    ) -> Result<()> {
        caller.must_not_be_key()?;
        caller.must(USERS_WRITE)?;
        if caller.account_id() == Some(id) {
            return Err(Error::Forbidden(Denied::OwnPin));
        }
        if let Some(pin) = &pin {
            check_pin(pin)?;
        }
        let target = self.db.read(move |connection| accounts::must_exist(connection, id)).await?;
        caller.must_cover(&target.permissions)?;
        self.put_pin(caller, id, pin, None).await
    }

    /// Makes a link by which somebody else chooses a new password: to hand over, for a day.
    pub async fn user_reset_link(
        &self,
        caller: &Caller,
        id: AccountId,
    ) -> Result<(String, Timestamp)> {
        caller.must_not_be_key()?;
        caller.must(USERS_WRITE)?;
        must_be_another(caller, id)?;
        let (asking, settings) = (caller.clone(), self.settings.clone());
        self.deed(Stale::Nobodys, move |transaction, now| {
            sessions::must_live(transaction, &asking, now)?;
            let account = accounts::must_exist(transaction, id)?;
            asking.must_cover(&account.permissions)?;
            identities::must_take_password(transaction, id)?;
            let end = now.plus(RESET_LINK_LIFE);
            let address = account.email.unwrap_or_default();
            let purpose = Purpose::ResetLink;
            let token = letters::issue_token(transaction, purpose, id, &address, (now, end))?;
            Event::new(EventKind::ResetLinkMade, &asking, now).of(id).append(transaction)?;
            Ok((letters::link(&settings, purpose, &token), end))
        })
        .await
    }

    /// The people with a PIN, for a login pad inside the house; elsewhere there are none.
    pub async fn pad_people(&self, origin: &super::caller::Origin) -> Result<Vec<PadPerson>> {
        if !self.settings.pin_list_users || !origin.is_within(&self.settings.pin_networks) {
            return Ok(Vec::new());
        }
        self.db
            .read(|connection| {
                let people =
                    accounts::rows_with_pin(connection)?.into_iter().map(|account| PadPerson {
                        id: account.id,
                        username: account.username,
                        display_name: account.display_name,
                        role: account.role,
                    });
                Ok(people.collect())
            })
            .await
    }
}

fn changed(was: &Account, change: &UserChange) -> Result<Account> {
    let mut account = was.clone();
    if let Some(email) = &change.email {
        let email = email.as_deref().map(Email::parse).transpose()?;
        account.email = email.map(|email| email.as_str().to_owned());
        if account.email != was.email {
            account.email_verified = account.email.is_some();
        }
    }
    let own = account.email.as_deref().map(Email::parse).transpose()?;
    if let Some(username) = &change.username {
        account.username = Username::parse(username, own.as_ref())?.shown;
    } else if account.username.contains('@') && account.email != was.email {
        // A name that is an address follows it; without one it needs another name first.
        account.username =
            account.email.clone().ok_or(Error::Invalid(Field::Username, Reason::Missing))?;
    }
    account.display_name = change.display_name.clone().unwrap_or(account.display_name);
    account.role = change.role.clone().unwrap_or(account.role);
    account.status = change.status.unwrap_or(account.status);
    if account.status != Status::Pending {
        account.pending_until = None;
    }
    Ok(account)
}

/// Whoever finds an admin's session open must not make it theirs for good: what opens one's own
/// account is changed with the current password. An address opens it by a reset letter.
fn must_be_another(caller: &Caller, id: AccountId) -> Result<()> {
    if caller.account_id() == Some(id) {
        return Err(Error::Forbidden(Denied::OwnPassword));
    }
    Ok(())
}

fn forbid_oneself(caller: &Caller, was: &Account, account: &Account) -> Result<()> {
    let oneself = caller.account_id() == Some(was.id);
    if oneself && account.email != was.email {
        return Err(Error::Forbidden(Denied::OwnEmail));
    }
    if oneself && (account.role != was.role || account.status != was.status) {
        return Err(Error::Conflict(Clash::Oneself));
    }
    Ok(())
}

/// Another role, status or password ends every bearer; these and another address end every link: who
/// made one, or saw it in the outbox, may have had the rights for what the account was only.
fn end_what_was(
    transaction: &rusqlite::Transaction<'_>,
    was: &Account,
    account: &mut Account,
    new_password: bool,
    now: Timestamp,
) -> Result<()> {
    if account.role != was.role || account.status != was.status || new_password {
        account.epoch = random_text(16);
        sessions::end_all(transaction, was.id, None, now)?;
    }
    if new_password {
        forget_wrong_pins(transaction, was.id)?;
    }
    let other = account.role != was.role || account.status != was.status;
    if other || account.email != was.email || new_password {
        letters::end_tokens(transaction, was.id, None)?;
    }
    Ok(())
}

/// What the owner should learn by letter.
fn tell_change(
    transaction: &rusqlite::Transaction<'_>,
    settings: &Settings,
    was: &Account,
    account: &Account,
    now: Timestamp,
) -> Result<()> {
    tell_address_changed(transaction, settings, was, account, now)?;
    if was.is_active() && account.status == Status::Disabled {
        let letter = (Purpose::AccountDisabled, Vec::new());
        letters::tell(transaction, settings, letter, account, now)?;
    }
    Ok(())
}

fn note_change(
    transaction: &rusqlite::Transaction<'_>,
    caller: &Caller,
    was: &Account,
    account: &Account,
    now: Timestamp,
) -> Result<()> {
    let parts = [
        ("username", account.username != was.username),
        ("email", account.email != was.email),
        ("display_name", account.display_name != was.display_name),
        ("password", account.password_hash != was.password_hash),
        ("role", account.role != was.role),
        ("status", account.status != was.status),
    ];
    let changed: Vec<&str> =
        parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let event = Event::new(EventKind::AccountUpdated, caller, now).of(was.id);
    event.about(changed.join(", ")).append(transaction)
}
