//! Pair: token pairs and the log stream (seed 002). So far its health check only.

mod error;
mod health;

use poem_openapi::Tags;

pub use error::speak;

use crate::domain::Core;

/// How the operations are grouped in the document.
#[derive(Tags)]
enum Tag {
    /// Whether the server works.
    Health,
}

/// What is served whichever dialects are: the health check.
pub fn health(core: &Core) -> health::HealthApi {
    health::HealthApi { core: core.clone() }
}

/// All operations of pair below its prefix.
pub type Apis = health::ApiHealthApi;

pub fn apis(core: &Core) -> Apis {
    health::ApiHealthApi { core: core.clone() }
}
