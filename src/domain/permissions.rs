//! What may be done, and which role may do it.

use std::{collections::BTreeSet, sync::LazyLock};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use uuid::Uuid;

use super::{
    Core, Timestamp, accounts,
    caller::Caller,
    error::{Clash, Error, Field, Noun, Reason, Result},
    events::{Event, EventKind},
    known::Stale,
    letters,
    secret::sha256,
    sessions,
};

pub const USERS_READ: &str = "users-read";
pub const USERS_WRITE: &str = "users-write";
pub const USERS_DELETE: &str = "users-delete";
pub const ROLES_READ: &str = "roles-read";
pub const ROLES_WRITE: &str = "roles-write";
pub const INVITATIONS_READ: &str = "invitations-read";
pub const INVITATIONS_WRITE: &str = "invitations-write";
pub const API_KEYS_READ: &str = "api-keys-read";
pub const API_KEYS_WRITE: &str = "api-keys-write";
pub const API_KEYS_DELETE: &str = "api-keys-delete";
pub const EVENTS_READ: &str = "events-read";
pub const SYSTEM_HEALTH: &str = "system-health";
pub const SYSTEM_ADMIN: &str = "system-admin";

/// The permissions that mean something to this server; roles may hold others, for the apps
/// behind the gate.
pub const BUILT_IN: [&str; 13] = [
    USERS_READ,
    USERS_WRITE,
    USERS_DELETE,
    ROLES_READ,
    ROLES_WRITE,
    INVITATIONS_READ,
    INVITATIONS_WRITE,
    API_KEYS_READ,
    API_KEYS_WRITE,
    API_KEYS_DELETE,
    EVENTS_READ,
    SYSTEM_HEALTH,
    SYSTEM_ADMIN,
];

/// The role that has every permission.
pub const ADMIN: &str = "admin";
/// The role of those for whom nobody chose one.
pub const DEFAULT_ROLE: &str = "reader";

const MAX_PERMISSIONS: usize = 200;
const MAX_NAME: usize = 64;
const MAX_DESCRIPTION: usize = 500;

/// A set of permissions; `all` also holds those that nobody has named yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    all: bool,
    named: BTreeSet<String>,
}

impl Permissions {
    /// Everything; `named` is what a list of it shows.
    pub fn all(named: BTreeSet<String>) -> Self {
        Self { all: true, named }
    }

    /// Just these, each kebab-case (`libraries-read`), 64 characters at most, 200 in all.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another form.
    pub fn parse(names: Vec<String>) -> Result<Self> {
        if names.len() > MAX_PERMISSIONS {
            return Err(Error::Invalid(
                Field::Permissions,
                Reason::TooLong { max: MAX_PERMISSIONS },
            ));
        }
        if !names.iter().all(|name| is_kebab(name)) {
            const RULE: &str =
                "must be names like libraries-read: small letters, digits and hyphens";
            return Err(Error::Invalid(Field::Permissions, Reason::Form(RULE)));
        }
        Ok(Self { all: false, named: names.into_iter().collect() })
    }

    pub fn contains(&self, name: &str) -> bool {
        self.all || self.named.contains(name)
    }

    /// Whether nobody with `other` could do what somebody with `self` cannot.
    pub fn covers(&self, other: &Self) -> bool {
        self.all || (!other.all && other.named.is_subset(&self.named))
    }

    /// What both have.
    pub fn intersect(&self, other: &Self) -> Self {
        match (self.all, other.all) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ => {
                Self { all: false, named: self.named.intersection(&other.named).cloned().collect() }
            }
        }
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.named.iter().cloned().collect()
    }

    /// The same where they lie.
    pub fn named(&self) -> &BTreeSet<String> {
        &self.named
    }

    fn from_json(text: &str) -> Self {
        Self { all: false, named: serde_json::from_str(text).unwrap_or_default() }
    }

    /// A JSON array, as columns hold it.
    pub fn to_json(&self) -> String {
        serde_json::json!(self.named).to_string()
    }

    /// From a column that holds a JSON array; what cannot be read grants nothing.
    pub fn from_column(text: Option<String>) -> Option<Self> {
        text.map(|text| Self::from_json(&text))
    }
}

fn is_kebab(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_role_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// A named set of permissions.
#[derive(Clone, Debug)]
pub struct Role {
    pub name: String,
    pub description: String,
    pub permissions: Permissions,
    pub built_in: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A role as somebody wants it to be.
#[derive(Clone, Debug)]
pub struct RoleDraft {
    pub name: String,
    pub description: String,
    pub permissions: Vec<String>,
}

impl RoleDraft {
    fn check(self) -> Result<(String, String, Permissions)> {
        if !is_role_name(&self.name) {
            const RULE: &str = "must be 1 to 64 small letters, digits, - or _";
            return Err(Error::Invalid(Field::Name, Reason::Form(RULE)));
        }
        if self.description.chars().count() > MAX_DESCRIPTION {
            return Err(Error::Invalid(
                Field::Description,
                Reason::TooLong { max: MAX_DESCRIPTION },
            ));
        }
        Ok((self.name, self.description, Permissions::parse(self.permissions)?))
    }
}

// Rows

const COLUMNS: &str = "name, description, permissions, built_in, created_at, updated_at";

fn from_row(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Role> {
    let name: String = row.get(0)?;
    let permissions = Permissions::from_json(&row.get::<_, String>(2)?);
    Ok(Role {
        permissions: if name == ADMIN { everything(connection)? } else { permissions },
        name,
        description: row.get(1)?,
        built_in: row.get(3)?,
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
    })
}

fn everything(connection: &Connection) -> rusqlite::Result<Permissions> {
    let mut named: BTreeSet<String> = BUILT_IN.iter().map(|name| (*name).to_owned()).collect();
    let mut statement = connection.prepare_cached("SELECT permissions FROM roles")?;
    for text in statement.query_map([], |row| row.get::<_, String>(0))? {
        named.extend(Permissions::from_json(&text?).named);
    }
    Ok(Permissions::all(named))
}

/// What `role` grants; a role that is not there grants nothing.
pub(super) fn of_role(connection: &Connection, role: &str) -> rusqlite::Result<Permissions> {
    Ok(row_by_name(connection, role)?.map(|role| role.permissions).unwrap_or_default())
}

pub(super) fn exists(connection: &Connection, role: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM roles WHERE name = ?1)")?
        .query_row([role], |row| row.get(0))
}

fn row_by_name(connection: &Connection, name: &str) -> rusqlite::Result<Option<Role>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM roles WHERE name = ?1"))?
        .query_row([name], |row| from_row(connection, row))
        .optional()
}

fn role_events(kind: EventKind, caller: &Caller, name: &str, now: Timestamp) -> Event {
    Event::new(kind, caller, now).about(name)
}

/// The role must exist, and the caller must have all that it grants (wire rule 6).
pub(super) fn grantable(connection: &Connection, caller: &Caller, role: &str) -> Result<()> {
    let role =
        row_by_name(connection, role)?.ok_or(Error::Invalid(Field::Role, Reason::Unknown))?;
    caller.must_cover(&role.permissions)
}

// Deeds

impl Core {
    /// Checks that the roles which the configuration names are there and fit strangers.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `signup.default_role`, `sso.default_role` and what providers map to.
    pub async fn check_roles(&self) -> Result<()> {
        const SIGNUP: &str = "of signup.default_role must exist and may not be admin";
        const SSO: &str = "of sso.default_role must exist and may not be admin";
        const MAPPED: &str = "of a provider's role_mapping must exist";
        let (signup, sso) = (self.settings.signup_role.clone(), self.settings.sso.clone());
        self.db
            .read(move |connection| {
                let wrong = |rule| Err(Error::Invalid(Field::Role, Reason::Form(rule)));
                for (role, rule) in [(&signup, SIGNUP), (&sso.default_role, SSO)] {
                    if role == ADMIN || !exists(connection, role)? {
                        return wrong(rule);
                    }
                }
                for (_, role) in sso.providers.iter().flat_map(|p| &p.role_mapping) {
                    if !exists(connection, role)? {
                        return wrong(MAPPED);
                    }
                }
                Ok(())
            })
            .await
    }

    /// The roles that the configuration names.
    fn configured_roles(&self) -> impl Iterator<Item = &str> {
        let sso = &self.settings.sso;
        let mapped = sso.providers.iter().flat_map(|provider| &provider.role_mapping);
        let defaults = [self.settings.signup_role.as_str(), sso.default_role.as_str()];
        defaults.into_iter().chain(mapped.map(|(_, role)| role.as_str()))
    }

    /// All roles, by name.
    pub async fn roles_list(&self, caller: &Caller) -> Result<Vec<Role>> {
        caller.must(ROLES_READ)?;
        self.db
            .read(|connection| {
                let mut statement = connection
                    .prepare_cached(&format!("SELECT {COLUMNS} FROM roles ORDER BY name"))?;
                let roles = statement.query_map([], |row| from_row(connection, row))?;
                Ok(roles.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    pub async fn role_get(&self, caller: &Caller, name: String) -> Result<Role> {
        caller.must(ROLES_READ)?;
        self.db
            .read(move |connection| {
                row_by_name(connection, &name)?.ok_or(Error::NotFound(Noun::Role))
            })
            .await
    }

    /// Makes a role of permissions that the caller has.
    pub async fn role_create(&self, caller: &Caller, draft: RoleDraft) -> Result<Role> {
        caller.must(ROLES_WRITE)?;
        let (name, description, permissions) = draft.check()?;
        caller.must_cover(&permissions)?;
        let asking = caller.clone();
        let event = role_events(EventKind::RoleCreated, caller, &name, self.clock.now());
        // A permission that is new is the admins' too.
        self.deed(Stale::Everybodys, move |transaction, now| {
            sessions::must_live(transaction, &asking, now)?;
            transaction
                .prepare_cached(
                    "INSERT INTO roles (name, description, permissions, built_in, created_at, updated_at)
                     VALUES (?1, ?2, ?3, 0, ?4, ?4)",
                )?
                .execute(params![name, description, permissions.to_json(), now])
                .map_err(|error| match Error::from(error) {
                    // WITHOUT ROWID tables report the primary key by its column as well.
                    Error::Internal(_) => Error::Taken(Field::Name),
                    other => other,
                })?;
            event.append(transaction)?;
            found(transaction, &name)
        })
        .await
    }

    /// Replaces what a role grants; a built-in role keeps its meaning. Where it grants more than
    /// before, links to reset the passwords of its members end.
    pub async fn role_update(&self, caller: &Caller, draft: RoleDraft) -> Result<Role> {
        caller.must(ROLES_WRITE)?;
        if !is_role_name(&draft.name) {
            return Err(Error::NotFound(Noun::Role));
        }
        let (name, description, permissions) = draft.check()?;
        caller.must_cover(&permissions)?;
        let asking = caller.clone();
        let event = role_events(EventKind::RoleUpdated, caller, &name, self.clock.now());
        self.deed(Stale::Everybodys, move |transaction, now| {
            sessions::must_live(transaction, &asking, now)?;
            let was = changeable(transaction, &asking, &name)?;
            if !was.permissions.covers(&permissions) {
                // Whoever made one had the rights for what the role was only.
                for member in accounts::with_role(transaction, &name)? {
                    letters::end_resets(transaction, member)?;
                }
            }
            transaction
                .prepare_cached(
                    "UPDATE roles SET description = ?2, permissions = ?3, updated_at = ?4
                         WHERE name = ?1",
                )?
                .execute(params![name, description, permissions.to_json(), now])?;
            event.append(transaction)?;
            found(transaction, &name)
        })
        .await
    }

    /// Deletes a role that nobody and no invitation has.
    pub async fn role_delete(&self, caller: &Caller, name: String) -> Result<()> {
        caller.must(ROLES_WRITE)?;
        let asking = caller.clone();
        let event = role_events(EventKind::RoleDeleted, caller, &name, self.clock.now());
        let in_use = self.configured_roles().any(|role| role == name);
        self.deed(Stale::Everybodys, move |transaction, now| {
            sessions::must_live(transaction, &asking, now)?;
            changeable(transaction, &asking, &name)?;
            if in_use {
                return Err(Error::Conflict(Clash::RoleInUse));
            }
            let used: bool = transaction
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM accounts WHERE role = ?1)
                         OR EXISTS (SELECT 1 FROM invitations WHERE role = ?1
                                    AND withdrawn_at IS NULL AND uses_left > 0 AND expires_at > ?2)",
                )?
                .query_row(params![name, now], |row| row.get(0))?;
            if used {
                return Err(Error::Conflict(Clash::RoleInUse));
            }
            transaction.prepare_cached("DELETE FROM invitations WHERE role = ?1")?.execute([&name])?;
            transaction.prepare_cached("DELETE FROM roles WHERE name = ?1")?.execute([&name])?;
            event.append(transaction)
        })
        .await
    }
}

/// A stable id for a role, for clients that want one (seed 001).
pub fn role_id(name: &str) -> Uuid {
    stable_id("role", name)
}

/// A stable id for a permission (seed 001). Those of ours are made once: they are in many answers.
pub fn permission_id(name: &str) -> Uuid {
    static OURS: LazyLock<[Uuid; BUILT_IN.len()]> =
        LazyLock::new(|| BUILT_IN.map(|name| stable_id(PERMISSION, name)));
    const PERMISSION: &str = "permission";
    match BUILT_IN.iter().position(|ours| *ours == name) {
        Some(place) => OURS[place],
        None => stable_id(PERMISSION, name),
    }
}

/// A UUID of version 8 (RFC 9562) that follows from the name.
fn stable_id(kind: &str, name: &str) -> Uuid {
    let digest = sha256(format!("{kind}\0{name}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// What a permission allows, in words; empty for those of the apps behind the gate.
pub fn description(name: &str) -> &'static str {
    match name {
        USERS_READ => "See other people's accounts",
        USERS_WRITE => "Make and change accounts",
        USERS_DELETE => "Delete accounts",
        ROLES_READ => "See roles",
        ROLES_WRITE => "Make and change roles",
        INVITATIONS_READ => "See invitations",
        INVITATIONS_WRITE => "Invite people",
        API_KEYS_READ => "See other people's API keys",
        API_KEYS_WRITE => "Make and change other people's API keys",
        API_KEYS_DELETE => "Revoke other people's API keys",
        EVENTS_READ => "See what happened",
        SYSTEM_HEALTH => "See how the house is",
        SYSTEM_ADMIN => "Look after the house itself",
        _ => "",
    }
}

fn changeable(transaction: &Transaction<'_>, caller: &Caller, name: &str) -> Result<Role> {
    let role = found(transaction, name)?;
    if role.built_in {
        return Err(Error::Conflict(Clash::BuiltInRole));
    }
    caller.must_cover(&role.permissions)?;
    Ok(role)
}

fn found(transaction: &Transaction<'_>, name: &str) -> Result<Role> {
    row_by_name(transaction, name)?.ok_or(Error::NotFound(Noun::Role))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> Permissions {
        Permissions::parse(names.iter().map(|n| (*n).to_owned()).collect()).expect("valid names")
    }

    #[test]
    fn all_covers_everything_and_only_all_covers_all() {
        let all = Permissions::all(BTreeSet::new());
        assert!(all.covers(&set(&["a-b"])) && all.covers(&all));
        assert!(!set(&BUILT_IN).covers(&all));
        assert!(set(&["a", "b"]).covers(&set(&["b"])) && !set(&["b"]).covers(&set(&["a"])));
    }

    #[test]
    fn intersection_never_grants_more_than_either() {
        let all = Permissions::all(BTreeSet::new());
        assert_eq!(all.intersect(&set(&["a"])), set(&["a"]));
        assert_eq!(set(&["a"]).intersect(&all), set(&["a"]));
        assert_eq!(set(&["a", "b"]).intersect(&set(&["b", "c"])), set(&["b"]));
    }

    #[test]
    fn names_are_kebab_case() {
        for bad in ["", "-a", "a-", "A", "a b", "a_b", "ä"] {
            assert!(Permissions::parse(vec![bad.to_owned()]).is_err(), "{bad:?}");
        }
    }
}
