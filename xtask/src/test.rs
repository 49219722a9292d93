//! `cargo xtask test`: every test of the workspace, with the real Envoy, the real filter, a real
//! Postgres and a real RabbitMQ.
//!
//! Invariant: no test is left out because a tool is missing; the tool is fetched, or this fails.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::{
    command::Program,
    say,
    services::{
        postgres::{self, Postgres},
        rabbitmq::{self, RabbitMq},
    },
    stack::{FILTER, Programs, SIDEHOOK},
    tools::{
        cargo::{self, Build},
        collector, envoy, prometheus, python, wasm,
    },
};

/// Everything, built from scratch on two cores, takes less than that.
const LIMIT: Duration = Duration::from_mins(40);

/// What `test` is told.
#[derive(Debug, Args)]
pub struct Test {
    /// Run only tests whose name contains this
    filter: Option<String>,

    /// Show what the tests print, figures for example
    #[arg(long)]
    nocapture: bool,
}

/// Builds everything and runs the tests.
pub async fn test(test: Test) -> Result<()> {
    say::progress("building everything, its tests included");
    let programs = Programs::ensure(Build::Tests).await?;
    // Fetched and compiled before the tests begin, so that none of them waits for it.
    python::packages().await?;
    prometheus::promtool().await?;
    collector::collector().await?;
    wasm::baseline().await?;
    Program::new(&programs.sidehook).args(["script", "warm"]).show().await?;
    let postgres = Postgres::start().await?;
    let rabbitmq = RabbitMq::start().await?;
    // All of them, so that one run tells of everything that is wrong.
    let run = cargo::cargo().args(["test", "--workspace", "--no-fail-fast"]);
    let run = run.env(postgres::VARIABLE, postgres.url());
    let run = run.env(rabbitmq::VARIABLE, rabbitmq.url());
    let run = run.env(envoy::VARIABLE, &programs.envoy).env(FILTER, &programs.filter);
    let run = run.env(SIDEHOOK, &programs.sidehook);
    let run = run.args(["--"]).args(test.nocapture.then_some("--nocapture")).args(test.filter);
    let ran = run.within(LIMIT).show().await;
    let stopped = rabbitmq.stop().await;
    ran.and(stopped).and(postgres.stop().await)
}
