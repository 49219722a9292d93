//! Finds what is due in the store and publishes it again: a retry whose time has come, work
//! whose message was lost, work whose worker died. One code for all three.
//!
//! What is held it puts off itself (`deliver/holds.rs`).
//!
//! Invariant: only so much is leased as the queue has room for.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    deliver::{self, holds::Holding},
    ingest,
    queue::{Lane, Queue},
    store::{Store, patience::until_stored},
};

/// How often is looked when nothing was due the last time. Half of it is what a retry is late on
/// average.
const PERIOD: Duration = Duration::from_millis(200);
/// The most that is claimed in one transaction.
const LIMIT: usize = 512;
/// The same while what is found is put off again: nobody waits for it, others wait for the store.
const FEW: usize = 64;

/// Looks for what is due.
#[derive(Debug)]
pub struct Sweeper {
    /// Where it is looked.
    pub store: Arc<dyn Store>,
    /// Where it goes.
    pub queue: Arc<dyn Queue>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What can have no turn soon.
    pub holding: Holding,
}

impl Sweeper {
    /// Looks for events that are stored and not dispatched, until `stop`.
    pub async fn run_events(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(self.queue.has_room(Lane::Events)).await.is_some() {
            let limit = self.queue.room(Lane::Events).min(LIMIT);
            let events = until_stored(&*self.clock, "claim events", || {
                let now = self.clock.now();
                self.store.claim_events(now, ingest::lease_from(now), limit)
            })
            .await;
            let found = events.len();
            self.queue.announce(&events);
            self.queue.publish_events(events).await;
            self.rest(found, limit, stop).await;
        }
    }

    /// Looks for deliveries that are due, until `stop`.
    pub async fn run_deliveries(&self, stop: &CancellationToken) {
        let mut most = LIMIT;
        while stop.run_until_cancelled(self.queue.has_room(Lane::Deliveries)).await.is_some() {
            let limit = self.queue.room(Lane::Deliveries).min(most);
            let deliveries = until_stored(&*self.clock, "claim deliveries", || {
                let now = self.clock.now();
                self.store.claim_deliveries(now, deliver::lease_from(now), limit)
            })
            .await;
            let found = deliveries.len();
            let (free, put_off) = self.holding.divide(deliveries, self.clock.now());
            self.queue.publish_deliveries(free).await;
            most = if put_off.is_empty() { LIMIT } else { FEW };
            if !put_off.is_empty() {
                let record = || self.store.record(&put_off);
                until_stored(&*self.clock, "put deliveries off", record).await;
            }
            self.rest(found, limit, stop).await;
        }
    }

    /// There may be more when as much was found as was asked for.
    async fn rest(&self, found: usize, limit: usize, stop: &CancellationToken) {
        if found < limit {
            stop.run_until_cancelled(self.clock.sleep(PERIOD)).await;
        }
    }
}
