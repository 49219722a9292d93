//! What the filter counts.
//!
//! Metrics of all workers with one name are one metric. The gateway shows them as
//! `wasmcustom.<name>` in `/stats`, and without that prefix, dots as underscores, to Prometheus.
//! Names carry labels; the gateway's bootstrap takes them out with its `stats_tags`. All of them
//! are in `docs/metrics.md`, with what they mean; a test there holds the list to what a gateway
//! shows.
//!
//! Invariant: counting never fails; what the gateway refuses to count is not counted.

use std::time::Duration;

use sidehook_event::EventType;

use crate::{
    capture::Reason,
    config::{Capture, Config},
    host::{Host, Kind, MetricId},
};

/// Something that only grows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter(Option<MetricId>);

/// Something that grows and shrinks. All workers add to one gauge, so each adds what changed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gauge {
    id: Option<MetricId>,
    last: i64,
}

/// A distribution.
#[derive(Debug, Clone, Copy, Default)]
pub struct Histogram(Option<MetricId>);

/// All metrics; see above.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "docs/metrics.md says what each counts")]
pub struct Metrics {
    events: Vec<(EventType, Counter)>,
    observed: Vec<(EventType, Counter)>,
    missed: Vec<(Reason, Counter)>,
    pub seen: Counter,
    pub committed: Counter,
    pub dropped: Counter,
    pub refused: Counter,
    pub at_risk: Counter,
    pub not_forwarded: Counter,
    pub not_recorded: Counter,
    pub truncated: Counter,
    pub incomplete: Counter,
    pub batches: Counter,
    pub failures: Counter,
    pub retries: Counter,
    pub ticks: Counter,
    pub buffered_events: Gauge,
    pub buffered_bytes: Gauge,
    pub held: Gauge,
    pub batch_events: Histogram,
    pub round_trip: Histogram,
    pub hold: Histogram,
}

const REASONS: [(Reason, &str); 5] = [
    (Reason::Unmatched, "unmatched"),
    (Reason::Grpc, "grpc"),
    (Reason::NotAccepted, "not_accepted"),
    (Reason::LocalReply, "local_reply"),
    (Reason::NoAnswer, "no_answer"),
];

impl Metrics {
    /// Defines all that `config` gives rise to.
    pub fn define(host: &dyn Host, config: &Config) -> Self {
        let define = |kind, name: &str| host.define(kind, &format!("sidehook.{name}")).ok();
        let counter = |name: &str| Counter(define(Kind::Counter, name));
        let gauge = |name: &str| Gauge { id: define(Kind::Gauge, name), last: 0 };
        let histogram = |name: &str| Histogram(define(Kind::Histogram, name));
        let of = |what: &str, is_observed: bool| -> Vec<_> {
            let routes = config.routes.iter();
            let routes = routes.filter(|route| (route.capture == Capture::Observe) == is_observed);
            let names = routes.flat_map(|route| route.names.all());
            let counters = names.map(|name| {
                let (resource, action) = (name.resource(), name.action());
                let counter = counter(&format!("{what}.resource.{resource}.action.{action}.total"));
                (name.clone(), counter)
            });
            counters.collect()
        };
        let (events, observed) = (of("events", false), of("observed", true));
        let reasons = REASONS.into_iter();
        let missed =
            reasons.map(|(reason, name)| (reason, counter(&format!("missed.reason.{name}.total"))));
        Self {
            events,
            observed,
            missed: missed.collect(),
            seen: counter("seen"),
            committed: counter("committed"),
            dropped: counter("dropped"),
            refused: counter("refused"),
            at_risk: counter("at_risk"),
            not_forwarded: counter("rejected.reason.not_forwarded.total"),
            not_recorded: counter("rejected.reason.not_recorded.total"),
            truncated: counter("truncated"),
            incomplete: counter("incomplete"),
            batches: counter("batches"),
            failures: counter("failures"),
            retries: counter("retries"),
            ticks: counter("ticks"),
            buffered_events: gauge("buffered_events"),
            buffered_bytes: gauge("buffered_bytes"),
            held: gauge("held"),
            batch_events: histogram("batch_events"),
            round_trip: histogram("round_trip_us"),
            hold: histogram("hold_us"),
        }
    }

    /// Becomes `other`, and remembers what this worker has added to gauges.
    pub fn replace(&mut self, other: Self) {
        let last = (self.buffered_events.last, self.buffered_bytes.last, self.held.last);
        *self = other;
        (self.buffered_events.last, self.buffered_bytes.last, self.held.last) = last;
    }

    /// Counts an event that was made.
    pub fn event(&self, host: &dyn Host, name: &EventType) {
        count(&self.events, host, name);
    }

    /// Counts an event that would have been made.
    pub fn observed(&self, host: &dyn Host, name: &EventType) {
        count(&self.observed, host, name);
    }

    /// Counts a write without an event.
    pub fn missed(&self, host: &dyn Host, reason: Reason) {
        if let Some((_, counter)) = self.missed.iter().find(|(known, _)| *known == reason) {
            counter.add(host, 1);
        }
    }
}

impl Counter {
    /// Adds `count`.
    pub fn add(self, host: &dyn Host, count: usize) {
        if let (Some(id), 1..) = (self.0, count) {
            // A counter that can't be counted is no reason to disturb the exchange.
            let _ = host.add(id, signed(count));
        }
    }
}

impl Gauge {
    /// Sets this worker's share.
    pub fn set(&mut self, host: &dyn Host, count: usize) {
        let (now, before) = (signed(count), self.last);
        if let (Some(id), true) = (self.id, now != before)
            && host.add(id, now.saturating_sub(before)).is_ok()
        {
            self.last = now;
        }
    }
}

impl Histogram {
    /// Records a number.
    pub fn record(self, host: &dyn Host, value: usize) {
        if let Some(id) = self.0 {
            let _ = host.record(id, u64::try_from(value).unwrap_or(u64::MAX));
        }
    }

    /// Records a duration in microseconds.
    pub fn record_time(self, host: &dyn Host, time: Duration) {
        self.record(host, usize::try_from(time.as_micros()).unwrap_or(usize::MAX));
    }
}

fn count(counters: &[(EventType, Counter)], host: &dyn Host, name: &EventType) {
    if let Some((_, counter)) = counters.iter().find(|(known, _)| known == name) {
        counter.add(host, 1);
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
