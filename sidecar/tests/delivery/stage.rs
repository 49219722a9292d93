//! The stage of the delivery tests: a store in a folder of its own, the workers, a receiver.
//!
//! Invariant: whatever the workers do, no wait lasts longer than [`LIMIT`], and one that fails
//! says what was seen last.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is how a test fails"
)]

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State as Shared, http::HeaderMap};
use http::StatusCode;
use prometheus_client::registry::Registry;
use serde_json::Map;
use sidehook::{
    clock::{Clock, SystemClock, mint},
    deliver::{Client, Deliverer, Metrics, egress::Rule, holds::Holding, making::Maker},
    dispatch::Dispatcher,
    ingest::{self, Ingest},
    live::Live,
    model::{
        Attempt, Delivery, DeliveryId, Format, Headers, Order, Pacing, PageRequest, Retry, Secret,
        State, Subscription, SubscriptionId, Target, Tls,
    },
    queue::{Lanes, local::LocalQueue},
    route::Table,
    store::{DeliveryFilter, Store, seal::Keyring, sqlite::SqliteStore},
    sweep::Sweeper,
    trace::Tracer,
};
use sidehook_event::{Body, Event, EventId, Exchange, TypeId, UnixMicros};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::opened::scripts;

const LIMIT: Duration = Duration::from_secs(20);

/// Everything between `ingest` and the receiver, running.
pub(crate) struct Stage {
    pub(crate) schedule: Vec<Duration>,
    queue_capacity: usize,
    rule: Rule,
    folder: TempDir,
    receiver: Receiver,
    pub(crate) running: Running,
}

pub(crate) struct Running {
    pub(crate) store: Arc<dyn Store>,
    table: Arc<Table>,
    pub(crate) clock: Arc<dyn Clock>,
    ingest: Ingest,
    workers: JoinSet<()>,
}

/// What the receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) id: String,
    pub(crate) body: Bytes,
}

#[derive(Clone)]
struct Receiver {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    got: Vec<Webhook>,
    answers: VecDeque<u16>,
    hangs: bool,
}

/// An event of this type.
pub(crate) fn event(id: u128, event_type: &str) -> Event {
    let response = Body { content: Bytes::from(format!("{{\"id\":{id}}}")), ..Body::default() };
    Event {
        id: EventId::from_bits(id),
        event_type: event_type.parse().unwrap(),
        source: "edge".to_owned(),
        subject: Some(id.to_string()),
        parents: Vec::new(),
        sequence: None,
        time: UnixMicros::new(1_763_890_200_000_000),
        exchange: Exchange { status: 201, response, ..Exchange::default() },
    }
}

/// A subscription that says nothing out of the ordinary.
pub(crate) fn subscription(id: SubscriptionId, url: &str, pattern: &str) -> Subscription {
    Subscription {
        id,
        url: Target::parse(url).unwrap(),
        pattern: pattern.parse().unwrap(),
        filter: None,
        script: None,
        custom_headers: Headers::default(),
        custom_payload: Map::new(),
        format: Format::Standard,
        signing: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<Secret>().unwrap().into(),
        enabled: true,
        disabled_reason: None,
        retry: Retry::default(),
        timeout: Duration::from_secs(5),
        tls: Tls::default(),
        pacing: Pacing::default(),
        ordering: Order::None,
        description: None,
        metadata: BTreeMap::new(),
        created_at: UnixMicros::EPOCH,
        updated_at: UnixMicros::EPOCH,
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with_queue_of(1000).await
    }

    pub(crate) async fn with_queue_of(queue_capacity: usize) -> Self {
        let loopback = Rule::allowing(["127.0.0.0/8".parse().unwrap()]);
        Self::with(queue_capacity, loopback).await
    }

    /// One whose deliveries may go where this rule allows.
    pub(crate) async fn with(queue_capacity: usize, rule: Rule) -> Self {
        let schedule = vec![Duration::ZERO, Duration::from_millis(50), Duration::from_millis(50)];
        let folder = TempDir::new().unwrap();
        let receiver = Receiver::start().await;
        let running = Running::start(&folder, queue_capacity, rule.clone()).await;
        Self { schedule, queue_capacity, rule, folder, receiver, running }
    }

    /// Ends the workers in the middle of what they do, and starts them anew on the same file.
    pub(crate) async fn killed_and_started(self) -> Self {
        let Self { schedule, queue_capacity, rule, folder, receiver, running } = self;
        let Running { store, table, ingest, mut workers, .. } = running;
        workers.shutdown().await;
        drop((table, ingest));
        // Attempts are tasks of their own; they hold the store until they notice.
        let mut store = Some(store);
        within("the store to be free", async || {
            let last = store.take().map(|store| Arc::strong_count(&store) - 1);
            let opened =
                SqliteStore::open(&folder.path().join("sidehook.db"), Keyring::default()).await;
            opened.map(drop).map_err(|error| format!("{error}, {last:?} others hold it"))
        })
        .await;
        let running = Running::start(&folder, queue_capacity, rule.clone()).await;
        receiver.heard.lock().unwrap().hangs = false;
        Self { schedule, queue_capacity, rule, folder, receiver, running }
    }

    pub(crate) async fn subscribe(&self, pattern: &str) -> Subscription {
        let url = format!("http://{}/webhook", self.receiver.address);
        self.subscribe_url(&url, pattern).await
    }

    pub(crate) async fn subscribe_url(&self, url: &str, pattern: &str) -> Subscription {
        let subscription = Subscription {
            retry: Retry { schedule: self.schedule.clone().into(), jitter: 0.0, horizon: None },
            ..subscription(mint(&*self.running.clock), url, pattern)
        };
        self.running.store.upsert_subscription(subscription.clone(), true).await.unwrap();
        self.reload(subscription.id).await;
        subscription
    }

    pub(crate) async fn change(&self, subscription: Subscription) {
        assert!(self.running.store.update_subscription(&subscription).await.unwrap());
        self.reload(subscription.id).await;
    }

    /// As if the receiver had done nothing but fail for so long.
    pub(crate) async fn failed_for(&self, id: SubscriptionId, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap();
        let since = UnixMicros::new(self.running.clock.now().micros() - micros);
        assert_eq!(self.running.store.receiver_fails(id, since).await.unwrap(), since);
    }

    pub(crate) async fn stored(&self, id: SubscriptionId) -> Subscription {
        self.running.store.subscription(id).await.unwrap().unwrap()
    }

    /// Waits until the outcome of so many attempts is stored.
    pub(crate) async fn attempted(&self, count: u32) {
        within("attempts", async || {
            let attempts: u32 =
                self.deliveries().await.iter().map(|delivery| delivery.attempts).sum();
            if count == attempts { Ok(()) } else { Err(format!("{attempts} are stored")) }
        })
        .await;
    }

    pub(crate) async fn redrive(&self, id: DeliveryId) {
        let now = self.running.clock.now();
        assert_eq!(self.running.store.redrive(&[id], now).await.unwrap(), 1);
    }

    pub(crate) async fn unsubscribe(&self, id: SubscriptionId) {
        let now = self.running.clock.now();
        assert!(self.running.store.delete_subscription(id, now).await.unwrap());
        self.reload(id).await;
    }

    async fn reload(&self, id: SubscriptionId) {
        self.running.table.reload(&*self.running.store, id).await.unwrap();
    }

    /// Hands events over as a gateway does, and waits until they are stored.
    pub(crate) async fn store(&self, events: impl IntoIterator<Item = Event>) {
        self.running.ingest.submit(events.into_iter().collect()).await.unwrap();
    }

    /// The receiver answers so, one after the other, and then 200.
    pub(crate) fn receiver_answers(&self, statuses: impl IntoIterator<Item = u16>) {
        self.receiver.heard.lock().unwrap().answers.extend(statuses);
    }

    /// The receiver answers nothing any more.
    pub(crate) fn receiver_hangs(&self) {
        self.receiver.heard.lock().unwrap().hangs = true;
    }

    /// Waits until so many webhooks came, and no more.
    pub(crate) async fn receiver_got(&self, count: usize) -> Vec<Webhook> {
        within("webhooks", async || {
            let got = self.receiver.heard.lock().unwrap().got.clone();
            if got.len() == count { Ok(got) } else { Err(format!("{} came", got.len())) }
        })
        .await
    }

    /// Waits until so many deliveries are there and none of them is pending.
    pub(crate) async fn settled(&self, count: usize) -> Vec<Delivery> {
        within("deliveries to settle", async || {
            let deliveries = self.deliveries().await;
            let settled = deliveries.iter().all(|delivery| delivery.state != State::Pending);
            if settled && deliveries.len() == count {
                Ok(deliveries)
            } else {
                Err(format!("{deliveries:#?}"))
            }
        })
        .await
    }

    /// Waits until the only delivery is pending and due as `expected` says, given the time.
    pub(crate) async fn one_pending_until(
        &self,
        expected: fn(UnixMicros, UnixMicros) -> bool,
    ) -> Delivery {
        within("the delivery to rest", async || {
            let deliveries = self.deliveries().await;
            let now = self.running.clock.now();
            match &deliveries[..] {
                [one] if one.next_attempt_at.is_some_and(|due| expected(due, now)) => {
                    Ok(one.clone())
                }
                _ => Err(format!("{deliveries:#?}")),
            }
        })
        .await
    }

    pub(crate) async fn attempts(&self, id: DeliveryId) -> Vec<Attempt> {
        self.running.store.delivery(id).await.unwrap().unwrap().1
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        let page = PageRequest { after: None, limit: 200 };
        self.running.store.deliveries(&DeliveryFilter::default(), page).await.unwrap().data
    }
}

impl Running {
    async fn start(folder: &TempDir, queue_capacity: usize, rule: Rule) -> Self {
        let file = folder.path().join("sidehook.db");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&file, Keyring::default()).await.unwrap());
        store.recover(clock.now()).await.unwrap();
        let table = Arc::new(Table::default());
        table.reload_all(&*store).await.unwrap();
        let queue = Arc::new(LocalQueue::new(Lanes::ALL, queue_capacity));
        let mut registry = Registry::default();
        let (ingest, committer) = ingest::ingest(
            Arc::clone(&store),
            queue.clone(),
            Arc::clone(&clock),
            ingest::Metrics::register(&mut registry),
        );
        let dispatcher = Arc::new(Dispatcher {
            store: Arc::clone(&store),
            queue: queue.clone(),
            clock: Arc::clone(&clock),
            table: Arc::clone(&table),
            scripts: scripts(),
            tracer: Tracer::off(),
            live: Live::default(),
            per_subscription: None,
        });
        let committer = committer.dispatching(Some(Arc::clone(&dispatcher)));
        let metrics = Metrics::register(&mut registry);
        let holding =
            Holding { holds: Arc::default(), table: Arc::clone(&table), metrics: metrics.clone() };
        let deliverer = Deliverer {
            store: Arc::clone(&store),
            queue: queue.clone(),
            clock: Arc::clone(&clock),
            table: Arc::clone(&table),
            holds: Arc::clone(&holding.holds),
            maker: Arc::new(Maker::new(scripts(), Tracer::off())),
            courier: Arc::new(Client::new(Arc::new(rule)).unwrap()),
            metrics,
            tracer: Tracer::off(),
            live: Live::default(),
        };
        let sweeper = Arc::new(Sweeper {
            store: Arc::clone(&store),
            queue,
            clock: Arc::clone(&clock),
            holding,
        });
        let sweeping = Arc::clone(&sweeper);
        let mut workers = JoinSet::new();
        workers.spawn(committer.run());
        // Killed, never asked to stop.
        let never = CancellationToken::new();
        let stops = [never.clone(), never.clone(), never.clone()];
        let [dispatching, of_events, of_deliveries] = stops;
        workers.spawn(async move { dispatcher.run(&dispatching).await });
        workers.spawn(async move { sweeping.run_events(&of_events).await });
        workers.spawn(async move { sweeper.run_deliveries(&of_deliveries).await });
        workers.spawn(deliverer.run(64, never));
        Self { store, table, clock, ingest, workers }
    }
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self { address: listener.local_addr().unwrap(), heard: Arc::default() };
        let router = Router::new().fallback(hear).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }
}

async fn hear(Shared(receiver): Shared<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let answer = {
        let mut heard = receiver.heard.lock().unwrap();
        heard.got.push(Webhook { id, body });
        if heard.hangs { None } else { Some(heard.answers.pop_front().unwrap_or(200)) }
    };
    match answer {
        Some(status) => StatusCode::from_u16(status).unwrap(),
        None => std::future::pending().await,
    }
}

/// Looks again and again until there is something to return.
async fn within<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut seen = String::new();
    let found = tokio::time::timeout(LIMIT, async {
        loop {
            match look().await {
                Ok(found) => return found,
                Err(instead) => seen = instead,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let Ok(found) = found.await else { panic!("waited in vain for {what}; last seen: {seen}") };
    found
}
