//! `sidehook script backtest`: a script on the events of the past, by the sidecar's API.
//!
//! Invariant: it ends well exactly if the script failed on none of the events and there was time
//! for all.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{super::reach::Reach, source, tell};
use crate::cli::terminal::escaped;

/// What `sidehook script backtest` is told.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// The script, or @name for one of the library; - for standard input
    file: PathBuf,

    /// The subscription that it is to serve: what it is sent now is what is compared with
    #[arg(long, value_name = "ID", required_unless_present = "event_type")]
    subscription_id: Option<String>,

    /// The events to try it on, such as people.*, in place of those of a subscription
    #[arg(long, value_name = "PATTERN", conflicts_with = "subscription_id")]
    event_type: Option<String>,

    /// Another script to compare with, or @name
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,

    /// How many events, from the newest on; up to 1000
    #[arg(long, default_value_t = 100)]
    limit: u64,

    /// Only those that happened since, such as 2026-11-23T09:30:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Show everything as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: Reach,
}

/// What came of it.
#[derive(Debug, Deserialize)]
struct Found {
    events: u64,
    same: u64,
    changed: u64,
    filtered: u64,
    failed: u64,
    newly_filtered: u64,
    newly_failed: u64,
    newest: Option<String>,
    oldest: Option<String>,
    complete: bool,
    examples: Vec<Example>,
}

#[derive(Debug, Deserialize)]
struct Example {
    event_id: String,
    event_type: String,
    subject: Option<String>,
    time: String,
    outcome: String,
    was: String,
    #[serde(default)]
    diff: Vec<Value>,
    #[serde(default)]
    omitted: u64,
    reason: Option<String>,
    error: Option<String>,
}

/// Asks the sidecar, and says whether all went well.
pub(super) async fn backtest(args: BacktestArgs, out: &mut dyn Write) -> anyhow::Result<bool> {
    let against = args.against.as_deref().map(script).transpose()?;
    let body = json!({
        "script": script(&args.file)?, "against": against, "limit": args.limit,
        "subscription_id": args.subscription_id, "event_type": args.event_type,
        "since": args.since,
    });
    let answer = args.reach.ask(Method::POST, &["scripts", "backtest"], &[], Some(&body)).await?;
    let found: Found = serde_json::from_str(&answer).context("reading the comparison")?;
    if args.json {
        let shown: Value = serde_json::from_str(&answer)?;
        writeln!(out, "{}", escaped(&serde_json::to_string_pretty(&shown)?))?;
    } else {
        found.tell(out)?;
    }
    Ok(found.failed == 0 && found.complete)
}

/// Its text, or its name.
fn script(file: &Path) -> anyhow::Result<String> {
    match file.to_str().filter(|name| name.starts_with('@')) {
        Some(name) => Ok(name.to_owned()),
        None => source(file),
    }
}

impl Found {
    fn tell(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        for example in &self.examples {
            example.tell(out)?;
        }
        let between = match (&self.oldest, &self.newest) {
            (Some(oldest), Some(newest)) => {
                format!(" from {} to {}", escaped(oldest), escaped(newest))
            }
            _ => String::new(),
        };
        writeln!(
            out,
            "{} {}{between}: {} same, {} changed, {} filtered ({} of them sent now), \
             {} failed ({} of them sent now)",
            self.events,
            if self.events == 1 { "event" } else { "events" },
            self.same,
            self.changed,
            self.filtered,
            self.newly_filtered,
            self.failed,
            self.newly_failed
        )?;
        if !self.complete {
            writeln!(out, "there was no time for more: ask for fewer with --limit")?;
        }
        Ok(())
    }
}

impl Example {
    fn tell(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let about = self.subject.as_deref().unwrap_or("-");
        let head = [&self.outcome, &self.event_id, &self.event_type, about, &self.time];
        let head = head.map(|part| escaped(part).replace('\n', " "));
        let was = if self.was == "sent" { "" } else { &format!(" (was {})", escaped(&self.was)) };
        writeln!(out, "{}{was}", head.join("  "))?;
        for reason in self.reason.iter().chain(&self.error) {
            writeln!(out, "  {}", escaped(reason).replace('\n', "\n  "))?;
        }
        for operation in &self.diff {
            writeln!(out, "  {}", tell::difference(operation))?;
        }
        if self.omitted > 0 {
            writeln!(out, "  and {} more", self.omitted)?;
        }
        Ok(())
    }
}
