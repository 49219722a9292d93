//! A stack of a measurement, with its receivers: sets up a case, runs it, and reads what it took.
//! [`preparing`] brings about what a setting has from the beginning, [`look`] reads.
//!
//! Invariant: a round counts only if every delivery of it arrived; what generates the load and what
//! receives runs in this process, which is not measured.

mod look;
mod preparing;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use hyper::Method;
use serde_json::json;
use tokio::net::TcpSocket;

use self::look::{Look, peaks};
use super::{
    cases::{Case, Setting, Way},
    event,
    figures::{Figures, ranks},
    ledger::Ledger,
    processes,
    receiver::Receivers,
    source,
};
use crate::{
    change::Change,
    http::Http,
    options,
    serving::Serving,
    stack::{Programs, Stack},
    workspace,
};

/// Events before a round that is measured: connections, caches and plans come to rest.
const RUN_UP: usize = 1_000;
/// The same where they come one by one.
const SHORT_RUN_UP: usize = 50;
/// After the last arrival what came of it is recorded.
const SETTLING: Duration = Duration::from_millis(300);
/// Between two writes of a light load.
const EVERY: Duration = Duration::from_millis(20);

/// The processes that are measured, with all that they started.
type Roots = BTreeMap<&'static str, u32>;

/// A stack that is running.
#[derive(Debug)]
pub(super) struct Stage {
    stack: Stack,
    /// A gateway without the filter, for the cases that want one.
    bare: Option<Stack>,
    receivers: Receivers,
    /// Keeps the port of the receiver that is away from being anybody else's.
    away: Option<TcpSocket>,
    http: Http,
    /// The number of the next event.
    next: u64,
}

/// What a run came to.
#[derive(Debug)]
struct Run {
    ledger: Arc<Ledger>,
    /// How long each answer took, where that is asked for.
    answers: Option<Vec<Duration>>,
}

impl Stage {
    /// Starts it before `api`, and brings about what this setting has from the beginning.
    pub(super) async fn start(
        programs: &Programs,
        api: &Serving,
        setting: Setting,
        has_bare: bool,
    ) -> Result<Self> {
        let Setting { backend, others, pending } = setting;
        let name = if backend.postgres { "servers" } else { "embedded" };
        let folder = workspace::run_folder("bench-pipeline");
        let folder = folder.join(format!("{name}-{others}-{pending}"));
        let plan = |folder| options::beside_others(programs.clone(), folder, api.url());
        let mut whole = plan(folder.join("whole"))?;
        whole.backend = backend;
        let bare = if has_bare {
            let mut bare = plan(folder.join("bare"))?;
            bare.sidecars = Vec::new();
            bare.gateway_arguments = vec![format!("--sidecar={}", api.url())];
            bare.gateway_changes = vec![Change::WithoutFilter];
            Some(Stack::start(bare).await?)
        } else {
            None
        };
        let stack = Stack::start(whole).await?;
        if let Some(postgres) = &stack.servers_ref().postgres {
            postgres.ask("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
        }
        let (receivers, http) = (Receivers::start().await?, Http::new());
        let mut stage = Self { stack, bare, receivers, away: None, http, next: 0 };
        stage.have_others(others).await?;
        stage.have_pending(pending).await?;
        Ok(stage)
    }

    /// Stops it.
    pub(super) async fn stop(self) -> Result<()> {
        let bare = match self.bare {
            Some(bare) => bare.stop().await,
            None => Ok(()),
        };
        bare.and(self.stack.stop().await)
    }

    /// One round of a case.
    pub(super) async fn play(&mut self, case: Case) -> Result<Figures> {
        let mut subscriptions = Vec::new();
        for number in 0..case.deliveries_of_each() {
            let url = self.receivers.url(number);
            let script = case.script.then_some(event::SCRIPT);
            let subscription = json!({"url": url, "event_type": event::TYPE, "script": script});
            subscriptions.push(self.stack.subscribe(&subscription).await?);
        }
        let run_up = match case.way {
            Way::Ingest | Way::Gateway => RUN_UP,
            Way::Light | Way::Alone | Way::Plain => SHORT_RUN_UP,
        };
        self.run(case, run_up.min(case.events)).await?;
        let measured = self.measure(case).await;
        for id in subscriptions {
            let url = self.stack.plan().sidecar_url(&format!("/subscriptions/{id}"));
            self.http.send(Method::DELETE, &url, None).await?;
        }
        measured
    }

    async fn measure(&mut self, case: Case) -> Result<Figures> {
        let roots = self.roots(case)?;
        for root in roots.values() {
            processes::forget_peaks(*root)?;
        }
        let earlier = Look::before(self, &roots).await?;
        let Run { ledger, answers } = self.run(case, case.events).await?;
        let later = Look::after(self, &roots).await?;
        // Where nothing is delivered it is the answers that are counted.
        let (count, took) = match &answers {
            Some(answers) if case.way == Way::Plain => (answers.len(), answers.iter().sum()),
            _ => (ledger.deliveries(), ledger.took()),
        };
        let mut further = BTreeMap::new();
        if case.way != Way::Plain {
            further = later.further(&earlier, per(count));
            further.insert("repeated_per_1000", per(ledger.repeated()) * 1e3 / per(count));
        }
        Ok(Figures {
            per_second: per(count) / Duration::as_secs_f64(&took),
            cpu: later.cpu(&earlier, per(count) / 1e3),
            latency: (case.way != Way::Plain).then(|| ranks(ledger.latencies())),
            answer: answers.map(ranks),
            memory: peaks(&roots)?,
            further,
        })
    }

    /// Runs so many events of a case through it, to the last arrival and what is recorded of it.
    async fn run(&mut self, case: Case, events: usize) -> Result<Run> {
        let ledger = Arc::new(Ledger::new(self.next, events, case.deliveries_of_each()));
        self.next = ledger.numbers().end;
        self.receivers.note_in(Arc::clone(&ledger));
        let plan = self.stack.plan();
        let (sidecar, gateway) = (address(plan.api()), address(plan.gateway));
        let mut answers = None;
        match case.way {
            Way::Ingest => source::batches(sidecar, &ledger).await?,
            Way::Gateway => source::clients(gateway, &ledger).await?,
            Way::Light => source::paced(gateway, &ledger, EVERY).await?,
            Way::Alone => answers = Some(source::closed_loop(gateway, &ledger).await?),
            Way::Plain => {
                let bare = self.bare.as_ref().context("no gateway without the filter")?;
                let gateway = address(bare.plan().gateway);
                answers = Some(source::closed_loop(gateway, &ledger).await?);
            }
        }
        ledger.is_complete().await?;
        tokio::time::sleep(SETTLING).await;
        Ok(Run { ledger, answers })
    }

    fn roots(&mut self, case: Case) -> Result<Roots> {
        let mut roots = Roots::new();
        let gone = "a process has ended";
        if case.way == Way::Plain {
            let bare = self.bare.as_mut().context("no gateway without the filter")?;
            roots.insert("envoy", bare.envoy().pid().context(gone)?);
            return Ok(roots);
        }
        roots.insert("sidecar", self.stack.sidecar(0)?.pid().context(gone)?);
        if case.way != Way::Ingest {
            roots.insert("envoy", self.stack.envoy().pid().context(gone)?);
        }
        if let Some(postgres) = &mut self.stack.servers().postgres {
            roots.insert("postgres", postgres.server().pid().context(gone)?);
        }
        if let Some(rabbitmq) = &mut self.stack.servers().rabbitmq {
            roots.insert("rabbitmq", rabbitmq.node().pid().context(gone)?);
        }
        Ok(roots)
    }
}

/// This port, on this machine.
fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A count to divide by.
fn per(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
