//! Whether the process lives, whether it can do its work, and what it has counted.
//!
//! Invariant: `/healthz` and `/readyz` tell nothing but that, and need no token, so that whoever
//! watches the process needs none.

use std::{error::Error, sync::Arc};

use axum::{Json, Router, extract::State, response::IntoResponse};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Problem,
    auth::Gate,
    routes::{Routes, get, open},
};
use crate::{model::Scope, observe::Exposition, queue::Queue, store::Store};

#[derive(Debug, Clone)]
pub(super) struct Readiness {
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    stopping: CancellationToken,
}

/// `/healthz` and `/readyz`. Without its queue the process works more slowly, and is ready.
pub fn health(
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    stopping: CancellationToken,
    gate: &Gate,
) -> Router {
    routes().behind(gate, Readiness { store, queue, stopping })
}

pub(super) fn routes() -> Routes<Readiness> {
    Routes::new().at("/healthz", [open(async || status("ok"))]).at("/readyz", [open(readyz)])
}

/// `/metrics`.
pub fn metrics(exposition: Exposition, gate: &Gate) -> Router {
    metrics_routes().behind(gate, exposition)
}

pub(super) fn metrics_routes() -> Routes<Exposition> {
    Routes::new().at("/metrics", [get(Scope::MetricsRead, expose)])
}

async fn readyz(State(readiness): State<Readiness>) -> Result<Json<Value>, Problem> {
    if readiness.stopping.is_cancelled() {
        return Err(Problem::Unavailable("shutting down".to_owned()));
    }
    match readiness.store.ping().await {
        Ok(()) => Ok(match readiness.queue.trouble() {
            None => status("ready"),
            Some(trouble) => Json(json!({ "status": "ready", "queue": trouble })),
        }),
        Err(error) => {
            // Asked every few seconds: whoever writes to the store logs the outage.
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            Err(Problem::Unavailable(format!("{error}{cause}")))
        }
    }
}

async fn expose(State(exposition): State<Exposition>) -> Result<impl IntoResponse, Problem> {
    let text = exposition.text().map_err(|error| Problem::Internal(error.into()))?;
    Ok(([(CONTENT_TYPE, Exposition::CONTENT_TYPE)], text))
}

fn status(status: &str) -> Json<Value> {
    Json(json!({ "status": status }))
}
