//! What running scripts counts.
//!
//! Invariant: the number of time series does not grow with traffic or subscriptions.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::scripts::Transformed;

/// The counters of scripts. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    runs: Family<Label, Counter>,
    duration: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    outcome: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let limits = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25];
        Self { runs: Family::default(), duration: Histogram::new(limits) }
    }
}

impl Metrics {
    /// Registers them under `sidehook_script_…`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "script_runs",
            "Runs of scripts by outcome; deferred ones took too long while others waited, and are run again",
            self.runs.clone(),
        );
        registry.register_with_unit(
            "script_run",
            "Processor time that runs of scripts took, those that were broken off too",
            Unit::Seconds,
            self.duration.clone(),
        );
        // There from the start, so that a first one is seen as an increase.
        for outcome in ["sent", "filtered", "failed", "killed", "deferred"] {
            drop(self.runs.get_or_create(&Label { outcome }));
        }
    }

    /// A run took so long.
    pub fn took(&self, took: Duration) {
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a run; one that was broken off to be run again comes to nothing.
    pub(super) fn ran(&self, transformed: Option<&Transformed>) {
        let outcome = match transformed {
            Some(Transformed::Made(_)) => "sent",
            Some(Transformed::Dropped(_)) => "filtered",
            Some(Transformed::Failed(_)) => "failed",
            Some(Transformed::Killed(_)) => "killed",
            None => "deferred",
        };
        self.runs.get_or_create(&Label { outcome }).inc();
    }

    /// How many runs came to this.
    pub fn runs(&self, outcome: &'static str) -> u64 {
        self.runs.get_or_create(&Label { outcome }).get()
    }
}
