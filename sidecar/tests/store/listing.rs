//! Lists: filtered, newest first, page by page.
//!
//! Invariant: whoever follows the cursors meets each element once.

use std::sync::Arc;

use sidehook::{
    model::{Cause, Delivery, DeliveryId, Page, PageRequest, State, SubscriptionId, Successor},
    store::{DeliveryFilter, Due, EventFilter, Store},
};
use sidehook_event::{Event, EventId, TypeId, UnixMicros};

use crate::{
    ground::Ground,
    samples::{at, dead, delivered, event, failed, minted, new_delivery, pending, unnumbered},
};

const DUE: Due = Due::At(UnixMicros::EPOCH);

pub(crate) async fn events_are_listed_newest_first_page_by_page(ground: &mut dyn Ground) {
    let store = ground.store();
    let filter = EventFilter::default();
    assert!(all_events(&*store, &filter, 3).await.is_empty());
    append(&*store, (0..10).map(event).rev()).await;
    for limit in [1, 3, 5, 10, 200] {
        let listed = all_events(&*store, &filter, limit).await;
        assert_eq!(listed, (0..10).rev().collect::<Vec<_>>(), "limit {limit}");
    }
    let after = Some(minted(4));
    let page = PageRequest { after, limit: 4 };
    let last = store.events(&filter, page).await.unwrap();
    let data: Vec<_> = last.data.into_iter().map(unnumbered).collect();
    assert_eq!(data, [event(3), event(2), event(1), event(0)]);
    assert_eq!(last.next, None);
}

pub(crate) async fn what_is_added_meanwhile_neither_repeats_nor_hides_an_event(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    append(&*store, (0..40).map(|n| event(n * 2))).await;
    let filter = EventFilter::default();
    let mut added = 1_000;
    let listed = walk(3, |page| {
        added += 1;
        let (store, filter, added) = (store.clone(), filter.clone(), added);
        async move {
            append(&*store, [event(added)]).await;
            store.events(&filter, page).await.unwrap()
        }
    })
    .await;
    let listed: Vec<_> = listed.iter().map(|event| event.id).collect();
    // The newest of the first page is the one that was added before it.
    let expected: Vec<EventId> =
        [1_001].into_iter().chain((0..40).rev().map(|n| n * 2)).map(minted).collect();
    assert_eq!(listed, expected);
}

pub(crate) async fn filters_of_events_combine(ground: &mut dyn Ground) {
    let store = ground.store();
    let types = ["people.created", "people.updated", "orders.created"];
    let subjects = [None, Some("7"), Some("7' OR 1=1 --"), Some("ä\0b")];
    let stored: Vec<Event> = (0..60)
        .map(|number| Event {
            event_type: types[usize::try_from(number).unwrap() % 3].parse().unwrap(),
            subject: subjects[usize::try_from(number).unwrap() % 4].map(str::to_owned),
            ..event(number)
        })
        .collect();
    append(&*store, stored.iter().cloned()).await;
    let types = [None, Some("people.created"), Some("orders.created"), Some("people")];
    let subjects = [None, Some("7"), Some("ä\0b"), Some("ä"), Some("")];
    for event_type in types {
        for subject in subjects {
            for since in [None, Some(at(0)), Some(at(30)), Some(at(59)), Some(at(60))] {
                let filter = EventFilter {
                    event_type: event_type.map(str::to_owned),
                    subject: subject.map(str::to_owned),
                    since,
                };
                let expected = stored.iter().rev().filter(|event| {
                    event_type.is_none_or(|wanted| event.event_type.as_str() == wanted)
                        && subject.is_none_or(|wanted| event.subject.as_deref() == Some(wanted))
                        && since.is_none_or(|since| event.time >= since)
                });
                let expected: Vec<_> = expected.map(|event| seconds(event.time)).collect();
                assert_eq!(all_events(&*store, &filter, 2).await, expected, "{filter:?}");
            }
        }
    }
}

/// A gateway mints the id in the same breath, and yet after a while.
pub(crate) async fn an_event_hardly_later_than_its_id_is_listed_by_its_time(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    for (number, micros) in [(1, 1), (2, 999_999), (3, 1_000_000), (4, 1_000_001)] {
        let time = UnixMicros::new(at(number).micros() + micros);
        let late = Event { time, ..event(number) };
        append(&*store, [late.clone()]).await;
        let since = EventFilter { since: Some(time), ..EventFilter::default() };
        let listed = store.events(&since, PageRequest::default()).await.unwrap();
        let data: Vec<_> = listed.data.into_iter().map(unnumbered).collect();
        assert!(data.contains(&late), "{micros} µs late");
    }
}

/// A gateway may mint the id long before the API answers, and clocks may differ.
pub(crate) async fn an_event_that_came_late_is_listed_by_its_time(ground: &mut dyn Ground) {
    let store = ground.store();
    append(&*store, (0..20).map(event)).await;
    let since = EventFilter { since: Some(at(500)), ..EventFilter::default() };
    assert!(all_events(&*store, &since, 3).await.is_empty());
    let late = |number, seconds| Event { time: at(seconds), ..event(number) };
    append(&*store, [late(30, 500), late(31, 499), late(32, 501)]).await;
    assert_eq!(all_events(&*store, &since, 1).await, [501, 500]);
}

pub(crate) async fn filters_of_deliveries_combine(ground: &mut dyn Ground) {
    let store = ground.store();
    // Event e has the deliveries 20 e to 20 e + 19; every fourth goes to the same subscription.
    for number in 0..3 {
        let deliveries = (number * 20..number * 20 + 20).map(|n| new_delivery(n, n % 4, DUE));
        pending(&*store, number, deliveries.collect()).await;
    }
    let verdicts = (0..60).filter_map(|number: u64| match number % 7 {
        0..=2 => Some(delivered(minted(number), 1)),
        3 => Some(failed(minted(number), 1, dead(Cause::Exhausted))),
        4 => Some(failed(minted(number), 1, Successor::Retry(at(9)))),
        _ => None,
    });
    store.record(&verdicts.collect::<Vec<_>>()).await.unwrap();
    let stands = |number: u64| match number % 7 {
        0..=2 => State::Delivered,
        3 => State::Dead,
        _ => State::Pending,
    };
    let states = State::NAMES.map(|(_, state)| Some(state));
    for state in states.into_iter().chain([None]) {
        for subscription in [None, Some(0), Some(3), Some(9)] {
            for event in [None, Some(0), Some(2), Some(9)] {
                let filter = DeliveryFilter {
                    state,
                    subscription_id: subscription.map(minted::<SubscriptionId>),
                    event_id: event.map(minted::<EventId>),
                };
                let expected = (0..60).rev().filter(|number| {
                    state.is_none_or(|state| stands(*number) == state)
                        && subscription.is_none_or(|wanted| number % 4 == wanted)
                        && event.is_none_or(|wanted| number / 20 == wanted)
                });
                let expected: Vec<DeliveryId> = expected.map(minted).collect();
                let listed = all_deliveries(&*store, &filter, 3).await;
                let listed: Vec<_> = listed.iter().map(|delivery| delivery.id).collect();
                assert_eq!(listed, expected, "{filter:?}");
            }
        }
    }
    // What is listed is what is read singly.
    for delivery in all_deliveries(&*store, &DeliveryFilter::default(), 200).await {
        let read = store.delivery(delivery.id).await.unwrap().unwrap();
        assert_eq!(read.0, delivery);
    }
}

pub(crate) async fn what_is_added_meanwhile_neither_repeats_nor_hides_a_delivery(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    let deliveries = (0..20).map(|number| new_delivery(number, 0, DUE));
    pending(&*store, 0, deliveries.collect()).await;
    let mut added = 1_000;
    let listed = walk(3, |page| {
        added += 1;
        let (store, added) = (store.clone(), added);
        async move {
            pending(&*store, added, vec![new_delivery(added, 0, DUE)]).await;
            let filter = DeliveryFilter::default();
            store.deliveries(&filter, page).await.unwrap()
        }
    })
    .await;
    let listed: Vec<_> = listed.iter().map(|delivery| delivery.id).collect();
    let expected = [1_001].into_iter().chain((0..20).rev());
    assert_eq!(listed, expected.map(minted).collect::<Vec<DeliveryId>>());
}

pub(crate) async fn what_is_not_there_is_not_found(ground: &mut dyn Ground) {
    let store = ground.store();
    assert_eq!(store.event(minted(1)).await.unwrap(), None);
    assert_eq!(store.delivery(minted(1)).await.unwrap(), None);
    assert_eq!(store.subscription(minted(1)).await.unwrap(), None);
    assert_eq!(store.all_subscriptions().await.unwrap(), []);
    let filter = DeliveryFilter::default();
    assert_eq!(all_deliveries(&*store, &filter, 5).await, []);
    assert_eq!(store.claim_events(at(0), at(9), 9).await.unwrap(), []);
    assert_eq!(store.claim_deliveries(at(0), at(9), 9).await.unwrap(), []);
    assert_eq!(store.recover(at(0)).await.unwrap(), 0);
}

async fn append(store: &dyn Store, events: impl IntoIterator<Item = Event>) {
    let events: Vec<_> = events.into_iter().map(Arc::new).collect();
    let new = store.append(&events, at(0), DUE).await.unwrap();
    assert_eq!(new.len(), events.len());
}

/// The seconds at which the events of all pages happened.
async fn all_events(store: &dyn Store, filter: &EventFilter, limit: u32) -> Vec<u64> {
    let listed = walk(limit, async |page| store.events(filter, page).await.unwrap()).await;
    listed.iter().map(|event| seconds(event.time)).collect()
}

async fn all_deliveries(store: &dyn Store, filter: &DeliveryFilter, limit: u32) -> Vec<Delivery> {
    walk(limit, async |page| store.deliveries(filter, page).await.unwrap()).await
}

/// Follows the cursors from the first page to the last.
async fn walk<T, Id: TypeId>(
    limit: u32,
    mut read: impl AsyncFnMut(PageRequest<Id>) -> Page<T, Id>,
) -> Vec<T> {
    let mut all = Vec::new();
    let mut request = PageRequest { after: None, limit };
    loop {
        let page = read(request).await;
        assert!(page.data.len() <= usize::try_from(limit).unwrap());
        assert!(page.next.is_none() || !page.data.is_empty());
        all.extend(page.data);
        match page.next {
            Some(next) => request.after = Some(next),
            None => return all,
        }
    }
}

fn seconds(time: UnixMicros) -> u64 {
    u64::try_from(time.seconds() - at(0).seconds()).unwrap()
}
