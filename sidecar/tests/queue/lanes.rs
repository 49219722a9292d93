//! A process that does not do all of the work: what it takes, and what it leaves to others.
//!
//! Invariant: nothing lies with a process that never takes it.

use std::{sync::Arc, time::Duration};

use sidehook::queue::{
    Lane, Lanes, Queue,
    local::LocalQueue,
    rabbitmq::{RabbitQueue, Standing},
};
use tokio::time::timeout;
use url::Url;

use super::{
    broker::{Broker, stands},
    conformance::{LIMIT, MOMENT, delivery, publish, take, take_all},
    wire::Wire,
};

const NONE: Lanes = Lanes { events: false, deliveries: false };
const EVENTS: Lanes = Lanes { events: true, ..NONE };
const DELIVERIES: Lanes = Lanes { deliveries: true, ..NONE };

#[tokio::test]
async fn a_lane_that_nobody_here_takes_has_no_room() {
    let queue = LocalQueue::new(DELIVERIES, 10);
    assert_eq!(queue.room(Lane::Events), 0);
    assert_eq!(queue.room(Lane::Deliveries), 10);
    publish(&queue, 1..=3).await;
    assert!(timeout(MOMENT, queue.take_events(1)).await.is_err(), "it was not kept");
    assert!(timeout(MOMENT, queue.has_room(Lane::Events)).await.is_err(), "it never has room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_leaves_to_others_what_it_does_not_take() {
    let broker = Broker::of_its_own();
    let accepting = broker.taking(NONE, 100).await;
    let dispatching = broker.taking(EVENTS, 100).await;
    let delivering = broker.taking(DELIVERIES, 100).await;
    publish(&accepting, 1..=30).await;
    assert_eq!(take_all(&dispatching, 30).await, (1..=30).collect::<Vec<_>>());
    dispatching.publish_deliveries((1..=30).map(delivery).collect()).await;
    let mut delivered = 0;
    while delivered < 30 {
        let taken = timeout(LIMIT, delivering.take_deliveries(30)).await.unwrap();
        delivered += taken.len();
        let receipts = taken.into_iter().map(|taken| taken.receipt).collect();
        delivering.settle(Lane::Deliveries, receipts).await;
    }
    for queue in [&accepting, &delivering] {
        assert!(timeout(MOMENT, queue.take_events(1)).await.is_err());
    }
}

/// As many as fit at a time, several times over: what others took has to be noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_comes_back_to_one_who_only_publishes() {
    let broker = Broker::of_its_own();
    let accepting = broker.taking(NONE, 20).await;
    let dispatching = broker.taking(EVENTS, 20).await;
    for round in 0..3 {
        let enough = async {
            while accepting.room(Lane::Events) < 20 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, enough).await.unwrap();
        let ids = round * 20..(round + 1) * 20;
        publish(&accepting, ids.clone()).await;
        assert_eq!(accepting.room(Lane::Events), 0);
        assert_eq!(take_all(&dispatching, 20).await, ids.collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_it_stays_in_the_store() {
    let broker = Broker::of_its_own();
    let mut url = Url::parse(&broker.url).unwrap();
    let wire = Wire::to(url.port().unwrap_or(5672)).await;
    url.set_port(Some(wire.port)).unwrap();
    let accepting = Arc::new(broker.at(url.to_string()).taking(NONE, 10).await);
    wire.cut();
    stands(&accepting, |standing| matches!(standing, Standing::Away(_))).await;
    assert_eq!(accepting.room(Lane::Events), 0);
    // Whoever waits for room meanwhile goes on when the broker is back.
    let waiting = tokio::spawn({
        let accepting: Arc<RabbitQueue> = Arc::clone(&accepting);
        async move { accepting.has_room(Lane::Events).await }
    });
    wire.mend();
    timeout(LIMIT, waiting).await.unwrap().unwrap();
    assert!(accepting.room(Lane::Events) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_can_do_in_a_moment_stays_with_it_and_the_rest_is_for_all() {
    let broker = Broker { near: 3, ..Broker::of_its_own() };
    let accepting = broker.taking(EVENTS, 100).await;
    let dispatching = broker.taking(EVENTS, 100).await;
    publish(&accepting, 1..=3).await;
    assert!(timeout(MOMENT, dispatching.take_events(1)).await.is_err(), "it stays");
    // Nobody has taken what is kept, and so all that follows is for both.
    for id in 4..=43 {
        publish(&accepting, [id]).await;
    }
    let (mut all, mut others) = (Vec::new(), 0);
    while all.len() < 43 {
        tokio::select! {
            ids = take(&accepting, 1) => all.extend(ids),
            ids = take(&dispatching, 1) => {
                others += ids.len();
                all.extend(ids);
            }
        }
    }
    all.sort_unstable();
    assert_eq!(all, (1..=43).collect::<Vec<_>>());
    assert!((1..=40).contains(&others), "{others}");
}
