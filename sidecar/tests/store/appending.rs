//! Events are stored, each once.
//!
//! Invariant: what is read back is what came, byte by byte.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use futures::future::join_all;
use sidehook::{
    model::PageRequest,
    store::{Dispatched, Due, EventFilter, Store},
};
use sidehook_event::{Body, Event, Exchange, UnixMicros};

use crate::{
    ground::Ground,
    samples::{all_unnumbered, at, event, events, ids, minted, unnumbered},
};

const DUE: Due = Due::At(UnixMicros::EPOCH);

pub(crate) async fn a_store_says_that_it_can_be_written_to(ground: &mut dyn Ground) {
    ground.store().ping().await.unwrap();
    ground.store().ping().await.unwrap();
}

pub(crate) async fn an_event_is_read_back_as_it_came(ground: &mut dyn Ground) {
    let body = |content: &'static [u8]| Body {
        content: Bytes::from_static(content),
        content_type: Some("text/plain; charset=\"ä\"".to_owned()),
        content_encoding: Some("br".to_owned()),
        size: u64::MAX,
        truncated: true,
        incomplete: true,
    };
    let odd = Event {
        source: "gateway \u{1F980}\0".to_owned(),
        subject: Some("orgs/7/people/\0größe' OR 1=1 --".to_owned()),
        parents: vec![("org\0".to_owned(), "7 \u{1F980}".to_owned())],
        sequence: None,
        exchange: Exchange {
            method: "PATCH".to_owned(),
            path: "/people/%00?x=ä&y='".to_owned(),
            status: 299,
            request: body(b"\0\x01\xFF\xFE not UTF-8 \xC3\x28"),
            response: body(b"{\"name\":\"\xC3\x84\"}\0"),
            headers: vec![
                ("x-actor".to_owned(), "ada".to_owned()),
                ("x-actor".to_owned(), String::new()),
            ],
            idempotency: Some([0xFF; 16]),
            id_within: None,
            traceparent: Some("00-4bf92f35".to_owned()),
            tracestate: Some("a=b".to_owned()),
        },
        ..event(1)
    };
    append(&*ground.store(), &[Arc::new(odd.clone())]).await;
    let read = ground.store().event(odd.id).await.unwrap();
    assert_eq!(read.map(unnumbered), Some(odd));
}

pub(crate) async fn an_event_without_anything_optional_is_read_back(ground: &mut dyn Ground) {
    let bare = Event {
        source: String::new(),
        subject: None,
        parents: Vec::new(),
        sequence: None,
        time: UnixMicros::EPOCH,
        exchange: Exchange { status: 200, ..Exchange::default() },
        ..event(1)
    };
    append(&*ground.store(), &[Arc::new(bare.clone())]).await;
    let read = ground.store().event(bare.id).await.unwrap();
    assert_eq!(read.map(unnumbered), Some(bare));
}

pub(crate) async fn large_bodies_are_read_back(ground: &mut dyn Ground) {
    let large = |number: u64| {
        let mut event = event(number);
        let byte = u8::try_from(number).unwrap();
        event.exchange.request.content = Bytes::from(vec![byte; 4 << 20]);
        event.exchange.response.content = Bytes::from(vec![!byte; 4 << 20]);
        Arc::new(event)
    };
    let large = [large(1), large(2)];
    append(&*ground.store(), &large).await;
    for event in &large {
        let read = ground.store().event(event.id).await.unwrap().map(unnumbered);
        assert!(read.as_ref() == Some(event), "another event was read");
    }
}

pub(crate) async fn an_event_is_stored_once_however_often_it_comes(ground: &mut dyn Ground) {
    let store = ground.store();
    assert_eq!(append(&*store, &events(1..=3)).await.len(), 3);
    assert_eq!(append(&*store, &events(1..=3)).await, HashSet::new());
    let new = append(&*store, &events(2..=5)).await;
    assert_eq!(new, HashSet::from([minted(4), minted(5)]));
    assert_eq!(stored(&*store).await, ids(&events((1..=5).rev())));
    let claimed = store.claim_events(at(0), at(9), 100).await.unwrap();
    assert_eq!(ids(&claimed), ids(&events(1..=5)));
}

pub(crate) async fn of_the_events_of_one_repeated_request_the_first_is_stored(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    let marked = |number: u64, mark: u8| {
        let mut event = event(number);
        event.exchange.idempotency = Some([mark; 16]);
        Arc::new(event)
    };
    let group = [marked(1, 7), marked(2, 7), Arc::new(event(3)), Arc::new(event(4))];
    assert_eq!(append(&*store, &group).await, HashSet::from([minted(1), minted(3), minted(4)]));
    // Whatever its id, and beside others that are new.
    let later = [marked(5, 7), marked(6, 8), marked(7, 8)];
    assert_eq!(append(&*store, &later).await, HashSet::from([minted(6)]));
    // One that is sent again is itself.
    assert_eq!(append(&*store, &group).await, HashSet::new());
    assert_eq!(stored(&*store).await.len(), 4);
    let claimed = store.claim_events(at(0), at(9), 100).await.unwrap();
    assert_eq!(ids(&claimed), [minted(1), minted(3), minted(4), minted(6)]);
}

pub(crate) async fn an_event_that_comes_twice_in_a_group_is_stored_once(ground: &mut dyn Ground) {
    let store = ground.store();
    // Near each other and far from each other, so that no cutting of the group hides it.
    let group = events((0..100).chain([7, 7]).chain(0..100));
    assert_eq!(append(&*store, &group).await.len(), 100);
    assert_eq!(stored(&*store).await.len(), 100);
}

pub(crate) async fn the_first_version_of_an_event_stays(ground: &mut dyn Ground) {
    let store = ground.store();
    append(&*store, &events([1])).await;
    let other = Event { id: minted(1), ..event(2) };
    append(&*store, &[Arc::new(other)]).await;
    let read = store.event(minted(1)).await.unwrap();
    assert_eq!(read.map(unnumbered), Some(event(1)));
}

pub(crate) async fn a_group_of_five_thousand_is_stored(ground: &mut dyn Ground) {
    let store = ground.store();
    let group = events(0..5_000);
    let new = append(&*store, &group).await;
    assert_eq!(new, ids(&group).into_iter().collect());
    let claimed = store.claim_events(at(0), at(9), 5_000).await.unwrap();
    assert_eq!(all_unnumbered(claimed), group);
}

pub(crate) async fn no_events_are_no_events(ground: &mut dyn Ground) {
    assert_eq!(append(&*ground.store(), &[]).await, HashSet::new());
}

pub(crate) async fn events_appended_by_many_at_once_are_new_to_one_of_them(
    ground: &mut dyn Ground,
) {
    let appending = (0..16).map(|n| {
        let store = ground.store();
        // Each in another order, overlapping with its neighbours.
        let group = events((n * 10..n * 10 + 40).rev());
        tokio::spawn(async move { append(&*store, &group).await })
    });
    let new = join_all(appending).await;
    let new: Vec<_> = new.into_iter().flat_map(|new| new.unwrap()).collect();
    let distinct: HashSet<_> = new.iter().copied().collect();
    assert_eq!(new.len(), 190);
    assert_eq!(distinct.len(), 190);
    assert_eq!(stored(&*ground.store()).await.len(), 190);
}

pub(crate) async fn what_was_appended_survives_a_crash(ground: &mut dyn Ground) {
    append(&*ground.store(), &events(1..=100)).await;
    ground.crash().await;
    let store = ground.store();
    assert_eq!(stored(&*store).await.len(), 100);
    assert_eq!(append(&*store, &events(1..=100)).await, HashSet::new());
}

async fn append(store: &dyn Store, events: &[Arc<Event>]) -> HashSet<sidehook_event::EventId> {
    store.append(events, at(0), DUE).await.unwrap().into_keys().collect()
}

async fn stored(store: &dyn Store) -> Vec<sidehook_event::EventId> {
    let page = PageRequest { after: None, limit: 200 };
    let page = store.events(&EventFilter::default(), page).await.unwrap();
    page.data.iter().map(|event| event.id).collect()
}

/// In the order in which they were stored, and of one group in its order, whatever their ids.
pub(crate) async fn a_sequence_grows_as_events_are_stored(ground: &mut dyn Ground) {
    let mut last = 0;
    for group in [vec![5, 3, 4], vec![2], vec![9, 1, 3, 0]] {
        let store = ground.store();
        let group = events(group);
        let new = store.append(&group, at(0), DUE).await.unwrap();
        for event in &group {
            let Some(sequence) = new.get(&event.id) else {
                assert_eq!(event.id, minted(3), "one that was there");
                continue;
            };
            assert!(*sequence > last, "{new:?}");
            last = *sequence;
            let read = store.event(event.id).await.unwrap().unwrap();
            assert_eq!(read.sequence, Some(*sequence));
        }
        // Not given out again, even if all that had them is gone.
        store.dispatch(&undelivered(&group), at(0)).await.unwrap();
        store.expire(at(100_000), None, 100).await.unwrap();
        drop(store);
        ground.crash().await;
    }
    let claimed = ground.store().claim_events(at(0), at(9), 100).await.unwrap();
    assert_eq!(claimed, [], "all are dispatched");
}

pub(crate) async fn what_is_stored_later_has_the_greater_sequence(ground: &mut dyn Ground) {
    let store = ground.store();
    let appends = (0..8_u64).map(async |writer| {
        let mut last = 0;
        for number in 0..20 {
            let group = events([writer * 100 + number]);
            let new = store.append(&group, at(0), DUE).await.unwrap();
            let sequence = new.into_values().next().unwrap();
            assert!(sequence > last, "{sequence} after {last}");
            last = sequence;
        }
    });
    futures::future::join_all(appends).await;
    let claimed = store.claim_events(at(0), at(9), 1_000).await.unwrap();
    let sequences: HashSet<_> = claimed.iter().filter_map(|event| event.sequence).collect();
    assert_eq!(sequences.len(), 160, "each has its own");
}

fn undelivered(events: &[Arc<Event>]) -> Vec<Dispatched> {
    let events = events.iter().map(Arc::clone);
    events.map(|event| Dispatched { event, deliveries: Vec::new() }).collect()
}
