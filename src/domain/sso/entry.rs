//! Who may come in: somebody who is known by issuer and subject, or a stranger as far as the
//! configuration wants any. Nobody is ever known by an address.

use std::sync::Arc;

use rusqlite::Transaction;

use super::{
    Arrived, GOOGLE, ProviderSettings, TAKEN,
    flow::{Flow, Link},
    person::Person,
    roles,
};
use crate::domain::{
    Core, Timestamp,
    accounts::{self, Account, Email, NewAccount, Status, Username, check_line},
    caller::{Caller, Origin},
    carriers::Carrier,
    error::{Clash, Denied, Error, Field, Noun, Result},
    events::{Event, EventKind},
    identities::{self, Identity},
    known::SessionKey,
    letters::Purpose,
    permissions::ADMIN,
    places, sessions,
    sign_up::{self, Ground},
};

/// Somebody at the door with what a provider says of them.
pub struct Guest {
    pub provider: ProviderSettings,
    pub person: Person,
    pub flow: Flow,
}

/// How it ended.
pub enum Outcome {
    /// Also for an account that has to wait: it carries nothing.
    In(Box<Arrived>),
    /// Counts as a failed sign-in; whose account it was, if anybody's.
    Refused(Error, Option<accounts::AccountId>),
}

impl Outcome {
    /// Whose account it changed.
    pub fn whose(&self) -> Option<accounts::AccountId> {
        match self {
            Self::In(arrived) => Some(arrived.account.id),
            Self::Refused(..) => None,
        }
    }
}

fn refused(denied: Denied, account: Option<&Account>) -> Result<Outcome> {
    Ok(Outcome::Refused(Error::Forbidden(denied), account.map(|account| account.id)))
}

/// Lets `guest` in, and makes their account if they may have one.
pub fn enter(
    core: &Core,
    transaction: &Transaction<'_>,
    guest: &Guest,
    origin: &Origin,
    now: Timestamp,
) -> Result<Outcome> {
    let Guest { person, provider, .. } = guest;
    match identities::by_subject(transaction, &person.issuer, &person.subject)? {
        Some(known) => {
            let account = accounts::must_exist(transaction, known.account)?;
            if !account.is_active() {
                return refused(Denied::Inactive, Some(&account));
            }
            if provider.is_google() && account.password_hash.is_some() {
                return refused(Denied::HasPassword, Some(&account));
            }
            let email = person.email.as_ref().map(Email::as_str);
            identities::note_use(transaction, &known, email, now)?;
            follow_groups(core, transaction, guest, (&account, &known), origin, now)?;
            let account = accounts::must_exist(transaction, account.id)?;
            open(core, transaction, guest, account, origin, now)
        }
        None => stranger(core, transaction, guest, origin, now),
    }
}

fn follow_groups(
    core: &Core,
    transaction: &Transaction<'_>,
    guest: &Guest,
    (account, known): (&Account, &Identity),
    origin: &Origin,
    now: Timestamp,
) -> Result<()> {
    let provider = &guest.provider;
    if !provider.maps_roles() {
        return Ok(());
    }
    let mapped = roles::mapped(provider, &guest.person.groups);
    let given = (mapped, known.granted_role.as_deref());
    let default_role = default_role(core, provider);
    let given = roles::follow(transaction, account, given, default_role, (origin, now))?;
    identities::note_role(transaction, known, given.as_deref())
}

fn default_role<'a>(core: &'a Core, provider: &ProviderSettings) -> &'a str {
    let settings = core.settings();
    match provider.is_google() {
        true => &settings.signup_role,
        false => &settings.sso.default_role,
    }
}

/// Nobody here is known by this identity.
fn stranger(
    core: &Core,
    transaction: &Transaction<'_>,
    guest: &Guest,
    origin: &Origin,
    now: Timestamp,
) -> Result<Outcome> {
    let (settings, person) = (core.settings(), &guest.person);
    let ground = match sign_up::first_ground(transaction, false, guest.flow.setup) {
        Ok(None) if !settings.sso.auto_create => return refused(Denied::NoAccount, None),
        Ok(first) => first,
        Err(Error::Forbidden(denied)) => return refused(denied, None),
        Err(other) => return Err(other),
    };
    let ground = match ground.map_or_else(|| sign_up::open_ground(settings.registration), Ok) {
        Ok(ground) => ground,
        Err(Error::Forbidden(denied)) => return refused(denied, None),
        Err(other) => return Err(other),
    };
    if guest.provider.is_google() && !person.email_verified {
        return refused(Denied::Unverified, None);
    }
    if let Some(email) = &person.email
        && accounts::row_by_email(transaction, email.as_str())?.is_some()
    {
        // An account is never taken over by its address, and never doubled either.
        return Err(Error::Conflict(Clash::AddressKnown));
    }
    let new = plan(core, transaction, guest, &ground, now)?;
    let account = accounts::insert(transaction, &new, now)?;
    let granted = (ground != Ground::First).then_some(account.role.as_str());
    identities::insert(transaction, account.id, &guest.provider.name, person, granted, now)?;
    let event = Event::from_origin(EventKind::AccountCreated, origin, now).by(account.id);
    event.about(&guest.provider.name).append(transaction)?;
    if account.is_active() {
        return open(core, transaction, guest, account, origin, now);
    }
    let letter = (Purpose::Activate, settings.verification_life);
    sign_up::write_to(transaction, settings, letter, &account, &origin.address_text(), now)?;
    let to = guest.flow.to.clone();
    Ok(Outcome::In(Box::new(Arrived { account: Arc::new(account), carried: Vec::new(), to })))
}

/// The account of a stranger, by the rules of registration. An address that the provider does not
/// vouch for is not kept, not even to be asked by letter: nobody shall sit on another's, and whoever
/// confirmed it would confirm a stranger's way in with it.
fn plan(
    core: &Core,
    transaction: &Transaction<'_>,
    guest: &Guest,
    ground: &Ground,
    now: Timestamp,
) -> Result<NewAccount> {
    let (person, settings) = (&guest.person, core.settings());
    let pending = *ground == Ground::ByLetter;
    let confirmed = settings.email_confirmation_required && *ground != Ground::First;
    let email = person.email.clone().filter(|_| person.email_verified);
    if (pending || confirmed) && email.is_none() {
        return Err(Error::Forbidden(Denied::Unverified));
    }
    let username = match &email {
        // As an account of sign-up (seed 003).
        Some(email) if guest.provider.name == GOOGLE => {
            Username::parse(email.as_str(), Some(email))?
        }
        _ => accounts::free_username(transaction, &person.username)?,
    };
    let shown = person.display_name.clone().filter(|name| !name.is_empty());
    let display_name = shown
        .filter(|name| check_line(name, Field::DisplayName).is_ok())
        .unwrap_or_else(|| username.shown.clone());
    let mapped = roles::mapped(&guest.provider, &person.groups);
    let role = match ground {
        Ground::First => ADMIN,
        _ => mapped.unwrap_or_else(|| default_role(core, &guest.provider)),
    };
    Ok(NewAccount {
        id: accounts::AccountId::random(),
        username,
        email_verified: email.is_some(),
        email,
        display_name,
        role: role.to_owned(),
        status: if pending { Status::Pending } else { Status::Active },
        password_hash: None,
        pin_hash: None,
        pending_until: pending.then(|| now.plus(sign_up::PENDING)),
    })
}

/// What somebody carries who comes in by this provider.
fn carriers(core: &Core, guest: &Guest) -> &'static [Carrier] {
    let hands_over = core.settings().sso.frontend.is_some() && guest.flow.to.is_none();
    match guest.provider.is_google() {
        false => &[Carrier::PagesCookie, Carrier::GpodderCookie],
        true if hands_over => &[Carrier::SignupToken],
        true => &[Carrier::PagesCookie],
    }
}

fn open(
    core: &Core,
    transaction: &Transaction<'_>,
    guest: &Guest,
    account: Account,
    origin: &Origin,
    now: Timestamp,
) -> Result<Outcome> {
    let method = if guest.provider.is_google() { "google" } else { "sso" };
    places::arrived(transaction, core.settings(), &account, origin, now)?;
    accounts::note_sign_in(transaction, account.id, None, now)?;
    let mut carried = Vec::new();
    for carrier in carriers(core, guest) {
        let (opening, one) = core.open_session(&account, *carrier, method, origin)?;
        sessions::insert(transaction, &opening)?;
        carried.push(one);
    }
    let event = Event::from_origin(EventKind::SignedIn, origin, now).by(account.id);
    event.about(about(guest, method)).append(transaction)?;
    let account = Arc::new(accounts::must_exist(transaction, account.id)?);
    Ok(Outcome::In(Box::new(Arrived { account, carried, to: guest.flow.to.clone() })))
}

fn about(guest: &Guest, method: &str) -> String {
    match guest.provider.is_google() {
        true => method.to_owned(),
        false => format!("{method}: {}", guest.provider.name),
    }
}

/// Links what somebody has elsewhere to the account that they are signed in to, if the session that
/// asked for it lives and the password that it gave is the present one.
pub fn link(
    transaction: &Transaction<'_>,
    guest: &Guest,
    (caller, link): (&Caller, &Link),
    now: Timestamp,
) -> Result<()> {
    let person = &guest.person;
    let session = sessions::live(transaction, SessionKey::Id(link.session), now)?;
    let account = accounts::must_exist(transaction, link.account)?;
    if session.is_none() || account.password_mark() != link.password {
        return Err(Error::Expired(Noun::SignIn));
    }
    if !account.is_active() {
        return Err(Error::Forbidden(Denied::Inactive));
    }
    identities::must_be_linkable(transaction, account.id)?;
    match identities::by_subject(transaction, &person.issuer, &person.subject)? {
        Some(known) if known.account == account.id => return Ok(()),
        Some(_) => return Err(TAKEN),
        None => {}
    }
    let name = &guest.provider.name;
    identities::insert(transaction, account.id, name, person, None, now)?;
    let event = Event::new(EventKind::IdentityLinked, caller, now).about(name);
    event.append(transaction)
}
