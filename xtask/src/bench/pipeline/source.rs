//! Where writes come from: batches straight to the sidecar as a gateway sends them, or clients
//! before the gateway.
//!
//! Invariant: never more is under way than was said, and a write that is not answered with a 2xx
//! fails the run.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, client::conn::http2, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidehook_event::wire;
use tokio::{net::TcpStream, task::JoinSet};

use super::{event, ledger::Ledger};
use crate::clock::{Stopwatch, since_the_epoch};

/// Events in a batch.
const BATCH: u64 = 50;
/// The same where nothing is measured: the most that the filter puts into one is near.
const LARGE_BATCH: u64 = 250;
/// Batches at a time: two gateways with two workers each.
const BATCHES: usize = 4;
/// Deliveries that may be under way, from the hand-over of their events to their arrival, when more are
/// handed over.
const WINDOW: usize = 2_000;
/// Clients at a time, over connections that some of them share.
const CLIENTS: usize = 100;
const PER_CONNECTION: usize = 50;

type Sender = http2::SendRequest<Full<Bytes>>;

/// Hands over all events of the ledger in batches, as fast as they are delivered.
pub(super) async fn batches(sidecar: SocketAddr, ledger: &Arc<Ledger>) -> Result<()> {
    let next = Arc::new(AtomicU64::new(ledger.numbers().start));
    let mut gateways = JoinSet::new();
    for _ in 0..BATCHES {
        let (next, ledger) = (Arc::clone(&next), Arc::clone(ledger));
        let mut sender = connect(sidecar).await?;
        gateways.spawn(async move {
            while let Some(numbers) = some(&next, BATCH, ledger.numbers().end) {
                ledger.has_room(numbers.start, WINDOW).await?;
                let batch = event::batch(numbers.clone(), event::TYPE, since_the_epoch())?;
                numbers.for_each(|number| ledger.begin(number));
                hand_over(&mut sender, batch).await?;
            }
            Ok(())
        });
    }
    all(gateways).await
}

/// Hands over events of a type that nobody here receives, as fast as they are stored.
pub(super) async fn pile(
    sidecar: SocketAddr,
    numbers: Range<u64>,
    event_type: &'static str,
) -> Result<()> {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let mut gateways = JoinSet::new();
    for _ in 0..BATCHES {
        let (next, end) = (Arc::clone(&next), numbers.end);
        let mut sender = connect(sidecar).await?;
        gateways.spawn(async move {
            while let Some(numbers) = some(&next, LARGE_BATCH, end) {
                let batch = event::batch(numbers, event_type, since_the_epoch())?;
                hand_over(&mut sender, batch).await?;
            }
            Ok(())
        });
    }
    all(gateways).await
}

/// The next numbers before `end`, at most so many.
fn some(next: &AtomicU64, most: u64, end: u64) -> Option<Range<u64>> {
    let from = next.fetch_add(most, Ordering::Relaxed);
    (from < end).then(|| from..(from + most).min(end))
}

async fn hand_over(sender: &mut Sender, batch: Bytes) -> Result<()> {
    let request = Request::builder()
        .method(Method::POST)
        .uri("http://sidecar/ingest")
        .header(header::CONTENT_TYPE, wire::CONTENT_TYPE)
        .body(Full::new(batch))?;
    exchange(sender, request).await
}

/// As many clients as there are usually, each with one write after the other.
pub(super) async fn clients(gateway: SocketAddr, ledger: &Arc<Ledger>) -> Result<()> {
    let next = Arc::new(AtomicU64::new(ledger.numbers().start));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS / PER_CONNECTION {
        let sender = connect(gateway).await?;
        for _ in 0..PER_CONNECTION {
            let (mut sender, next, ledger) =
                (sender.clone(), Arc::clone(&next), Arc::clone(ledger));
            clients.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= ledger.numbers().end {
                        return anyhow::Ok(());
                    }
                    ledger.has_room(number, WINDOW).await?;
                    ledger.begin(number);
                    exchange(&mut sender, write(number)?).await?;
                }
            });
        }
    }
    all(clients).await
}

/// A write every so often. An event begins when its write has been answered.
pub(super) async fn paced(
    gateway: SocketAddr,
    ledger: &Arc<Ledger>,
    every: Duration,
) -> Result<()> {
    let mut sender = connect(gateway).await?;
    let mut ticks = tokio::time::interval(every);
    for number in ledger.numbers() {
        ticks.tick().await;
        exchange(&mut sender, write(number)?).await?;
        ledger.begin(number);
    }
    Ok(())
}

/// One write after the other; an event begins when its write has been answered. Tells how long
/// each answer took.
pub(super) async fn closed_loop(
    gateway: SocketAddr,
    ledger: &Arc<Ledger>,
) -> Result<Vec<Duration>> {
    let mut sender = connect(gateway).await?;
    let mut took = Vec::with_capacity(ledger.events());
    for number in ledger.numbers() {
        let write = write(number)?;
        let start = Stopwatch::start();
        exchange(&mut sender, write).await?;
        took.push(start.elapsed());
        ledger.begin(number);
    }
    Ok(took)
}

async fn all(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn connect(address: SocketAddr) -> Result<Sender> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    // It ends when the last sender is gone.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

async fn exchange(sender: &mut Sender, request: Request<Full<Bytes>>) -> Result<()> {
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

fn write(number: u64) -> Result<Request<Full<Bytes>>> {
    let request = Request::builder().method(Method::POST).uri("http://api.example/people");
    let request = request.header(header::CONTENT_TYPE, "application/json");
    Ok(request.body(Full::new(event::person(number)))?)
}
