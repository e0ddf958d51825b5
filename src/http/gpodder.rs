//! Gpodder: podcast clients sign in and keep their devices in step (seed 004).

mod account;
mod ask;
mod auth;
mod error;

use poem_openapi::Tags;

pub use ask::{caller, challenge, farewell};
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
}

/// All operations of gpodder.
pub type Apis = (auth::AuthApi, account::AccountApi);

pub fn apis(core: &Core) -> Apis {
    (auth::AuthApi { core: core.clone() }, account::AccountApi { core: core.clone() })
}
