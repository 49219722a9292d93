//! `sidehook listen`: a receiver for development, which verifies and shows what it is sent.
//!
//! Invariant: each webhook is shown once and whole, however many come at the same time.

use std::{
    future::IntoFuture as _,
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use axum::http::StatusCode;
use clap::Args;
use tokio::{net::TcpListener, sync::mpsc};
use url::Url;

mod pretty;
mod receiver;
mod secrets;
mod show;
mod signature;

use super::token::Token;
use crate::{clock::SystemClock, lifecycle, model::Secret};
use receiver::Receiver;
use secrets::Secrets;

/// Reports that may wait to be shown; senders wait beyond that.
const WAITING_REPORTS: usize = 64;

/// What `sidehook listen` is told.
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// Where to listen
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5001")]
    listen: SocketAddr,

    /// The sidecar, which is asked for the secrets of the subscriptions that point here
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5000", value_parser = super::server)]
    api: Url,

    /// The token that the sidecar asks for, with the scope subscriptions:write: it shows secrets
    #[arg(long, env = "SIDEHOOK_API_TOKEN", hide_env_values = true)]
    token: Option<Token>,

    /// Verify with this secret and ask nobody; repeat it for more
    #[arg(long = "secret", value_name = "whsec_…")]
    secrets: Vec<Secret>,

    /// Answer everything with this status, to play a receiver that fails
    #[arg(long, value_name = "CODE", value_parser = status)]
    status: Option<StatusCode>,

    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// Receives and shows webhooks until a signal asks for the end.
pub async fn run(args: ListenArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("--listen: listening on {}", args.listen))?;
    let address = listener.local_addr().context("--listen: reading the port")?;
    let secrets = if args.secrets.is_empty() {
        Secrets::asked(args.api, args.token, address.port())?
    } else {
        Secrets::Given(args.secrets)
    };
    let (reports, mut arrived) = mpsc::channel(WAITING_REPORTS);
    let clock = Arc::new(SystemClock::start());
    let router = receiver::router(Receiver { secrets, status: args.status, clock, reports });
    let stop = lifecycle::stop_on_signal().context("listening for signals")?;
    write!(out, "{}", greeting(address, args.json)).and_then(|()| out.flush())?;

    let mut server = pin!(axum::serve(listener, router).into_future());
    loop {
        tokio::select! {
            Some(report) = arrived.recv() => {
                let shown = if args.json {
                    show::for_programs(&report)?
                } else {
                    show::for_people(&report)
                };
                out.write_all(shown.as_bytes()).and_then(|()| out.flush())?;
            }
            ended = &mut server => {
                ended.context("receiving")?;
                return Ok(ExitCode::SUCCESS);
            }
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
        }
    }
}

fn greeting(address: SocketAddr, json: bool) -> String {
    // A receiver on all addresses is reached on this machine by its loopback.
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let url = format!("http://{}", SocketAddr::new(host, address.port()));
    if json {
        format!("{}\n", serde_json::json!({ "listening": url }))
    } else {
        format!("listening at {url}, any path; Ctrl-C ends it\n\n")
    }
}

fn status(text: &str) -> Result<StatusCode, &'static str> {
    let code = text.parse().ok().filter(|code| (200..=599).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or("must be 200 to 599")
}
