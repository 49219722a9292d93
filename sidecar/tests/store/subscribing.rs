//! Subscriptions: one for each pattern and URL.
//!
//! Invariant: what is read back asks for what its owner asked for.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use sidehook::{
    model::{
        Cause, PageRequest, Pattern, State, Subscription, SubscriptionId, Successor, operational,
    },
    store::{Due, Store, UpdateError, Upserted},
};

use sidehook_event::UnixMicros;

use crate::{
    ground::Ground,
    samples::{
        all_unnumbered, at, dead, delivered, elaborate, failed, minted, new_delivery, pending,
        subscription,
    },
};

pub(crate) async fn a_subscription_is_read_back_as_it_was_made(ground: &mut dyn Ground) {
    let store = ground.store();
    let made = [subscription(1), elaborate(2, 2)];
    for subscription in &made {
        let upserted = upsert(&*store, subscription.clone(), false).await;
        assert_eq!(upserted, Upserted::Created(subscription.clone()));
        let read = store.subscription(subscription.id).await.unwrap();
        assert_eq!(read.as_ref(), Some(subscription));
        let (pattern, url) = (&subscription.pattern, &subscription.url);
        let read = store.subscription_by_target(pattern, url).await.unwrap();
        assert_eq!(read.as_ref(), Some(subscription));
    }
    let mut all = store.all_subscriptions().await.unwrap();
    all.sort_by_key(|subscription| subscription.id);
    assert_eq!(all, made);
    let none = store.subscription_by_target(&pattern("people.created"), &made[0].url).await;
    assert_eq!(none.unwrap(), None);
}

pub(crate) async fn an_upsert_changes_all_but_id_secret_and_creation(ground: &mut dyn Ground) {
    let store = ground.store();
    let old = subscription(1);
    upsert(&*store, old.clone(), true).await;
    let new = elaborate(2, 1);
    let expected = Subscription {
        id: old.id,
        created_at: old.created_at,
        signing: old.signing,
        ..new.clone()
    };
    let upserted = upsert(&*store, new.clone(), false).await;
    assert_eq!(upserted, Upserted::Updated(expected.clone()));
    assert_eq!(store.all_subscriptions().await.unwrap(), [expected]);
    assert_eq!(store.subscription(new.id).await.unwrap(), None);
}

pub(crate) async fn an_upsert_changes_the_secret_if_a_new_one_is_asked_for(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    upsert(&*store, subscription(1), false).await;
    let new = elaborate(2, 1);
    upsert(&*store, new.clone(), true).await;
    let read = store.subscription(minted(1)).await.unwrap().unwrap();
    assert_eq!(read.signing, new.signing);
}

pub(crate) async fn the_same_url_may_be_subscribed_under_several_patterns(ground: &mut dyn Ground) {
    let store = ground.store();
    // `created` and `*.created` ask for the same, and are two all the same.
    for (number, text) in (1..).zip(["created", "*.created", "people.created", "*"]) {
        let subscription =
            Subscription { id: minted(number), pattern: pattern(text), ..subscription(0) };
        let upserted = upsert(&*store, subscription.clone(), false).await;
        assert_eq!(upserted, Upserted::Created(subscription));
    }
    assert_eq!(store.all_subscriptions().await.unwrap().len(), 4);
}

pub(crate) async fn of_many_who_upsert_at_once_one_creates(ground: &mut dyn Ground) {
    let upserting = (0..16).map(|number| {
        let store = ground.store();
        tokio::spawn(async move { upsert(&*store, elaborate(number, 1), false).await })
    });
    let upserted = join_all(upserting).await;
    let created = upserted.into_iter().filter_map(|upserted| match upserted.unwrap() {
        Upserted::Created(subscription) => Some(subscription.id),
        Upserted::Updated(_) => None,
    });
    let created: Vec<_> = created.collect();
    let stored = ground.store().all_subscriptions().await.unwrap();
    assert_eq!(created, [stored[0].id]);
    assert_eq!(stored.len(), 1);
}

pub(crate) async fn an_update_replaces_the_subscription_of_its_id(ground: &mut dyn Ground) {
    let store = ground.store();
    upsert(&*store, subscription(1), false).await;
    upsert(&*store, subscription(3), false).await;
    // To a target of its own, and once more to the same.
    let new = elaborate(1, 2);
    for _ in 0..2 {
        assert!(store.update_subscription(&new).await.unwrap());
        let read = store.subscription(new.id).await.unwrap();
        assert_eq!(read.as_ref(), Some(&new));
    }
    let other = store.subscription(minted(3)).await.unwrap();
    assert_eq!(other, Some(subscription(3)));
}

pub(crate) async fn an_update_of_nothing_says_so(ground: &mut dyn Ground) {
    let store = ground.store();
    assert!(!store.update_subscription(&subscription(1)).await.unwrap());
    assert_eq!(store.all_subscriptions().await.unwrap(), []);
}

pub(crate) async fn an_update_to_a_target_that_is_taken_is_refused(ground: &mut dyn Ground) {
    let store = ground.store();
    upsert(&*store, subscription(1), false).await;
    upsert(&*store, subscription(2), false).await;
    let refused = store.update_subscription(&elaborate(1, 2)).await;
    assert!(matches!(refused, Err(UpdateError::Taken)), "{refused:?}");
    let unchanged = store.subscription(minted(1)).await.unwrap();
    assert_eq!(unchanged, Some(subscription(1)));
}

pub(crate) async fn a_deletion_kills_pending_deliveries_alone(ground: &mut dyn Ground) {
    let store = ground.store();
    upsert(&*store, subscription(7), false).await;
    let due = |number| new_delivery(number, 7, Due::At(at(number)));
    let to_another = new_delivery(5, 8, Due::At(at(0)));
    let in_hand = new_delivery(6, 7, Due::Leased(at(900)));
    let deliveries = vec![due(1), due(2), due(3), due(4), to_another, in_hand];
    pending(&*store, 1, deliveries).await;
    let verdicts = [
        delivered(minted(1), 1),
        failed(minted(2), 1, dead(Cause::Exhausted)),
        failed(minted(3), 1, Successor::Retry(at(900))),
    ];
    store.record(&verdicts).await.unwrap();

    assert!(store.delete_subscription(minted(7), at(500)).await.unwrap());
    assert_eq!(store.subscription(minted(7)).await.unwrap(), None);
    let unsubscribed = Some(Cause::Unsubscribed);
    for (number, state, cause, finished) in [
        (1, State::Delivered, None, Some(at(101))),
        (2, State::Dead, Some(Cause::Exhausted), Some(at(101))),
        (3, State::Dead, unsubscribed, Some(at(500))),
        (4, State::Dead, unsubscribed, Some(at(500))),
        (5, State::Pending, None, None),
        (6, State::Dead, unsubscribed, Some(at(500))),
    ] {
        let read = store.delivery(minted(number)).await.unwrap();
        let (delivery, _) = read.unwrap();
        let cause_of = delivery.death.map(|death| death.cause);
        let is = (delivery.state, cause_of, delivery.finished_at);
        assert_eq!(is, (state, cause, finished), "delivery {number}");
    }
    let claimed = store.claim_deliveries(at(999), at(999), 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].id, minted(5));
}

pub(crate) async fn a_deletion_of_nothing_says_so(ground: &mut dyn Ground) {
    let store = ground.store();
    upsert(&*store, subscription(1), false).await;
    assert!(!store.delete_subscription(minted(2), at(0)).await.unwrap());
    assert!(store.delete_subscription(minted(1), at(0)).await.unwrap());
    assert!(!store.delete_subscription(minted(1), at(0)).await.unwrap());
}

pub(crate) async fn a_deleted_target_can_be_subscribed_again(ground: &mut dyn Ground) {
    let store = ground.store();
    upsert(&*store, subscription(1), false).await;
    store.delete_subscription(minted(1), at(0)).await.unwrap();
    let again = elaborate(2, 1);
    let upserted = upsert(&*store, again.clone(), false).await;
    assert_eq!(upserted, Upserted::Created(again));
}

pub(crate) async fn subscriptions_are_listed_newest_first_page_by_page(ground: &mut dyn Ground) {
    let store = ground.store();
    let empty = store.subscriptions(PageRequest::default()).await.unwrap();
    assert_eq!((empty.data, empty.next), (vec![], None));
    for number in [3, 1, 4, 0, 2] {
        upsert(&*store, subscription(number), false).await;
    }
    let page = |after: Option<u64>| {
        let after = after.map(minted::<SubscriptionId>);
        let request = PageRequest { after, limit: 2 };
        let store = store.clone();
        async move { store.subscriptions(request).await.unwrap() }
    };
    let first = page(None).await;
    assert_eq!(first.data, [subscription(4), subscription(3)]);
    assert_eq!(first.next, Some(minted(3)));
    let second = page(Some(3)).await;
    assert_eq!(second.data, [subscription(2), subscription(1)]);
    assert_eq!(second.next, Some(minted(1)));
    let last = page(Some(1)).await;
    assert_eq!((last.data, last.next), (vec![subscription(0)], None));
}

async fn upsert(store: &dyn Store, subscription: Subscription, new_secret: bool) -> Upserted {
    let upserted = store.upsert_subscription(subscription, new_secret).await;
    upserted.unwrap()
}

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

pub(crate) async fn one_is_disabled_once_and_says_why(ground: &mut dyn Ground) {
    let store = ground.store();
    store.upsert_subscription(subscription(1), true).await.unwrap();
    let disable =
        async |reason| store.disable_subscription(minted(1), reason, at(50)).await.unwrap();
    assert!(disable("the receiver answered 410").await);
    assert!(!disable("another reason").await);
    let expected = Subscription {
        enabled: false,
        disabled_reason: Some("the receiver answered 410".to_owned()),
        updated_at: at(50),
        ..subscription(1)
    };
    assert_eq!(store.subscription(minted(1)).await.unwrap(), Some(expected));
    assert!(!store.disable_subscription(minted(2), "none", at(50)).await.unwrap());
}

pub(crate) async fn that_one_was_disabled_is_told_once_as_an_event_to_dispatch(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    store.upsert_subscription(subscription(1), true).await.unwrap();
    for reason in ["the receiver answered 410", "another reason"] {
        store.disable_subscription(minted(1), reason, at(50)).await.unwrap();
    }
    let disabled = store.subscription(minted(1)).await.unwrap().unwrap();
    let told = operational::of_disabling(&disabled).unwrap();
    let claimed = store.claim_events(at(50), at(100), 10).await.unwrap();
    assert_eq!(all_unnumbered(claimed), [Arc::new(told)]);
}

pub(crate) async fn since_when_a_receiver_fails_is_kept_until_it_works(ground: &mut dyn Ground) {
    let store = ground.store();
    for number in [1, 2] {
        store.upsert_subscription(subscription(number), true).await.unwrap();
    }
    assert_eq!(fails(&*store, 1, 10).await, at(10));
    assert_eq!(fails(&*store, 2, 15).await, at(15));
    drop(store);
    ground.crash().await;
    let store = ground.store();
    assert_eq!(fails(&*store, 1, 20).await, at(10));
    for _ in 0..2 {
        store.receiver_works(minted(1)).await.unwrap();
    }
    assert_eq!(fails(&*store, 1, 30).await, at(30));
    assert_eq!(fails(&*store, 2, 30).await, at(15));
    assert_eq!(fails(&*store, 3, 40).await, at(40), "there is none");
}

pub(crate) async fn its_owners_changes_begin_anew_since_when_a_receiver_fails(
    ground: &mut dyn Ground,
) {
    let store = ground.store();
    store.upsert_subscription(subscription(1), true).await.unwrap();
    fails(&*store, 1, 10).await;
    store.update_subscription(&subscription(1)).await.unwrap();
    assert_eq!(fails(&*store, 1, 20).await, at(20));
    store.upsert_subscription(subscription(1), false).await.unwrap();
    assert_eq!(fails(&*store, 1, 30).await, at(30));
    store.disable_subscription(minted(1), "it failed", at(40)).await.unwrap();
    assert_eq!(fails(&*store, 1, 50).await, at(50));
}

async fn fails(store: &dyn Store, number: u64, now: u64) -> UnixMicros {
    store.receiver_fails(minted(number), at(now)).await.unwrap()
}

pub(crate) async fn no_part_of_a_pace_is_given_away_twice(ground: &mut dyn Ground) {
    let store = ground.store();
    for number in [1, 2] {
        store.upsert_subscription(subscription(number), true).await.unwrap();
    }
    let reserve = async |number, now| {
        let span = Duration::from_secs(10);
        store.reserve_pace(minted(number), span, at(now)).await.unwrap()
    };
    assert_eq!(reserve(1, 100).await, at(100));
    assert_eq!(reserve(1, 101).await, at(110));
    assert_eq!(reserve(2, 101).await, at(101));
    assert_eq!(reserve(1, 150).await, at(150), "what went by is gone");
    let mut given = join_all((0..8).map(|_| reserve(1, 150))).await;
    given.sort_unstable();
    assert_eq!(given, (16..24).map(|tens| at(tens * 10)).collect::<Vec<_>>());
    store.update_subscription(&subscription(1)).await.unwrap();
    assert_eq!(reserve(1, 151).await, at(151), "its owner may want another pace");
    assert_eq!(reserve(3, 100).await, at(100), "there is none");
}
