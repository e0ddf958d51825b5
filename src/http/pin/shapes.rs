//! The JSON of pin, in the words of its clients.

use poem_openapi::Object;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::{
    accounts::Account,
    permissions::{ADMIN, description, permission_id, role_id},
};

/// Somebody.
#[derive(Clone, Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub user_id: Uuid,
    pub name: String,
    #[oai(nullable)]
    pub email: Option<String>,
    /// Always `null`: no telephone numbers are kept here.
    #[oai(nullable)]
    pub phone: Option<String>,
    pub role: String,
    /// Stable for a role.
    pub role_id: Uuid,
    pub is_admin: bool,
}

impl From<&Account> for User {
    fn from(account: &Account) -> Self {
        Self {
            user_id: account.id.uuid(),
            name: account.username.clone(),
            email: account.email.clone(),
            phone: None,
            role: account.role.clone(),
            role_id: role_id(&account.role),
            is_admin: account.role == ADMIN,
        }
    }
}

/// Something that somebody may do.
#[derive(Clone, Debug, Object, Serialize)]
pub struct Permission {
    /// Stable for a permission.
    pub id: Uuid,
    pub name: String,
    pub description: String,
    pub enabled: bool,
}

/// All that somebody may do.
pub fn permissions(account: &Account) -> Vec<Permission> {
    let names = account.permissions.names().into_iter();
    names
        .map(|name| Permission {
            id: permission_id(&name),
            description: description(&name).to_owned(),
            name,
            enabled: true,
        })
        .collect()
}
