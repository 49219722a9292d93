//! What is in the tables that nothing of ours wrote.
//!
//! Invariant: it is told, never taken for something else, and stands in nobody's way.

use std::sync::Arc;

use sidehook::{
    model::{Cause, DeliveryId, PageRequest},
    store::{DeliveryFilter, Due, Error, EventFilter},
};
use sidehook_event::{EventId, TypeId as _};

use crate::{
    ground::{Ground as _, PostgresGround},
    samples::{
        all_unnumbered, at, dead, elaborate, event, failed, minted, new_delivery, one_pending,
        pending, subscription,
    },
};

#[tokio::test]
async fn an_event_that_cannot_be_read_is_an_error() {
    for damage in [
        "UPDATE events SET frame = '\\x00FF'",
        "UPDATE events SET frame = ''",
        "UPDATE events SET frame = frame || frame",
        "UPDATE events SET frame = substr(frame, 1, length(frame) - 3)",
        "UPDATE events SET source = '\\xFF'",
    ] {
        let ground = damaged(damage).await;
        let store = ground.store();
        corrupt(damage, &store.event(minted(1)).await);
        let page = PageRequest::default();
        corrupt(damage, &store.events(&EventFilter::default(), page).await);
    }
}

#[tokio::test]
async fn a_delivery_that_cannot_be_read_is_an_error() {
    for damage in [
        "UPDATE finished_deliveries SET state = 'lost', cause = NULL, error = NULL",
        "UPDATE finished_deliveries SET attempts = -1",
        "UPDATE finished_deliveries SET attempts = 4294967296",
        "UPDATE finished_deliveries SET last_outcome = 'maybe'",
        "UPDATE finished_deliveries SET cause = ''",
        "UPDATE finished_deliveries SET event_type = 'People'",
        "UPDATE attempts SET outcome = 'maybe'",
        "UPDATE attempts SET status_code = 65536",
        "UPDATE attempts SET duration_us = -1",
        "UPDATE attempts SET number = -1",
        "UPDATE attempts SET error = '\\xFF'",
    ] {
        let ground = damaged(damage).await;
        let store = ground.store();
        corrupt(damage, &store.delivery(minted(1)).await);
        if damage.starts_with("UPDATE finished_deliveries") {
            let filter = DeliveryFilter::default();
            let page = PageRequest::default();
            corrupt(damage, &store.deliveries(&filter, page).await);
        }
    }
}

#[tokio::test]
async fn a_subscription_that_cannot_be_read_is_an_error() {
    for damage in [
        "UPDATE subscriptions SET url = 'ftp://example.com'",
        "UPDATE subscriptions SET pattern = '*.*'",
        "UPDATE subscriptions SET secrets = '\\x00' || 'whsec_'::bytea",
        "UPDATE subscriptions SET secrets = '\\x00' || '['::bytea",
        "UPDATE subscriptions SET secrets = '\\x00' || '{\"secret\":\"whsec_QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD\",\"previous\":[],\"custom_headers\":[[\"Host\",\"x\"]]}'::bytea",
        "UPDATE subscriptions SET secrets = ''",
        "UPDATE subscriptions SET secrets = '\\x02'",
        "UPDATE subscriptions SET secrets = substr(secrets, 1, length(secrets) - 1)",
        "UPDATE subscriptions SET settings = '{'",
        "UPDATE subscriptions SET settings = '[]'",
        "UPDATE subscriptions SET settings = replace(settings, '\"format\":\"', '\"format\":\"odd')",
        "UPDATE subscriptions SET settings = replace(settings, '\"schedule\":[', '\"schedule\":[-1,')",
        "UPDATE subscriptions SET settings = replace(settings, '\"metadata\":{', '\"metadata\":{\"a\":1,')",
        "UPDATE subscriptions SET settings = replace(settings, '\"timeout\":', '\"timeout\":-')",
        "UPDATE subscriptions SET settings = replace(settings, '\"enabled\":', '\"unknown\":1,\"enabled\":')",
    ] {
        let ground = damaged(damage).await;
        let store = ground.store();
        corrupt(damage, &store.subscription(minted(1)).await);
        corrupt(damage, &store.all_subscriptions().await);
    }
}

#[tokio::test]
async fn a_seal_that_was_moved_to_another_row_does_not_open() {
    let ground = PostgresGround::fresh().await;
    let store = ground.store();
    for number in [1, 2] {
        store.upsert_subscription(subscription(number), true).await.unwrap();
    }
    let moved = "UPDATE subscriptions SET secrets =
        (SELECT secrets FROM subscriptions WHERE url LIKE '%/2') WHERE url LIKE '%/1'";
    ground.database.run(moved).await;
    corrupt(moved, &store.subscription(minted(1)).await);
    assert!(store.subscription(minted(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn what_cannot_be_read_stands_in_nobodys_way() {
    let ground = PostgresGround::fresh().await;
    let store = ground.store();
    let events = [1, 2, 3].map(|number| Arc::new(event(number)));
    store.append(&events, at(0), Due::At(at(0))).await.unwrap();
    for number in 4..=7 {
        one_pending(&*store, number).await;
    }
    let of = |number: u64| format!("'{:032x}'", minted::<EventId>(number).bits());
    for damage in [
        format!("UPDATE events SET frame = '\\x00' WHERE id = {}", of(1)),
        format!("UPDATE pending_deliveries SET attempts = -1 WHERE id = {}", of(4)),
        format!("DELETE FROM payloads WHERE event_id = {}", of(7)),
    ] {
        ground.database.run(damage).await;
    }
    let claimed = store.claim_events(at(1), at(100), 2).await.unwrap();
    assert_eq!(all_unnumbered(claimed), events[1..2]);
    let claimed = store.claim_events(at(1), at(100), 2).await.unwrap();
    assert_eq!(all_unnumbered(claimed), events[2..]);
    let claimed = store.claim_deliveries(at(1), at(100), 10).await.unwrap();
    let ids: Vec<DeliveryId> = claimed.iter().map(|delivery| delivery.id).collect();
    assert_eq!(ids, [minted(5), minted(6)]);
    assert!(store.claim_deliveries(at(1), at(100), 10).await.unwrap().is_empty());
}

fn corrupt<T: std::fmt::Debug>(damage: &str, read: &Result<T, Error>) {
    assert!(matches!(read, Err(Error::Corrupt(_))), "{damage}: {read:?}");
}

/// A store that holds an event, a dead delivery with its attempt, and a subscription, all of the
/// number 1, after `damage` was done to it.
async fn damaged(damage: &str) -> PostgresGround {
    let ground = PostgresGround::fresh().await;
    let store = ground.store();
    pending(&*store, 1, vec![new_delivery(1, 1, Due::At(at(0)))]).await;
    let dead = failed(minted(1), 1, dead(Cause::Exhausted));
    store.record(&[dead]).await.unwrap();
    store.upsert_subscription(elaborate(1, 1), true).await.unwrap();
    ground.database.run(damage).await;
    ground
}
