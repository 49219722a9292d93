//! Takes the batches of the gateways: many at once become one commit, with the deliveries of
//! their events if these are quickly made, and each is answered when its events are stored.
//!
//! Invariant: a batch that was handed over is stored even if the one who handed it over is gone;
//! `Ok` is said only after the commit.

pub mod cloudevents;
pub mod inbound;
mod metrics;
mod tally;

use std::{error::Error, sync::Arc, time::Duration};

use sidehook_event::{Event, UnixMicros};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

pub use metrics::Metrics;

use crate::{
    clock::Clock,
    dispatch::Dispatcher,
    live::{Happening, Live},
    model::{DeliveryId, Verdict},
    queue::{Lane, Queue},
    store::{self, Dispatched, Due, Router, Store, numbered},
    trace::Tracer,
};

/// The most batches that wait for a commit. A gateway has one or two under way per worker.
const WAITING: usize = 256;
/// The most batches that go into one commit.
const BATCHES_PER_COMMIT: usize = 64;
/// The most deliveries that are remembered of commits that failed; others wait out their lease.
const UNSURE: usize = 4096;
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
    /// Who can dispatch events while they are stored, if anybody here can.
    dispatcher: Option<Arc<Dispatcher>>,
    /// Whether the last commit failed. The next one stores events alone: their deliveries are no reason
    /// to refuse them.
    failed: bool,
    /// Deliveries of commits that failed. Some may have been stored nevertheless.
    unsure: Vec<DeliveryId>,
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
    let committer = Committer {
        waiting,
        store,
        queue,
        clock,
        metrics,
        tracer: Tracer::off(),
        live: Live::default(),
        dispatcher: None,
        failed: false,
        unsure: Vec::new(),
    };
    (ingest, committer)
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

    /// The same, dispatching with this one what can be dispatched at once.
    #[must_use]
    pub fn dispatching(self, dispatcher: Option<Arc<Dispatcher>>) -> Self {
        Self { dispatcher, ..self }
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
            let committed = self.commit(events).await;
            self.failed = committed.is_err();
            let (result, next) = match committed {
                Ok((stored, next)) => (Ok(stored), next),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn Error,
                        "failed to store events, the gateway keeps them"
                    );
                    (Err(Refused::StoreUnavailable), Next::Nothing)
                }
            };
            if !handed_over.is_empty() {
                let now = self.clock.monotonic();
                self.metrics.committed(&handed_over, started, now, &result);
            }
            for answer in answers {
                // One that does not wait any more does not need to know.
                let _ = answer.send(result.clone().map(drop));
            }
            // Somebody waits for the answers; what is handed on keeps the processors busy.
            self.hand_on(next).await;
            if !self.failed && !self.unsure.is_empty() {
                self.put_back().await;
            }
        }
    }

    /// Lets the sweep find what was stored by a commit that failed, as when the connection broke before
    /// the store could answer. It would wait out its lease otherwise.
    async fn put_back(&mut self) {
        let now = self.clock.now();
        let verdicts: Vec<_> =
            self.unsure.iter().map(|id| Verdict::put_back(*id, 1, now)).collect();
        if self.store.record(&verdicts).await.is_ok() {
            self.unsure.clear();
        }
    }

    /// Stores events, and says what comes next.
    async fn commit(&mut self, events: Vec<Arc<Event>>) -> store::Result<(Stored, Next)> {
        if events.is_empty() {
            self.store.ping().await?;
            return Ok((Stored { new: 0, known: 0 }, Next::Nothing));
        }
        let (now, given) = (self.clock.now(), events.len());
        let dispatcher = self.dispatcher.as_deref().filter(|_| !self.failed);
        if let Some(brief) = dispatcher.and_then(|dispatcher| dispatcher.brief(&events)) {
            let mut ids = Vec::new();
            let router: Router<'_> = Box::new(|events| {
                let made = brief.of(events, now);
                ids.extend(made.iter().flat_map(|made| &made.deliveries).map(|made| made.id));
                made
            });
            let made = match self.store.append_dispatched(events, now, router).await {
                Ok(made) => made,
                Err(error) => {
                    let room = UNSURE.saturating_sub(self.unsure.len());
                    self.unsure.extend(ids.into_iter().take(room));
                    return Err(error);
                }
            };
            let new: Vec<_> = made.iter().map(|one| Arc::clone(&one.event)).collect();
            return Ok((self.stored(given, &new, now), Next::Deliver(made, now)));
        }
        let hand_on = self.queue.room(Lane::Events) >= events.len();
        let due = if hand_on { Due::Leased(lease_from(now)) } else { Due::At(now) };
        let new = self.store.append(&events, now, due).await?;
        let new = numbered(events, new);
        let stored = self.stored(given, &new, now);
        Ok((stored, if hand_on { Next::Dispatch(new) } else { Next::Nothing }))
    }

    async fn hand_on(&self, next: Next) {
        match (next, &self.dispatcher) {
            (Next::Dispatch(events), _) => {
                self.queue.announce(&events);
                self.queue.publish_events(events).await;
            }
            (Next::Deliver(made, at), Some(dispatcher)) => dispatcher.stored(made, at).await,
            (Next::Deliver(..), None) | (Next::Nothing, _) => {}
        }
    }

    /// Tells of events that are stored now, of so many that were given.
    fn stored(&self, given: usize, new: &[Arc<Event>], now: UnixMicros) -> Stored {
        self.metrics.tally(new);
        self.tracer.stored(new, now, &*self.clock);
        self.live.tell(|| new.iter().map(|event| Happening::stored(event, now)));
        Stored { new: new.len(), known: given - new.len() }
    }
}

/// When an event that is claimed at `now` may be claimed again.
pub fn lease_from(now: UnixMicros) -> UnixMicros {
    now.after(LEASE)
}

/// What is to be done about events that are stored.
#[derive(Debug)]
enum Next {
    /// Nothing here and now.
    Nothing,
    /// They are to be dispatched.
    Dispatch(Vec<Arc<Event>>),
    /// They were dispatched, at this time.
    Deliver(Vec<Dispatched>, UnixMicros),
}

/// What came of a commit.
#[derive(Debug, Clone, Copy)]
struct Stored {
    new: usize,
    /// Events that were stored before: a gateway sends a batch again when it got no answer.
    known: usize,
}
