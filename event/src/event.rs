//! One write that an API accepted, as the gateway saw it.
//!
//! Invariant: an event is complete when it is made and never changes; bodies are the bytes that
//! passed through the gateway, never re-encoded.

use bytes::Bytes;

use crate::{EventId, EventType, UnixMicros};

/// A write that an API accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Minted by the gateway; the key under which the event is stored once and only once.
    pub id: EventId,
    /// What happened to what.
    pub event_type: EventType,
    /// The gateway that saw it, the `CloudEvents` source.
    pub source: String,
    /// What it happened to, by its path from the outermost collection on: `people/42`,
    /// `orgs/7/people/42`. `None` when neither path nor bodies tell.
    pub subject: Option<String>,
    /// What it belongs to, as the path says, outermost first: the name of the path's parameter and
    /// what stands there. Of `/orgs/{org}/people` in `/orgs/7/people`: `org`, `7`.
    pub parents: Vec<(String, String)>,
    /// Grows from event to event about the same subject, as they were stored; `None` until then.
    pub sequence: Option<u64>,
    /// When the API answered.
    pub time: UnixMicros,
    /// The request and its answer.
    pub exchange: Exchange,
}

/// A request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exchange {
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// The path as the API received it, with its query.
    pub path: String,
    /// The status of the answer, 2xx.
    pub status: u16,
    /// The body of the request.
    pub request: Body,
    /// The body of the answer.
    pub response: Body,
    /// The request headers that the route's configuration names, in the order of the request.
    pub headers: Vec<(String, String)>,
    /// The same for all requests by which a client asks for one and the same write: of events with
    /// one such mark only the first is stored. `None` for a request that says nothing of the kind.
    pub idempotency: Option<[u8; 16]>,
    /// Where the subject's id is to be looked for, if it may be in an answer that the gateway could
    /// not read; `None` once it has been.
    pub id_within: Option<IdWithin>,
    /// W3C Trace Context of the request.
    pub traceparent: Option<String>,
    /// W3C Trace Context, the vendors' part.
    pub tracestate: Option<String>,
}

/// Where an id is in the body of an answer, and what it is the id of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdWithin {
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    /// The subject without the id: `people`, `orgs/7/people`.
    pub under: Option<String>,
}

/// A body, as far as it was captured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body {
    /// The captured bytes; empty when there were none, or too many, or when the route does not
    /// ask for this body.
    pub content: Bytes,
    /// The `content-type` header.
    pub content_type: Option<String>,
    /// The `content-encoding` header: the bytes are still encoded so.
    pub content_encoding: Option<String>,
    /// How many bytes passed by while the gateway looked, captured or not.
    pub size: u64,
    /// The body was longer than the route's limit; `content` is then empty, for a part of a
    /// body is seldom of use and easily taken for the whole.
    pub truncated: bool,
    /// The answer came before the end of this body was seen.
    pub incomplete: bool,
}

impl Body {
    /// Whether `content` is the whole body, and there is one.
    pub fn is_whole(&self) -> bool {
        !self.content.is_empty() && !self.truncated && !self.incomplete
    }
}
