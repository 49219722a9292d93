//! A connection to a receiver as HTTP sees it: bytes, whatever they are wrapped in.
//!
//! Invariant: a receiver that does not take what it is sent holds no connection for longer than
//! [`PATIENCE`]: writing then fails, and whoever writes gives up.

use std::{
    fmt,
    future::Future as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::model::MAX_TIMEOUT;

/// How long a receiver may take no byte. No attempt takes longer, so that none is cut by this.
const PATIENCE: std::time::Duration = MAX_TIMEOUT;

/// Bytes in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    tally: Tally,
    /// Runs while the receiver takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// What has come to pass on a connection. Clones tell of the same one.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    http2: bool,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often something was sent after something was heard, or at first.
    exchanges: AtomicU64,
    /// Whether something was heard since it was last sent to.
    heard: AtomicBool,
    /// Whether an answer came over it.
    answered: AtomicBool,
}

impl Tally {
    fn new(http2: bool) -> Self {
        Self { http2, state: Arc::default() }
    }

    /// Whether it is HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.http2
    }

    /// Notes that an answer came over it.
    pub(super) fn answered(&self) {
        self.state.answered.store(true, Ordering::Relaxed);
    }

    /// Whether an answer came over it.
    pub(super) fn has_answered(&self) -> bool {
        self.state.answered.load(Ordering::Relaxed)
    }

    /// Whether it has served before and now said not one byte in answer to what was sent last. Of
    /// use only where one exchange follows the other, over HTTP/1.1.
    pub(super) fn went_silent(&self) -> bool {
        let exchanges = self.state.exchanges.load(Ordering::Relaxed);
        exchanges > 1 && !self.state.heard.load(Ordering::Relaxed)
    }

    fn sends(&self) {
        let state = &self.state;
        if state.heard.swap(false, Ordering::Relaxed)
            || state.exchanges.load(Ordering::Relaxed) == 0
        {
            state.exchanges.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn hears(&self) {
        self.state.heard.store(true, Ordering::Relaxed);
    }
}

impl Wire {
    /// The connection that `stream` is.
    pub(super) fn new(stream: Box<dyn Stream>, http2: bool) -> Self {
        Self { stream, tally: Tally::new(http2), stalled: None }
    }

    /// Passes on what came of writing, unless the receiver has taken nothing for too long.
    fn taken<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "takes nothing any more")))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.tally.hears();
        }
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.tally.sends();
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.taken(result, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tally.sends();
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.taken(result, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            // That nothing is left to be flushed does not mean that more could be written.
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => self.taken(Poll::Pending, context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.taken(result, context)
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.tally.clone());
        if self.tally.http2 { connected.negotiated_h2() } else { connected }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("tally", &self.tally).finish_non_exhaustive()
    }
}
