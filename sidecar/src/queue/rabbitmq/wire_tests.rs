//! The journey of events through messages.
//!
//! Invariant: whatever comes out went in; what is not a message of ours is refused.

use lapin::types::LongString;
use proptest::prelude::*;
use sidehook_event::{Body, EventId, Exchange, TypeId, UnixMicros};

use super::*;

fn sample_event() -> Event {
    Event {
        id: EventId::from_bits(42),
        event_type: "people.created".parse().unwrap(),
        source: "edge".to_owned(),
        subject: Some("42".to_owned()),
        parents: Vec::new(),
        sequence: Some(7),
        time: UnixMicros::new(1_763_890_200_000_000),
        exchange: Exchange {
            status: 201,
            response: Body { content: Bytes::from_static(b"{\"id\":42}"), ..Body::default() },
            ..Exchange::default()
        },
    }
}

#[test]
fn events_survive_their_journey_in_their_order() {
    let second = Event { id: EventId::from_bits(43), sequence: Some(8), ..sample_event() };
    let all = [Arc::new(sample_event()), Arc::new(second)];
    let message = events(&all, "event".into());
    assert_eq!(decode_events(message.body).unwrap(), all);
}

#[test]
fn others_can_route_an_event_by_its_attributes() {
    let message = announcement(&Arc::new(sample_event())).unwrap();
    assert_eq!(message.routing_key.as_str(), "people.created");
    let headers = message.properties.headers().clone().unwrap();
    let subject = headers.inner().get("cloudEvents:subject").and_then(AMQPValue::as_long_string);
    assert_eq!(subject.map(LongString::as_bytes), Some(&b"42"[..]));
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(body: Vec<u8>) {
        // Whatever it is.
        let _ = decode_events(body.into());
    }
}
