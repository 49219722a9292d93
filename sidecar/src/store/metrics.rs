//! What is counted of the store, whichever it is.
//!
//! Invariant: the number of time series does not grow with traffic.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use super::Store;
use crate::model::{Cause, State, Successor, Verdict};

/// The counters of the store. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    calls: Family<OfCall, Histogram, fn() -> Histogram>,
    failures: Family<OfCall, Counter>,
    finished: Family<OfState, Counter>,
    dead: Family<OfCause, Counter>,
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// New events.
    Append,
    /// What is due is handed out.
    Claim,
    /// New deliveries.
    Dispatch,
    /// Verdicts.
    Record,
    /// What is old is deleted.
    Expire,
    /// The API and the table of subscriptions look something up.
    Read,
    /// The API, and what follows from failures, change something.
    Change,
    /// What waits is counted.
    Count,
    /// Whether it can be written to.
    Ping,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCall {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    cause: &'static str,
    fault: &'static str,
}

impl Call {
    const ALL: [Self; 9] = [
        Self::Append,
        Self::Claim,
        Self::Dispatch,
        Self::Record,
        Self::Expire,
        Self::Read,
        Self::Change,
        Self::Count,
        Self::Ping,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Claim => "claim",
            Self::Dispatch => "dispatch",
            Self::Record => "record",
            Self::Expire => "expire",
            Self::Read => "read",
            Self::Change => "change",
            Self::Count => "count",
            Self::Ping => "ping",
        }
    }
}

impl Metrics {
    /// Registers them. Counters whose labels are known are there from the beginning: what has
    /// happened once is an increase.
    pub(super) fn register(store: &Arc<dyn Store>, registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Family::new_with_constructor(calls),
            failures: Family::default(),
            finished: Family::default(),
            dead: Family::default(),
        };
        for call in Call::ALL {
            drop(metrics.failures.get_or_create(&OfCall { operation: call.name() }));
        }
        for state in [State::Delivered, State::Filtered, State::Dead] {
            drop(metrics.finished.get_or_create(&OfState { state: state.name() }));
        }
        for (_, cause) in Cause::NAMES {
            drop(metrics.dead.get_or_create(&of(cause)));
        }
        registry.register_with_unit(
            "store_call",
            "The time that calls of the store took, failed ones too",
            Unit::Seconds,
            metrics.calls.clone(),
        );
        registry.register(
            "store_failures",
            "Calls of the store that failed",
            metrics.failures.clone(),
        );
        registry.register(
            "deliveries_finished",
            "Deliveries that this process finished, by what they came to",
            metrics.finished.clone(),
        );
        registry.register(
            "dead_letters",
            "Deliveries that this process gave up, by cause and by whose fault that is",
            metrics.dead.clone(),
        );
        registry.register_collector(Box::new(Now(Arc::clone(store))));
        metrics
    }

    pub(super) fn called(&self, call: Call, took: Duration, is_failure: bool) {
        let label = OfCall { operation: call.name() };
        self.calls.get_or_create(&label).observe(took.as_secs_f64());
        if is_failure {
            self.failures.get_or_create(&label).inc();
        }
    }

    /// These verdicts are stored.
    pub(super) fn recorded(&self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            let state = match &verdict.successor {
                Successor::Retry(_) => continue,
                Successor::Delivered => State::Delivered,
                Successor::Filtered(_) => State::Filtered,
                Successor::Dead(death) => {
                    self.dead.get_or_create(&of(death.cause)).inc();
                    State::Dead
                }
            };
            self.finished.get_or_create(&OfState { state: state.name() }).inc();
        }
    }
}

fn calls() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0])
}

fn of(cause: Cause) -> OfCause {
    OfCause { cause: cause.name(), fault: cause.fault().name() }
}

/// What is looked up when it is asked for.
#[derive(Debug)]
struct Now(Arc<dyn Store>);

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let connections = self.0.connections();
        let open: Family<OfState, Gauge> = Family::default();
        for (state, count) in [("used", connections.used), ("idle", connections.idle)] {
            open.get_or_create(&OfState { state }).set(wide(count));
        }
        let help = "Open connections to the database";
        let descriptor =
            encoder.encode_descriptor("store_connections", help, None, open.metric_type())?;
        open.encode(descriptor)?;

        let most = ConstGauge::new(wide(connections.most));
        let help = "How many connections to the database there may be";
        let descriptor =
            encoder.encode_descriptor("store_connections_limit", help, None, most.metric_type())?;
        most.encode(descriptor)
    }
}

fn wide(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
