//! The deliveries of an event are stored together, once.
//!
//! Invariant: an event has all of its deliveries or none.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use futures::future::join_all;
use sidehook::{
    model::{Delivery, PageRequest, Payload, State, SubscriptionId},
    store::{DeliveryFilter, Dispatched, Due, NewDelivery, Store},
};
use sidehook_event::{EventId, UnixMicros};

use crate::{
    ground::Ground,
    samples::{at, event, events, minted, new_delivery, pending},
};

const DUE: Due = Due::At(UnixMicros::EPOCH);

pub(crate) async fn a_delivery_begins_pending_and_unattempted(ground: &mut dyn Ground) {
    let store = ground.store();
    append(&*store, [1]).await;
    let dispatched = to(1, vec![new_delivery(5, 3, Due::At(at(9)))]);
    store.dispatch(&[dispatched], at(2)).await.unwrap();
    let expected = Delivery {
        id: minted(5),
        event_id: minted(1),
        subscription_id: minted::<SubscriptionId>(3),
        event_type: event(1).event_type,
        state: State::Pending,
        attempts: 0,
        next_attempt_at: Some(at(9)),
        last_outcome: None,
        death: None,
        reason: None,
        script: None,
        created_at: at(2),
        finished_at: None,
    };
    let read = store.delivery(minted(5)).await.unwrap();
    assert_eq!(read, Some((expected, vec![])));
}

pub(crate) async fn an_event_that_was_dispatched_before_is_left_out_with_its_deliveries(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    append(&*store, [1, 2]).await;
    let first = to(1, vec![new_delivery(1, 0, DUE)]);
    assert_eq!(dispatch(&*store, &[first]).await, set([1]));
    let again = to(1, vec![new_delivery(2, 0, DUE), new_delivery(3, 1, DUE)]);
    let other = to(2, vec![new_delivery(4, 0, DUE)]);
    assert_eq!(dispatch(&*store, &[again, other]).await, set([2]));
    assert_eq!(stored(&*store).await, numbers([4, 1]));
}

pub(crate) async fn an_event_that_is_not_stored_is_left_out_with_its_deliveries(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    append(&*store, [2]).await;
    let unknown = to(1, vec![new_delivery(1, 0, DUE)]);
    let known = to(2, vec![new_delivery(2, 0, DUE)]);
    assert_eq!(dispatch(&*store, &[unknown, known]).await, set([2]));
    assert_eq!(stored(&*store).await, numbers([2]));
    // It is new when it comes, not dispatched already.
    append(&*store, [1]).await;
    let late = to(1, vec![new_delivery(3, 0, DUE)]);
    assert_eq!(dispatch(&*store, &[late]).await, set([1]));
}

pub(crate) async fn an_event_that_comes_twice_in_a_call_is_dispatched_once(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    append(&*store, [1]).await;
    let first = to(1, vec![new_delivery(1, 0, DUE)]);
    let second = to(1, vec![new_delivery(2, 0, DUE)]);
    assert_eq!(dispatch(&*store, &[first, second]).await, set([1]));
    assert_eq!(stored(&*store).await, numbers([1]));
}

pub(crate) async fn an_event_that_nobody_asked_for_is_dispatched_all_the_same(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    append(&*store, [1]).await;
    assert_eq!(dispatch(&*store, &[to(1, vec![])]).await, set([1]));
    assert_eq!(dispatch(&*store, &[to(1, vec![])]).await, HashSet::new());
    let claimed = store.claim_events(at(9), at(9), 9).await.unwrap();
    assert_eq!(claimed, []);
    assert_eq!(dispatch(&*store, &[]).await, HashSet::new());
}

pub(crate) async fn every_delivery_keeps_its_own_payload(ground: &mut dyn Ground) {
    let store = ground.store();
    let whole = Bytes::from_static(b"\0binary \xFF\xFE body");
    let payload = |content_type: &str, body: &Bytes| Payload {
        content_type: content_type.into(),
        headers: Arc::default(),
        body: body.clone(),
    };
    let payloads = [
        payload("text/plain", &whole),
        // Shares the memory of the first in different ways, and is something else.
        payload("text/html", &whole),
        payload("text/plain", &whole.slice(..4)),
        payload("text/plain", &whole.slice(1..)),
        payload("text/plain", &Bytes::new()),
        payload("text/plain", &whole.clone()),
        payload("text/plain", &Bytes::from(vec![7; 4 << 20])),
    ];
    let deliveries = (1..).zip(&payloads).map(|(number, payload)| NewDelivery {
        payload: payload.clone(),
        ..new_delivery(number, number, DUE)
    });
    pending(&*store, 1, deliveries.collect()).await;
    let other = payload("text/plain", &Bytes::from_static(b"of another event"));
    let of_another = NewDelivery { payload: other.clone(), ..new_delivery(99, 1, DUE) };
    pending(&*store, 2, vec![of_another]).await;

    let claimed = store.claim_deliveries(at(0), at(9), 99).await.unwrap();
    let claimed: Vec<_> = claimed.into_iter().map(|due| due.payload).collect();
    let expected: Vec<_> = payloads.into_iter().chain([other]).collect();
    assert!(claimed == expected, "other payloads were read");
}

pub(crate) async fn ten_thousand_listeners_get_a_delivery_each(ground: &mut dyn Ground) {
    let store = ground.store();
    let body = Bytes::from_static(b"the same for all");
    let deliveries = (0..10_000).map(|number| {
        let mut delivery = new_delivery(number, number, DUE);
        delivery.payload.body = body.clone();
        delivery
    });
    pending(&*store, 1, deliveries.collect()).await;
    let claimed = store.claim_deliveries(at(0), at(9), 20_000).await.unwrap();
    let ids: Vec<_> = claimed.iter().map(|due| due.id).collect();
    assert_eq!(ids, (0..10_000).map(minted).collect::<Vec<_>>());
    assert!(claimed.iter().all(|due| due.payload.body == body));
}

pub(crate) async fn of_two_who_dispatch_an_event_one_is_left_out(ground: &mut dyn Ground) {
    append(&*ground.store(), 0..50).await;
    let dispatching = (0..8).map(|worker| {
        let store = ground.store();
        let dispatched = (0..50)
            .map(|number| to(number, vec![new_delivery(worker * 50 + number, 0, DUE)]))
            .collect::<Vec<_>>();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            for piece in dispatched.chunks(5) {
                mine.extend(dispatch(&*store, piece).await);
            }
            mine
        })
    });
    let all = join_all(dispatching).await;
    let all: Vec<_> = all.into_iter().flat_map(|mine| mine.unwrap()).collect();
    assert_eq!(all.len(), 50);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 50);
    assert_eq!(stored(&*ground.store()).await.len(), 50);
}

fn to(number: u64, deliveries: Vec<NewDelivery>) -> Dispatched {
    Dispatched { event: Arc::new(event(number)), deliveries }
}

async fn append(store: &dyn Store, numbers: impl IntoIterator<Item = u64>) {
    let due = Due::Leased(at(1_000));
    store.append(&events(numbers), at(0), due).await.unwrap();
}

async fn dispatch(store: &dyn Store, dispatched: &[Dispatched]) -> HashSet<EventId> {
    store.dispatch(dispatched, at(0)).await.unwrap()
}

async fn stored(store: &dyn Store) -> Vec<sidehook::model::DeliveryId> {
    let filter = DeliveryFilter::default();
    let page = PageRequest::new(None, 200).unwrap();
    let page = store.deliveries(&filter, page).await.unwrap();
    page.data.iter().map(|delivery| delivery.id).collect()
}

fn set<const N: usize>(numbers: [u64; N]) -> HashSet<EventId> {
    numbers.map(minted).into()
}

fn numbers<Id: sidehook_event::TypeId, const N: usize>(numbers: [u64; N]) -> Vec<Id> {
    numbers.map(minted).to_vec()
}
