//! `cargo xtask bench`: what a delivery costs, from the write to the receiver.
//!
//! [`cases`] says what is measured, in acts. A [`stage`] is a whole stack for each setting of an act; its
//! cases take turns, each fed by a [`source`], received by [`receiver`] and kept account of in a
//! [`ledger`]. [`raw`] is the least that a delivery can cost, in the same rounds. [`processes`] reads
//! what was taken, [`exposition`] what the sidecar tells of itself, [`figures`] makes one row of many
//! rounds, [`report`] shows them.
//!
//! Invariant: nothing leaves the loopback address, and no more is under way than was said.

mod cases;
mod event;
mod exposition;
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
    cases::{ALL, Act, Case, Setting, Way},
    figures::Figures,
    receiver::Receivers,
    report::Report,
    stage::Stage,
};
use super::api;
use crate::{say, serving::Serving, stack::Programs, tools::cargo::Build};

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

/// Measures, and shows the tables.
pub(super) async fn measure(pipeline: Pipeline) -> Result<()> {
    let Pipeline { rounds, quick, case, json } = pipeline;
    let wanted = |one: &Case| {
        (one.is_main || !quick) && case.as_ref().is_none_or(|text| one.name().contains(text))
    };
    let cases: Vec<_> = ALL.into_iter().filter(wanted).collect();
    ensure!(!cases.is_empty(), "no case has such a name");
    let report = report(&Programs::ensure(Build::Release).await?, &cases, rounds, RAW).await?;
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(&report.json())?;
        std::fs::write(&file, text)
            .with_context(|| format!("failed to write {}", file.display()))?;
    }
    say::line(report.tables());
    Ok(())
}

/// Plays these cases, act by act.
async fn report(programs: &Programs, cases: &[Case], rounds: u32, raw: usize) -> Result<Report> {
    let api = api::echo().await?;
    let mut report = Report { rounds: Vec::new(), raw: Vec::new() };
    for act in Act::ALL {
        let played = cases.iter().filter(|case| case.setting.act() == act);
        let mut played: Vec<_> = played.map(|case| (*case, Vec::new())).collect();
        if played.is_empty() {
            continue;
        }
        let (mut stages, started) = start(programs, &api, &played).await;
        let outcome = match started {
            Ok(()) => play(&mut stages, &mut played, rounds, raw).await,
            Err(error) => Err(error),
        };
        let mut stopped = Ok(());
        for (_, stage) in stages {
            stopped = stopped.and(stage.stop().await);
        }
        report.raw.extend(outcome?);
        stopped?;
        report.rounds.extend(played);
    }
    report.rounds.sort_by_key(|(case, _)| ALL.iter().position(|other| other == case));
    Ok(report)
}

/// Starts the stages of these cases, as far as that succeeds.
async fn start(
    programs: &Programs,
    api: &Serving,
    played: &[(Case, Vec<Figures>)],
) -> (Vec<(Setting, Stage)>, Result<()>) {
    let mut stages: Vec<(Setting, Stage)> = Vec::new();
    for (Case { setting, .. }, _) in played {
        if stages.iter().any(|(known, _)| known == setting) {
            continue;
        }
        let here = played.iter().filter(|(case, _)| case.setting == *setting);
        let has_bare = here.clone().any(|(case, _)| case.way == Way::Plain);
        match Stage::start(programs, api, *setting, has_bare).await {
            Ok(stage) => stages.push((*setting, stage)),
            Err(error) => return (stages, Err(error)),
        }
    }
    (stages, Ok(()))
}

/// Plays the rounds, and returns those of the raw limit.
async fn play(
    stages: &mut [(Setting, Stage)],
    played: &mut [(Case, Vec<Figures>)],
    rounds: u32,
    limit: usize,
) -> Result<Vec<Figures>> {
    let receivers = Receivers::start().await?;
    let mut raw = Vec::new();
    for round in 1..=rounds {
        let limit = raw::play(&receivers, limit).await?;
        tell(round, rounds, "raw limit", &limit);
        raw.push(limit);
        // Forth and back, so that nobody always comes after the same one.
        played.reverse();
        for (case, figures) in played.iter_mut() {
            let stage = stages.iter_mut().find(|(setting, _)| *setting == case.setting);
            let (_, stage) = stage.context("no such stage")?;
            let measured = stage.play(*case).await.with_context(|| case.name())?;
            tell(round, rounds, &case.name(), &measured);
            figures.push(measured);
        }
    }
    Ok(raw)
}

fn tell(round: u32, rounds: u32, name: &str, figures: &Figures) {
    let [p50, ..] = figures.answer.or(figures.latency).unwrap_or_default();
    say::progress(format!(
        "round {round} of {rounds}: {name}: {:.0}/s, {:.4} CPU-s per 1,000, p50 {p50:.2} ms",
        figures.per_second,
        figures.all_cpu()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_tiny_run_measures_every_way_of_an_event() {
        let programs = Programs::ensure(Build::Tests).await.unwrap();
        let small = |case: &Case| Case { events: 20, ..*case };
        let here = |case: &&Case| !case.setting.backend.postgres && case.is_main;
        let mut tiny: Vec<_> = ALL.iter().filter(here).map(small).collect();
        let one =
            ALL.iter().find(|case| case.setting.act() == Act::Empty && case.way == Way::Ingest);
        let Case { setting, .. } = *one.unwrap();
        for (others, pending) in [(2, 0), (0, 30)] {
            let setting = Setting { others, pending, ..setting };
            tiny.push(Case { setting, ..small(one.unwrap()) });
        }
        let report = report(&programs, &tiny, 1, 100).await.unwrap();
        assert_eq!(report.rounds.len(), tiny.len());
        for (case, rounds) in &report.rounds {
            let name = case.name();
            let [round] = rounds.as_slice() else { panic!("{name}: {rounds:?}") };
            assert!(round.per_second > 0.0, "{name}: {round:?}");
            assert_eq!(round.latency.is_some(), case.way != Way::Plain, "{name}: {round:?}");
            let is_asked = matches!(case.way, Way::Plain | Way::Alone);
            assert_eq!(round.answer.is_some(), is_asked, "{name}: {round:?}");
            let commits = round.further.contains_key("commit_mean_ms");
            assert_eq!(commits, case.way != Way::Plain, "{name}: {round:?}");
            assert!(round.memory.values().all(|mib| *mib > 1.0), "{name}: {round:?}");
        }
    }
}
