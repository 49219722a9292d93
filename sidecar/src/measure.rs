//! Asks the store every few seconds how much waits, and shows it among the metrics.
//!
//! Every process asks for itself, so that each tells of the whole store: they are not to be added up.
//!
//! Invariant: what is shown was counted a few seconds ago; while the store does not answer nothing
//! is shown.

mod per_subscription;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use per_subscription::PerSubscription;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::{Registry, Unit},
};
use sidehook_event::UnixMicros;

use crate::{
    clock::Clock,
    model::Cause,
    store::{Store, figures::Backlog},
};

/// From one count to the next.
const PERIOD: Duration = Duration::from_secs(5);

/// Counts what waits.
#[derive(Debug)]
pub struct Measurer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    shown: Shown,
    per_subscription: Option<Arc<PerSubscription>>,
}

/// What was counted last, and when.
#[derive(Debug, Clone, Default)]
struct Shown(Arc<Mutex<Option<(Backlog, UnixMicros)>>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    cause: &'static str,
    fault: &'static str,
}

impl Measurer {
    /// Counts in this store, and registers what it counts under `sidehook_backlog_…`.
    pub fn register(store: Arc<dyn Store>, clock: Arc<dyn Clock>, registry: &mut Registry) -> Self {
        let shown = Shown::default();
        registry.register_collector(Box::new(shown.clone()));
        Self { store, clock, shown, per_subscription: None }
    }

    /// Counts for each subscription too.
    #[must_use]
    pub fn telling_apart(self, per_subscription: Option<Arc<PerSubscription>>) -> Self {
        Self { per_subscription, ..self }
    }

    /// Goes on for ever. May be dropped at any time.
    pub async fn run(&self) {
        loop {
            self.measure().await;
            self.clock.sleep(PERIOD).await;
        }
    }

    /// Counts once.
    pub async fn measure(&self) {
        let now = self.clock.now();
        // A store that is away is told of by those who have work for it.
        let counted = self.store.backlog(now).await.ok();
        *self.shown.last() = counted.map(|backlog| (backlog, now));
        if let Some(apart) = &self.per_subscription {
            apart.count(&*self.store, now).await;
        }
    }
}

impl Shown {
    fn last(&self) -> MutexGuard<'_, Option<(Backlog, UnixMicros)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some((backlog, now)) = self.last().clone() else { return Ok(()) };
        for (name, help, count) in [
            (
                "backlog_undispatched_events",
                "Events in the store that have no deliveries yet, counted to 100,000",
                backlog.undispatched,
            ),
            (
                "backlog_pending_deliveries",
                "Deliveries in the store that are pending, counted to 100,000",
                backlog.pending,
            ),
            (
                "backlog_due_deliveries",
                "Deliveries in the store that are due and in nobody's hands, counted to 100,000",
                backlog.due,
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            let descriptor = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(descriptor)?;
        }
        for (name, help, since) in [
            (
                "backlog_undispatched_age",
                "For how long the oldest of the events without deliveries has been stored",
                backlog.undispatched_since,
            ),
            (
                "backlog_lag",
                "For how long the delivery has been due that is due the longest",
                backlog.due_since,
            ),
        ] {
            let age = since.map_or(Duration::ZERO, |since| now.since(since));
            let gauge = ConstGauge::new(age.as_secs_f64());
            let unit = Some(&Unit::Seconds);
            let descriptor = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
            gauge.encode(descriptor)?;
        }
        let dead: Family<OfCause, Gauge> = Family::default();
        for (name, cause) in Cause::NAMES {
            let count = backlog.dead.get(&cause).copied().unwrap_or_default();
            let label = OfCause { cause: name, fault: cause.fault().name() };
            dead.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let help =
            "Dead letters in the store by cause and by whose fault that is, the newest 10,000";
        let descriptor =
            encoder.encode_descriptor("backlog_dead_letters", help, None, dead.metric_type())?;
        dead.encode(descriptor)
    }
}
