//! `POST /ingest`: a batch of events from a gateway. `GET /ingest`: whether one would be stored.
//!
//! Invariant: 204 is answered only when every event of the batch is stored, and any other answer
//! when none of it is. A batch that arrived whole is stored even if the gateway resets the
//! stream right behind it, as it does with its last one: from the end of the body to handing it
//! over nothing is waited for.

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use sidehook_event::{Event, wire};

use super::{
    Problem,
    auth::Gate,
    body::{arrived, media_type},
    openapi::Description,
    routes::{Routes, get, post},
};
use crate::{
    ingest::{Ingest, Refused},
    model::Scope,
    transform::complete,
};

/// The largest batch, in bytes. Gateways send about 1 MiB at a time, and one event alone if it
/// is larger.
const LIMIT: usize = 8 * 1024 * 1024;
/// How long a batch may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The route.
pub fn ingest(ingest: Ingest, gate: &Gate) -> Router {
    routes().behind(gate, ingest)
}

pub(super) fn routes() -> Routes<Ingest> {
    let asked = || {
        Description::of("askIngest", "Whether a batch would be stored")
            .about("Goes the way of a batch, up to the store: gateways ask in the mode `strict`.")
            .answers(StatusCode::NO_CONTENT, "It would.")
    };
    let taken = || {
        let batch = json!({
            "description": "A `Batch` of `event/sidehook.proto`, in Protocol Buffers.",
        });
        Description::of("ingestBatch", "Take in a batch of events from a gateway")
            .takes(wire::CONTENT_TYPE, batch)
            .answers(StatusCode::NO_CONTENT, "All of it is stored.")
    };
    let scope = Scope::EventsWrite;
    let operations = [get(scope, answer_for, asked), post(scope, take, taken)];
    Routes::new().at("/ingest", operations)
}

/// Goes the way of a batch, up to the store.
async fn answer_for(State(ingest): State<Ingest>) -> Result<StatusCode, Problem> {
    hand_over(&ingest, Vec::new()).await
}

async fn take(State(ingest): State<Ingest>, request: Request) -> Result<StatusCode, Problem> {
    if !is_batch(request.headers()) {
        return Err(Problem::UnsupportedMediaType(wire::CONTENT_TYPE));
    }
    let arrived = arrived(request.into_body(), LIMIT, TIMEOUT).await;
    let body = arrived.inspect_err(|problem| match problem {
        Problem::TooLarge(_) => ingest.metrics.too_large(),
        _ => ingest.metrics.malformed(),
    })?;
    let events = decode(body).map_err(|flaw| {
        ingest.metrics.malformed();
        tracing::warn!(flaw, "refused a batch");
        Problem::Malformed(flaw)
    })?;
    hand_over(&ingest, events).await
}

async fn hand_over(ingest: &Ingest, events: Vec<Event>) -> Result<StatusCode, Problem> {
    match ingest.submit(events).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(refused @ (Refused::Overloaded | Refused::StoreUnavailable | Refused::Stopping)) => {
            Err(Problem::Unavailable(refused.to_string()))
        }
    }
}

fn decode(body: Bytes) -> Result<Vec<Event>, String> {
    let events = wire::decode(body).map_err(|error| error.to_string())?;
    // Nobody but the store numbers events.
    let events = events.into_iter().map(|event| complete(Event { sequence: None, ..event }));
    let events: Vec<_> = events.collect();
    match events.iter().position(|event| event.event_type.is_operational()) {
        Some(index) => Err(format!("events[{index}].type: is told by Sidehook alone")),
        None => Ok(events),
    }
}

fn is_batch(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media_type| media_type == wire::CONTENT_TYPE)
}
