//! Asks a provider: by https with the certificates of the system, no proxy, no redirects, in
//! bounded time and size.

use std::{io, net::ToSocketAddrs, sync::Arc, time::Duration};

use reqwest::{
    Client, RequestBuilder, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::trouble::{Part, Trouble};

/// Of one answer, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// So many names are looked up at once. The system does not let go of a look-up when whoever asked does,
/// and its thread is one of those that the database needs.
const LOOK_UPS: usize = 4;

/// Looks up names as the system does.
struct Names(Arc<Semaphore>);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let look = move || (name.as_str(), 0).to_socket_addrs();
        let found = in_place(Arc::clone(&self.0), look);
        Box::pin(async { Ok(Box::new(found.await??) as Addrs) })
    }
}

/// Does `work`, which blocks, once there is a place, and keeps the place to its end.
async fn in_place<T: Send + 'static>(
    places: Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let place = places.acquire_owned().await.map_err(io::Error::other)?;
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(place);
        done
    });
    Ok(done.await?)
}

/// The client for all providers.
///
/// # Errors
/// [`Trouble::Client`] when there is no way to make one.
pub fn client() -> Result<Client, Trouble> {
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .dns_resolver(Names(Arc::new(Semaphore::new(LOOK_UPS))))
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_look_up_keeps_its_place_to_its_end_although_nobody_waits_for_it() {
        let places = Arc::new(Semaphore::new(1));
        let (begin, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let hangs = move || (begin.send(()), ended.recv()).1;
        let mut first = Box::pin(in_place(Arc::clone(&places), hangs));
        assert!(first.as_mut().now_or_never().is_none());
        begun.recv().expect("a thread");
        drop(first);
        let mut second = Box::pin(in_place(places, || ()));
        assert!(second.as_mut().now_or_never().is_none(), "there is no place");
        drop(end);
        second.await.expect("a place");
    }

    #[tokio::test]
    async fn names_are_looked_up() {
        let names = Names(Arc::new(Semaphore::new(1)));
        let mut found = names.resolve("localhost".parse().expect("a name")).await.expect("found");
        assert!(found.all(|address| address.ip().is_loopback()));
        // No name is that long, so nobody is asked for it.
        let none = names.resolve("x".repeat(64).parse().expect("a name")).await;
        assert!(none.is_err());
    }
}
