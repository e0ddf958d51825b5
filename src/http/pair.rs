//! Pair: token pairs, revocation and the log stream (seed 002).

mod ask;
mod auth;
mod error;
mod health;
mod logs;
mod seats;
mod stream;

use poem_openapi::Tags;
use tokio::sync::watch;

pub use ask::{caller, challenge};
pub use error::speak;
pub use seats::SEATS;

use crate::domain::Core;

/// The dialect's name in sessions and events.
pub const DIALECT: &str = "pair";

/// How the operations are grouped in the document.
#[derive(Tags)]
enum Tag {
    /// Coming in and going out.
    Auth,
    /// The live log.
    Logs,
    /// Who has to wait.
    Security,
    /// Whether the server works.
    Health,
}

/// All operations of pair below its prefix.
pub type Apis = (auth::AuthApi, logs::LogsApi, stream::StreamApi, health::ApiHealthApi);

/// `stop` turns true when the server was told to stop: streams end then.
pub fn apis(core: &Core, stop: watch::Receiver<bool>) -> Apis {
    (
        auth::AuthApi { core: core.clone() },
        logs::LogsApi { core: core.clone() },
        stream::StreamApi { core: core.clone(), stop, seats: seats::Seats::default() },
        health::ApiHealthApi { core: core.clone() },
    )
}

/// What is served whichever dialects are: the health check.
pub type Health = health::HealthApi;

pub fn health(core: &Core) -> Health {
    health::HealthApi { core: core.clone() }
}
