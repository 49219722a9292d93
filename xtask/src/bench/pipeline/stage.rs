//! A stack of a measurement, with its receivers: sets up a case, runs it, and reads what it took.
//!
//! Invariant: a round counts only if every delivery of it arrived; what generates the load and what
//! receives runs in this process, which is not measured.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    cases::{Case, Way},
    event,
    figures::{Figures, ranks},
    ledger::Ledger,
    processes,
    receiver::Receivers,
    source,
};
use crate::{
    backend::Backend,
    http::Http,
    options,
    serving::Serving,
    stack::{Programs, Stack},
    workspace,
};

/// Events before a round that is measured: connections, caches and plans come to rest.
const RUN_UP: usize = 1_000;
/// After the last arrival what came of it is recorded.
const SETTLING: Duration = Duration::from_millis(300);
/// Between two writes of a light load.
const EVERY: Duration = Duration::from_millis(20);
/// What is made or deleted in one go.
const AT_A_TIME: usize = 16;

/// A stack that is running.
#[derive(Debug)]
pub(super) struct Stage {
    stack: Stack,
    receivers: Receivers,
    http: Http,
    /// The number of the next event.
    next: u64,
    /// How many subscriptions there are that ask for something else, with their ids.
    others: Vec<String>,
}

impl Stage {
    /// Starts it before `api`.
    pub(super) async fn start(
        programs: &Programs,
        api: &Serving,
        backend: Backend,
    ) -> Result<Self> {
        let name = if backend.postgres { "servers" } else { "embedded" };
        let folder = workspace::run_folder("bench-pipeline").join(name);
        let mut plan = options::beside_others(programs.clone(), folder, api.url())?;
        plan.backend = backend;
        let stack = Stack::start(plan).await?;
        if let Some(postgres) = &stack.servers_ref().postgres {
            postgres.ask("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
        }
        let receivers = Receivers::start().await?;
        Ok(Self { stack, receivers, http: Http::new(), next: 0, others: Vec::new() })
    }

    /// Stops it.
    pub(super) async fn stop(self) -> Result<()> {
        self.stack.stop().await
    }

    /// One round of a case.
    pub(super) async fn play(&mut self, case: Case) -> Result<Figures> {
        self.have_others(case.others).await?;
        let mut subscriptions = Vec::new();
        for number in 0..case.fan_out {
            let url = self.receivers.url(number);
            let script = case.script.then_some(event::SCRIPT);
            let subscription =
                json!({"url": url, "event_type": "people.created", "script": script});
            subscriptions.push(self.subscribe(&subscription).await?);
        }
        let run_up = if case.way == Way::Light { RUN_UP / 20 } else { RUN_UP };
        self.run(case, run_up).await?;
        let measured = self.measure(case).await;
        self.unsubscribe(subscriptions).await?;
        measured
    }

    async fn measure(&mut self, case: Case) -> Result<Figures> {
        let roots = self.roots()?;
        for root in roots.values() {
            processes::forget_peaks(*root)?;
        }
        let (earlier, store) = (times(&roots)?, self.statements().await?);
        let ledger = self.run(case, case.events).await?;
        let (later, store_later) = (times(&roots)?, self.statements().await?);
        let thousands = per(ledger.deliveries()) / 1e3;
        let cpu = later.iter().map(|(name, time)| {
            let took = time.saturating_sub(earlier.get(name).copied().unwrap_or_default());
            (*name, took.as_secs_f64() / thousands)
        });
        let cpu = cpu.filter(|(name, _)| *name != "envoy" || case.way != Way::Ingest).collect();
        let memory = roots.iter().map(|(name, root)| {
            Ok((*name, per(usize::try_from(processes::peak_of(*root)?)?) / 1_048_576.0))
        });
        Ok(Figures {
            per_second: per(ledger.deliveries()) / ledger.took().as_secs_f64(),
            cpu,
            latency: ranks(ledger.latencies()),
            memory: memory.collect::<Result<_>>()?,
            store: store.zip(store_later).map(|(before, after)| {
                let each = |place: usize| {
                    let at = |figures: [u64; 2]| figures.get(place).copied().unwrap_or_default();
                    let count = at(after).saturating_sub(at(before));
                    per(usize::try_from(count).unwrap_or(usize::MAX)) / per(ledger.deliveries())
                };
                [each(0), each(1)]
            }),
            repeated: per(ledger.repeated()) / thousands,
        })
    }

    /// Runs so many events of a case through it, to the last arrival and what is recorded of it.
    async fn run(&mut self, case: Case, events: usize) -> Result<Arc<Ledger>> {
        let ledger = Arc::new(Ledger::new(self.next, events, case.fan_out));
        self.next = ledger.numbers().end;
        self.receivers.note_in(Arc::clone(&ledger));
        let plan = self.stack.plan();
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        match case.way {
            Way::Ingest => source::batches(at(plan.api()), &ledger).await?,
            Way::Gateway => source::clients(at(plan.gateway), &ledger).await?,
            Way::Light => source::paced(at(plan.gateway), &ledger, EVERY).await?,
        }
        ledger.is_complete().await?;
        tokio::time::sleep(SETTLING).await;
        Ok(ledger)
    }

    /// The processes that are measured, with all that they started.
    fn roots(&mut self) -> Result<BTreeMap<&'static str, u32>> {
        let mut roots = BTreeMap::new();
        let gone = "a process has ended";
        roots.insert("sidecar", self.stack.sidecar(0)?.pid().context(gone)?);
        roots.insert("envoy", self.stack.envoy().pid().context(gone)?);
        if let Some(postgres) = &mut self.stack.servers().postgres {
            roots.insert("postgres", postgres.server().pid().context(gone)?);
        }
        if let Some(rabbitmq) = &mut self.stack.servers().rabbitmq {
            roots.insert("rabbitmq", rabbitmq.node().pid().context(gone)?);
        }
        Ok(roots)
    }

    /// Statements and transactions of the store so far.
    async fn statements(&self) -> Result<Option<[u64; 2]>> {
        let Some(postgres) = &self.stack.servers_ref().postgres else { return Ok(None) };
        let ask = "SELECT sum(calls) FROM pg_stat_statements;
            SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database";
        let said = postgres.ask(ask).await?;
        let mut numbers = said.lines().map(str::parse);
        let mut next = || anyhow::Ok(numbers.next().context("Postgres told nothing")??);
        Ok(Some([next()?, next()?]))
    }

    /// Makes or deletes subscriptions that ask for something else, until there are so many.
    async fn have_others(&mut self, count: usize) -> Result<()> {
        let gone = self.others.split_off(count.min(self.others.len()));
        self.unsubscribe(gone).await?;
        while self.others.len() < count {
            let from = self.others.len();
            let made = (from..count.min(from + AT_A_TIME)).map(async |number| {
                let url = self.receivers.url(number);
                let event_type = format!("orders-{number}.created");
                self.subscribe(&json!({"url": url, "event_type": event_type})).await
            });
            let made = futures::future::try_join_all(made).await?;
            self.others.extend(made);
        }
        Ok(())
    }

    async fn subscribe(&self, subscription: &Value) -> Result<String> {
        let url = self.stack.plan().sidecar_url("/subscriptions");
        let made = self.http.post(&url, subscription).await?.accepted()?;
        let id = made.get("id").and_then(Value::as_str).map(str::to_owned);
        id.context("a subscription without an id")
    }

    async fn unsubscribe(&self, ids: Vec<String>) -> Result<()> {
        for some in ids.chunks(AT_A_TIME) {
            let deleted = some.iter().map(async |id| {
                let url = self.stack.plan().sidecar_url(&format!("/subscriptions/{id}"));
                self.http.send(Method::DELETE, &url, None).await
            });
            for answer in futures::future::try_join_all(deleted).await? {
                answer.accepted().ok();
            }
        }
        Ok(())
    }
}

fn times(roots: &BTreeMap<&'static str, u32>) -> Result<BTreeMap<&'static str, Duration>> {
    roots.iter().map(|(name, root)| Ok((*name, processes::time_of(*root)?))).collect()
}

/// A count to divide by.
fn per(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
