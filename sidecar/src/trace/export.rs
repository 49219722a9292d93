//! Brings spans to the collector, many at a time (OTLP over HTTP, Protocol Buffers).
//!
//! Invariant: no more spans wait than there is room for, and an end waits for the last of them no
//! longer than one request may take.

use std::{error::Error, sync::Arc, time::Duration};

use opentelemetry::Key;
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Metrics, Telling, Tracer};
use crate::{
    clock::Clock,
    config::Traces,
    neighbours::{self, PATIENCE},
};

/// The most spans that wait.
const WAITING: usize = 8192;
/// The most spans of one request.
const SPANS_PER_REQUEST: usize = 512;
/// How long more spans are waited for, so that few requests are made.
const GATHERING: Duration = Duration::from_millis(500);
/// How long is waited before a request is made again; then its spans are given up.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Why nothing can be told to a collector.
#[derive(Debug, Error)]
pub enum InvalidCollector {
    /// There is no client to speak HTTP with.
    #[error("speaking HTTP")]
    Client(#[from] reqwest::Error),
    /// What the environment says cannot be.
    #[error("preparing to export spans")]
    Exporter(#[from] ExporterBuildError),
}

/// Exports the spans of a [`Tracer`].
#[derive(Debug)]
pub struct Exporter {
    spans: mpsc::Receiver<SpanData>,
    collector: SpanExporter,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl Exporter {
    /// One for this collector, and the tracer whose spans it gets. Further headers, such as a
    /// token, and attributes of the process come from OpenTelemetry's own variables.
    pub fn new(
        traces: &Traces,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Result<(Tracer, Self), InvalidCollector> {
        let mut collector = SpanExporter::builder()
            .with_http()
            .with_http_client(neighbours::client()?)
            .with_endpoint(traces.endpoint.as_str())
            .with_timeout(PATIENCE)
            .build()?;
        collector.set_resource(&resource());
        let (sender, spans) = mpsc::channel(WAITING);
        let telling = Telling { spans: sender, sample: traces.sample, metrics: metrics.clone() };
        let exporter = Self { spans, collector, metrics, clock };
        Ok((Tracer(Some(Arc::new(telling))), exporter))
    }

    /// Exports until `stop`, and then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        while let Some(1..) =
            stop.run_until_cancelled(self.spans.recv_many(&mut batch, SPANS_PER_REQUEST)).await
        {
            // Gathers what comes soon, for a request costs more than a span.
            stop.run_until_cancelled(self.clock.sleep(GATHERING)).await;
            self.take_waiting(&mut batch);
            self.export(std::mem::take(&mut batch), &stop).await;
        }
        self.take_waiting(&mut batch);
        while !batch.is_empty() {
            self.export(std::mem::take(&mut batch), &stop).await;
            self.take_waiting(&mut batch);
        }
    }

    fn take_waiting(&mut self, batch: &mut Vec<SpanData>) {
        while batch.len() < SPANS_PER_REQUEST
            && let Ok(span) = self.spans.try_recv()
        {
            batch.push(span);
        }
    }

    /// Tries a few times; before an end once.
    async fn export(&self, batch: Vec<SpanData>, stop: &CancellationToken) {
        let count = batch.len();
        let mut pauses = PAUSES.into_iter();
        loop {
            let Err(error) = self.collector.export(batch.clone()).await else {
                return self.metrics.exported(count);
            };
            let pause = pauses.next().filter(|_| !stop.is_cancelled());
            let Some(pause) = pause else {
                tracing::warn!(error = &error as &dyn Error, count, "failed to export spans");
                return self.metrics.failed(count);
            };
            stop.run_until_cancelled(self.clock.sleep(pause)).await;
        }
    }
}

/// Who tells: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` have the last word.
fn resource() -> Resource {
    let name = Key::from_static_str("service.name");
    let said = Resource::builder().build();
    match said.get(&name) {
        Some(name) if !name.as_str().starts_with("unknown_service") => said,
        _ => Resource::builder().with_service_name("sidehook").build(),
    }
}
