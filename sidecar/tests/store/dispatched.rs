//! Events are stored together with their deliveries, each once.
//!
//! Invariant: what is new has all of its deliveries and never waits to be dispatched; what is not has
//! those that it had.

use std::{collections::HashSet, sync::Arc};

use futures::future::join_all;
use sidehook::{
    model::{DeliveryId, PageRequest},
    store::{DeliveryFilter, Dispatched, Due, Store},
};
use sidehook_event::{Event, EventId};

use crate::{
    ground::Ground,
    samples::{at, event, events, minted, new_delivery, one_pending, payload},
};

pub(crate) async fn an_event_has_its_deliveries_and_does_not_wait(ground: &mut dyn Ground) {
    let store = ground.store();
    let dispatched = append(&*store, &events(1..=3), 10).await;
    assert_eq!(ids(&dispatched), minted_all([1, 2, 3]));
    assert_eq!(store.claim_events(at(9), at(10), 9).await.unwrap(), []);
    let claimed = store.claim_deliveries(at(9), at(10), 9).await.unwrap();
    let claimed: Vec<_> = claimed.into_iter().map(|due| (due.event_id, due.payload)).collect();
    let expected = [1, 2, 3].map(|number| (minted(number), payload(10 + number)));
    assert_eq!(claimed, expected);
}

pub(crate) async fn one_that_nobody_asked_for_does_not_wait_either(ground: &mut dyn Ground) {
    let store = ground.store();
    let nobody = |events: Vec<Arc<Event>>| {
        let alone = |event| Dispatched { event, deliveries: Vec::new() };
        events.into_iter().map(alone).collect()
    };
    let stored = store.append_dispatched(events([1]), at(0), Box::new(nobody)).await.unwrap();
    assert_eq!(ids(&stored), minted_all([1]));
    assert!(store.event(minted(1)).await.unwrap().is_some());
    assert_eq!(store.claim_events(at(9), at(10), 9).await.unwrap(), []);
    assert_eq!(ids(&append(&*store, &[], 10).await), []);
}

pub(crate) async fn what_was_there_before_keeps_its_deliveries(ground: &mut dyn Ground) {
    let store = ground.store();
    one_pending(&*store, 1).await;
    store.append(&events([2]), at(0), Due::At(at(5))).await.unwrap();
    let dispatched = append(&*store, &events([1, 2, 3, 3]), 10).await;
    assert_eq!(ids(&dispatched), minted_all([3]));
    assert_eq!(deliveries(&*store).await, [1, 13].map(minted::<DeliveryId>).into());
    let waiting = store.claim_events(at(9), at(10), 9).await.unwrap();
    assert_eq!(waiting.iter().map(|event| event.id).collect::<Vec<_>>(), minted_all([2]));
    // It comes once more, as from a gateway that heard no answer.
    assert_eq!(ids(&append(&*store, &events([3]), 20).await), []);
    assert_eq!(deliveries(&*store).await.len(), 2);
}

pub(crate) async fn of_one_repeated_request_the_first_has_deliveries(ground: &mut dyn Ground) {
    let store = ground.store();
    let marked = |number: u64| {
        let mut event = event(number);
        event.exchange.idempotency = Some([7; 16]);
        Arc::new(event)
    };
    let dispatched = append(&*store, &[marked(1), marked(2), Arc::new(event(3))], 10).await;
    assert_eq!(ids(&dispatched), minted_all([1, 3]));
    assert_eq!(deliveries(&*store).await, [11, 13].map(minted::<DeliveryId>).into());
}

pub(crate) async fn the_router_is_shown_the_sequence_that_is_stored(ground: &mut dyn Ground) {
    let store = ground.store();
    let earlier = store.append(&events([9]), at(0), Due::At(at(5))).await.unwrap();
    let dispatched = append(&*store, &events([3, 1, 2]), 10).await;
    let mut last = earlier[&minted::<EventId>(9)];
    for dispatched in &dispatched {
        let shown = dispatched.event.sequence.unwrap();
        let read = store.event(dispatched.event.id).await.unwrap().unwrap();
        assert_eq!(read.sequence, Some(shown));
        assert!(shown > last, "{shown} does not follow {last}");
        last = shown;
    }
    let later = store.append(&events([4]), at(0), Due::At(at(5))).await.unwrap();
    assert!(later[&minted::<EventId>(4)] > last);
}

pub(crate) async fn of_many_who_store_an_event_one_dispatches_it(ground: &mut dyn Ground) {
    let storing = (0..8).map(|worker| {
        let store = ground.store();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            for piece in events(0..50).chunks(5) {
                mine.extend(append(&*store, piece, (worker + 1) * 100).await);
            }
            mine
        })
    });
    let all: Vec<_> = join_all(storing).await.into_iter().flat_map(Result::unwrap).collect();
    let told: HashSet<_> = all.iter().map(|dispatched| dispatched.deliveries[0].id).collect();
    assert_eq!((all.len(), told.len()), (50, 50));
    assert_eq!(deliveries(&*ground.store()).await, told);
}

pub(crate) async fn what_was_stored_so_survives_a_crash(ground: &mut dyn Ground) {
    append(&*ground.store(), &events(1..=3), 10).await;
    ground.crash().await;
    let store = ground.store();
    assert_eq!(deliveries(&*store).await, [11, 12, 13].map(minted::<DeliveryId>).into());
    assert_eq!(store.claim_events(at(9), at(10), 9).await.unwrap(), []);
}

/// Stores events with one delivery each, whose number is by `ahead` greater than the event's.
async fn append(store: &dyn Store, events: &[Arc<Event>], ahead: u64) -> Vec<Dispatched> {
    let router = |events: Vec<Arc<Event>>| {
        let one = |event: Arc<Event>| {
            let number: u64 = event.subject.as_ref().unwrap().parse().unwrap();
            let deliveries = vec![new_delivery(ahead + number, 0, Due::At(at(5)))];
            Dispatched { event, deliveries }
        };
        events.into_iter().map(one).collect()
    };
    store.append_dispatched(events.to_vec(), at(0), Box::new(router)).await.unwrap()
}

async fn deliveries(store: &dyn Store) -> HashSet<DeliveryId> {
    let page = PageRequest::new(None, 200).unwrap();
    let page = store.deliveries(&DeliveryFilter::default(), page).await.unwrap();
    page.data.iter().map(|delivery| delivery.id).collect()
}

fn ids(dispatched: &[Dispatched]) -> Vec<EventId> {
    dispatched.iter().map(|dispatched| dispatched.event.id).collect()
}

fn minted_all<const N: usize>(numbers: [u64; N]) -> Vec<EventId> {
    numbers.map(minted).to_vec()
}
