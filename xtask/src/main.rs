//! `cargo xtask`: the commands a developer needs, and nothing to install first but cargo.
//!
//! Invariant: a command that fails says what to do about it.
#![forbid(unsafe_code)]

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{say, tools};

/// Builds, starts and tests the whole of Sidehook.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile the gateway's filter to target/wasm/sidehook_filter.wasm
    Wasm,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Wasm => say::line(tools::wasm::filter().await?.display()),
    }
    Ok(())
}
