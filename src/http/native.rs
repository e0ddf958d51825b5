//! Native: our own dialect, below `/api/v1` (seed 000 and what the pages need).

mod ask;
mod auth;
mod error;
mod events;
mod invitations;
mod keys;
mod links;
mod options;
mod people;
mod profile;
mod reason;
mod roles;
mod setup;
mod shapes;
mod system;

use poem_openapi::Tags;
use tokio::sync::watch;

pub use ask::{DIALECT, caller, challenge};
pub use error::{NativeError, speak};

use super::Dialects;
use crate::domain::Core;

/// How the operations are grouped in the document.
#[derive(Tags)]
enum Tag {
    /// Coming in and going out.
    Auth,
    /// The first account.
    Setup,
    /// One's own account.
    Profile,
    /// Keys for scripts and service accounts.
    ApiKeys,
    /// Other people's accounts.
    Users,
    /// Named sets of permissions.
    Roles,
    /// Links that let somebody in.
    Invitations,
    /// What happened.
    Events,
    /// The house itself.
    System,
}

/// All operations of native.
pub type Apis = (
    auth::AuthApi,
    options::OptionsApi,
    links::LinksApi,
    setup::SetupApi,
    profile::ProfileApi,
    keys::KeysApi,
    people::UsersApi,
    roles::RolesApi,
    invitations::InvitationsApi,
    events::EventsApi,
    system::SystemApi,
);

/// `on` are the doors that are open, and `stop` turns true when the server was told to stop:
/// streams end then.
pub fn apis(core: &Core, on: Dialects, stop: watch::Receiver<bool>) -> Apis {
    (
        auth::AuthApi { core: core.clone() },
        options::OptionsApi { core: core.clone(), on },
        links::LinksApi { core: core.clone() },
        setup::SetupApi { core: core.clone() },
        profile::ProfileApi { core: core.clone() },
        keys::KeysApi { core: core.clone() },
        people::UsersApi { core: core.clone() },
        roles::RolesApi { core: core.clone() },
        invitations::InvitationsApi { core: core.clone() },
        events::EventsApi { core: core.clone(), stop },
        system::SystemApi { core: core.clone() },
    )
}
