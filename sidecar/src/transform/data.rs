//! The `data` of a payload: the resource as the API returned it, else as it was sent; for a
//! deletion its id.
//!
//! Invariant: JSON bodies are passed on as they were written, so that no number or key changes;
//! what an API compressed on its way is not compressed here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{json, value::RawValue, value::to_raw_value};
use sidehook_event::{Body, Event};

use super::decode;

/// What the event is about, as JSON.
///
/// A body that is over the limit leaves `{"id"}` alone (see `truncated` beside it); one that is
/// not JSON is carried as base64, with its type: `{"id", "content_type", "content_encoding",
/// "base64"}`.
pub fn data(event: &Event) -> Box<RawValue> {
    found(event).0
}

/// Where `data` is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The body of the request, as it is.
    Request,
    /// The body of the answer, as it is.
    Response,
    /// Neither.
    Made,
}

/// The same, and where it is from.
pub(super) fn found(event: &Event) -> (Box<RawValue>, Source) {
    let exchange = &event.exchange;
    if event.event_type.action() == "deleted" || is_thin(event) {
        return (id_alone(event), Source::Made);
    }
    let bodies = [(&exchange.response, Source::Response), (&exchange.request, Source::Request)];
    let mut whole = None;
    for (body, source) in bodies.into_iter().filter(|(body, _)| body.is_whole()) {
        let content = decode::content(body);
        let json = content.as_deref().and_then(|content| serde_json::from_slice(content).ok());
        if let Some(json) = json {
            return (json, source);
        }
        whole = whole.or(Some((body, content)));
    }
    let made = match whole {
        Some((body, content)) => encoded(event, body, content.as_deref()),
        None => id_alone(event),
    };
    (made, Source::Made)
}

/// Whether the resource was too large to be carried.
pub(super) fn is_thin(event: &Event) -> bool {
    let Event { exchange, .. } = event;
    exchange.response.truncated || (exchange.response.size == 0 && exchange.request.truncated)
}

/// The last segment of the subject: `42` of `people/42`.
fn id(event: &Event) -> Option<&str> {
    event.subject.as_deref().and_then(|subject| subject.rsplit('/').next())
}

fn id_alone(event: &Event) -> Box<RawValue> {
    raw(&json!({ "id": id(event) }))
}

/// A body as bytes; what could not be decoded is passed on as it came.
fn encoded(event: &Event, body: &Body, decoded: Option<&[u8]>) -> Box<RawValue> {
    let encoding = if decoded.is_some() { None } else { body.content_encoding.as_deref() };
    raw(&json!({
        "id": id(event),
        "content_type": body.content_type,
        "content_encoding": encoding,
        "base64": STANDARD.encode(decoded.unwrap_or(&body.content)),
    }))
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    // A `Value` can always be written; the default, `null`, is there for the type's sake.
    to_raw_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::testing::event;

    #[test]
    fn is_the_resource_as_the_api_returned_it() {
        let event = event("people.created", b"{\"name\":\"Ada\"}", b"{\"id\": 42, \"n\": 1.10}\n");
        assert_eq!(data(&event).get(), "{\"id\": 42, \"n\": 1.10}");
    }

    #[test]
    fn is_the_resource_as_it_was_sent_when_the_api_returned_none() {
        let event = event("people.updated", b"{\"name\":\"Ada\"}", b"");
        assert_eq!(data(&event).get(), "{\"name\":\"Ada\"}");
    }

    #[test]
    fn is_the_id_of_what_was_deleted() {
        let event = event("people.deleted", b"", b"{\"message\":\"gone\"}");
        assert_eq!(data(&event).get(), "{\"id\":\"42\"}");
    }

    #[test]
    fn is_the_id_alone_when_the_resource_is_too_large() {
        let mut event = event("people.created", b"{\"name\":\"Ada\"}", b"");
        event.exchange.response = Body { truncated: true, size: 1 << 20, ..Body::default() };
        assert_eq!(data(&event).get(), "{\"id\":\"42\"}");
        assert!(is_thin(&event));
    }

    #[test]
    fn carries_what_is_not_json_as_base64() {
        let mut event = event("people.created", b"", b"\x00\xff");
        event.exchange.response.content_type = Some("image/png".to_owned());
        let expected = json!({
            "id": "42", "content_type": "image/png", "content_encoding": null, "base64": "AP8="
        });
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(data(&event).get()).unwrap(),
            expected
        );
    }

    #[test]
    fn is_decoded_if_it_was_compressed_on_its_way() {
        let mut event = event("people.created", b"{\"name\":\"Ada\"}", b"");
        event.exchange.response = Body {
            content: Bytes::from_static(include_bytes!("testdata/ada.br")),
            content_encoding: Some("br".to_owned()),
            ..Body::default()
        };
        assert!(data(&event).get().starts_with("{\"name\": \"Ada\", \"and\": \"Ada, Ada"));
        // What only says that it is compressed is not taken for JSON.
        event.exchange.response.content_encoding = Some("gzip".to_owned());
        assert_eq!(data(&event).get(), "{\"name\":\"Ada\"}");
        event.exchange.request = Body::default();
        let passed_on: serde_json::Value = serde_json::from_str(data(&event).get()).unwrap();
        assert_eq!(passed_on["content_encoding"], "gzip");
    }

    #[test]
    fn an_event_without_anything_has_an_id_that_is_null() {
        let mut event = event("people.created", b"", b"");
        event.subject = None;
        assert_eq!(data(&event).get(), "{\"id\":null}");
    }
}
