//! Takes the batches of the gateways: many at once become one commit, and each is answered when
//! its events are stored.
//!
//! Invariant: a batch that was handed over is stored even if the one who handed it over is gone;
//! `Ok` is said only after the commit.

pub mod cloudevents;
pub mod inbound;
mod metrics;
mod tally;

use std::{collections::HashMap, error::Error, sync::Arc, time::Duration};

use sidehook_event::{Event, EventId, UnixMicros};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

pub use metrics::Metrics;

use crate::{
    clock::Clock,
    live::{Happening, Live},
    queue::{Lane, Queue},
    store::{self, Due, Store},
    trace::Tracer,
};

/// The most batches that wait for a commit. A gateway has one or two under way per worker.
const WAITING: usize = 256;
/// The most batches that go into one commit.
const BATCHES_PER_COMMIT: usize = 64;
/// How long dispatching an event may take before the sweep takes it for lost. It is dispatched once even
/// if it took longer.
const LEASE: Duration = Duration::from_secs(10);

/// Why a batch was not taken. The gateway keeps it and tries again.
#[derive(Debug, Clone, Error)]
pub enum Refused {
    /// Too many batches wait already.
    #[error("too many batches are waiting")]
    Overloaded,
    /// The store failed; the cause is logged.
    #[error("the store does not take events at the moment")]
    StoreUnavailable,
    /// The process is about to end.
    #[error("shutting down")]
    Stopping,
}

/// Where batches are handed over.
#[derive(Debug, Clone)]
pub struct Ingest {
    waiting: mpsc::Sender<Submission>,
    clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
}

#[derive(Debug)]
struct Submission {
    events: Vec<Arc<Event>>,
    /// When it was handed over, by the monotonic clock.
    since: Duration,
    answer: oneshot::Sender<Result<(), Refused>>,
}

/// The one that commits.
#[derive(Debug)]
pub struct Committer {
    waiting: mpsc::Receiver<Submission>,
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    tracer: Tracer,
    live: Live,
}

/// The two ends of the hand-over.
pub fn ingest(
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
) -> (Ingest, Committer) {
    let (sender, waiting) = mpsc::channel(WAITING);
    let ingest = Ingest { waiting: sender, clock: Arc::clone(&clock), metrics: metrics.clone() };
    let (tracer, live) = (Tracer::off(), Live::default());
    (ingest, Committer { waiting, store, queue, clock, metrics, tracer, live })
}

impl Ingest {
    /// Hands a batch over at once, then waits until it is stored. Dropping the future does not
    /// take the batch back. One without events asks whether others would be stored.
    pub fn submit(
        &self,
        events: Vec<Event>,
    ) -> impl Future<Output = Result<(), Refused>> + Send + use<> {
        let (answer, stored) = oneshot::channel();
        let events = events.into_iter().map(Arc::new).collect();
        let since = self.clock.monotonic();
        let handed_over = self.waiting.try_send(Submission { events, since, answer });
        if matches!(handed_over, Err(mpsc::error::TrySendError::Full(_))) {
            self.metrics.overloaded();
        }
        async move {
            match handed_over {
                Ok(()) => stored.await.unwrap_or(Err(Refused::Stopping)),
                Err(mpsc::error::TrySendError::Full(_)) => Err(Refused::Overloaded),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(Refused::Stopping),
            }
        }
    }
}

impl Committer {
    /// The same, telling these of what it stores.
    #[must_use]
    pub fn telling(self, tracer: Tracer, live: Live) -> Self {
        Self { tracer, live, ..self }
    }

    /// Commits until every [`Ingest`] is gone and nothing waits any more.
    pub async fn run(mut self) {
        let mut submissions = Vec::new();
        while self.waiting.recv_many(&mut submissions, BATCHES_PER_COMMIT).await > 0 {
            let batches = submissions.iter().filter(|batch| !batch.events.is_empty());
            let handed_over: Vec<_> = batches.map(|batch| batch.since).collect();
            let mut events = Vec::new();
            let mut answers = Vec::with_capacity(submissions.len());
            for Submission { events: batch, answer, .. } in submissions.drain(..) {
                events.extend(batch);
                answers.push(answer);
            }
            let started = self.clock.monotonic();
            let result = self.commit(events).await.map_err(|error| {
                tracing::warn!(
                    error = &error as &dyn Error,
                    "failed to store events, the gateway keeps them"
                );
                Refused::StoreUnavailable
            });
            if !handed_over.is_empty() {
                let now = self.clock.monotonic();
                self.metrics.committed(&handed_over, started, now, &result);
            }
            for answer in answers {
                // One that does not wait any more does not need to know.
                let _ = answer.send(result.clone().map(drop));
            }
        }
    }

    /// Returns how many of the events were new.
    async fn commit(&self, events: Vec<Arc<Event>>) -> store::Result<Stored> {
        if events.is_empty() {
            self.store.ping().await?;
            return Ok(Stored { new: 0, known: 0 });
        }
        let now = self.clock.now();
        let hand_on = self.queue.room(Lane::Events) >= events.len();
        let due = if hand_on { Due::Leased(lease_from(now)) } else { Due::At(now) };
        let new = self.store.append(&events, now, due).await?;
        let stored = Stored { new: new.len(), known: events.len() - new.len() };
        let new = only(events, new);
        self.metrics.tally(&new);
        self.tracer.stored(&new, now, &*self.clock);
        self.live.tell(|| new.iter().map(|event| Happening::stored(event, now)));
        if hand_on {
            self.queue.publish_events(new).await;
        }
        Ok(stored)
    }
}

/// When an event that is claimed at `now` may be claimed again.
pub fn lease_from(now: UnixMicros) -> UnixMicros {
    now.after(LEASE)
}

/// What came of a commit.
#[derive(Debug, Clone, Copy)]
struct Stored {
    new: usize,
    /// Events that were stored before: a gateway sends a batch again when it got no answer.
    known: usize,
}

/// The events that are new, each once, with its sequence.
fn only(events: Vec<Arc<Event>>, mut new: HashMap<EventId, u64>) -> Vec<Arc<Event>> {
    let numbered = events.into_iter().filter_map(|event| {
        let sequence = Some(new.remove(&event.id)?);
        Some(Arc::new(Event { sequence, ..Arc::unwrap_or_clone(event) }))
    });
    numbered.collect()
}
