//! Other code for the filter: the virtual machine of the old one ends whether it is done or not.
//!
//! Invariant: the old one has no other occasion to send what it has than its last callback.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use xtask::say;

use super::{
    AT_ONCE, AT_RISK, PATIENT, everything_accepted_is_stored, listener::Reloadable, more_answers,
    some_people, under_load,
};
use crate::support::{
    LIMIT, alone,
    load::{create_people, each_once},
    shared,
};

/// As many events wait while the sidecar is slow or away.
const EVENTS: usize = 50;

/// As many are stored before.
const WARM: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn under_load_other_code_loses_nothing_and_stores_nothing_twice() -> Result<()> {
    let _machine = alone().await;
    let gateway = Reloadable::start(|plan| plan.gateway_arguments.push(PATIENT.to_owned())).await?;
    let sidehook = &gateway.sidehook;
    let load = under_load(sidehook).await?;
    gateway.reload_code().await?;
    more_answers(sidehook).await?;
    gateway.drained().await?;
    more_answers(sidehook).await?;
    let outcome = load.stop().await?;
    everything_accepted_is_stored(sidehook, "other code", &outcome).await?;
    ensure!(sidehook.stack.stat(AT_RISK).await? == 0, "answers were let go unstored");
    gateway.sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_held_when_the_old_code_ends_are_cut_off() -> Result<()> {
    let _machine = alone().await;
    let mut gateway =
        Reloadable::start(|plan| plan.gateway_arguments.push(PATIENT.to_owned())).await?;
    // The connections to the sidecar are there, as they are in whatever has worked for a while.
    let url = gateway.sidehook.plan.gateway_url("/people");
    create_people(url.clone(), EVENTS..EVENTS + WARM, AT_ONCE).await;
    gateway.sidehook.stack.sidecar(0)?.signal(Signal::STOP)?;
    let held = tokio::spawn(create_people(url, 0..EVENTS, EVENTS));
    let sidehook = &gateway.sidehook;
    let all = sidehook.until("held answers", async || {
        let held = sidehook.stack.stat("wasmcustom.sidehook.held").await?;
        let all = held == u64::try_from(EVENTS)?;
        Ok(if all { Ok(()) } else { Err(format!("{held} held")) })
    });
    all.await?;
    gateway.reload_code().await?;
    let outcome = tokio::time::timeout(LIMIT, held).await??;
    gateway.drained().await?;
    gateway.sidehook.stack.sidecar(0)?.signal(Signal::CONT)?;
    ensure!(outcome.accepted.is_empty(), "{:?} were let go", outcome.accepted);
    // The writes were made, and of them the sidecar is told all the same.
    let made = EVENTS + WARM;
    let stored = gateway.sidehook.events_until(|events| events.len() == made).await?;
    each_once(&stored, &outcome.accepted)?;
    say::line(format!("cut off: {:?}; {} events", outcome.others, stored.len()));
    gateway.sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_old_code_cannot_get_rid_of_is_counted() -> Result<()> {
    let _machine = shared().await;
    let mut gateway = Reloadable::start(|plan| "best_effort".clone_into(&mut plan.capture)).await?;
    gateway.sidehook.stack.sidecar(0)?.stop(LIMIT).await?;
    some_people(&gateway.sidehook, EVENTS).await?;
    gateway.reload_code().await?;
    gateway.drained().await?;
    gateway.sidehook.stack.restart_sidecar(0).await?;
    let sidehook = &gateway.sidehook;
    let accounted = sidehook.until("what became of them", async || {
        let stored = sidehook.events().await?.len();
        let at_risk = sidehook.stack.stat(AT_RISK).await?;
        let left = sidehook.stack.stat("wasmcustom.sidehook.buffered_events").await?;
        let seen = format!("{stored} stored, {at_risk} at risk, {left} left");
        let all = u64::try_from(stored)? + at_risk >= u64::try_from(EVENTS)? && left == 0;
        Ok(if all { Ok(seen) } else { Err(seen) })
    });
    say::line(format!("other code, no sidecar: {}", accounted.await?));
    let log = std::fs::read_to_string(sidehook.plan.folder.join("envoy.log"))?;
    ensure!(log.contains("events that are not stored yet"), "nothing in the log: {log}");
    gateway.sidehook.stop().await
}
