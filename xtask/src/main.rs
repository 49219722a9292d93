//! `cargo xtask`: the commands a developer needs, and nothing to install first but cargo.
//!
//! Invariant: a command that fails says what to do about it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{bench, conform, dashboards, demo, sample, say, test, tools, up};

/// Builds, starts and tests the whole of Sidehook.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine: gateway, sidecar, receiver, and an API to try it on
    Up(up::Up),
    /// Play a short scenario and show what was delivered
    Demo(demo::Demo),
    /// Run the sample API alone
    People(sample::Sample),
    /// Run every test, those with the real Envoy included
    Test(test::Test),
    /// Ask the real API whatever its description lets one ask, and judge both
    Conform(conform::Conform),
    /// Draw the dashboards for Grafana from a live run, without a Grafana
    Dashboards(dashboards::Dashboards),
    /// Measure what things cost on this machine
    Bench(bench::Bench),
    /// Compile what runs as WebAssembly, the filter of the gateway and the engine of scripts, and
    /// say where it is
    Wasm {
        /// Compile also what the filter is measured against
        #[arg(long)]
        baseline: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::failure(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Up(up) => up::up(up).await,
        Command::Demo(demo) => demo::demo(demo).await,
        Command::People(sample) => sample::serve(sample).await,
        Command::Test(test) => test::test(test).await,
        Command::Conform(conform) => conform::conform(conform).await,
        Command::Dashboards(dashboards) => dashboards::dashboards(dashboards).await,
        Command::Bench(bench) => bench::bench(bench).await,
        Command::Wasm { baseline } => {
            say::line(tools::wasm::filter().await?.display());
            say::line(tools::wasm::script_engine().await?.display());
            if baseline {
                say::line(tools::wasm::baseline().await?.display());
            }
            Ok(())
        }
    }
}
