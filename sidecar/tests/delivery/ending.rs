//! What the queue inside the process still holds at its end.
//!
//! Invariant: none of it waits for the end of a lease.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::sync::Arc;

use sidehook::{
    clock::{Clock, SystemClock, mint},
    deliver,
    dispatch::Dispatcher,
    ingest::lease_from,
    live::Live,
    queue::{Queue, local::LocalQueue},
    route::Table,
    store::{Due, Store, seal::Keyring, sqlite::SqliteStore},
    trace::Tracer,
    transform::Scripts,
};

use sidehook_event::Event;
use tempfile::TempDir;

use crate::stage::{event, subscription};

/// A store with one subscription, and a queue.
pub(crate) struct Ground {
    _folder: TempDir,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) table: Arc<Table>,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sidehook.db");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&file, Keyring::default()).await.unwrap());
        let subscription = subscription(mint(&*clock), "http://127.0.0.1:9/", "created");
        store.upsert_subscription(subscription, true).await.unwrap();
        let table = Arc::new(Table::default());
        table.reload_all(&*store).await.unwrap();
        Self { _folder: folder, store, queue: Arc::new(LocalQueue::default()), clock, table }
    }

    /// Stores events, and dispatches what messages there are of them.
    pub(crate) async fn dispatch(&self, events: Vec<Arc<Event>>, messages: Vec<Arc<Event>>) {
        let now = self.clock.now();
        self.store.append(&events, now, Due::Leased(lease_from(now))).await.unwrap();
        self.queue.publish_events(messages).await;
        let dispatcher = Dispatcher {
            store: self.store.clone(),
            queue: self.queue.clone(),
            clock: self.clock.clone(),
            table: self.table.clone(),
            scripts: Arc::new(Scripts::none()),
            tracer: Tracer::off(),
            live: Live::default(),
            per_subscription: None,
        };
        dispatcher.finish().await;
    }
}

#[tokio::test]
async fn what_the_queue_still_holds_at_the_end_is_due_at_once_for_others() {
    let ground = Ground::new().await;
    let events: Vec<_> = (1..=700).map(|id| Arc::new(event(id, "people.created"))).collect();
    ground.dispatch(events.clone(), events).await;
    let Ground { store, queue, clock, .. } = &ground;
    let due = store.claim_deliveries(clock.now(), deliver::lease_from(clock.now()), 1000);
    assert_eq!(due.await.unwrap(), [], "leased to the queue");
    deliver::put_back(&**queue, &**store, &**clock).await;
    let now = clock.now();
    let due = store.claim_deliveries(now, deliver::lease_from(now), 1000).await.unwrap();
    assert_eq!(due.len(), 700);
    assert!(due.iter().all(|due| due.attempt == 1));
}

/// A broker may hand a message over twice.
#[tokio::test]
async fn an_event_whose_message_comes_twice_has_one_delivery_in_the_queue() {
    let ground = Ground::new().await;
    let event = Arc::new(event(1, "people.created"));
    ground.dispatch(vec![event.clone()], vec![event.clone(), event]).await;
    let taken = ground.queue.take_deliveries(10).await;
    assert_eq!(taken.len(), 1);
    let stored = ground.store.delivery(taken[0].work.id).await.unwrap();
    assert!(stored.is_some(), "what is not stored must not be sent");
}
