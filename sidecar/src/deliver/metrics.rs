//! What delivering counts.
//!
//! Invariant: the number of time series does not grow with traffic or subscriptions.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::turns::Reason;
use crate::model::Attempt;

/// The counters of delivering. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    attempts: Family<Label, Counter>,
    put_off: Family<ReasonLabel, Counter>,
    resent: Counter,
    duration: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    outcome: &'static str,
}

impl Metrics {
    /// Registers the counters under `sidehook_delivery_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            attempts: Family::default(),
            put_off: Family::default(),
            resent: Counter::default(),
            duration: Histogram::new([
                0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
            ]),
        };
        registry.register("delivery_attempts", "Attempts by outcome", metrics.attempts.clone());
        registry.register(
            "delivery_put_off",
            "Deliveries given back to come again, since their line was full, their circuit open or their pace slow",
            metrics.put_off.clone(),
        );
        registry.register(
            "delivery_resent",
            "Attempts sent a second time, since the connection kept for them turned out to be dead",
            metrics.resent.clone(),
        );
        registry.register_with_unit(
            "delivery_attempt",
            "The time an attempt took, from the request to the end of the answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        metrics
    }

    pub(super) fn put_off(&self, reason: Reason) {
        let reason = match reason {
            Reason::Full => "full",
            Reason::Open => "open",
            Reason::Paced => "paced",
            Reason::Disabled => "disabled",
        };
        self.put_off.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(super) fn attempted(&self, attempt: &Attempt, resent: bool) {
        if resent {
            self.resent.inc();
        }
        self.attempts.get_or_create(&Label { outcome: attempt.outcome.name() }).inc();
        self.duration.observe(attempt.duration.as_secs_f64());
    }
}
