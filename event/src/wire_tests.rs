//! The wire format: what is written is read back, other versions are survived, garbage is
//! refused.
//!
//! Invariant: the bytes in the snapshot are what gateways in use send; they must stay readable.

use proptest::{collection::vec, option, prelude::*};
use prost::Message;

use super::*;

fn ada() -> Event {
    Event {
        id: EventId::from_bits(0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881),
        event_type: "people.created".parse().unwrap(),
        source: "edge".to_owned(),
        subject: Some("42".to_owned()),
        parents: Vec::new(),
        sequence: None,
        time: UnixMicros::new(1_763_890_200_000_042),
        exchange: Exchange {
            method: "POST".to_owned(),
            path: "/people/?x=1".to_owned(),
            status: 201,
            request: Body {
                content: Bytes::from_static(b"{\"name\":\"Ada\"}"),
                content_type: Some("application/json".to_owned()),
                size: 14,
                ..Body::default()
            },
            response: Body { size: 1 << 20, truncated: true, ..Body::default() },
            headers: vec![("x-actor".to_owned(), "grace".to_owned())],
            idempotency: None,
            id_within: None,
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            tracestate: None,
        },
    }
}

fn batch(source: &str, events: impl IntoIterator<Item = Event>) -> Bytes {
    let mut bytes = prologue(source);
    events.into_iter().for_each(|event| bytes.extend(frame(&event)));
    bytes.into()
}

#[test]
fn a_sequence_is_carried_on() {
    let numbered = Event { sequence: Some(u64::MAX), ..ada() };
    assert_eq!(decode(batch("edge", [numbered.clone()])).unwrap(), [numbered]);
}

#[test]
fn what_newer_gateways_say_is_carried_on() {
    let mut nested = Event { parents: vec![("org".to_owned(), "7".to_owned())], ..ada() };
    nested.exchange.idempotency = Some([7; 16]);
    let (pointer, under) = ("/id".to_owned(), Some("orgs/7/people".to_owned()));
    nested.exchange.id_within = Some(IdWithin { pointer, under });
    assert_eq!(decode(batch("edge", [nested.clone()])).unwrap(), [nested]);
}

#[test]
fn the_bytes_of_version_1_stay_as_they_are() {
    let text = batch("edge", [ada()]).escape_ascii().to_string();
    insta::assert_snapshot!(text);
}

#[test]
fn an_older_sidecar_survives_a_newer_gateway() {
    /// An event as a later version of this crate may write it.
    #[derive(Clone, PartialEq, Message)]
    struct Newer {
        #[prost(uint32, tag = "1")]
        version: u32,
        #[prost(string, tag = "99")]
        region: String,
        #[prost(message, repeated, tag = "3")]
        events: Vec<NewerEvent>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct NewerEvent {
        #[prost(bytes = "vec", tag = "1")]
        id: Vec<u8>,
        #[prost(string, tag = "2")]
        name: String,
        #[prost(uint32, tag = "7")]
        status: u32,
        #[prost(string, repeated, tag = "50")]
        attributes: Vec<String>,
    }
    let event = NewerEvent {
        id: vec![7; 16],
        name: "people.merged".to_owned(),
        status: 200,
        attributes: vec!["org=7".to_owned()],
    };
    let newer = Newer { version: VERSION, region: "eu".to_owned(), events: vec![event] };
    let read = decode(newer.encode_to_vec().into()).unwrap();
    assert_eq!(read[0].event_type.as_str(), "people.merged");
}

#[test]
fn a_newer_sidecar_survives_an_older_gateway() {
    // The least that any gateway ever sent: id, type and status.
    let event = EventMessage {
        id: Bytes::from_static(&[7; 16]),
        r#type: "people.created".to_owned(),
        status: 201,
        ..EventMessage::default()
    };
    let batch = BatchMessage { version: VERSION, source: String::new(), events: vec![event] };
    let read = decode(batch.encode_to_vec().into()).unwrap();
    assert_eq!(read[0].exchange.response, Body::default());
}

#[test]
fn another_version_is_refused_by_name() {
    let newer = BatchMessage { version: 2, source: String::new(), events: vec![ada().into()] };
    let error = decode(newer.encode_to_vec().into()).unwrap_err();
    assert_eq!(error.to_string(), "batch of version 2, this build reads version 1");
}

#[test]
fn an_impossible_event_is_refused_with_its_field() {
    let wrong = |change: fn(&mut EventMessage)| {
        let mut flawed = EventMessage::from(ada());
        change(&mut flawed);
        let events = vec![ada().into(), flawed];
        let batch = BatchMessage { version: VERSION, source: String::new(), events };
        decode(batch.encode_to_vec().into()).unwrap_err().to_string()
    };
    assert_eq!(wrong(|e| e.id = Bytes::new()), "events[1].id: must have 16 bytes");
    assert!(wrong(|e| e.r#type = "People".to_owned()).starts_with("events[1].type: "));
    assert_eq!(wrong(|e| e.status = 404), "events[1].status: must be 200 to 299");
    let short = wrong(|e| e.idempotency = Some(Bytes::from_static(b"k")));
    assert_eq!(short, "events[1].idempotency: must have 16 bytes");
    assert!(wrong(|e| e.time_us = i64::MAX).starts_with("events[1].time_us: "));
}

#[test]
fn nothing_is_not_a_batch() {
    assert_eq!(decode(Bytes::new()), Err(DecodeError::Version(0)));
    assert_eq!(decode(prologue("edge").into()), Err(DecodeError::Empty));
    assert!(matches!(decode(Bytes::from_static(b"{\"a\":1}")), Err(DecodeError::Malformed(_))));
}

impl From<Event> for EventMessage {
    fn from(event: Event) -> Self {
        let Event { id, event_type, source: _, subject, parents, sequence, time, exchange } = event;
        let Exchange { method, path, status, request, response, .. } = exchange;
        let parents = parents.into_iter().map(|(name, id)| ParentMessage { name, id });
        let idempotency = exchange.idempotency;
        let id_within = exchange.id_within;
        Self {
            id: Bytes::copy_from_slice(&id.bits().to_be_bytes()),
            r#type: event_type.as_str().to_owned(),
            subject,
            time_us: time.micros(),
            method,
            path,
            status: status.into(),
            request: Some(request.into()),
            response: Some(response.into()),
            headers: exchange
                .headers
                .into_iter()
                .map(|(name, value)| HeaderMessage { name, value })
                .collect(),
            traceparent: exchange.traceparent,
            tracestate: exchange.tracestate,
            sequence,
            parents: parents.collect(),
            idempotency: idempotency.map(|mark| Bytes::copy_from_slice(&mark)),
            id_within: id_within
                .map(|IdWithin { pointer, under }| IdWithinMessage { pointer, under }),
        }
    }
}

impl From<Body> for BodyMessage {
    fn from(body: Body) -> Self {
        let Body { content, content_type, content_encoding, size, truncated, incomplete } = body;
        Self { content, content_type, content_encoding, size, truncated, incomplete }
    }
}

prop_compose! {
    fn body()(
        content in vec(any::<u8>(), 0..200),
        content_type in option::of(".{0,20}"),
        content_encoding in option::of("gzip|br"),
        size: u64,
        truncated: bool,
        incomplete: bool,
    ) -> Body {
        Body { content: content.into(), content_type, content_encoding, size, truncated, incomplete }
    }
}

prop_compose! {
    fn exchange()(
        (method, path, status) in ("POST|PUT|PATCH|DELETE", ".{0,40}", 200_u16..300),
        request in body(),
        response in body(),
        headers in vec(("[a-z-]{1,10}", ".{0,20}"), 0..4),
        traceparent in option::of("[0-9a-f-]{55}"),
        tracestate in option::of(".{0,30}"),
    ) -> Exchange {
        let idempotency = status.is_multiple_of(2).then(|| [status.to_be_bytes()[1]; 16]);
        Exchange {
            method,
            path,
            status,
            request,
            response,
            headers,
            idempotency,
            id_within: None,
            traceparent,
            tracestate,
        }
    }
}

prop_compose! {
    fn event()(
        id: u128,
        event_type in "[a-z0-9_-]{1,12}\\.[a-z]{1,12}",
        subject in option::of(".{0,20}"),
        parents in vec(("[a-z_]{1,10}", ".{0,20}"), 0..3),
        micros in 0..=UnixMicros::MAX.micros(),
        exchange in exchange(),
    ) -> Event {
        Event {
            id: EventId::from_bits(id),
            event_type: event_type.parse().unwrap(),
            source: "edge".to_owned(),
            subject,
            parents,
            sequence: None,
            time: UnixMicros::new(micros),
            exchange,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(events in vec(event(), 1..5)) {
        prop_assert_eq!(decode(batch("edge", events.clone())), Ok(events));
    }

    #[test]
    fn what_is_written_is_what_the_message_would_be_encoded_as(event in event()) {
        let (version, source) = (0, String::new());
        let message = BatchMessage { version, source, events: vec![event.clone().into()] };
        prop_assert_eq!(frame(&event), message.encode_to_vec());
    }

    #[test]
    fn garbage_gives_an_error_and_never_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(bytes.into()).is_err());
    }

    #[test]
    fn a_damaged_batch_never_panics(event in event(), at: prop::sample::Index, byte: u8) {
        let mut bytes = batch("edge", [event]).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(bytes.clone().into());
        bytes.truncate(at);
        prop_assert!(decode(bytes.into()).is_err());
    }
}
