//! A connection whose client must say in time which HTTP it speaks.
//!
//! hyper waits as long as it takes for the first bytes, which tell HTTP/2 from HTTP/1.1, and
//! starts its own clocks only then. A client that connects and says nothing would keep its place
//! for ever.
//!
//! Invariant: until it is clear which HTTP is spoken the deadline stands; from then on this is the
//! connection itself.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// What HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection with a deadline for its first words.
#[derive(Debug)]
pub(super) struct Promptly<S> {
    stream: S,
    /// `None` once it is clear what is spoken.
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    deadline: Pin<Box<Sleep>>,
    /// What of the preface of HTTP/2 has not come yet.
    expected: &'static [u8],
}

impl<S> Promptly<S> {
    /// `stream`, whose client has so long for its first words.
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        let deadline = Box::pin(tokio::time::sleep(patience));
        Self { stream, waiting: Some(Waiting { deadline, expected: PREFACE }) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Promptly<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, waiting } = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(stream).poll_read(cx, buffer);
        let Some(first) = waiting else { return polled };
        if polled.is_pending() {
            // Polled so that this task is woken at the deadline.
            return first.deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        let read = buffer.filled().get(before..).unwrap_or_default();
        match first.expected.strip_prefix(read) {
            Some(rest) if !rest.is_empty() => first.expected = rest,
            _ => *waiting = None,
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Promptly<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);

    /// What the server reads when the client says this and then nothing any more.
    async fn heard(said: &[u8]) -> io::Result<usize> {
        let (mut client, server) = duplex(64);
        let mut server = Promptly::new(server, PATIENCE);
        client.write_all(said).await.unwrap();
        let mut buffer = [0; 64];
        for _ in 0..said.len().min(1) {
            let read = server.read(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..read], said);
        }
        let more = tokio::time::timeout(10 * PATIENCE, server.read(&mut buffer)).await;
        drop(client);
        more.unwrap_or(Ok(0))
    }

    #[tokio::test]
    async fn who_says_too_little_is_not_waited_for() {
        for said in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            let error = heard(said.as_bytes()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{said:?}");
        }
    }

    #[tokio::test]
    async fn who_has_said_what_is_spoken_has_other_deadlines() {
        for said in ["G", "POST", "PRX", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n"] {
            assert_eq!(heard(said.as_bytes()).await.unwrap(), 0, "{said:?}");
        }
    }
}
