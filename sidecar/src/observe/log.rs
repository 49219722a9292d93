//! The log: one line per thing worth a line, readable or JSON, on the standard error.
//!
//! Invariant: the standard output stays free for what a command prints.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::{EnvFilter, fmt};

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Directives that cannot be read.
#[derive(Debug, Error)]
#[error("log filter {text:?}: {reason}")]
pub struct InvalidFilter {
    text: String,
    reason: String,
}

/// Starts logging; `filter` is as of `tracing_subscriber::EnvFilter`, such as
/// `info,sidehook::deliver=debug`. Only the first call of a process has an effect.
pub fn install(filter: &str, format: Format) -> Result<(), InvalidFilter> {
    // What goes wrong with the broker is logged where it is handled. Who wants to hear its client
    // all the same says so in `filter`, which comes later and wins.
    let directives = EnvFilter::try_new(format!("lapin=off,{filter}"))
        .map_err(|error| InvalidFilter { text: filter.to_owned(), reason: error.to_string() })?;
    // A line that cannot be written, since whoever read the log is gone, must not end what it tells
    // of: complaining about it on the same broken pipe would panic.
    let lines =
        fmt().with_env_filter(directives).with_writer(std::io::stderr).log_internal_errors(false);
    let installed = match format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    // Somebody who already listens hears us too.
    drop(installed);
    Ok(())
}
