//! How accounts come to be, and how their owners get back in: the first account, open sign-up,
//! invitations, forgotten passwords.

use std::{sync::PoisonError, time::Duration};

use rusqlite::{Connection, Transaction};

use super::{
    Core, Settings, Timestamp,
    accounts::{self, Account, Email, NewAccount, Status, Username, check_line},
    api_keys,
    caller::Origin,
    carriers::Carrier,
    error::{Clash, Denied, Error, Field, Noun, Reason, Result},
    events::{Event, EventKind},
    identities, invitations,
    known::Stale,
    letters::{self, Letter, Purpose},
    passwords::PasswordRule,
    permissions::{ADMIN, DEFAULT_ROLE},
    places,
    secret::{Secret, TokenDigest, random_text},
    sessions::{self, Carried},
    sign_in::forget_wrong_pins,
};

/// A pending account that nobody activates frees its names after this.
pub(super) const PENDING: Duration = Duration::from_secs(24 * 3600);
const RESET_LIFE: Duration = Duration::from_secs(2 * 3600);

/// Who may make an account by themself: `registration.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationMode {
    Open,
    /// Needs an address; pending until the mailed link is followed.
    Invite,
    Closed,
}

impl RegistrationMode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invite => "invite",
            Self::Closed => "closed",
        }
    }
}

/// Somebody who wants an account.
#[derive(Clone, Debug)]
pub struct Registration {
    pub username: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    pub password: Secret,
    pub invitation: Option<Secret>,
    /// What the dialect asks of passwords.
    pub rule: PasswordRule,
    /// The role without an invitation; `None` is the default one.
    pub role: Option<String>,
    /// What the new account carries at once, if it is active.
    pub carrier: Option<Carrier>,
    /// Only ever the first account, as set-up wants it.
    pub only_first: bool,
    pub origin: Origin,
}

/// A new account, and what it carries if it is active and the dialect wanted that.
#[derive(Clone, Debug)]
pub struct Registered {
    pub account: Account,
    pub carried: Option<Carried>,
}

/// On what ground an account is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    First,
    Invited,
    Open,
    ByLetter,
}

/// What a registration becomes once all is checked.
struct Plan {
    new: NewAccount,
    invitation: Option<TokenDigest>,
    purpose: Purpose,
}

impl Core {
    /// Makes the token that the first account needs from outside the house, when there is no
    /// active account. It lives as long as the process.
    pub async fn setup_token_make(&self) -> Result<Option<Secret>> {
        if !self.setup_required().await? {
            return Ok(None);
        }
        let token = Secret::new(random_text(32));
        *self.setup_token.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(TokenDigest::of(token.reveal()));
        Ok(Some(token))
    }

    /// Whether nobody could sign in yet.
    pub async fn setup_required(&self) -> Result<bool> {
        self.db.read(|connection| Ok(!accounts::any_active(connection)?)).await
    }

    pub(super) fn is_setup_token(&self, origin: &Origin) -> bool {
        let wanted = *self.setup_token.lock().unwrap_or_else(PoisonError::into_inner);
        match (&origin.setup_token, wanted) {
            (Some(given), Some(wanted)) => TokenDigest::of(given.reveal()) == wanted,
            _ => false,
        }
    }

    /// Whether somebody without an invitation may register at all: asked first by dialects that
    /// then look at one field after the other.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when registration is closed, or the first account needs the token.
    pub async fn may_register(&self, origin: &Origin) -> Result<()> {
        let token_ok = self.is_setup_token(origin);
        let (at_home, mode) = (origin.at_home, self.settings.registration);
        self.db
            .read(move |connection| {
                first_ground(connection, at_home, token_ok)?.map_or_else(
                    || match mode {
                        RegistrationMode::Closed => {
                            Err(Error::Forbidden(Denied::RegistrationClosed))
                        }
                        RegistrationMode::Open | RegistrationMode::Invite => Ok(()),
                    },
                    |_| Ok(()),
                )
            })
            .await
    }

    /// Registers somebody: the first account in any mode, an invited one in any mode, others as
    /// the mode says. Whether it is closed is decided before anything else is looked at.
    ///
    /// # Errors
    /// [`Error::Forbidden`] closed or without the set-up token, [`Error::Invalid`],
    /// [`Error::Taken`], [`Error::Expired`] for an invitation, [`Error::Busy`].
    pub async fn register(&self, registration: Registration) -> Result<Registered> {
        let token_ok = self.is_setup_token(&registration.origin);
        loop {
            let asking = registration.clone();
            let (mode, now) = (self.settings.registration, self.clock.now());
            let ground = self
                .db
                .read(move |connection| ground(connection, &asking, mode, token_ok, now))
                .await?;
            let plan = self.plan(&registration, &ground).await?;
            if let Some(registered) = self.enter_on(ground, plan, &registration, token_ok).await? {
                return Ok(registered);
            }
            // Somebody else was the first meanwhile; the first account comes once only.
        }
    }

    /// `None` when the ground has gone since it was asked for.
    async fn enter_on(
        &self,
        ground: Ground,
        plan: Plan,
        registration: &Registration,
        token_ok: bool,
    ) -> Result<Option<Registered>> {
        let (core, asking) = (self.clone(), registration.clone());
        let mode = self.settings.registration;
        let whose = |made: &Option<Registered>| made.as_ref().map(|made| made.account.id);
        self.deed(Stale::OfWhom(whose), move |transaction, now| {
            if self::ground(transaction, &asking, mode, token_ok, now)? != ground {
                return Ok(None);
            }
            let account = core.enter(transaction, plan, &asking.origin, now)?;
            let Some(carrier) = asking.carrier.filter(|_| account.is_active()) else {
                return Ok(Some(Registered { account, carried: None }));
            };
            let (opening, carried) =
                core.open_session(&account, carrier, "registration", &asking.origin)?;
            accounts::note_sign_in(transaction, account.id, None, now)?;
            sessions::insert(transaction, &opening)?;
            places::arrived(transaction, &core.settings, &account, &asking.origin, now)?;
            let account = accounts::must_exist(transaction, account.id)?;
            Ok(Some(Registered { account, carried: Some(carried) }))
        })
        .await
    }

    async fn plan(&self, registration: &Registration, ground: &Ground) -> Result<Plan> {
        let email = registration.email.as_deref().map(Email::parse).transpose()?;
        let confirm = self.settings.email_confirmation_required && *ground != Ground::First;
        let pending = confirm || *ground == Ground::ByLetter;
        if pending && email.is_none() {
            return Err(Error::Invalid(Field::Email, Reason::Missing));
        }
        let username = Username::parse(&registration.username, email.as_ref())?;
        let display_name =
            registration.display_name.clone().unwrap_or_else(|| username.shown.clone());
        check_line(&display_name, Field::DisplayName)?;
        registration.rule.check(
            &registration.password,
            self.settings.password_min_length,
            Field::Password,
        )?;
        let place = self.hasher.place()?;
        let hash = self.hasher.hash(&place, registration.password.clone(), Field::Password).await?;
        let role = match ground {
            Ground::First => ADMIN.to_owned(),
            _ => registration.role.clone().unwrap_or_else(|| DEFAULT_ROLE.to_owned()),
        };
        let now = self.clock.now();
        let new = NewAccount {
            id: accounts::AccountId::random(),
            username,
            email,
            display_name,
            role,
            status: if pending { Status::Pending } else { Status::Active },
            email_verified: *ground == Ground::First,
            password_hash: Some(hash),
            pin_hash: None,
            pending_until: pending.then(|| now.plus(PENDING)),
        };
        let invitation = (*ground == Ground::Invited)
            .then(|| registration.invitation.as_ref().map(|token| TokenDigest::of(token.reveal())))
            .flatten();
        let by_mode = *ground == Ground::ByLetter;
        let purpose = if by_mode { Purpose::Activate } else { Purpose::VerifyEmail };
        Ok(Plan { new, invitation, purpose })
    }

    /// Writes the account, uses up its invitation, and the letter that it waits for.
    fn enter(
        &self,
        transaction: &Transaction<'_>,
        plan: Plan,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Account> {
        let Plan { mut new, invitation, purpose } = plan;
        if let Some(digest) = invitation {
            let email = new.email.as_ref().map(Email::as_str);
            let invited = invitations::accept(transaction, digest, email, now)?;
            new.role = invited.role;
            if invited.for_this_address {
                // The invitation was made for this address, by somebody of the house.
                new.status = Status::Active;
                new.pending_until = None;
                new.email_verified = true;
            }
        }
        let account = accounts::insert(transaction, &new, now)?;
        Event::from_origin(EventKind::AccountCreated, origin, now)
            .by(account.id)
            .append(transaction)?;
        if let Some(email) = new.email.filter(|_| !new.email_verified) {
            let letter = Letter {
                purpose,
                recipient: email.as_str().to_owned(),
                account: Some(account.id),
                invitation: None,
                client: origin.address_text(),
                token: None,
                details: Vec::new(),
                expires_at: now.plus(self.settings.verification_life),
            };
            letters::send(transaction, &self.settings, letter, now)?;
        }
        Ok(account)
    }

    /// Sends the letter again to a pending or unverified account of that address. Says nothing
    /// about whether there is one, and takes no longer when there is.
    pub fn verification_resend(&self, email: String, origin: &Origin) {
        let (core, client) = (self.clone(), origin.address_text());
        self.later(async move {
            let settings = core.settings.clone();
            core.deed(Stale::Nobodys, move |transaction, now| {
                let Some(account) = accounts::row_by_email(transaction, &email)? else {
                    return Ok(());
                };
                let lapsed = account.pending_until.is_some_and(|until| until <= now);
                if account.email_verified || account.status == Status::Disabled || lapsed {
                    return Ok(());
                }
                let by_mode = settings.registration == RegistrationMode::Invite;
                let pending = account.status == Status::Pending;
                let purpose =
                    if by_mode && pending { Purpose::Activate } else { Purpose::VerifyEmail };
                let life = settings.verification_life;
                write_to(transaction, &settings, (purpose, life), &account, &client, now)
            })
            .await
        });
    }

    /// Sends a letter with a reset link to an active account of that address; the same silence.
    pub fn password_forgotten(&self, email: String, origin: &Origin) {
        let (core, client) = (self.clone(), origin.address_text());
        self.later(async move {
            let settings = core.settings.clone();
            core.deed(Stale::Nobodys, move |transaction, now| {
                let account = accounts::row_by_email(transaction, &email)?;
                let Some(account) = account.filter(Account::is_active) else { return Ok(()) };
                if identities::is_googles(transaction, account.id)? {
                    return Ok(());
                }
                let letter = (Purpose::ResetPassword, RESET_LIFE);
                write_to(transaction, &settings, letter, &account, &client, now)
            })
            .await
        });
    }

    /// Sets a new password by the link of a letter or of an admin, and ends all sessions.
    ///
    /// # Errors
    /// [`Error::Expired`] for a token that is not right or no longer so, [`Error::Invalid`] for
    /// the new password; the token stays good then.
    pub async fn password_reset(
        &self,
        token: &Secret,
        new_password: Secret,
        rule: PasswordRule,
        origin: &Origin,
    ) -> Result<()> {
        const PURPOSES: [Purpose; 2] = [Purpose::ResetPassword, Purpose::ResetLink];
        let (asked, now) = (token.clone(), self.clock.now());
        // Before anything is hashed: an invented token must cost nothing.
        self.db.read(move |c| letters::token_lives(c, &PURPOSES, asked.reveal(), now)).await?;
        rule.check(&new_password, self.settings.password_min_length, Field::NewPassword)?;
        let place = self.hasher.place()?;
        let hash = self.hasher.hash(&place, new_password, Field::NewPassword).await?;
        let (token, origin) = (token.clone(), origin.clone());
        self.deed(Stale::OfWhom(|id| Some(*id)), move |transaction, now| {
            let used = letters::consume_token(transaction, &PURPOSES, token.reveal(), now)?;
            let mut account = accounts::must_exist(transaction, used.account)?;
            identities::must_take_password(transaction, account.id)?;
            let at_address = account.email.as_deref() == Some(used.address.as_str());
            if used.purpose == Purpose::ResetPassword {
                if !at_address {
                    return Err(Error::Expired(Noun::OneTimeToken));
                }
                if !account.email_verified {
                    // Whoever registered it never proved that the address is theirs; what
                    // they left behind must not open the account of its owner.
                    account.pin_hash = None;
                    api_keys::revoke_all(transaction, account.id, now)?;
                    identities::delete_all(transaction, account.id)?;
                }
                account.email_verified = true;
            }
            account.password_hash = Some(hash);
            account.epoch = random_text(16);
            accounts::update(transaction, &account, now)?;
            sessions::end_all(transaction, account.id, None, now)?;
            letters::end_tokens(transaction, account.id, None)?;
            forget_wrong_pins(transaction, account.id)?;
            Event::from_origin(EventKind::PasswordChanged, &origin, now)
                .by(account.id)
                .about("by a reset link")
                .append(transaction)?;
            Ok(account.id)
        })
        .await?;
        Ok(())
    }
}

/// Which rule lets this registration in; asked before hashing and again inside the transaction.
fn ground(
    connection: &Connection,
    registration: &Registration,
    mode: RegistrationMode,
    token_ok: bool,
    now: Timestamp,
) -> Result<Ground> {
    if let Some(first) = first_ground(connection, registration.origin.at_home, token_ok)? {
        return Ok(first);
    }
    if registration.only_first {
        return Err(Error::Conflict(Clash::SetupDone));
    }
    match &registration.invitation {
        Some(token) => {
            invitations::must_be_open(connection, TokenDigest::of(token.reveal()), now)?;
            Ok(Ground::Invited)
        }
        None => open_ground(mode),
    }
}

/// What the mode says of somebody without an invitation.
pub(super) fn open_ground(mode: RegistrationMode) -> Result<Ground> {
    match mode {
        RegistrationMode::Closed => Err(Error::Forbidden(Denied::RegistrationClosed)),
        RegistrationMode::Open => Ok(Ground::Open),
        RegistrationMode::Invite => Ok(Ground::ByLetter),
    }
}

/// While nobody is active there is one ground only: at home when nobody exists, else the token.
pub(super) fn first_ground(
    connection: &Connection,
    at_home: bool,
    token_ok: bool,
) -> Result<Option<Ground>> {
    if accounts::any_active(connection)? {
        return Ok(None);
    }
    if token_ok || (at_home && !accounts::any(connection)?) {
        Ok(Some(Ground::First))
    } else {
        Err(Error::Forbidden(Denied::SetupToken))
    }
}

pub(super) fn write_to(
    transaction: &Transaction<'_>,
    settings: &Settings,
    (purpose, life): (Purpose, Duration),
    account: &Account,
    client: &str,
    now: Timestamp,
) -> Result<()> {
    let Some(recipient) = account.email.clone() else { return Ok(()) };
    let letter = Letter {
        purpose,
        recipient,
        account: Some(account.id),
        invitation: None,
        client: client.to_owned(),
        token: None,
        details: Vec::new(),
        expires_at: now.plus(life),
    };
    letters::send(transaction, settings, letter, now)
}
