//! A webhook receiver that keeps what it got and answers as it is told.
//!
//! Invariant: a webhook is in the ledger before its answer goes out.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use bytes::Bytes;
use serde_json::Value;
use standardwebhooks::Webhook as Verifier;
use tokio::sync::watch;

use crate::{clock::Stopwatch, serving::Serving};

/// A receiver that is listening.
#[derive(Debug)]
pub struct Receiver {
    serving: Serving,
    ledger: Ledger,
}

/// A webhook as it arrived.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// When, by the stopwatch of its receiver.
    pub after: Duration,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as sent.
    pub body: Bytes,
    /// The status it was answered with.
    pub answered: StatusCode,
}

impl Receiver {
    /// Listens on `port` and answers 204, unless told otherwise.
    pub async fn start(port: u16, stopwatch: Stopwatch) -> Result<Self> {
        let ledger = Ledger {
            entries: Arc::default(),
            answers: Arc::default(),
            count: Arc::new(watch::channel(0).0),
            stopwatch,
        };
        let routes = Router::new().fallback(post(receive)).with_state(ledger.clone());
        Ok(Self { serving: Serving::start(routes, port).await?, ledger })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("{}/webhook", self.serving.url())
    }

    /// The statuses of its next answers; after those it is 204 again.
    pub fn answers(&self, statuses: impl IntoIterator<Item = StatusCode>) {
        lock(&self.ledger.answers).extend(statuses);
    }

    /// All that has arrived so far.
    pub fn webhooks(&self) -> Vec<Webhook> {
        lock(&self.ledger.entries).clone()
    }

    /// Waits until at least `count` webhooks have arrived, refused ones included.
    pub async fn got(&self, count: usize, limit: Duration) -> Result<Vec<Webhook>> {
        let mut arrived = self.ledger.count.subscribe();
        let enough = arrived.wait_for(|arrived| *arrived >= count);
        if tokio::time::timeout(limit, enough).await.is_err() {
            let seen: Vec<_> = self.webhooks().iter().map(ToString::to_string).collect();
            bail!("{} of {count} webhooks arrived within {limit:?}: {seen:#?}", seen.len());
        }
        Ok(self.webhooks())
    }
}

impl Webhook {
    /// A header as text, empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The id of its event, the same on each attempt.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// The type of its event, empty if the body names none.
    pub fn event_type(&self) -> String {
        self.json().get("type").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Its body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether `secret` signed it, by an implementation of Standard Webhooks that isn't ours.
    pub fn verify(&self, secret: &str) -> Result<()> {
        let verifier = Verifier::new(secret).context("not a secret of Standard Webhooks")?;
        verifier.verify(&self.body, &self.headers).context("the signature does not fit")
    }
}

/// The type of its event and the status it was answered with.
impl std::fmt::Display for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} → {}", self.event_type(), self.id(), self.answered)
    }
}

#[derive(Debug, Clone)]
struct Ledger {
    entries: Arc<Mutex<Vec<Webhook>>>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    count: Arc<watch::Sender<usize>>,
    stopwatch: Stopwatch,
}

async fn receive(State(ledger): State<Ledger>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let answered = lock(&ledger.answers).pop_front().unwrap_or(StatusCode::NO_CONTENT);
    let after = ledger.stopwatch.elapsed();
    lock(&ledger.entries).push(Webhook { after, headers, body, answered });
    ledger.count.send_modify(|count| *count += 1);
    answered
}

/// Nothing here can panic while it holds a lock; if it did, the ledger would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
