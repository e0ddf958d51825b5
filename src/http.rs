//! The doors. Each dialect owns its folder and its paths; what is the same for all stands here.

pub mod client;
mod credentials;
pub mod documents;
mod lenient;
mod native;
mod pages;
mod pair;
mod pin;
pub mod serve;
mod shell;
mod signup;
mod visitor;
mod voice;

use futures_util::{FutureExt, future::BoxFuture};
use poem::{Endpoint, EndpointExt, IntoEndpoint, Response, Route, get, http::HeaderMap};
use poem_openapi::{OpenApi, OpenApiService, payload::Json};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::{
    client::{Facts, Surroundings},
    shell::Shell,
    voice::{Maybe, Speak, Voice},
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
    /// A browser that finds nothing here is told so by a page.
    pub has_pages: bool,
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
    pub pin: bool,
    pub pair: bool,
    pub signup: bool,
}

impl Default for Dialects {
    fn default() -> Self {
        Self { native: true, pin: true, pair: true, signup: true }
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

fn is_known_to_pair<'a>(
    core: &'a Core,
    headers: &'a HeaderMap,
    facts: &'a Facts,
) -> BoxFuture<'a, Result<(), Error>> {
    pair::caller(core, headers, facts).map(|found| found.map(|_| ())).boxed()
}

fn doors(on: Dialects) -> Vec<Door> {
    let plain = |prefix, speak: Speak| Door {
        prefix,
        speak,
        challenge: no_challenge,
        stranger: None,
        max_body: MIB,
        has_bucket: true,
        has_pages: false,
    };
    let open = |prefix, speak: Speak| Door { has_bucket: false, ..plain(prefix, speak) };
    let pages = pages::prefixes().map(|prefix| open(prefix, native::speak as Speak));
    // A dialect that is switched off keeps its door: what lies behind it is 404 for everybody.
    let mut doors = vec![
        Door { has_pages: true, ..plain("/", native::speak) },
        open("/openapi", native::speak),
        open("/openapi.json", native::speak),
        open("/health", pair::speak),
        open("/api/health", pair::speak),
        Door {
            challenge: native::challenge,
            stranger: on.native.then_some(is_known_to_native as Stranger),
            ..plain("/api/v1", native::speak)
        },
        Door {
            challenge: pair::challenge,
            stranger: on.pair.then_some(is_known_to_pair as Stranger),
            ..plain("/api", pair::speak)
        },
        plain("/auth", pin::speak),
        plain("/users", pin::speak),
        plain("/auth/signup", signup::speak),
        plain("/dashboard", signup::speak),
    ];
    doors.extend(pages.map(|door| Door { has_pages: true, ..door }));
    doors
}

/// The whole server as one endpoint; `stop` turns true when it was told to stop.
pub fn routes(
    core: Core,
    settings: HttpSettings,
    stop: watch::Receiver<bool>,
) -> impl Endpoint<Output = Response> + 'static {
    let operations = operations(&core, settings.dialects, stop);
    let mut routes =
        Route::new().nest_no_strip("/", OpenApiService::new(operations, "", "").into_endpoint());
    for (dialect, text) in documents::DOCUMENTS {
        routes = routes.at(format!("/openapi/{dialect}.json"), get(documents::endpoint(text)));
        if dialect == native::DIALECT {
            routes = routes.at("/openapi.json", get(documents::endpoint(text)));
        }
    }
    if settings.dialects.native {
        routes = pages::mount(routes);
    }
    let doors = doors(settings.dialects);
    Shell::new(routes.map_to_response(), core, settings.surroundings, doors, settings.log_access)
}

/// The operations of all dialects whose doors are open. The health check always is.
fn operations(core: &Core, on: Dialects, stop: watch::Receiver<bool>) -> impl OpenApi + 'static {
    let native = on.native.then(|| Voice(native::apis(core, stop.clone()), native::speak));
    let pin = on.pin.then(|| Voice(pin::apis(core), pin::speak));
    let pair = on.pair.then(|| Voice(pair::apis(core, stop), pair::speak));
    let signup = on.signup.then(|| Voice(signup::apis(core), signup::speak));
    let login = (on.pin || on.signup).then(|| {
        let login = pin::LoginApi { core: core.clone(), pin: on.pin, email: on.signup };
        Voice(login, pin::speak)
    });
    let health = Voice(pair::health(core), pair::speak);
    (Front, Maybe(native), Maybe(pin), Maybe(pair), Maybe(signup), Maybe(login), health)
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
