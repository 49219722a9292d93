//! The desk at which the tests of the API ask: its routes over a real store, with time and
//! chance that come out alike in every run.
//!
//! Invariant: a test says what it asks and what is answered; how is here.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, response::Parts},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use prometheus_client::registry::Registry;
use serde_json::Value;
use sidehook::{
    access::{Access, Configured, Exposure},
    api::{self, Context, Defaults, Example, Gate},
    clock::Clock,
    config::Listen,
    deliver::{Client, egress::Rule},
    ingest,
    live::Live,
    model::{
        Attempt, Cause, Death, DeliveryId, Face, Outcome, Payload, Subscription, SubscriptionId,
        Successor, Target, Verdict,
    },
    queue::local::LocalQueue,
    route::Table,
    store::{Dispatched, Due, NewDelivery, Store, seal::Keyring, sqlite::SqliteStore},
};
use sidehook_event::{self as event, Event, EventId, EventType, Exchange, TypeId, UnixMicros};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::{
    contract::{self, Answered, essence},
    opened::scripts,
};

/// 2025-11-23T09:30:00Z.
pub(crate) const START: u64 = 1_763_890_200_000_000_000;

/// A desk and what stands behind it.
pub(crate) struct Desk {
    router: Router,
    store: Arc<SqliteStore>,
    table: Arc<Table>,
    /// Where it is told what happens.
    pub(crate) live: Live,
    _folder: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Null when there was none.
    pub(crate) body: Value,
}

/// On loopback, with this token for the API in the configuration.
pub(crate) fn gate(token: Option<&str>, clock: &Arc<dyn Clock>) -> Gate {
    let configured = Configured { api: token.map(Into::into), ingest: None };
    let listen = Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 5000)));
    let exposure = Exposure { api: vec![listen.clone()], ingest: Some(listen) };
    Gate::new(Arc::new(Access::new(&configured, exposure)), Arc::clone(clock))
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::open_with_token(None).await
    }

    /// A desk at which the configuration has this token for the API.
    pub(crate) async fn open_with_token(token: Option<&str>) -> Self {
        Self::open_with(token, Rule::default()).await
    }

    /// A desk from which deliveries may go to this machine.
    pub(crate) async fn open_to_loopback() -> Self {
        Self::open_with(None, Rule::allowing(["127.0.0.0/8".parse().unwrap()])).await
    }

    pub(crate) async fn open_with(token: Option<&str>, rule: Rule) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(
            SqliteStore::open(&folder.path().join("test.db"), Keyring::default()).await.unwrap(),
        );
        let table = Arc::new(Table::default());
        let clock: Arc<dyn Clock> = Arc::new(Steady::default());
        let gate = gate(token, &clock);
        let (ingest, committer) = ingest::ingest(
            Arc::<SqliteStore>::clone(&store),
            Arc::new(LocalQueue::default()),
            Arc::clone(&clock),
            ingest::Metrics::register(&mut Registry::default()),
        );
        tokio::spawn(committer.run());
        let live = Live::default();
        let router = api::router(Context {
            store: Arc::<SqliteStore>::clone(&store),
            clock,
            routes: Arc::clone(&table),
            client: Client::new(Arc::new(rule)).unwrap(),
            scripts: scripts(),
            defaults: Defaults::default(),
            ingest: Some(ingest),
            live: live.clone(),
            gate: gate.clone(),
        });
        let router = api::nothing_else(router, &gate, Face::Api);
        Self { router, store, table, live, _folder: folder }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PATCH, path, body.to_string()).await
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Body> + Send,
    ) -> Answer {
        let request = Request::builder().method(method).uri(path);
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        self.send_and_record(request).await.0
    }

    pub(crate) async fn recorded(&self, request: Request<Body>) -> Example {
        self.send_and_record(request).await.1
    }

    /// Sends a request, whose answer must be as the document tells, and shows both.
    pub(crate) async fn send_and_record(&self, request: Request<Body>) -> (Answer, Example) {
        let (head, body) = request.into_parts();
        let sent = body.collect().await.unwrap().to_bytes();
        let written = serde_json::from_slice::<Value>(&sent).ok();
        let (method, path) = (head.method.clone(), head.uri.to_string());
        let named = |headers: &HeaderMap| {
            let named = headers.get("content-type")?.to_str().ok()?;
            Some(essence(named).to_owned())
        };
        let content_type = named(&head.headers);
        let request = Request::from_parts(head, Body::from(sent));
        let (parts, body) = self.begin(request).await;
        let body = body.collect().await.unwrap().to_bytes();
        let body =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        Answered {
            method: &method,
            path: &path,
            sent: (content_type.as_deref(), written.as_ref()),
            status: answer.status,
            headers: &answer.headers,
            answer: &answer.body,
        }
        .assert_told();
        let route = contract::route(&method, &path).unwrap_or_default();
        let example = Example {
            method: method.to_string(),
            path: route.to_owned(),
            asked: path,
            content_type,
            body: written,
            status: answer.status.as_u16(),
            answer_type: named(&answer.headers),
            answer: Some(answer.body.clone()).filter(|body| !body.is_null()),
        };
        (answer, example)
    }

    /// What is no JSON.
    pub(crate) async fn page(&self, path: &str) -> (HeaderMap, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let (parts, body) = self.begin(request).await;
        let body = body.collect().await.unwrap().to_bytes();
        (parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Asks, and leaves the body of the answer to be read.
    pub(crate) async fn begin(&self, request: Request<Body>) -> (Parts, Body) {
        self.router.clone().oneshot(request).await.unwrap().into_parts()
    }

    /// As if a subscription had got past every check.
    pub(crate) async fn smuggle(&self, id: SubscriptionId, url: &str) {
        let stored = self.store.subscription(id).await.unwrap().unwrap();
        let smuggled = Subscription { url: Target::parse(url).unwrap(), ..stored };
        assert!(self.store.update_subscription(&smuggled).await.unwrap());
    }

    /// Who would get an event of this type now.
    pub(crate) fn listeners(&self, event_type: &str) -> Vec<String> {
        let listeners = self.table.listeners(&event_type.parse().unwrap());
        listeners.iter().map(|subscription| subscription.id.to_string()).collect()
    }

    /// An event happened that nobody asked for.
    pub(crate) async fn happened(&self, id: u128, event_type: &str, subject: &str) -> EventId {
        let event = Event { subject: Some(subject.to_owned()), ..happening(id, event_type) };
        self.append(event).await.id
    }

    /// An event happened and was dispatched; nobody asked for it.
    pub(crate) async fn dispatched(&self, id: u128, event_type: &str, subject: &str) -> EventId {
        let event = Event { subject: Some(subject.to_owned()), ..happening(id, event_type) };
        let event = self.append(event).await;
        let id = event.id;
        let dispatched = Dispatched { event, deliveries: Vec::new() };
        assert_eq!(self.store.dispatch(&[dispatched], UnixMicros::EPOCH).await.unwrap().len(), 1);
        id
    }

    /// An event happened, and its first attempt at `subscription` was answered 503.
    pub(crate) async fn failed(&self, id: u128, subscription: SubscriptionId) -> DeliveryId {
        let event = self.append(happening(id, "people.created")).await;
        let at = event.time;
        let delivery_id = DeliveryId::from_bits(event.id.bits());
        let delivery = NewDelivery {
            id: delivery_id,
            subscription_id: subscription,
            payload: Payload {
                content_type: "application/json".into(),
                headers: Arc::default(),
                body: Bytes::from("{}"),
            },
            due: Due::At(at),
            is_ordered: false,
            script: None,
        };
        let dispatched = Dispatched { event, deliveries: vec![delivery] };
        self.store.dispatch(&[dispatched], at).await.unwrap();
        let attempt = Attempt {
            number: 1,
            started_at: at,
            duration: Duration::from_millis(23),
            outcome: Outcome::Status,
            status_code: Some(503),
            response_excerpt: Some("upstream connect error".to_owned()),
            error: Some("answered 503".to_owned()),
        };
        let successor = Successor::Retry(at.after(Duration::from_secs(5)));
        let attempt = Some(attempt);
        let verdict = Verdict { delivery_id, number: 1, attempt, made: None, successor, at };
        self.store.record(&[verdict]).await.unwrap();
        delivery_id
    }

    /// An event happened, and its delivery to `subscription` was given up.
    pub(crate) async fn died(
        &self,
        id: u128,
        subscription: SubscriptionId,
        cause: Cause,
    ) -> DeliveryId {
        let delivery_id = self.failed(id, subscription).await;
        let error = "answered 503".to_owned();
        let verdict = Verdict {
            delivery_id,
            number: 2,
            attempt: None,
            made: None,
            successor: Successor::Dead(Death { cause, error }),
            at: happening(id, "people.created").time,
        };
        self.store.record(&[verdict]).await.unwrap();
        delivery_id
    }

    /// From now on the store fails.
    pub(crate) async fn lose_the_store(&self) {
        self.store.close().await;
    }

    async fn append(&self, event: Event) -> Arc<Event> {
        let event = Arc::new(event);
        let events = [Arc::clone(&event)];
        self.store.append(&events, event.time, Due::At(event.time)).await.unwrap();
        event
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A member of the body that is a string.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The fields that a problem names.
    pub(crate) fn wrong_fields(&self) -> Vec<&str> {
        assert_eq!(self.text("/type"), "/problems/invalid", "{:?}", self.body);
        let errors = self.body["errors"].as_array().unwrap();
        errors.iter().map(|error| error["field"].as_str().unwrap()).collect()
    }
}

/// Ids of one millisecond, told apart and in order by `id`.
fn happening(id: u128, event_type: &str) -> Event {
    let first = EventId::mint(START, 0).bits();
    let body = |content: &'static str| event::Body {
        content: Bytes::from(content),
        content_type: Some("application/json".to_owned()),
        size: content.len() as u64,
        ..event::Body::default()
    };
    Event {
        id: EventId::from_bits(first + id),
        event_type: event_type.parse::<EventType>().unwrap(),
        source: "edge".to_owned(),
        subject: Some("people/42".to_owned()),
        parents: Vec::new(),
        sequence: None,
        time: UnixMicros::from_nanos(START),
        exchange: Exchange {
            method: "POST".to_owned(),
            path: "/people/".to_owned(),
            status: 201,
            request: body(r#"{"name": "Ada"}"#),
            response: body(r#"{"id": 42, "name": "Ada"}"#),
            headers: vec![("x-actor".to_owned(), "grace".to_owned())],
            idempotency: None,
            id_within: None,
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            tracestate: None,
        },
    }
}

/// A clock that goes a second ahead whenever it is read, and dice that fall alike in every run.
#[derive(Debug, Default)]
struct Steady {
    reads: AtomicU64,
    throws: AtomicU64,
}

#[async_trait]
impl Clock for Steady {
    fn unix_nanos(&self) -> u64 {
        START + self.reads.fetch_add(1, Ordering::Relaxed) * 1_000_000_000
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.unix_nanos() - START)
    }

    /// `SplitMix64`.
    fn dice(&self) -> u64 {
        let throw = self.throws.fetch_add(1, Ordering::Relaxed) + 1;
        let z = throw.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    async fn sleep(&self, _duration: Duration) {}
}
