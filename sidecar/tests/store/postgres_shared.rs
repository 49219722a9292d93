//! What is special to a store that several processes share: two of them, on one database.
//!
//! Invariant: neither waits for the other longer than for one statement, and each knows what the
//! other changed.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::{
    StreamExt as _,
    future::{join_all, poll_immediate},
    stream::BoxStream,
};
use sidehook::{
    clock::{Clock as _, SystemClock},
    model::{Subscription, SubscriptionId, Successor},
    route::{Follower, Table},
    store::{Change, Due, Store},
};
use sqlx::{Connection as _, Row as _};
use tokio::time::timeout;
use url::Url;

use crate::{
    ground::{Ground as _, PostgresGround, connect},
    samples::{at, delivered, elaborate, failed, minted, new_delivery, pending, subscription},
    wire::Wire,
};

/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

async fn two() -> (PostgresGround, Arc<dyn Store>, Arc<dyn Store>) {
    let ground = PostgresGround::fresh().await;
    let (one, other) = (ground.store(), ground.another().await);
    (ground, one, other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sidecars_that_claim_get_each_delivery_once() {
    let (_ground, one, other) = two().await;
    let due = |number| new_delivery(number, 0, Due::At(at(number % 5)));
    pending(&*one, 1, (0..600).map(due).collect()).await;
    let claiming = [&one, &other, &one, &other].map(|store| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = store.claim_deliveries(at(5), at(65), 7).await.unwrap();
                if claimed.is_empty() {
                    return mine;
                }
                let verdicts = claimed.iter().map(|due| delivered(due.id, due.attempt));
                store.record(&verdicts.collect::<Vec<_>>()).await.unwrap();
                mine.extend(claimed.into_iter().map(|due| due.id));
            }
        })
    });
    let claimed = join_all(claiming).await;
    let claimed: Vec<_> = claimed.into_iter().flat_map(|mine| mine.unwrap()).collect();
    assert_eq!(claimed.len(), 600);
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>().len(), 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sidecars_that_record_the_same_in_any_order_do_not_lock_each_other_out() {
    let (_ground, one, other) = two().await;
    let due = |number| new_delivery(number, 0, Due::At(at(0)));
    pending(&*one, 1, (0..100).map(due).collect()).await;
    let recording = [(&one, false), (&other, true), (&one, true), (&other, false)];
    let recording = recording.map(|(store, backwards)| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for number in 1..=20 {
                let verdict =
                    |n| failed(minted(n), number, Successor::Retry(at(u64::from(number))));
                let mut verdicts: Vec<_> = (0..100).map(verdict).collect();
                if backwards {
                    verdicts.reverse();
                }
                store.record(&verdicts).await.unwrap();
            }
        })
    });
    for recorded in join_all(recording).await {
        recorded.unwrap();
    }
    for number in 0..100 {
        let (delivery, log) = one.delivery(minted(number)).await.unwrap().unwrap();
        assert_eq!((delivery.attempts, log.len()), (20, 20));
    }
}

#[tokio::test]
async fn a_lease_that_one_sidecar_has_is_not_ended_by_the_start_of_another() {
    let (ground, one, _) = two().await;
    pending(&*one, 1, vec![new_delivery(1, 0, Due::At(at(0)))]).await;
    assert_eq!(one.claim_deliveries(at(0), at(60), 9).await.unwrap().len(), 1);
    let third = ground.another().await;
    assert_eq!(third.recover(at(1)).await.unwrap(), 0);
    assert_eq!(third.claim_deliveries(at(1), at(61), 9).await.unwrap(), []);
}

async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    timeout(LIMIT, changes.next()).await.unwrap().unwrap()
}

async fn nothing_more(changes: &mut BoxStream<'static, Change>) {
    assert_eq!(poll_immediate(changes.next()).await, None);
}

#[tokio::test]
async fn a_sidecar_is_told_of_every_change_that_another_makes() {
    let (ground, one, other) = two().await;
    let mut changes = other.subscription_changes();
    assert_eq!(next(&mut changes).await, Change::Any);
    nothing_more(&mut changes).await;
    one.upsert_subscription(subscription(1), true).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::One(minted(1)));
    one.upsert_subscription(elaborate(2, 1), true).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::One(minted(1)));
    one.update_subscription(&elaborate(1, 2)).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::One(minted(1)));
    one.delete_subscription(minted(1), at(0)).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::One(minted(1)));
    one.upsert_subscription(subscription(3), true).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::One(minted(3)));
    // Whoever changes it.
    ground
        .database
        .run(
            "UPDATE subscriptions SET settings =
        replace(settings, '\"enabled\":true', '\"enabled\":false')",
        )
        .await;
    assert_eq!(next(&mut changes).await, Change::One(minted(3)));
    nothing_more(&mut changes).await;
}

#[tokio::test]
async fn the_table_of_one_sidecar_follows_what_another_changes_within_a_second() {
    let (_ground, one, other) = two().await;
    let table = Arc::new(Table::default());
    let follower =
        Follower { table: Arc::clone(&table), store: other, clock: Arc::new(SystemClock::start()) };
    let following = tokio::spawn(async move { follower.run().await });
    let knows = async |id: SubscriptionId, known: bool| {
        let seen = async {
            while table.subscription(id).is_some() != known {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, seen).await.unwrap();
    };
    one.upsert_subscription(subscription(1), true).await.unwrap();
    knows(minted(1), true).await;
    // From now on it listens, for sure.
    let clock = SystemClock::start();
    let mut longest = Duration::ZERO;
    for number in 2..12 {
        one.upsert_subscription(subscription(number), true).await.unwrap();
        let changed = clock.monotonic();
        knows(minted(number), true).await;
        longest = longest.max(clock.monotonic().saturating_sub(changed));
        one.delete_subscription(minted(number), at(0)).await.unwrap();
        knows(minted(number), false).await;
    }
    assert!(longest < Duration::from_secs(1), "a change took {longest:?}");
    let disabled = Subscription { enabled: false, ..subscription(1) };
    one.update_subscription(&disabled).await.unwrap();
    let seen = async {
        while table.subscription(minted(1)).is_none_or(|known| known.enabled) {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, seen).await.unwrap();
    following.abort();
}

#[tokio::test]
async fn what_changed_while_nobody_listened_is_told_when_it_listens_again() {
    let (ground, one, other) = two().await;
    let mut changes = other.subscription_changes();
    assert_eq!(next(&mut changes).await, Change::Any);
    let mut shell = ground.database.shell().await;
    let deafen = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'LISTEN %'";
    let deafened = sqlx::query(deafen).fetch_all(&mut shell).await.unwrap();
    assert_eq!(deafened.len(), 1);
    assert!(deafened[0].get::<bool, _>(0));
    one.upsert_subscription(subscription(1), true).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Any);
    one.upsert_subscription(subscription(2), true).await.unwrap();
    let again = next(&mut changes).await;
    assert!([Change::Any, Change::One(minted(2))].contains(&again), "{again:?}");
    shell.close().await.unwrap();
}

/// A connection that is dead, and nobody has been told.
#[tokio::test]
async fn what_a_deaf_listener_misses_is_told_all_the_same() {
    let (ground, one, _) = two().await;
    let mut url = Url::parse(&ground.database.url).unwrap();
    let wire = Wire::to(url.port().unwrap()).await;
    url.set_port(Some(wire.port)).unwrap();
    let behind: Arc<dyn Store> = Arc::new(connect(url.as_str(), &[1]).await.unwrap());
    let mut changes = behind.subscription_changes();
    assert_eq!(next(&mut changes).await, Change::Any);
    // What was connected is deaf and mute, and new connections are as they should be.
    wire.freeze_present();
    one.upsert_subscription(subscription(1), true).await.unwrap();
    assert_eq!(next(&mut changes).await, Change::Any);
    assert!(behind.subscription(minted(1)).await.unwrap().is_some());
}
