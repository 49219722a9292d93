//! A connection whose end is told a moment after its last words were heard.
//!
//! A gateway that ends sends what it still has and closes the connection in one breath. Whoever was
//! busy meanwhile finds all of that at once, and h2 then takes the end for the end of everything:
//! requests that it has read, but not yet handed out, it drops.
//!
//! Invariant: what came before the end, or before a write that failed, is read and has a moment to
//! be handed out; then the end is told.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// Far more than it takes to hand out what is in memory already.
const MOMENT: Duration = Duration::from_millis(100);

/// A connection that ends with a pause.
#[derive(Debug)]
pub(super) struct Parting<S> {
    stream: S,
    /// How long the end stays untold, once it has come.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Parting<S> {
    /// `stream`, with a pause before its end.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, pause: None }
    }

    /// The end has come: waits until it may be told.
    fn pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(MOMENT)));
        pause.as_mut().poll(cx)
    }

    /// What became of writing `length` bytes. To fail is to be at the end, too.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Err(_)) if self.pause(cx).is_pending() => Poll::Ready(Ok(length)),
            polled => polled,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Parting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let end = match polled {
            Poll::Ready(Ok(())) if buffer.filled().len() > before || room == 0 => return polled,
            Poll::Pending if self.pause.is_none() => return polled,
            Poll::Pending => Err(io::ErrorKind::BrokenPipe.into()),
            Poll::Ready(end) => end,
        };
        ready!(self.pause(cx));
        Poll::Ready(end)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Parting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, polled, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, polled, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, polled.map_ok(|()| 0), 0).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn last_words_are_heard_at_once_and_the_end_a_moment_later() {
        let (mut client, server) = duplex(64);
        let mut server = Parting::new(server);
        client.write_all(b"last words").await.unwrap();
        drop(client);
        let mut buffer = [0; 64];
        let at_once = tokio::time::timeout(Duration::ZERO, server.read(&mut buffer)).await;
        assert_eq!(at_once.unwrap().unwrap(), 10);
        let too_early = tokio::time::timeout(MOMENT / 2, server.read(&mut buffer)).await;
        assert!(too_early.is_err(), "{too_early:?}");
        assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn last_words_are_heard_although_nobody_takes_an_answer() {
        let (mut client, server) = duplex(64);
        let mut server = Parting::new(server);
        client.write_all(b"last words").await.unwrap();
        drop(client);
        assert_eq!(server.write(b"an answer").await.unwrap(), 9);
        let mut buffer = [0; 64];
        assert_eq!(server.read(&mut buffer).await.unwrap(), 10);
        assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
        let failure = server.write(b"an answer").await.unwrap_err();
        assert_eq!(failure.kind(), io::ErrorKind::BrokenPipe);
    }
}
