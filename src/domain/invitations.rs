//! Invitations: links that let somebody in, in every registration mode, with or without a mail
//! server.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{
    Core, Timestamp,
    accounts::{self, Account, AccountId, Email},
    caller::Caller,
    error::{Error, Field, Noun, Reason, Result},
    events::{Event, EventKind},
    known::Stale,
    letters::{self, Letter, Purpose},
    page::{Page, PageOf},
    permissions::{self, DEFAULT_ROLE, INVITATIONS_READ, INVITATIONS_WRITE, Permissions},
    secret::{Secret, TokenDigest, random_uuid},
    sessions,
};

const DEFAULT_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
const MAX_LIFE: Duration = Duration::from_secs(366 * 24 * 3600);
const MAX_USES: u32 = 1000;

/// An invitation as somebody wants it to be.
#[derive(Clone, Debug, Default)]
pub struct InvitationDraft {
    /// Only somebody with this address may use it.
    pub email: Option<String>,
    pub role: Option<String>,
    /// Seven days from now, if not said; a year at the most.
    pub expires_at: Option<Timestamp>,
    /// Once, if not said; 1,000 times at the most.
    pub uses: Option<u32>,
}

/// Where an invitation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationState {
    Open,
    UsedUp,
    Expired,
    Withdrawn,
}

impl InvitationState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::UsedUp => "used_up",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// An invitation; its link is shown once, when it is made.
#[derive(Clone, Debug)]
pub struct Invitation {
    pub id: String,
    pub email: Option<String>,
    pub role: String,
    pub uses: u32,
    pub uses_left: u32,
    pub created_by: Option<AccountId>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    withdrawn_at: Option<Timestamp>,
}

impl Invitation {
    pub fn state(&self, now: Timestamp) -> InvitationState {
        if self.withdrawn_at.is_some() {
            InvitationState::Withdrawn
        } else if self.uses_left == 0 {
            InvitationState::UsedUp
        } else if self.expires_at <= now {
            InvitationState::Expired
        } else {
            InvitationState::Open
        }
    }
}

/// What an accepted invitation gives.
pub(super) struct Invited {
    pub role: String,
    pub for_this_address: bool,
}

// Rows

const COLUMNS: &str =
    "id, email, role, uses, uses_left, created_by, created_at, expires_at, withdrawn_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Invitation> {
    Ok(Invitation {
        id: row.get(0)?,
        email: row.get(1)?,
        role: row.get(2)?,
        uses: row.get(3)?,
        uses_left: row.get(4)?,
        created_by: row.get(5)?,
        created_at: row.get(6)?,
        expires_at: row.get(7)?,
        withdrawn_at: row.get(8)?,
    })
}

fn row_by_id(connection: &Connection, id: &str) -> Result<Invitation> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM invitations WHERE id = ?1"))?
        .query_row([id], from_row)
        .optional()?
        .ok_or(Error::NotFound(Noun::Invitation))
}

/// What an invitation gives to whoever holds its link.
pub(super) fn rights_of(
    connection: &Connection,
    id: &str,
) -> rusqlite::Result<Option<Permissions>> {
    let role: Option<String> = connection
        .prepare_cached("SELECT role FROM invitations WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    role.map(|role| permissions::of_role(connection, &role)).transpose()
}

fn insert(
    transaction: &Transaction<'_>,
    invitation: &Invitation,
    digest: TokenDigest,
) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO invitations (id, token_digest, email, role, uses, uses_left, created_by,
                 created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            invitation.id,
            digest,
            invitation.email,
            invitation.role,
            invitation.uses,
            invitation.created_by,
            invitation.created_at,
            invitation.expires_at
        ])?;
    Ok(())
}

/// An invitation that could be accepted now.
pub(super) fn open_by_digest(
    connection: &Connection,
    digest: TokenDigest,
    now: Timestamp,
) -> Result<Option<Invitation>> {
    let found = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM invitations WHERE token_digest = ?1"))?
        .query_row([digest], from_row)
        .optional()?
        .filter(|invitation| invitation.state(now) == InvitationState::Open);
    let Some(invitation) = found else { return Ok(None) };
    match maker_still_may(connection, &invitation) {
        Ok(()) => Ok(Some(invitation)),
        Err(Error::Expired(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Asked before anything costly.
pub(super) fn must_be_open(
    connection: &Connection,
    digest: TokenDigest,
    now: Timestamp,
) -> Result<()> {
    let open: bool = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM invitations WHERE token_digest = ?1 AND uses_left > 0
                            AND withdrawn_at IS NULL AND expires_at > ?2
                            AND (created_by IS NULL OR EXISTS (
                                SELECT 1 FROM accounts a
                                WHERE a.id = created_by AND a.status = 'active')))",
        )?
        .query_row(params![digest, now], |row| row.get(0))?;
    if open { Ok(()) } else { Err(Error::Expired(Noun::Invitation)) }
}

/// Uses an invitation once. One conditional UPDATE: the last use is one person's.
///
/// # Errors
/// [`Error::Expired`] when it is not there, used up, withdrawn or too old, [`Error::Invalid`]
/// when it was made for another address.
pub(super) fn accept(
    transaction: &Transaction<'_>,
    digest: TokenDigest,
    email: Option<&str>,
    now: Timestamp,
) -> Result<Invited> {
    let row = transaction
        .prepare_cached(
            "UPDATE invitations SET uses_left = uses_left - 1
             WHERE token_digest = ?1 AND uses_left > 0 AND withdrawn_at IS NULL AND expires_at > ?2
             RETURNING id",
        )?
        .query_row(params![digest, now], |row| row.get::<_, String>(0))
        .optional()?;
    let invitation = row_by_id(transaction, &row.ok_or(Error::Expired(Noun::Invitation))?)?;
    maker_still_may(transaction, &invitation)?;
    if invitation.uses_left == 0 {
        letters::end_invitation(transaction, &invitation.id)?;
    }
    let role = invitation.role;
    match invitation.email {
        Some(wanted) if Some(wanted.as_str()) != email => {
            const RULE: &str = "is not the address that this invitation is for";
            Err(Error::Invalid(Field::Email, Reason::Form(RULE)))
        }
        wanted => Ok(Invited { role, for_this_address: wanted.is_some() }),
    }
}

/// An invitation is worth what its maker may grant now: somebody who was demoted, disabled or
/// deleted lets nobody in any more, themself least.
fn maker_still_may(connection: &Connection, invitation: &Invitation) -> Result<()> {
    let Some(maker) = invitation.created_by else { return Ok(()) };
    let maker = accounts::row_by_id(connection, maker)?.filter(Account::is_active);
    let grants = permissions::of_role(connection, &invitation.role)?;
    match maker {
        Some(maker) if maker.permissions.covers(&grants) => Ok(()),
        _ => Err(Error::Expired(Noun::Invitation)),
    }
}

/// Forgets invitations long past their time; how many.
pub(super) fn sweep(transaction: &Transaction<'_>, before: Timestamp) -> rusqlite::Result<usize> {
    transaction.prepare_cached("DELETE FROM invitations WHERE expires_at <= ?1")?.execute([before])
}

fn letter(caller: &Caller, invitation: &Invitation, recipient: String, token: Secret) -> Letter {
    // Made by the command line, it comes from the house.
    let by = caller.account().map_or_else(|_| String::new(), |maker| maker.display_name.clone());
    Letter {
        purpose: Purpose::Invitation,
        recipient,
        account: None,
        invitation: Some(invitation.id.clone()),
        client: caller.origin().address_text(),
        token: Some(token),
        details: vec![("by", by)],
        expires_at: invitation.expires_at,
    }
}

// Deeds

impl Core {
    /// Makes an invitation to a role that the caller covers; the link is given here and never
    /// again. With an address, a letter goes there too, if letters can go out.
    pub async fn invitation_create(
        &self,
        caller: &Caller,
        draft: InvitationDraft,
    ) -> Result<(Invitation, String)> {
        caller.must(INVITATIONS_WRITE)?;
        let now = self.clock.now();
        let email = draft.email.as_deref().map(Email::parse).transpose()?;
        let expires_at = draft.expires_at.unwrap_or_else(|| now.plus(DEFAULT_LIFE));
        if expires_at <= now || expires_at > now.plus(MAX_LIFE) {
            const RULE: &str = "must be in the future, within a year";
            return Err(Error::Invalid(Field::ExpiresAt, Reason::Form(RULE)));
        }
        let uses = draft.uses.unwrap_or(1);
        if !(1..=MAX_USES).contains(&uses) {
            return Err(Error::Invalid(Field::Uses, Reason::Form("must be 1 to 1000")));
        }
        let token = Secret::new(random_uuid().to_string());
        let link = letters::link(&self.settings, Purpose::Invitation, &token);
        let invitation = Invitation {
            id: random_uuid().to_string(),
            email: email.as_ref().map(|email| email.as_str().to_owned()),
            role: draft.role.unwrap_or_else(|| DEFAULT_ROLE.to_owned()),
            uses,
            uses_left: uses,
            created_by: caller.account_id(),
            created_at: now,
            expires_at,
            withdrawn_at: None,
        };
        let (asking, settings) = (caller.clone(), self.settings.clone());
        let invitation = self
            .deed(Stale::Nobodys, move |transaction, now| {
                sessions::must_live(transaction, &asking, now)?;
                permissions::grantable(transaction, &asking, &invitation.role)?;
                insert(transaction, &invitation, TokenDigest::of(token.reveal()))?;
                if let (Some(recipient), true) = (&invitation.email, settings.link_base.is_some()) {
                    let letter = letter(&asking, &invitation, recipient.clone(), token);
                    letters::send(transaction, &settings, letter, now)?;
                }
                let event = Event::new(EventKind::InvitationCreated, &asking, now);
                event.about(&invitation.role).append(transaction)?;
                Ok(invitation)
            })
            .await?;
        Ok((invitation, link))
    }

    /// Newest first.
    pub async fn invitations_list(
        &self,
        caller: &Caller,
        page: Page,
    ) -> Result<PageOf<Invitation>> {
        caller.must(INVITATIONS_READ)?;
        self.db
            .read(move |connection| {
                let total = connection
                    .prepare_cached("SELECT count(*) FROM invitations")?
                    .query_row([], |row| row.get(0))?;
                let rows = connection
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS} FROM invitations
                         ORDER BY created_at DESC, id LIMIT ?1 OFFSET ?2"
                    ))?
                    .query_map([page.limit(), page.offset()], from_row)?
                    .collect::<rusqlite::Result<_>>()?;
                Ok(PageOf::new(rows, total))
            })
            .await
    }

    pub async fn invitation_get(&self, caller: &Caller, id: String) -> Result<Invitation> {
        caller.must(INVITATIONS_READ)?;
        self.db.read(move |connection| row_by_id(connection, &id)).await
    }

    /// Ends an invitation; those who came in by it stay.
    pub async fn invitation_withdraw(&self, caller: &Caller, id: String) -> Result<()> {
        caller.must(INVITATIONS_WRITE)?;
        let asking = caller.clone();
        self.deed(Stale::Nobodys, move |transaction, now| {
            sessions::must_live(transaction, &asking, now)?;
            let invitation = row_by_id(transaction, &id)?;
            let role = permissions::of_role(transaction, &invitation.role)?;
            asking.must_cover(&role)?;
            transaction
                .prepare_cached(
                    "UPDATE invitations SET withdrawn_at = coalesce(withdrawn_at, ?2) WHERE id = ?1",
                )?
                .execute(params![id, now])?;
            letters::end_invitation(transaction, &id)?;
            let event = Event::new(EventKind::InvitationWithdrawn, &asking, now);
            event.about(&invitation.role).append(transaction)
        })
        .await
    }

    /// The present moment by the house's clock: what states are told by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
