//! `POST /events`: events that passed no gateway, as CloudEvents 1.0 in structured or batched mode.
//!
//! Invariant: an answer of 2xx is given only when all of them are stored. An event is the same
//! however often it is sent: the id that it is stored under follows from `time`, `source` and `id`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};
use sha2::{Digest as _, Sha256};
use sidehook_event::{Body, Event, EventId, EventType, Exchange, TypeId as _, UnixMicros};

use super::{
    Context, Flaws, Problem,
    body::{arrived, essence, media_type},
    flaw::all,
    form::Form,
    read::{instant, parsed, text_up_to},
};

/// The longest body, in bytes.
const LIMIT: usize = 4 << 20;
/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most events of a batch.
const MOST: usize = 1000;
/// How far ahead of ours another clock may be.
const AHEAD: Duration = Duration::from_mins(10);
/// The longest attribute, in characters.
const LONGEST: usize = 1024;

const ONE: &str = "application/cloudevents+json";
const MANY: &str = "application/cloudevents-batch+json";
const EITHER: &str = "application/cloudevents+json or application/cloudevents-batch+json";

/// The attributes that mean something here; all others are extensions, which are not kept.
const KNOWN: [&str; 9] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "traceparent",
    "tracestate",
];

/// The members of a cloud event, as they were written.
type Written = BTreeMap<String, Box<RawValue>>;

/// Under which ids they are stored, in the order in which they came.
#[derive(Debug, Serialize)]
pub(super) struct Published {
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
    let events = if is_batch { batch(&body, &context)? } else { vec![one(&body, &context)?] };
    let ids = events.iter().map(|event| event.id.to_string()).collect();
    let stored = ingest.submit(events).await;
    stored.map_err(|refused| Problem::Unavailable(refused.to_string()))?;
    Ok(Json(Published { ids }))
}

fn is_batch(headers: &HeaderMap) -> Result<bool, Problem> {
    match media_type(headers).as_deref() {
        Some(ONE) => Ok(false),
        Some(MANY) => Ok(true),
        _ => Err(Problem::UnsupportedMediaType(EITHER)),
    }
}

fn one(body: &[u8], context: &Context) -> Result<Event, Problem> {
    Ok(event(json::<Written>(body)?, context.clock.now())?)
}

fn batch(body: &[u8], context: &Context) -> Result<Vec<Event>, Problem> {
    let written = json::<Vec<Written>>(body)?;
    if !(1..=MOST).contains(&written.len()) {
        return Err(Flaws::here(format!("must hold 1 to {MOST} events")).into());
    }
    let now = context.clock.now();
    let events = written.into_iter().enumerate();
    let events = events.map(|(index, written)| {
        event(written, now).map_err(|flaws| flaws.within(&format!("[{index}]")))
    });
    Ok(all(events)?)
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::Malformed(error.to_string()))
}

fn event(mut written: Written, now: UnixMicros) -> Result<Event, Flaws> {
    let (data, data_base64) = (written.remove("data"), written.remove("data_base64"));
    let mut attributes = Map::new();
    let mut flaws = Vec::new();
    for (name, value) in written {
        if !is_attribute(&name) {
            flaws.push(Flaws::at(
                &name,
                "is no attribute: those have lower-case letters and digits",
            ));
        } else if KNOWN.contains(&&*name) {
            attributes.insert(name, Value::deserialize(&*value).unwrap_or_default());
        }
    }
    let mut form = Form::of(Value::Object(attributes))?;
    let version = form.require("specversion", text_up_to(LONGEST));
    if version.is_some_and(|version| version != "1.0") {
        form.note(Flaws::at("specversion", "must be 1.0"));
    }
    let id = form.require("id", filled);
    let source = form.require("source", filled);
    let event_type = form.require("type", parsed::<EventType>);
    if event_type.as_ref().is_some_and(EventType::is_operational) {
        form.note(Flaws::at("type", "is told by Sidehook alone"));
    }
    let subject = form.read("subject", filled);
    let time = form.require("time", instant);
    if time.is_some_and(|time| now.after(AHEAD) < time) {
        form.note(Flaws::at("time", "must not lie in the future"));
    }
    let content_type = form.read("datacontenttype", filled);
    let traceparent = form.read("traceparent", filled);
    let tracestate = form.read("tracestate", filled);
    let content = match content(data, data_base64, content_type.as_deref()) {
        Ok(content) => content,
        Err(flaws) => {
            form.note(flaws);
            Bytes::new()
        }
    };
    for flaws in flaws {
        form.note(flaws);
    }
    form.finish()?;
    let (Some(id), Some(source), Some(event_type), Some(time)) = (id, source, event_type, time)
    else {
        return Err(Flaws::here("must have id, source, type and time"));
    };
    let request = Body {
        size: u64::try_from(content.len()).unwrap_or(u64::MAX),
        content,
        content_type: content_type.or_else(|| Some("application/json".to_owned())),
        ..Body::default()
    };
    // The exchange is the one by which it came.
    let (method, path, status) = ("POST".to_owned(), "/events".to_owned(), 200);
    let exchange =
        Exchange { method, path, status, request, traceparent, tracestate, ..Exchange::default() };
    let id = id_of(time, &source, &id);
    Ok(Event { id, event_type, source, subject, sequence: None, time, exchange })
}

fn is_attribute(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn filled(value: Value) -> Result<String, Flaws> {
    let text = text_up_to(LONGEST)(value)?;
    if text.is_empty() { Err(Flaws::here("must not be empty")) } else { Ok(text) }
}

/// The data as it was written: JSON, or a text in the place of what is not JSON, or in base64.
fn content(
    data: Option<Box<RawValue>>,
    data_base64: Option<Box<RawValue>>,
    content_type: Option<&str>,
) -> Result<Bytes, Flaws> {
    match (data, data_base64) {
        (Some(_), Some(_)) => Err(Flaws::at("data", "and data_base64 must not be given both")),
        (None, None) => Ok(Bytes::new()),
        (None, Some(encoded)) => {
            let wrong = || Flaws::at("data_base64", "must be a string of base64");
            let encoded = serde_json::from_str::<String>(encoded.get()).map_err(|_| wrong())?;
            STANDARD.decode(encoded).map(Bytes::from).map_err(|_| wrong())
        }
        (Some(data), None) => {
            let text = serde_json::from_str::<String>(data.get()).ok();
            match text.filter(|_| !content_type.is_none_or(is_json)) {
                Some(text) => Ok(Bytes::from(text)),
                None => Ok(Bytes::copy_from_slice(data.get().as_bytes())),
            }
        }
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// Our own id for theirs, which sorts by time as all of ours do; one of ours stands for itself.
fn id_of(time: UnixMicros, source: &str, id: &str) -> EventId {
    id.parse().unwrap_or_else(|_| {
        let digest = Sha256::new().chain_update(source).chain_update([0]).chain_update(id);
        let digest = digest.finalize();
        let bits = digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        let nanos = u64::try_from(time.micros()).unwrap_or_default().saturating_mul(1_000);
        EventId::mint(nanos, bits)
    })
}
