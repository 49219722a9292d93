//! Events are told to whoever binds a queue to their exchange.
//!
//! Invariant: each is told once it is stored, whichever way it is dispatched.

use std::sync::Arc;

use lapin::{
    options::{QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use prometheus_client::registry::Registry;
use sidehook::{
    clock::{Clock, SystemClock},
    dispatch::Dispatcher,
    ingest::{self, Ingest},
    live::Live,
    queue::Queue,
    route::Table,
    store::{Store, seal::Keyring, sqlite::SqliteStore},
    trace::Tracer,
    transform::Scripts,
};
use sidehook_event::{EventId, TypeId as _};

use super::{broker::Broker, conformance::event};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_get_the_events_that_they_bind_a_queue_to() {
    let broker = Broker { announce: true, ..Broker::of_its_own() };
    let queue: Arc<dyn Queue> = Arc::new(broker.connected(100).await);
    let (_connection, channel) = broker.channel().await;
    let name = format!("{}.theirs", broker.prefix);
    let exchange = format!("{}.events", broker.prefix);
    let options = QueueDeclareOptions::default();
    channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await.unwrap();
    let bound = channel.queue_bind(
        name.as_str().into(),
        exchange.as_str().into(),
        "people.*".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sidehook.db");
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&file, Keyring::default()).await.unwrap());
    for (id, in_the_commit) in [(1, false), (2, true)] {
        let sent = event(id);
        takes_in(&store, &queue, in_the_commit).submit(vec![(*sent).clone()]).await.unwrap();
        let (body, key) = broker.message(&channel, "theirs").await;
        assert_eq!(key, "people.created");
        let told = sidehook_event::wire::decode(body.into()).unwrap();
        assert_eq!(told.iter().map(|event| event.id).collect::<Vec<_>>(), [sent.id]);
        let read = store.event(EventId::from_bits(id)).await.unwrap();
        assert_eq!(read.map(|event| event.sequence), Some(told[0].sequence));
    }
    let waiting = store.backlog(SystemClock::start().now()).await.unwrap().undispatched;
    assert_eq!(waiting, 1, "the other one was dispatched when it was stored");
}

/// Whoever takes events in, and dispatches them in the same commit or not at all.
fn takes_in(store: &Arc<dyn Store>, queue: &Arc<dyn Queue>, in_the_commit: bool) -> Ingest {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let (store, queue) = (Arc::clone(store), Arc::clone(queue));
    let metrics = ingest::Metrics::register(&mut Registry::default());
    let (ingest, committer) =
        ingest::ingest(Arc::clone(&store), Arc::clone(&queue), Arc::clone(&clock), metrics);
    let dispatcher = Dispatcher {
        store,
        queue,
        clock,
        table: Arc::new(Table::default()),
        scripts: Arc::new(Scripts::none()),
        tracer: Tracer::off(),
        live: Live::default(),
        per_subscription: None,
    };
    let dispatcher = in_the_commit.then(|| Arc::new(dispatcher));
    tokio::spawn(committer.dispatching(dispatcher).run());
    ingest
}
