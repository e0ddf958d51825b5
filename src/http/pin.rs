//! Pin: cookies and a PIN, for wall tablets and small apps (seed 001).

mod ask;
mod error;
mod login;
mod session;
mod shapes;

use poem_openapi::Tags;

pub use error::speak;
pub use login::LoginApi;

use crate::domain::Core;

/// The dialect's name in sessions and events.
pub const DIALECT: &str = "pin";

/// How the operations are grouped in the document.
#[derive(Tags)]
enum Tag {
    /// Coming in and going out.
    Auth,
    /// Who is here.
    Users,
}

/// All operations of pin but the shared sign-in.
pub type Apis = session::SessionApi;

pub fn apis(core: &Core) -> Apis {
    session::SessionApi { core: core.clone() }
}
