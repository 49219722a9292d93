//! The end of the gateway: in order, after a drain, or at once.
//!
//! Invariant: at its end it sends what it has; whoever has a 2xx has had it sent.

use anyhow::{Result, ensure};
use hyper::Method;
use rustix::process::Signal;
use serde_json::Value;
use xtask::{change::Change, stack::Plan};

use super::{AT_ONCE, PATIENT, everything_accepted_is_stored, under_load};
use crate::support::{
    LIMIT, Sidehook, alone,
    load::{create_people, each_once},
};

/// How often the end is tried.
const ROUNDS: usize = 5;

/// As many events are made just before it.
const EVENTS: usize = 200;

fn best_effort(plan: &mut Plan) {
    "best_effort".clone_into(&mut plan.capture);
}

async fn durable() -> Result<Sidehook> {
    Sidehook::before_people_with(|plan| {
        plan.gateway_arguments.push(PATIENT.to_owned());
        plan.envoy_arguments.extend(["--drain-time-s", "2"].map(str::to_owned));
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_drains_finishes_what_is_under_way() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = durable().await?;
    let load = under_load(&sidehook).await?;
    let drain = sidehook.plan.admin_url("/drain_listeners?graceful");
    sidehook.http.send(Method::POST, &drain, None).await?;
    let stopped = sidehook.until("the drain", async || {
        let active = sidehook.stack.stat("listener_manager.total_listeners_active").await?;
        let stopped = sidehook.stack.stat("listener_manager.listener_stopped").await?;
        let under_way = sidehook.stack.stat("http.api.downstream_cx_active").await?;
        let seen = format!("{active} listeners, {stopped} stopped, {under_way} connections");
        Ok(if stopped > 0 && under_way == 0 { Ok(()) } else { Err(seen) })
    });
    stopped.await?;
    let outcome = load.stop().await?;
    sidehook.stack.envoy().stop(LIMIT).await?;
    everything_accepted_is_stored(&sidehook, "drain, then SIGTERM", &outcome).await?;
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_at_once_lets_no_answer_go_without_its_event() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = durable().await?;
    let load = under_load(&sidehook).await?;
    sidehook.stack.envoy().stop(LIMIT).await?;
    let outcome = load.stop().await?;
    everything_accepted_is_stored(&sidehook, "SIGTERM", &outcome).await?;
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_at_once_sends_what_it_has_not_sent_yet() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = Sidehook::before_people_with(best_effort).await?;
    let url = sidehook.plan.gateway_url("/people");
    for round in 0..ROUNDS {
        let numbers = round * EVENTS..(round + 1) * EVENTS;
        let outcome = create_people(url.clone(), numbers, AT_ONCE).await;
        sidehook.stack.envoy().stop(LIMIT).await?;
        ensure!(outcome.accepted.len() == EVENTS, "refused: {:?}", outcome.others);
        let all = |events: &[Value]| events.len() == (round + 1) * EVENTS;
        each_once(&sidehook.events_until(all).await?, &outcome.accepted)?;
        sidehook.stack.restart_gateway().await?;
    }
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_sends_at_its_end_is_stored_by_a_sidecar_that_was_busy() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = Sidehook::before_people_with(|plan| {
        best_effort(plan);
        // So that the sidecar is slow, not away.
        plan.gateway_changes
            .push(Change::Part { of: "timeout: 1s\n".to_owned(), by: "timeout: 20s\n".to_owned() });
    })
    .await?;
    // The connection to the sidecar is there, as it is in whatever has worked for a while.
    let url = sidehook.plan.gateway_url("/people");
    let mut accepted = create_people(url.clone(), 0..EVENTS, AT_ONCE).await.accepted;
    sidehook.stack.sidecar(0)?.signal(Signal::STOP)?;
    accepted.extend(create_people(url, EVENTS..2 * EVENTS, AT_ONCE).await.accepted);
    ensure!(accepted.len() == 2 * EVENTS, "only {} accepted", accepted.len());
    sidehook.stack.envoy().stop(LIMIT).await?;
    sidehook.stack.sidecar(0)?.signal(Signal::CONT)?;
    let events = sidehook.events_until(|events| events.len() == 2 * EVENTS).await?;
    each_once(&events, &accepted)?;
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_cannot_get_rid_of_at_its_end_is_told_in_its_log() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = Sidehook::before_people_with(|plan| {
        best_effort(plan);
        plan.gateway_workers = 1;
    })
    .await?;
    sidehook.stack.sidecar(0)?.stop(LIMIT).await?;
    let outcome = create_people(sidehook.plan.gateway_url("/people"), 0..EVENTS, AT_ONCE).await;
    ensure!(outcome.accepted.len() == EVENTS, "refused: {:?}", outcome.others);
    sidehook.stack.envoy().stop(LIMIT).await?;
    let log = std::fs::read_to_string(sidehook.plan.folder.join("envoy.log"))?;
    let told = format!("the plugin ends with {EVENTS} events that are not stored yet");
    ensure!(log.contains(&told), "{log}");
    sidehook.stack.restart_sidecar(0).await?;
    sidehook.stop().await
}
