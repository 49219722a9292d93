//! Listens on every address of this machine, at one port, and answers 204.
//!
//! Invariant: every connection is counted, whatever it was for.

#![expect(clippy::unwrap_used, reason = "without a canary there is nothing to test")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A canary.
pub(crate) struct Canary {
    port: u16,
    sung: Arc<AtomicUsize>,
}

impl Canary {
    pub(crate) async fn start() -> Self {
        let sung = Arc::new(AtomicUsize::new(0));
        // Takes IPv4 too, as ::ffff:a.b.c.d.
        let listener = TcpListener::bind("[::]:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counting = Arc::clone(&sung);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counting.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut heard = [0; 8192];
                    let _ = stream.read(&mut heard).await;
                    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                });
            }
        });
        Self { port, sung }
    }

    /// A URL that reaches it if `host` is this machine.
    pub(crate) fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/hook", self.port)
    }

    /// How many connections came.
    pub(crate) fn sung(&self) -> usize {
        self.sung.load(Ordering::SeqCst)
    }
}
