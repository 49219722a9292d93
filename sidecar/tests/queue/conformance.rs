//! The contract of `Queue`, sentence by sentence.
//!
//! Invariant: no test waits longer than [`LIMIT`], and none sleeps to wait for something.

#![expect(clippy::expect_used, reason = "this is how a test fails")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use sidehook::{
    model::{DeliveryId, DueDelivery, Payload, Series, SubscriptionId},
    queue::{Lane, Queue},
};
use sidehook_event::{Event, EventId, Exchange, TypeId, UnixMicros};
use tokio::time::timeout;

/// How long something may take that is promised to happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// How long nothing must happen where nothing is promised to.
pub(crate) const MOMENT: Duration = Duration::from_millis(50);

/// Runs the contract on the queues that `$make` makes, given the capacity of a lane.
#[macro_export]
macro_rules! conforms {
    ($name:ident, $make:path) => {
        $crate::conforms!($name, $make,
            what_is_published_is_taken_in_order,
            a_taker_waits_for_the_first_and_takes_no_more_than_asked,
            the_lanes_do_not_mix,
            each_piece_goes_to_one_taker,
            what_does_not_fit_is_left_out_without_waiting,
            room_comes_back_when_something_is_taken,
            a_taker_that_gives_up_loses_nothing,
            everyone_who_waits_is_served,
        );
    };
    ($name:ident, $make:path, $($test:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    $crate::queue::conformance::$test($make).await;
                }
            )+
        }
    };
}

type Make = fn(usize) -> BoxFuture<'static, Arc<dyn Queue>>;

pub(crate) fn event(id: u128) -> Arc<Event> {
    Arc::new(Event {
        id: EventId::from_bits(id),
        event_type: "people.created".parse().expect("a type"),
        source: "edge".to_owned(),
        subject: None,
        parents: Vec::new(),
        sequence: None,
        time: UnixMicros::EPOCH,
        exchange: Exchange { status: 201, ..Exchange::default() },
    })
}

pub(crate) fn delivery(id: u128) -> DueDelivery {
    DueDelivery {
        id: DeliveryId::from_bits(id),
        event_id: EventId::from_bits(1),
        event_type: "people.created".parse().expect("a type"),
        subscription_id: SubscriptionId::from_bits(1),
        attempt: 1,
        series: Series { began_at: UnixMicros::EPOCH, earlier: 0 },
        payload: Payload {
            content_type: "application/json".into(),
            headers: Arc::default(),
            body: Bytes::from_static(b"{}"),
        },
        lease_until: UnixMicros::MAX,
    }
}

pub(crate) async fn publish(queue: &dyn Queue, ids: impl IntoIterator<Item = u128>) {
    queue.publish_events(ids.into_iter().map(event).collect()).await;
}

/// Takes events, settles them and returns their ids.
pub(crate) async fn take(queue: &dyn Queue, limit: usize) -> Vec<u128> {
    let taken = timeout(LIMIT, queue.take_events(limit)).await.expect("events in time");
    let (ids, receipts) = taken.iter().map(|taken| (taken.work.id.bits(), taken.receipt)).unzip();
    queue.settle(Lane::Events, receipts).await;
    ids
}

/// Takes until so many were taken.
pub(crate) async fn take_all(queue: &dyn Queue, count: usize) -> Vec<u128> {
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.extend(take(queue, count - ids.len()).await);
    }
    ids
}

pub(crate) async fn what_is_published_is_taken_in_order(make: Make) {
    let queue = make(100).await;
    publish(&*queue, 1..=3).await;
    publish(&*queue, 4..=5).await;
    assert_eq!(take_all(&*queue, 5).await, [1, 2, 3, 4, 5]);
}

pub(crate) async fn a_taker_waits_for_the_first_and_takes_no_more_than_asked(make: Make) {
    let queue = make(100).await;
    assert!(timeout(MOMENT, queue.take_events(2)).await.is_err(), "there is nothing to take");
    let taker = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { take(&*queue, 2).await }
    });
    publish(&*queue, 1..=3).await;
    let first = timeout(LIMIT, taker).await.expect("in time").expect("no panic");
    assert!((1..=2).contains(&first.len()), "{first:?}");
    let rest = take_all(&*queue, 3 - first.len()).await;
    assert_eq!([first, rest].concat(), [1, 2, 3]);
}

pub(crate) async fn the_lanes_do_not_mix(make: Make) {
    let queue = make(100).await;
    queue.publish_deliveries(vec![delivery(7)]).await;
    publish(&*queue, [1]).await;
    let taken = timeout(LIMIT, queue.take_deliveries(10)).await.expect("in time");
    assert_eq!(taken.iter().map(|taken| taken.work.clone()).collect::<Vec<_>>(), [delivery(7)]);
    let receipts = taken.into_iter().map(|taken| taken.receipt).collect();
    queue.settle(Lane::Deliveries, receipts).await;
    assert_eq!(take(&*queue, 10).await, [1]);
}

pub(crate) async fn each_piece_goes_to_one_taker(make: Make) {
    const PIECES: u128 = 400;
    let queue = make(1000).await;
    let takers: Vec<_> = (0..4)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while let Ok(taken) = timeout(Duration::from_secs(1), queue.take_events(7)).await {
                    mine.extend(taken.iter().map(|taken| taken.work.id.bits()));
                    let receipts = taken.into_iter().map(|taken| taken.receipt).collect();
                    queue.settle(Lane::Events, receipts).await;
                }
                mine
            })
        })
        .collect();
    for start in (0..PIECES).step_by(50) {
        publish(&*queue, start..start + 50).await;
    }
    let mut all = Vec::new();
    for taker in takers {
        all.extend(timeout(LIMIT, taker).await.expect("in time").expect("no panic"));
    }
    all.sort_unstable();
    assert_eq!(all, (0..PIECES).collect::<Vec<_>>());
}

pub(crate) async fn what_does_not_fit_is_left_out_without_waiting(make: Make) {
    let queue = make(3).await;
    timeout(LIMIT, publish(&*queue, 1..=8)).await.expect("publishing never waits");
    assert_eq!(queue.room(Lane::Events), 0);
    assert!(queue.room(Lane::Deliveries) > 0);
    assert_eq!(take_all(&*queue, 6).await, [1, 2, 3, 4, 5, 6]);
    assert!(timeout(MOMENT, queue.take_events(1)).await.is_err(), "the rest was left out");
}

pub(crate) async fn room_comes_back_when_something_is_taken(make: Make) {
    let queue = make(2).await;
    timeout(LIMIT, queue.has_room(Lane::Events)).await.expect("it is empty");
    publish(&*queue, 1..=2).await;
    assert!(timeout(MOMENT, queue.has_room(Lane::Events)).await.is_err(), "it is full");
    let waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.has_room(Lane::Events).await }
    });
    assert_eq!(take(&*queue, 1).await, [1]);
    timeout(LIMIT, waiting).await.expect("there is room").expect("no panic");
    assert_eq!(queue.room(Lane::Events), 1);
}

pub(crate) async fn a_taker_that_gives_up_loses_nothing(make: Make) {
    let queue = make(100).await;
    for id in 1..=20 {
        // Given up at every stage: before, while and after something is published.
        let giving_up = timeout(Duration::from_micros(200), queue.take_events(1));
        let (given_up, ()) = tokio::join!(giving_up, publish(&*queue, [id]));
        let ids = match given_up {
            Ok(taken) => taken.iter().map(|taken| taken.work.id.bits()).collect(),
            Err(_) => take(&*queue, 1).await,
        };
        assert_eq!(ids, [id]);
    }
}

pub(crate) async fn everyone_who_waits_is_served(make: Make) {
    let queue = make(100).await;
    let takers: Vec<_> = (0..5)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move { take(&*queue, 1).await })
        })
        .collect();
    publish(&*queue, 1..=5).await;
    for taker in takers {
        let taken = timeout(LIMIT, taker).await.expect("in time").expect("no panic");
        assert_eq!(taken.len(), 1);
    }
}
