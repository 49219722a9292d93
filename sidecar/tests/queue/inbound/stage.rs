//! One who publishes to RabbitMQ, and one who takes in what is published.
//!
//! Invariant: every wait has a limit and tells the last state seen.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::FutureExt as _;
use lapin::{
    BasicProperties, Channel, Connection,
    message::BasicGetMessage,
    options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use prometheus_client::{encoding::text, registry::Registry};
use serde_json::{Value, json};
use sidehook::{
    clock::{Clock, SystemClock},
    ingest::{
        self,
        inbound::{self, Inbound},
    },
    model::PageRequest,
    queue::{inbound::TakeIn, local::LocalQueue, rabbitmq::RabbitQueue},
    store::{EventFilter, Store, seal::Keyring, sqlite::SqliteStore},
};
use sidehook_event::Event;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::queue::{broker::Broker, conformance::LIMIT};

pub(super) const ONE: &str = "application/cloudevents+json";

/// What takes messages in and stores them.
pub(super) struct Sidecar {
    store: Arc<dyn Store>,
    file: PathBuf,
    registry: Registry,
    stop: CancellationToken,
    taking_in: JoinHandle<()>,
    _queue: RabbitQueue,
    _folder: TempDir,
}

impl Sidecar {
    pub(super) async fn on(broker: &Broker) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("sidehook.db");
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&file, Keyring::default()).await.unwrap());
        let mut registry = Registry::default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let local = Arc::new(LocalQueue::default());
        let metrics = ingest::Metrics::register(&mut registry);
        let (ingest, committer) =
            ingest::ingest(Arc::clone(&store), local, Arc::clone(&clock), metrics);
        tokio::spawn(committer.run());
        let metrics = inbound::Metrics::register(&mut registry);
        let inbound = Arc::new(Inbound::new(ingest, clock, metrics));
        let take_in: TakeIn = Arc::new(move |message| {
            let inbound = Arc::clone(&inbound);
            async move { inbound.take_in(message).await }.boxed()
        });
        let queue = broker.connected(100).await;
        let stop = CancellationToken::new();
        let taking_in = tokio::spawn(queue.take_in(take_in, stop.clone()));
        Self { store, file, registry, stop, taking_in, _queue: queue, _folder: folder }
    }

    pub(super) async fn events(&self) -> Vec<Event> {
        let page = PageRequest { after: None, limit: 500 };
        self.store.events(&EventFilter::default(), page).await.unwrap().data
    }

    /// Waits until so many events are stored.
    pub(super) async fn stores(&self, count: usize) -> Vec<Event> {
        let mut ticks = interval(Duration::from_millis(20));
        let stored = async {
            loop {
                ticks.tick().await;
                let events = self.events().await;
                if events.len() == count {
                    return events;
                }
            }
        };
        let stored = timeout(LIMIT, stored).await;
        assert!(stored.is_ok(), "{} of {count} events are stored", self.events().await.len());
        stored.unwrap()
    }

    pub(super) fn counted(&self, result: &str) -> u64 {
        let mut exposed = String::new();
        text::encode(&mut exposed, &self.registry).unwrap();
        let name = format!("inbound_messages_total{{result=\"{result}\"}} ");
        exposed.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    }

    /// Waits until so many messages, or more, were counted.
    pub(super) async fn counts(&self, result: &str, count: u64) {
        let counted = async {
            while self.counted(result) < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let counted = timeout(LIMIT, counted).await;
        assert!(counted.is_ok(), "{} are {result}, not {count}", self.counted(result));
    }

    /// Makes the store refuse events, or take them again.
    pub(super) async fn is_away(&self, away: bool) {
        let url = format!("sqlite:{}", self.file.display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let statement = if away {
            "CREATE TRIGGER away BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'away'); END"
        } else {
            "DROP TRIGGER away"
        };
        sqlx::query(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Ends.
    pub(super) async fn stops(self) {
        self.stop.cancel();
        timeout(LIMIT, self.taking_in).await.unwrap().unwrap();
    }
}

/// One who publishes.
pub(super) struct Publisher {
    pub(super) channel: Channel,
    prefix: String,
    _connection: Connection,
}

impl Publisher {
    pub(super) async fn on(broker: &Broker) -> Self {
        let (connection, channel) = broker.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { channel, prefix: broker.prefix.clone(), _connection: connection }
    }

    /// Publishes to the exchange.
    pub(super) async fn publishes(&self, properties: BasicProperties, body: &[u8]) {
        let exchange = format!("{}.inbound", self.prefix);
        self.publishes_to(&exchange, "any.key", properties, body).await;
    }

    pub(super) async fn publishes_to(
        &self,
        exchange: &str,
        key: &str,
        properties: BasicProperties,
        body: &[u8],
    ) {
        let options = BasicPublishOptions::default();
        let publishing =
            self.channel.basic_publish(exchange.into(), key.into(), options, body, properties);
        let confirmed = publishing.await.unwrap().await.unwrap();
        assert!(confirmed.is_ack(), "{confirmed:?}");
    }

    /// Publishes one event in structured mode.
    pub(super) async fn tells(&self, number: u64) {
        self.publishes(of_type(ONE), event(number).to_string().as_bytes()).await;
    }

    /// How many messages lie in the queue, but for those that somebody holds.
    pub(super) async fn waiting(&self, queue: &str) -> u32 {
        let name = format!("{}.{queue}", self.prefix);
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let none = FieldTable::default();
        let state = self.channel.queue_declare(name.into(), passive, none).await.unwrap();
        state.message_count()
    }

    /// Waits until so many messages lie in the queue.
    pub(super) async fn sees(&self, queue: &str, count: u32) {
        let seen = async {
            while self.waiting(queue).await != count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let seen = timeout(LIMIT, seen).await;
        assert!(seen.is_ok(), "{} messages are in {queue}", self.waiting(queue).await);
    }

    pub(super) async fn letter(&self) -> BasicGetMessage {
        self.sees("dead-letters.v1", 1).await;
        let queue = format!("{}.dead-letters.v1", self.prefix);
        let options = BasicGetOptions { no_ack: true };
        self.channel.basic_get(queue.into(), options).await.unwrap().unwrap()
    }

    /// Nothing lies anywhere, once nobody consumes.
    pub(super) async fn finds_nothing_left(&self) {
        self.sees("inbound.v1", 0).await;
        self.sees("dead-letters.v1", 0).await;
        self.sees("unroutable.v1", 0).await;
    }
}

pub(super) fn of_type(content_type: &str) -> BasicProperties {
    BasicProperties::default().with_content_type(content_type.into()).with_delivery_mode(2)
}

pub(super) fn event(number: u64) -> Value {
    json!({
        "specversion": "1.0", "id": number.to_string(), "source": "/importer",
        "type": "people.created", "time": "2025-11-23T09:29:00Z", "subject": "people/7",
        "data": {"id": number},
    })
}

pub(super) fn header(letter: &BasicGetMessage, name: &str) -> String {
    let headers = letter.properties.headers().as_ref().unwrap().inner();
    let text = headers.get(name).and_then(AMQPValue::as_long_string).unwrap();
    String::from_utf8(text.as_bytes().to_vec()).unwrap()
}
