//! Connections: accepted up to a bound, with an end to every wait, closed gracefully.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

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

/// A header, or the next request on a kept connection, has to be there within this time.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// How long requests in flight may take once the server was told to stop.
const GRACE: Duration = Duration::from_secs(10);
const HEADER_BYTES: usize = 32 * 1024;
const STREAMS: u32 = 32;

/// Serves `endpoint` on all listeners until `stop` is done, then lets requests in flight finish.
pub async fn serve<E>(
    listeners: Vec<TcpListener>,
    endpoint: E,
    max_connections: usize,
    stop: impl Future<Output = ()>,
) where
    E: Endpoint + 'static,
{
    let endpoint = Arc::new(endpoint);
    let places = Arc::new(Semaphore::new(max_connections));
    let graceful = Arc::new(GracefulShutdown::new());
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let (endpoint, places) = (Arc::clone(&endpoint), Arc::clone(&places));
        accepting.spawn(accept(listener, endpoint, places, Arc::clone(&graceful)));
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
    places: Arc<Semaphore>,
    graceful: Arc<GracefulShutdown>,
) {
    loop {
        // Beyond the bound newcomers wait in the system's backlog.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, peer)) => connect(socket, peer, Arc::clone(&endpoint), place, &graceful),
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
    place: OwnedSemaphorePermit,
    graceful: &GracefulShutdown,
) {
    let local = socket.local_addr().map_or(Addr::Custom("unknown", "".into()), Addr::from);
    let (local, remote) = (LocalAddr(local), RemoteAddr(Addr::from(peer)));
    // Small answers should not wait for more of them.
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let endpoint = Arc::clone(&endpoint);
        let parts = (request, local.clone(), remote.clone(), Scheme::HTTP);
        async move { Ok::<_, Infallible>(endpoint.get_response(parts.into()).await.into()) }
    });
    let builder = builder();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
    let connection = graceful.watch(connection.into_owned());
    tokio::spawn(async move {
        // What fails here is the client's connection; its request was logged.
        let _ = connection.await;
        drop(place);
    });
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES as u32)
        .max_pending_accept_reset_streams(20)
        .keep_alive_interval(HEADER_TIME)
        .keep_alive_timeout(HEADER_TIME);
    builder
}
