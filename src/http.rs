//! The doors. Each dialect owns its folder and its paths; what is the same for all stands here.

pub mod client;
mod credentials;
pub mod documents;
mod native;
mod pair;
pub mod serve;
mod shell;
mod voice;

use futures_util::{FutureExt, future::BoxFuture};
use poem::{Endpoint, EndpointExt, IntoEndpoint, Response, Route, get, http::HeaderMap};
use poem_openapi::{OpenApi, OpenApiService, payload::Json};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::{
    client::{Facts, Surroundings},
    shell::Shell,
    voice::{Speak, Voice},
};
use crate::domain::{Core, error::Error};

pub use shell::log_line;

/// Finds out whether somebody is signed in, for paths that no operation has.
type Stranger = for<'a> fn(&'a Core, &'a HeaderMap, &'a Facts) -> BoxFuture<'a, Result<(), Error>>;

/// Which paths belong to a dialect, and how it speaks where no operation does.
pub struct Door {
    pub prefix: &'static str,
    pub speak: Speak,
    /// Adds the challenge to a 401.
    pub challenge: fn(&HeaderMap, &mut Response),
    /// `None`: an unknown path is a 404 for everybody.
    pub stranger: Option<Stranger>,
    /// In bytes.
    pub max_body: usize,
    pub has_bucket: bool,
}

impl Door {
    /// Whether a path is the prefix itself or lies below it.
    fn owns(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('/') || self.prefix.ends_with('/')
        })
    }
}

/// Which dialects have their doors open: `dialects`.
#[derive(Clone, Copy, Debug)]
pub struct Dialects {
    pub native: bool,
    pub pair: bool,
}

impl Default for Dialects {
    fn default() -> Self {
        Self { native: true, pair: true }
    }
}

/// What the doors need besides the house.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub surroundings: Surroundings,
    pub dialects: Dialects,
    /// One line on stderr for each request.
    pub log_access: bool,
}

const MIB: usize = 1024 * 1024;

fn no_challenge(_: &HeaderMap, _: &mut Response) {}

fn is_known_to_native<'a>(
    core: &'a Core,
    headers: &'a HeaderMap,
    facts: &'a Facts,
) -> BoxFuture<'a, Result<(), Error>> {
    native::caller(core, headers, facts).map(|found| found.map(|_| ())).boxed()
}

fn doors(dialects: Dialects) -> Vec<Door> {
    let plain = |prefix, speak: Speak| Door {
        prefix,
        speak,
        challenge: no_challenge,
        stranger: None,
        max_body: MIB,
        has_bucket: true,
    };
    let mut doors = vec![plain("/", native::speak)];
    if dialects.native {
        doors.push(Door {
            challenge: native::challenge,
            stranger: Some(is_known_to_native),
            ..plain("/api/v1", native::speak)
        });
    }
    doors.push(Door { has_bucket: false, ..plain("/health", pair::speak) });
    if dialects.pair {
        doors.push(plain("/api", pair::speak));
    }
    doors
}

/// The whole server as one endpoint; `stop` turns true when it was told to stop.
pub fn routes(
    core: Core,
    settings: HttpSettings,
    stop: watch::Receiver<bool>,
) -> impl Endpoint<Output = Response> + 'static {
    let native = settings.dialects.native.then(|| Voice(native::apis(&core, stop), native::speak));
    let pair = settings.dialects.pair.then(|| Voice(pair::apis(&core), pair::speak));
    let health = Voice(pair::health(&core), pair::speak);
    let operations = (Front, health, voice::Maybe(native), voice::Maybe(pair));
    let mut routes =
        Route::new().nest_no_strip("/", OpenApiService::new(operations, "", "").into_endpoint());
    for (dialect, text) in documents::DOCUMENTS {
        routes = routes.at(format!("/openapi/{dialect}.json"), get(documents::endpoint(text)));
        if dialect == native::DIALECT {
            routes = routes.at("/openapi.json", get(documents::endpoint(text)));
        }
    }
    let doors = doors(settings.dialects);
    Shell::new(routes.map_to_response(), core, settings.surroundings, doors, settings.log_access)
}

struct Front;

#[OpenApi]
impl Front {
    /// What a program finds at the root.
    #[oai(path = "/", method = "get", hidden)]
    async fn front(&self) -> Json<Value> {
        Json(json!({
            "message": "Gatelodge",
            "version": env!("CARGO_PKG_VERSION"),
            "documents": "/openapi.json",
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_owns_a_path_whole_segments_only() {
        let all = doors(Dialects::default());
        let owner = |path: &str| {
            all.iter()
                .filter(|door| door.owns(path))
                .max_by_key(|door| door.prefix.len())
                .map(|door| door.prefix)
        };
        assert_eq!(owner("/api/v1/user"), Some("/api/v1"));
        assert_eq!(owner("/api/v1"), Some("/api/v1"));
        assert_eq!(owner("/api/v10"), Some("/api"));
        assert_eq!(owner("/apix"), Some("/"));
        assert_eq!(owner("/health"), Some("/health"));
        assert_eq!(owner("/"), Some("/"));
    }
}
