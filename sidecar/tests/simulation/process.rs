//! A sidecar of the simulation: the real dispatcher, sweep and deliverer, on a queue that loses,
//! doubles and mixes up what it is given.
//!
//! Invariant: when it dies nothing of it is heard any more, whatever its tasks were doing.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use sidehook::{
    clock::Clock,
    deliver::{Deliverer, Metrics, holds::Holding, making::Maker},
    dispatch::Dispatcher,
    ingest::{self, Ingest},
    live::Live,
    model::DueDelivery,
    queue::{Lane, Lanes, Queue, Receipt, Taken, Unburied, local::LocalQueue},
    route::Table,
    store::Store,
    sweep::Sweeper,
    trace::Tracer,
    transform::Scripts,
};
use sidehook_event::Event;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    chance::{Chance, Virtual},
    kept::Kept,
    receivers::{self, Road},
    store::Seen,
};

/// Attempts at a time; an eighth of them for one receiver.
const CONCURRENCY: usize = 16;
const CAPACITY: usize = 40;

/// What all processes of a run share.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) kept: Arc<Mutex<Kept>>,
    pub(crate) seen: Arc<Mutex<receivers::Seen>>,
    pub(crate) chance: Chance,
    pub(crate) clock: Virtual,
    /// How many messages were doubled.
    pub(crate) doubled: Arc<AtomicU64>,
}

/// A process.
pub(crate) struct Process {
    pub(crate) ingest: Ingest,
    lives: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Process {
    /// One that lives.
    pub(crate) async fn start(ground: &Ground, number: usize) -> Self {
        let Ground { kept, seen, chance, clock, doubled } = ground.clone();
        let lives = Arc::new(AtomicBool::new(true));
        let store = Seen {
            kept: Arc::clone(&kept),
            chance: chance.clone(),
            lives: Arc::clone(&lives),
            clock: clock.clone(),
        };
        let store: Arc<dyn Store> = Arc::new(store);
        let inner = LocalQueue::new(Lanes::ALL, CAPACITY);
        let queue: Arc<dyn Queue> = Arc::new(Lossy { inner, chance: chance.clone(), doubled });
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let table = Arc::new(Table::default());
        while table.reload_all(&*store).await.is_err() {
            tokio::time::sleep(chance.millis(1_000)).await;
        }
        let mut registry = Registry::default();
        let metrics = ingest::Metrics::register(&mut registry);
        let (ingest, committer) =
            ingest::ingest(store.clone(), queue.clone(), time.clone(), metrics);
        let holding = Holding {
            holds: Arc::default(),
            table: table.clone(),
            metrics: Metrics::register(&mut registry),
        };
        let road = Road {
            seen,
            kept,
            process: number,
            lives: Arc::clone(&lives),
            chance: chance.clone(),
            clock,
            share: CONCURRENCY / 8,
        };
        let deliverer = Deliverer {
            store: store.clone(),
            queue: queue.clone(),
            clock: time.clone(),
            table: table.clone(),
            holds: holding.holds.clone(),
            maker: Arc::new(Maker::new(Arc::new(Scripts::none()), Tracer::off())),
            courier: Arc::new(road),
            metrics: holding.metrics.clone(),
            tracer: Tracer::off(),
            live: Live::default(),
        };
        let dispatcher = Arc::new(Dispatcher {
            store: store.clone(),
            queue: queue.clone(),
            clock: time.clone(),
            table,
            scripts: Arc::new(Scripts::none()),
            tracer: Tracer::off(),
            live: Live::default(),
            per_subscription: None,
        });
        let at_once = chance.happens(50).then(|| Arc::clone(&dispatcher));
        let committer = committer.dispatching(at_once);
        let sweeper = Arc::new(Sweeper { store, queue, clock: time, holding });
        let sweeping = Arc::clone(&sweeper);
        let never = CancellationToken::new();
        let stops = [never.clone(), never.clone(), never.clone()];
        let [dispatching, of_events, of_deliveries] = stops;
        let mut tasks = JoinSet::new();
        tasks.spawn(committer.run());
        tasks.spawn(async move { dispatcher.run(&dispatching).await });
        tasks.spawn(async move { sweeping.run_events(&of_events).await });
        tasks.spawn(async move { sweeper.run_deliveries(&of_deliveries).await });
        tasks.spawn(deliverer.run(CONCURRENCY, never));
        Self { ingest, lives, tasks }
    }

    /// Ends it wherever it is.
    pub(crate) fn kill(mut self) {
        self.lives.store(false, Ordering::Relaxed);
        self.tasks.abort_all();
    }
}

/// A queue as a broker is on its worst days.
#[derive(Debug)]
struct Lossy {
    inner: LocalQueue,
    chance: Chance,
    doubled: Arc<AtomicU64>,
}

impl Lossy {
    fn spoil<T: Clone>(&self, pieces: Vec<T>) -> Vec<T> {
        let mut spoilt = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let place = usize::try_from(self.chance.below(spoilt.len() as u64 + 1)).unwrap();
            match self.chance.below(100) {
                0..5 => {}
                5..8 => {
                    self.doubled.fetch_add(1, Ordering::Relaxed);
                    spoilt.insert(place, piece.clone());
                    spoilt.push(piece);
                }
                8..20 => spoilt.insert(place, piece),
                _ => spoilt.push(piece),
            }
        }
        spoilt
    }
}

#[async_trait]
impl Queue for Lossy {
    fn trouble(&self) -> Option<String> {
        None
    }

    fn room(&self, lane: Lane) -> usize {
        self.inner.room(lane)
    }

    async fn has_room(&self, lane: Lane) {
        self.inner.has_room(lane).await;
    }

    fn announce(&self, events: &[Arc<Event>]) {
        self.inner.announce(events);
    }

    async fn publish_events(&self, events: Vec<Arc<Event>>) {
        self.inner.publish_events(self.spoil(events)).await;
    }

    async fn publish_deliveries(&self, deliveries: Vec<DueDelivery>) {
        self.inner.publish_deliveries(self.spoil(deliveries)).await;
    }

    async fn bury(&self, letters: Vec<Arc<Event>>) -> Result<(), Unburied> {
        self.inner.bury(letters).await
    }

    async fn take_events(&self, limit: usize) -> Vec<Taken<Arc<Event>>> {
        self.inner.take_events(limit).await
    }

    async fn take_deliveries(&self, limit: usize) -> Vec<Taken<DueDelivery>> {
        self.inner.take_deliveries(limit).await
    }

    async fn settle(&self, lane: Lane, receipts: Vec<Receipt>) {
        self.inner.settle(lane, receipts).await;
    }
}
