//! What ingest counts.
//!
//! Invariant: the number of time series does not grow with traffic.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use sidehook_event::Event;

use super::{Refused, Stored, tally::Tally};

/// The counters of ingest. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    batches: Family<Label, Counter>,
    events: Family<Label, Counter>,
    types: Tally,
    commit: Histogram,
    batch: Histogram,
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
            types: Tally::default(),
            commit: Histogram::new([0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0]),
            batch: Histogram::new([
                0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 2.0, 5.0,
            ]),
        };
        // There from the start, so that a first one is seen as an increase.
        for result in ["stored", "malformed", "too_large", "unavailable", "overloaded"] {
            drop(metrics.batches.get_or_create(&Label { result }));
        }
        for result in ["stored", "known"] {
            drop(metrics.events.get_or_create(&Label { result }));
        }
        metrics.types.register(registry);
        registry.register(
            "ingest_batches",
            "Batches by result: stored, malformed, too_large, unavailable (the store), overloaded",
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
        registry.register_with_unit(
            "ingest_batch",
            "The time from the end of a batch to its answer, one that the store refused too",
            Unit::Seconds,
            metrics.batch.clone(),
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

    /// Counts a batch that was refused since too many wait.
    pub(super) fn overloaded(&self) {
        self.count("overloaded", 1);
    }

    /// Counts events that were stored, each by its type.
    pub(super) fn tally(&self, events: &[Arc<Event>]) {
        self.types.count(events);
    }

    /// Counts a commit, and its batches by when they were handed over.
    pub(super) fn committed(
        &self,
        handed_over: &[Duration],
        started: Duration,
        now: Duration,
        result: &Result<Stored, Refused>,
    ) {
        let batches = handed_over.len();
        self.commit.observe(now.saturating_sub(started).as_secs_f64());
        for since in handed_over {
            self.batch.observe(now.saturating_sub(*since).as_secs_f64());
        }
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
