//! What is due is handed out and leased.
//!
//! Invariant: during its lease nothing is handed out again.

use std::collections::HashSet;

use futures::future::join_all;
use sidehook::{
    model::{DeliveryId, DueDelivery, Series, SubscriptionId, Successor},
    store::{Due, Store},
};
use sidehook_event::{EventId, UnixMicros};

use crate::{
    ground::Ground,
    samples::{at, delivered, events, failed, ids, minted, new_delivery, payload, pending},
};

pub(crate) async fn events_are_handed_out_when_they_are_due(ground: &mut dyn Ground) {
    let store = ground.store();
    append(&*store, 1..=2, Due::At(at(10))).await;
    append(&*store, 3..=3, Due::At(at(11))).await;
    let just_before = UnixMicros::new(at(10).micros() - 1);
    assert!(claim_events(&*store, just_before, 9).await.is_empty());
    assert_eq!(claim_events(&*store, at(10), 9).await, numbers([1, 2]));
    assert_eq!(claim_events(&*store, at(11), 9).await, numbers([3]));
}

pub(crate) async fn the_oldest_events_are_handed_out_first(ground: &mut dyn Ground) {
    let store = ground.store();
    append(&*store, 4..=6, Due::At(at(0))).await;
    append(&*store, 1..=3, Due::At(at(0))).await;
    assert_eq!(claim_events(&*store, at(0), 4).await, numbers([1, 2, 3, 4]));
    assert_eq!(claim_events(&*store, at(0), 4).await, numbers([5, 6]));
    assert!(claim_events(&*store, at(0), 4).await.is_empty());
}

pub(crate) async fn an_event_that_is_leased_is_not_handed_out_before_its_lease_ends(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    append(&*store, 1..=1, Due::At(at(0))).await;
    append(&*store, 2..=2, Due::Leased(at(60))).await;
    assert_eq!(claim_events(&*store, at(0), 9).await, numbers([1]));
    assert!(claim_events(&*store, at(59), 9).await.is_empty());
    assert_eq!(claim_events(&*store, at(60), 9).await, numbers([1, 2]));
}

pub(crate) async fn an_event_that_was_dispatched_is_not_handed_out(ground: &mut dyn Ground) {
    let store = ground.store();
    pending(&*store, 1, vec![]).await;
    append(&*store, 2..=2, Due::At(at(0))).await;
    assert_eq!(claim_events(&*store, at(9_999), 9).await, numbers([2]));
}

pub(crate) async fn what_a_dead_process_had_in_hand_is_due_again(ground: &mut dyn Ground) {
    let store = ground.store();
    append(&*store, 1..=1, Due::Leased(at(60))).await;
    append(&*store, 2..=2, Due::At(at(0))).await;
    append(&*store, 3..=3, Due::At(at(50))).await;
    assert_eq!(claim_events(&*store, at(0), 9).await, numbers([2]));
    let deliveries = vec![
        new_delivery(1, 0, Due::Leased(at(60))),
        new_delivery(2, 0, Due::At(at(0))),
        new_delivery(3, 0, Due::At(at(50))),
    ];
    pending(&*store, 4, deliveries).await;
    assert_eq!(claim_deliveries(&*store, at(0), 9).await, numbers([2]));
    drop(store);

    ground.crash().await;
    let store = ground.store();
    assert!(claim_events(&*store, at(5), 9).await.is_empty());
    // At once where it is certain that the process is dead, or else when its leases end.
    let (recovered, again) = if ground.exclusive() { (4, 5) } else { (0, 60) };
    assert_eq!(store.recover(at(5)).await.unwrap(), recovered);
    assert_eq!(store.recover(at(5)).await.unwrap(), 0);
    if !ground.exclusive() {
        // What nobody had in hand comes before.
        assert_eq!(claim_events(&*store, at(50), 9).await, numbers([3]));
        assert_eq!(claim_deliveries(&*store, at(50), 9).await, numbers([3]));
    }
    assert_eq!(claim_events(&*store, at(again), 9).await, numbers([1, 2]));
    let mut claimed = claim_deliveries(&*store, at(again), 9).await;
    claimed.sort_unstable();
    assert_eq!(claimed, numbers([1, 2]));
    if ground.exclusive() {
        // What nobody had in hand waits for its time.
        assert_eq!(claim_events(&*store, at(50), 9).await, numbers([3]));
        assert_eq!(claim_deliveries(&*store, at(50), 9).await, numbers([3]));
    }
}

pub(crate) async fn two_who_claim_events_never_get_the_same_one(ground: &mut dyn Ground) {
    append(&*ground.store(), 0..=399, Due::At(at(0))).await;
    let claiming = (0..8).map(|_| {
        let store = ground.store();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = claim_events(&*store, at(0), 7).await;
                if claimed.is_empty() {
                    return mine;
                }
                mine.extend(claimed);
            }
        })
    });
    each_once(join_all(claiming).await, 400);
}

pub(crate) async fn the_delivery_that_is_due_the_longest_is_handed_out_first(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    let due = |number, seconds| new_delivery(number, 0, Due::At(at(seconds)));
    pending(&*store, 1, vec![due(1, 30), due(2, 10), due(3, 20)]).await;
    let just_before = UnixMicros::new(at(10).micros() - 1);
    assert!(claim_deliveries(&*store, just_before, 9).await.is_empty());
    assert_eq!(claim_deliveries(&*store, at(30), 2).await, numbers([2, 3]));
    assert_eq!(claim_deliveries(&*store, at(30), 2).await, numbers([1]));
}

pub(crate) async fn a_delivery_that_is_leased_is_not_handed_out_before_its_lease_ends(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    let leased = new_delivery(2, 0, Due::Leased(at(60)));
    pending(&*store, 1, vec![new_delivery(1, 0, Due::At(at(0))), leased]).await;
    assert_eq!(claim_deliveries(&*store, at(0), 9).await, numbers([1]));
    assert!(claim_deliveries(&*store, at(59), 9).await.is_empty());
    assert_eq!(claim_deliveries(&*store, at(60), 9).await, numbers([1, 2]));
}

pub(crate) async fn a_delivery_is_handed_out_with_all_that_an_attempt_needs(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    pending(&*store, 7, vec![new_delivery(1, 3, Due::At(at(0)))]).await;
    let claimed = store.claim_deliveries(at(0), at(60), 9).await.unwrap();
    let expected = DueDelivery {
        id: minted(1),
        event_id: minted(7),
        event_type: "people.created".parse().unwrap(),
        subscription_id: minted::<SubscriptionId>(3),
        attempt: 1,
        series: Series { began_at: at(0), earlier: 0 },
        payload: payload(1),
        lease_until: at(60),
    };
    assert_eq!(claimed, [expected]);
}

pub(crate) async fn two_who_claim_deliveries_never_get_the_same_one(ground: &mut dyn Ground) {
    let due = |number| new_delivery(number, 0, Due::At(at(number % 5)));
    pending(&*ground.store(), 1, (0..400).map(due).collect()).await;
    let claiming = (0..8).map(|_| {
        let store = ground.store();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = claim_deliveries(&*store, at(5), 7).await;
                if claimed.is_empty() {
                    return mine;
                }
                mine.extend(claimed);
            }
        })
    });
    each_once(join_all(claiming).await, 400);
}

pub(crate) async fn what_is_in_somebodys_hands_is_told_with_its_lease(ground: &mut dyn Ground) {
    let store = ground.store();
    let deliveries = vec![
        new_delivery(1, 0, Due::Leased(at(60))),
        new_delivery(2, 0, Due::At(at(0))),
        new_delivery(3, 0, Due::Leased(at(60))),
        new_delivery(4, 0, Due::Leased(at(60))),
    ];
    pending(&*store, 1, deliveries).await;
    let later = failed(minted(3), 1, Successor::Retry(at(90)));
    store.record(&[later, delivered(minted(4), 1)]).await.unwrap();
    let asked: Vec<DeliveryId> = numbers([1, 2, 3, 4, 5]);
    let leases = store.leases(&asked).await.unwrap();
    assert_eq!(leases, [(minted(1), at(60))].into());
    assert_eq!(claim_deliveries(&*store, at(0), 9).await, numbers([2]));
    assert_eq!(store.leases(&asked).await.unwrap().len(), 2);
}

fn each_once<Id: Eq + std::hash::Hash>(
    claimed: Vec<Result<Vec<Id>, tokio::task::JoinError>>,
    expected: usize,
) {
    let all: Vec<Id> = claimed.into_iter().flat_map(|mine| mine.unwrap()).collect();
    assert_eq!(all.len(), expected);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), expected);
}

async fn append(store: &dyn Store, numbers: std::ops::RangeInclusive<u64>, due: Due) {
    store.append(&events(numbers), at(0), due).await.unwrap();
}

/// Claims for a minute.
async fn claim_events(store: &dyn Store, now: UnixMicros, limit: usize) -> Vec<EventId> {
    let until = now.after(std::time::Duration::from_mins(1));
    ids(&store.claim_events(now, until, limit).await.unwrap())
}

/// Claims for a minute.
async fn claim_deliveries(store: &dyn Store, now: UnixMicros, limit: usize) -> Vec<DeliveryId> {
    let until = now.after(std::time::Duration::from_mins(1));
    let claimed = store.claim_deliveries(now, until, limit).await.unwrap();
    claimed.iter().map(|delivery| delivery.id).collect()
}

fn numbers<Id: sidehook_event::TypeId, const N: usize>(numbers: [u64; N]) -> Vec<Id> {
    numbers.map(minted).to_vec()
}
