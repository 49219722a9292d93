//! `/events`: what the gateways saw.
//!
//! Invariant: read only; `data` is what a payload of the event carries.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use serde_json::value::RawValue;
use sidehook_event::{Body, Event, EventId, EventType, UnixMicros};

use super::{
    Context, Flaws, Problem,
    form::Form,
    listing::{Listing, listing, page},
    path::{Keys, id},
    publish,
    read::{instant, parsed, text},
    routes::{Routes, get, post},
    shape,
};
use crate::{
    model::{Face, PageRequest, Scope},
    store::EventFilter,
    transform,
};

pub(super) const MISSING: &str = "there is no such event";

pub(super) fn routes() -> Routes<Arc<Context>> {
    let scope = Scope::EventsRead;
    let publish = post(Scope::EventsWrite, publish::publish).at_face(Face::Api);
    Routes::new().at("/events", [get(scope, list), publish]).at("/events/{id}", [get(scope, one)])
}

async fn list(
    State(context): State<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Shown>>, Problem> {
    let (filter, page) = asked(query.as_deref())?;
    let events = context.store.events(&filter, page).await?;
    Ok(listing(&events, Shown::of))
}

async fn one(
    State(context): State<Arc<Context>>,
    Keys(key): Keys<String>,
) -> Result<Json<Shown>, Problem> {
    let event = context.store.event(id(&key, MISSING)?).await?;
    let event = event.ok_or(Problem::NotFound(MISSING))?;
    Ok(Json(Shown::of(&event)))
}

fn asked(query: Option<&str>) -> Result<(EventFilter, PageRequest<EventId>), Flaws> {
    let mut form = Form::of_query(query);
    let filter = EventFilter {
        event_type: form.read("type", parsed::<EventType>).map(|event_type| event_type.to_string()),
        subject: form.read("subject", text),
        since: form.read("since", instant),
    };
    let page = page(&mut form);
    form.finish().map(|()| (filter, page))
}

/// An event, as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(serialize_with = "shape::text")]
    id: EventId,
    #[serde(serialize_with = "shape::text")]
    r#type: EventType,
    subject: Option<String>,
    /// By the names of the path's parameters.
    parents: BTreeMap<String, String>,
    sequence: Option<u64>,
    source: String,
    #[serde(serialize_with = "shape::text")]
    time: UnixMicros,
    data: Box<RawValue>,
    exchange: ShownExchange,
}

#[derive(Debug, Serialize)]
struct ShownExchange {
    method: String,
    path: String,
    status: u16,
    headers: Vec<ShownHeader>,
    request: ShownBody,
    response: ShownBody,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownHeader {
    name: String,
    value: String,
}

/// A body without its content.
#[derive(Debug, Serialize)]
struct ShownBody {
    content_type: Option<String>,
    content_encoding: Option<String>,
    size: u64,
    truncated: bool,
    incomplete: bool,
}

impl Shown {
    fn of(event: &Event) -> Self {
        let exchange = &event.exchange;
        let headers = exchange.headers.iter().cloned();
        Self {
            id: event.id,
            r#type: event.event_type.clone(),
            subject: event.subject.clone(),
            parents: event.parents.iter().cloned().collect(),
            sequence: event.sequence,
            source: event.source.clone(),
            time: event.time,
            data: transform::data(event),
            exchange: ShownExchange {
                method: exchange.method.clone(),
                path: exchange.path.clone(),
                status: exchange.status,
                headers: headers.map(|(name, value)| ShownHeader { name, value }).collect(),
                request: ShownBody::of(&exchange.request),
                response: ShownBody::of(&exchange.response),
                traceparent: exchange.traceparent.clone(),
                tracestate: exchange.tracestate.clone(),
            },
        }
    }
}

impl ShownBody {
    fn of(body: &Body) -> Self {
        Self {
            content_type: body.content_type.clone(),
            content_encoding: body.content_encoding.clone(),
            size: body.size,
            truncated: body.truncated,
            incomplete: body.incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_asked_for_by_type_subject_and_time() {
        let (filter, _) =
            asked(Some("type=people.created&subject=people/42&since=2025-11-23T10:30:00%2B01:00"))
                .unwrap();
        assert_eq!(filter.event_type.as_deref(), Some("people.created"));
        assert_eq!(filter.subject.as_deref(), Some("people/42"));
        assert_eq!(filter.since, Some(UnixMicros::new(1_763_890_200_000_000)));
    }

    #[test]
    fn every_parameter_that_is_wrong_is_named() {
        let flaws = asked(Some("type=people.*&since=2025-11-23T10:30:00+01:00&limit=0&state=dead"));
        let fields: Vec<_> =
            flaws.unwrap_err().into_list().into_iter().map(|flaw| flaw.field).collect();
        assert_eq!(fields, ["type", "since", "limit", "state"]);
    }
}
