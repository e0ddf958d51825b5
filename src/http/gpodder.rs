//! Gpodder: podcast clients sign in and keep their devices in step (seed 004).

mod account;
mod ask;
mod auth;
mod body;
mod devices;
mod episodes;
mod error;
mod lists;
mod paths;
mod sso;
mod stream;
mod subscriptions;
mod updates;
mod upgrades;

use poem_openapi::Tags;

pub use ask::{caller, challenge};
pub use error::speak;

use crate::domain::Core;

/// The dialect's name in sessions and events.
pub const DIALECT: &str = "gpodder";

/// How the operations are grouped in the document.
#[derive(Tags)]
enum Tag {
    /// Coming in and going out.
    Auth,
    /// One's own account.
    Account,
    /// What one listens on, and which of it is kept alike.
    Devices,
    /// Which podcasts are followed.
    Subscriptions,
    /// What happened to episodes.
    Episodes,
}

/// All operations of gpodder.
pub type Apis = (auth::AuthApi, account::AccountApi, sso::SsoApi, Sync);

/// Those that keep devices in step.
type Sync = (
    devices::DevicesApi,
    lists::ListsApi,
    subscriptions::SubscriptionsApi,
    episodes::EpisodesApi,
    updates::UpdatesApi,
    upgrades::UpgradesApi,
);

pub fn apis(core: &Core) -> Apis {
    let sync = (
        devices::DevicesApi { core: core.clone() },
        lists::ListsApi { core: core.clone() },
        subscriptions::SubscriptionsApi { core: core.clone() },
        episodes::EpisodesApi { core: core.clone() },
        updates::UpdatesApi { core: core.clone() },
        upgrades::UpgradesApi { core: core.clone() },
    );
    let sso = sso::SsoApi { core: core.clone() };
    (auth::AuthApi { core: core.clone() }, account::AccountApi { core: core.clone() }, sso, sync)
}
