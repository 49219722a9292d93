//! Runs the parts of the process beside each other, and ends them in order.
//!
//! Invariant: a part that ends before it is told to ends the process, with an error that says
//! why.

use std::{error::Error, sync::Arc};

use anyhow::bail;
use axum::Router;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    net::TcpListener,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config, deliver::Deliverer, dispatch::Dispatcher, ingest::Committer, lifecycle,
    sweep::Sweeper,
};

/// The parts that do the work; those whose role the process does not have are missing.
pub(super) struct Workers {
    pub(super) committer: Option<Committer>,
    pub(super) dispatcher: Option<Dispatcher>,
    pub(super) deliverer: Option<Deliverer>,
    pub(super) sweeper: Sweeper,
}

type Ended = Result<anyhow::Result<()>, JoinError>;

impl Workers {
    /// Serves `router` and works until `stop`, and a while longer for what is under way.
    pub(super) async fn run_beside(
        self,
        listener: TcpListener,
        router: Router,
        config: &Config,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        // Those that end by themselves: the server and those that take from the queue when they
        // are told to, the committer when no one can hand anything over any more.
        let ending = stop.child_token();
        let mut parts = JoinSet::new();
        let server =
            axum::serve(listener, router).with_graceful_shutdown(ending.clone().cancelled_owned());
        parts.spawn(async move { server.await.map_err(anyhow::Error::from) });
        self.spawn(&mut parts, config.concurrency, &ending);

        let broken = tokio::select! {
            // A stop ends the parts too: it is looked at first, so that it is not taken for theirs.
            biased;
            () = stop.cancelled() => None,
            Some(ended) = parts.join_next() => Some(reason(ended)),
        };
        ending.cancel();
        lifecycle::within(config.drain_timeout, async {
            while let Some(ended) = parts.join_next().await {
                if let Err(error) = ended.map_err(anyhow::Error::from).flatten() {
                    let error: &dyn Error = error.as_ref();
                    tracing::error!(error, "ended with an error");
                }
            }
        })
        .await;
        match broken {
            None => Ok(()),
            Some(reason) => bail!("a part of the process ended by itself: {reason}"),
        }
    }

    fn spawn(
        self,
        parts: &mut JoinSet<anyhow::Result<()>>,
        concurrency: usize,
        ending: &CancellationToken,
    ) {
        let mut spawn = |part: BoxFuture<'static, ()>| {
            parts.spawn(async move {
                part.await;
                Ok(())
            });
        };
        let sweeper = Arc::new(self.sweeper);
        if let Some(committer) = self.committer {
            spawn(committer.run().boxed());
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

fn reason(ended: Ended) -> String {
    match ended {
        Ok(Ok(())) => "it had nothing to do any more".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    }
}
