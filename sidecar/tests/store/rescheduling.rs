//! Pending deliveries made due at another time.
//!
//! Invariant: nobody is disturbed who has one in hand.

use std::time::Duration;

use sidehook::{
    model::{Series, Successor},
    store::{Due, Store, Waiting},
};
use sidehook_event::UnixMicros;

use crate::{
    ground::Ground,
    samples::{at, delivered, failed, minted, new_delivery, one_pending, pending},
};

async fn waiting(store: &dyn Store) -> Vec<Waiting> {
    store.waiting(minted(0), None, 10).await.unwrap()
}

fn first(number: u64) -> Waiting {
    Waiting {
        id: minted(number),
        attempts: 0,
        series: Series { began_at: at(0), earlier: 0 },
        ended_at: None,
        due_at: at(0),
    }
}

pub(crate) async fn what_waits_is_told_with_what_its_next_time_follows_from(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    for number in 1..=4 {
        one_pending(&*store, number).await;
    }
    pending(&*store, 5, vec![new_delivery(5, 7, Due::At(at(0)))]).await;
    store.record(&[failed(minted(2), 1, Successor::Retry(at(300)))]).await.unwrap();
    store.record(&[delivered(minted(3), 1)]).await.unwrap();
    let ended_at = Some(at(1).after(Duration::from_micros(1_234)));
    let second = Waiting { attempts: 1, ended_at, due_at: at(300), ..first(2) };
    let expected = [first(1), second, first(4)];
    assert_eq!(waiting(&*store).await, expected);
    assert_eq!(store.waiting(minted(0), None, 2).await.unwrap(), expected[..2]);
    assert_eq!(store.waiting(minted(0), Some(minted(2)), 2).await.unwrap(), expected[2..]);
    store.claim_deliveries(at(0), at(30), 1).await.unwrap();
    assert_eq!(waiting(&*store).await, expected[1..]);
}

pub(crate) async fn what_waits_is_made_due_at_another_time(ground: &mut dyn Ground) {
    let store = ground.store();
    for number in 1..=2 {
        one_pending(&*store, number).await;
    }
    let moved = [(first(1), at(50)), (first(2), at(40))];
    assert_eq!(store.reschedule(&moved).await.unwrap(), 2);
    let due = |number, due_at| Waiting { due_at, ..first(number) };
    assert_eq!(waiting(&*store).await, [due(1, at(50)), due(2, at(40))]);
    assert_eq!(store.claim_deliveries(at(39), at(99), 9).await.unwrap(), []);
    assert_eq!(store.claim_deliveries(at(45), at(99), 9).await.unwrap().len(), 1);
}

pub(crate) async fn what_is_in_hand_or_was_moved_meanwhile_stays(ground: &mut dyn Ground) {
    let store = ground.store();
    for number in 1..=3 {
        one_pending(&*store, number).await;
    }
    let read = waiting(&*store).await;
    store.claim_deliveries(at(0), at(30), 1).await.unwrap();
    store.reschedule(&[(first(2), at(50))]).await.unwrap();
    let moved: Vec<_> = read.into_iter().map(|waiting| (waiting, at(70))).collect();
    assert_eq!(store.reschedule(&moved).await.unwrap(), 1);
    let due: Vec<UnixMicros> = waiting(&*store).await.into_iter().map(|one| one.due_at).collect();
    assert_eq!(due, [at(50), at(70)]);
    let claimed = store.claim_deliveries(at(30), at(60), 9).await.unwrap();
    assert_eq!(claimed.len(), 1, "the lease ended when it would have");
}
