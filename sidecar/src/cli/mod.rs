//! The commands of `sidehook`: what they are told, and who carries them out.
//!
//! Invariant: a command writes what it has to say to the writer that it is handed, and returns
//! every failure to its caller, which alone prints it.

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use url::Url;

pub mod check;
pub mod gateway;
pub mod health;
pub mod listen;
pub mod migrate;
pub mod reach;
mod reason;
pub mod script;
pub mod secrets;
pub mod serve;
pub mod tail;
mod terminal;
pub mod token;
pub mod tokens;
pub mod top;

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
    /// Take events, keep them, deliver them
    Serve(Box<serve::ServeArgs>),
    /// Write the Envoy configuration for your API
    Gateway(gateway::GatewayArgs),
    /// Receive webhooks on this machine, verify and show them
    Listen(listen::ListenArgs),
    /// Show what happens in the sidecar, as it happens
    Tail(tail::TailArgs),
    /// Show how fast things go, what waits and what goes wrong, refreshed in place
    Top(top::TopArgs),
    /// Make and revoke the tokens that the sidecar lets in by
    #[command(subcommand)]
    Token(tokens::TokenCommand),
    /// See whether everything that is needed is there and in order
    Check(check::CheckArgs),
    /// Ask one server whether it is well, for container engines
    Health(health::HealthArgs),
    /// Bring the schema of the store up to this build's, as `serve` does at its start
    ///
    /// Takes the configuration of `sidehook serve`.
    Migrate(Box<serve::ServeArgs>),
    /// Check scripts, run them, test them, and try them on the events of the past
    #[command(subcommand)]
    Script(script::ScriptCommand),
    /// Make and change the keys that encrypt secrets in the store
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
}

/// Carries out a command. `out` is standard output.
pub async fn run(cli: Cli, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(*args).await,
        Command::Gateway(args) => gateway::run(&args, out),
        Command::Listen(args) => listen::run(args, out).await,
        Command::Tail(args) => tail::run(args, out).await,
        Command::Top(args) => top::run(args, out).await,
        Command::Token(command) => tokens::run(command, out).await,
        Command::Check(args) => check::run(args, out).await,
        Command::Health(args) => health::run(args, out).await,
        Command::Migrate(args) => migrate::run(*args, out).await,
        Command::Script(command) => script::run(command, out).await,
        Command::Secrets(command) => secrets::run(command, out).await,
    }
}

/// Reads the URL of a server to be asked over HTTP.
fn server(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
        return Err("must begin with http:// or https:// and have no query".to_owned());
    }
    Ok(url)
}
