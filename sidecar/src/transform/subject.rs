//! The subject of an event whose id is in an answer that the gateway could not read, because it is
//! compressed.
//!
//! Invariant: an event whose subject is known keeps it, and nothing but the subject changes.

use serde_json::Value;
use sidehook_event::{Event, IdWithin};

use super::decode;

/// The event with its subject, as far as the answer tells.
pub fn complete(mut event: Event) -> Event {
    if let Some(within) = event.exchange.id_within.take() {
        event.subject = event.subject.or_else(|| found(&event.exchange.response, within));
    }
    event
}

fn found(answer: &sidehook_event::Body, within: IdWithin) -> Option<String> {
    let content = decode::content(answer)?;
    let document: Value = serde_json::from_slice(&content).ok()?;
    let id = match document.pointer(&within.pointer)? {
        Value::String(text) if !text.is_empty() => text.replace('/', "%2F"),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(match within.under {
        Some(under) => format!("{under}/{id}"),
        None => id,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sidehook_event::Body;

    use super::*;
    use crate::model::testing::event;

    fn completed(pointer: &str, under: Option<&str>) -> Event {
        let mut event = event("people.created", b"", b"");
        event.subject = None;
        event.exchange.response = Body {
            content: Bytes::from_static(include_bytes!("testdata/ada.br")),
            content_encoding: Some("br".to_owned()),
            ..Body::default()
        };
        let under = under.map(str::to_owned);
        event.exchange.id_within = Some(IdWithin { pointer: pointer.to_owned(), under });
        complete(event)
    }

    #[test]
    fn is_found_in_what_was_compressed() {
        let event = completed("/name", Some("orgs/7/people"));
        assert_eq!(event.subject.as_deref(), Some("orgs/7/people/Ada"));
        assert_eq!(event.exchange.id_within, None);
        assert_eq!(completed("/name", None).subject.as_deref(), Some("Ada"));
    }

    #[test]
    fn stays_unknown_where_nothing_tells_it() {
        for pointer in ["/id", "/name/first", "name"] {
            let event = completed(pointer, Some("people"));
            assert_eq!((event.subject, event.exchange.id_within), (None, None), "{pointer}");
        }
    }

    #[test]
    fn that_is_known_is_kept() {
        let mut known = event("people.created", b"", b"{\"id\":9}");
        let pointer = "/id".to_owned();
        known.exchange.id_within = Some(IdWithin { pointer, under: None });
        let subject = known.subject.clone();
        assert_eq!(complete(known).subject, subject);
    }
}
