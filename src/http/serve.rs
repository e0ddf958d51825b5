//! Connections: accepted up to a bound, with an end to every wait, closed gracefully.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::poll_fn};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{StreamBody, combinators::BoxBody};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use poem::{
    Addr, Endpoint,
    http::{Version, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::tls::Current;
use crate::log;

/// How long requests in flight may take once the server was told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// At most so often the log says that connections cannot be accepted.
const TOLD_EVERY: Duration = Duration::from_secs(60);
const HEADER_BYTES: usize = 32 * 1024;
const STREAMS: u32 = 32;
/// What a client of HTTP/2 may send that nobody has read yet: on one stream, and on all of a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;
/// What HTTP/2 takes of an answer before the client does.
const SENT_BYTES: usize = 64 * 1024;
/// Answers are handed on in pieces of at most so many bytes: that a large one moves has to be seen.
const PIECE: usize = 16 * 1024;
/// An answer that is out must have moved within so many header times.
const HELD_TIMES: u32 = 2;
/// How much of a refused body is read, and for how long.
const REST_BYTES: usize = 64 * 1024;
const REST_TIME: Duration = Duration::from_secs(1);

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Connections that this process has open.
pub fn open() -> usize {
    OPEN.load(Ordering::Relaxed)
}

/// Counts a connection for as long as it lives.
struct Counted;

impl Counted {
    fn new() -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many at once; beyond it newcomers wait.
    pub connections: usize,
    /// A header, or the next request on a kept connection, has to be there within this time.
    pub header_time: Duration,
    /// A TLS handshake has to be done within this time.
    pub handshake_time: Duration,
}

impl Limits {
    /// So many connections, each with half a minute for a header and ten seconds for a handshake.
    pub fn connections(connections: usize) -> Self {
        let (header_time, handshake_time) = (Duration::from_secs(30), Duration::from_secs(10));
        Self { connections, header_time, handshake_time }
    }
}

/// Where connections come in.
pub struct Listener {
    socket: TcpListener,
    /// `None`: in the clear.
    tls: Option<Current>,
}

impl Listener {
    /// Speaks HTTP/1.1, or HTTP/2 to clients that know that it does.
    pub fn plain(socket: TcpListener) -> Self {
        Self { socket, tls: None }
    }

    /// Speaks them within TLS, by the certificate that is current when a connection begins.
    pub fn secure(socket: TcpListener, tls: Current) -> Self {
        Self { socket, tls: Some(tls) }
    }

    /// Where it listens, as the beginning of a URL.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.socket.local_addr()?))
    }
}

/// Serves `endpoint` on all listeners until `stop` is done, then lets requests in flight finish.
pub async fn serve<E>(
    listeners: Vec<Listener>,
    endpoint: E,
    limits: Limits,
    stop: impl Future<Output = ()>,
) where
    E: Endpoint + 'static,
{
    let endpoint = Arc::new(endpoint);
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = Arc::new(GracefulShutdown::new());
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let door = Doorway {
            endpoint: Arc::clone(&endpoint),
            limits,
            local: listener.socket.local_addr().ok(),
            tls: listener.tls,
        };
        let (places, graceful) = (Arc::clone(&places), Arc::clone(&graceful));
        accepting.spawn(accept(listener.socket, Arc::new(door), places, graceful));
    }
    stop.await;
    // The listeners close here, so that a successor can bind while we finish.
    accepting.shutdown().await;
    if let Some(graceful) = Arc::into_inner(graceful) {
        let _ = timeout(GRACE, graceful.shutdown()).await;
    }
}

/// What the connections of one listener have in common.
struct Doorway<E> {
    endpoint: Arc<E>,
    limits: Limits,
    local: Option<SocketAddr>,
    tls: Option<Current>,
}

async fn accept<E: Endpoint + 'static>(
    listener: TcpListener,
    door: Arc<Doorway<E>>,
    places: Arc<Semaphore>,
    graceful: Arc<GracefulShutdown>,
) {
    let mut told: Option<Instant> = None;
    loop {
        // Beyond the bound newcomers wait in the system's backlog.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Watched from here on: whoever is let in just before the end is waited for.
                let (door, watcher) = (Arc::clone(&door), graceful.watcher());
                tokio::spawn(connect(socket, peer, door, place, watcher));
            }
            // Out of descriptors, or a client that left: the others are served on.
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                // Each newcomer would be told of otherwise, for as long as it lasts.
                if told.is_none_or(|at| at.elapsed() > TOLD_EVERY) {
                    log::trouble("connections", &format!("newcomers have to wait: {error}"));
                    told = Some(Instant::now());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn connect<E: Endpoint + 'static>(
    socket: TcpStream,
    peer: SocketAddr,
    door: Arc<Doorway<E>>,
    _place: OwnedSemaphorePermit,
    watcher: Watcher,
) {
    let _counted = Counted::new();
    // Small answers should not wait for more of them.
    let _ = socket.set_nodelay(true);
    let Some(tls) = &door.tls else {
        return converse(socket, peer, &door, Scheme::HTTP, watcher).await;
    };
    let config = Arc::clone(&tls.borrow());
    let handshake = TlsAcceptor::from(config).accept(socket);
    // Whoever is slow, or speaks no TLS, is told nothing.
    if let Ok(Ok(stream)) = timeout(door.limits.handshake_time, handshake).await {
        converse(stream, peer, &door, Scheme::HTTPS, watcher).await;
    }
}

async fn converse<E: Endpoint + 'static>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    door: &Doorway<E>,
    scheme: Scheme,
    watcher: Watcher,
) {
    let local = door.local.map_or(Addr::Custom("unknown", "".into()), Addr::from);
    let (local, remote) = (LocalAddr(local), RemoteAddr(Addr::from(peer)));
    let signs = Arc::new(Signs::default());
    let service = {
        let (signs, endpoint) = (Arc::clone(&signs), Arc::clone(&door.endpoint));
        service_fn(move |request: Request<Incoming>| {
            let (endpoint, signs) = (Arc::clone(&endpoint), Arc::clone(&signs));
            let turn = signs.begin();
            let parts = (request, local.clone(), remote.clone(), scheme.clone());
            async move {
                let mut request = parts.into();
                let mut rest = lend(&mut request);
                // In a box, which is gone while the rest is read: a refused request should take little.
                let response = Box::pin(endpoint.get_response(request)).await;
                if let Some(lent) = &rest
                    && timeout(REST_TIME, read_out(lent)).await == Ok(true)
                {
                    rest = None;
                }
                let response = Response::<Frames>::from(response);
                let response = response.map(|frames| Held::new(frames, rest, &signs));
                drop(turn);
                Ok::<_, Infallible>(response)
            }
        })
    };
    let header_time = door.limits.header_time;
    let builder = builder(header_time);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(watcher.watch(connection.into_owned()));
    let mut quiet = Quiet::default();
    // hyper's own time begins with the bytes that tell HTTP/1 from HTTP/2, and ends with the
    // first request of HTTP/2: a client that is silent before or after must not keep its place,
    // nor one that asks and takes no answer.
    while timeout(header_time, connection.as_mut()).await.is_err() {
        if quiet.is_over(&signs) {
            break;
        }
    }
}

/// What goes on in one connection.
#[derive(Default)]
struct Signs {
    /// Requests begun and pieces of answers handed on.
    moved: AtomicU64,
    /// Once more for each request that has no answer yet, and each answer that has no frame yet while
    /// the client has room for one: streams may be quiet.
    ours: Arc<()>,
    /// Once more for each answer that is not handed on to its end.
    held: Arc<()>,
}

impl Signs {
    /// A request; until its answer is there, it is our turn.
    fn begin(&self) -> Arc<()> {
        self.moved.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.ours)
    }
}

/// For how many header times in a row a client could have moved something and did not.
#[derive(Default)]
struct Quiet {
    seen: u64,
    times: u32,
}

impl Quiet {
    /// Whether a connection is over, asked each time that a header time has passed.
    fn is_over(&mut self, signs: &Signs) -> bool {
        let now = signs.moved.load(Ordering::Relaxed);
        let is_ours = Arc::strong_count(&signs.ours) > 1;
        self.times = if is_ours || now != self.seen { 0 } else { self.times + 1 };
        self.seen = now;
        let is_held = Arc::strong_count(&signs.held) > 1;
        self.times >= if is_held { HELD_TIMES } else { 1 }
    }
}

type Frames = BoxBody<Bytes, io::Error>;

/// An answer, which tells its connection how it moves.
struct Held {
    frames: Frames,
    /// What is left of the last frame.
    left: Bytes,
    signs: Arc<Signs>,
    /// While the next frame is ours to bring.
    turn: Option<Arc<()>>,
    _held: Arc<()>,
    _rest: Option<Rest>,
}

impl Held {
    fn new(frames: Frames, rest: Option<Rest>, signs: &Arc<Signs>) -> Self {
        let (signs, held) = (Arc::clone(signs), Arc::clone(&signs.held));
        Self { frames, left: Bytes::new(), signs, turn: None, _held: held, _rest: rest }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        self.signs.moved.fetch_add(1, Ordering::Relaxed);
        Frame::data(self.left.split_to(self.left.len().min(PIECE)))
    }
}

/// A request's body, which whoever answers reads, and which stays: in HTTP/2 a body that goes before
/// the answer is out cancels the answer, and whoever is refused early would never learn why (RFC 9113,
/// section 8.1).
type Rest = Arc<Mutex<Frames>>;

/// Lends a body of HTTP/2 to whoever answers. HTTP/1 reads on or hangs up by itself.
fn lend(request: &mut poem::Request) -> Option<Rest> {
    if request.version() != Version::HTTP_2 {
        return None;
    }
    let frames = Frames::from(request.take_body());
    if frames.is_end_stream() {
        return None;
    }
    let rest = Arc::new(Mutex::new(frames));
    let lent = Arc::clone(&rest);
    let stream = poll_fn(move |context| poll(&lent, context));
    request.set_body(Frames::new(StreamBody::new(stream)));
    Some(rest)
}

fn poll(rest: &Rest, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
    let mut frames = rest.lock().unwrap_or_else(PoisonError::into_inner);
    Pin::new(&mut *frames).poll_frame(context)
}

impl Body for Held {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.left.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let polled = Pin::new(&mut self.frames).poll_frame(context);
        self.turn = polled.is_pending().then(|| Arc::clone(&self.signs.ours));
        match ready!(polled).transpose()?.map(Frame::into_data) {
            Some(Ok(data)) => {
                self.left = data;
                Poll::Ready(Some(Ok(self.piece())))
            }
            Some(Err(trailers)) => Poll::Ready(Some(Ok(trailers))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.frames.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (left, rest) = (self.left.len() as u64, self.frames.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(left));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(left));
        }
        hint
    }
}

/// Reads what nobody wanted: clients that are still sending do not all hear an answer that comes with
/// a reset. Whoever sends much more than a form gets both. Whether the end was reached.
async fn read_out(rest: &Rest) -> bool {
    let mut frames = poll_fn(|context| poll(rest, context));
    let mut left = REST_BYTES;
    while left > 0 {
        let Some(Ok(frame)) = frames.next().await else { return true };
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len).max(1));
    }
    false
}

fn builder(header_time: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_buf_size(HEADER_BYTES)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SENT_BYTES)
        .max_header_list_size(HEADER_BYTES as u32)
        .max_pending_accept_reset_streams(20)
        .keep_alive_interval(header_time)
        .keep_alive_timeout(header_time);
    builder
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tokio::sync::mpsc;

    use super::*;

    fn answer(text: Vec<u8>, signs: &Arc<Signs>) -> Held {
        let frames = Full::new(Bytes::from(text)).map_err(|never| match never {});
        Held::new(Frames::new(frames), None, signs)
    }

    #[test]
    fn a_connection_is_over_when_a_client_asks_nothing_and_takes_nothing() {
        let (signs, mut quiet) = (Arc::new(Signs::default()), Quiet::default());
        let turn = signs.begin();
        // However long an answer takes us, the client is not to blame.
        assert!((0..9).all(|_| !quiet.is_over(&signs)));
        let mut held = answer(vec![b'x'; 3 * PIECE], &signs);
        drop(turn);
        let mut context = Context::from_waker(std::task::Waker::noop());
        for _ in 0..3 {
            assert!(Pin::new(&mut held).poll_frame(&mut context).is_ready());
            assert!(!quiet.is_over(&signs), "a piece has moved");
            assert!(!quiet.is_over(&signs), "one header time is not enough");
        }
        assert!(quiet.is_over(&signs));
        drop(held);
        signs.begin();
        assert!(!quiet.is_over(&signs), "a request was begun");
        assert!(quiet.is_over(&signs), "and all is done");
    }

    #[tokio::test]
    async fn a_stream_that_waits_for_us_is_never_over_and_one_that_is_not_read_is() {
        let (signs, mut quiet) = (Arc::new(Signs::default()), Quiet::default());
        let (events, mut told) = mpsc::unbounded_channel::<Bytes>();
        let stream = poll_fn(move |context| told.poll_recv(context));
        let frames = stream.map(|bytes| Ok(Frame::data(bytes)));
        let mut held = Held::new(Frames::new(StreamBody::new(frames)), None, &signs);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut held).poll_frame(&mut context).is_pending());
        assert!((0..9).all(|_| !quiet.is_over(&signs)));
        events.send(Bytes::from_static(b"event")).expect("a reader");
        assert!(Pin::new(&mut held).poll_frame(&mut context).is_ready());
        assert!(!quiet.is_over(&signs), "it has moved");
        // Nobody asks for the next one: the client has no room for it.
        assert!(!quiet.is_over(&signs) && quiet.is_over(&signs));
    }

    #[tokio::test]
    async fn a_large_answer_goes_out_in_pieces_and_stays_whole() {
        let signs = Arc::new(Signs::default());
        let text: Vec<u8> = (0..PIECE * 2 + 1).map(|number| (number % 251) as u8).collect();
        let mut held = answer(text.clone(), &signs);
        let (mut whole, mut sizes) = (Vec::new(), Vec::new());
        while !held.is_end_stream() {
            assert_eq!(held.size_hint().exact(), Some((text.len() - whole.len()) as u64));
            let frame = held.frame().await.expect("a frame").expect("no error");
            let piece = frame.into_data().expect("data");
            sizes.push(piece.len());
            whole.extend_from_slice(&piece);
        }
        assert!(whole == text && sizes == [PIECE, PIECE, 1], "{sizes:?}");
    }
}
