//! `cargo xtask bench`: what a delivery costs, from the write to the receiver.
//!
//! [`cases`] says what is measured. A [`stage`] of each kind is a whole stack; the cases take turns on
//! it, each fed by a [`source`], received by [`receiver`] and kept account of in a [`ledger`].
//! [`raw`] is the least that a delivery can cost, in the same rounds. [`processes`] reads what was
//! taken, [`figures`] makes one row of many rounds, [`report`] shows them.
//!
//! Invariant: nothing leaves the loopback address, and no more is under way than was said.

mod cases;
mod event;
mod figures;
mod ledger;
mod processes;
mod raw;
mod receiver;
mod report;
mod source;
mod stage;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use self::{
    cases::{ALL, Case},
    figures::Figures,
    receiver::Receivers,
    report::Report,
    stage::Stage,
};
use super::api;
use crate::{backend::Backend, say, stack::Programs, tools::cargo::Build};

/// Deliveries of a round of the raw limit.
const RAW: usize = 50_000;

/// What `bench` is told.
#[derive(Debug, Args)]
pub(super) struct Pipeline {
    /// How many rounds; in each of them the cases take turns
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// The main cases alone, in less than ten minutes
    #[arg(long)]
    quick: bool,

    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,

    /// Also write the figures, round by round, to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures, and shows the table.
pub(super) async fn measure(pipeline: Pipeline) -> Result<()> {
    let Pipeline { rounds, quick, case, json } = pipeline;
    let wanted = |one: &Case| {
        (one.is_main || !quick) && case.as_ref().is_none_or(|text| one.name().contains(text))
    };
    let mut cases: Vec<_> = ALL.into_iter().filter(wanted).map(|case| (case, Vec::new())).collect();
    ensure!(!cases.is_empty(), "no case has such a name");
    let programs = Programs::ensure(Build::Release).await?;
    let api = api::echo().await?;
    let mut stages = Vec::new();
    for postgres in [false, true] {
        let backend = Backend { postgres, rabbitmq: postgres };
        if cases.iter().any(|(case, _)| case.backend == backend) {
            stages.push((backend, Stage::start(&programs, &api, backend).await?));
        }
    }
    let played = play(&mut stages, &mut cases, rounds).await;
    for (_, stage) in stages {
        stage.stop().await?;
    }
    let report = Report { raw: played?, rounds: cases };
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(&report.json())?;
        std::fs::write(&file, text)
            .with_context(|| format!("failed to write {}", file.display()))?;
    }
    say::line(report.table());
    Ok(())
}

/// Plays the rounds, and returns those of the raw limit.
async fn play(
    stages: &mut [(Backend, Stage)],
    cases: &mut [(Case, Vec<Figures>)],
    rounds: u32,
) -> Result<Vec<Figures>> {
    let receivers = Receivers::start().await?;
    let mut raw = Vec::new();
    for round in 1..=rounds {
        let limit = raw::play(&receivers, RAW).await?;
        tell(round, rounds, "raw limit", &limit);
        raw.push(limit);
        // Forth and back, so that nobody always comes after the same one.
        cases.reverse();
        for (case, figures) in cases.iter_mut() {
            let stage = stages.iter_mut().find(|(backend, _)| *backend == case.backend);
            let (_, stage) = stage.context("no such stage")?;
            let measured = stage.play(*case).await.with_context(|| case.name())?;
            tell(round, rounds, &case.name(), &measured);
            figures.push(measured);
        }
    }
    cases.sort_by_key(|(case, _)| ALL.iter().position(|other| other == case));
    Ok(raw)
}

fn tell(round: u32, rounds: u32, name: &str, figures: &Figures) {
    let Figures { per_second, latency: [p50, ..], .. } = figures;
    say::progress(format!(
        "round {round} of {rounds}: {name}: {per_second:.0} deliveries/s, {:.4} CPU-s per 1,000, p50 {p50:.2} ms",
        figures.all_cpu()
    ));
}
