//! What running scripts counts.
//!
//! Invariant: the number of time series does not grow with traffic or subscriptions.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::scripts::Transformed;

/// The counters of scripts. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    runs: Family<Label, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    outcome: &'static str,
}

impl Metrics {
    /// Registers them under `sidehook_script_…`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "script_runs",
            "Runs of scripts by outcome; deferred ones took too long while others waited, and are run again",
            self.runs.clone(),
        );
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
