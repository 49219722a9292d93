//! Clients that go away while their answers are held, and more of them than one batch may carry.
//!
//! Invariant: the filter's VM outlives them all, by Envoy's own counting.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use xtask::say;

use crate::support::{
    LIMIT, Sidehook, ada, alone,
    load::{balance, create_people},
    receiver,
    upstream::Upstream,
};

const CONNECTIONS: usize = 200;
const ROUNDS: usize = 60;
const WAITERS: usize = 2_000;

const WRITE: &[u8] = b"POST /people HTTP/1.1\r\nhost: api\r\ncontent-type: application/json\r\n\
content-length: 14\r\n\r\n{\"name\":\"Ada\"}";

const CREATED: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n\
content-length: 22\r\n\r\n{\"id\":1,\"name\":\"Ada\"}\n";

/// Sends a write and leaves its answer unread.
async fn write(gateway: SocketAddr) -> Result<TcpStream> {
    let mut connection = TcpStream::connect(gateway).await?;
    connection.write_all(WRITE).await?;
    Ok(connection)
}

async fn nothing_died(sidehook: &Sidehook) -> Result<()> {
    let deaths = sidehook.vm_deaths().await?;
    ensure!(!deaths.is_empty(), "Envoy does not count the deaths of VMs");
    ensure!(deaths.iter().all(|(_, count)| *count == 0), "{deaths:?}");
    let before = sidehook.events().await?.len();
    let answer = timeout(LIMIT, sidehook.post("/people", ada())).await??;
    ensure!(answer.status.is_success(), "a write afterwards: {} {answer}", answer.status);
    sidehook.events_until(|events| events.len() > before).await?;
    let active = timeout(LIMIT, async {
        while sidehook.stack.stat("http.api.downstream_rq_active").await? > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    });
    active.await.context("some requests never end")??;
    let held = sidehook.stack.stat("wasmcustom.sidehook.held").await?;
    ensure!(held == 0, "the filter believes that it holds {held} answers");
    let log = std::fs::read_to_string(sidehook.plan.folder.join("envoy.log"))?;
    let faults: Vec<_> =
        log.lines().filter(|line| line.contains("[critical]") || line.contains("panic")).collect();
    ensure!(faults.is_empty(), "{faults:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_while_held_do_no_harm() -> Result<()> {
    let _machine = alone().await;
    let upstream = Upstream::start().await?;
    upstream.answers("/people", CREATED);
    let mut sidehook = Sidehook::before(&upstream.url(), |_| ()).await?;
    let gateway = SocketAddr::from(([127, 0, 0, 1], sidehook.plan.gateway));

    for round in 0..ROUNDS {
        sidehook.stack.sidecar(0)?.signal(Signal::STOP)?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(write(gateway).await?);
        }
        // The API has answered every one of them: their answers are held now, or about to be.
        let seen = timeout(LIMIT, async {
            let mut seen = 0;
            while seen < CONNECTIONS {
                seen += upstream.take_requests().len();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        seen.await.with_context(|| format!("the API saw too few writes in round {round}"))?;
        // Answer and farewell meet in Envoy in a different order each time.
        let continued = sidehook.stack.sidecar(0)?.signal(Signal::CONT);
        let leaving = connections.split_off(CONNECTIONS * round / ROUNDS);
        drop(leaving);
        tokio::task::yield_now().await;
        drop(connections);
        continued?;
    }
    nothing_died(&sidehook).await?;
    let stored = sidehook.events().await?.len();
    say::line(format!("{} held answers abandoned, {stored} events", ROUNDS * CONNECTIONS));
    // Nobody saw a 2xx, so an event may or may not be there; but none is made of nothing.
    ensure!(stored <= ROUNDS * CONNECTIONS + 1, "{stored} events");
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_answers_held_at_once_are_all_released() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = Sidehook::before_people_holding("30s").await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;

    sidehook.stack.sidecar(0)?.signal(Signal::STOP)?;
    let load =
        tokio::spawn(create_people(sidehook.plan.gateway_url("/people"), 0..WAITERS, WAITERS));
    let held = timeout(LIMIT, async {
        while sidehook.stack.stat("http.api.downstream_rq_active").await? < u64::try_from(WAITERS)?
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    });
    held.await.context("not all were held")??;
    sidehook.stack.sidecar(0)?.signal(Signal::CONT)?;
    let outcome = timeout(LIMIT, load).await.context("some answers were never released")??;
    ensure!(outcome.accepted.len() == WAITERS, "refused: {:?}", outcome.others);
    let delivered = balance(&sidehook, &receiver, &outcome.accepted, LIMIT).await?;
    say::line(format!("{WAITERS} held at once, released after {:?}, {delivered}", outcome.took));
    nothing_died(&sidehook).await?;
    sidehook.stop().await
}

#[tokio::test]
async fn a_held_answer_is_released_when_the_sidecar_is_frozen() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = Sidehook::before_people().await?;
    let gateway = SocketAddr::from(([127, 0, 0, 1], sidehook.plan.gateway));
    sidehook.stack.sidecar(0)?.signal(Signal::STOP)?;
    let mut connection = write(gateway).await?;
    let mut answer = [0; 12];
    timeout(Duration::from_secs(10), connection.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"HTTP/1.1 201");
    sidehook.stack.sidecar(0)?.signal(Signal::CONT)?;
    let stored = sidehook.events_until(|events: &[Value]| !events.is_empty()).await?;
    assert_eq!(stored.len(), 1);
    sidehook.stop().await
}
