//! The series of subscriptions: what each has, and how they are written.
//!
//! Invariant: whoever has one series has all of those that grow, so that a first time is seen as an
//! increase.

use std::fmt::{self, Write as _};

use prometheus_client::{
    encoding::{
        DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder,
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};
use sidehook_event::UnixMicros;

use crate::{
    deliver::turns::Standing,
    model::{Attempt, Outcome, State, SubscriptionId, Successor},
    store::figures::Owed,
};

/// The states in which a delivery ends.
const ENDS: [State; 3] = [State::Delivered, State::Filtered, State::Dead];

/// Whose figures they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    One(SubscriptionId),
    /// Of all that are not told apart.
    Other,
}

/// What only grows.
#[derive(Debug)]
pub(super) struct Series {
    attempts: Family<OfOutcome, Counter>,
    took: Family<Of, Histogram, fn() -> Histogram>,
    finished: Family<OfState, Counter>,
}

/// What is so at a moment.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    waiting: Family<Of, Gauge>,
    in_flight: Family<Of, Gauge>,
    open: Family<Of, Gauge>,
    pending: Family<Of, Gauge>,
    oldest: Family<Of, Gauge<f64, std::sync::atomic::AtomicU64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    subscription: Whose,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    subscription: Whose,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    subscription: Whose,
    state: &'static str,
}

impl EncodeLabelValue for Whose {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::One(id) => write!(encoder, "{id}"),
            Self::Other => encoder.write_str("other"),
        }
    }
}

impl Default for Series {
    fn default() -> Self {
        Self {
            attempts: Family::default(),
            took: Family::new_with_constructor(|| Histogram::new([0.05, 0.25, 1.0, 5.0, 15.0])),
            finished: Family::default(),
        }
    }
}

impl Series {
    pub(super) fn begin(&self, subscription: Whose) {
        for (outcome, _) in Outcome::NAMES {
            drop(self.attempts.get_or_create(&OfOutcome { subscription, outcome }));
        }
        drop(self.took.get_or_create(&Of { subscription }));
        for state in ENDS {
            drop(self.finished.get_or_create(&OfState { subscription, state: state.name() }));
        }
    }

    pub(super) fn remove(&self, subscription: Whose) {
        for (outcome, _) in Outcome::NAMES {
            self.attempts.remove(&OfOutcome { subscription, outcome });
        }
        self.took.remove(&Of { subscription });
        for state in ENDS {
            self.finished.remove(&OfState { subscription, state: state.name() });
        }
    }

    pub(super) fn attempted(&self, subscription: Whose, attempt: &Attempt) {
        let outcome = attempt.outcome.name();
        self.attempts.get_or_create(&OfOutcome { subscription, outcome }).inc();
        self.took.get_or_create(&Of { subscription }).observe(attempt.duration.as_secs_f64());
    }

    pub(super) fn became(&self, subscription: Whose, successor: &Successor) {
        let state = match successor {
            Successor::Retry(_) => return,
            Successor::Delivered => State::Delivered,
            Successor::Filtered(_) => State::Filtered,
            Successor::Dead(_) => State::Dead,
        };
        self.finished.get_or_create(&OfState { subscription, state: state.name() }).inc();
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Attempts by outcome";
        write(encoder, "subscription_attempts", help, None, &self.attempts)?;
        let help = "The time an attempt took, from the request to the end of the answer";
        write(encoder, "subscription_attempt", help, Some(&Unit::Seconds), &self.took)?;
        let help = "Deliveries that this process finished, by what they came to";
        write(encoder, "subscription_finished", help, None, &self.finished)
    }
}

impl Gauges {
    pub(super) fn stands(&self, subscription: Whose, standing: Standing) {
        let of = Of { subscription };
        self.waiting.get_or_create(&of).inc_by(wide(standing.waiting));
        self.in_flight.get_or_create(&of).inc_by(standing.in_flight.into());
        self.open.get_or_create(&of).inc_by(standing.is_open.into());
    }

    pub(super) fn owed(&self, owed: &Owed, now: UnixMicros) {
        let of = Of { subscription: Whose::One(owed.subscription_id) };
        self.pending.get_or_create(&of).set(i64::try_from(owed.pending).unwrap_or(i64::MAX));
        let age = owed.since.map_or(0.0, |since| now.since(since).as_secs_f64());
        self.oldest.get_or_create(&of).set(age);
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Deliveries in this process that wait for their turn";
        write(encoder, "subscription_waiting_turn", help, None, &self.waiting)?;
        let help = "Attempts that are under way";
        write(encoder, "subscription_in_flight", help, None, &self.in_flight)?;
        let help = "Whether the receiver failed all the time when it was last asked";
        write(encoder, "subscription_circuit_open", help, None, &self.open)?;
        let help = "Deliveries in the store that are pending, counted to 1,000";
        write(encoder, "subscription_pending", help, None, &self.pending)?;
        let help = "How long ago the oldest of them was made";
        write(encoder, "subscription_oldest", help, Some(&Unit::Seconds), &self.oldest)
    }
}

fn write(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let descriptor = encoder.encode_descriptor(name, help, unit, metric.metric_type())?;
    metric.encode(descriptor)
}

fn wide(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
