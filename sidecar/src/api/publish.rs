//! `POST /events`: events that passed no gateway, as CloudEvents 1.0 in structured or batched mode.
//!
//! Invariant: an answer of 2xx is given only when all of them are stored.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Context, Problem,
    body::{arrived, media_type},
    openapi::Description,
    shape,
};
use crate::ingest::cloudevents::{self, LIMIT, MANY, ONE, Unread};

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

const EITHER: &str = "application/cloudevents+json or application/cloudevents-batch+json";

/// Under which ids they are stored, in the order in which they came.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    #[schema(value_type = Vec<shape::EventId>)]
    ids: Vec<String>,
}

/// `POST /events`.
pub(super) async fn publish(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Json<Published>, Problem> {
    let ingest = context.ingest.as_ref().ok_or_else(|| {
        Problem::Unavailable("this process takes no events; another one has the role".to_owned())
    })?;
    let is_batch = is_batch(request.headers())?;
    let body = arrived(request.into_body(), LIMIT, TIMEOUT).await?;
    let now = context.clock.now();
    let events = if is_batch {
        cloudevents::batch(&body, now)?
    } else {
        vec![cloudevents::one(&body, now)?]
    };
    let ids = events.iter().map(|event| event.id.to_string()).collect();
    let stored = ingest.submit(events).await;
    stored.map_err(|refused| Problem::Unavailable(refused.to_string()))?;
    Ok(Json(Published { ids }))
}

/// What is told of it.
pub(super) fn published() -> Description {
    Description::of("publishEvents", "Say that something happened which passed no gateway")
        .about(
            "CloudEvents 1.0: one in structured mode, or a batch, of 4 MiB at most. The id of an \
             event follows from `time`, `source` and `id`: sent again it is the same one. A batch \
             is stored as a whole or not at all.",
        )
        .takes(ONE, cloudevents::schema())
        .takes(MANY, cloudevents::batch_schema())
        .shows::<Published>(StatusCode::OK, "They are stored, under these ids.")
}

fn is_batch(headers: &HeaderMap) -> Result<bool, Problem> {
    match media_type(headers).as_deref() {
        Some(ONE) => Ok(false),
        Some(MANY) => Ok(true),
        _ => Err(Problem::UnsupportedMediaType(EITHER)),
    }
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Json(error) => Self::Malformed(error.to_string()),
            Unread::Invalid(flaws) => Self::Invalid(flaws),
        }
    }
}
