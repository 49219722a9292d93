//! Another gateway process that takes over from the one at work (Envoy's hot restart).
//!
//! Invariant: both are at work for a while, with the same listener and counters.

use anyhow::{Result, ensure};

use super::{AT_RISK, PATIENT, everything_accepted_is_stored, more_answers, under_load};
use crate::support::{LIMIT, Sidehook, alone};

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_restart_loses_nothing_and_stores_nothing_twice() -> Result<()> {
    let _machine = alone().await;
    let mut sidehook = Sidehook::before_people_with(|plan| {
        plan.gateway_arguments.push(PATIENT.to_owned());
        // Whoever has the port has the number too.
        let base = plan.gateway.to_string();
        let times = ["--drain-time-s", "2", "--parent-shutdown-time-s", "3"];
        plan.envoy_arguments
            .extend(["--base-id", &base].into_iter().chain(times).map(str::to_owned));
    })
    .await?;
    let load = under_load(&sidehook).await?;
    let mut old = sidehook.stack.succeed_gateway(1).await?;
    let ended = tokio::time::timeout(LIMIT, old.ended()).await??;
    ensure!(ended.success(), "the old gateway ended with {ended}");
    let epoch = sidehook.stack.stat("server.hot_restart_epoch").await?;
    ensure!(epoch == 1, "this is gateway {epoch}");
    more_answers(&sidehook).await?;
    let outcome = load.stop().await?;
    everything_accepted_is_stored(&sidehook, "hot restart", &outcome).await?;
    ensure!(sidehook.stack.stat(AT_RISK).await? == 0, "answers were let go unstored");
    sidehook.stop().await
}
