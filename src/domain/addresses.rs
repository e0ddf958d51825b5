//! How addresses are proven and changed: by the link of a letter, and never without telling.

use rusqlite::Transaction;

use super::{
    Core, Settings, Timestamp,
    accounts::{self, Account, Status},
    caller::Origin,
    error::{Error, Field, Noun, Reason, Result},
    events::{Event, EventKind},
    known::Stale,
    letters::{self, Purpose},
    secret::{Secret, same},
};

/// What a link that proves an address may be for.
const PROOFS: [Purpose; 3] = [Purpose::VerifyEmail, Purpose::Activate, Purpose::ChangeEmail];

fn confirm_address(
    transaction: &Transaction<'_>,
    mut account: Account,
    address: &str,
    now: Timestamp,
) -> Result<()> {
    // A letter to an address that is no longer the account's proves nothing.
    let same_address =
        account.email.as_deref().is_some_and(|email| same(email.as_bytes(), address.as_bytes()));
    let lapsed = account.pending_until.is_some_and(|until| until <= now);
    if !same_address || lapsed || account.status == Status::Disabled {
        return Err(Error::Expired(Noun::OneTimeToken));
    }
    account.email_verified = true;
    account.status = Status::Active;
    account.pending_until = None;
    accounts::update(transaction, &account, now)
}

fn change_address(
    transaction: &Transaction<'_>,
    settings: &Settings,
    was: Account,
    address: String,
    now: Timestamp,
) -> Result<()> {
    if !was.is_active() {
        return Err(Error::Expired(Noun::OneTimeToken));
    }
    let mut account = was.clone();
    if account.username.contains('@') {
        account.username.clone_from(&address);
    }
    account.email = Some(address);
    account.email_verified = true;
    accounts::update(transaction, &account, now).map_err(|error| match error {
        // Somebody else took the address meanwhile: the letter is worth nothing now.
        Error::Taken(_) => Error::Expired(Noun::OneTimeToken),
        other => other,
    })?;
    // What was mailed to the old address must not work for the new one.
    letters::end_tokens(transaction, account.id, None)?;
    tell_address_changed(transaction, settings, &was, &account, now)
}

/// Tells the old address, so that its owner learns of it, and the new one.
pub(super) fn tell_address_changed(
    transaction: &Transaction<'_>,
    settings: &Settings,
    was: &Account,
    account: &Account,
    now: Timestamp,
) -> Result<()> {
    if was.email == account.email {
        return Ok(());
    }
    let address = |account: &Account| account.email.clone().unwrap_or_default();
    for told in [was, account] {
        let details = vec![("old_email", address(was)), ("new_email", address(account))];
        letters::tell(transaction, settings, (Purpose::AddressChanged, details), told, now)?;
    }
    Ok(())
}

// Deeds

impl Core {
    /// Follows the link of a letter: verifies an address, activates a pending account, or puts a
    /// changed address in force. Does not sign in.
    ///
    /// The link shows whose the address is, and not who made the account: somebody else may have
    /// registered the address, and would come in by their own password ever after. Whoever gives
    /// the account's password as well shows that they made it.
    ///
    /// # Errors
    /// [`Error::Expired`] for a token that is not right or no longer so, [`Error::Invalid`] for a
    /// wrong password, which leaves the token good; [`Error::Throttled`], [`Error::Busy`].
    pub async fn email_verify(
        &self,
        token: &Secret,
        password: Option<Secret>,
        origin: &Origin,
    ) -> Result<()> {
        if let Some(password) = password {
            self.must_have_made(token, password, origin).await?;
        }
        let (token, origin, settings) = (token.clone(), origin.clone(), self.settings.clone());
        self.deed(Stale::OfWhom(|id| Some(*id)), move |transaction, now| {
            let used = letters::consume_token(transaction, &PROOFS, token.reveal(), now)?;
            let account = accounts::must_exist(transaction, used.account)?;
            let event = Event::from_origin(EventKind::EmailVerified, &origin, now);
            let event = event.by(account.id);
            if used.purpose == Purpose::ChangeEmail {
                change_address(transaction, &settings, account, used.address, now)?;
            } else {
                confirm_address(transaction, account, &used.address, now)?;
            }
            event.append(transaction)?;
            Ok(used.account)
        })
        .await?;
        Ok(())
    }

    async fn must_have_made(&self, token: &Secret, given: Secret, origin: &Origin) -> Result<()> {
        let (token, now) = (token.clone(), self.clock.now());
        let account = self
            .db
            .read(move |connection| {
                let id = letters::token_lives(connection, &PROOFS, token.reveal(), now)?;
                accounts::must_exist(connection, id)
            })
            .await?;
        let event = Event::from_origin(EventKind::LoginFailure, origin, now).of(account.id);
        let event = event.about("wrong password at a letter's link");
        if self.matches(origin, given, account.password_hash, event).await? {
            Ok(())
        } else {
            Err(Error::Invalid(Field::Password, Reason::Wrong))
        }
    }
}
