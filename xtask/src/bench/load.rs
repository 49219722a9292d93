//! The load: requests over HTTP/2, so many at a time.
//!
//! Invariant: no more requests are sent than asked for, and one that isn't answered with a 2xx
//! fails the whole.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpStream,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::cases::Call;
use crate::clock::Stopwatch;

/// A load that takes longer has got stuck.
const LIMIT: Duration = Duration::from_mins(2);

/// How many streams share a connection.
const PER_CONNECTION: u32 = 50;

/// Connections to a gateway.
#[derive(Debug)]
pub(super) struct Load {
    streams: Vec<SendRequest<Full<Bytes>>>,
    connections: Vec<JoinHandle<()>>,
}

/// What came of a load.
#[derive(Debug)]
pub(super) struct Run {
    /// From the first request to the last answer.
    pub(super) took: Duration,
    /// Of each request, from sending it to the end of its answer.
    pub(super) latencies: Vec<Duration>,
}

impl Load {
    /// Connects, for so many streams.
    pub(super) async fn to(gateway: SocketAddr, streams: u32) -> Result<Self> {
        let mut load = Self { streams: Vec::new(), connections: Vec::new() };
        let mut left = streams;
        while left > 0 {
            let stream = TcpStream::connect(gateway).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) =
                handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            load.connections.push(tokio::spawn(async move { drop(connection.await) }));
            let here = left.min(PER_CONNECTION);
            load.streams.extend((0..here).map(|_| sender.clone()));
            left -= here;
        }
        Ok(load)
    }

    /// Sends so many requests, as fast as they are answered.
    pub(super) async fn send(&self, call: Call, requests: u32) -> Result<Run> {
        let left = Arc::new(AtomicU32::new(requests));
        let start = Stopwatch::start();
        let mut streams = JoinSet::new();
        for sender in &self.streams {
            streams.spawn(converse(sender.clone(), call, left.clone()));
        }
        let ended = async {
            let mut latencies = Vec::new();
            while let Some(ended) = streams.join_next().await {
                latencies.extend(ended??);
            }
            anyhow::Ok(Run { took: start.elapsed(), latencies })
        };
        timeout(LIMIT, ended).await.context("the load got stuck")?
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for connection in &self.connections {
            connection.abort();
        }
    }
}

/// One request after the other, until all streams together have sent enough.
async fn converse(
    mut sender: SendRequest<Full<Bytes>>,
    call: Call,
    left: Arc<AtomicU32>,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
        let request = call.request()?;
        let start = Stopwatch::start();
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}
