//! Tells a collector of traces beside everything else, if there is one to tell.
//!
//! Invariant: an end waits for what is still to be told no longer than [`LAST_WORDS`].

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::Traces,
    lifecycle,
    observe::Metrics,
    trace::{self, Exporter, Tracer},
};

/// How long telling what is left may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(6);

/// What is told, and the task that does so.
pub(super) struct Telling {
    pub(super) tracer: Tracer,
    exporting: Option<(JoinHandle<()>, CancellationToken)>,
}

impl Telling {
    /// Begins to tell whom the configuration names, if it does.
    pub(super) fn begin(
        told: Option<&Traces>,
        clock: &Arc<dyn Clock>,
        metrics: &mut Metrics,
    ) -> anyhow::Result<Self> {
        let Some(told) = told else {
            return Ok(Self { tracer: Tracer::off(), exporting: None });
        };
        let metrics = trace::Metrics::register(metrics.registry());
        let (tracer, spans) =
            Exporter::new(told, Arc::clone(clock), metrics).context("telling of traces")?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(spans.run(stop.clone()));
        Ok(Self { tracer, exporting: Some((task, stop)) })
    }

    /// Tells what is left.
    pub(super) async fn finish(self) {
        let Some((exporting, stop)) = self.exporting else { return };
        stop.cancel();
        let finishing = async {
            if let Err(error) = exporting.await {
                tracing::error!(%error, "telling of traces ended early");
            }
        };
        lifecycle::within(LAST_WORDS, finishing).await;
    }
}
