//! What is finished is deleted when its time is up.
//!
//! Invariant: an event goes with all that belongs to it or stays with all of it.

use std::{sync::Arc, time::Duration};

use sidehook::{
    clock::{Clock as _, SystemClock},
    expire::{self, Expirer},
    model::{Cause, Successor},
    store::{Dispatched, Due, Expired, Store},
};
use sidehook_event::{Event, UnixMicros};

use crate::{
    ground::Ground,
    samples::{at, dead, delivered, events, failed, minted, new_delivery, pending},
};

const ALL: usize = 1_000;

pub(crate) async fn what_is_finished_and_old_goes_with_all_that_belongs_to_it(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    delivered_and_dead(&*store, 1).await;
    // One that nobody asked for.
    pending(&*store, 2, vec![]).await;
    assert_eq!(expire(&*store, at(10)).await, Expired { events: 2, next: None });
    for number in [1, 2] {
        assert_eq!(store.event(minted(number)).await.unwrap(), None);
    }
    for number in [10, 11] {
        assert_eq!(store.delivery(minted(number)).await.unwrap(), None);
    }
    assert_eq!(expire(&*store, at(10)).await, Expired { events: 0, next: None });
    // Nothing is left of their attempts either: those of new ones under the old ids are alone.
    delivered_and_dead(&*store, 1).await;
    let (_, log) = store.delivery(minted(11)).await.unwrap().unwrap();
    assert_eq!(log.len(), 1);
}

pub(crate) async fn what_is_to_be_delivered_stays_however_old_it_is(ground: &mut dyn Ground) {
    let store = ground.store();
    store.append(&events([1]), at(0), Due::At(at(0))).await.unwrap();
    let two = [20, 21].map(|number| new_delivery(number, 0, Due::At(at(0)))).to_vec();
    pending(&*store, 2, two).await;
    store.record(&[delivered(minted(20), 1)]).await.unwrap();
    let put_off = failed(minted(21), 1, Successor::Retry(UnixMicros::MAX));
    store.record(&[put_off]).await.unwrap();

    assert_eq!(expire(&*store, UnixMicros::MAX).await, Expired { events: 0, next: None });
    assert!(store.event(minted(1)).await.unwrap().is_some());
    assert_eq!(store.claim_events(at(0), at(9), 9).await.unwrap().len(), 1);
    for number in [20, 21] {
        let (_, log) = store.delivery(minted(number)).await.unwrap().unwrap();
        assert_eq!(log.len(), 1);
    }
    let dead = failed(minted(21), 2, dead(Cause::Exhausted));
    store.record(&[dead]).await.unwrap();
    assert_eq!(expire(&*store, UnixMicros::MAX).await.events, 1);
    assert_eq!(store.event(minted(2)).await.unwrap(), None);
    assert!(store.event(minted(1)).await.unwrap().is_some());
}

pub(crate) async fn what_happened_or_was_stored_later_stays(ground: &mut dyn Ground) {
    let store = ground.store();
    // They happened at 1 and 20 and were stored at 5 and 6.
    for (number, stored) in [(1, 5), (20, 6)] {
        let group = events([number]);
        store.append(&group, at(stored), Due::At(at(0))).await.unwrap();
        let event = group[0].clone();
        let dispatched = Dispatched { event, deliveries: vec![] };
        store.dispatch(&[dispatched], at(stored)).await.unwrap();
    }
    for (before, expected) in [(1, 0), (5, 0), (6, 1), (20, 0), (21, 1)] {
        assert_eq!(expire(&*store, at(before)).await.events, expected, "before {before}");
    }
}

pub(crate) async fn little_is_looked_at_at_a_time(ground: &mut dyn Ground) {
    let store = ground.store();
    for number in 1..=7 {
        let due = new_delivery(number, 0, Due::At(at(0)));
        pending(&*store, number, if number == 3 { vec![due] } else { vec![] }).await;
    }
    let mut steps = Vec::new();
    let mut from = None;
    loop {
        let expired = store.expire(at(6), from, 2).await.unwrap();
        steps.push((expired.events, expired.next));
        from = expired.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(steps, [(2, Some(minted(2))), (1, Some(minted(4))), (1, None)]);
    for number in 1..=7 {
        let there = store.event(minted(number)).await.unwrap().is_some();
        assert_eq!(there, [3, 6, 7].contains(&number), "event {number}");
    }
}

pub(crate) async fn an_event_that_is_gone_can_come_again(ground: &mut dyn Ground) {
    let store = ground.store();
    pending(&*store, 1, vec![]).await;
    expire(&*store, at(10)).await;
    pending(&*store, 1, vec![]).await;
    assert!(store.event(minted(1)).await.unwrap().is_some());
}

pub(crate) async fn a_pass_deletes_everything_that_is_old_and_nothing_else(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    let group = events(1..=700);
    store.append(&group, at(0), Due::At(at(0))).await.unwrap();
    let dispatched = |event: &Arc<Event>| Dispatched { event: event.clone(), deliveries: vec![] };
    let dispatched: Vec<_> = group[..600].iter().map(dispatched).collect();
    store.dispatch(&dispatched, at(0)).await.unwrap();
    let clock = Arc::new(SystemClock::start());
    let age = clock.now().since(at(500));
    let expirer = Expirer {
        store: store.clone(),
        clock,
        retention: age,
        metrics: expire::Metrics::default(),
    };
    // Those that are a little older, by the time that it takes to look.
    let deleted = expirer.pass().await;
    assert!((499..=550).contains(&deleted), "{deleted} were deleted");
    for number in 1..=700 {
        let there = store.event(minted(number)).await.unwrap().is_some();
        let expected = usize::try_from(number).unwrap() > deleted;
        assert_eq!(there, expected, "event {number} of {deleted}");
    }
    let expirer = Expirer { retention: Duration::from_mins(1), ..expirer };
    assert_eq!(expirer.pass().await, 600 - deleted);
    assert_eq!(store.claim_events(at(0), at(1), 999).await.unwrap().len(), 100);
}

async fn expire(store: &dyn Store, before: UnixMicros) -> Expired {
    store.expire(before, None, ALL).await.unwrap()
}

/// Event `number` with two deliveries, ten times its number and the next.
async fn delivered_and_dead(store: &dyn Store, number: u64) {
    let (first, second) = (number * 10, number * 10 + 1);
    let due = |number| new_delivery(number, 0, Due::At(at(0)));
    pending(store, number, vec![due(first), due(second)]).await;
    let verdicts = [delivered(minted(first), 1), failed(minted(second), 1, dead(Cause::Exhausted))];
    store.record(&verdicts).await.unwrap();
}
