//! The page at `/docs`: Swagger UI over the documents of the dialects that are switched on. Its files
//! lie in `web/docs/files`, the large ones compressed, and go out as they lie there.

use std::borrow::Cow;

use bytes::Bytes;
use poem::{
    Body, Endpoint, EndpointExt, Response,
    endpoint::{BoxEndpoint, make_sync},
    http::{HeaderMap, StatusCode, header},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{
    Dialects,
    files::{Unlisted, is_known, media_type, takes_gzip, unpacked},
};

/// As strict as that of the pages, but for images: Swagger UI's style sheet holds its arrows and
/// locks as `data:`, which load nothing from anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";
/// The page names the files by their content, so that they never change.
const FOREVER: &str = "public, max-age=31536000, immutable";
const PAGE: &str = "index.html";

#[derive(RustEmbed)]
#[folder = "web/docs/files"]
struct Files;

/// The page, for the documents of the dialects that are on, and what it loads.
pub fn docs(on: Dialects) -> Unlisted {
    let mut served: Vec<(String, BoxEndpoint<'static>)> = Vec::new();
    let mut page = offer(&text(&Files::get(PAGE)), on);
    for name in Files::iter().filter(|name| name != PAGE) {
        let Some(file) = Files::get(&name) else { continue };
        let file = Served::of(&name, file);
        page = page.replace(&format!("{{{}}}", file.name), &file.path[1..]);
        served.push((file.path.clone(), file.endpoint().boxed()));
    }
    served.push(("/docs".to_owned(), self::page(page).boxed()));
    served.push(("/docs/".to_owned(), make_sync(|_| elsewhere()).boxed()));
    Unlisted(served)
}

fn text(file: &Option<EmbeddedFile>) -> String {
    let bytes = file.as_ref().map(|file| file.data.as_ref()).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// Twelve bytes of its digest tell one content from another.
fn mark(file: &EmbeddedFile) -> String {
    file.metadata.sha256_hash()[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The page with the documents to choose from.
fn offer(page: &str, on: Dialects) -> String {
    let all = [
        ("native", on.native),
        ("pin", on.pin),
        ("pair", on.pair),
        ("signup", on.signup),
        ("gpodder", on.gpodder),
    ];
    let open = all.iter().filter(|(_, is_open)| *is_open);
    let options = open.map(|(name, _)| format!("<option value=\"{name}\">{name}</option>"));
    page.replace("{documents}", &options.collect::<Vec<_>>().join("\n"))
}

fn page(text: String) -> impl Endpoint<Output = Response> {
    make_sync(move |_| {
        Response::builder()
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::CONTENT_SECURITY_POLICY, POLICY)
            .content_type(media_type(PAGE))
            .body(text.clone())
    })
}

/// From the spelling with a slash, below which nothing of the page would be found.
fn elsewhere() -> Response {
    Response::builder().status(StatusCode::FOUND).header(header::LOCATION, "../docs").finish()
}

/// A file as it goes out.
struct Served {
    /// Without `.gz`.
    name: String,
    path: String,
    mark: String,
    bytes: &'static [u8],
    is_packed: bool,
}

impl Served {
    fn of(stored: &str, file: EmbeddedFile) -> Self {
        let (name, is_packed) = match stored.strip_suffix(".gz") {
            Some(name) => (name, true),
            None => (stored, false),
        };
        let mark = mark(&file);
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        let bytes = match file.data {
            Cow::Borrowed(bytes) => bytes,
            // Read from a folder: once, for as long as the program lives.
            Cow::Owned(bytes) => bytes.leak(),
        };
        Self {
            name: name.to_owned(),
            path: format!("/docs/{stem}.{mark}.{ending}"),
            mark,
            bytes,
            is_packed,
        }
    }

    fn endpoint(self) -> impl Endpoint<Output = Response> {
        make_sync(move |request| self.answer(request.headers()))
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let is_packed = self.is_packed && takes_gzip(asked);
        // Two forms of one file are told apart by their tags (RFC 9110, section 8.8.3.3).
        let tag = format!("\"{}{}\"", self.mark, if is_packed { "-gzip" } else { "" });
        let mut response = Response::builder()
            .header(header::ETAG, &tag)
            .header(header::CACHE_CONTROL, FOREVER)
            .header(header::VARY, "Accept-Encoding");
        if is_known(asked, &tag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        if is_packed {
            response = response.header(header::CONTENT_ENCODING, "gzip");
        }
        response.content_type(media_type(&self.name)).body(self.body(is_packed))
    }

    fn body(&self, is_packed: bool) -> Body {
        match is_packed || !self.is_packed {
            true => Body::from_bytes(Bytes::from_static(self.bytes)),
            false => Body::from_bytes(unpacked(self.bytes)),
        }
    }
}
