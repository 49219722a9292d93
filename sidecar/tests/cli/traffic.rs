//! What passes through the sidecars of these tests: events, and receivers that take them.
//!
//! Invariant: a request that is not answered 2xx fails its test.

use axum::{Router, http::StatusCode, routing::post as post_to};
use serde_json::{Value, json};

use crate::serve::Sidecar;

/// Takes what comes to `/`, fails at what comes to `/broken`, and wants no more of what comes to
/// `/gone`.
pub(crate) async fn receiver() -> String {
    let router = Router::new()
        .route("/", post_to(async || StatusCode::NO_CONTENT))
        .route("/broken", post_to(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route("/gone", post_to(async || StatusCode::GONE));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// A client that trusts nobody's TLS, for there is none here.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

pub(crate) async fn post(sidecar: &Sidecar, path: &str, content_type: &str, body: Value) -> Value {
    let request = client().post(format!("{}{path}", sidecar.api));
    let request = request.header("content-type", content_type).body(body.to_string());
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// Subscribes `url` to what is created, with attempts at these times; its id.
pub(crate) async fn subscribe(sidecar: &Sidecar, url: &str, schedule: Value) -> String {
    let retry = json!({"schedule": schedule, "jitter": 0});
    let wish = json!({"url": url, "event_type": "people.created", "retry": retry});
    let made = post(sidecar, "/subscriptions", "application/json", wish).await;
    made["id"].as_str().unwrap().to_owned()
}

/// A person was created, and it is the first that is heard of it.
pub(crate) async fn happen(sidecar: &Sidecar, id: &str) {
    post(sidecar, "/events", "application/cloudevents+json", created(id)).await;
}

/// So many were created at once; they are told apart from others by `name`.
pub(crate) async fn happen_many(sidecar: &Sidecar, name: &str, count: usize) {
    let all: Vec<_> = (0..count).map(|number| created(&format!("{name}-{number}"))).collect();
    post(sidecar, "/events", "application/cloudevents-batch+json", all.into()).await;
}

fn created(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/people", "type": "people.created",
        "time": "2026-11-23T09:30:00Z",
        "datacontenttype": "application/json", "data": {"name": "Ada"},
    })
}
