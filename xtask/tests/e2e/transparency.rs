//! With the filter and without it, the client sees the same answers and the API the same requests.
//!
//! Invariant: what is compared passed through two Envoys that differ in the filter alone, and the
//! filter is seen to have been at work.

mod cases;
mod h2;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use xtask::say;

use crate::support::{
    LIMIT, Sidehook, bare::BareGateway, message::Message, shared, upstream::Upstream,
};
use cases::Case;

/// The same API behind a gateway with the filter and one without.
struct Pair {
    upstream: Upstream,
    sidehook: Sidehook,
    bare: BareGateway,
}

/// What was seen of an exchange on both sides of a gateway.
type Seen<Answer> = (Answer, Vec<Message>);

impl Pair {
    async fn start(resource: &str) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let resources = vec![resource.to_owned()];
        let url = upstream.url();
        let sidehook = Sidehook::before(&url, |plan| plan.resources = resources).await?;
        let bare = BareGateway::start(&sidehook.plan).await?;
        Ok(Self { upstream, sidehook, bare })
    }

    fn gateways(&self) -> [SocketAddr; 2] {
        [self.bare.port(), self.sidehook.plan.gateway]
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// The requests that the API saw since the last look.
    fn requests(&self) -> Vec<Message> {
        self.upstream.take_requests().into_iter().map(Message::comparable).collect()
    }

    /// Every accepted write so far is an event, and nothing else is.
    async fn made(&self, accepted: usize) -> Result<()> {
        let stored = self.sidehook.events_until(|events| events.len() >= accepted);
        ensure!(stored.await?.len() == accepted, "an event of nothing");
        Ok(())
    }
}

async fn exchange(gateway: SocketAddr, case: &Case) -> Result<Vec<Message>> {
    let mut connection = BufReader::new(TcpStream::connect(gateway).await?);
    // An answer may come before the request has been read to its end.
    connection.write_all(&case.request).await?;
    let answers = Message::answer(&mut connection, case.method()).await?;
    Ok(answers.into_iter().map(Message::comparable).collect())
}

#[tokio::test]
async fn http_1_exchanges_pass_unchanged() -> Result<()> {
    let _machine = shared().await;
    let pair = Pair::start("people=/people").await?;
    let [bare, filtered] = pair.gateways();
    let cases = cases::all();
    let mut accepted = 0;
    for case in &cases {
        pair.upstream.answers("/people", &case.answer);
        pair.upstream.answers("/people/7", &case.answer);
        let mut seen: Vec<Seen<Vec<Message>>> = Vec::new();
        for gateway in [bare, filtered] {
            let answers = timeout(LIMIT, exchange(gateway, case)).await;
            let answers = answers.with_context(|| format!("{} hangs", case.name))?;
            let answers = answers.with_context(|| format!("{} has no answer", case.name))?;
            seen.push((answers, pair.requests()));
        }
        let [without, with] = seen.as_slice() else { continue };
        assert_eq!(without, with, "{}: without the filter, and with it", case.name);
        accepted += usize::from(case.is_accepted_write());
        pair.made(accepted).await.with_context(|| format!("after {}", case.name))?;
    }
    say::line(format!("{} kinds of exchange over HTTP/1.1, {accepted} events", cases.len()));
    pair.sidehook.stop().await
}

#[tokio::test]
async fn http_2_exchanges_pass_unchanged() -> Result<()> {
    let _machine = shared().await;
    let pair = Pair::start("people=/people").await?;
    let [bare, filtered] = pair.gateways();
    let (mut count, mut accepted) = (0, 0);
    for case in cases::for_http_2() {
        pair.upstream.answers("/people", &case.answer);
        let mut seen: Vec<Seen<h2::Answer>> = Vec::new();
        for gateway in [bare, filtered] {
            let answer = timeout(LIMIT, h2::exchange(gateway, &case)).await;
            let answer = answer.with_context(|| format!("{} hangs", case.name))?;
            seen.push((answer.with_context(|| case.name.clone())?, pair.requests()));
        }
        let [without, with] = seen.as_slice() else { continue };
        assert_eq!(without, with, "{}: without the filter, and with it", case.name);
        count += 1;
        accepted += usize::from(case.accepted_write);
        pair.made(accepted).await.with_context(|| format!("after {}", case.name))?;
    }
    say::line(format!("{count} kinds of exchange over HTTP/2, {accepted} events"));
    pair.sidehook.stop().await
}
