//! Sign-up: accounts by e-mail, one token of half an hour (seed 003). Its sign-in is the shared
//! `POST /auth/login`.

mod ask;
mod dashboard;
mod error;
mod google;

use poem_openapi::Tags;

pub use error::speak;

use crate::domain::Core;

/// The dialect's name in sessions and events.
pub const DIALECT: &str = "signup";

/// How the operations are grouped in the document.
#[derive(Tags)]
enum Tag {
    /// Coming in.
    Auth,
    /// What one has here.
    Dashboard,
}

/// All operations of sign-up but the shared sign-in.
pub type Apis = (dashboard::SignupApi, google::GoogleApi);

pub fn apis(core: &Core) -> Apis {
    (dashboard::SignupApi { core: core.clone() }, google::GoogleApi { core: core.clone() })
}
