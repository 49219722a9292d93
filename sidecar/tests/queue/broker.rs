//! The RabbitMQ that the tests run on, seen by one test.
//!
//! Invariant: no test sees the queues of another, since each has a prefix of its own.

#![expect(clippy::expect_used, clippy::panic, reason = "without a broker there is nothing to test")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use lapin::{Channel, Connection, ConnectionProperties, options::BasicGetOptions};
use sidehook::{
    clock::SystemClock,
    queue::{
        Lanes,
        local::LocalQueue,
        rabbitmq::{Config, Error, RabbitQueue, Standing},
    },
};
use tokio::time::{interval, timeout};

use super::conformance::LIMIT;

/// Names the broker; `cargo xtask test` starts one and sets it.
const VARIABLE: &str = "SIDEHOOK_TEST_RABBITMQ";

/// The broker, and the names that are this test's.
pub(crate) struct Broker {
    pub(crate) url: String,
    pub(crate) prefix: String,
    /// How many events a queue keeps to itself.
    pub(crate) near: usize,
    /// Whether events are announced.
    pub(crate) announce: bool,
}

impl Broker {
    /// The broker with a prefix that nobody else uses.
    pub(crate) fn of_its_own() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(url) = std::env::var(VARIABLE) else {
            panic!("{VARIABLE} is not set: run `cargo xtask test`, which starts a RabbitMQ");
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("test-{}-{count}", std::process::id());
        Self { url, prefix, near: 0, announce: false }
    }

    /// The same broker, reached by another way.
    pub(crate) fn at(&self, url: String) -> Self {
        Self { url, prefix: self.prefix.clone(), near: self.near, announce: self.announce }
    }

    /// A queue on it, connected or not.
    pub(crate) async fn queue(&self, capacity: usize) -> Result<RabbitQueue, Error> {
        self.queue_of(Lanes::ALL, capacity).await
    }

    /// A queue on it, connected or not, that takes from these lanes.
    async fn queue_of(&self, lanes: Lanes, capacity: usize) -> Result<RabbitQueue, Error> {
        let (url, prefix) = (self.url.clone().into(), self.prefix.clone());
        let config = Config {
            url,
            prefix,
            capacity,
            lanes,
            near: self.near,
            announce: self.announce,
            inbound: true,
        };
        let fallback = Arc::new(LocalQueue::new(lanes, capacity));
        let connecting = RabbitQueue::connect(config, fallback, Arc::new(SystemClock::start()));
        timeout(LIMIT, connecting).await.expect("an answer in time")
    }

    /// A queue on it, connected.
    pub(crate) async fn connected(&self, capacity: usize) -> RabbitQueue {
        self.taking(Lanes::ALL, capacity).await
    }

    /// A queue on it, connected, that takes from these lanes.
    pub(crate) async fn taking(&self, lanes: Lanes, capacity: usize) -> RabbitQueue {
        let queue = self.queue_of(lanes, capacity).await.expect("a broker");
        stands(&queue, |standing| *standing == Standing::Connected).await;
        queue
    }

    /// A channel beside the queue's own.
    pub(crate) async fn channel(&self) -> (Connection, Channel) {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.url, properties).await.expect("a connection");
        let channel = connection.create_channel().await.expect("a channel");
        (connection, channel)
    }

    /// Waits until a message lies in the queue `name`, and takes it away: its body and its key.
    pub(crate) async fn message(&self, channel: &Channel, name: &str) -> (Vec<u8>, String) {
        let name = format!("{}.{name}", self.prefix);
        let mut ticks = interval(Duration::from_millis(20));
        let found = async {
            loop {
                ticks.tick().await;
                let options = BasicGetOptions { no_ack: true };
                let got = channel.basic_get(name.as_str().into(), options).await;
                if let Some(message) = got.expect("the queue exists") {
                    let delivery = message.delivery;
                    return (delivery.data, delivery.routing_key.to_string());
                }
            }
        };
        timeout(LIMIT, found).await.unwrap_or_else(|_| panic!("nothing came to {name}"))
    }
}

/// Waits until it stands so.
pub(crate) async fn stands(queue: &RabbitQueue, so: impl Fn(&Standing) -> bool) {
    let mut standing = queue.standing();
    let reached = timeout(LIMIT, standing.wait_for(|now| so(now))).await.is_ok();
    assert!(reached, "it stands {:?}", *queue.standing().borrow());
}
