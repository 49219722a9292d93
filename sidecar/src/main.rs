//! The `sidehook` command.
//!
//! Invariant: the process ends with a code other than zero exactly when it failed.

#![forbid(unsafe_code)]

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser as _;
use sidehook::cli::{self, Cli};

/// A good part of a delivery is memory that is taken and given back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Cli::parse()).unwrap_or_else(|error| {
        // With standard error gone there is nobody left to tell.
        let _ = writeln!(io::stderr(), "sidehook: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(cli::run(cli, &mut io::stdout()))
}
