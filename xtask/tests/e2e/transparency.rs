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
use xtask::{change::Change, say};

use crate::support::{
    LIMIT, Sidehook, bare::BareGateway, message::Message, shared, upstream::Upstream,
};
use cases::{Case, MODES, Mode};

/// The same API behind a gateway with the filter and one without.
struct Pair {
    upstream: Upstream,
    sidehook: Sidehook,
    bare: BareGateway,
}

/// As far in are the keys of a route in the gateway's configuration.
const INDENT: &str = "                                ";

/// So many exchanges are compared, at least, over each version of HTTP.
const ENOUGH: usize = 200;

/// What was seen of an exchange on both sides of a gateway.
type Seen<Answer> = (Answer, Vec<Message>);

impl Pair {
    async fn start() -> Result<Self> {
        let upstream = Upstream::start().await?;
        let resource = |mode: &Mode| format!("{}={}", mode.path.trim_start_matches('/'), mode.path);
        let captured = |mode: &Mode| {
            let path = format!("{INDENT}path: \"{}\"\n", mode.path);
            Change::behind(&path, &format!("{INDENT}capture: \"{}\"\n", mode.name))
        };
        let url = upstream.url();
        let sidehook = Sidehook::before(&url, |plan| {
            plan.resources = MODES.iter().map(resource).collect();
            plan.gateway_changes = MODES.iter().map(captured).collect();
        });
        let sidehook = sidehook.await?;
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
    let pair = Pair::start().await?;
    let [bare, filtered] = pair.gateways();
    let (mut count, mut accepted) = (0, 0);
    for mode in MODES {
        for case in cases::all(mode) {
            let name = format!("{}, {}", mode.name, case.name);
            pair.upstream.always_answers(&case.answer);
            let mut seen: Vec<Seen<Vec<Message>>> = Vec::new();
            for gateway in [bare, filtered] {
                let answers = timeout(LIMIT, exchange(gateway, &case)).await;
                let answers = answers.with_context(|| format!("{name} hangs"))?;
                let answers = answers.with_context(|| format!("{name} has no answer"))?;
                seen.push((answers, pair.requests()));
            }
            let [without, with] = seen.as_slice() else { continue };
            assert_eq!(without, with, "{name}: without the filter, and with it");
            count += 1;
            accepted += usize::from(mode.sends() && case.is_accepted_write());
        }
        pair.made(accepted)
            .await
            .with_context(|| format!("on the routes that are {}", mode.name))?;
    }
    say::line(format!("{count} exchanges over HTTP/1.1, {accepted} events"));
    ensure!(count >= ENOUGH, "{count} exchanges are fewer than {ENOUGH}");
    pair.sidehook.stop().await
}

#[tokio::test]
async fn http_2_exchanges_pass_unchanged() -> Result<()> {
    let _machine = shared().await;
    let pair = Pair::start().await?;
    let [bare, filtered] = pair.gateways();
    let (mut count, mut accepted) = (0, 0);
    for mode in MODES {
        for case in cases::for_http_2(mode) {
            let name = format!("{}, {}", mode.name, case.name);
            pair.upstream.always_answers(&case.answer);
            let mut seen: Vec<Seen<h2::Answer>> = Vec::new();
            for gateway in [bare, filtered] {
                let answer = timeout(LIMIT, h2::exchange(gateway, &case)).await;
                let answer = answer.with_context(|| format!("{name} hangs"))?;
                seen.push((answer.with_context(|| name.clone())?, pair.requests()));
            }
            let [without, with] = seen.as_slice() else { continue };
            assert_eq!(without, with, "{name}: without the filter, and with it");
            count += 1;
            accepted += usize::from(mode.sends() && case.accepted_write);
        }
        pair.made(accepted)
            .await
            .with_context(|| format!("on the routes that are {}", mode.name))?;
    }
    say::line(format!("{count} exchanges over HTTP/2, {accepted} events"));
    ensure!(count >= ENOUGH, "{count} exchanges are fewer than {ENOUGH}");
    pair.sidehook.stop().await
}
