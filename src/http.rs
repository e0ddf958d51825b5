//! The doors. Each dialect owns its folder and its paths; what is the same for all stands here.

mod allow;
mod bodies;
pub mod client;
mod credentials;
mod docs;
pub mod documents;
mod files;
mod gpodder;
mod lenient;
mod metrics;
mod native;
mod pages;
mod pair;
mod pin;
mod scheme;
mod serial;
pub mod serve;
mod shell;
mod signup;
mod sso;
pub mod tls;
mod visitor;
mod voice;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use poem::{Endpoint, IntoEndpoint, Response, http::HeaderMap};
use poem_openapi::{ApiResponse, OpenApi, OpenApiService, param::Path, payload::Binary};
use tokio::sync::watch;

use self::{
    allow::{Allowed, Listed},
    bodies::Bodies,
    client::{Browser, Facts, Surroundings},
    metrics::{Latencies, MetricsApi, Room},
    native::NativeError,
    shell::Shell,
    voice::{Maybe, Speak, Voice},
};
use crate::domain::{
    Core,
    error::{Error, Noun},
};

pub use self::{bodies::BodyLimits, pair::SEATS};

/// Finds out whether somebody is signed in, for paths that no operation has.
type Stranger = for<'a> fn(&'a HeaderMap, &'a Facts) -> BoxFuture<'a, Result<(), Error>>;

/// Which paths belong to a dialect, and how it speaks where no operation does.
pub struct Door {
    pub prefix: &'static str,
    pub speak: Speak,
    /// Whose requests its own are counted with.
    pub room: Room,
    /// Adds the challenge to a 401.
    pub challenge: fn(Browser, &mut Response),
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
    pub gpodder: bool,
}

impl Default for Dialects {
    fn default() -> Self {
        Self { native: true, pin: true, pair: true, signup: true, gpodder: true }
    }
}

impl Dialects {
    /// Those that are open, by their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("native", self.native),
            ("pin", self.pin),
            ("pair", self.pair),
            ("signup", self.signup),
            ("gpodder", self.gpodder),
        ];
        all.into_iter().filter(|(_, open)| *open).map(|(name, _)| name)
    }
}

/// What the doors need besides the house.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub surroundings: Surroundings,
    pub dialects: Dialects,
    /// Swagger UI at `/docs`.
    pub docs: bool,
    /// Figures at `/metrics`.
    pub metrics: bool,
    /// One line on stderr for each request.
    pub log_access: bool,
    pub bodies: BodyLimits,
}

const MIB: usize = 1024 * 1024;

fn no_challenge(_: Browser, _: &mut Response) {}

fn is_known_to_native<'a>(
    headers: &'a HeaderMap,
    facts: &'a Facts,
) -> BoxFuture<'a, Result<(), Error>> {
    native::caller(headers, facts).map(|found| found.map(|_| ())).boxed()
}

fn is_known_to_pair<'a>(
    headers: &'a HeaderMap,
    facts: &'a Facts,
) -> BoxFuture<'a, Result<(), Error>> {
    pair::caller(headers, facts).map(|found| found.map(|_| ())).boxed()
}

fn is_known_to_gpodder<'a>(
    headers: &'a HeaderMap,
    facts: &'a Facts,
) -> BoxFuture<'a, Result<(), Error>> {
    gpodder::caller(headers, facts).map(|found| found.map(|_| ())).boxed()
}

fn doors(on: Dialects) -> Vec<Door> {
    let plain = |prefix, speak: Speak, room| Door {
        prefix,
        speak,
        room,
        challenge: no_challenge,
        stranger: None,
        max_body: MIB,
        has_bucket: true,
        has_pages: false,
    };
    let open =
        |prefix, speak: Speak, room| Door { has_bucket: false, ..plain(prefix, speak, room) };
    let pages = pages::prefixes().map(|prefix| open(prefix, native::speak, Room::Pages));
    let podcasts = |prefix, max_body| Door {
        challenge: gpodder::challenge,
        stranger: on.gpodder.then_some(is_known_to_gpodder as Stranger),
        max_body,
        ..plain(prefix, gpodder::speak, Room::Gpodder)
    };
    // A dialect that is switched off keeps its door: what lies behind it is 404 for everybody.
    let mut doors = vec![
        Door { has_pages: true, ..plain("/", native::speak, Room::Other) },
        Door { has_pages: true, ..plain("/docs", native::speak, Room::Other) },
        open("/openapi", native::speak, Room::Other),
        open("/openapi.json", native::speak, Room::Other),
        open("/health", pair::speak, Room::Other),
        open("/api/health", pair::speak, Room::Other),
        // Whoever watches is not shut out by what there is to see.
        Door { challenge: native::challenge, ..open("/metrics", native::speak, Room::Other) },
        Door {
            challenge: native::challenge,
            stranger: on.native.then_some(is_known_to_native as Stranger),
            ..plain("/api/v1", native::speak, Room::Native)
        },
        Door {
            challenge: pair::challenge,
            stranger: on.pair.then_some(is_known_to_pair as Stranger),
            ..plain("/api", pair::speak, Room::Pair)
        },
        podcasts("/api/2", MIB),
        podcasts("/api/2/episodes", 8 * MIB),
        Door { stranger: None, ..podcasts("/subscriptions", 8 * MIB) },
        plain("/auth", pin::speak, Room::Pin),
        plain("/users", pin::speak, Room::Pin),
        // Browsers come here: a challenge would open a window of theirs.
        plain("/auth/sso", gpodder::speak, Room::Gpodder),
        plain("/auth/google", signup::speak, Room::Signup),
        plain("/auth/signup", signup::speak, Room::Signup),
        plain("/dashboard", signup::speak, Room::Signup),
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
    let latencies = Arc::new(Latencies::default());
    let metrics = settings.metrics.then(|| {
        let metrics = MetricsApi { core: core.clone(), latencies: Arc::clone(&latencies) };
        Voice(metrics, native::speak)
    });
    let docs = Maybe(settings.docs.then(|| docs::docs(settings.dialects)));
    let allowed = Allowed::default();
    let operations = (operations(&core, settings.dialects, stop), docs, Maybe(metrics));
    let operations = Listed(operations, allowed.clone());
    let routes = OpenApiService::new(operations, "", "").into_endpoint();
    let bounds = (doors(settings.dialects), Bodies::new(settings.bodies));
    let told = (latencies, settings.log_access);
    Shell::new((routes, allowed), core, settings.surroundings, bounds, told)
}

/// The operations of all dialects whose doors are open. The health check always is.
fn operations(core: &Core, on: Dialects, stop: watch::Receiver<bool>) -> impl OpenApi + 'static {
    let native = on.native.then(|| Voice(native::apis(core, on, stop.clone()), native::speak));
    let pin = on.pin.then(|| Voice(pin::apis(core), pin::speak));
    let pair = on.pair.then(|| Voice(pair::apis(core, stop), pair::speak));
    let signup = on.signup.then(|| Voice(signup::apis(core), signup::speak));
    let gpodder = on.gpodder.then(|| Voice(gpodder::apis(core), gpodder::speak));
    let login = (on.pin || on.signup).then(|| {
        let login = pin::LoginApi { core: core.clone(), pin: on.pin, email: on.signup };
        Voice(login, pin::speak)
    });
    let health = Voice(pair::health(core), pair::speak);
    let five = (Maybe(native), Maybe(pin), Maybe(pair), Maybe(signup), Maybe(gpodder));
    (Papers, pages::pages(on.native), five, Maybe(login), health)
}

/// The documents as files.
struct Papers;

#[OpenApi]
impl Papers {
    #[oai(path = "/openapi.json", method = "get", hidden)]
    async fn document(&self, asked: &HeaderMap) -> Result<Document, NativeError> {
        Document::of(native::DIALECT, asked)
    }

    #[oai(path = "/openapi/:file", method = "get", hidden)]
    async fn document_of(
        &self,
        file: Path<String>,
        asked: &HeaderMap,
    ) -> Result<Document, NativeError> {
        Document::of(file.0.strip_suffix(".json").unwrap_or_default(), asked)
    }
}

/// One committed document.
#[derive(ApiResponse)]
enum Document {
    #[oai(status = 200, content_type = "application/json")]
    Found(
        Binary<Bytes>,
        #[oai(header = "Cache-Control")] String,
        #[oai(header = "Vary")] String,
        #[oai(header = "Content-Encoding")] Option<String>,
    ),
}

impl Document {
    fn of(dialect: &str, asked: &HeaderMap) -> Result<Self, NativeError> {
        let packed = documents::packed(dialect).ok_or(Error::NotFound(Noun::Page))?;
        let (body, encoding) = match files::takes_gzip(asked) {
            true => (Bytes::from_static(packed), Some("gzip".to_owned())),
            false => (files::unpacked(packed), None),
        };
        let (fresh, vary) = ("no-cache".to_owned(), "Accept-Encoding".to_owned());
        Ok(Self::Found(Binary(body), fresh, vary, encoding))
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
