//! Tries a subscription: `POST /subscriptions/{id}/test` sends it an example at once and tells all
//! that was said.
//!
//! Invariant: what is sent is what an attempt would send, under the same egress rule and limits.
//! Nothing is recorded, and nothing is tried again.

use std::sync::Arc;

use axum::Json;
use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sidehook_event::{Body, Event, EventType, Exchange, UnixMicros};
use utoipa::ToSchema;

use super::super::{Context, Flaws, Problem, form::Form, named::event_type, read::anything};
use crate::{
    clock::mint,
    deliver::{
        attempt::{Trial, trial},
        lease_from,
    },
    model::{Death, DueDelivery, Series, Subscription, Successor},
    trace::Tracer,
    transform::Rendered,
};

/// What was said.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trial)]
pub(super) struct Shown {
    outcome: &'static str,
    duration_ms: u64,
    #[schema(required)]
    request: Option<ShownRequest>,
    #[schema(required)]
    response: Option<ShownResponse>,
    #[schema(required)]
    error: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrialRequest)]
struct ShownRequest {
    method: &'static str,
    url: String,
    #[schema(value_type = Object)]
    headers: Map<String, Value>,
    body: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrialResponse)]
struct ShownResponse {
    status: u16,
    #[schema(value_type = Object)]
    headers: Map<String, Value>,
    /// At most what attempts keep of an answer.
    body: String,
}

impl Shown {
    /// Of what its script dropped, or failed to make: nothing is sent.
    fn ended(end: Successor) -> Self {
        let (outcome, error) = match end {
            Successor::Filtered(reason) => ("filtered", Some(reason)),
            Successor::Dead(Death { error, .. }) => ("script", Some(error)),
            Successor::Delivered | Successor::Retry(_) => ("script", None),
        };
        Self { outcome, duration_ms: 0, request: None, response: None, error }
    }
}

/// Sends an example to `subscription`, enabled or not.
pub(super) async fn of(
    context: &Context,
    subscription: &Subscription,
    body: Option<Value>,
) -> Result<Json<Shown>, Problem> {
    let now = context.clock.now();
    let event = example(subscription, body)?.happened(mint(&*context.clock), now);
    let (event, rendered) = context.made(event, Arc::new(subscription.clone())).await?;
    let Rendered { payload, script: _, end } = rendered;
    if let Some(end) = end {
        return Ok(Json(Shown::ended(end)));
    }
    let body = payload.body.clone();
    let delivery = DueDelivery {
        id: mint(&*context.clock),
        event_id: event.id,
        event_type: event.event_type.clone(),
        subscription_id: subscription.id,
        attempt: 1,
        series: Series { began_at: now, earlier: 0 },
        payload,
        lease_until: lease_from(now),
    };
    let (client, clock) = (&context.client, &*context.clock);
    let tried = trial(&delivery, subscription, client, clock, &Tracer::off()).await;
    let Trial { headers: request, outcome, duration, answer, error } = tried;
    Ok(Json(Shown {
        outcome: outcome.name(),
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        request: Some(ShownRequest {
            method: "POST",
            url: subscription.url.as_str().to_owned(),
            headers: headers(&request),
            body: String::from_utf8_lossy(&body).into_owned(),
        }),
        response: answer.map(|answer| ShownResponse {
            status: answer.status,
            headers: headers(&answer.headers),
            body: answer.excerpt,
        }),
        error,
    }))
}

/// What is said to have happened.
#[derive(Debug)]
struct Example {
    event_type: EventType,
    data: Value,
}

/// What is asked for of it.
#[derive(Debug)]
pub(super) struct Asked {
    event_type: Option<EventType>,
    data: Option<Value>,
}

impl Asked {
    /// Reads `{"event_type", "data"}`.
    #[expect(clippy::unnecessary_wraps, reason = "all that read a form are of one shape")]
    pub(super) fn read(form: &mut Form) -> Option<Self> {
        let event_type = event_type().about("One that the subscription asks for.");
        Some(Self {
            event_type: form.read("event_type", event_type),
            data: form.read("data", anything().about("What happened is said to be about this.")),
        })
    }
}

fn example(subscription: &Subscription, body: Option<Value>) -> Result<Example, Flaws> {
    let Asked { event_type, data } = Form::whole(body.unwrap_or_else(|| json!({})), |form| {
        let asked = Asked::read(form)?;
        let is_wanted = |event_type| subscription.pattern.matches(event_type);
        if !asked.event_type.as_ref().is_none_or(is_wanted) {
            form.note(Flaws::at("event_type", "is not one that the subscription asks for"));
        }
        Some(asked)
    })?;
    let event_type = match event_type {
        Some(event_type) => event_type,
        None => subscription.pattern.example().map_err(|error| Flaws::at("event_type", error))?,
    };
    let usual = json!({"id": "example", "message": "Sidehook was asked to try this subscription."});
    Ok(Example { event_type, data: data.unwrap_or(usual) })
}

impl Example {
    fn happened(self, id: sidehook_event::EventId, time: UnixMicros) -> Event {
        let content = Bytes::from(self.data.to_string());
        let response = Body {
            size: u64::try_from(content.len()).unwrap_or(u64::MAX),
            content,
            content_type: Some("application/json".to_owned()),
            ..Body::default()
        };
        Event {
            id,
            event_type: self.event_type,
            source: "sidehook".to_owned(),
            subject: Some("example".to_owned()),
            parents: Vec::new(),
            sequence: None,
            time,
            exchange: Exchange {
                method: "POST".to_owned(),
                path: "/".to_owned(),
                status: 200,
                response,
                ..Exchange::default()
            },
        }
    }
}

/// One that comes several times is shown with its values in a list.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let shown = headers.keys().map(|name| {
        let values = headers.get_all(name).into_iter();
        let mut values: Vec<Value> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned().into())
            .collect();
        let value = if values.len() == 1 { values.remove(0) } else { values.into() };
        (name.as_str().to_owned(), value)
    });
    shown.collect()
}
