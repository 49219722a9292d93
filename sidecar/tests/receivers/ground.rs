//! The ground of these tests: raw receivers on loopback, and the client that calls them.
//!
//! Invariant: every wait has a limit.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "this is how a test fails, and measures"
)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Request;
use http_body_util::Full;
use sidehook::{
    deliver::{
        client::{Answer, Client, Failure},
        egress::Rule,
    },
    model::{Target, Tls},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// The longest that any test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a receiver does with a connection.
pub(crate) type Behave = Arc<dyn Fn(Connection) -> BoxFuture<'static, Option<()>> + Send + Sync>;

/// A receiver, and how many connections came to it.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    came: Arc<AtomicUsize>,
}

/// A connection as its receiver has it. Each step is `None` when it broke.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// How many came before it.
    pub(crate) number: usize,
}

/// The client of the tests: it may go to this machine.
pub(crate) fn client() -> Client {
    Client::new(Arc::new(Rule::allowing(["127.0.0.0/8".parse().unwrap()]))).unwrap()
}

/// Sends a small webhook and measures how long that took.
pub(crate) async fn send(
    client: &Client,
    url: &str,
    limit: Duration,
) -> (Result<Answer, Failure>, Duration) {
    send_body(client, url, limit, Bytes::from_static(b"{\"webhook\":true}")).await
}

pub(crate) async fn send_body(
    client: &Client,
    url: &str,
    limit: Duration,
    body: Bytes,
) -> (Result<Answer, Failure>, Duration) {
    let target = Target::parse(url).unwrap();
    let request = Request::post(target.as_str()).body(Full::new(body)).unwrap();
    let began = Instant::now();
    let Ok(sent) = timeout(PATIENCE, client.send(&target, &Tls::default(), request, limit)).await
    else {
        panic!("{url} was never done with");
    };
    (sent, began.elapsed())
}

/// Waits until `count` is what is counted.
pub(crate) async fn until(count: usize, what: &str, counted: impl Fn() -> usize) {
    let reached = timeout(PATIENCE, async {
        while counted() != count {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(reached.await.is_ok(), "{what}: {} instead of {count}", counted());
}

impl Receiver {
    /// One that treats each connection as `behave` says.
    pub(crate) async fn start<F>(behave: impl Fn(Connection) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<()>> + Send + 'static,
    {
        Self::of(Arc::new(move |connection| Box::pin(behave(connection)))).await
    }

    /// The same.
    pub(crate) async fn of(behave: Behave) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Self { address, came: Arc::default() };
        let came = Arc::clone(&receiver.came);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = came.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(behave(Connection { stream, number }));
            }
        });
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

impl Connection {
    /// Reads a request to its end.
    pub(crate) async fn hear(&mut self) -> Option<Vec<u8>> {
        let mut heard = Vec::new();
        loop {
            if let Some(end) = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&heard[..end]).to_lowercase();
                let length = text.split("content-length: ").nth(1).unwrap_or("0");
                let length: usize = length.lines().next()?.parse().ok()?;
                if heard.len() >= end + 4 + length {
                    return Some(heard);
                }
            }
            let read = self.stream.read_buf(&mut heard).await.ok()?;
            (read > 0).then_some(())?;
        }
    }

    /// Reads a request, then says this.
    pub(crate) async fn answer(&mut self, text: impl AsRef<[u8]>) -> Option<()> {
        self.hear().await?;
        self.say(text).await
    }

    pub(crate) async fn say(&mut self, text: impl AsRef<[u8]>) -> Option<()> {
        self.stream.write_all(text.as_ref()).await.ok()
    }

    /// Says it again and again.
    pub(crate) async fn repeat(&mut self, text: impl AsRef<[u8]>, every: Duration) -> Option<()> {
        loop {
            self.say(text.as_ref()).await?;
            if every.is_zero() {
                tokio::task::yield_now().await;
            } else {
                sleep(every).await;
            }
        }
    }

    /// Says and hears nothing more until the other side closes.
    pub(crate) async fn wait(&mut self) -> Option<()> {
        let mut rest = [0; 4096];
        while self.stream.read(&mut rest).await.ok()? > 0 {}
        Some(())
    }

    /// Breaks it off with a reset.
    pub(crate) fn reset(self) -> Option<()> {
        self.stream.set_zero_linger().ok()
    }
}

/// The memory of this process, in bytes.
pub(crate) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
