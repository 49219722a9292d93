//! What the queue on RabbitMQ tells about itself.
//!
//! Invariant: metrics are read here as a scraper reads them.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use prometheus_client::{encoding::text, registry::Registry};
use sidehook::queue::{
    Lane, Queue,
    rabbitmq::{RabbitQueue, Standing},
};
use tokio::time::timeout;

use super::{
    broker::{Broker, stands},
    conformance::{LIMIT, delivery, publish, take_all},
    rabbitmq::{behind_a_wire, broken_and_mended, hold},
};

/// What a scrape shows of `name`, its values by their labels.
fn scraped(registry: &Registry, name: &str) -> Vec<String> {
    let mut all = String::new();
    text::encode(&mut all, registry).unwrap();
    let lines = all.lines().filter_map(|line| line.strip_prefix("sidehook_rabbitmq_"));
    let lines = lines.filter_map(|line| line.strip_prefix(name));
    lines.map(str::to_owned).collect()
}

fn registry(queue: &RabbitQueue) -> Registry {
    let mut registry = Registry::with_prefix("sidehook");
    queue.register(&mut registry);
    registry
}

/// Waits until a scrape shows that.
async fn shows(registry: &Registry, name: &str, expected: &str) {
    let shown = async {
        while !scraped(registry, name).iter().any(|line| line == expected) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let shown = timeout(LIMIT, shown).await;
    assert!(shown.is_ok(), "{name} shows {:?}", scraped(registry, name));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_through_the_broker_is_counted() {
    let broker = Broker::of_its_own();
    let queue = broker.connected(100).await;
    let registry = registry(&queue);
    assert_eq!(scraped(&registry, "connected"), [" 1"]);
    publish(&queue, 1..=3).await;
    queue.publish_deliveries(vec![delivery(1)]).await;
    take_all(&queue, 3).await;
    for name in ["published_total", "confirmed_total"] {
        shows(&registry, name, "{lane=\"events\"} 3").await;
        shows(&registry, name, "{lane=\"deliveries\"} 1").await;
    }
    shows(&registry, "waiting", "{lane=\"events\"} 0").await;
    shows(&registry, "waiting", "{lane=\"deliveries\"} 1").await;
    for name in ["returned_total", "bypassed_total", "redelivered_total", "unreadable_total"] {
        shows(&registry, name, "{lane=\"events\"} 0").await;
    }
    for link in ["publisher", "events", "deliveries"] {
        shows(&registry, "connections_total", &format!("{{link=\"{link}\"}} 1")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_round_the_broker_or_came_twice_is_counted() {
    let (broker, wire) = behind_a_wire().await;
    let queue = broker.connected(100).await;
    let registry = registry(&queue);
    assert_eq!(queue.trouble(), None);
    publish(&queue, 1..=2).await;
    hold(&queue, 2).await;
    broken_and_mended(&queue, &wire).await;
    hold(&queue, 2).await;
    shows(&registry, "redelivered_total", "{lane=\"events\"} 2").await;
    shows(&registry, "connections_total", "{link=\"events\"} 2").await;

    wire.cut();
    stands(&queue, |standing| matches!(standing, Standing::Away(_))).await;
    assert_eq!(scraped(&registry, "connected"), [" 0"]);
    let trouble = queue.trouble().unwrap();
    assert!(trouble.starts_with("rabbitmq is away: "), "{trouble}");
    publish(&queue, 3..=7).await;
    shows(&registry, "bypassed_total", "{lane=\"events\"} 5").await;
    assert_eq!(queue.room(Lane::Events), 95);
}
