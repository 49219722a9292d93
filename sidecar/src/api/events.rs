//! `/events`: what the gateways saw.
//!
//! Invariant: read only; `data` is what a payload of the event carries.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{RawQuery, State},
};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use sidehook_event::{Body, Event, EventId, EventType, UnixMicros};
use utoipa::ToSchema;

use super::{
    Context, Problem,
    form::Form,
    listing::{Listing, listing, page},
    named::{event_type, instant},
    openapi::Description,
    path::{Keys, id},
    publish,
    read::text,
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
    let publish = post(Scope::EventsWrite, publish::publish, publish::published);
    let listed = || {
        Description::of("listEvents", "List events")
            .query(asked)
            .lists::<Shown>("The newest come first.")
    };
    let shown = || {
        Description::of("showEvent", "Show an event")
            .shows::<Shown>(StatusCode::OK, "Its `data` is what payloads carry.")
    };
    Routes::new()
        .at("/events", [get(scope, list, listed), publish.at_face(Face::Api)])
        .at("/events/{id}", [get(scope, one, shown)])
}

async fn list(
    State(context): State<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Shown>>, Problem> {
    let (filter, page) = Form::whole_query(query.as_deref(), asked)?;
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

#[expect(clippy::unnecessary_wraps, reason = "all that read a form are of one shape")]
fn asked(form: &mut Form) -> Option<(EventFilter, PageRequest<EventId>)> {
    let filter = EventFilter {
        event_type: form.read("type", event_type()).map(|event_type| event_type.to_string()),
        subject: form.read("subject", text().about("What they are about, such as people/42.")),
        since: form.read("since", instant().about("Happened at this time or later.")),
    };
    Some((filter, page(form)))
}

/// An event, as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
struct Shown {
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::EventId)]
    id: EventId,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::EventType)]
    r#type: EventType,
    #[schema(required)]
    subject: Option<String>,
    /// By the names of the path's parameters.
    parents: BTreeMap<String, String>,
    #[schema(required)]
    sequence: Option<u64>,
    source: String,
    #[serde(serialize_with = "shape::text")]
    #[schema(value_type = shape::Instant)]
    time: UnixMicros,
    #[schema(value_type = Value)]
    data: Box<RawValue>,
    exchange: ShownExchange,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Exchange)]
struct ShownExchange {
    method: String,
    path: String,
    status: u16,
    headers: Vec<ShownHeader>,
    request: ShownBody,
    response: ShownBody,
    #[schema(required)]
    traceparent: Option<String>,
    #[schema(required)]
    tracestate: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Header)]
struct ShownHeader {
    name: String,
    value: String,
}

/// A body without its content.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExchangedBody)]
struct ShownBody {
    #[schema(required)]
    content_type: Option<String>,
    #[schema(required)]
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
    use super::{super::Flaws, *};

    fn read(query: &str) -> Result<(EventFilter, PageRequest<EventId>), Flaws> {
        Form::whole_query(Some(query), asked)
    }

    #[test]
    fn events_are_asked_for_by_type_subject_and_time() {
        let (filter, _) =
            read("type=people.created&subject=people/42&since=2025-11-23T10:30:00%2B01:00")
                .unwrap();
        assert_eq!(filter.event_type.as_deref(), Some("people.created"));
        assert_eq!(filter.subject.as_deref(), Some("people/42"));
        assert_eq!(filter.since, Some(UnixMicros::new(1_763_890_200_000_000)));
    }

    #[test]
    fn every_parameter_that_is_wrong_is_named() {
        let flaws = read("type=people.*&since=2025-11-23T10:30:00+01:00&limit=0&state=dead");
        let fields: Vec<_> =
            flaws.unwrap_err().into_list().into_iter().map(|flaw| flaw.field).collect();
        assert_eq!(fields, ["type", "since", "limit", "state"]);
    }
}
