//! Connections: accepted up to a bound, with an end to every wait, closed gracefully.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{Request, body::Incoming, service::service_fn};
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
    let begun = Arc::new(AtomicBool::new(false));
    let begins = Arc::clone(&begun);
    let service = service_fn(move |request: Request<Incoming>| {
        begins.store(true, Ordering::Relaxed);
        let endpoint = Arc::clone(&endpoint);
        let parts = (request, local.clone(), remote.clone(), Scheme::HTTP);
        async move { Ok::<_, Infallible>(endpoint.get_response(parts.into()).await.into()) }
    });
    let builder = builder(header_time);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
    let connection = graceful.watch(connection.into_owned());
    tokio::spawn(async move {
        let mut connection = std::pin::pin!(connection);
        // hyper's own time begins with the bytes that tell HTTP/1 from HTTP/2; a client that
        // never sends them would keep its place for ever.
        let ended = tokio::time::timeout(header_time, connection.as_mut()).await.is_ok();
        if !ended && begun.load(Ordering::Relaxed) {
            // What fails here is the client's connection; its request was logged.
            let _ = connection.await;
        }
        drop(place);
    });
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
