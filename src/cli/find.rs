//! Finds what somebody means by a name.

use super::{
    Failure,
    words::{nearest, quoted},
};
use crate::domain::{
    Core,
    accounts::{Account, AccountFilter},
    caller::Caller,
    error::Result as Done,
    page::{Page, PageOf},
};

/// So many accounts are looked at for one with a similar name.
const LOOKED_AT: usize = 2000;

/// All rows of a list that a deed gives page by page.
pub async fn all<T>(
    list: impl AsyncFn(Page) -> Done<PageOf<T>>,
    at_most: usize,
) -> Result<Vec<T>, Failure> {
    let mut rows = Vec::new();
    for number in 1.. {
        let page = list(Page::new(Some(number), Some(Page::MAX_SIZE))?).await?;
        // A list that shrinks meanwhile never reaches its total.
        let over = page.rows.is_empty();
        rows.extend(page.rows);
        if over || rows.len() as u64 >= page.total || rows.len() >= at_most {
            break;
        }
    }
    Ok(rows)
}

/// Accounts by name.
pub async fn accounts(core: &Core, at_most: usize) -> Result<Vec<Account>, Failure> {
    let caller = Caller::operator();
    all(async |page| core.users_list(&caller, AccountFilter::default(), page).await, at_most).await
}

/// The account that somebody means by a name or an e-mail address.
///
/// # Errors
/// [`Failure::No`] with the nearest known name, if there is one.
pub async fn account(core: &Core, login: &str) -> Result<Account, Failure> {
    if let Some(found) = core.user_by_login(&Caller::operator(), login.to_owned()).await? {
        return Ok(found);
    }
    let all = accounts(core, LOOKED_AT).await?;
    let names = all.iter().flat_map(|one| [Some(one.username.as_str()), one.email.as_deref()]);
    let next = match nearest(login, names.flatten()) {
        Some(name) => format!("the nearest is {name}"),
        None => "see gatelodge user list".to_owned(),
    };
    Err(Failure::No(format!("no account {}; {next}", quoted(login))))
}

/// Whether a role is there.
///
/// # Errors
/// [`Failure::No`] with the roles that are.
pub async fn role(core: &Core, name: &str) -> Result<(), Failure> {
    let roles = core.roles_list(&Caller::operator()).await?;
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    if names.contains(&name) {
        return Ok(());
    }
    let mut text = format!("no role {}; ", quoted(name));
    if let Some(name) = nearest(name, names.iter().copied()) {
        text += &format!("the nearest is {name}, ");
    }
    Err(Failure::No(text + &format!("there are: {}", names.join(", "))))
}
