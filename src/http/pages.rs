//! The pages: one shell for every address of theirs, the files that it loads, and a page that says
//! that there is none. They change nothing by themselves; what somebody decides on them goes to
//! native.

use std::borrow::Cow;

use poem::{
    Endpoint, EndpointExt, IntoResponse, Response,
    endpoint::make_sync,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    web::Json,
};
use serde_json::json;

use super::files::{Unlisted, is_known, media_type, takes_gzip, unpacked};

/// Own scripts, styles and images, and nothing else from nowhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Every address that is a page, as `web/app/routes.js` knows them too.
const PAGES: [&str; 22] = [
    "/setup",
    "/sign-in",
    "/register",
    "/verify",
    "/activate",
    "/reset",
    "/invite",
    "/account",
    "/account/security",
    "/account/keys",
    "/account/sessions",
    "/account/links",
    "/admin",
    "/admin/people",
    "/admin/people/:id",
    "/admin/roles",
    "/admin/roles/:name",
    "/admin/invitations",
    "/admin/events",
    "/admin/log",
    "/admin/outbox",
    "/admin/system",
];
/// Where what the pages load lies, below a folder named after all of it.
const ASSETS: &str = "/assets";
/// Deeper addresses are nobody's page; their way to the root is not worth its length.
const DEEPEST: usize = 8;

/// One file of `web`, as gzip.
struct File {
    name: &'static str,
    packed: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

impl File {
    fn of(name: &str) -> Option<&'static Self> {
        FILES.iter().find(|file| file.name == name)
    }
}

/// The paths that the pages have, for doors without a bucket.
pub fn prefixes() -> impl Iterator<Item = &'static str> {
    PAGES.into_iter().filter(|path| !path[1..].contains('/')).chain([ASSETS])
}

/// The pages and what they load. They lead to native: unless it is `open` only the root is left, for
/// programs.
pub fn pages(open: bool) -> Unlisted {
    let mut served = vec![("/".to_owned(), root(open).boxed())];
    if open {
        served.extend(PAGES.map(|path| (path.to_owned(), page().boxed())));
        let files = FILES.iter().filter(|file| !file.name.ends_with(".html"));
        served.extend(files.map(|it| (format!("{ASSETS}/{BUILD}/{}", it.name), asset(it).boxed())));
    }
    Unlisted(served)
}

fn page() -> impl Endpoint<Output = Response> {
    make_sync(|request| shell(request.original_uri().path(), request.headers()))
}

/// The shell leads to files by their folder's name: it is asked for each time, they are not.
fn shell(path: &str, asked: &HeaderMap) -> Response {
    let Some(file) = File::of("app/shell.html") else { return StatusCode::NOT_FOUND.into() };
    let tag = format!("\"{BUILD}-{}\"", depth(path));
    let response = Response::builder()
        .header(header::ETAG, &tag)
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::CONTENT_SECURITY_POLICY, POLICY);
    if is_known(asked, &tag) {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    response.content_type(media_type(file.name)).body(filled(file, path))
}

/// A file under its lasting address; a changed one has another address (RFC 8246).
fn asset(file: &'static File) -> impl Endpoint<Output = Response> {
    make_sync(move |request| {
        let tag = format!("\"{BUILD}\"");
        let response = Response::builder()
            .header(header::ETAG, &tag)
            .header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
            .header(header::VARY, "Accept-Encoding");
        if is_known(request.headers(), &tag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        let response = response.content_type(media_type(file.name));
        if takes_gzip(request.headers()) {
            return response.header(header::CONTENT_ENCODING, "gzip").body(file.packed);
        }
        response.body(unpacked(file.packed))
    })
}

/// How many folders down a page seems to be for a browser, whatever a proxy has taken away.
fn depth(path: &str) -> usize {
    path.matches('/').count().saturating_sub(1)
}

/// The HTML with the way to its files, relative: a proxy may have put the house below a path.
fn filled(file: &File, path: &str) -> Vec<u8> {
    let way: Cow<'_, str> = match depth(path) {
        0 => "".into(),
        depth if depth <= DEEPEST => "../".repeat(depth).into(),
        _ => "/".into(),
    };
    let text = unpacked(file.packed);
    String::from_utf8_lossy(&text)
        .replace("{assets}", &format!("{way}{}/{BUILD}", &ASSETS[1..]))
        .into_bytes()
}

/// Whether somebody looks for a page: a browser names the type, programs do not.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|one| {
        one.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("text/html"))
    })
}

/// What lies at the root: the first page for a browser, and what a program wants to know.
fn root(has_pages: bool) -> impl Endpoint<Output = Response> {
    make_sync(move |request| {
        let mut response = if has_pages && wants_page(request.headers()) {
            shell("/", request.headers())
        } else {
            Json(json!({
                "message": "Gatelodge",
                "version": env!("CARGO_PKG_VERSION"),
                "documents": "/openapi.json",
            }))
            .into_response()
        };
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        response
    })
}

/// The page that says that there is none.
pub fn not_found(path: &str) -> Response {
    let text = File::of("app/not-found.html").map(|file| filled(file, path)).unwrap_or_default();
    Response::builder()
        .status(StatusCode::NOT_FOUND)
        .content_type(media_type("not-found.html"))
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .body(text)
}
