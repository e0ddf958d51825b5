//! API keys.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    types::MaybeUndefined,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Tag,
    ask::{Moment, Signed, Strict},
    error::NativeError,
    shapes::{Created, Done, Paged, change},
};
use crate::domain::{
    Core,
    api_keys::{self, ApiKeyChange, ApiKeyDraft},
    page::Page,
};

pub struct KeysApi {
    pub core: Core,
}

/// A key; the key itself is shown when it is made and never again.
#[derive(Object)]
struct ApiKey {
    id: Uuid,
    name: String,
    /// Its first characters, to tell it from others.
    key_prefix: String,
    /// Its own permissions, or `null` for all of its owner's; never more than the owner's now.
    #[oai(nullable)]
    permissions: Option<Vec<String>>,
    #[oai(nullable)]
    expires_at: Option<Moment>,
    #[oai(nullable)]
    last_used_at: Option<Moment>,
    created_at: Moment,
}

/// A new key, shown this once.
#[derive(Object)]
struct NewApiKey {
    id: Uuid,
    name: String,
    key_prefix: String,
    #[oai(nullable)]
    permissions: Option<Vec<String>>,
    #[oai(nullable)]
    expires_at: Option<Moment>,
    #[oai(nullable)]
    last_used_at: Option<Moment>,
    created_at: Moment,
    /// Send it as `Authorization: Bearer …` or `X-API-Key: …`.
    key: String,
}

/// A key to make.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRequest {
    /// Up to 128 characters.
    name: String,
    /// Permissions that you have; left out: all of yours, as they are at each use.
    #[serde(default)]
    permissions: Option<Vec<String>>,
    /// Left out: it does not expire.
    #[serde(default)]
    expires_at: Option<Moment>,
}

/// A change to a key; `null` takes a limit away.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyChange {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    permissions: MaybeUndefined<Vec<String>>,
    #[serde(default)]
    expires_at: MaybeUndefined<Moment>,
}

fn shape(key: api_keys::ApiKey) -> ApiKey {
    ApiKey {
        id: key.id.parse().unwrap_or_default(),
        name: key.name,
        key_prefix: key.key_prefix,
        permissions: key.permissions.map(|permissions| permissions.names()),
        expires_at: key.expires_at.map(Moment),
        last_used_at: key.last_used_at.map(Moment),
        created_at: Moment(key.created_at),
    }
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::ApiKeys")]
impl KeysApi {
    /// List API keys
    ///
    /// One's own, newest first; somebody else's with `api-keys-read`.
    #[oai(path = "/api-keys", method = "get", operation_id = "api_keys_list")]
    async fn list(
        &self,
        caller: Signed,
        /// Whose keys; needs `api-keys-read`.
        user: Query<Option<Uuid>>,
        /// From 1.
        page: Query<Option<u32>>,
        /// 1 to 200.
        page_size: Query<Option<u32>>,
    ) -> Result<Paged<ApiKey>, NativeError> {
        let page = Page::new(page.0, page_size.0)?;
        let found = self.core.api_keys_list(&caller.0, user.0.map(Into::into), page).await?;
        let path = match user.0 {
            Some(user) => format!("/api/v1/api-keys?user={user}"),
            None => "/api/v1/api-keys".to_owned(),
        };
        Ok(Paged::of(&path, page, found, shape))
    }

    /// Make an API key
    ///
    /// The answer holds the key itself; nobody can show it again. An API key cannot make others.
    #[oai(path = "/api-keys", method = "post", operation_id = "api_key_create")]
    async fn create(
        &self,
        caller: Signed,
        /// For whom; needs `api-keys-write`. A key for somebody else has no more than its owner has now.
        user: Query<Option<Uuid>>,
        body: Strict<KeyRequest>,
    ) -> Result<Created<NewApiKey>, NativeError> {
        let draft = ApiKeyDraft {
            name: body.0.name,
            permissions: body.0.permissions,
            expires_at: body.0.expires_at.map(|moment| moment.0),
        };
        let owner = user.0.map(Into::into);
        let (key, plain) = self.core.api_key_create(&caller.0, owner, draft).await?;
        let ApiKey { id, name, key_prefix, permissions, expires_at, last_used_at, created_at } =
            shape(key);
        let key = plain.reveal().to_owned();
        Ok(Created::Created(Json(NewApiKey {
            id,
            name,
            key_prefix,
            permissions,
            expires_at,
            last_used_at,
            created_at,
            key,
        })))
    }

    /// Show an API key
    ///
    /// Never the key itself. 404 for the keys of others, unless one may `api-keys-read`.
    #[oai(path = "/api-keys/:id", method = "get", operation_id = "api_key_get")]
    async fn get(&self, caller: Signed, id: Path<Uuid>) -> Result<Json<ApiKey>, NativeError> {
        Ok(Json(shape(self.core.api_key_get(&caller.0, id.0.to_string()).await?)))
    }

    /// Change an API key
    ///
    /// Its name, its permissions, its end; what is left out stays. 403 granting what one lacks, 404 for
    /// the keys of others, unless one may `api-keys-write`.
    #[oai(path = "/api-keys/:id", method = "patch", operation_id = "api_key_update")]
    async fn update(
        &self,
        caller: Signed,
        id: Path<Uuid>,
        body: Strict<KeyChange>,
    ) -> Result<Json<ApiKey>, NativeError> {
        let wanted = ApiKeyChange {
            name: body.0.name,
            permissions: change(body.0.permissions),
            expires_at: change(body.0.expires_at).map(|end| end.map(|moment| moment.0)),
        };
        let key = self.core.api_key_update(&caller.0, id.0.to_string(), wanted).await?;
        Ok(Json(shape(key)))
    }

    /// Revoke an API key
    ///
    /// It ends at the next request, for good.
    #[oai(path = "/api-keys/:id", method = "delete", operation_id = "api_key_revoke")]
    async fn revoke(&self, caller: Signed, id: Path<Uuid>) -> Result<Done, NativeError> {
        self.core.api_key_revoke(&caller.0, id.0.to_string()).await?;
        Ok(Done::Done)
    }
}
