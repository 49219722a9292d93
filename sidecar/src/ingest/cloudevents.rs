//! Reads events that passed no gateway: `CloudEvents` 1.0, whichever way they came.
//!
//! Invariant: an event is the same however often and in whichever mode it is sent: the id that it
//! is stored under follows from `time`, `source` and `id`.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json, value::RawValue};
use sha2::{Digest as _, Sha256};
use sidehook_event::{Body, Event, EventId, EventType, Exchange, TypeId as _, UnixMicros};
use thiserror::Error;

use crate::form::{
    Flaws, Form, Reader,
    flaw::all,
    named::{event_type, instant},
    read::text_up_to,
};

/// The most that is read at once, in bytes.
pub const LIMIT: usize = 4 << 20;
/// The media type of one event in structured mode.
pub const ONE: &str = "application/cloudevents+json";
/// The media type of a batch.
pub const MANY: &str = "application/cloudevents-batch+json";

/// The most events of a batch.
const MOST: usize = 1000;
/// How far ahead of ours another clock may be.
const AHEAD: Duration = Duration::from_mins(10);
/// The longest attribute, in characters.
const LONGEST: usize = 1024;

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

/// Why something is no event.
#[derive(Debug, Error)]
pub enum Unread {
    /// It is not JSON, or not an object, or in a batch not an array of them.
    #[error(transparent)]
    Json(serde_json::Error),
    /// It says what cannot be.
    #[error("{0}")]
    Invalid(Flaws),
}

impl From<Flaws> for Unread {
    fn from(flaws: Flaws) -> Self {
        Self::Invalid(flaws)
    }
}

/// The members of a cloud event, as they were written.
type Written = BTreeMap<String, Box<RawValue>>;

/// One event in structured mode.
pub fn one(json: &[u8], now: UnixMicros) -> Result<Event, Unread> {
    Ok(structured(parse(json)?, now)?)
}

/// A batch of 1 to 1000 events, all of it or nothing.
pub fn batch(json: &[u8], now: UnixMicros) -> Result<Vec<Event>, Unread> {
    let written = parse::<Vec<Written>>(json)?;
    if !(1..=MOST).contains(&written.len()) {
        return Err(Flaws::here(format!("must hold 1 to {MOST} events")).into());
    }
    let events = written.into_iter().enumerate();
    let events = events.map(|(index, written)| {
        structured(written, now).map_err(|flaws| flaws.within(&format!("[{index}]")))
    });
    Ok(all(events)?)
}

/// An event in binary mode: its attributes beside its data. The content type of the data is the
/// attribute `datacontenttype`.
pub fn binary(
    written: impl IntoIterator<Item = (String, Value)>,
    data: Bytes,
    now: UnixMicros,
) -> Result<Event, Unread> {
    let mut attributes = Attributes::default();
    for (name, value) in written {
        attributes.add(name, || value);
    }
    Ok(attributes.event(|_| Ok(data), now)?)
}

/// What [`one`] reads, as JSON Schema.
#[expect(clippy::indexing_slicing, reason = "a member of a JSON object that is not there is made")]
pub fn schema() -> Value {
    let mut schema = Form::schema(|form| Some(Read::from(form)));
    schema["properties"]["data"] = json!({"description": "What it is about, as it is now."});
    schema["properties"]["data_base64"] = json!({
        "type": "string",
        "contentEncoding": "base64",
        "description": "The same as bytes, in its place.",
    });
    // Extensions, which are not kept.
    schema["additionalProperties"] = true.into();
    schema["propertyNames"] = json!({"pattern": "^([a-z0-9]+|data_base64)$"});
    schema
}

/// What [`batch`] reads, as JSON Schema.
pub fn batch_schema() -> Value {
    json!({"type": "array", "items": schema(), "minItems": 1, "maxItems": MOST})
}

/// A media type without its parameters, in lower case.
pub fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Unread> {
    serde_json::from_slice(json).map_err(Unread::Json)
}

fn structured(mut written: Written, now: UnixMicros) -> Result<Event, Flaws> {
    let (data, data_base64) = (written.remove("data"), written.remove("data_base64"));
    let mut attributes = Attributes::default();
    for (name, value) in written {
        attributes.add(name, || Value::deserialize(&*value).unwrap_or_default());
    }
    attributes.event(|content_type| content(data, data_base64, content_type), now)
}

/// The attributes of one event, and what is wrong with their names.
#[derive(Debug, Default)]
struct Attributes {
    known: Map<String, Value>,
    flaws: Vec<Flaws>,
}

impl Attributes {
    fn add(&mut self, name: String, value: impl FnOnce() -> Value) {
        if !is_attribute(&name) {
            let message = "is no attribute: those have lower-case letters and digits";
            self.flaws.push(Flaws::at(&name, message));
        } else if self.known.contains_key(&name) {
            self.flaws.push(Flaws::at(&name, "must not be given twice"));
        } else if KNOWN.contains(&&*name) {
            self.known.insert(name, value());
        }
    }

    /// The event that has them; `content` gives its data, once told of which type that is.
    fn event(
        self,
        content: impl FnOnce(Option<&str>) -> Result<Bytes, Flaws>,
        now: UnixMicros,
    ) -> Result<Event, Flaws> {
        let mut form = Form::of(Value::Object(self.known))?;
        let Read { id, source, event_type, subject, time, content_type, trace } =
            Read::from(&mut form);
        if time.is_some_and(|time| now.after(AHEAD) < time) {
            form.note(Flaws::at("time", "must not lie in the future"));
        }
        let (traceparent, tracestate) = trace;
        let content = content(content_type.as_deref()).unwrap_or_else(|flaws| {
            form.note(flaws);
            Bytes::new()
        });
        for flaws in self.flaws {
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
        // What is said of the exchange is the same whichever way it came, since it is one event.
        let (method, path, status) = ("POST".to_owned(), "/events".to_owned(), 200);
        let exchange = Exchange {
            method,
            path,
            status,
            request,
            traceparent,
            tracestate,
            ..Exchange::default()
        };
        let id = id_of(time, &source, &id);
        let parents = Vec::new();
        Ok(Event { id, event_type, source, subject, parents, sequence: None, time, exchange })
    }
}

/// The attributes that are kept, as far as they could be read.
struct Read {
    id: Option<String>,
    source: Option<String>,
    event_type: Option<EventType>,
    subject: Option<String>,
    time: Option<UnixMicros>,
    content_type: Option<String>,
    /// `traceparent` and `tracestate`.
    trace: (Option<String>, Option<String>),
}

impl Read {
    fn from(form: &mut Form) -> Self {
        let version = text_up_to(LONGEST)
            .then(|version| if version == "1.0" { Ok(version) } else { Err("must be 1.0") });
        form.require("specversion", version.with(|| json!({"const": "1.0"})));
        let id = form.require("id", filled().about("With time and source it tells events apart."));
        let source = form.require("source", filled().about("Where it happened."));
        let event_type = event_type().and_then(|event_type| {
            let is_told = event_type.is_operational();
            if is_told { Err(Flaws::here("is told by Sidehook alone")) } else { Ok(event_type) }
        });
        let event_type = form.require("type", event_type.about("What happened."));
        let subject = form.read("subject", filled().about("What it is about: people/42."));
        let time = instant().about("When it happened; not later than ten minutes from now.");
        let time = form.require("time", time);
        let content_type = filled().about("What data is; JSON, if nothing is said.");
        let content_type = form.read("datacontenttype", content_type);
        let trace = (form.read("traceparent", filled()), form.read("tracestate", filled()));
        Self { id, source, event_type, subject, time, content_type, trace }
    }
}

fn is_attribute(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn filled() -> Reader<String> {
    let filled = |text: String| {
        if text.is_empty() { Err("must not be empty") } else { Ok(text) }
    };
    text_up_to(LONGEST).then(filled).with(|| json!({"minLength": 1}))
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
