//! What tells of deaths, kept among the dead letters of RabbitMQ before anybody is told.
//!
//! Invariant: a letter that may not be there is handed to nobody, and comes again.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{sync::Arc, time::Duration};

use sidehook::{
    clock::{Clock, SystemClock},
    dispatch::Dispatcher,
    ingest::lease_from,
    live::Live,
    model::{
        Cause, Death, Delivery, DeliveryId, Outcome, State, SubscriptionId,
        operational::{self, DELIVERY_DEAD},
    },
    queue::{
        Lane, Queue, Unburied,
        rabbitmq::{RabbitQueue, Standing},
    },
    route::Table,
    store::{Due, Store, seal::Keyring, sqlite::SqliteStore},
    trace::Tracer,
    transform::Scripts,
};
use sidehook_event::{Event, EventId, TypeId, UnixMicros};

use super::{
    broker::{Broker, stands},
    conformance::event,
    rabbitmq::behind_a_wire,
};

fn letter(id: u128) -> Arc<Event> {
    let delivery = Delivery {
        id: DeliveryId::from_bits(id),
        event_id: EventId::from_bits(2),
        subscription_id: SubscriptionId::from_bits(3),
        event_type: "people.created".parse().unwrap(),
        state: State::Dead,
        attempts: 10,
        next_attempt_at: None,
        last_outcome: Some(Outcome::Status),
        death: Some(Death { cause: Cause::Exhausted, error: "answered 500".to_owned() }),
        reason: None,
        script: None,
        created_at: UnixMicros::EPOCH,
        finished_at: Some(UnixMicros::EPOCH),
    };
    Arc::new(operational::of_death(&delivery).unwrap())
}

/// The ids of what is not dispatched, whoever has it in hand.
async fn undispatched(store: &dyn Store) -> Vec<EventId> {
    let events = store.claim_events(UnixMicros::MAX, UnixMicros::MAX, 10).await.unwrap();
    events.into_iter().map(|event| event.id).collect()
}

async fn dispatch(queue: &Arc<RabbitQueue>, events: &[Arc<Event>]) -> Vec<EventId> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sidehook.db");
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&file, Keyring::default()).await.unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let now = clock.now();
    store.append(events, now, Due::Leased(lease_from(now))).await.unwrap();
    queue.publish_events(events.to_vec()).await;
    let (queue, table): (Arc<dyn Queue>, _) = (queue.clone(), Arc::new(Table::default()));
    let scripts = Arc::new(Scripts::none());
    let (tracer, live) = (Tracer::off(), Live::default());
    let dispatcher = Dispatcher {
        store: store.clone(),
        queue,
        clock,
        table,
        scripts,
        tracer,
        live,
        per_subscription: None,
    };
    let never = tokio_util::sync::CancellationToken::new();
    // Longer than a broker is waited for that says nothing.
    let run = tokio::time::timeout(Duration::from_secs(4), dispatcher.run(&never));
    assert!(run.await.is_err(), "it runs until it is stopped");
    undispatched(&*store).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_kept_under_whose_fault_it_was_and_why() {
    let broker = Broker::of_its_own();
    let queue = broker.connected(100).await;
    let letter = letter(1);
    queue.bury(vec![Arc::clone(&letter)]).await.unwrap();
    let (_connection, channel) = broker.channel().await;
    let (body, key) = broker.message(&channel, "dead-letters.v1").await;
    assert_eq!(key, "receiver.exhausted");
    assert_eq!(body, letter.exchange.response.content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_letters_are_kept_together() {
    let broker = Broker::of_its_own();
    let queue = broker.connected(100).await;
    queue.bury((0..1000).map(letter).collect()).await.unwrap();
    let (_connection, channel) = broker.channel().await;
    for _ in 0..1000 {
        broker.message(&channel, "dead-letters.v1").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_none_is_said_to_be_kept() {
    let (broker, wire) = behind_a_wire().await;
    let queue = broker.connected(100).await;
    wire.cut();
    stands(&queue, |standing| matches!(standing, Standing::Away(_))).await;
    assert_eq!(queue.bury(vec![letter(1)]).await, Err(Unburied));
    wire.mend();
    stands(&queue, |standing| *standing == Standing::Connected).await;
    assert_eq!(queue.bury(vec![letter(1)]).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tells_of_a_death_is_told_when_it_is_kept() {
    let broker = Broker::of_its_own();
    let queue = Arc::new(broker.connected(100).await);
    assert_eq!(dispatch(&queue, &[letter(1), event(7)]).await, []);
    let (_connection, channel) = broker.channel().await;
    broker.message(&channel, "dead-letters.v1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_it_is_kept_nobody_is_told_and_nothing_else_waits_for_it() {
    let (broker, wire) = behind_a_wire().await;
    let queue = Arc::new(broker.connected(100).await);
    wire.cut();
    stands(&queue, |standing| matches!(standing, Standing::Away(_))).await;
    assert!(queue.room(Lane::Events) > 0);
    let letter = letter(1);
    assert_eq!(letter.event_type.as_str(), DELIVERY_DEAD);
    assert_eq!(dispatch(&queue, &[Arc::clone(&letter), event(7)]).await, [letter.id]);
}
