//! Serves a router at a place to listen: HTTP/1.1 and HTTP/2, with or without TLS.
//!
//! What a connection may cost is limited before anybody looks at who is there: the number of
//! connections, the time that TLS may take, the size of a request's head, the time that it may take
//! to arrive.
//!
//! Invariant: a client that sends too much, too slowly or nothing at all is told so or dropped
//! before anything of the application sees it.

mod listener;
mod parting;
mod promptly;
mod tls;

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

pub use listener::{BindError, Listener};
use parting::Parting;
use promptly::Promptly;
pub use tls::{Certificates, Unusable};

/// What clients may ask of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most connections at once. Whoever comes then waits until one ends.
    pub connections: usize,
    /// The longest head of a request, in bytes; at least 8 KiB.
    pub head: usize,
    /// The most headers of a request.
    pub headers: usize,
    /// How long a connection may take to agree on TLS, where it is spoken.
    pub handshake: Duration,
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
        handshake: Duration::from_secs(10),
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
    let tls = listener.tls();
    if let Some(certificates) = tls.clone() {
        connections.spawn(stop.clone().run_until_cancelled_owned(certificates.watch()));
    }
    let conversation = Conversation { builder: builder(limits), router, limits, stop };
    loop {
        let accepted = async {
            // A semaphore that is never closed always has a permit in the end.
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            () = conversation.stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        let (conversation, tls) = (conversation.clone(), tls.clone());
        connections.spawn(async move {
            match tls {
                None => conversation.hold(stream).await,
                Some(certificates) => conversation.hold_over_tls(stream, &certificates).await,
            }
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

/// What is needed to talk over a connection.
#[derive(Clone)]
struct Conversation {
    builder: Builder<TokioExecutor>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
}

impl Conversation {
    async fn hold_over_tls(self, stream: impl Wire, certificates: &Certificates) {
        let agreeing = certificates.welcome(stream, self.limits.handshake);
        match self.stop.run_until_cancelled(agreeing).await {
            None => {}
            Some(Ok(stream)) => self.hold(stream).await,
            // Whoever passes by may say anything.
            Some(Err(error)) => tracing::debug!(%error, "a connection did not agree on TLS"),
        }
    }

    async fn hold(self, stream: impl Wire) {
        let Self { builder, router, limits, stop } = self;
        let io = TokioIo::new(Promptly::new(Parting::new(stream), limits.patience));
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
}

/// What a conversation goes over.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire for S {}
