//! `sidehook gateway`: writes the Envoy configuration for an API.
//!
//! Invariant: what is written is complete and valid, or nothing is written.

use std::{fs, io::Write, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use askama::Template as _;
use clap::{Args, ValueEnum};

mod bootstrap;
mod endpoint;
mod filter;
mod resource;

use super::token::Token;
use bootstrap::Bootstrap;
pub use endpoint::{Endpoint, InvalidEndpoint, Sidecar};
pub use filter::{Filter, Sha256};
pub use resource::{InvalidResource, Resource};

/// What `sidehook gateway` is told.
#[derive(Debug, Args)]
pub struct GatewayArgs {
    /// The API to stand before: its server alone, without a path
    #[arg(long, value_name = "URL")]
    upstream: Endpoint,

    /// A resource to watch and the path of its collection; repeat it for more
    #[arg(long = "resource", value_name = "NAME=/PATH", required = true)]
    resources: Vec<Resource>,

    /// Where clients reach the API from now on
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:8000")]
    listen: SocketAddr,

    /// Where Envoy's admin interface listens; it has no password
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,

    /// The sidecar, as Envoy reaches it, its socket as `unix:/PATH`; repeat it for more on the same
    /// store
    #[arg(long = "sidecar", value_name = "URL", default_value = "http://127.0.0.1:5000")]
    sidecars: Vec<Sidecar>,

    /// The authority that vouches for a sidecar at https://, as Envoy finds its certificate
    #[arg(long, value_name = "FILE", value_parser = printable)]
    sidecar_ca: Option<String>,

    /// The certificate that the gateway shows to the sidecar, as Envoy finds it
    #[arg(long, value_name = "FILE", value_parser = printable, requires = "sidecar_key")]
    sidecar_certificate: Option<String>,

    /// The key of that certificate, as Envoy finds it
    #[arg(long, value_name = "FILE", value_parser = printable, requires = "sidecar_certificate")]
    sidecar_key: Option<String>,

    /// The filter, as Envoy finds it: a file, or where it is fetched from when Envoy starts
    #[arg(long, value_name = "PATH|URL", default_value = "/etc/envoy/sidehook_filter.wasm")]
    filter: Filter,

    /// The SHA-256 of a filter that is fetched
    #[arg(long, value_name = "HEX")]
    filter_sha256: Option<Sha256>,

    /// How far an event is worth the client's time
    #[arg(long, value_enum, default_value_t = Capture::Durable)]
    capture: Capture,

    /// The longest that an answer is held for its event to be stored
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    hold_timeout: HoldTimeout,

    /// An OpenTelemetry collector that Envoy tells of each request, over OTLP/HTTP
    #[arg(long, value_name = "URL")]
    traces: Option<Endpoint>,

    /// The name of this gateway, the source of its events
    #[arg(long, value_name = "NAME", default_value = "edge", value_parser = source)]
    name: String,

    /// The token that the sidecar asks for: its `ingest_token`, or one with the scope events:write
    #[arg(long, env = "SIDEHOOK_INGEST_TOKEN", hide_env_values = true)]
    token: Option<Token>,

    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What the gateway does to have an event stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Capture {
    /// Send nothing: count what would be captured, and log some of it
    Observe,
    /// Never hold an answer; drop the event when the sidecar is away for long
    BestEffort,
    /// Hold the answer until the event is stored, but not longer than the hold timeout
    Durable,
    /// As durable, and refuse writes whose event cannot be stored
    Strict,
}

impl Capture {
    fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::BestEffort => "best_effort",
            Self::Durable => "durable",
            Self::Strict => "strict",
        }
    }
}

/// Writes the configuration to `out`, or to the file that `args` names.
pub fn run(args: &GatewayArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    refuse_collisions(&args.resources)?;
    refuse_mixture(&args.sidecars)?;
    refuse_half_tls(args)?;
    refuse_unchecked_filter(args)?;
    let mut config = Bootstrap::from(args).render().context("filling in the configuration")?;
    config.push('\n');
    match &args.output {
        Some(path) => fs::write(path, config)
            .with_context(|| format!("--output: writing {}", path.display()))?,
        None => out.write_all(config.as_bytes()).context("writing to standard output")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn refuse_collisions(resources: &[Resource]) -> anyhow::Result<()> {
    for (index, resource) in resources.iter().enumerate() {
        let mut earlier = resources.iter().take(index);
        if let Some(first) = earlier.find(|earlier| resource.collides_with(earlier)) {
            bail!(
                "--resource: {}={} watches the same path as {}={}",
                resource.name,
                resource.path,
                first.name,
                first.path
            );
        }
    }
    Ok(())
}

/// A cluster whose names Envoy resolves cannot have sockets beside them.
fn refuse_mixture(sidecars: &[Sidecar]) -> anyhow::Result<()> {
    let has_socket = sidecars.iter().any(|sidecar| matches!(sidecar, Sidecar::Socket(_)));
    if has_socket && sidecars.iter().any(Sidecar::is_name) {
        bail!("--sidecar: Envoy cannot use a socket beside a name; write the name's address");
    }
    Ok(())
}

/// All of the cluster speaks TLS, with an authority to know the sidecars by, or nothing does.
fn refuse_half_tls(args: &GatewayArgs) -> anyhow::Result<()> {
    let with_tls = args.sidecars.iter().filter(|sidecar| sidecar.has_tls()).count();
    if with_tls == 0 {
        let files = [
            ("--sidecar-ca", &args.sidecar_ca),
            ("--sidecar-certificate", &args.sidecar_certificate),
        ];
        if let Some((flag, _)) = files.iter().find(|(_, file)| file.is_some()) {
            bail!("{flag}: has no use unless --sidecar begins with https://");
        }
        return Ok(());
    }
    if with_tls < args.sidecars.len() {
        bail!("--sidecar: must begin with https:// everywhere or nowhere");
    }
    if args.sidecar_ca.is_none() {
        bail!("--sidecar-ca: must be given, for --sidecar begins with https://");
    }
    Ok(())
}

fn refuse_unchecked_filter(args: &GatewayArgs) -> anyhow::Result<()> {
    match (&args.filter, &args.filter_sha256) {
        (Filter::Remote { .. }, None) => {
            bail!("--filter-sha256: must be given, for the filter is fetched")
        }
        (Filter::File(_), Some(_)) => {
            bail!("--filter-sha256: has no use unless --filter is a URL")
        }
        (Filter::Remote { .. }, Some(_)) | (Filter::File(_), None) => Ok(()),
    }
}

/// How long an answer may be held: at least a millisecond, at most a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HoldTimeout(Duration);

impl std::str::FromStr for HoldTimeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let duration =
            humantime::parse_duration(text).map_err(|error| format!("{error}, such as 2s"))?;
        if (Duration::from_millis(1)..=Duration::from_mins(1)).contains(&duration) {
            Ok(Self(duration))
        } else {
            Err("must be 1ms to 1m".to_owned())
        }
    }
}

fn printable(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("must be a path without control characters");
    }
    Ok(text.to_owned())
}

fn source(text: &str) -> Result<String, &'static str> {
    // What a URI reference may hold unescaped, for so CloudEvents defines a source.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/@".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(allowed) {
        return Err("must be 1 to 128 letters, digits and -._~:/@");
    }
    Ok(text.to_owned())
}
