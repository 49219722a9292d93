//! `sidehook secrets`: makes a key, and seals what is stored with another one.
//!
//! Invariant: a key is printed where it is made, and nowhere else.

use std::{io::Write, process::ExitCode};

use clap::Subcommand;
use secrecy::ExposeSecret as _;

use super::serve::ServeArgs;
use crate::{
    app,
    clock::{Clock as _, SystemClock},
    model::SealingKey,
};

/// What is done about the keys.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Print a new key for `secret_keys`
    GenerateKey,
    /// Encrypt all secrets in the store with the first of `secret_keys`
    ///
    /// Takes the configuration of `sidehook serve`; of it the store and the keys matter. A store
    /// in SQLite must not be in use, and its file is rewritten.
    Reseal(Box<ServeArgs>),
}

/// Carries out a command. `out` is standard output.
pub async fn run(command: SecretsCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match command {
        SecretsCommand::GenerateKey => {
            let key = SealingKey::generate(|| SystemClock::start().dice());
            writeln!(out, "{}", key.reveal().expose_secret())?;
        }
        SecretsCommand::Reseal(args) => {
            let config = args.configure()?;
            let resealed = app::reseal(&config).await?;
            let key = config.secret_keys.first().map(|key| key.id().to_string());
            let key = key.unwrap_or_default();
            let s = if resealed == 1 { "" } else { "s" };
            writeln!(out, "sealed {resealed} subscription{s} anew, all are sealed with {key} now")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
