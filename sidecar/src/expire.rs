//! Deletes what is finished when its time is up: events with their deliveries, payloads and
//! attempts.
//!
//! Invariant: little is deleted at a time, with a rest after it, so that nobody waits long for it;
//! and what is still to be delivered is never deleted.

use std::{error::Error, sync::Arc, time::Duration};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use sidehook_event::UnixMicros;

use crate::{clock::Clock, store::Store};

/// From one pass to the next.
const PERIOD: Duration = Duration::from_mins(10);
/// How many events are looked at in one transaction. An event may have thousands of deliveries:
/// whenever that is too much, half as many are looked at.
const LIMIT: usize = 256;
/// The rest after each transaction.
const REST: Duration = Duration::from_millis(50);
/// The rest after one that failed.
const LONG_REST: Duration = Duration::from_secs(2);
/// How often in a row one may fail before the rest is left to the next pass.
const FAILURES: u32 = 10;

/// Deletes what is finished when its time is up.
#[derive(Debug)]
pub struct Expirer {
    /// Where it is deleted.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long it is kept.
    pub retention: Duration,
    /// What is counted.
    pub metrics: Metrics,
}

/// What deleting counts. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    events: Counter,
    failures: Counter,
}

impl Metrics {
    /// Registers them under `sidehook_retention_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("retention");
        registry.register(
            "events_deleted",
            "Events that were deleted since their time was up, with all that belonged to them",
            metrics.events.clone(),
        );
        registry.register(
            "failures",
            "Deletions that the store did not do, to be tried again",
            metrics.failures.clone(),
        );
        metrics
    }
}

impl Expirer {
    /// Goes on for ever. May be dropped at any time.
    pub async fn run(&self) {
        loop {
            let expired = self.pass().await;
            if expired > 0 {
                tracing::info!(expired, "deleted events whose time was up");
            }
            self.clock.sleep(PERIOD).await;
        }
    }

    /// Looks at everything that is older once. Returns how many events were deleted.
    pub async fn pass(&self) -> usize {
        let before = earlier(self.clock.now(), self.retention);
        let (mut from, mut limit, mut deleted, mut failures) = (None, LIMIT, 0_usize, 0);
        loop {
            match self.store.expire(before, from, limit).await {
                Ok(expired) => {
                    deleted = deleted.saturating_add(expired.events);
                    let events = u64::try_from(expired.events).unwrap_or(u64::MAX);
                    self.metrics.events.inc_by(events);
                    (limit, failures) = ((limit * 2).min(LIMIT), 0);
                    from = expired.next;
                    if from.is_none() {
                        return deleted;
                    }
                    self.clock.sleep(REST).await;
                }
                Err(error) => {
                    limit = (limit / 2).max(1);
                    failures += 1;
                    self.metrics.failures.inc();
                    if failures == FAILURES {
                        let error = &error as &dyn Error;
                        tracing::warn!(error, "failed to delete old events, trying again later");
                        return deleted;
                    }
                    self.clock.sleep(LONG_REST).await;
                }
            }
        }
    }
}

fn earlier(now: UnixMicros, by: Duration) -> UnixMicros {
    let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    UnixMicros::new(now.micros().saturating_sub(by))
}
