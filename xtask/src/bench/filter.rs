//! `cargo xtask bench filter`: what the filter costs Envoy.
//!
//! Invariant: a case counts only if it did what it says: every answer was a 2xx, and every write
//! through our filter an event that the sink has.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process, thread,
};

use anyhow::{Context, Result};
use clap::Args;

use super::{
    api,
    cases::{self, Case, Way},
    figures::Figures,
    gateway::{Gateway, Ground},
    load::Load,
    report::Report,
    rivals::Captured,
    usage,
};
use crate::{
    say,
    stack::Programs,
    tools::{cargo::Build, wasm},
};

/// What `bench filter` is told.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// How many rounds; in each of them the cases take turns
    #[arg(long, default_value_t = 9, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Requests of a case in a round
    #[arg(long, default_value_t = 4_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,

    /// Requests at a time
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    streams: u32,

    /// Also write the figures, round by round, to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures, and shows the table.
pub(super) async fn measure(filter: Filter) -> Result<()> {
    let Filter { rounds, requests, streams, json } = filter;
    let captured = Captured::default();
    let ground = Ground {
        // The sidecar's part is played by a sink; `sidehook` only writes configurations.
        programs: Programs::ensure(Build::Debug).await?,
        baseline: wasm::baseline().await.context("failed to build the empty filter")?,
        api: api::people().await?,
        sink: api::sink(&captured).await?,
        captured,
    };
    // Envoy has the first processor to itself, and the load, the API and the sink the others, so that
    // neither takes the caches from the other.
    let last = thread::available_parallelism()?.get() - 1;
    let mut gateways = BTreeMap::new();
    for way in cases::ALL.iter().map(|case| case.way).collect::<BTreeSet<_>>() {
        let mut gateway = Gateway::start(&ground, way).await?;
        if last > 0 {
            gateway.keep_to("0").await?;
        }
        gateways.insert(way, gateway);
    }
    if last > 0 {
        usage::keep_to(process::id(), &format!("1-{last}")).await?;
    }
    let measured = play(&mut gateways, rounds, requests, streams).await;
    for (way, gateway) in gateways {
        if let Way::Shipped(capture) = way {
            let (events, batches) = gateway.batches().await?;
            say::progress(format!("{capture}: {events} events in {batches} batches"));
        }
        gateway.stop().await?;
    }
    let report = Report { requests, streams, rounds: measured? };
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(&report.json())?;
        std::fs::write(&file, text)
            .with_context(|| format!("failed to write {}", file.display()))?;
    }
    say::line(report.table());
    Ok(())
}

async fn play(
    gateways: &mut BTreeMap<Way, Gateway>,
    rounds: u32,
    requests: u32,
    streams: u32,
) -> Result<Vec<(Case, Vec<Figures>)>> {
    let mut all: Vec<_> = cases::ALL.map(|case| (case, Vec::new())).into();
    for round in 1..=rounds {
        // Forth and back, so that nobody always comes after the same one.
        all.reverse();
        for (case, figures) in &mut all {
            let gateway = gateways.get_mut(&case.way).context("no such gateway")?;
            let measured = once(gateway, *case, requests, streams).await;
            let measured = measured.with_context(|| case.name())?;
            let Figures { per_second, cpu, .. } = measured;
            say::progress(format!(
                "round {round} of {rounds}: {:<26} {per_second:>6.0} requests/s, {cpu:>5.1} µs each",
                case.name()
            ));
            figures.push(measured);
        }
    }
    all.sort_by_key(|(case, _)| cases::ALL.iter().position(|other| other == case));
    Ok(all)
}

/// One case in one round, after a run-up that fills connection pools and warms up the compiler of
/// the virtual machine.
async fn once(gateway: &mut Gateway, case: Case, requests: u32, streams: u32) -> Result<Figures> {
    let run_up = requests.div_ceil(5);
    let committed = gateway.committed().await?;
    let load = Load::to(gateway.address(), streams).await?;
    load.send(case.call, run_up).await?;
    let before = gateway.usage()?;
    let run = load.send(case.call, requests).await?;
    let cpu = gateway.usage()?.saturating_sub(before);
    if case.captures() {
        gateway.commits(committed + u64::from(run_up) + u64::from(requests)).await?;
    }
    Ok(Figures::of(run, cpu))
}
