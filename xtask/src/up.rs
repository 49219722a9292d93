//! `cargo xtask up`: everything running on this machine, until Ctrl-C.
//!
//! Invariant: it ends with nothing left running, and with a failure if something died by itself.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    child::{Child, Output},
    http::Http,
    options::Options,
    people, ports, say,
    serving::Serving,
    stack::{Plan, Programs, Stack, answers},
    stop::Stop,
};

/// How long the receiver may take to stop.
const RECEIVER_LIMIT: Duration = Duration::from_secs(5);

/// What `up` is told.
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    options: Options,

    /// An API of your own to stand before, in place of the sample
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,

    /// A resource to watch and the path of its collection; repeat it for more
    #[arg(long = "resource", value_name = "NAME=/PATH", default_value = "people=/people")]
    resources: Vec<String>,

    /// Keep what is stored in this folder, from run to run
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Starts everything, says how to try it, and stops it on SIGINT and SIGTERM.
pub async fn up(up: Up) -> Result<()> {
    up.options.check()?;
    let mut stop = Stop::listen()?;
    // A start that is given up drops its children, which ends them.
    let mut running = tokio::select! {
        started = Running::start(&up) => started?,
        () = stop.asked() => return Ok(()),
    };
    say::line(running.introduction(&up));
    say::line("ready");
    let outcome = tokio::select! {
        death = running.death() => Err(death),
        () = stop.asked() => Ok(()),
    };
    say::progress("stopping");
    let stopped = running.stop().await;
    outcome.and(stopped)
}

/// What is running.
struct Running {
    stack: Stack,
    receiver: Child,
    sample: Option<Serving>,
}

impl Running {
    async fn start(up: &Up) -> Result<Self> {
        let programs = Programs::ensure(up.options.build()).await?;
        let sample = match up.upstream {
            Some(_) => None,
            None => Some(Serving::start(people::api(), ports::free()?).await?),
        };
        let upstream = up.upstream.clone().or_else(|| sample.as_ref().map(Serving::url));
        let upstream = upstream.context("there is no API to stand before")?;
        let plan = up.options.plan("up", programs, upstream, up.resources.clone())?;
        let plan = Plan { data: up.data.clone().unwrap_or(plan.data), ..plan };
        let stack = Stack::start(plan).await?;
        let receiver = start_receiver(stack.plan(), up.options.receiver).await?;
        Ok(Self { stack, receiver, sample })
    }

    fn introduction(&self, up: &Up) -> String {
        let plan = self.stack.plan();
        let path = up.resources.first().and_then(|resource| resource.split_once('='));
        let path = path.map_or("/people", |(_, path)| path);
        let behind = match &self.sample {
            Some(sample) => format!("a sample API at {}", sample.url()),
            None => plan.upstream.clone(),
        };
        let json = "-H 'content-type: application/json'";
        let subscription = format!(
            r#"{{"url":"http://127.0.0.1:{}/webhook","event_type":"created"}}"#,
            up.options.receiver
        );
        let person = r#"{"name":"Ada","email":"ada@example.com"}"#;
        let data = if up.data.is_some() { "kept" } else { "fresh at each start" };
        format!(
            "
The gateway at {gateway} stands before {behind}.
Subscribe to what is created, then create something:

  curl -X POST {subscriptions} {json} -d '{subscription}'
  curl -X POST {collection} {json} -d '{person}'

The receiver shows the webhook here. What happened to it, and what became of it:

  curl {events}
  curl {deliveries}

Only this machine can reach the sidecar, so that it asks for no token.
Webhooks to this machine are refused unless allowed; this run allows 127.0.0.0/8, for it is a
demonstration. Everything is kept in {store} ({data}){queue}.
Logs are in {folder}. Ctrl-C stops it all.
",
            gateway = plan.gateway_url(""),
            subscriptions = plan.sidecar_url("/subscriptions/"),
            collection = plan.gateway_url(&format!("{}/", path.trim_end_matches('/'))),
            events = plan.sidecar_url("/events"),
            deliveries = plan.sidecar_url("/deliveries"),
            folder = plan.folder.display(),
            store = if plan.backend.postgres {
                format!("a Postgres of its own in {}", plan.data.display())
            } else {
                format!("one SQLite file in {}", plan.data.display())
            },
            queue = if plan.backend.rabbitmq {
                " and spread through a RabbitMQ of its own"
            } else {
                ""
            },
        )
    }

    async fn death(&mut self) -> anyhow::Error {
        tokio::select! {
            death = self.stack.death() => death,
            death = self.receiver.death() => death,
        }
    }

    async fn stop(mut self) -> Result<()> {
        let stack = self.stack.stop().await;
        let receiver = self.receiver.stop(RECEIVER_LIMIT).await;
        stack?;
        receiver.map(drop)
    }
}

async fn start_receiver(plan: &Plan, port: u16) -> Result<Child> {
    let listen = format!("--listen=127.0.0.1:{port}");
    let api = format!("--api={}", plan.sidecar_url(""));
    let program = &plan.programs.sidehook;
    let arguments = ["listen", &listen, &api];
    let mut child = Child::start("receiver", program, arguments, &plan.folder, Output::Terminal)?;
    let url = format!("http://127.0.0.1:{port}/");
    answers(&mut child, &Http::new(), &url, |_| true).await?;
    Ok(child)
}
