//! Paths end like files: `ann.json`, `phone.opml`. The router gives the whole last part; in the
//! document it is shown as the name and its ending (`documents.rs`).

use super::{ask::Signed, error::GpodderError};
use crate::domain::{
    caller::Caller,
    error::{Error, Noun},
    podcasts::devices::DeviceName,
};

/// How a list of subscriptions is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Text,
    Opml,
}

fn no_such_page() -> GpodderError {
    Error::NotFound(Noun::Page).into()
}

/// Whoever asks, if `file` is their own name and `.json`.
///
/// # Errors
/// 404 for another ending, 403 for another's name.
pub fn owner_of_json<'a>(signed: &'a Signed, file: &str) -> Result<&'a Caller, GpodderError> {
    signed.must_be(file.strip_suffix(".json").ok_or_else(no_such_page)?)
}

/// The device of `DEVICE.json`.
///
/// # Errors
/// 404 for another ending, 400 for what cannot be a device.
pub fn device_of_json(file: &str) -> Result<DeviceName, GpodderError> {
    let name = file.strip_suffix(".json").ok_or_else(no_such_page)?;
    Ok(DeviceName::parse(name)?)
}

/// The name and the format of `NAME.json`, `NAME.txt` or `NAME.opml`.
///
/// # Errors
/// 404 for another ending.
pub fn list_of(file: &str) -> Result<(&str, Format), GpodderError> {
    let (name, ending) = file.rsplit_once('.').ok_or_else(no_such_page)?;
    match ending {
        "json" => Ok((name, Format::Json)),
        "txt" => Ok((name, Format::Text)),
        "opml" => Ok((name, Format::Opml)),
        _ => Err(no_such_page()),
    }
}
