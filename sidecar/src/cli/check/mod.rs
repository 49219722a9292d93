//! `sidehook check`: is everything there that Sidehook needs, and what to do about what is not.
//!
//! Invariant: the exit code is zero exactly when no problem was found.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use url::Url;

mod files;
mod finding;
mod gateway_config;
mod node;
mod servers;
mod stats;

use super::token::Token;
use crate::neighbours::client;
use finding::{Finding, summary};

/// The name that `sidehook gateway` gives to the sidecar's cluster.
const CLUSTER: &str = "sidehook";

/// What `sidehook check` is told.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// An Envoy configuration to look for what is missing in it
    #[arg(long, value_name = "FILE")]
    gateway_config: Option<PathBuf>,

    /// The filter, to see whether it is one
    #[arg(long, value_name = "PATH")]
    filter: Option<PathBuf>,

    /// The Envoy that validates the configuration [default: envoy in $PATH]
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,

    /// The sidecar
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5000", value_parser = super::server)]
    api: Url,

    /// The token that the sidecar asks for
    #[arg(long, env = "SIDEHOOK_API_TOKEN", hide_env_values = true)]
    token: Option<Token>,

    /// Where clients reach the API through Envoy; not asked unless given
    #[arg(long, value_name = "URL", value_parser = super::server)]
    gateway: Option<Url>,

    /// Envoy's admin interface
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901", value_parser = super::server)]
    admin: Url,

    /// Look at files alone and ask no server
    #[arg(long, conflicts_with_all = ["gateway", "token"])]
    offline: bool,
}

/// Looks at everything and tells what it found.
pub async fn run(args: CheckArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    let mut cluster = None;
    if let Some(path) = &args.gateway_config {
        match files::read(path) {
            Ok(config) => {
                findings.extend(gateway_config::examine(&config));
                cluster = gateway_config::sidecar_cluster(&config);
            }
            Err(finding) => findings.push(finding),
        }
    }
    findings.extend(args.filter.as_deref().map(files::filter));
    findings.extend(files::envoy(args.envoy, args.gateway_config.as_deref()).await);
    if !args.offline {
        let client = client()?;
        findings.extend(servers::sidecar(&client, &args.api, args.token.as_ref()).await);
        let cluster = cluster.as_deref().unwrap_or(CLUSTER);
        findings.extend(servers::envoy(&client, &args.admin, cluster).await);
        if let Some(gateway) = &args.gateway {
            findings.push(servers::gateway(&client, gateway).await);
        }
    }
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    writeln!(out, "{}", summary(&findings))?;
    let has_problem = findings.iter().any(Finding::is_problem);
    Ok(if has_problem { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
