//! What is counted of the spans that are told.
//!
//! Invariant: each span that was to be told is counted once.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// The counters. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    exported: Counter,
    failed: Counter,
    dropped: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    result: &'static str,
}

impl Metrics {
    /// Registers `sidehook_trace_spans`.
    pub fn register(registry: &mut Registry) -> Self {
        let spans = Family::<Label, Counter>::default();
        registry.register(
            "trace_spans",
            "Spans by result: exported to the collector, failed since it took none, or dropped \
             since too many waited for it",
            spans.clone(),
        );
        // There from the start, so that a first one is seen as an increase.
        let of = |result| Counter::clone(&spans.get_or_create(&Label { result }));
        Self { exported: of("exported"), failed: of("failed"), dropped: of("dropped") }
    }

    pub(super) fn exported(&self, count: usize) {
        self.exported.inc_by(wide(count));
    }

    pub(super) fn failed(&self, count: usize) {
        self.failed.inc_by(wide(count));
    }

    pub(super) fn dropped(&self, count: usize) {
        self.dropped.inc_by(wide(count));
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
