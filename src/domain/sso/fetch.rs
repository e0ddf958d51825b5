//! Asks a provider: by https with the certificates of the system, no proxy, no redirects, in
//! bounded time and size.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Url, redirect::Policy};
use serde::de::DeserializeOwned;

use super::trouble::{Part, Trouble};

/// Of one answer, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// The client for all providers.
///
/// # Errors
/// [`Trouble::Client`] when there is no way to make one.
pub fn client() -> Result<Client, Trouble> {
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("gatelodge/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| Trouble::Client)
}

/// An address that may be asked: https, or http on this machine where `http` says so.
///
/// # Errors
/// [`Trouble::Address`] with `name`.
pub fn address(text: &str, http: bool, name: &'static str) -> Result<Url, Trouble> {
    let url = Url::parse(text).map_err(|_| Trouble::Address(name))?;
    let plain = url.username().is_empty() && url.password().is_none();
    if plain && (url.scheme() == "https" || (http && is_here(&url))) {
        Ok(url)
    } else {
        Err(Trouble::Address(name))
    }
}

/// Whether it is http on this machine.
pub fn is_here(url: &Url) -> bool {
    url.scheme() == "http" && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// Sends `request`; the status and the whole answer.
///
/// # Errors
/// What is wrong with `part`.
pub async fn ask(
    request: RequestBuilder,
    part: Part,
    patience: Duration,
) -> Result<(u16, Vec<u8>), Trouble> {
    let read = async {
        let mut response = request.send().await.map_err(|_| Trouble::Unreachable(part))?;
        let mut text = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|_| Trouble::Unreachable(part))? {
            if text.len() + piece.len() > MAX_BYTES {
                return Err(Trouble::TooLarge(part));
            }
            text.extend_from_slice(&piece);
        }
        Ok((response.status().as_u16(), text))
    };
    tokio::time::timeout(patience, read).await.map_err(|_| Trouble::Slow(part))?
}

/// The same for an answer that must be JSON and come with 200.
///
/// # Errors
/// What is wrong with `part`.
pub async fn json<T: DeserializeOwned>(
    request: RequestBuilder,
    part: Part,
    patience: Duration,
) -> Result<T, Trouble> {
    let (status, text) = ask(request, part, patience).await?;
    if status != 200 {
        return Err(Trouble::Status(part, status));
    }
    serde_json::from_slice(&text).map_err(|_| Trouble::NotJson(part))
}
