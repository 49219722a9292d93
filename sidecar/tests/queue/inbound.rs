//! Events that others publish to RabbitMQ: stored, or among the dead letters with the reason.
//!
//! Invariant: whether a message has left the broker's queue is asked when nobody consumes it any
//! more, since one that is only held is not counted there.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod stage;

use std::time::Duration;

use lapin::{
    options::QueueDeleteOptions,
    types::{AMQPValue, FieldTable},
};
use serde_json::json;
use tokio::time::timeout;

use self::stage::{ONE, Publisher, Sidecar, event, header, of_type};
use super::{broker::Broker, conformance::LIMIT, rabbitmq::behind_a_wire};

const MANY: &str = "application/cloudevents-batch+json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_stored_in_whichever_mode_they_come() {
    let broker = Broker::of_its_own();
    let sidecar = Sidecar::on(&broker).await;
    let publisher = Publisher::on(&broker).await;
    publisher.tells(1).await;
    publisher.publishes(of_type(MANY), json!([event(2), event(3)]).to_string().as_bytes()).await;
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("cloudEvents:specversion", AMQPValue::LongString("1.0".into())),
        ("cloudEvents:id", AMQPValue::LongString("4".into())),
        ("cloudEvents_source", AMQPValue::LongString("/importer".into())),
        ("cloudEvents:type", AMQPValue::LongString("people.updated".into())),
        ("cloudEvents:time", AMQPValue::Timestamp(1_763_890_200)),
    ] {
        headers.insert(name.into(), value);
    }
    publisher.publishes(of_type("text/plain").with_headers(headers), "Ada".as_bytes()).await;
    let direct = event(5).to_string();
    let queue = format!("{}.inbound.v1", broker.prefix);
    publisher.publishes_to("", &queue, of_type(ONE), direct.as_bytes()).await;

    let events = sidecar.stores(5).await;
    let binary = events.iter().find(|event| event.event_type.as_str() == "people.updated").unwrap();
    assert_eq!(binary.time.to_string(), "2025-11-23T09:30:00.000000Z");
    assert_eq!(&binary.exchange.request.content[..], b"Ada");
    assert_eq!(binary.exchange.request.content_type.as_deref(), Some("text/plain"));
    sidecar.counts("stored", 4).await;
    sidecar.stops().await;
    publisher.finds_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_published_again_is_the_same_event() {
    let broker = Broker::of_its_own();
    let sidecar = Sidecar::on(&broker).await;
    let publisher = Publisher::on(&broker).await;
    for _ in 0..3 {
        publisher.tells(1).await;
    }
    sidecar.counts("stored", 3).await;
    assert_eq!(sidecar.events().await.len(), 1);
    sidecar.stops().await;
    publisher.finds_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_message_is_a_dead_letter_with_its_reason_and_holds_up_nobody() {
    let broker = Broker::of_its_own();
    let sidecar = Sidecar::on(&broker).await;
    let publisher = Publisher::on(&broker).await;
    let mut bad = event(1);
    bad["type"] = json!("People");
    let properties = of_type(ONE).with_message_id("m-1".into()).with_user_id("guest".into());
    publisher
        .publishes(properties.with_expiration("600000".into()), bad.to_string().as_bytes())
        .await;
    publisher.tells(2).await;
    sidecar.stores(1).await;

    let letter = publisher.letter().await;
    assert_eq!(letter.routing_key.as_str(), "pipeline.inbound");
    assert_eq!(letter.data, bad.to_string().into_bytes());
    assert_eq!(letter.properties.content_type().as_ref().unwrap().as_str(), ONE);
    assert_eq!(letter.properties.message_id().as_ref().unwrap().as_str(), "m-1");
    assert_eq!(header(&letter, "sidehook:cause"), "malformed");
    assert_eq!(header(&letter, "sidehook:exchange"), format!("{}.inbound", broker.prefix));
    assert_eq!(header(&letter, "sidehook:routing-key"), "any.key");
    let reason = header(&letter, "sidehook:reason");
    assert!(reason.starts_with("type "), "{reason}");
    assert_eq!((sidecar.counted("malformed"), sidecar.counted("stored")), (1, 1));

    let long = vec![b' '; (4 << 20) + 1];
    publisher.publishes(of_type(ONE), &long).await;
    let reason = header(&publisher.letter().await, "sidehook:reason");
    assert_eq!(reason, "the body must not be longer than 4194304 bytes, and has 4194305");
    publisher.publishes(of_type("application/json"), event(3).to_string().as_bytes()).await;
    let reason = header(&publisher.letter().await, "sidehook:reason");
    assert!(reason.starts_with("content_type must be "), "{reason}");
    publisher.publishes(of_type(ONE).with_content_encoding("gzip".into()), b"\x1f\x8b").await;
    let reason = header(&publisher.letter().await, "sidehook:reason");
    assert!(reason.starts_with("content_encoding must be "), "{reason}");
    sidecar.stops().await;
    publisher.finds_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_messages_wait_and_are_stored_when_it_is_back() {
    let broker = Broker::of_its_own();
    let sidecar = Sidecar::on(&broker).await;
    let publisher = Publisher::on(&broker).await;
    sidecar.is_away(true).await;
    // More than are handed over at a time.
    for number in 0..100 {
        publisher.tells(number).await;
    }
    // Each that was handed over was tried twice or more, on average.
    sidecar.counts("deferred", 128).await;
    assert_eq!(sidecar.events().await, []);
    sidecar.is_away(false).await;
    sidecar.stores(100).await;
    sidecar.counts("stored", 100).await;
    sidecar.stops().await;
    publisher.finds_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_stored_when_one_ends_is_stored_by_another() {
    let broker = Broker::of_its_own();
    let ending = Sidecar::on(&broker).await;
    let publisher = Publisher::on(&broker).await;
    ending.is_away(true).await;
    for number in 0..10 {
        publisher.tells(number).await;
    }
    ending.counts("deferred", 10).await;
    ending.stops().await;
    publisher.sees("inbound.v1", 10).await;
    let other = Sidecar::on(&broker).await;
    other.stores(10).await;
    other.counts("stored", 10).await;
    other.stops().await;
    publisher.finds_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_when_the_connection_breaks_comes_again() {
    let (broker, wire) = behind_a_wire().await;
    let sidecar = Sidecar::on(&broker).await;
    let publisher = Publisher::on(&broker.at(Broker::of_its_own().url)).await;
    sidecar.is_away(true).await;
    for number in 0..100 {
        publisher.tells(number).await;
    }
    sidecar.counts("deferred", 64).await;
    wire.cut();
    publisher.sees("inbound.v1", 100).await;
    sidecar.is_away(false).await;
    wire.mend();
    sidecar.stores(100).await;
    sidecar.stops().await;
    // One that was stored before its connection was seen to be broken comes again: to the next.
    let next = Sidecar::on(&broker.at(Broker::of_its_own().url)).await;
    publisher.sees("inbound.v1", 0).await;
    next.stops().await;
    publisher.finds_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_sidecars_share_what_is_published() {
    let broker = Broker::of_its_own();
    let (one, other) = (Sidecar::on(&broker).await, Sidecar::on(&broker).await);
    let publisher = Publisher::on(&broker).await;
    // Both are there.
    one.is_away(true).await;
    other.is_away(true).await;
    for number in 0..128 {
        publisher.tells(number).await;
    }
    one.counts("deferred", 1).await;
    other.counts("deferred", 1).await;
    one.is_away(false).await;
    other.is_away(false).await;
    let all = async {
        while one.events().await.len() + other.events().await.len() < 128 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, all).await.expect("all are stored in time");
    let (ones, others) = (one.events().await, other.events().await);
    assert!(!ones.is_empty() && !others.is_empty(), "{} and {}", ones.len(), others.len());
    assert_eq!(ones.len() + others.len(), 128);
    one.stops().await;
    other.stops().await;
    publisher.finds_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_that_name_that_somebody_deletes_is_declared_again() {
    let broker = Broker::of_its_own();
    let sidecar = Sidecar::on(&broker).await;
    let publisher = Publisher::on(&broker).await;
    publisher.tells(1).await;
    sidecar.stores(1).await;
    let name = format!("{}.inbound.v1", broker.prefix);
    publisher.channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
    // Into the void, until it is there again.
    let again = async {
        while sidecar.events().await.len() < 2 {
            publisher.tells(2).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, again).await.expect("it is declared again");
    sidecar.stops().await;
}
