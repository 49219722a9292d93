//! The raw limit: the same body, signed in the same way, sent over one connection in a loop.
//!
//! Invariant: nothing is stored, nothing is looked up, and no more is done than a receiver needs.

use std::{sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use standardwebhooks::Webhook;
use tokio::net::TcpStream;

use super::{
    event,
    figures::{Figures, ranks},
    ledger::Ledger,
    receiver::Receivers,
};
use crate::{bench::usage, clock::since_the_epoch};

/// A secret like any other.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Sends so many, and reads what its thread took.
pub(super) async fn play(receivers: &Receivers, events: usize) -> Result<Figures> {
    let ledger = Arc::new(Ledger::new(1, events, 1));
    receivers.note_in(Arc::clone(&ledger));
    let (url, own) = (receivers.url(0), Arc::clone(&ledger));
    // A thread of its own, whose time is told apart.
    let looping =
        tokio::task::spawn_blocking(move || thread::spawn(move || send(&url, &own)).join());
    let took = looping.await?.map_err(|_| anyhow!("the loop broke off"))??;
    ledger.is_complete().await?;
    let deliveries = f64::from(u32::try_from(events)?);
    Ok(Figures {
        per_second: deliveries / ledger.took().as_secs_f64(),
        cpu: [("loop", took.as_secs_f64() * 1e3 / deliveries)].into(),
        latency: Some(ranks(ledger.latencies())),
        ..Figures::default()
    })
}

fn send(url: &str, ledger: &Ledger) -> Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let uri: hyper::Uri = url.parse()?;
        let authority = uri.authority().context("a receiver without an address")?.as_str();
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { drop(connection.await) });
        let signer = Webhook::new(SECRET)?;
        let before = usage::of_this_thread()?;
        for number in ledger.numbers() {
            ledger.begin(number);
            let body = event::person(number);
            let id = format!("evt_{number:026}");
            let seconds = i64::try_from(since_the_epoch().as_secs())?;
            let signature = signer.sign(&id, seconds, &body)?;
            let request = Request::builder()
                .method(Method::POST)
                .uri(uri.path())
                .header(header::HOST, authority)
                .header(header::CONTENT_TYPE, "application/json")
                .header("webhook-id", id)
                .header("webhook-timestamp", seconds)
                .header("webhook-signature", signature)
                .body(Full::<Bytes>::new(body))?;
            let answer = sender.send_request(request).await?;
            ensure!(answer.status().is_success(), "answered {}", answer.status());
            answer.into_body().collect().await?;
            sender.ready().await?;
        }
        Ok(usage::of_this_thread()?.saturating_sub(before))
    })
}
