//! A batch of events on its way from the gateway to the sidecar: Protocol Buffers, as written
//! down in `event/sidehook.proto`.
//!
//! Events are encoded one by one as they happen and joined without being touched again: a batch
//! is its [`prologue`] followed by [`frame`]s.
//!
//! Evolution: within [`VERSION`] fields are only ever added, and a decoder skips the fields that
//! it doesn't know, so an older sidecar reads a newer gateway's batches and the other way round.
//! A change that an older decoder would misread takes a new version, which it refuses by name.
//!
//! Invariant: decoding never panics, and either every event of a batch is valid or the batch is
//! refused as a whole.

mod write;

use bytes::Bytes;
use prost::Message;
use thiserror::Error;

use crate::{
    Body, Event, EventId, EventType, Exchange, IdWithin, InvalidEventType, TypeId, UnixMicros,
};

/// The version this build writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// The media type of a batch.
pub const CONTENT_TYPE: &str = "application/vnd.sidehook.batch+protobuf";

/// Why a batch cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes are not a batch at all.
    #[error("not a batch of events: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// Written by a gateway whose format this build does not know.
    #[error("batch of version {0}, this build reads version {VERSION}")]
    Version(u32),
    /// There is no event in it.
    #[error("batch without events")]
    Empty,
    /// An event lacks something, or has something impossible.
    #[error("events[{index}].{field}: {reason}")]
    Invalid {
        /// The position of the event in the batch, from 0.
        index: usize,
        /// The field, as named in `sidehook.proto`.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// The bytes with which every batch of the gateway `source` begins.
pub fn prologue(source: &str) -> Vec<u8> {
    BatchMessage { version: VERSION, source: source.to_owned(), events: Vec::new() }.encode_to_vec()
}

/// One event, ready to be appended to a batch.
pub fn frame(event: &Event) -> Vec<u8> {
    write::frame(event)
}

/// Reads a batch. The bodies are slices of `bytes`, not copies.
pub fn decode(bytes: Bytes) -> Result<Vec<Event>, DecodeError> {
    let BatchMessage { version, source, events } = BatchMessage::decode(bytes)?;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    if events.is_empty() {
        return Err(DecodeError::Empty);
    }
    let numbered = events.into_iter().enumerate();
    numbered
        .map(|(index, event)| {
            event.check(&source).map_err(|Flaw { field, reason }| DecodeError::Invalid {
                index,
                field,
                reason,
            })
        })
        .collect()
}

#[derive(Clone, PartialEq, Message)]
struct BatchMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(message, repeated, tag = "3")]
    events: Vec<EventMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct EventMessage {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(string, tag = "2")]
    r#type: String,
    #[prost(string, optional, tag = "3")]
    subject: Option<String>,
    #[prost(int64, tag = "4")]
    time_us: i64,
    #[prost(string, tag = "5")]
    method: String,
    #[prost(string, tag = "6")]
    path: String,
    #[prost(uint32, tag = "7")]
    status: u32,
    #[prost(message, optional, tag = "8")]
    request: Option<BodyMessage>,
    #[prost(message, optional, tag = "9")]
    response: Option<BodyMessage>,
    #[prost(message, repeated, tag = "10")]
    headers: Vec<HeaderMessage>,
    #[prost(string, optional, tag = "11")]
    traceparent: Option<String>,
    #[prost(string, optional, tag = "12")]
    tracestate: Option<String>,
    #[prost(uint64, optional, tag = "13")]
    sequence: Option<u64>,
    #[prost(message, repeated, tag = "14")]
    parents: Vec<ParentMessage>,
    #[prost(bytes = "bytes", optional, tag = "15")]
    idempotency: Option<Bytes>,
    #[prost(message, optional, tag = "16")]
    id_within: Option<IdWithinMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct IdWithinMessage {
    #[prost(string, tag = "1")]
    pointer: String,
    #[prost(string, optional, tag = "2")]
    under: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct BodyMessage {
    #[prost(bytes = "bytes", tag = "1")]
    content: Bytes,
    #[prost(string, optional, tag = "2")]
    content_type: Option<String>,
    #[prost(string, optional, tag = "3")]
    content_encoding: Option<String>,
    #[prost(uint64, tag = "4")]
    size: u64,
    #[prost(bool, tag = "5")]
    truncated: bool,
    #[prost(bool, tag = "6")]
    incomplete: bool,
}

#[derive(Clone, PartialEq, Message)]
struct HeaderMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct ParentMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    id: String,
}

struct Flaw {
    field: &'static str,
    reason: String,
}

impl Flaw {
    fn in_field<E: ToString>(field: &'static str) -> impl FnOnce(E) -> Self {
        move |reason| Self { field, reason: reason.to_string() }
    }
}

impl EventMessage {
    fn check(self, source: &str) -> Result<Event, Flaw> {
        let id = <[u8; 16]>::try_from(self.id.as_ref())
            .map_err(|_| Flaw::in_field("id")("must have 16 bytes"))?;
        let idempotency = self.idempotency.as_deref().map(<[u8; 16]>::try_from).transpose();
        let idempotency =
            idempotency.map_err(|_| Flaw::in_field("idempotency")("must have 16 bytes"))?;
        let event_type: EventType =
            self.r#type.parse().map_err(Flaw::in_field::<InvalidEventType>("type"))?;
        let status = u16::try_from(self.status)
            .ok()
            .filter(|status| (200..300).contains(status))
            .ok_or_else(|| Flaw::in_field("status")("must be 200 to 299"))?;
        let time = UnixMicros::checked(self.time_us)
            .ok_or_else(|| Flaw::in_field("time_us")("must be after 1970 and before 10000"))?;
        Ok(Event {
            id: EventId::from_bits(u128::from_be_bytes(id)),
            event_type,
            source: source.to_owned(),
            subject: self.subject,
            parents: self.parents.into_iter().map(|p| (p.name, p.id)).collect(),
            sequence: self.sequence,
            time,
            exchange: Exchange {
                method: self.method,
                path: self.path,
                status,
                request: self.request.unwrap_or_default().into(),
                response: self.response.unwrap_or_default().into(),
                headers: self.headers.into_iter().map(|h| (h.name, h.value)).collect(),
                idempotency,
                id_within: self
                    .id_within
                    .map(|it| IdWithin { pointer: it.pointer, under: it.under }),
                traceparent: self.traceparent,
                tracestate: self.tracestate,
            },
        })
    }
}

impl From<BodyMessage> for Body {
    fn from(body: BodyMessage) -> Self {
        let BodyMessage { content, content_type, content_encoding, size, truncated, incomplete } =
            body;
        Self { content, content_type, content_encoding, size, truncated, incomplete }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
