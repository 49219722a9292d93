//! Runs the parts of the process beside each other, and ends them in order.
//!
//! Invariant: a part that ends before it is told to ends the process, with an error that says
//! why.

use std::{error::Error, mem, sync::Arc};

use anyhow::bail;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::fronts::Front;
use crate::{
    api::server::{self, Limits},
    config::Config,
    deliver::Deliverer,
    dispatch::Dispatcher,
    ingest::Committer,
    lifecycle,
    live::Live,
    sweep::Sweeper,
};

/// What takes in what others publish, until it is told to stop.
pub(super) type TakingIn = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// The parts that do the work; those whose role the process does not have are missing.
pub(super) struct Workers {
    pub(super) committer: Option<Committer>,
    pub(super) inbound: Option<TakingIn>,
    pub(super) dispatcher: Option<Arc<Dispatcher>>,
    pub(super) deliverer: Option<Deliverer>,
    pub(super) sweeper: Sweeper,
    /// Those who listen are let go at the end.
    pub(super) live: Live,
    /// What has no end of its own, and loses nothing by being dropped.
    pub(super) endless: Vec<BoxFuture<'static, ()>>,
}

impl Workers {
    /// Serves `router` and works until `stop`, and a while longer for what is under way.
    pub(super) async fn run_beside(
        mut self,
        fronts: Vec<Front>,
        config: &Config,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut endless: JoinSet<()> = mem::take(&mut self.endless).into_iter().collect();
        // Those that end by themselves: the servers and those that take from the queue when they
        // are told to, the committer when no one can hand anything over any more.
        let (ending, live) = (stop.child_token(), self.live.clone());
        let mut parts = JoinSet::new();
        for (listener, router) in fronts {
            let serving = server::serve(listener, router, Limits::USUAL, ending.clone());
            parts.spawn(serving);
        }
        self.spawn(&mut parts, config.concurrency, &ending);

        let broken = tokio::select! {
            // A stop ends the parts too: it is looked at first, so that it is not taken for theirs.
            biased;
            () = stop.cancelled() => None,
            Some(ended) = endless.join_next() => Some(reason(ended)),
            Some(ended) = parts.join_next() => Some(reason(ended)),
        };
        ending.cancel();
        live.end();
        lifecycle::within(config.drain_timeout, async {
            while let Some(ended) = parts.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(error = &error as &dyn Error, "ended with an error");
                }
            }
        })
        .await;
        match broken {
            None => Ok(()),
            Some(reason) => bail!("a part of the process ended by itself: {reason}"),
        }
    }

    fn spawn(self, parts: &mut JoinSet<()>, concurrency: usize, ending: &CancellationToken) {
        let mut spawn = |part: BoxFuture<'static, ()>| {
            parts.spawn(part);
        };
        let sweeper = Arc::new(self.sweeper);
        if let Some(committer) = self.committer {
            spawn(committer.run().boxed());
        }
        if let Some(inbound) = self.inbound {
            spawn(inbound(ending.clone()));
        }
        if let Some(dispatcher) = self.dispatcher {
            let (sweeper, stop) = (Arc::clone(&sweeper), ending.clone());
            spawn(async move { sweeper.run_events(&stop).await }.boxed());
            let stop = ending.clone();
            spawn(async move { dispatcher.run(&stop).await }.boxed());
        }
        if let Some(deliverer) = self.deliverer {
            let stop = ending.clone();
            spawn(async move { sweeper.run_deliveries(&stop).await }.boxed());
            spawn(deliverer.run(concurrency, ending.clone()).boxed());
        }
    }
}

fn reason(ended: Result<(), JoinError>) -> String {
    match ended {
        Ok(()) => "it had nothing to do any more".to_owned(),
        Err(error) => error.to_string(),
    }
}
