//! What stands around every request, whatever dialect it speaks: an id, bounds, a panic guard,
//! security headers, one line in the log.

use std::{
    any::Any,
    cmp::Reverse,
    panic::AssertUnwindSafe,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body::Body as _;
use http_body_util::combinators::BoxBody;
use poem::{
    Body, Endpoint, Request, Response,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
};
use poem_openapi::OperationId;

use super::{
    Door,
    allow::Allowed,
    bodies::{Bodies, Read},
    client::{Facts, Surroundings},
    metrics::Latencies,
    pages,
    voice::{Speak, Trouble},
};
use crate::{
    domain::{
        Core,
        error::{Denied, Error},
        journal::RequestEntry,
        secret::random_bytes,
        throttle::Subject,
    },
    log::{self, Field, Level},
};

/// What of a path or a method stands in a line of the log, in characters: strangers choose both.
const SHOWN: usize = 256;

/// What a header takes beside its name and its value, in bytes: HTTP/2 says a short one in a single byte.
const HEADER: usize = 128;

/// The outermost endpoint.
pub struct Shell<E> {
    inner: E,
    allowed: Allowed,
    core: Core,
    surroundings: Arc<Surroundings>,
    bodies: Bodies,
    doors: Vec<Door>,
    latencies: Arc<Latencies>,
    log_access: bool,
}

impl<E: Endpoint<Output = Response>> Shell<E> {
    pub fn new(
        (inner, allowed): (E, Allowed),
        core: Core,
        surroundings: Surroundings,
        (mut doors, bodies): (Vec<Door>, Bodies),
        (latencies, log_access): (Arc<Latencies>, bool),
    ) -> Self {
        doors.sort_by_key(|door| Reverse(door.prefix.len()));
        Self {
            inner,
            allowed,
            core,
            surroundings: Arc::new(surroundings),
            bodies,
            doors,
            latencies,
            log_access,
        }
    }

    /// The longest prefix decides who speaks.
    fn door(&self, path: &str) -> &Door {
        self.doors.iter().find(|door| door.owns(path)).unwrap_or(&self.doors[self.doors.len() - 1])
    }

    /// Everything that may refuse a request before its operation sees it.
    async fn admit(
        &self,
        request: &mut Request,
        door: &Door,
        facts: &Facts,
    ) -> Result<(), Trouble> {
        let client = facts.origin.subject();
        if door.has_bucket {
            self.core.throttle().request(client)?;
        }
        if !facts.own_pages {
            if !request.method().is_safe() {
                return Err(Error::Forbidden(Denied::CrossSite).into());
            }
            // A page elsewhere leads the browser here with a password of its own choice: tried, it
            // would count against the household.
            drop_basic(request.headers_mut());
        }
        let encodings = request.headers().get_all(header::CONTENT_ENCODING);
        if encodings.iter().any(|value| value != "identity") {
            return Err(Trouble::ContentEncoding);
        }
        if let Some(read) = self.read_body(request, door.max_body, client).await? {
            request.set_body(Body::from_bytes(read.bytes));
            // Given back with the request.
            request.set_data(Arc::new(read.share));
        }
        Ok(())
    }

    /// `None` where there is no body.
    async fn read_body(
        &self,
        request: &mut Request,
        max: usize,
        client: Subject,
    ) -> Result<Option<Read>, Trouble> {
        if announced(request.headers()) > max {
            return Err(Trouble::BodyTooLarge);
        }
        let body = request.take_body();
        if body.is_empty() {
            return Ok(None);
        }
        let head = head_bytes(request);
        // In a box: most requests have no body and should not carry its reading along.
        Box::pin(self.bodies.read((head, body), max, client)).await.map(Some)
    }

    fn log_request(
        &self,
        facts: &Facts,
        method: &Method,
        path: &str,
        status: StatusCode,
        start: Instant,
    ) {
        let client = self.core.shown_client(&facts.origin);
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let fields = [
            ("id", Field::Word(&facts.request_id)),
            ("client", Field::Word(&client)),
            ("user", Field::Text(facts.user_name().unwrap_or("-"))),
            ("method", Field::Word(&cut(method.as_str()))),
            ("path", Field::Text(cut(path))),
            ("status", Field::Number(status.as_u16().into())),
            ("ms", Field::Number(ms)),
        ];
        log::entry(Level::Info, "request", &fields);
    }

    async fn answer(
        &self,
        mut request: Request,
        (door, path): (&Door, &str),
        facts: &Facts,
    ) -> Response {
        if let Err(trouble) = self.admit(&mut request, door, facts).await {
            return (door.speak)(trouble);
        }
        // The operation takes the request along; who asks may have to be known after it.
        let asked = door.stranger.map(|ask| (ask, credentials(request.headers())));
        let wants_page = door.has_pages && pages::wants_page(request.headers());
        let answered = self.inner.call(request).await;
        let response = answered.unwrap_or_else(poem::Error::into_response);
        if !is_unrouted(&response) {
            return response;
        }
        // Whoever is nobody learns nothing about which paths exist.
        if let Some((ask, headers)) = asked
            && let Err(error) = ask(&HeaderMap::from_iter(headers), facts).await
        {
            return (door.speak)(error.into());
        }
        if wants_page && response.status() != StatusCode::METHOD_NOT_ALLOWED {
            return pages::not_found(path);
        }
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let mut response = (door.speak)(Trouble::Method);
            if let Some(methods) = self.allowed.of(path) {
                response.headers_mut().insert(header::ALLOW, methods);
            }
            return response;
        }
        (door.speak)(Trouble::Deed(Error::NotFound(crate::domain::error::Noun::Page)))
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Shell<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let start = Instant::now();
        let facts = Facts::of(&request, &self.core, &self.surroundings, request_id());
        let facts = Arc::new(facts);
        request.extensions_mut().insert(Arc::clone(&facts));
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let path = uri.path();
        let door = self.door(path);
        let answer = self.answer(request, (door, path), &facts);
        let mut response = guarded(answer, door.speak, path).await;
        (door.challenge)(facts.browser, &mut response);
        finish(&mut response, &facts);
        let elapsed = start.elapsed();
        self.latencies.note(door.room, response.status(), elapsed);
        let response = counted(response, |bytes, status| {
            self.core.journal_request(&RequestEntry {
                client: facts.origin.address,
                method: method.as_str(),
                path,
                status,
                bytes,
                elapsed,
                user: facts.user_name(),
            });
        });
        if self.log_access {
            self.log_request(&facts, &method, path, response.status(), start);
        }
        Ok(response)
    }
}

/// Sixteen hexadecimal digits, no two the same in one run: a counter, scattered (SplitMix64) from
/// a random start. It names a request in the log and keeps nothing secret.
fn request_id() -> String {
    static NEXT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(u64::from_ne_bytes(random_bytes())));
    let mut mixed = NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    format!("{:016x}", mixed ^ (mixed >> 31))
}

/// Tells the length of an answer's body, where it is known before it is sent.
fn counted(mut response: Response, tell: impl FnOnce(Option<u64>, u16)) -> Response {
    let body: BoxBody<Bytes, std::io::Error> = response.take_body().into();
    tell(body.size_hint().exact(), response.status().as_u16());
    response.set_body(Body::from(body));
    response
}

/// A defect of ours ends one request and nothing else.
fn guarded(
    answer: impl Future<Output = Response>,
    speak: Speak,
    path: &str,
) -> impl Future<Output = Response> {
    // No `async fn`, which would hold the answer's future twice.
    AssertUnwindSafe(answer).catch_unwind().map(move |answered| {
        answered.unwrap_or_else(|panic| {
            let what = ("what", Field::Text(panic_text(&*panic)));
            log::entry(Level::Error, "panic", &[("path", Field::Text(cut(path))), what]);
            speak(Trouble::Panic)
        })
    })
}

/// The router answers 400 by itself when a part of the path is no text.
fn is_unrouted(response: &Response) -> bool {
    response.data::<OperationId>().is_none()
        && matches!(
            response.status(),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST
        )
}

/// The headers by which somebody may say who they are.
fn credentials(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    const NAMES: [HeaderName; 3] =
        [header::AUTHORIZATION, header::COOKIE, HeaderName::from_static("x-api-key")];
    let mut kept = Vec::new();
    for name in NAMES {
        kept.extend(headers.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
    }
    kept
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(SHOWN).map_or(text, |(end, _)| &text[..end])
}

fn drop_basic(headers: &mut HeaderMap) {
    let is_basic = |value: &HeaderValue| {
        value.as_bytes().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"))
    };
    if headers.get_all(header::AUTHORIZATION).iter().any(is_basic) {
        headers.remove(header::AUTHORIZATION);
    }
}

/// What a request's address and headers take, about.
fn head_bytes(request: &Request) -> usize {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let headers = request.headers().iter();
    path + headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER).sum::<usize>()
}

fn announced(headers: &HeaderMap) -> usize {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What every answer says, unless its operation has said otherwise.
const ALWAYS: [(HeaderName, HeaderValue); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

fn finish(response: &mut Response, facts: &Facts) {
    let status = response.status();
    let headers = response.headers_mut();
    // At once: growing step by step costs more than all the rest here.
    headers.reserve(ALWAYS.len() + 2);
    // A sign-in elsewhere ends with the way to a page.
    let good = status.is_success() || status.is_redirection();
    let cookies = facts.take_cookies(good).into_iter();
    for line in cookies.filter_map(|line| HeaderValue::try_from(line).ok()) {
        headers.append(header::SET_COOKIE, line);
    }
    if let Ok(id) = HeaderValue::from_str(&facts.request_id) {
        headers.entry(REQUEST_ID).or_insert(id);
    }
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(value);
    }
    if facts.strict {
        let value = HeaderValue::from_static("max-age=31536000");
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(value);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::native;

    #[tokio::test]
    async fn a_panic_ends_one_request_in_the_words_of_its_dialect() {
        async fn breaks(what: &str) -> Response {
            panic!("{what} broke")
        }
        let response = guarded(breaks("a hinge"), native::speak, "/api/v1/user").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let said = response.into_body().into_string().await.expect("text");
        assert!(said.contains("\"error\":\"internal\"") && !said.contains("hinge"), "{said}");
        let fine = guarded(async { Response::default() }, native::speak, "/").await;
        assert_eq!(fine.status(), StatusCode::OK);
    }
}
