//! Serves a router at a place to listen: HTTP/1.1 and HTTP/2 without TLS.
//!
//! What a connection may cost is limited before anybody looks at who is there: the number of
//! connections, the size of a request's head, the time that it may take to arrive.
//!
//! Invariant: a client that sends too much, too slowly or nothing at all is told so or dropped
//! before anything of the application sees it.

mod listener;
mod promptly;

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use listener::Stream;
pub use listener::{BindError, Listener};
use promptly::Promptly;

/// What clients may ask of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most connections at once. Whoever comes then waits until one ends.
    pub connections: usize,
    /// The longest head of a request, in bytes; at least 8 KiB.
    pub head: usize,
    /// The most headers of a request.
    pub headers: usize,
    /// How long a connection may take to say which HTTP it speaks, how long a request's head may
    /// take to arrive over HTTP/1.1, and how long such a connection may be idle.
    pub patience: Duration,
    /// After how long a silence the other end of an HTTP/2 connection is asked whether it is
    /// there.
    pub ping: Duration,
    /// The most requests at once on one connection of HTTP/2.
    pub streams: u32,
}

impl Limits {
    /// Those of the process.
    pub const USUAL: Self = Self {
        connections: 4096,
        head: 32 * 1024,
        headers: 100,
        patience: Duration::from_secs(30),
        ping: Duration::from_secs(20),
        streams: 256,
    };
}

/// How long the other end may take to say that it is there.
const PONG: Duration = Duration::from_secs(10);

/// Serves until `stop`, then finishes the requests that are under way.
pub async fn serve(
    mut listener: Listener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(limits.connections));
    let builder = builder(limits);
    loop {
        let accepted = async {
            // A semaphore that is never closed always has a permit in the end.
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        let connection = converse(builder.clone(), stream, router.clone(), limits, stop.clone());
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
    // Nobody else is let in, and a socket's file goes away.
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.patience)
        .max_buf_size(limits.head)
        .max_headers(limits.headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(PONG);
    builder
}

async fn converse(
    builder: Builder<TokioExecutor>,
    stream: Stream,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let io = TokioIo::new(Promptly::new(stream, limits.patience));
    let service = router.map_request(|request: Request<_>| request.map(axum::body::Body::new));
    let connection = builder.serve_connection(io, TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients go away as they please, and what they send is theirs.
        tracing::debug!(%error, "a connection broke");
    }
}
