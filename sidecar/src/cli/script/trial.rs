//! `sidehook script run`: a script and an event, here or at the sidecar that has the event.
//!
//! Invariant: what is shown to be sent is what a delivery would send.

use std::{io::Write, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::{super::reach::Reach, Cache, content, source, tell};
use crate::{cli::terminal::escaped, transform::DryRun};

/// What `sidehook script run` is told.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The script; - for standard input
    file: PathBuf,

    /// A file with the event as scripts see it, or with {"event": …, "subscription": …}; - for
    /// standard input
    #[arg(long, value_name = "FILE", required_unless_present = "event_id")]
    event: Option<PathBuf>,

    /// A file with the subscription as scripts see it
    #[arg(long, value_name = "FILE", conflicts_with = "event_id")]
    subscription: Option<PathBuf>,

    /// An event that the sidecar has, in place of a file
    #[arg(long, value_name = "ID", conflicts_with = "event")]
    event_id: Option<String>,

    /// A subscription that the sidecar has
    #[arg(long, value_name = "ID", requires = "event_id")]
    subscription_id: Option<String>,

    /// Show everything as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cache: Cache,

    #[command(flatten)]
    reach: Reach,
}

/// Runs it, and says whether it ended well.
pub(super) async fn run(args: RunArgs, out: &mut dyn Write) -> anyhow::Result<bool> {
    let source = source(&args.file)?;
    let run = match &args.event_id {
        Some(id) => there(&args, &source, id).await?,
        None => here(&args, &source)?,
    };
    if args.json {
        let text = serde_json::to_string_pretty(&run)?;
        writeln!(out, "{}", escaped(&text))?;
    } else {
        tell(&args, &run, out)?;
    }
    Ok(run.get("outcome").is_some_and(|outcome| outcome != "failed"))
}

/// By this program.
fn here(args: &RunArgs, source: &str) -> anyhow::Result<Value> {
    let read = |file: &PathBuf| {
        let text = content(file)?;
        let value: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is not JSON", tell::path(file)))?;
        if !value.is_object() {
            bail!("{} must hold an object", tell::path(file));
        }
        anyhow::Ok(value)
    };
    let Some(event) = &args.event else { bail!("--event or --event-id must be given") };
    let event = read(event)?;
    let mut input = input(event);
    if let Some(file) = &args.subscription
        && let Some(members) = input.as_object_mut()
    {
        members.insert("subscription".to_owned(), read(file)?);
    }
    let run = DryRun::of(&args.cache.sandbox()?, source, input.to_string().as_bytes())?;
    Ok(serde_json::to_value(run)?)
}

/// What a script is handed: the file as it is, if it holds all of it.
pub(super) fn input(written: Value) -> Value {
    if written.get("event").is_some_and(Value::is_object) {
        written
    } else {
        json!({"event": written, "subscription": {}})
    }
}

/// By the sidecar.
async fn there(args: &RunArgs, source: &str, id: &str) -> anyhow::Result<Value> {
    let body = json!({
        "script": source, "event_id": id, "subscription_id": args.subscription_id,
    });
    let ran = args.reach.ask(Method::POST, &["scripts", "run"], &[], Some(&body)).await?;
    serde_json::from_str(&ran).context("reading what the script came to")
}

fn tell(args: &RunArgs, run: &Value, out: &mut dyn Write) -> anyhow::Result<()> {
    let text = |value: &Value, name| {
        let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
        escaped(text)
    };
    for line in run.get("log").and_then(Value::as_array).into_iter().flatten() {
        writeln!(out, "log: {}", escaped(line.as_str().unwrap_or_default()))?;
    }
    if let Some(error) = run.get("error") {
        let fault = serde_json::from_value(error.clone()).context("reading its error")?;
        write!(out, "{}", tell::fault(&args.file, &fault))?;
    } else if let Some(output) = run.get("output") {
        writeln!(out, "content-type: {}", text(output, "content_type"))?;
        for (name, value) in output.get("headers").and_then(Value::as_object).into_iter().flatten()
        {
            writeln!(out, "{name}: {}", escaped(value.as_str().unwrap_or_default()))?;
        }
        let body = match output.get("body") {
            Some(Value::Null) | None => text(output, "base64"),
            Some(Value::String(text)) => escaped(text),
            Some(body) => escaped(&serde_json::to_string_pretty(body)?),
        };
        writeln!(out, "\n{body}")?;
    } else {
        writeln!(out, "filtered: {}", text(run, "reason"))?;
    }
    Ok(())
}
