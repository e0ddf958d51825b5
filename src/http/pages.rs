//! The pages that letters lead to: static files in the program, a few paths, and a page that says
//! that there is none. They change nothing by themselves; what somebody decides on them goes to
//! native.

use std::collections::HashMap;

use poem::{
    Endpoint, EndpointExt, IntoResponse, Response,
    endpoint::{BoxEndpoint, make_sync},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    web::Json,
};
use poem_openapi::{
    OpenApi,
    registry::{MetaApi, Registry},
};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde_json::json;

/// Own scripts, styles and images, and nothing else from nowhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The first page, which `/` is for a browser.
const HOME: &str = "home.html";

/// Each page and its file.
const PAGES: [(&str, &str); 6] = [
    ("/sign-in", HOME),
    ("/verify", "verify.html"),
    ("/activate", "verify.html"),
    ("/reset", "reset.html"),
    ("/invite", "register.html"),
    ("/register", "register.html"),
];
/// Where what the pages load lies.
const ASSETS: &str = "/assets";

#[derive(RustEmbed)]
#[folder = "web/pages"]
struct Files;

/// The paths that the pages have, for doors without a bucket.
pub fn prefixes() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(path, _)| *path).chain([ASSETS])
}

/// The pages and what they load, beside the operations of the dialects.
pub struct Pages {
    /// They lead to native: without it only the root is left, for programs.
    pub open: bool,
}

impl OpenApi for Pages {
    /// Empty: they stand in no document.
    fn meta() -> Vec<MetaApi> {
        Vec::new()
    }

    fn register(_: &mut Registry) {}

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        let mut add = |path: String, file: &str| {
            let endpoint = endpoint(file).boxed();
            table.entry(path).or_default().insert(Method::GET, endpoint);
        };
        if !self.open {
            table.entry("/".to_owned()).or_default().insert(Method::GET, root(None).boxed());
            return;
        }
        for (path, file) in PAGES {
            add(path.to_owned(), file);
        }
        for name in Files::iter().filter(|name| name.starts_with("assets/")) {
            add(format!("/{name}"), &name);
        }
        table
            .entry("/".to_owned())
            .or_default()
            .insert(Method::GET, root(Files::get(HOME)).boxed());
    }
}

fn endpoint(name: &str) -> impl Endpoint<Output = Response> + use<> {
    let (name, file) = (name.to_owned(), Files::get(name));
    make_sync(move |request| match &file {
        Some(file) => answer(&name, file, request.headers()),
        None => StatusCode::NOT_FOUND.into(),
    })
}

/// Caches keep a file as long as it is the same, and ask each time whether it is: a new version of
/// the program shows at once.
fn answer(name: &str, file: &EmbeddedFile, asked: &HeaderMap) -> Response {
    let tag: String =
        file.metadata.sha256_hash()[..12].iter().map(|b| format!("{b:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let is_known = is_known(asked, &tag);
    let response = Response::builder()
        .header(header::ETAG, tag)
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::CONTENT_SECURITY_POLICY, POLICY);
    if is_known {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    response.content_type(media_type(name)).body(file.data.to_vec())
}

/// Whether a client says that it has what the tag names (RFC 9110, section 13.1.2).
pub fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| {
        known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*")
    })
}

pub fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// Whether somebody looks for a page: a browser names the type, programs do not.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|one| {
        one.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("text/html"))
    })
}

/// What lies at the root: the first page for a browser, and what a program wants to know.
fn root(file: Option<EmbeddedFile>) -> impl Endpoint<Output = Response> {
    make_sync(move |request| {
        let page = file.as_ref().filter(|_| wants_page(request.headers()));
        let mut response = match page {
            Some(file) => answer(HOME, file, request.headers()),
            None => Json(json!({
                "message": "Gatelodge",
                "version": env!("CARGO_PKG_VERSION"),
                "documents": "/openapi.json",
            }))
            .into_response(),
        };
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        response
    })
}

/// The page that says that there is none.
pub fn not_found() -> Response {
    let text = Files::get("not-found.html").map(|file| file.data.to_vec()).unwrap_or_default();
    Response::builder()
        .status(StatusCode::NOT_FOUND)
        .content_type(media_type("not-found.html"))
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .body(text)
}
