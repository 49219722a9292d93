//! What the filter counts.
//!
//! Metrics of all workers with one name are one metric. The gateway shows them as
//! `wasmcustom.<name>` in `/stats`, and without that prefix, dots as underscores, to Prometheus.
//! Names carry labels; the gateway's bootstrap takes them out with its `stats_tags`. All of them
//! are in `docs/metrics.md`, with what they mean; a test there holds the list to what a gateway
//! shows.
//!
//! What grows with every write is added up here and told now and then: after an answer of the
//! sidecar, at a tick, and at the end. Telling the gateway costs more than counting.
//!
//! Invariant: counting never fails; what the gateway refuses to count is not counted; what was
//! counted is told within a tick.

use std::{cell::Cell, time::Duration};

use sidehook_event::EventType;

use crate::{
    capture::Reason,
    config::{Capture, Config},
    host::{Host, Kind, MetricId},
};

/// Something that only grows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter(Option<MetricId>);

/// Something that grows with every write, and is told now and then.
#[derive(Debug, Default)]
pub struct Tally {
    counter: Counter,
    untold: Cell<usize>,
}

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
    events: Vec<(EventType, Tally)>,
    observed: Vec<(EventType, Tally)>,
    missed: Vec<(Reason, Tally)>,
    pub seen: Tally,
    pub committed: Tally,
    pub dropped: Counter,
    pub refused: Counter,
    pub at_risk: Counter,
    pub not_forwarded: Counter,
    pub not_recorded: Counter,
    pub truncated: Counter,
    pub incomplete: Counter,
    pub batches: Tally,
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
        let tally = |name: &str| Tally { counter: counter(name), untold: Cell::default() };
        let gauge = |name: &str| Gauge { id: define(Kind::Gauge, name), last: 0 };
        let histogram = |name: &str| Histogram(define(Kind::Histogram, name));
        let of = |what: &str, is_observed: bool| -> Vec<_> {
            let routes = config.routes.iter();
            let routes = routes.filter(|route| (route.capture == Capture::Observe) == is_observed);
            let names = routes.flat_map(|route| route.names.all());
            let counters = names.map(|name| {
                let (resource, action) = (name.resource(), name.action());
                let tally = tally(&format!("{what}.resource.{resource}.action.{action}.total"));
                (name.clone(), tally)
            });
            counters.collect()
        };
        let (events, observed) = (of("events", false), of("observed", true));
        let reasons = REASONS.into_iter();
        let missed =
            reasons.map(|(reason, name)| (reason, tally(&format!("missed.reason.{name}.total"))));
        Self {
            events,
            observed,
            missed: missed.collect(),
            seen: tally("seen"),
            committed: tally("committed"),
            dropped: counter("dropped"),
            refused: counter("refused"),
            at_risk: counter("at_risk"),
            not_forwarded: counter("rejected.reason.not_forwarded.total"),
            not_recorded: counter("rejected.reason.not_recorded.total"),
            truncated: counter("truncated"),
            incomplete: counter("incomplete"),
            batches: tally("batches"),
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
    pub fn replace(&mut self, host: &dyn Host, other: Self) {
        self.tell(host);
        let last = (self.buffered_events.last, self.buffered_bytes.last, self.held.last);
        *self = other;
        (self.buffered_events.last, self.buffered_bytes.last, self.held.last) = last;
    }

    /// Counts an event that was made.
    pub fn event(&self, name: &EventType) {
        count(&self.events, name);
    }

    /// Counts an event that would have been made.
    pub fn observed(&self, name: &EventType) {
        count(&self.observed, name);
    }

    /// Counts a write without an event.
    pub fn missed(&self, reason: Reason) {
        count(&self.missed, &reason);
    }

    /// Tells the gateway what was counted since the last time.
    pub fn tell(&self, host: &dyn Host) {
        let named = self.events.iter().chain(&self.observed).map(|(_, tally)| tally);
        let missed = self.missed.iter().map(|(_, tally)| tally);
        let others = [&self.seen, &self.committed, &self.batches];
        named.chain(missed).chain(others).for_each(|tally| tally.tell(host));
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

impl Tally {
    /// Adds `count`.
    pub fn add(&self, count: usize) {
        self.untold.set(self.untold.get().saturating_add(count));
    }

    fn tell(&self, host: &dyn Host) {
        self.counter.add(host, self.untold.take());
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

fn count<T: PartialEq>(tallies: &[(T, Tally)], what: &T) {
    if let Some((_, tally)) = tallies.iter().find(|(known, _)| known == what) {
        tally.add(1);
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
