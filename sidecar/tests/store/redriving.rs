//! Dead letters: brought back, or forgotten.
//!
//! Invariant: what is brought back can be attempted as if for the first time, under its old name.

use sidehook::{
    model::{Cause, DeliveryId, Outcome, State, Successor},
    store::{Due, Store},
};

use crate::{
    ground::Ground,
    samples::{at, dead, delivered, failed, minted, new_delivery, payload, pending, subscription},
};

pub(crate) async fn a_dead_letter_is_brought_back_for_a_new_series(ground: &mut dyn Ground) {
    let store = ground.store();
    dies(&*store, 1, Cause::Exhausted).await;
    assert_eq!(store.redrive(&[minted(1)], at(500)).await.unwrap(), 1);
    let (delivery, log) = store.delivery(minted(1)).await.unwrap().unwrap();
    assert_eq!((delivery.state, delivery.attempts, log.len()), (State::Pending, 2, 2));
    assert_eq!(delivery.next_attempt_at, Some(at(500)));
    assert_eq!((delivery.death, delivery.finished_at), (None, None));
    assert_eq!(delivery.last_outcome, Some(Outcome::Status));
    let claimed = store.claim_deliveries(at(500), at(600), 9).await.unwrap();
    let [due] = &claimed[..] else { panic!("one is due: {claimed:?}") };
    assert_eq!((due.id, due.event_id, due.attempt), (minted(1), minted(1), 3));
    assert_eq!((due.series.began_at, due.series.earlier), (at(500), 2));
    assert_eq!(due.payload, payload(1));
    store.record(&[delivered(minted(1), 3)]).await.unwrap();
    let (delivery, log) = store.delivery(minted(1)).await.unwrap().unwrap();
    assert_eq!((delivery.state, log.len()), (State::Delivered, 3));
}

pub(crate) async fn only_what_is_dead_and_has_a_subscription_is_brought_back(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    dies(&*store, 1, Cause::Exhausted).await;
    dies(&*store, 2, Cause::Egress).await;
    pending(&*store, 3, vec![new_delivery(3, 2, Due::At(at(0)))]).await;
    pending(&*store, 4, vec![new_delivery(4, 2, Due::At(at(0)))]).await;
    store.record(&[delivered(minted(4), 1)]).await.unwrap();
    store.delete_subscription(minted(1), at(200)).await.unwrap();
    let all: Vec<DeliveryId> = [1, 2, 3, 4, 5].map(minted).into();
    assert_eq!(store.redrive(&all, at(500)).await.unwrap(), 1);
    let states = [1, 2, 3, 4]
        .map(async |number| store.delivery(minted(number)).await.unwrap().unwrap().0.state);
    let mut found = Vec::new();
    for state in states {
        found.push(state.await);
    }
    assert_eq!(found, [State::Dead, State::Pending, State::Pending, State::Delivered]);
    assert_eq!(store.redrive(&all, at(500)).await.unwrap(), 0);
}

pub(crate) async fn a_late_failure_does_not_disturb_what_was_brought_back(ground: &mut dyn Ground) {
    let store = ground.store();
    dies(&*store, 1, Cause::Exhausted).await;
    store.redrive(&[minted(1)], at(500)).await.unwrap();
    store.record(&[failed(minted(1), 2, dead(Cause::Exhausted))]).await.unwrap();
    let (delivery, _) = store.delivery(minted(1)).await.unwrap().unwrap();
    assert_eq!((delivery.state, delivery.next_attempt_at), (State::Pending, Some(at(500))));
}

pub(crate) async fn a_dead_letter_is_forgotten_with_its_attempts(ground: &mut dyn Ground) {
    let store = ground.store();
    dies(&*store, 1, Cause::Exhausted).await;
    pending(&*store, 3, vec![new_delivery(3, 1, Due::At(at(0)))]).await;
    assert_eq!(store.discard(&[minted(1), minted(3), minted(9)]).await.unwrap(), 1);
    assert_eq!(store.delivery(minted(1)).await.unwrap(), None);
    assert!(store.delivery(minted(3)).await.unwrap().is_some());
    assert_eq!(store.discard(&[minted(1)]).await.unwrap(), 0);
}

pub(crate) async fn what_was_brought_back_does_not_expire(ground: &mut dyn Ground) {
    let store = ground.store();
    dies(&*store, 1, Cause::Exhausted).await;
    store.redrive(&[minted(1)], at(500)).await.unwrap();
    assert_eq!(store.expire(at(10_000), None, 9).await.unwrap().events, 0);
    assert!(store.delivery(minted(1)).await.unwrap().is_some());
}

/// Subscription, event and delivery of this number; the delivery dies at its second attempt.
async fn dies(store: &dyn Store, number: u64, cause: Cause) {
    store.upsert_subscription(subscription(number), true).await.unwrap();
    pending(store, number, vec![new_delivery(number, number, Due::At(at(0)))]).await;
    let verdicts = [
        failed(minted(number), 1, Successor::Retry(at(1))),
        failed(minted(number), 2, dead(cause)),
    ];
    store.record(&verdicts).await.unwrap();
}
