//! Deliveries that wait for each other.
//!
//! Invariant: of one subject, to one subscription, nothing is ahead of the earliest alone.

use std::sync::Arc;

use sidehook::{
    model::{Cause, DeliveryId, Successor},
    store::{Dispatched, Due, NewDelivery, Store},
};
use sidehook_event::Event;

use crate::{
    ground::Ground,
    samples::{
        at, dead, delivered, event, failed, minted, new_delivery, subscription, unattempted,
    },
};

const FAR: u64 = 900;

/// Stores event `number` about `subject`, in nobody's hands.
async fn happens(store: &dyn Store, number: u64, subject: &str) -> Arc<Event> {
    let event = Event { subject: Some(subject.to_owned()), ..event(number) };
    let event = Arc::new(event);
    let new = store.append(&[Arc::clone(&event)], at(0), Due::At(at(0))).await.unwrap();
    let sequence = new.get(&event.id).copied();
    Arc::new(Event { sequence, ..Arc::unwrap_or_clone(event) })
}

/// Dispatches it with a delivery of its own number to this subscription, which is then put off.
async fn dispatched(store: &dyn Store, event: &Arc<Event>, number: u64, to: u64) {
    let delivery = NewDelivery { is_ordered: true, ..new_delivery(number, to, Due::At(at(0))) };
    let dispatched = Dispatched { event: Arc::clone(event), deliveries: vec![delivery] };
    assert_eq!(store.dispatch(&[dispatched], at(0)).await.unwrap().len(), 1);
    let put_off = unattempted(minted(number), 1, Successor::Retry(at(FAR)));
    store.record(&[put_off]).await.unwrap();
}

/// Events of these numbers about one subject, each with an ordered delivery to subscription 0.
async fn line(store: &dyn Store, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let event = happens(store, number, "people/42").await;
        dispatched(store, &event, number, 0).await;
    }
}

async fn ahead<const N: usize>(store: &dyn Store, numbers: [u64; N]) -> [u32; N] {
    let mut found = [0; N];
    for (count, number) in found.iter_mut().zip(numbers) {
        *count = store.ahead(minted(number)).await.unwrap();
    }
    found
}

async fn due(store: &dyn Store) -> Vec<DeliveryId> {
    let waiting = store.waiting(minted(0), None, 100).await.unwrap();
    let due = waiting.into_iter().filter(|waiting| waiting.due_at < at(FAR));
    due.map(|waiting| waiting.id).collect()
}

pub(crate) async fn an_ordered_delivery_waits_for_the_earlier_ones_about_its_subject(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    // In the order in which they were stored, not in that of their ids.
    line(&*store, [3, 1, 2]).await;
    assert_eq!(ahead(&*store, [3, 1, 2]).await, [0, 1, 2]);
    line(&*store, 10..140).await;
    assert_eq!(ahead(&*store, [139]).await, [100], "it counts to a hundred");
    drop(store);
    ground.crash().await;
    assert_eq!(ahead(&*ground.store(), [3, 1, 2]).await, [0, 1, 2]);
}

pub(crate) async fn when_one_is_finished_the_next_is_due(ground: &mut dyn Ground) {
    let store = ground.store();
    line(&*store, 1..=4).await;
    store.record(&[delivered(minted(1), 1)]).await.unwrap();
    assert_eq!(ahead(&*store, [2, 3]).await, [0, 1]);
    assert_eq!(due(&*store).await, [minted(2)]);
    store.record(&[failed(minted(2), 1, dead(Cause::Exhausted))]).await.unwrap();
    assert_eq!(due(&*store).await, [minted(3)]);
    // What is put off and what is finished in one call.
    let (off, done) =
        (unattempted(minted(4), 1, Successor::Retry(at(FAR))), delivered(minted(3), 1));
    store.record(&[off, done]).await.unwrap();
    assert_eq!((due(&*store).await, ahead(&*store, [4]).await), (vec![minted(4)], [0]));
}

pub(crate) async fn the_next_one_is_due_no_earlier_than_it_was_at_first(ground: &mut dyn Ground) {
    let store = ground.store();
    line(&*store, [1]).await;
    let second = happens(&*store, 2, "people/42").await;
    let later = NewDelivery { is_ordered: true, ..new_delivery(2, 0, Due::At(at(300))) };
    let dispatched = Dispatched { event: second, deliveries: vec![later] };
    store.dispatch(&[dispatched], at(0)).await.unwrap();
    store.record(&[unattempted(minted(2), 1, Successor::Retry(at(FAR)))]).await.unwrap();
    store.record(&[delivered(minted(1), 1)]).await.unwrap();
    let waiting = store.waiting(minted(0), None, 9).await.unwrap();
    assert_eq!(waiting.first().map(|waiting| waiting.due_at), Some(at(300)));
}

pub(crate) async fn what_is_tried_again_keeps_its_place_and_its_time(ground: &mut dyn Ground) {
    let store = ground.store();
    line(&*store, 1..=3).await;
    let retry = Successor::Retry(at(FAR + 50));
    store.record(&[failed(minted(1), 1, retry.clone())]).await.unwrap();
    assert_eq!((ahead(&*store, [1, 2]).await, due(&*store).await), ([0, 1], vec![]));
    // One that was attempted while another came before it late.
    store.record(&[failed(minted(2), 1, retry), delivered(minted(1), 2)]).await.unwrap();
    assert_eq!(due(&*store).await, [], "it waits for its own time");
}

pub(crate) async fn an_event_that_is_not_dispatched_yet_is_ahead_too(ground: &mut dyn Ground) {
    let store = ground.store();
    let first = happens(&*store, 1, "people/42").await;
    happens(&*store, 2, "people/43").await;
    let third = happens(&*store, 3, "people/42").await;
    dispatched(&*store, &third, 3, 0).await;
    assert_eq!(ahead(&*store, [3]).await, [1]);
    dispatched(&*store, &first, 1, 0).await;
    assert_eq!(ahead(&*store, [1, 3]).await, [0, 1]);
}

pub(crate) async fn what_is_not_ordered_or_about_something_else_does_not_wait(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    line(&*store, [1]).await;
    let other = happens(&*store, 2, "people/43").await;
    dispatched(&*store, &other, 2, 0).await;
    let elsewhere = happens(&*store, 3, "people/42").await;
    dispatched(&*store, &elsewhere, 3, 7).await;
    let plain = happens(&*store, 4, "people/42").await;
    let delivery = new_delivery(4, 0, Due::At(at(FAR)));
    let unordered = Dispatched { event: plain, deliveries: vec![delivery] };
    store.dispatch(&[unordered], at(0)).await.unwrap();
    assert_eq!(ahead(&*store, [1, 2, 3, 4, 5]).await, [0; 5]);
    store.record(&[delivered(minted(4), 1)]).await.unwrap();
    assert_eq!(due(&*store).await, []);
}

pub(crate) async fn with_a_subscription_its_lines_are_gone(ground: &mut dyn Ground) {
    let store = ground.store();
    store.upsert_subscription(subscription(0), true).await.unwrap();
    line(&*store, 1..=3).await;
    store.delete_subscription(minted(0), at(10)).await.unwrap();
    assert_eq!(ahead(&*store, [1, 2, 3]).await, [0; 3]);
}

pub(crate) async fn what_is_redriven_does_not_wait(ground: &mut dyn Ground) {
    let store = ground.store();
    store.upsert_subscription(subscription(0), true).await.unwrap();
    line(&*store, 1..=3).await;
    store.record(&[failed(minted(2), 1, dead(Cause::Exhausted))]).await.unwrap();
    assert_eq!(store.redrive(&[minted(2)], at(500)).await.unwrap(), 1);
    assert_eq!(ahead(&*store, [1, 2, 3]).await, [0, 0, 1]);
}
