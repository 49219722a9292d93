//! Every kind of write, and the event that it becomes or does not become: what `docs/capture.md`
//! says, on the real Envoy, over HTTP/1.1 and HTTP/2.
//!
//! Invariant: the tables of the guide are the cases that run here, word for word.

mod answers;
mod case;
mod guide;
mod odd;
mod requests;
mod wire;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::timeout;
use xtask::{change::Change, say};

use crate::support::{LIMIT, Sidehook, shared, upstream::Upstream};
use case::{Case, Made};

/// What the routes of the test are called, and where they are.
const RESOURCES: [&str; 5] = [
    "people=/people",
    "member=/orgs/{org}/members",
    "batch=/batches",
    "order=/orders",
    "invoice=/invoices",
];

/// What the command line has no word for.
const ADDITIONS: [(&str, &str); 4] = [
    ("path: \"/people\"\n", "headers: [x-actor]\nredact: [/password]\n"),
    ("path: \"/batches\"\n", "bulk: true\n"),
    ("path: \"/orders\"\n", "idempotency_key: true\n"),
    (
        "path: \"/invoices\"\n",
        "- resource: invoice\n  path: /invoices/{id}/pay\n  method: POST\n  event: invoice.paid\n",
    ),
];

/// Over which protocol a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// A stack before an API that answers whatever the case says.
struct Scene {
    upstream: Upstream,
    sidehook: Sidehook,
    seen: usize,
}

impl Scene {
    async fn set(changes: impl IntoIterator<Item = Change>) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let changes: Vec<_> = additions().chain(changes).collect();
        let url = upstream.url();
        let sidehook = Sidehook::before(&url, |plan| {
            plan.resources = RESOURCES.map(str::to_owned).to_vec();
            plan.gateway_changes = changes;
        });
        Ok(Self { sidehook: sidehook.await?, upstream, seen: 0 })
    }

    async fn plays(&mut self, case: &Case, protocol: Protocol) -> Result<()> {
        self.upstream.always_answers(&case.answer);
        let counted = case.counter();
        let before = self.count(counted.as_deref()).await?;
        let expected = case.becomes.events();
        let answers = expected.len().max(1);
        let sent = wire::send(self.sidehook.plan.gateway, &case.request, protocol, answers);
        timeout(LIMIT, sent).await.context("no answer")??;
        self.seen += expected.len();
        let events = self.sidehook.events_until(|events| events.len() >= self.seen).await?;
        ensure!(events.len() == self.seen, "an event too many: {:?}", events.first());
        // The newest comes first.
        let mut made: Vec<_> = events.into_iter().take(expected.len()).collect();
        made.reverse();
        for (event, expected) in made.iter().zip(expected) {
            expected.is(event)?;
        }
        if counted.is_some() {
            let after = self.count(counted.as_deref()).await?;
            ensure!(after == before + 1, "{counted:?} went from {before} to {after}");
        }
        Ok(())
    }

    async fn count(&self, counter: Option<&str>) -> Result<u64> {
        match counter {
            Some(counter) => self.sidehook.counted(counter).await,
            None => Ok(0),
        }
    }
}

/// The routes' own settings, as lines in the place where they belong.
fn additions() -> impl Iterator<Item = Change> {
    ADDITIONS.into_iter().map(|(path, lines)| {
        let is_item = |line: &str| line.starts_with("- ") || line.starts_with("  ");
        let indented = lines.lines().map(|line| {
            let margin = if is_item(line) { 30 } else { 32 };
            format!("{}{line}\n", " ".repeat(margin))
        });
        Change::behind(&format!("{}{path}", " ".repeat(32)), &indented.collect::<String>())
    })
}

impl Made {
    fn is(&self, event: &Value) -> Result<()> {
        let found = |pointer: &str| event.pointer(pointer).cloned().unwrap_or_default();
        ensure!(found("/type") == self.event, "the type is {}", found("/type"));
        ensure!(
            found("/subject") == Value::from(self.subject),
            "the subject is {}",
            found("/subject")
        );
        for (pointer, value) in &self.holds {
            ensure!(
                found(pointer) == *value,
                "{pointer} is {}, not {value}: {event:#}",
                found(pointer)
            );
        }
        Ok(())
    }
}

async fn plays_all(protocol: Protocol) -> Result<()> {
    let _machine = shared().await;
    let mut scene = Scene::set([]).await?;
    let mut failures = Vec::new();
    let mut played = 0;
    for case in case::all().filter(|case| case.is_for(protocol)) {
        played += 1;
        if let Err(error) = scene.plays(&case, protocol).await {
            failures.push(format!("{}: {error:#}", case.name));
            scene.seen = scene.sidehook.events().await?.len();
        }
    }
    say::line(format!("{played} kinds of exchange over {protocol:?}, {} events", scene.seen));
    let deaths = scene.sidehook.vm_deaths().await?;
    ensure!(deaths.iter().all(|(_, count)| *count == 0), "the filter died: {deaths:?}");
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    scene.sidehook.stop().await
}

#[tokio::test]
async fn every_kind_of_write_over_http_1() -> Result<()> {
    plays_all(Protocol::Http1).await
}

#[tokio::test]
async fn every_kind_of_write_over_http_2() -> Result<()> {
    plays_all(Protocol::Http2).await
}
