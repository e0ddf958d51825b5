//! Subscriptions that could be had over https.

use poem_openapi::{Object, OpenApi, payload::Json};

use super::{Tag, ask::Signed, error::GpodderError};
use crate::domain::{Core, podcasts::upgrades};

pub struct UpgradesApi {
    pub core: Core,
}

/// A subscription and the same address over https.
#[derive(Object)]
struct Upgrade {
    http_url: String,
    https_url: String,
    /// The podcast's title, or its address where none is known.
    title: String,
}

impl From<upgrades::Upgrade> for Upgrade {
    fn from(found: upgrades::Upgrade) -> Self {
        let upgrades::Upgrade { http_url, https_url, title } = found;
        Self { http_url, https_url, title }
    }
}

#[OpenApi(prefix_path = "/api/2", tag = "Tag::Subscriptions")]
impl UpgradesApi {
    /// Which of my subscriptions have an https address
    ///
    /// Those over http whose address is known to work over https: somebody here subscribes to it,
    /// or the server found a feed there within the week.
    #[oai(path = "/me/upgrades", method = "get", operation_id = "me_upgrades")]
    async fn upgrades(&self, caller: Signed) -> Result<Json<Vec<Upgrade>>, GpodderError> {
        let found = self.core.upgrades(&caller.0).await?;
        Ok(Json(found.into_iter().map(Upgrade::from).collect()))
    }
}
