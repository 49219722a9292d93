//! A gateway of a measurement: Envoy with one worker, and no sidecar but a sink.
//!
//! Invariant: the gateways differ in what is written at [`changes`] and in their ports alone.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{
    cases::Way,
    rivals::{self, Captured},
    usage::{self, Usage},
};
use crate::{
    change::{Change, Foreign},
    clock::Stopwatch,
    options,
    serving::Serving,
    stack::{Plan, Programs, Stack},
    workspace,
};

/// What is buffered when a load ends is sent within a moment.
const LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// What all gateways of a measurement share.
#[derive(Debug)]
pub(super) struct Ground {
    /// What is started.
    pub(super) programs: Programs,
    /// The module of the empty filter.
    pub(super) baseline: PathBuf,
    /// The API.
    pub(super) api: Serving,
    /// What takes the events.
    pub(super) sink: Serving,
    /// How many the sink has that are not ours.
    pub(super) captured: Captured,
}

/// One that is running.
#[derive(Debug)]
pub(super) struct Gateway {
    stack: Stack,
    /// Counts what is captured here, unless it is our filter that does.
    captured: Option<Captured>,
}

impl Gateway {
    /// Starts it.
    pub(super) async fn start(ground: &Ground, way: Way) -> Result<Self> {
        let (folder, capture) = match way {
            Way::Without => ("without", "durable"),
            Way::Empty => ("empty", "durable"),
            Way::Everywhere => ("everywhere", "durable"),
            Way::Lua => ("lua", "best_effort"),
            Way::ExtProc => ("ext_proc", "best_effort"),
            Way::Shipped(capture) => (capture, capture),
        };
        let folder = workspace::run_folder("bench").join(folder);
        let plan = Plan {
            sidecars: Vec::new(),
            capture: capture.to_owned(),
            gateway_arguments: vec![format!("--sidecar={}", ground.sink.url())],
            gateway_changes: changes(way, &ground.baseline),
            gateway_workers: 1,
            ..options::beside_others(ground.programs.clone(), folder, ground.api.url())?
        };
        let is_rival = matches!(way, Way::Lua | Way::ExtProc);
        let captured = is_rival.then(|| ground.captured.clone());
        Ok(Self { stack: Stack::start(plan).await?, captured })
    }

    /// Has it run on these processors alone.
    pub(super) async fn keep_to(&mut self, processors: &str) -> Result<()> {
        let envoy = self.stack.envoy().pid().context("Envoy has ended")?;
        usage::keep_to(envoy, processors).await
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.stack.plan().gateway).into()
    }

    /// What it has taken of the processor.
    pub(super) fn usage(&mut self) -> Result<Usage> {
        usage::of(self.stack.envoy().pid().context("Envoy has ended")?)
    }

    /// How many events the sink has from it.
    pub(super) async fn committed(&self) -> Result<u64> {
        match &self.captured {
            Some(captured) => Ok(captured.count()),
            None => self.stack.stat("wasmcustom.sidehook.committed").await,
        }
    }

    /// Waits until the sink has so many events from it, and fails if any was given up.
    pub(super) async fn commits(&self, events: u64) -> Result<()> {
        let start = Stopwatch::start();
        while self.committed().await? < events && start.elapsed() < LIMIT {
            tokio::time::sleep(PAUSE).await;
        }
        let committed = self.committed().await?;
        let dropped = match &self.captured {
            Some(_) => 0,
            None => self.stack.stat("wasmcustom.sidehook.dropped").await?,
        };
        ensure!(
            committed == events && dropped == 0,
            "{committed} events, not {events}; {dropped} dropped: what was measured is no capture"
        );
        Ok(())
    }

    /// How many events the sink has from it, and in how many batches: the more share one, the less
    /// each costs.
    pub(super) async fn batches(&self) -> Result<(u64, u64)> {
        Ok((self.committed().await?, self.stack.stat("wasmcustom.sidehook.batches").await?))
    }

    /// Stops it.
    pub(super) async fn stop(self) -> Result<()> {
        self.stack.stop().await
    }
}

fn changes(way: Way, baseline: &Path) -> Vec<Change> {
    match way {
        Way::Without => vec![Change::WithoutFilter],
        Way::Empty => vec![
            Change::Instead(Foreign { module: baseline.to_path_buf(), configuration: "empty" }),
            Change::Everywhere,
        ],
        Way::Everywhere => vec![Change::Everywhere],
        Way::Lua => vec![Change::Filter(rivals::LUA)],
        Way::ExtProc => vec![Change::Filter(rivals::EXT_PROC)],
        Way::Shipped(_) => Vec::new(),
    }
}
