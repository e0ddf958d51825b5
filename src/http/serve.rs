//! Connections: accepted up to a bound, with an end to every wait, closed gracefully.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use poem::{
    Addr, Endpoint,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};

/// How long requests in flight may take once the server was told to stop.
const GRACE: Duration = Duration::from_secs(10);
const HEADER_BYTES: usize = 32 * 1024;
const STREAMS: u32 = 32;

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many at once; beyond it newcomers wait.
    pub connections: usize,
    /// A header, or the next request on a kept connection, has to be there within this time.
    pub header_time: Duration,
}

impl Limits {
    /// So many connections, each with half a minute for a header.
    pub fn connections(connections: usize) -> Self {
        Self { connections, header_time: Duration::from_secs(30) }
    }
}

/// Serves `endpoint` on all listeners until `stop` is done, then lets requests in flight finish.
pub async fn serve<E>(
    listeners: Vec<TcpListener>,
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
        let (endpoint, places) = (Arc::clone(&endpoint), Arc::clone(&places));
        accepting.spawn(accept(
            listener,
            endpoint,
            (places, limits.header_time),
            Arc::clone(&graceful),
        ));
    }
    stop.await;
    // The listeners close here, so that a successor can bind while we finish.
    accepting.shutdown().await;
    if let Some(graceful) = Arc::into_inner(graceful) {
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    }
}

async fn accept<E: Endpoint + 'static>(
    listener: TcpListener,
    endpoint: Arc<E>,
    (places, header_time): (Arc<Semaphore>, Duration),
    graceful: Arc<GracefulShutdown>,
) {
    loop {
        // Beyond the bound newcomers wait in the system's backlog.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, peer)) => {
                connect(socket, peer, Arc::clone(&endpoint), (place, header_time), &graceful);
            }
            // Out of descriptors, or a client that left: the others are served on.
            Err(error) if is_passing(&error) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
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

fn connect<E: Endpoint + 'static>(
    socket: TcpStream,
    peer: SocketAddr,
    endpoint: Arc<E>,
    (place, header_time): (OwnedSemaphorePermit, Duration),
    graceful: &GracefulShutdown,
) {
    let local = socket.local_addr().map_or(Addr::Custom("unknown", "".into()), Addr::from);
    let (local, remote) = (LocalAddr(local), RemoteAddr(Addr::from(peer)));
    // Small answers should not wait for more of them.
    let _ = socket.set_nodelay(true);
    let (busy, begun) = (Arc::new(()), Arc::new(AtomicU64::new(0)));
    let at_rest = Arc::strong_count(&busy) + 1;
    let service = {
        let (busy, begun) = (Arc::clone(&busy), Arc::clone(&begun));
        service_fn(move |request: Request<Incoming>| {
            begun.fetch_add(1, Ordering::Relaxed);
            let (endpoint, busy) = (Arc::clone(&endpoint), Arc::clone(&busy));
            let parts = (request, local.clone(), remote.clone(), Scheme::HTTP);
            async move {
                let response = endpoint.get_response(parts.into()).await;
                Ok::<_, Infallible>(busy_until_sent(response, busy))
            }
        })
    };
    let builder = builder(header_time);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
    let connection = graceful.watch(connection.into_owned());
    tokio::spawn(async move {
        let mut connection = std::pin::pin!(connection);
        let mut seen = 0;
        // hyper's own time begins with the bytes that tell HTTP/1 from HTTP/2, and ends with the
        // first request of HTTP/2: a client that is silent before or after must not keep its place.
        while tokio::time::timeout(header_time, connection.as_mut()).await.is_err() {
            let now = begun.load(Ordering::Relaxed);
            if now == seen && Arc::strong_count(&busy) <= at_rest {
                break;
            }
            seen = now;
        }
        drop(place);
    });
}

type Frames = BoxBody<Bytes, io::Error>;

/// A connection is busy until the last frame of its answers is handed on: streams may be quiet.
struct Held {
    frames: Frames,
    _busy: Arc<()>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.frames).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.frames.size_hint()
    }
}

fn busy_until_sent(response: poem::Response, busy: Arc<()>) -> Response<Held> {
    Response::<Frames>::from(response).map(|frames| Held { frames, _busy: busy })
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
        .max_header_list_size(HEADER_BYTES as u32)
        .max_pending_accept_reset_streams(20)
        .keep_alive_interval(header_time)
        .keep_alive_timeout(header_time);
    builder
}
