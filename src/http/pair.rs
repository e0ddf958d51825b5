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

/// All operations of pair.
pub type Apis = health::HealthApi;

pub fn apis(core: &Core) -> Apis {
    health::HealthApi { core: core.clone() }
}
