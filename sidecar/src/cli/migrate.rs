//! `sidehook migrate`: brings the schema of the store up to this build's.
//!
//! Invariant: it is what `sidehook serve` does at its start, and no more.

use std::{io::Write, process::ExitCode};

use super::serve::ServeArgs;
use crate::app;

/// Does it, and says what was done. `out` is standard output.
pub async fn run(args: ServeArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = args.configure()?;
    writeln!(out, "{}", app::migrate(&config).await?)?;
    Ok(ExitCode::SUCCESS)
}
