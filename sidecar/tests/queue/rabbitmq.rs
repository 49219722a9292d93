//! What the queue on RabbitMQ does when RabbitMQ is away, is emptied, or is not what was
//! expected.
//!
//! Invariant: nothing here waits longer than the suite's limit.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use lapin::{
    BasicProperties,
    options::{
        BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions,
        QueuePurgeOptions,
    },
    types::FieldTable,
};
use sidehook::queue::{
    Lane, Queue, Receipt,
    rabbitmq::{Error, RabbitQueue, Standing},
};
use sidehook_event::TypeId as _;
use tokio::time::timeout;
use url::Url;

use super::{
    broker::{Broker, stands},
    conformance::{LIMIT, delivery, event, publish, take, take_all},
    wire::Wire,
};

fn sorted(mut ids: Vec<u128>) -> Vec<u128> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

pub(crate) async fn behind_a_wire() -> (Broker, Wire) {
    let broker = Broker::of_its_own();
    let mut url = Url::parse(&broker.url).unwrap();
    let wire = Wire::to(url.port().unwrap_or(5672)).await;
    url.set_port(Some(wire.port)).unwrap();
    (broker.at(url.to_string()), wire)
}

/// Takes so many and does not settle them.
pub(crate) async fn hold(queue: &RabbitQueue, count: usize) -> Vec<Receipt> {
    let mut held = Vec::new();
    while held.len() < count {
        let taken = timeout(LIMIT, queue.take_events(count)).await.unwrap();
        held.extend(taken.into_iter().map(|taken| taken.receipt));
    }
    held
}

pub(crate) async fn broken_and_mended(queue: &RabbitQueue, wire: &Wire) {
    wire.cut();
    stands(queue, |standing| matches!(standing, Standing::Away(_))).await;
    wire.mend();
    stands(queue, |standing| *standing == Standing::Connected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_while_the_broker_is_away_and_returns_to_it() {
    let (broker, wire) = behind_a_wire().await;
    let queue = broker.connected(1000).await;
    publish(&queue, 1..=10).await;
    assert_eq!(take_all(&queue, 10).await, (1..=10).collect::<Vec<_>>());

    wire.cut();
    stands(&queue, |standing| matches!(standing, Standing::Away(_))).await;
    assert_eq!(queue.room(Lane::Events), 1000);
    publish(&queue, 11..=20).await;
    assert_eq!(take_all(&queue, 10).await, (11..=20).collect::<Vec<_>>());

    wire.mend();
    stands(&queue, |standing| *standing == Standing::Connected).await;
    publish(&queue, 21..=30).await;
    let mut all = Vec::new();
    while !(21..=30).all(|id| all.contains(&id)) {
        all.extend(take(&queue, 10).await);
    }
    // What was acknowledged on the wire as it was cut may come again, the rest must not.
    assert!(all.iter().all(|id| !(11..=20).contains(id)), "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_wire_is_cut_while_much_is_published() {
    let (broker, wire) = behind_a_wire().await;
    let queue = broker.connected(5000).await;
    for start in (0..2000).step_by(50) {
        publish(&queue, start..start + 50).await;
        if start == 1000 {
            wire.cut();
        }
    }
    wire.mend();
    let mut all = Vec::new();
    while all.len() < 2000 {
        all.extend(take(&queue, 500).await);
        all = sorted(all);
    }
    assert_eq!(all, (0..2000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_settled_when_the_connection_breaks_is_handed_out_again() {
    let (broker, wire) = behind_a_wire().await;
    let queue = broker.connected(100).await;
    publish(&queue, 1..=2).await;
    let first = hold(&queue, 2).await;
    broken_and_mended(&queue, &wire).await;
    let second = hold(&queue, 2).await;
    // The receipts of the broken connection mean nothing on the new one.
    queue.settle(Lane::Events, first).await;
    broken_and_mended(&queue, &wire).await;
    assert_eq!(take_all(&queue, 2).await, [1, 2]);
    queue.settle(Lane::Events, second).await;
    publish(&queue, [3]).await;
    assert_eq!(take(&queue, 1).await, [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_what_is_settled_is_acknowledged_and_the_rest_is_left_to_others() {
    let broker = Broker::of_its_own();
    let queue = broker.connected(100).await;
    for id in 1..=3 {
        publish(&queue, [id]).await;
    }
    let mut held = hold(&queue, 3).await;
    let unsettled = held.pop();
    assert!(unsettled.is_some());
    queue.settle(Lane::Events, held).await;
    queue.close().await;

    let (_connection, channel) = broker.channel().await;
    let (body, _) = broker.message(&channel, "dispatch.v1").await;
    let events = sidehook_event::wire::decode(body.into()).unwrap();
    assert_eq!(events, [(*event(3)).clone()]);
    let name = format!("{}.dispatch.v1", broker.prefix);
    let more = channel.basic_get(name.as_str().into(), BasicGetOptions::default()).await.unwrap();
    assert!(more.is_none(), "{more:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there_at_the_start_is_used_when_it_comes() {
    let (broker, wire) = behind_a_wire().await;
    wire.cut();
    let queue = broker.queue(100).await.expect("no error");
    publish(&queue, [1]).await;
    assert_eq!(take(&queue, 1).await, [1]);
    wire.mend();
    stands(&queue, |standing| *standing == Standing::Connected).await;
    publish(&queue, [2]).await;
    assert_eq!(take(&queue, 1).await, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_work_of_one_process_is_done_by_another() {
    let broker = Broker::of_its_own();
    let (one, other) = (broker.connected(100).await, broker.connected(100).await);
    let mut taken = Vec::new();
    for id in 1..=20 {
        publish(&one, [id]).await;
    }
    while taken.len() < 20 {
        tokio::select! {
            ids = take(&one, 1) => taken.extend(ids),
            ids = take(&other, 1) => taken.extend(ids),
        }
    }
    assert_eq!(sorted(taken), (1..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_comes_back_when_the_queue_is_emptied_by_somebody_else() {
    let broker = Broker::of_its_own();
    let queue = broker.connected(3).await;
    let (_connection, channel) = broker.channel().await;
    // More than this process is handed, so that something is left in the queue.
    let name = format!("{}.dispatch.v1", broker.prefix);
    for _ in 0..10 {
        publish(&queue, 1..=3).await;
        let purge = QueuePurgeOptions::default();
        channel.queue_purge(name.as_str().into(), purge).await.unwrap();
        while queue.room(Lane::Events) < 3 {
            let taking = timeout(LIMIT, queue.has_room(Lane::Events));
            tokio::select! {
                room = taking => room.expect("room in time"),
                _ = take(&queue, 3) => {}
            }
        }
    }
    publish(&queue, [9]).await;
    assert_eq!(take(&queue, 1).await, [9]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_somebody_deletes_is_declared_again() {
    let broker = Broker::of_its_own();
    let queue = broker.connected(100).await;
    let (_connection, channel) = broker.channel().await;
    let name = format!("{}.dispatch.v1", broker.prefix);
    channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    stands(&queue, |standing| matches!(standing, Standing::Away(_))).await;
    stands(&queue, |standing| *standing == Standing::Connected).await;
    publish(&queue, [1]).await;
    assert_eq!(take(&queue, 1).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_becomes_a_dead_letter_and_blocks_nothing() {
    let broker = Broker::of_its_own();
    let queue = broker.connected(100).await;
    let (_connection, channel) = broker.channel().await;
    let exchange = format!("{}.deliveries", broker.prefix);
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    let garbage = channel.basic_publish(
        exchange.as_str().into(),
        "delivery".into(),
        options,
        b"garbage",
        properties,
    );
    garbage.await.unwrap().await.unwrap();
    queue.publish_deliveries(vec![delivery(7)]).await;
    let taken = timeout(LIMIT, queue.take_deliveries(2)).await.expect("in time");
    assert_eq!(taken.len(), 1);
    let letter = broker.message(&channel, "dead-letters.v1").await;
    assert_eq!(letter, (b"garbage".to_vec(), "pipeline.deliveries".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_queue_asks_for_is_kept_where_it_is_seen() {
    let broker = Broker::of_its_own();
    let _queue = broker.connected(100).await;
    let (_connection, channel) = broker.channel().await;
    let exchange = format!("{}.deliveries", broker.prefix);
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let stray = channel.basic_publish(
        exchange.as_str().into(),
        "nobody".into(),
        options,
        b"stray",
        properties,
    );
    stray.await.unwrap().await.unwrap();
    let kept = broker.message(&channel, "unroutable.v1").await;
    assert_eq!(kept, (b"stray".to_vec(), "nobody".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_arguments_is_named_at_the_start() {
    let broker = Broker::of_its_own();
    let (_connection, channel) = broker.channel().await;
    let name = format!("{}.deliveries.v1", broker.prefix);
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
    declared.await.unwrap();
    let error = broker.queue(100).await.expect_err("it is not ours");
    assert!(matches!(error, Error::Incompatible { kind: "queue", .. }), "{error:?}");
    let error = error.to_string();
    assert!(error.contains(&format!("the queue {name} exists with other arguments")), "{error}");
    assert!(error.contains("delete it"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_or_virtual_host_is_an_error_that_does_not_show_the_password() {
    let broker = Broker::of_its_own();
    let right = Url::parse(&broker.url).unwrap();
    let mut password = right.clone();
    password.set_password(Some("wr0ng-secret")).unwrap();
    let mut host = right;
    host.set_path("/nowhere");
    for url in [password, host] {
        let error = broker.at(url.to_string()).queue(100).await.expect_err("refused");
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
        let error = format!("{:#}", anyhow::Error::from(error));
        assert!(!error.contains("wr0ng-secret"), "{error}");
    }
}

/// Takes so many deliveries and does not settle them: what they are, their receipts, and whether
/// they may have been handed out before.
async fn hold_deliveries(queue: &RabbitQueue, count: usize) -> Vec<(u128, Receipt, bool)> {
    let mut held = Vec::new();
    while held.len() < count {
        let taken = timeout(LIMIT, queue.take_deliveries(count - held.len())).await.unwrap();
        held.extend(taken.into_iter().map(|it| (it.work.id.bits(), it.receipt, it.is_again)));
    }
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_of_one_message_come_again_together_until_the_last_of_them_is_settled() {
    let (broker, wire) = behind_a_wire().await;
    let queue = broker.connected(1000).await;
    queue.publish_deliveries((1..=3).map(delivery).collect()).await;
    let first = hold_deliveries(&queue, 3).await;
    assert!(first.iter().all(|(_, _, is_again)| !is_again));
    queue.settle(Lane::Deliveries, first[..2].iter().map(|held| held.1).collect()).await;
    broken_and_mended(&queue, &wire).await;
    let again = hold_deliveries(&queue, 3).await;
    assert_eq!(
        again.iter().map(|held| (held.0, held.2)).collect::<Vec<_>>(),
        [(1, true), (2, true), (3, true)]
    );
    queue.settle(Lane::Deliveries, again.iter().map(|held| held.1).collect()).await;
    queue.close().await;
    let (_connection, channel) = broker.channel().await;
    let name = format!("{}.deliveries.v1", broker.prefix);
    let left = channel.basic_get(name.as_str().into(), BasicGetOptions::default()).await.unwrap();
    assert!(left.is_none(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_deliveries_are_taken_in_their_order_however_many_a_message_holds() {
    let broker = Broker::of_its_own();
    let queue = broker.connected(1000).await;
    queue.publish_deliveries((0..200).map(delivery).collect()).await;
    let mut ids = Vec::new();
    while ids.len() < 200 {
        let taken = timeout(LIMIT, queue.take_deliveries(7)).await.unwrap();
        assert!(taken.len() <= 7);
        ids.extend(taken.iter().map(|taken| taken.work.id.bits()));
        queue.settle(Lane::Deliveries, taken.into_iter().map(|it| it.receipt).collect()).await;
    }
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
    assert_eq!(queue.room(Lane::Deliveries), 1000);
}
