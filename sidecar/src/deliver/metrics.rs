//! What delivering counts.
//!
//! Invariant: the number of time series does not grow with traffic, nor, where subscriptions are not
//! told apart, with their number.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use sidehook_event::{EventId, TypeId as _, UnixMicros};

use super::turns::{Reason, Standing};
use crate::{
    measure::PerSubscription,
    model::{Attempt, Outcome, SubscriptionId, Successor},
};

/// The counters of delivering. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    attempts: Family<Label, Counter>,
    put_off: Family<ReasonLabel, Counter>,
    resent: Counter,
    duration: Histogram,
    end_to_end: Histogram,
    in_flight: Gauge,
    waiting: Gauge,
    open: Gauge,
    /// Where subscriptions are told apart.
    per_subscription: Option<Arc<PerSubscription>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    outcome: &'static str,
    /// `2xx`, or `none` where there was no answer.
    status: &'static str,
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
            // To the days that retries take.
            end_to_end: Histogram::new([
                0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
                7_200.0, 43_200.0, 86_400.0, 259_200.0,
            ]),
            in_flight: Gauge::default(),
            waiting: Gauge::default(),
            open: Gauge::default(),
            per_subscription: None,
        };
        metrics.begin();
        registry.register(
            "delivery_attempts",
            "Attempts by outcome and class of status",
            metrics.attempts.clone(),
        );
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
        registry.register_with_unit(
            "delivery_end_to_end",
            "The time from an event to its delivery, those that were redriven left out",
            Unit::Seconds,
            metrics.end_to_end.clone(),
        );
        registry.register(
            "delivery_in_flight",
            "Attempts that are under way",
            metrics.in_flight.clone(),
        );
        registry.register(
            "delivery_waiting_turn",
            "Deliveries in this process that wait for their turn",
            metrics.waiting.clone(),
        );
        registry.register(
            "delivery_circuits_open",
            "Subscriptions whose receiver failed all the time when it was last asked",
            metrics.open.clone(),
        );
        metrics
    }

    /// Counts for each subscription too.
    #[must_use]
    pub fn telling_apart(self, per_subscription: Option<Arc<PerSubscription>>) -> Self {
        Self { per_subscription, ..self }
    }

    /// All that there may be is there from the start, so that a first one is seen as an increase.
    fn begin(&self) {
        for (name, outcome) in Outcome::NAMES {
            let classes: &[_] = match outcome {
                Outcome::Success => &["2xx"],
                Outcome::Status => &["3xx", "4xx", "5xx"],
                Outcome::Timeout
                | Outcome::Dns
                | Outcome::Connection
                | Outcome::Tls
                | Outcome::Egress
                | Outcome::Malformed
                | Outcome::Proxy => &["none"],
            };
            for status in classes {
                drop(self.attempts.get_or_create(&Label { outcome: name, status }));
            }
        }
        for reason in [Reason::Full, Reason::Open, Reason::Paced, Reason::Disabled] {
            drop(self.put_off.get_or_create(&ReasonLabel { reason: name(reason) }));
        }
    }

    pub(super) fn put_off(&self, reason: Reason) {
        self.put_off.get_or_create(&ReasonLabel { reason: name(reason) }).inc();
    }

    /// How it stands: attempts under way, deliveries that wait for their turn, open circuits.
    pub(super) fn stand(&self, in_flight: usize, waiting: usize, open: usize) {
        let wide = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.in_flight.set(wide(in_flight));
        self.waiting.set(wide(waiting));
        self.open.set(wide(open));
    }

    /// The event of this id was delivered at this time.
    pub(super) fn delivered(&self, id: EventId, at: UnixMicros) {
        let millis = u64::try_from(id.bits() >> 80).unwrap_or(u64::MAX);
        let happened = UnixMicros::from_nanos(millis.saturating_mul(1_000_000));
        self.end_to_end.observe(at.since(happened).as_secs_f64());
    }

    /// It stands so with this one.
    pub(super) fn stands(&self, id: SubscriptionId, standing: impl FnOnce() -> Standing) {
        if let Some(apart) = &self.per_subscription {
            apart.stands(id, standing());
        }
    }

    /// This becomes of one of its deliveries.
    pub(super) fn became(&self, id: SubscriptionId, successor: &Successor) {
        if let Some(apart) = &self.per_subscription {
            apart.became(id, successor);
        }
    }

    pub(super) fn attempted(&self, id: SubscriptionId, attempt: &Attempt, resent: bool) {
        if let Some(apart) = &self.per_subscription {
            apart.attempted(id, attempt);
        }
        if resent {
            self.resent.inc();
        }
        let status = class(attempt.status_code);
        self.attempts.get_or_create(&Label { outcome: attempt.outcome.name(), status }).inc();
        self.duration.observe(attempt.duration.as_secs_f64());
    }
}

fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::Full => "full",
        Reason::Open => "open",
        Reason::Paced => "paced",
        Reason::Disabled => "disabled",
    }
}

fn class(status: Option<u16>) -> &'static str {
    match status {
        Some(200..=299) => "2xx",
        Some(300..=399) => "3xx",
        Some(400..=499) => "4xx",
        Some(500..=599) => "5xx",
        Some(_) => "other",
        None => "none",
    }
}
