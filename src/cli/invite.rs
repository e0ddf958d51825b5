//! `gatelodge invite`: links that let somebody in, also while a server runs.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure, find, house, moment, say,
    words::{quoted, say_json},
};
use crate::{
    config::Config,
    domain::{
        Core, Timestamp,
        caller::Caller,
        error::{Error, Noun},
        invitations::{Invitation, InvitationDraft, InvitationState},
    },
};

#[derive(Subcommand)]
pub enum InviteCommand {
    /// Make a link by which somebody makes their own account; it works in every registration mode.
    Create(CreateInvite),
    /// List invitations, without their links.
    List(ListInvites),
    /// End an invitation; who came in by it stays.
    Revoke(RevokeInvite),
}

#[derive(Args)]
pub struct CreateInvite {
    /// Only for somebody with this address; a letter goes there, if letters can go out.
    #[arg(long)]
    email: Option<String>,
    /// The role they get: reader, if not said.
    #[arg(long)]
    role: Option<String>,
    /// When it ends: 30d, 12h or 4w from now, a day (UTC) or a moment; 7 days, if not said.
    #[arg(long, value_name = "END")]
    expires: Option<String>,
    /// How many people may use it, 1 to 1000: one, if not said.
    #[arg(long, value_name = "NUMBER")]
    uses: Option<u32>,
    /// Print a JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct ListInvites {
    /// Print a JSON array and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct RevokeInvite {
    /// Its id, as the list shows it.
    id: String,
}

pub async fn run(config: Config, command: InviteCommand) -> Result<(), Failure> {
    let core = house::open(&config).await?;
    match command {
        InviteCommand::Create(command) => create(&core, command).await,
        InviteCommand::List(command) => list(&core, &command).await,
        InviteCommand::Revoke(command) => revoke(&core, command.id).await,
    }
}

async fn create(core: &Core, command: CreateInvite) -> Result<(), Failure> {
    if let Some(role) = &command.role {
        find::role(core, role).await?;
    }
    let expires_at = command.expires.map(|text| moment::end(&text, core.now())).transpose()?;
    let draft = InvitationDraft {
        email: command.email,
        role: command.role,
        expires_at,
        uses: command.uses,
    };
    let (invitation, link) = core.invitation_create(&Caller::operator(), draft).await?;
    if command.json {
        let mut value = shown(&invitation, core.now());
        value["link"] = json!(link);
        return say_json(&value);
    }
    let letters = core.settings().mail.is_some() && core.settings().link_base.is_some();
    say(&made(&invitation, &link, letters))
}

/// The link stands alone on the first line, for scripts.
fn made(invitation: &Invitation, link: &str, letters: bool) -> String {
    let mut text = format!("{link}\n");
    if link.starts_with('/') {
        text += "Put the address of your server before it; server.public_url is not set.\n";
    }
    let (role, until) = (&invitation.role, invitation.expires_at.minute_text());
    let who = match invitation.uses {
        1 => "One person".to_owned(),
        many => format!("{many} people"),
    };
    text +=
        &format!("It is shown this once. {who} can use it until {until}, for the role {role}.\n");
    match &invitation.email {
        Some(email) if letters => text += &format!("A letter with it goes to {email}.\n"),
        Some(email) => text += &format!("Hand it over: only {email} can use it.\n"),
        None => text += "Hand it over: whoever has it can use it.\n",
    }
    text + &format!("To end it: gatelodge invite revoke {}\n", invitation.id)
}

async fn list(core: &Core, command: &ListInvites) -> Result<(), Failure> {
    let (caller, now) = (Caller::operator(), core.now());
    let all =
        find::all(async |page| core.invitations_list(&caller, page).await, usize::MAX).await?;
    if command.json {
        return say_json(&all.iter().map(|one| shown(one, now)).collect());
    }
    if all.is_empty() {
        return say("No invitations. Make one: gatelodge invite create\n");
    }
    say(&all.iter().map(|one| line(one, now)).collect::<String>())
}

fn line(one: &Invitation, now: Timestamp) -> String {
    let state = match one.state(now) {
        InvitationState::Open => "open",
        InvitationState::UsedUp => "used up",
        InvitationState::Expired => "expired",
        InvitationState::Withdrawn => "revoked",
    };
    let email = one.email.as_deref().unwrap_or("anybody");
    let (left, uses, until) = (one.uses_left, one.uses, one.expires_at.minute_text());
    let (id, role) = (&one.id, &one.role);
    format!("{id}  {state:<8} {role:<12} {left} of {uses} left, until {until}, for {email}\n")
}

fn shown(one: &Invitation, now: Timestamp) -> Value {
    json!({
        "id": one.id,
        "email": one.email,
        "role": one.role,
        "state": one.state(now).name(),
        "uses": one.uses,
        "uses_left": one.uses_left,
        "created_at": one.created_at.text(),
        "expires_at": one.expires_at.text(),
    })
}

async fn revoke(core: &Core, id: String) -> Result<(), Failure> {
    let shown = quoted(&id);
    match core.invitation_withdraw(&Caller::operator(), id).await {
        Ok(()) => say("The invitation is revoked: its link works no more. Who came in stays.\n"),
        Err(Error::NotFound(Noun::Invitation)) => {
            Err(Failure::No(format!("no invitation {shown}; see gatelodge invite list")))
        }
        Err(other) => Err(other.into()),
    }
}
