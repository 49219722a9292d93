//! Events delivered again.
//!
//! Invariant: what was delivered or waits already is not touched.

use std::sync::Arc;

use futures::future::join_all;
use sidehook::{
    model::{DeliveryId, SubscriptionId},
    store::{DeliveryFilter, Dispatched, Due, Store},
};
use sidehook_event::EventId;

use crate::{
    ground::Ground,
    samples::{at, delivered, event, minted, new_delivery, one_pending, payload, pending},
};

/// Event `number` with deliveries of these numbers to these subscriptions.
fn replayed(number: u64, deliveries: &[(u64, u64)]) -> Dispatched {
    let deliveries = deliveries.iter();
    let deliveries = deliveries.map(|(id, sub)| new_delivery(*id, *sub, Due::At(at(500))));
    Dispatched { event: Arc::new(event(number)), deliveries: deliveries.collect() }
}

async fn replay(store: &dyn Store, replayed: Vec<Dispatched>, missing_only: bool) -> u64 {
    store.replay(replayed, missing_only, at(500)).await.unwrap()
}

/// The deliveries of event `number`: which, and to whom.
async fn deliveries(store: &dyn Store, number: u64) -> Vec<(DeliveryId, SubscriptionId)> {
    let filter = DeliveryFilter { event_id: Some(minted(number)), ..DeliveryFilter::default() };
    let page = sidehook::model::PageRequest { after: None, limit: 100 };
    let found = store.deliveries(&filter, page).await.unwrap().data;
    found.into_iter().map(|delivery| (delivery.id, delivery.subscription_id)).collect()
}

pub(crate) async fn a_replayed_event_has_another_delivery_with_a_payload_of_its_own(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    let first = one_pending(&*store, 1).await;
    store.record(&[delivered(first, 1)]).await.unwrap();
    let again = vec![replayed(1, &[(11, 0), (12, 7)])];
    assert_eq!(replay(&*store, again, false).await, 2);
    let claimed = store.claim_deliveries(at(500), at(600), 9).await.unwrap();
    let found: Vec<_> =
        claimed.into_iter().map(|due| (due.id, due.event_id, due.attempt, due.payload)).collect();
    let expected = |number| (minted(number), minted::<EventId>(1), 1, payload(number));
    assert_eq!(found, [expected(11), expected(12)]);
    let (delivery, log) = store.delivery(first).await.unwrap().unwrap();
    assert_eq!((delivery.attempts, log.len()), (1, 1));
}

pub(crate) async fn an_event_that_is_not_dispatched_or_not_stored_is_not_replayed(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    store.append(&[Arc::new(event(1))], at(0), Due::At(at(0))).await.unwrap();
    one_pending(&*store, 3).await;
    let all = vec![replayed(1, &[(11, 0)]), replayed(2, &[(12, 0)]), replayed(3, &[(13, 0)])];
    assert_eq!(replay(&*store, all, false).await, 1);
    for (number, expected) in [(1, 0), (2, 0), (3, 2)] {
        assert_eq!(deliveries(&*store, number).await.len(), expected);
    }
    assert_eq!(store.claim_events(at(0), at(1), 9).await.unwrap().len(), 1);
}

pub(crate) async fn if_asked_for_only_what_is_missing_is_replayed(ground: &mut dyn Ground) {
    let store = ground.store();
    pending(&*store, 1, vec![new_delivery(1, 7, Due::At(at(0)))]).await;
    pending(&*store, 2, vec![new_delivery(2, 7, Due::At(at(0)))]).await;
    pending(&*store, 3, vec![new_delivery(3, 8, Due::At(at(0)))]).await;
    store.record(&[delivered(minted(2), 1)]).await.unwrap();
    let all = || {
        let of = |number| replayed(number, &[(10 + number, 7)]);
        vec![of(1), of(2), of(3)]
    };
    assert_eq!(replay(&*store, all(), true).await, 1);
    assert_eq!(deliveries(&*store, 3).await, [(minted(13), minted(7)), (minted(3), minted(8))]);
    assert_eq!(replay(&*store, all(), true).await, 0);
}

pub(crate) async fn an_event_replayed_by_many_at_once_is_replayed_by_each(ground: &mut dyn Ground) {
    let store = ground.store();
    one_pending(&*store, 1).await;
    let replays = (11..19).map(|id| replay(&*store, vec![replayed(1, &[(id, 0)])], false));
    assert_eq!(join_all(replays).await, [1; 8]);
    let claimed = store.claim_deliveries(at(500), at(600), 20).await.unwrap();
    let mut numbers: Vec<_> = claimed.into_iter().map(|due| due.payload.body).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 9);
}

pub(crate) async fn what_is_replayed_does_not_expire(ground: &mut dyn Ground) {
    let store = ground.store();
    let first = one_pending(&*store, 1).await;
    store.record(&[delivered(first, 1)]).await.unwrap();
    replay(&*store, vec![replayed(1, &[(11, 0)])], false).await;
    assert_eq!(store.expire(at(10_000), None, 9).await.unwrap().events, 0);
    store.record(&[delivered(minted(11), 1)]).await.unwrap();
    assert_eq!(store.expire(at(10_000), None, 9).await.unwrap().events, 1);
    assert_eq!(deliveries(&*store, 1).await, []);
}
