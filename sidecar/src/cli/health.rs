//! `sidehook health`: asks one server whether it is well, for container engines, whose images
//! have nothing else to ask with.
//!
//! Invariant: the exit code is zero exactly when the server answered 2xx in time.

use std::{io::Write, process::ExitCode};

use anyhow::Context as _;
use clap::Args;
use url::Url;

use crate::neighbours::client;

/// What `sidehook health` is told.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// What to ask with a GET request, without a token
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5000/readyz", value_parser = super::server)]
    url: Url,
}

/// Asks, and tells the status of the answer.
pub async fn run(args: HealthArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let answer = client()?.get(args.url.clone()).send().await;
    let status = answer.with_context(|| format!("asking {}", args.url))?.status();
    writeln!(out, "{} answers {status}", args.url)?;
    Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
