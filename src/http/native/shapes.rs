//! The JSON of native, in the words that its clients use.

use std::sync::Arc;

use poem_openapi::{
    ApiResponse, Enum, Object,
    payload::Json,
    types::{MaybeUndefined, ParseFromJSON, ToJSON, Type},
};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};
use uuid::Uuid;

use super::ask::Moment;
use crate::domain::{
    accounts::{self, Account},
    page::{Page, PageOf},
    sessions::Carried,
};

/// Whether an account may sign in.
#[derive(Clone, Copy, Debug, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum UserStatus {
    Active,
    Pending,
    Disabled,
}

impl UserStatus {
    fn of(status: accounts::Status) -> Self {
        match status {
            accounts::Status::Active => Self::Active,
            accounts::Status::Pending => Self::Pending,
            accounts::Status::Disabled => Self::Disabled,
        }
    }
}

/// What a status can be set to.
#[derive(Clone, Copy, Debug, Enum, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(try_from = "String")]
pub enum SettableStatus {
    Active,
    Disabled,
}

/// A text and nothing else: a derived reader of an enum takes an object too.
impl TryFrom<String> for SettableStatus {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "active" => Ok(Self::Active),
            "disabled" => Ok(Self::Disabled),
            _ => Err("no such status"),
        }
    }
}

impl From<UserStatus> for accounts::Status {
    fn from(status: UserStatus) -> Self {
        match status {
            UserStatus::Active => Self::Active,
            UserStatus::Pending => Self::Pending,
            UserStatus::Disabled => Self::Disabled,
        }
    }
}

impl From<SettableStatus> for accounts::Status {
    fn from(status: SettableStatus) -> Self {
        match status {
            SettableStatus::Active => Self::Active,
            SettableStatus::Disabled => Self::Disabled,
        }
    }
}

/// An account.
#[derive(Clone, Debug, Object)]
pub struct User {
    /// Never reused.
    pub id: Uuid,
    pub username: String,
    #[oai(nullable)]
    pub email: Option<String>,
    /// The name for people to read.
    pub display_name: String,
    pub role: String,
    /// What the role grants now.
    pub permissions: Vec<String>,
    pub status: UserStatus,
    pub email_verified: bool,
    pub has_password: bool,
    pub has_pin: bool,
    #[oai(nullable)]
    pub last_login_at: Option<Moment>,
    pub created_at: Moment,
    pub updated_at: Moment,
}

/// An account that is written as a [`User`] where it lies: whoever asks who they are need not
/// have it copied first.
pub struct Shown(pub Arc<Account>);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let account = &*self.0;
        let mut user = serializer.serialize_struct("User", 13)?;
        user.serialize_field("id", &account.id.uuid())?;
        user.serialize_field("username", &account.username)?;
        user.serialize_field("email", &account.email)?;
        user.serialize_field("display_name", &account.display_name)?;
        user.serialize_field("role", &account.role)?;
        user.serialize_field("permissions", account.permissions.named())?;
        user.serialize_field("status", &UserStatus::of(account.status))?;
        user.serialize_field("email_verified", &account.email_verified)?;
        user.serialize_field("has_password", &account.password_hash.is_some())?;
        user.serialize_field("has_pin", &account.pin_hash.is_some())?;
        user.serialize_field("last_login_at", &account.last_login_at.map(Moment))?;
        user.serialize_field("created_at", &Moment(account.created_at))?;
        user.serialize_field("updated_at", &Moment(account.updated_at))?;
        user.end()
    }
}

impl From<&Account> for User {
    fn from(account: &Account) -> Self {
        Self {
            id: account.id.uuid(),
            username: account.username.clone(),
            email: account.email.clone(),
            display_name: account.display_name.clone(),
            role: account.role.clone(),
            permissions: account.permissions.names(),
            status: UserStatus::of(account.status),
            email_verified: account.email_verified,
            has_password: account.password_hash.is_some(),
            has_pin: account.pin_hash.is_some(),
            last_login_at: account.last_login_at.map(Moment),
            created_at: Moment(account.created_at),
            updated_at: Moment(account.updated_at),
        }
    }
}

/// What a sign-in gives to a program.
#[derive(Clone, Debug, Object)]
pub struct Tokens {
    /// Send it as `Authorization: Bearer …`.
    pub token: String,
    pub expires_at: Moment,
    /// Exchange it once for new tokens, at `/auth/refresh`.
    pub refresh_token: String,
    pub refresh_expires_at: Moment,
    pub user: User,
}

impl Tokens {
    /// `None` when the session carries no tokens.
    pub fn of(account: &Account, carried: &Carried) -> Option<Self> {
        let (access, refresh) = (carried.access.as_ref()?, carried.refresh.as_ref()?);
        Some(Self {
            token: access.text.reveal().to_owned(),
            expires_at: Moment(access.expires_at),
            refresh_token: refresh.text.reveal().to_owned(),
            refresh_expires_at: Moment(refresh.expires_at),
            user: account.into(),
        })
    }
}

/// A sentence for people.
#[derive(Clone, Debug, Object)]
pub struct Message {
    pub message: String,
}

impl Message {
    pub fn new(text: &str) -> Json<Self> {
        Json(Self { message: text.to_owned() })
    }
}

/// One account.
#[derive(Clone, Debug, Object)]
pub struct UserOnly {
    pub user: User,
}

/// One page of a list.
#[derive(Clone, Debug, Object)]
pub struct List<T: Type + ParseFromJSON + ToJSON> {
    pub data: Vec<T>,
    /// Counts from 1.
    pub page: u32,
    pub page_size: u32,
    /// The length of the whole list.
    pub total: u64,
}

/// One page of a list, with links to its neighbours.
#[derive(Debug, ApiResponse)]
pub enum Paged<T: Type + ParseFromJSON + ToJSON> {
    /// One page.
    #[oai(status = 200)]
    Page(
        Json<List<T>>,
        /// The first, previous, next and last page (RFC 8288).
        #[oai(header = "Link")]
        String,
    ),
}

impl<T: Type + ParseFromJSON + ToJSON> Paged<T> {
    /// `path` is where the list lives, with the query that filters it.
    pub fn of<R>(path: &str, page: Page, found: PageOf<R>, shape: impl Fn(R) -> T) -> Self {
        let links = links(path, page, found.total);
        let list = List {
            data: found.rows.into_iter().map(shape).collect(),
            page: page.number(),
            page_size: page.limit(),
            total: found.total,
        };
        Self::Page(Json(list), links)
    }
}

fn links(path: &str, page: Page, total: u64) -> String {
    let last = total.div_ceil(u64::from(page.limit())).max(1);
    let (number, size) = (u64::from(page.number()), page.limit());
    let joint = if path.contains('?') { '&' } else { '?' };
    let link =
        |to: u64, rel: &str| format!("<{path}{joint}page={to}&page_size={size}>; rel=\"{rel}\"");
    let mut links = vec![link(1, "first"), link(last, "last")];
    if number > 1 {
        links.push(link((number - 1).min(last), "prev"));
    }
    if number < last {
        links.push(link(number + 1, "next"));
    }
    links.join(", ")
}

/// Something new.
#[derive(Debug, ApiResponse)]
pub enum Created<T: ToJSON> {
    /// Made.
    #[oai(status = 201)]
    Created(Json<T>),
}

/// Nothing left to say.
#[derive(Debug, ApiResponse)]
pub enum Done {
    /// Done.
    #[oai(status = 204)]
    Done,
}

/// `null` and an absent field mean different things in a change.
pub fn change<T>(value: MaybeUndefined<T>) -> Option<Option<T>> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

/// A path with those of the pairs that have a value.
pub fn with_query<const N: usize>(path: &str, pairs: [(&str, Option<&str>); N]) -> String {
    let query: Vec<String> = pairs
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", query_value(value?))))
        .collect();
    match query.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", query.join("&")),
    }
}

/// Percent-encodes a value for a query (RFC 3986, section 2).
fn query_value(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
