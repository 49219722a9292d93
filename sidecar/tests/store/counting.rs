//! What waits is counted, for those who watch it.
//!
//! Invariant: what nobody waits for any more is not counted.

use sidehook::{
    model::{Cause, Successor},
    store::Due,
};

use crate::{
    ground::Ground,
    samples::{at, dead, delivered, events, failed, minted, new_delivery, one_pending, pending},
};

pub(crate) async fn in_an_empty_store_nothing_waits(ground: &mut dyn Ground) {
    let backlog = ground.store().backlog(at(0)).await.unwrap();
    assert_eq!((backlog.undispatched, backlog.pending, backlog.due), (0, 0, 0));
    assert_eq!((backlog.undispatched_since, backlog.due_since), (None, None));
    let mut causes: Vec<_> = backlog.dead.keys().map(|cause| cause.name()).collect();
    causes.sort_unstable();
    assert_eq!(
        causes,
        ["egress", "exhausted", "malformed", "refused", "script", "unsubscribed"],
        "each cause has its number"
    );
    assert_eq!(backlog.dead.values().sum::<u64>(), 0);
}

pub(crate) async fn events_that_wait_are_counted_and_the_oldest_tells_since_when(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    store.append(&events(2..=3), at(20), Due::Leased(at(90))).await.unwrap();
    store.append(&events([1]), at(30), Due::At(at(30))).await.unwrap();
    pending(&*store, 9, vec![]).await;
    let backlog = store.backlog(at(40)).await.unwrap();
    assert_eq!((backlog.undispatched, backlog.undispatched_since), (3, Some(at(30))));
}

pub(crate) async fn deliveries_are_due_when_their_time_has_come_and_nobody_has_them(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    let deliveries = vec![
        new_delivery(1, 0, Due::At(at(30))),
        new_delivery(2, 0, Due::At(at(10))),
        new_delivery(3, 0, Due::Leased(at(60))),
        new_delivery(4, 0, Due::At(at(50))),
    ];
    pending(&*store, 1, deliveries).await;
    let counted = async |now| {
        let backlog = store.backlog(at(now)).await.unwrap();
        (backlog.pending, backlog.due, backlog.due_since)
    };
    assert_eq!(counted(9).await, (4, 0, None));
    assert_eq!(counted(30).await, (4, 2, Some(at(10))));
    let claimed = store.claim_deliveries(at(30), at(90), 1).await.unwrap();
    assert_eq!(claimed[0].id, minted(2));
    assert_eq!(counted(31).await, (4, 1, Some(at(30))));
    store.record(&[delivered(minted(2), 1)]).await.unwrap();
    assert_eq!(counted(60).await, (3, 3, Some(at(30))));
}

pub(crate) async fn what_a_subscription_waits_for_is_counted_and_the_oldest_tells_since_when(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    let deliveries = vec![
        new_delivery(1, 0, Due::At(at(30))),
        new_delivery(2, 7, Due::Leased(at(60))),
        new_delivery(3, 7, Due::At(at(10))),
    ];
    let subscriptions: Vec<_> =
        deliveries.iter().map(|delivery| delivery.subscription_id).collect();
    pending(&*store, 1, deliveries).await;
    let asked = [subscriptions[1], minted(99)];
    let owed = async || {
        let owed = store.owed(&asked).await.unwrap();
        let count = |id| {
            let owed = owed.iter().find(|owed| owed.subscription_id == id).unwrap();
            (owed.pending, owed.since)
        };
        (count(asked[0]), count(asked[1]))
    };
    let (known, nobody) = owed().await;
    assert_eq!((known.0, nobody), (2, (0, None)));
    let made = known.1.unwrap();
    store.record(&[delivered(minted(2), 1)]).await.unwrap();
    assert_eq!(owed().await.0, (1, Some(made)));
    store.record(&[delivered(minted(3), 1)]).await.unwrap();
    assert_eq!(owed().await.0, (0, None));
}

pub(crate) async fn dead_letters_are_counted_by_cause_until_they_are_brought_back(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    for (number, cause) in [(1, Cause::Exhausted), (2, Cause::Exhausted), (3, Cause::Egress)] {
        let id = one_pending(&*store, number).await;
        store.record(&[failed(id, 1, dead(cause))]).await.unwrap();
    }
    let id = one_pending(&*store, 4).await;
    store.record(&[delivered(id, 1)]).await.unwrap();
    let id = one_pending(&*store, 5).await;
    store.record(&[failed(id, 1, Successor::Filtered("not wanted".to_owned()))]).await.unwrap();

    let dead = store.backlog(at(0)).await.unwrap().dead;
    assert_eq!((dead[&Cause::Exhausted], dead[&Cause::Egress]), (2, 1));
    assert_eq!(dead.values().sum::<u64>(), 3);
    assert_eq!(store.discard(&[minted(1)]).await.unwrap(), 1);
    assert_eq!(store.backlog(at(0)).await.unwrap().dead[&Cause::Exhausted], 1);
}
