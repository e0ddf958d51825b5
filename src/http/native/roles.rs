//! Named sets of permissions.

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use serde::Deserialize;

use super::{
    Tag,
    ask::{Moment, Signed, Strict},
    error::NativeError,
    shapes::{Created, Done},
};
use crate::domain::{
    Core,
    permissions::{self, RoleDraft},
};

pub struct RolesApi {
    pub core: Core,
}

/// A named set of permissions.
#[derive(Object)]
struct Role {
    name: String,
    description: String,
    /// Kebab-case names, sorted.
    permissions: Vec<String>,
    /// Cannot be changed or deleted.
    built_in: bool,
    created_at: Moment,
    updated_at: Moment,
}

impl From<permissions::Role> for Role {
    fn from(role: permissions::Role) -> Self {
        Self {
            permissions: role.permissions.names(),
            name: role.name,
            description: role.description,
            built_in: role.built_in,
            created_at: Moment(role.created_at),
            updated_at: Moment(role.updated_at),
        }
    }
}

/// All roles.
#[derive(Object)]
struct Roles {
    data: Vec<Role>,
}

/// A role to make.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleRequest {
    /// 1 to 64 small letters, digits, `-` or `_`.
    name: String,
    #[serde(default)]
    #[oai(default)]
    description: String,
    /// Permissions that you have; names of your own for the apps behind the gate.
    permissions: Vec<String>,
}

/// What a role is from now on.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleEdit {
    #[serde(default)]
    #[oai(default)]
    description: String,
    permissions: Vec<String>,
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Roles")]
impl RolesApi {
    /// List roles
    ///
    /// Needs `roles-read`.
    #[oai(path = "/roles", method = "get", operation_id = "roles_list")]
    async fn list(&self, caller: Signed) -> Result<Json<Roles>, NativeError> {
        let roles = self.core.roles_list(&caller.0).await?;
        Ok(Json(Roles { data: roles.into_iter().map(Role::from).collect() }))
    }

    /// Make a role
    ///
    /// Of permissions that you have yourself. Needs `roles-write`.
    #[oai(path = "/roles", method = "post", operation_id = "role_create")]
    async fn create(
        &self,
        caller: Signed,
        body: Strict<RoleRequest>,
    ) -> Result<Created<Role>, NativeError> {
        let RoleRequest { name, description, permissions } = body.0;
        let draft = RoleDraft { name, description, permissions };
        Ok(Created::Created(Json(self.core.role_create(&caller.0, draft).await?.into())))
    }

    /// Show a role
    ///
    /// Needs `roles-read`.
    #[oai(path = "/roles/:name", method = "get", operation_id = "role_get")]
    async fn get(&self, caller: Signed, name: Path<String>) -> Result<Json<Role>, NativeError> {
        Ok(Json(self.core.role_get(&caller.0, name.0).await?.into()))
    }

    /// Change a role
    ///
    /// What it grants counts at the next request of everybody who has it. Needs `roles-write`.
    #[oai(path = "/roles/:name", method = "put", operation_id = "role_update")]
    async fn update(
        &self,
        caller: Signed,
        name: Path<String>,
        body: Strict<RoleEdit>,
    ) -> Result<Json<Role>, NativeError> {
        let RoleEdit { description, permissions } = body.0;
        let draft = RoleDraft { name: name.0, description, permissions };
        Ok(Json(self.core.role_update(&caller.0, draft).await?.into()))
    }

    /// Delete a role
    ///
    /// One that nobody has. Needs `roles-write`.
    #[oai(path = "/roles/:name", method = "delete", operation_id = "role_delete")]
    async fn delete(&self, caller: Signed, name: Path<String>) -> Result<Done, NativeError> {
        self.core.role_delete(&caller.0, name.0).await?;
        Ok(Done::Done)
    }
}
