//! What ingest counts.
//!
//! Invariant: the number of time series does not grow with traffic.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{Refused, Stored};

/// The counters of ingest. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    batches: Family<Label, Counter>,
    events: Family<Label, Counter>,
    commit: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    result: &'static str,
}

impl Metrics {
    /// Registers the counters under `sidehook_ingest_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            batches: Family::default(),
            events: Family::default(),
            commit: Histogram::new([0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0]),
        };
        registry.register(
            "ingest_batches",
            "Batches of gateways by result: stored, malformed, too_large, unavailable",
            metrics.batches.clone(),
        );
        registry.register(
            "ingest_events",
            "Events by result: stored, or known from a batch that was sent again",
            metrics.events.clone(),
        );
        registry.register_with_unit(
            "ingest_commit",
            "The time one commit of events took",
            Unit::Seconds,
            metrics.commit.clone(),
        );
        metrics
    }

    /// Counts a batch that could not be read.
    pub fn malformed(&self) {
        self.count("malformed", 1);
    }

    /// Counts a batch that was too large to be read.
    pub fn too_large(&self) {
        self.count("too_large", 1);
    }

    pub(super) fn committed(
        &self,
        batches: usize,
        took: Duration,
        result: &Result<Stored, Refused>,
    ) {
        self.commit.observe(took.as_secs_f64());
        match result {
            Ok(Stored { new, known }) => {
                self.count("stored", batches);
                self.events.get_or_create(&Label { result: "stored" }).inc_by(wide(*new));
                self.events.get_or_create(&Label { result: "known" }).inc_by(wide(*known));
            }
            Err(_) => self.count("unavailable", batches),
        }
    }

    fn count(&self, result: &'static str, batches: usize) {
        self.batches.get_or_create(&Label { result }).inc_by(wide(batches));
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
