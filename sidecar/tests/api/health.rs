//! Readiness: what keeps the process from its work, and what merely slows it down.
//!
//! Invariant: whoever asks needs no token.

use std::{net::TcpListener, sync::Arc};

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use sidehook::{
    api,
    clock::{Clock, SystemClock},
    queue::{
        Lanes, Queue,
        local::LocalQueue,
        rabbitmq::{self, RabbitQueue},
    },
    store::{seal::Keyring, sqlite::SqliteStore},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::desk::gate;

struct Process {
    router: Router,
    store: Arc<SqliteStore>,
    stopping: CancellationToken,
    _folder: TempDir,
}

impl Process {
    async fn with(queue: Arc<dyn Queue>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sidehook.db");
        let store = Arc::new(SqliteStore::open(&path, Keyring::default()).await.unwrap());
        let stopping = CancellationToken::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let gate = gate(Some("0123456789abcdef"), &clock);
        let router = api::health(Arc::<SqliteStore>::clone(&store), queue, stopping.clone(), &gate);
        Self { router, store, stopping, _folder: folder }
    }

    async fn readyz(&self) -> (u16, Value) {
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

#[tokio::test]
async fn a_process_that_has_all_it_needs_is_ready() {
    let process = Process::with(Arc::new(LocalQueue::default())).await;
    assert_eq!(process.readyz().await, (200, serde_json::json!({"status": "ready"})));
}

#[tokio::test]
async fn without_its_broker_it_is_ready_and_says_what_is_wrong() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = rabbitmq::Config {
        near: 0,
        announce: false,
        url: format!("amqp://guest:s3cret@127.0.0.1:{port}/%2f").into(),
        prefix: "test".to_owned(),
        capacity: 10,
        lanes: Lanes::ALL,
        inbound: false,
    };
    let clock = Arc::new(SystemClock::start());
    let queue = RabbitQueue::connect(config, Arc::new(LocalQueue::default()), clock).await;
    let process = Process::with(Arc::new(queue.unwrap())).await;
    let (status, body) = process.readyz().await;
    let said = body["queue"].as_str().unwrap();
    assert_eq!((status, &body["status"]), (200, &"ready".into()));
    assert!(said.starts_with("rabbitmq is away: ") && !said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn without_its_store_or_about_to_end_it_is_not() {
    let process = Process::with(Arc::new(LocalQueue::default())).await;
    process.store.close().await;
    let (status, body) = process.readyz().await;
    assert_eq!(status, 503, "{body}");
    assert!(body["detail"].as_str().unwrap().contains("store unavailable"), "{body}");

    let process = Process::with(Arc::new(LocalQueue::default())).await;
    process.stopping.cancel();
    assert_eq!(process.readyz().await.0, 503);
}
