//! A gateway that changes while it works: another configuration, other code, its end, and another
//! process in its place.
//!
//! Each row of "When the gateway changes" in `docs/capture.md` is a test here; the last one, of
//! crashes, is in `crash.rs` and `promise.rs`.
//!
//! Invariant: no client has a 2xx on a durable route without an event, and what else is lost is
//! counted.

mod code;
mod configuration;
mod end;
mod listener;
mod successor;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use xtask::say;

use crate::support::{
    Sidehook,
    load::{Load, Outcome, each_once},
    name_of,
};

/// As many clients write at the same time.
const AT_ONCE: usize = 16;

/// Long enough for whatever is tested here to be over before an answer is let go unstored.
const PATIENT: &str = "--hold-timeout=20s";

/// What the filter counts as lost, and as let go before it was stored.
const DROPPED: &str = "wasmcustom.sidehook.dropped";
const AT_RISK: &str = "wasmcustom.sidehook.at_risk";

/// Clients that write, once some of them have been answered.
async fn under_load(sidehook: &Sidehook) -> Result<Load> {
    let load = Load::of_people(sidehook.plan.gateway_url("/people"), AT_ONCE);
    more_answers(sidehook).await?;
    Ok(load)
}

/// Waits until more clients have been answered.
async fn more_answers(sidehook: &Sidehook) -> Result<()> {
    const ANSWERS: &str = "http.api.downstream_rq_2xx";
    let before = sidehook.stack.stat(ANSWERS).await?;
    sidehook
        .until("the load", async || {
            let more = sidehook.stack.stat(ANSWERS).await? - before;
            Ok(if more > 100 { Ok(()) } else { Err(format!("{more} answers")) })
        })
        .await
}

/// Whoever has a 2xx has an event too, without further waiting.
async fn everything_accepted_is_stored(
    sidehook: &Sidehook,
    what: &str,
    outcome: &Outcome,
) -> Result<()> {
    let events = sidehook.events().await?;
    let Outcome { accepted, others, .. } = outcome;
    say::line(format!(
        "{what}: {} accepted, {} events, others: {others:?}",
        accepted.len(),
        events.len()
    ));
    ensure!(accepted.len() > 50, "hardly a load");
    each_once(&events, accepted)
}

/// Creates so many people, who are all accepted. Their names.
async fn some_people(sidehook: &Sidehook, count: usize) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for number in 0..count {
        let name = format!("somebody {number}");
        sidehook.post("/people", json!({"name": name})).await?.accepted()?;
        names.insert(name);
    }
    Ok(names)
}

/// Whether all of them are among the events.
fn has_all(events: &[Value], names: &BTreeSet<String>) -> bool {
    let stored: BTreeSet<&str> = events.iter().map(name_of).collect();
    names.iter().all(|name| stored.contains(name.as_str()))
}
