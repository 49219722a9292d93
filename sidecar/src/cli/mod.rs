//! The commands of `sidehook`: what they are told, and who carries them out.
//!
//! Invariant: a command writes what it has to say to the writer that it is handed, and returns
//! every failure to its caller, which alone prints it.

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

pub mod gateway;

/// Every write your API accepts becomes a webhook.
#[derive(Debug, Parser)]
#[command(name = "sidehook", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `sidehook` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the Envoy configuration for your API
    Gateway(gateway::GatewayArgs),
}

/// Carries out a command. `out` is standard output.
pub fn run(cli: Cli, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Gateway(args) => gateway::run(&args, out),
    }
}
