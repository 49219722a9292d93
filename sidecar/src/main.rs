//! The `sidehook` command.
//!
//! Invariant: the process ends with a code other than zero exactly when it failed.

#![forbid(unsafe_code)]

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use sidehook::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(Cli::parse(), &mut io::stdout()).unwrap_or_else(|error| {
        // With standard error gone there is nobody left to tell.
        let _ = writeln!(io::stderr(), "sidehook: {error:#}");
        ExitCode::FAILURE
    })
}
