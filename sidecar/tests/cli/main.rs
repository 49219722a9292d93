//! The `sidehook` command as its users meet it: the built binary, its output and its exit code.
//!
//! Invariant: no test reads the environment of whoever runs it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::process::{Command, Output};

mod check;
mod containers;
#[path = "../../src/store/postgres/testing.rs"]
mod database;
mod gateway;
mod health;
mod listen;
mod metrics;
mod migrate;
mod scripts;
mod secrets;
mod serve;
mod stream;
mod tail;
mod tokens;
mod top;
mod traffic;

/// The command, ready to be run with `arguments`.
fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidehook"));
    command.args(arguments.split_whitespace());
    for ours in ["API_TOKEN", "INGEST_TOKEN", "SECRET_KEYS"] {
        command.env_remove(format!("SIDEHOOK_{ours}"));
    }
    command
}

/// Runs the command to its end.
fn sidehook(arguments: &str) -> Output {
    command(arguments).output().unwrap()
}

/// What a successful run printed.
fn printed(arguments: &str) -> String {
    let output = sidehook(arguments);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What a run said on standard error.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_help_names_every_command() {
    insta::assert_snapshot!(printed("--help"));
}
