//! The API that the gateways of a measurement stand before, and the sink for what is captured.
//!
//! Invariant: neither does more than to read a request to its end and to answer it.

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    http::{HeaderName, StatusCode, header},
    routing::{get, post},
};

use super::rivals::{self, Captured};
use crate::{ports, serving::Serving};

type Answer = (StatusCode, [(HeaderName, &'static str); 1], &'static str);

const PERSON: &str = r#"{"id":42,"name":"Ada","created":"2026-11-23T09:30:00Z"}"#;

/// An API of people who are always the same one.
pub(super) async fn people() -> Result<Serving> {
    let routes = Router::new()
        .route("/people", post(async |_: Bytes| person(StatusCode::CREATED)))
        .route("/people/{id}", get(async || person(StatusCode::OK)));
    Serving::start(routes, ports::free()?).await
}

/// An API that answers with what was written.
pub(super) async fn echo() -> Result<Serving> {
    let created = [(header::CONTENT_TYPE, "application/json")];
    let routes = Router::new()
        .route("/people", post(async move |body: Bytes| (StatusCode::CREATED, created, body)));
    Serving::start(routes, ports::free()?).await
}

/// Accepts batches as the sidecar does, says that it would, and forgets them; takes what others capture
/// too, and counts that.
pub(super) async fn sink(captured: &Captured) -> Result<Serving> {
    let taken = get(async || StatusCode::NO_CONTENT).post(async |_: Bytes| StatusCode::NO_CONTENT);
    let routes = Router::new().route("/ingest", taken).merge(rivals::routes(captured));
    Serving::start(routes, ports::free()?).await
}

fn person(status: StatusCode) -> Answer {
    (status, [(header::CONTENT_TYPE, "application/json")], PERSON)
}
