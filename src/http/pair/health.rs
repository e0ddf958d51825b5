//! Whether the server works.

use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};

use super::{Tag, error::Problem};
use crate::domain::{Core, updates::Advisory};

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
    /// Whether there is a newer version; only with `updates.feed_url`, as what follows.
    #[oai(skip_serializing_if_is_none)]
    update_available: Option<bool>,
    /// Where the newest version is told of, once the feed has been read.
    #[oai(skip_serializing_if_is_none)]
    update_url: Option<String>,
    /// What is known to be wrong with this version.
    #[oai(skip_serializing_if_is_none)]
    advisories: Option<Vec<AdvisoryShape>>,
}

/// A known fault of this version.
#[derive(Object)]
struct AdvisoryShape {
    id: String,
    severity: String,
    url: String,
}

impl From<Advisory> for AdvisoryShape {
    fn from(advisory: Advisory) -> Self {
        Self { id: advisory.id, severity: advisory.severity, url: advisory.url }
    }
}

impl Health {
    fn of(core: &Core) -> Self {
        let news = core.news();
        Self {
            status: "healthy".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime: "rust".to_owned(),
            timestamp: core.now().text(),
            update_available: news.as_ref().map(|news| news.update_available),
            update_url: news.as_ref().and_then(|news| news.update_url.clone()),
            advisories: news
                .map(|news| news.advisories.into_iter().map(AdvisoryShape::from).collect()),
        }
    }
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
        Ok(()) => HealthAnswer::Healthy(Json(Health::of(core))),
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
