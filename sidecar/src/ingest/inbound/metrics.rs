//! What is counted of messages that others published.
//!
//! Invariant: the number of time series does not grow with traffic.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// The counters. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    stored: Counter,
    malformed: Counter,
    deferred: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    result: &'static str,
}

impl Metrics {
    /// Registers `sidehook_inbound_messages`.
    pub fn register(registry: &mut Registry) -> Self {
        let messages = Family::<Label, Counter>::default();
        registry.register(
            "inbound_messages",
            "Messages that others published by result: stored, malformed, or deferred, which \
             counts each time that one was put off since the store was away or too much waited",
            messages.clone(),
        );
        // There from the start, so that a first one is seen as an increase.
        let of = |result| Counter::clone(&messages.get_or_create(&Label { result }));
        Self { stored: of("stored"), malformed: of("malformed"), deferred: of("deferred") }
    }

    pub(super) fn stored(&self) {
        self.stored.inc();
    }

    pub(super) fn malformed(&self) {
        self.malformed.inc();
    }

    pub(super) fn deferred(&self) {
        self.deferred.inc();
    }
}
