//! How much memory the filter takes of Envoy when it has nowhere to put its events, and over time.
//!
//! Invariant: what is full drops what is new and counts it; the accounts balance to the event.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use xtask::{change::Change, say};

use crate::support::{
    LIMIT, Sidehook, alone,
    load::{create_people, create_people_of},
};

/// What an outage adds to Envoy at most, on all workers together: the buffers of both, what is on
/// its way, and what the allocators keep.
const OUTAGE: usize = 20 << 10;

/// What as many further writes may add, in KiB: some 400 bytes for each.
const MORE: usize = 2 << 10;

/// The buffer of a worker, in KiB.
const BUFFER: usize = 1 << 10;

/// Bytes of a large write; its answer has as many.
const LARGE: usize = 10_000;
const LARGE_WRITES: usize = 3_000;
const WRITES: usize = 5_000;
const AT_ONCE: usize = 32;

/// The resident memory of Envoy, in KiB.
fn resident(sidehook: &mut Sidehook) -> Result<usize> {
    let process = sidehook.stack.envoy().pid().context("Envoy has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.context("no VmRSS")?.trim().trim_end_matches("kB").trim_end().parse()?)
}

async fn counted(sidehook: &Sidehook, name: &str) -> Result<usize> {
    Ok(sidehook.stack.stat(&format!("wasmcustom.sidehook.{name}")).await?.try_into()?)
}

async fn with_a_small_buffer(capture: &str) -> Result<Sidehook> {
    Sidehook::before_people_with(|plan| {
        capture.clone_into(&mut plan.capture);
        plan.gateway_changes.push(Change::Buffer { events: 1_000, kibibytes: BUFFER });
        plan.gateway_arguments.push("--hold-timeout=100ms".to_owned());
    })
    .await
}

/// Writes far more than the buffers hold; returns how many events there must be in the end.
async fn writes_through_an_outage(sidehook: &mut Sidehook) -> Result<usize> {
    let (before, dropped) = (resident(sidehook)?, counted(sidehook, "dropped").await?);
    let url = sidehook.plan.gateway_url("/people");
    let outcome = create_people_of(url, 1..=LARGE_WRITES, AT_ONCE, LARGE).await;
    ensure!(outcome.accepted.len() == LARGE_WRITES, "refused: {:?}", outcome.others);
    let after = resident(sidehook)?;
    let dropped = counted(sidehook, "dropped").await? - dropped;
    let (events, bytes) =
        (counted(sidehook, "buffered_events").await?, counted(sidehook, "buffered_bytes").await?);
    say::line(format!(
        "{LARGE_WRITES} writes of {LARGE} bytes in {:?}: {before} KiB before, {after} KiB after; \
         {dropped} events dropped, {events} buffered in {bytes} bytes",
        outcome.took
    ));
    ensure!(dropped > LARGE_WRITES / 2, "only {dropped} were dropped");
    let buffers = usize::from(sidehook.plan.gateway_workers) * BUFFER * 1024;
    ensure!(bytes <= buffers && bytes > buffers / 3, "{bytes} bytes are buffered");
    ensure!(after < before + OUTAGE, "{before} KiB became {after} KiB");
    Ok(LARGE_WRITES - dropped)
}

/// What was buffered is stored, once, and nothing else.
async fn all_that_was_buffered_is_stored(sidehook: &Sidehook, stored: usize) -> Result<()> {
    sidehook
        .until("the buffer", async || {
            let left = counted(sidehook, "buffered_events").await?;
            Ok(if left == 0 { Ok(()) } else { Err(format!("{left} events in it")) })
        })
        .await?;
    assert_eq!(counted(sidehook, "buffered_bytes").await?, 0);
    let events = sidehook.events().await?.len();
    ensure!(events == stored, "{events} events, {stored} were not dropped");
    Ok(())
}

/// Events of the length of those that follow, so that memory which is taken once is taken.
async fn warms_up(sidehook: &Sidehook) -> Result<usize> {
    let url = sidehook.plan.gateway_url("/people");
    let outcome = create_people_of(url, 0..500, AT_ONCE, LARGE).await;
    ensure!(outcome.accepted.len() == 500, "refused: {:?}", outcome.others);
    sidehook
        .until("the first events", async || {
            let stored = sidehook.events().await?.len() + counted(sidehook, "dropped").await?;
            Ok(if stored == 500 { Ok(()) } else { Err(format!("{stored} of 500")) })
        })
        .await?;
    Ok(sidehook.events().await?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_sidecar_is_gone_best_effort_takes_no_more_memory_than_its_buffer() -> Result<()>
{
    let _machine = alone().await;
    let mut sidehook = with_a_small_buffer("best_effort").await?;
    let before = warms_up(&sidehook).await?;
    sidehook.stack.sidecar(0)?.signal(Signal::KILL)?;
    sidehook.stack.sidecar(0)?.ended().await?;
    let kept = writes_through_an_outage(&mut sidehook).await?;
    sidehook.stack.restart_sidecar(0).await?;
    all_that_was_buffered_is_stored(&sidehook, before + kept).await?;
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_sidecar_is_frozen_durable_takes_no_more_memory_than_its_buffer() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = with_a_small_buffer("durable").await?;
    let before = warms_up(&sidehook).await?;
    sidehook.stack.sidecar(0)?.signal(Signal::STOP)?;
    let kept = writes_through_an_outage(&mut sidehook).await;
    sidehook.stack.sidecar(0)?.signal(Signal::CONT)?;
    all_that_was_buffered_is_stored(&sidehook, before + kept?).await?;
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_writes_that_went_through() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = Sidehook::before_people().await?;
    let start = resident(&mut sidehook)?;
    let mut after = Vec::new();
    for half in 0..2 {
        let numbers = half * WRITES..(half + 1) * WRITES;
        let url = sidehook.plan.gateway_url("/people");
        let load = create_people(url, numbers, AT_ONCE);
        let outcome = tokio::time::timeout(LIMIT + Duration::from_mins(2), load).await?;
        ensure!(outcome.accepted.len() == WRITES, "refused: {:?}", outcome.others);
        after.push(resident(&mut sidehook)?);
    }
    say::line(format!("{start} KiB at first, after each {WRITES} writes {after:?} KiB"));
    let committed = counted(&sidehook, "committed").await?;
    ensure!(committed == 2 * WRITES, "{committed} events committed");
    let [first, second] = after.as_slice() else { anyhow::bail!("two halves") };
    ensure!(*second < first + MORE, "{first} KiB became {second} KiB");
    sidehook.stop().await
}
