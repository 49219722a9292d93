//! `cargo xtask test`: every test of the workspace, with the real Envoy and the real filter.
//!
//! Invariant: no test is left out because a tool is missing; the tool is fetched, or this fails.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::{
    say,
    stack::Programs,
    tools::{cargo, envoy, python},
};

/// Everything, built from scratch on two cores, takes less than that.
const LIMIT: Duration = Duration::from_mins(40);

/// Names the filter, for tests.
pub const FILTER: &str = "SIDEHOOK_FILTER_WASM";

/// Names the program `sidehook`, for tests.
pub const SIDEHOOK: &str = "SIDEHOOK_PROGRAM";

/// Names a folder with the Python package `standardwebhooks`, for tests.
pub const PYTHON: &str = "SIDEHOOK_PYTHONPATH";

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
    let programs = Programs::ensure(false).await?;
    let python = python::standardwebhooks().await?;
    say::progress("running the tests of the whole workspace");
    let run = cargo::cargo().args(["test", "--workspace"]);
    let run = run.env(envoy::VARIABLE, &programs.envoy).env(FILTER, &programs.filter);
    let run = run.env(SIDEHOOK, &programs.sidehook).env(PYTHON, python);
    let run = run.args(["--"]).args(test.nocapture.then_some("--nocapture")).args(test.filter);
    run.within(LIMIT).show().await
}
