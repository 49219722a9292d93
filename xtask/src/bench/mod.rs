//! `cargo xtask bench`: what things cost on this machine, beside what the same costs without them.
//!
//! [`pipeline`] measures what a delivery costs, from the write to the receiver, and [`filter`] what
//! the filter costs Envoy, and what [`rivals`] of it cost. The latter plays its [`cases`] in rounds: a [`gateway`] of each kind stands before an [`api`]
//! that does next to nothing, a [`load`] goes through one after the other, [`usage`] reads what
//! that took of the processor. [`figures`] makes one row of many rounds, [`report`] shows them.
//! [`instructions`] counts, and measures no time.
//!
//! Invariant: what is compared takes turns, so that the machine's moods meet all alike; nothing
//! leaves the loopback address.

mod api;
mod cases;
mod figures;
mod filter;
mod gateway;
mod instructions;
mod load;
mod pipeline;
mod report;
mod rivals;
mod usage;

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::{command::Program, say, tools::cargo};

/// No measurement takes longer.
const LIMIT: Duration = Duration::from_hours(1);

/// What is measured: the whole pipeline, unless something else is named.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    #[command(subcommand)]
    part: Option<Part>,

    #[command(flatten)]
    pipeline: pipeline::Pipeline,
}

/// What can be measured by itself.
#[derive(Debug, Subcommand)]
enum Part {
    /// What the filter costs Envoy per request, beside no filter and one that does nothing
    Filter(filter::Filter),
    /// How many instructions the hot paths take, beside what was recorded
    Instructions(instructions::Instructions),
}

/// Measures.
pub async fn bench(bench: Bench) -> Result<()> {
    let Bench { part, pipeline } = bench;
    match part {
        // What it counts is another program, whatever this one was built as.
        Some(Part::Instructions(instructions)) => instructions::count(instructions).await,
        _ if cfg!(debug_assertions) => with_optimisations().await,
        Some(Part::Filter(filter)) => filter::measure(filter).await,
        None => pipeline::measure(pipeline).await,
    }
}

/// The load and the API come from this program: without optimisations they would take from Envoy
/// most of the processor.
async fn with_optimisations() -> Result<()> {
    say::progress("building this command with optimisations");
    let program = cargo::xtask_released().await?;
    Program::new(program).args(std::env::args_os().skip(1)).within(LIMIT).show().await
}
