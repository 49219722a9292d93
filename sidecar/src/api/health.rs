//! Whether the process lives, whether it can do its work, and what it has counted.
//!
//! Invariant: `/healthz` and `/readyz` tell nothing but that, and need no token, so that whoever
//! watches the process needs none.

use std::{error::Error, sync::Arc};

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use http::header::CONTENT_TYPE;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Problem, guarded, method_not_allowed};
use crate::{observe::Exposition, queue::Queue, store::Store};

#[derive(Debug, Clone)]
struct Readiness {
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    stopping: CancellationToken,
}

/// `/healthz` and `/readyz`. Without its queue the process works more slowly, and is ready.
pub fn health(store: Arc<dyn Store>, queue: Arc<dyn Queue>, stopping: CancellationToken) -> Router {
    Router::new()
        .route("/healthz", get(async || status("ok")))
        .route("/readyz", get(readyz))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Readiness { store, queue, stopping })
}

/// `/metrics`, for those who carry `token`.
pub fn metrics(exposition: Exposition, token: Option<&SecretString>) -> Router {
    let routes = Router::new()
        .route("/metrics", get(expose))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(exposition);
    guarded(routes, token)
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
