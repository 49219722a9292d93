//! Ten thousand writes, and a sidecar that is stopped, killed and drained under them.
//!
//! Invariant: a 2xx that the client saw is an event, and an event is delivered under one id.

use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use xtask::{clock::Stopwatch, say};

use crate::support::{
    Sidehook, alone, got,
    load::{balance, create_people},
    receiver, shared,
};

const WRITES: usize = 10_000;
const AT_ONCE: usize = 32;

/// Deliveries may lag behind the writes; on two cores by not much.
const DRAIN: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_writes_are_ten_thousand_events_and_deliveries() -> Result<()> {
    let _machine = alone().await;
    let sidehook = Sidehook::before_people().await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;

    let outcome = create_people(sidehook.plan.gateway_url("/people"), 0..WRITES, AT_ONCE).await;
    ensure!(outcome.accepted.len() == WRITES, "refused: {:?}", outcome.others);
    let delivered = balance(&sidehook, &receiver, &outcome.accepted, DRAIN).await?;
    assert_eq!(delivered.events, WRITES);
    report("healthy", outcome.took, &delivered);
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_killed_under_load_loses_nothing() -> Result<()> {
    let _machine = alone().await;
    // Held long enough for the sidecar to come back: then nothing is at risk even for a moment.
    let mut sidehook = Sidehook::before_people_holding("20s").await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;

    let url = sidehook.plan.gateway_url("/people");
    let load = tokio::spawn(create_people(url, 0..WRITES / 2, AT_ONCE));
    got(&receiver, WRITES / 8).await?;
    sidehook.stack.sidecar(0)?.signal(Signal::KILL)?;
    sidehook.stack.sidecar(0)?.ended().await?;
    let away = Stopwatch::start();
    sidehook.stack.restart_sidecar(0).await?;
    let away = away.elapsed();

    let outcome = load.await?;
    let delivered = balance(&sidehook, &receiver, &outcome.accepted, DRAIN).await?;
    say::line(format!("sidecar away for {away:?}; refused: {:?}", outcome.others));
    report("killed", outcome.took, &delivered);
    ensure!(outcome.accepted.len() == WRITES / 2, "refused: {:?}", outcome.others);
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_released_after_the_hold_timeout_are_stored_later() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = Sidehook::before_people_holding("500ms").await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;

    sidehook.stack.sidecar(0)?.signal(Signal::KILL)?;
    sidehook.stack.sidecar(0)?.ended().await?;
    let outcome = create_people(sidehook.plan.gateway_url("/people"), 0..100, 50).await;
    ensure!(outcome.accepted.len() == 100, "refused: {:?}", outcome.others);
    ensure!(outcome.took >= Duration::from_millis(500), "not held: {:?}", outcome.took);
    sidehook.stack.restart_sidecar(0).await?;
    sidehook.events_until(|events| events.len() >= 100).await?;
    let delivered = balance(&sidehook, &receiver, &outcome.accepted, DRAIN).await?;
    report("released", outcome.took, &delivered);
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_drained_under_load_loses_nothing() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = Sidehook::before_people_holding("20s").await?;
    let receiver = receiver().await?;
    sidehook.subscribe(&receiver, "created").await?;

    let url = sidehook.plan.gateway_url("/people");
    let load = tokio::spawn(create_people(url, 0..WRITES / 2, AT_ONCE));
    got(&receiver, WRITES / 8).await?;
    let drain = Stopwatch::start();
    let ended = sidehook.stack.sidecar(0)?.stop(Duration::from_secs(30)).await?;
    ensure!(ended.success(), "drained with {ended}");
    let drain = drain.elapsed();
    sidehook.stack.restart_sidecar(0).await?;

    let outcome = load.await?;
    let delivered = balance(&sidehook, &receiver, &outcome.accepted, DRAIN).await?;
    say::line(format!("drained in {drain:?}; refused: {:?}", outcome.others));
    report("drained", outcome.took, &delivered);
    ensure!(outcome.accepted.len() == WRITES / 2, "refused: {:?}", outcome.others);
    sidehook.stop().await
}

/// The control of all the tests above: what they rely on does see a loss.
#[tokio::test]
async fn the_accounts_do_not_balance_when_something_is_missing() -> Result<()> {
    let _machine = shared().await;
    let sidehook = Sidehook::before_people().await?;
    let receiver = receiver().await?;
    let url = sidehook.plan.gateway_url("/people");
    let moment = Duration::from_millis(200);

    let mut unheard = create_people(url, 0..3, 1).await.accepted;
    let undelivered = balance(&sidehook, &receiver, &unheard, moment).await;
    let reason = undelivered.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(reason.contains("0 of 3 webhooks arrived"), "{reason}");

    unheard.insert("nobody".to_owned());
    let unstored = balance(&sidehook, &receiver, &unheard, moment).await;
    let reason = unstored.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(reason.contains("1 accepted writes have no event"), "{reason}");
    sidehook.stop().await
}

fn report(sidecar: &str, took: Duration, delivered: &crate::support::load::Delivered) {
    let per_second = delivered.events as u128 * 1000 / took.as_millis().max(1);
    say::line(format!("sidecar {sidecar}: written in {took:?} ({per_second}/s), {delivered}"));
}
