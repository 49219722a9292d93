//! Brings a delivery to its receiver: sign ▸ send ▸ judge ▸ record.
//!
//! Invariant: nothing is sent that is not leased, and what an attempt came to is stored before
//! the queue is told that it is done.

mod attempt;
pub mod client;
pub mod egress;
mod metrics;
pub mod outcome;
mod record;
pub mod retry_after;
pub mod schedule;
pub mod sign;

use std::{error::Error, sync::Arc, time::Duration};

use futures::FutureExt as _;
use sidehook_event::UnixMicros;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use attempt::Made;
pub use client::Client;
pub use metrics::Metrics;
use record::{Found, Recorder};

use crate::{
    clock::Clock,
    model::{
        Cause, Death, DueDelivery, MAX_TIMEOUT, Subscription, SubscriptionId, Successor, Verdict,
    },
    queue::{Lane, Queue, Receipt, Taken},
    route::Table,
    store::{self, Store, patience::until_stored},
};

/// How long a delivery may wait in the queue and be attempted before another worker takes it
/// over. An attempt begins only if it is sure to end within.
const LEASE: Duration = Duration::from_secs(90);
/// How long a delivery rests whose subscription is not enabled.
const PAUSE: Duration = Duration::from_secs(30);
/// Why a subscription is disabled whose receiver answered 410.
const GONE: &str = "the receiver answered 410 (Gone)";
/// The most verdicts that wait to be recorded.
const VERDICTS: usize = 1024;

/// When a delivery that is claimed at `now` may be claimed again.
pub fn lease_from(now: UnixMicros) -> UnixMicros {
    now.after(LEASE)
}

/// Gives back to `store` the deliveries that `queue` holds at the moment: they are due at once,
/// for whoever sweeps next.
pub async fn put_back(queue: &dyn Queue, store: &dyn Store, clock: &dyn Clock) {
    while let Some(taken) = queue.take_deliveries(VERDICTS).now_or_never() {
        let at = clock.now();
        let verdict = |Taken { work, .. }: &Taken<DueDelivery>| Verdict {
            delivery_id: work.id,
            attempt: None,
            successor: Successor::Retry(at),
            at,
        };
        let verdicts: Vec<_> = taken.iter().map(verdict).collect();
        until_stored(clock, "put deliveries back", || store.record(&verdicts)).await;
    }
}

/// Attempts deliveries as they come.
#[derive(Debug, Clone)]
pub struct Deliverer {
    /// Where verdicts are stored.
    pub store: Arc<dyn Store>,
    /// Where deliveries come from.
    pub queue: Arc<dyn Queue>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// The subscriptions, as they are now.
    pub table: Arc<Table>,
    /// Sends.
    pub client: Client,
    /// What is counted.
    pub metrics: Metrics,
}

impl Deliverer {
    /// Makes at most `concurrency` attempts at a time, until `stop`; then finishes those that
    /// are under way and records them.
    pub async fn run(self, concurrency: usize, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(concurrency.max(1)));
        let attempts = TaskTracker::new();
        let (verdicts, found) = mpsc::channel(VERDICTS);
        let recorder = Recorder {
            found,
            store: Arc::clone(&self.store),
            queue: Arc::clone(&self.queue),
            clock: Arc::clone(&self.clock),
        };
        let recording = tokio::spawn(recorder.run());
        while let Some(taken) = stop.run_until_cancelled(self.take(&slots)).await {
            for (Taken { work, receipt }, slot) in taken {
                let (deliverer, verdicts) = (self.clone(), verdicts.clone());
                attempts.spawn(async move {
                    deliverer.deliver(work, receipt, verdicts).await;
                    drop(slot);
                });
            }
        }
        drop(verdicts);
        attempts.close();
        attempts.wait().await;
        if let Err(error) = recording.await {
            tracing::error!(%error, "recording ended early, unrecorded attempts will be repeated");
        }
    }

    /// Waits for free slots and takes as many deliveries.
    async fn take(
        &self,
        slots: &Arc<Semaphore>,
    ) -> Vec<(Taken<DueDelivery>, OwnedSemaphorePermit)> {
        // A semaphore that is never closed always gives a permit.
        let Ok(first) = Arc::clone(slots).acquire_owned().await else {
            return Vec::new();
        };
        let mut free = vec![first];
        while let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
            free.push(slot);
        }
        let taken = self.queue.take_deliveries(free.len()).await;
        taken.into_iter().zip(free).collect()
    }

    async fn deliver(&self, due: DueDelivery, receipt: Receipt, verdicts: mpsc::Sender<Found>) {
        match self.subscription(&due).await {
            Ok(subscription) => match self.judge(&due, subscription.as_deref()).await {
                // Whoever listens is there until the last sender is gone.
                Some(verdict) => drop(verdicts.send((verdict, receipt)).await),
                None => self.queue.settle(Lane::Deliveries, vec![receipt]).await,
            },
            Err(error) => {
                // Left to the sweep, which finds it when its lease ends.
                tracing::warn!(error = &error as &dyn Error, delivery = %due.id, "failed to read its subscription");
                self.queue.settle(Lane::Deliveries, vec![receipt]).await;
            }
        }
    }

    /// The subscription, read again if it is not in the table: another process may have made it
    /// a moment ago.
    async fn subscription(&self, due: &DueDelivery) -> store::Result<Option<Arc<Subscription>>> {
        if let Some(subscription) = self.table.subscription(due.subscription_id) {
            return Ok(Some(subscription));
        }
        self.table.reload(&*self.store, due.subscription_id).await?;
        Ok(self.table.subscription(due.subscription_id))
    }

    /// What follows; `None` if the lease is too short for an attempt, so that somebody else may
    /// be about to make it.
    async fn judge(
        &self,
        due: &DueDelivery,
        subscription: Option<&Subscription>,
    ) -> Option<Verdict> {
        let now = self.clock.now();
        let verdict = |successor, at| Verdict { delivery_id: due.id, attempt: None, successor, at };
        let Some(subscription) = subscription else {
            let death = Death { cause: Cause::Unsubscribed, error: store::UNSUBSCRIBED.to_owned() };
            return Some(verdict(Successor::Dead(death), now));
        };
        if !subscription.enabled {
            return Some(verdict(Successor::Retry(now.after(PAUSE)), now));
        }
        if due.lease_until < now.after(MAX_TIMEOUT) {
            return None;
        }
        let Made { attempt, retry_after } =
            attempt::attempt(due, subscription, &self.client, &*self.clock).await;
        self.metrics.attempted(&attempt);
        let end = self.clock.now();
        let successor = outcome::successor(
            &attempt,
            due.series,
            retry_after,
            &subscription.retry,
            end,
            self.clock.dice(),
        );
        if outcome::is_unsubscribing(&attempt) {
            self.disable(subscription.id, end).await;
        }
        tracing::debug!(
            delivery = %due.id,
            subscription = %subscription.id,
            number = attempt.number,
            outcome = attempt.outcome.name(),
            status = attempt.status_code,
            "attempted"
        );
        Some(Verdict { attempt: Some(attempt), ..verdict(successor, end) })
    }
    /// Disables a subscription whose receiver is gone. The verdict on the delivery waits for it: a
    /// process that ends between the two finds the receiver gone once more.
    async fn disable(&self, id: SubscriptionId, now: UnixMicros) {
        let disable = || self.store.disable_subscription(id, GONE, now);
        if until_stored(&*self.clock, "disable a subscription", disable).await {
            tracing::info!(subscription = %id, "disabled: {GONE}");
        }
        let reload = || self.table.reload(&*self.store, id);
        until_stored(&*self.clock, "read a subscription that changed", reload).await;
    }
}
