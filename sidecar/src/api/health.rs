//! Whether the process lives, whether it can do its work, and what it has counted.
//!
//! Invariant: `/healthz` and `/readyz` tell nothing but that, and need no token, so that whoever
//! watches the process needs none.

use std::{error::Error, sync::Arc};

use axum::{Json, Router, extract::State, response::IntoResponse};
use http::{StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::{
    Problem,
    auth::Gate,
    openapi::Description,
    routes::{Routes, get, open},
};
use crate::{model::Scope, observe::Exposition, queue::Queue, store::Store};

const OPEN_METRICS: &str = "application/openmetrics-text";

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
struct Status {
    status: &'static str,
    /// What is wrong with the queue, which slows it down.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
}

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
    let lives = || {
        Description::of("showHealth", "Whether the process lives")
            .shows::<Status>(StatusCode::OK, "It does.")
    };
    let is_ready = || {
        Description::of("showReadiness", "Whether it can work")
            .shows::<Status>(StatusCode::OK, "It can; `queue` tells what slows it down.")
    };
    Routes::new()
        .at("/healthz", [open(async || status("ok"), lives)])
        .at("/readyz", [open(readyz, is_ready)])
}

/// `/metrics`.
pub fn metrics(exposition: Exposition, gate: &Gate) -> Router {
    metrics_routes().behind(gate, exposition)
}

pub(super) fn metrics_routes() -> Routes<Exposition> {
    let told = || {
        let text = json!({"type": "string"});
        Description::of("showMetrics", "What it counted").writes(
            StatusCode::OK,
            "In the form of OpenMetrics.",
            OPEN_METRICS,
            text,
        )
    };
    Routes::new().at("/metrics", [get(Scope::MetricsRead, expose, told)])
}

async fn readyz(State(readiness): State<Readiness>) -> Result<Json<Status>, Problem> {
    if readiness.stopping.is_cancelled() {
        return Err(Problem::Unavailable("shutting down".to_owned()));
    }
    match readiness.store.ping().await {
        Ok(()) => Ok(Json(Status { status: "ready", queue: readiness.queue.trouble() })),
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

fn status(status: &'static str) -> Json<Status> {
    Json(Status { status, queue: None })
}
