//! Another configuration of the filter, in the same virtual machine.
//!
//! Invariant: old and new configuration are at work side by side until the old listener has
//! drained, and each answers for its own events.

use anyhow::{Result, ensure};
use serde_json::json;
use xtask::{change::Change, http::Http, stack::Plan};

use super::{
    AT_RISK, DROPPED, PATIENT, everything_accepted_is_stored, has_all, listener::Reloadable,
    more_answers, some_people, under_load,
};
use crate::support::{LIMIT, Sidehook, ada, alone, name_of, shared};

/// A line of the template.
const ROUTE: &str = "                                path: \"/people\"\n";

/// As many events wait while the sidecar is away.
const EVENTS: usize = 50;

/// Watches the guests as well, and keeps addresses to itself.
fn guests_and_no_addresses(plan: &mut Plan) {
    plan.resources.push("guests=/guests/people".to_owned());
    let redact = "                                redact: [/email]\n";
    plan.gateway_changes.push(Change::behind(ROUTE, redact));
}

fn best_effort(plan: &mut Plan) {
    "best_effort".clone_into(&mut plan.capture);
}

/// Waits until guests who come over a new connection make events.
async fn is_in_force(sidehook: &Sidehook) -> Result<()> {
    let url = sidehook.plan.gateway_url("/guests/people");
    sidehook
        .until("an event of a guest", async || {
            Http::new().post(&url, &ada()).await?.accepted()?;
            let events = sidehook.events().await?;
            let is_there = events.iter().any(|event| event["type"] == "guests.created");
            Ok(if is_there { Ok(()) } else { Err(format!("{} others", events.len())) })
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_configuration_is_in_force_without_a_restart() -> Result<()> {
    let _machine = shared().await;
    let gateway = Reloadable::start(|_| ()).await?;
    let sidehook = &gateway.sidehook;
    sidehook.post("/guests/people", ada()).await?.accepted()?;
    sidehook.post("/people", ada()).await?.accepted()?;
    let before = sidehook.events().await?;
    ensure!(matches!(&*before, [event] if event.to_string().contains('@')), "{before:#?}");

    gateway.reload(guests_and_no_addresses).await?;
    is_in_force(sidehook).await?;
    // The connection from before ends with the old configuration.
    gateway.drained().await?;
    let grace = json!({"name": "Grace", "email": "grace@example.com"});
    sidehook.post("/people", grace).await?.accepted()?;
    let events = sidehook.events().await?;
    let grace: Vec<_> = events.iter().filter(|event| name_of(event) == "Grace").collect();
    let said = format!("{grace:?}");
    ensure!(grace.len() == 1 && !said.contains("grace@example.com"), "not redacted: {said}");

    gateway.reload(|plan| "observe".clone_into(&mut plan.capture)).await?;
    gateway.drained().await?;
    sidehook.post("/people", ada()).await?.accepted()?;
    let observed = "observed.resource.people.action.created.total";
    ensure!(sidehook.counted(observed).await? == 1, "it was not only observed");
    ensure!(sidehook.events().await?.len() == events.len(), "something was sent");
    gateway.sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_another_configuration_loses_nothing_and_stores_nothing_twice() -> Result<()> {
    let _machine = alone().await;
    let gateway = Reloadable::start(|plan| plan.gateway_arguments.push(PATIENT.to_owned())).await?;
    let sidehook = &gateway.sidehook;
    let load = under_load(sidehook).await?;
    gateway.reload(guests_and_no_addresses).await?;
    more_answers(sidehook).await?;
    ensure!(gateway.draining().await? > 0, "the old listener was gone at once");
    gateway.drained().await?;
    more_answers(sidehook).await?;
    let outcome = load.stop().await?;
    everything_accepted_is_stored(sidehook, "another configuration", &outcome).await?;
    is_in_force(sidehook).await?;
    ensure!(sidehook.stack.stat(AT_RISK).await? == 0, "answers were let go unstored");
    gateway.sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_old_configuration_still_has_is_stored_when_the_sidecar_is_back() -> Result<()> {
    let _machine = shared().await;
    let mut gateway = Reloadable::start(best_effort).await?;
    gateway.sidehook.stack.sidecar(0)?.stop(LIMIT).await?;
    let names = some_people(&gateway.sidehook, EVENTS).await?;
    gateway.reload(|plan| plan.resources.push("guests=/guests/people".to_owned())).await?;
    gateway.drained().await?;
    gateway.sidehook.stack.restart_sidecar(0).await?;
    let sidehook = &gateway.sidehook;
    let events = sidehook.events_until(|events| has_all(events, &names)).await?;
    ensure!(events.len() == EVENTS, "{} events of {EVENTS} people", events.len());
    ensure!(sidehook.stack.stat(DROPPED).await? == 0, "something was dropped");
    gateway.sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_old_configuration_cannot_get_rid_of_is_counted() -> Result<()> {
    let _machine = shared().await;
    let mut gateway = Reloadable::start(best_effort).await?;
    gateway.sidehook.stack.sidecar(0)?.stop(LIMIT).await?;
    some_people(&gateway.sidehook, EVENTS).await?;
    gateway.reload(|plan| plan.resources.push("guests=/guests/people".to_owned())).await?;
    let sidehook = &gateway.sidehook;
    let counted = sidehook.until("the count", async || {
        let dropped = sidehook.stack.stat(DROPPED).await?;
        let all = dropped == u64::try_from(EVENTS)?;
        Ok(if all { Ok(()) } else { Err(format!("{dropped} dropped")) })
    });
    counted.await?;
    let left = sidehook.until("the gauge", async || {
        let left = sidehook.stack.stat("wasmcustom.sidehook.buffered_events").await?;
        Ok(if left == 0 { Ok(()) } else { Err(format!("{left} buffered")) })
    });
    left.await?;
    gateway.sidehook.stack.restart_sidecar(0).await?;
    gateway.sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_with_a_mistake_is_refused_and_the_old_one_goes_on() -> Result<()> {
    let _machine = shared().await;
    let gateway = Reloadable::start(|_| ()).await?;
    let sidehook = &gateway.sidehook;
    let mistake = Change::Part {
        of: "hold_timeout: \"2s\"".to_owned(),
        by: "hold_timeuot: \"2s\"".to_owned(),
    };
    gateway.reload_in_vain(|plan| plan.gateway_changes.push(mistake)).await?;
    let log = std::fs::read_to_string(sidehook.plan.folder.join("envoy.log"))?;
    ensure!(log.contains("hold_timeuot"), "the log does not name the key: {log}");
    let rejected = sidehook.stack.stat("listener_manager.lds.update_rejected").await?;
    ensure!(rejected == 1, "{rejected} rejected");
    sidehook.post("/people", ada()).await?.accepted()?;
    ensure!(sidehook.events().await?.len() == 1, "the old one does not go on");

    // A mistake that is mended is forgotten.
    gateway.reload(guests_and_no_addresses).await?;
    is_in_force(sidehook).await?;
    gateway.sidehook.stop().await
}
