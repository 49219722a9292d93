//! Where writes come from: batches straight to the sidecar as a gateway sends them, or clients
//! before the gateway.
//!
//! Invariant: never more is under way than was said, and a write that is not answered with a 2xx
//! fails the run.

use std::{
    net::SocketAddr,
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
use crate::clock::since_the_epoch;

/// Events in a batch.
const BATCH: u64 = 50;
/// Batches at a time: two gateways with two workers each.
const BATCHES: usize = 4;
/// Events that may be under way from the hand-over to the last arrival.
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
            let end = ledger.numbers().end;
            loop {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                if from >= end {
                    return anyhow::Ok(());
                }
                let numbers = from..(from + BATCH).min(end);
                ledger.has_room(from, WINDOW).await?;
                let batch = event::batch(numbers.clone(), since_the_epoch())?;
                numbers.for_each(|number| ledger.begin(number));
                let request = Request::builder()
                    .method(Method::POST)
                    .uri("http://sidecar/ingest")
                    .header(header::CONTENT_TYPE, wire::CONTENT_TYPE)
                    .body(Full::new(batch))?;
                exchange(&mut sender, request).await?;
            }
        });
    }
    all(gateways).await
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
