//! What was seen of an exchange becomes an event, or a reason why there is none. Pure.
//!
//! Invariant: only an answer of the API itself, and only 2xx, becomes an event; a captured body
//! is whole or marked as not being so.

mod bulk;
mod mark;

use std::{borrow::Cow, rc::Rc};

use bytes::Bytes;
use sidehook_event::{Body, Event, EventId, Exchange, IdWithin, TypeId, UnixMicros};

use bulk::{Part, divide};
use mark::Mark;

use crate::{
    config::Route,
    pairs::Fields,
    pointer::{Arrays, Pointer, find},
    redact::redact,
    rules::{Change, Method, Place, last_segment},
};

/// Why a write made no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Accepted on a path that routes watch over, but none of them fits.
    Unmatched,
    /// A call of gRPC, which says only in its trailers whether it succeeded.
    Grpc,
    /// The API answered with another status than 2xx.
    NotAccepted,
    /// The gateway answered, not the API.
    LocalReply,
    /// There was no answer.
    NoAnswer,
}

/// A body on its way through the gateway, copied as far as it is wanted.
#[derive(Debug, Default)]
pub struct Passing {
    /// Whether the route asks for it.
    wanted: bool,
    /// The longest that is kept, in bytes.
    limit: usize,
    content: Vec<u8>,
    size: u64,
    truncated: bool,
    ended: bool,
    content_type: Option<String>,
    content_encoding: Option<String>,
}

/// What header fields say of the body behind them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Described<'f> {
    /// `content-type`
    pub content_type: Option<&'f [u8]>,
    /// `content-encoding`
    pub content_encoding: Option<&'f [u8]>,
}

/// All that was seen of one exchange.
#[derive(Debug)]
pub struct Seen {
    /// The route it falls under.
    pub route: Rc<Route>,
    /// What it does.
    pub change: Change,
    /// To what.
    pub place: Place,
    /// How.
    pub method: Method,
    /// The path of the request, with its query.
    pub path: String,
    /// The request's headers, as long as there is no answer.
    pub fields: Fields,
    /// The request's body.
    pub request: Passing,
    /// The answer's body.
    pub response: Passing,
    /// What the API answered.
    pub answer: Option<Answer>,
}

/// The head of an answer that the API gave.
#[derive(Debug)]
pub struct Answer {
    /// The status, 2xx.
    pub status: u16,
    /// When, in nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
    /// Where the new resource is.
    pub location: Option<String>,
}

/// What a header field says, as text. Bytes that are not UTF-8 are replaced.
pub fn text(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(value),
    }
}

impl Described<'_> {
    /// Whether it is a call of gRPC, or the answer to one.
    pub fn is_grpc(&self) -> bool {
        let content_type = self.content_type.and_then(|name| name.get(..16));
        content_type.is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
    }
}

/// Whether an answer of this status means that the API accepted the write; then its number.
pub fn accepted(
    status: Option<&[u8]>,
    described: Described<'_>,
    code_details: &[u8],
) -> Result<u16, Reason> {
    let status = status.and_then(|status| std::str::from_utf8(status).ok()?.parse::<u16>().ok());
    let status = status.filter(|status| (200..300).contains(status));
    let status = status.ok_or(Reason::NotAccepted)?;
    if code_details != b"via_upstream" {
        return Err(Reason::LocalReply);
    }
    if described.is_grpc() {
        return Err(Reason::Grpc);
    }
    Ok(status)
}

/// The events of an accepted exchange: one, or one for each element of the list that it was about;
/// none as long as there is no answer.
pub fn events(seen: Seen, source: &str, random: u64) -> Vec<Event> {
    let Seen { route, change, place, method, path, fields, request, response, answer } = seen;
    let Some(answer) = answer else { return Vec::new() };
    let (mut request, mut response) = (request.body(), response.body());
    let [traceparent, tracestate, key, client] =
        fields.get_all(["traceparent", "tracestate", "idempotency-key", "authorization"]);
    let key = key.filter(|key| route.idempotency_key && !key.is_empty());
    let mark = key.map(|key| {
        let asked = [source, method.as_str(), &path, &text(key), &text(client.unwrap_or_default())];
        Mark::of(asked, [&request, &response])
    });
    let subject = place.subject(|| {
        let id = |body: &Body| id(body, &route.id);
        let located = || located(answer.status, answer.location.as_deref()?, &path);
        id(&response).or_else(|| id(&request)).or_else(located)
    });
    redact(&mut request, &route.redact);
    redact(&mut response, &route.redact);
    let copied = fields.iter().filter_map(|(name, value)| {
        let name = route.headers.iter().find(|asked| asked.as_bytes() == name)?;
        Some((name.clone(), text(value).into_owned()))
    });
    // Whoever can decode it finds the id.
    let unread = subject.is_none() && response.is_whole() && response.content_encoding.is_some();
    let id_within =
        || IdWithin { pointer: route.id.to_string(), under: place.under().map(str::to_owned) };
    let exchange = Exchange {
        id_within: unread.then(id_within),
        method: method.as_str().to_owned(),
        status: answer.status,
        headers: if route.headers.is_empty() { Vec::new() } else { copied.collect() },
        traceparent: traceparent.map(|value| text(value).into_owned()),
        tracestate: tracestate.map(|value| text(value).into_owned()),
        path,
        ..Exchange::default()
    };
    let event_type = route.names.of(change, answer.status);
    let event = |number: usize, subject: Option<String>, exchange: Exchange| Event {
        // Greater than that of the one before it.
        id: EventId::mint(answer.unix_nanos, random.saturating_add(to_u64(number))),
        event_type: event_type.clone(),
        source: source.to_owned(),
        parents: place.parents().to_vec(),
        sequence: None,
        time: UnixMicros::from_nanos(answer.unix_nanos),
        exchange: Exchange {
            idempotency: mark
                .as_ref()
                .map(|mark| mark.of_event(event_type.as_str(), subject.as_deref(), number)),
            ..exchange
        },
        subject,
    };
    let divided = route.bulk.as_ref().and_then(|bulk| {
        divide(bulk, answer.status, &request, &response).map(|parts| (parts, &bulk.id))
    });
    let Some((parts, pointer)) = divided else {
        return vec![event(0, subject, Exchange { request, response, ..exchange })];
    };
    let numbered = parts.into_iter().enumerate();
    let events = numbered.map(|(number, Part { request, response })| {
        let subject = place.subject(|| id(&response, pointer).or_else(|| id(&request, pointer)));
        event(number, subject, Exchange { request, response, ..exchange.clone() })
    });
    events.collect()
}

impl Passing {
    /// A body of which nothing has been seen yet.
    pub fn new(wanted: bool, limit: usize, described: Described<'_>) -> Self {
        let Described { content_type, content_encoding } = described;
        let content_encoding =
            content_encoding.filter(|name| !name.eq_ignore_ascii_case(b"identity"));
        let owned = |value: &[u8]| text(value).into_owned();
        Self {
            wanted,
            limit,
            content_type: content_type.map(owned),
            content_encoding: content_encoding.map(owned),
            ..Self::default()
        }
    }

    /// How much of a chunk of `size` bytes has to be read, when `room` bytes are left for all
    /// bodies together: all of it or nothing.
    pub fn appetite(&self, size: usize, room: usize) -> usize {
        let fits = size <= room && size <= self.limit.saturating_sub(self.content.len());
        if self.wanted && !self.truncated && fits { size } else { 0 }
    }

    /// A chunk of `size` bytes passed by; `read` is what was read of it.
    pub fn pass(&mut self, size: usize, read: Vec<u8>) {
        self.size = self.size.saturating_add(to_u64(size));
        if !self.wanted || self.truncated {
            return;
        }
        if read.len() != size {
            self.truncate();
        } else if self.content.is_empty() {
            self.content = read;
        } else {
            self.content.extend(read);
        }
    }

    /// The body is longer than what is kept of it.
    pub fn truncate(&mut self) {
        self.truncated = true;
        self.content = Vec::new();
    }

    /// The end of the body passed by.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether there is more to be seen that is wanted.
    pub fn is_open(&self) -> bool {
        self.wanted && !self.ended && !self.truncated
    }

    /// Whether a body of `length` bytes would be longer than what is kept.
    pub fn overflows(&self, length: u64) -> bool {
        usize::try_from(length).map_or(true, |length| length > self.limit)
    }

    /// How many bytes are kept.
    pub fn kept(&self) -> usize {
        self.content.len()
    }

    fn body(self) -> Body {
        Body {
            incomplete: self.is_open(),
            content: Bytes::from(self.content),
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            size: self.size,
            truncated: self.truncated,
        }
    }
}

/// The id in a body: a text, or a number as it is written there.
fn id(body: &Body, pointer: &Pointer) -> Option<String> {
    if !body.is_whole() || body.content_encoding.is_some() {
        return None;
    }
    let pointer = std::slice::from_ref(pointer);
    let found = find(&body.content, pointer, Arrays::ByIndex).ok()?;
    // Of a name that is there twice, parsers take the last.
    let text = found.last()?;
    let id = match text.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(text).ok()?,
        b'-' | b'0'..=b'9' => (*text).to_owned(),
        _ => return None,
    };
    (!id.is_empty()).then_some(id)
}

/// The id in the `Location` of something new. With other statuses it is not the new resource's
/// place (RFC 9110, section 10.2.2), and one that leads back to the collection has no id.
fn located(status: u16, location: &str, path: &str) -> Option<String> {
    let id = (status == 201).then(|| last_segment(location))??;
    (Some(&id) != last_segment(path).as_ref()).then_some(id)
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
