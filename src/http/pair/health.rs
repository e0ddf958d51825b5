//! Whether the server works.

use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};

use super::{Tag, error::Problem};
use crate::domain::Core;

/// Served whether the dialect is on or off: supervisors ask here.
pub struct HealthApi {
    pub core: Core,
}

pub struct ApiHealthApi {
    pub core: Core,
}

/// The server works.
#[derive(Object)]
struct Health {
    /// Always `healthy`.
    status: String,
    version: String,
    /// Always `rust`.
    runtime: String,
    /// Now, RFC 3339, UTC.
    timestamp: String,
}

/// A health check.
#[derive(ApiResponse)]
enum HealthAnswer {
    /// The database answers.
    #[oai(status = 200)]
    Healthy(Json<Health>),
    /// The database does not answer.
    #[oai(status = 503)]
    Unhealthy(Json<Problem>),
}

async fn check(core: &Core) -> HealthAnswer {
    match core.health().await {
        Ok(()) => HealthAnswer::Healthy(Json(Health {
            status: "healthy".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime: "rust".to_owned(),
            timestamp: core.now().text(),
        })),
        Err(_) => HealthAnswer::Unhealthy(Problem::new("the database is not usable")),
    }
}

#[OpenApi(tag = "Tag::Health")]
impl HealthApi {
    /// Health
    ///
    /// Public, and outside the request bucket.
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(&self) -> HealthAnswer {
        check(&self.core).await
    }
}

#[OpenApi(tag = "Tag::Health")]
impl ApiHealthApi {
    /// Health, below /api
    ///
    /// The same.
    #[oai(path = "/api/health", method = "get", operation_id = "api_health")]
    async fn api_health(&self) -> HealthAnswer {
        check(&self.core).await
    }
}
