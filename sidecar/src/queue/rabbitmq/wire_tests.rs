//! The journey of events and deliveries through messages.
//!
//! Invariant: whatever comes out went in; what is not a message of ours is refused.

use lapin::types::LongString;
use proptest::prelude::*;
use sidehook_event::{Body, EventId, Exchange};

use super::*;
use crate::model::{DeliveryId, SubscriptionId};

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

fn sample_delivery() -> DueDelivery {
    DueDelivery {
        id: DeliveryId::from_bits(1),
        event_id: EventId::from_bits(2),
        event_type: "people.created".parse().unwrap(),
        subscription_id: SubscriptionId::from_bits(3),
        attempt: 7,
        series: Series { began_at: UnixMicros::new(1_763_890_100_000_000), earlier: 4 },
        payload: Payload {
            content_type: "application/json".into(),
            headers: [("ce-id".to_owned(), "größe".to_owned())].into(),
            body: Bytes::from_static(b"{\"type\":\"people.created\"}"),
        },
        lease_until: UnixMicros::new(1_763_890_200_000_000),
    }
}

fn received(message: &Message) -> Delivery {
    let mut received =
        Delivery::mock(1, "".into(), message.routing_key.clone(), false, message.body.to_vec());
    received.properties = message.properties.clone();
    received
}

#[test]
fn an_event_survives_its_journey() {
    let message = event(&sample_event()).unwrap();
    assert_eq!(*decode_event(received(&message)).unwrap(), sample_event());
}

#[test]
fn others_can_route_an_event_by_its_attributes() {
    let message = event(&sample_event()).unwrap();
    assert_eq!(message.routing_key.as_str(), "people.created");
    let headers = message.properties.headers().clone().unwrap();
    let subject = headers.inner().get("cloudEvents:subject").and_then(AMQPValue::as_long_string);
    assert_eq!(subject.map(LongString::as_bytes), Some(&b"42"[..]));
}

#[test]
fn a_delivery_survives_its_journey() {
    let message = delivery(&sample_delivery(), "delivery").unwrap();
    assert_eq!(decode_delivery(received(&message)).unwrap(), sample_delivery());
}

#[test]
fn what_has_no_form_is_refused_rather_than_cut() {
    let mut due = sample_delivery();
    due.payload.content_type = "x".repeat(256).into();
    assert!(matches!(delivery(&due, "delivery"), Err(Flaw::TooLong("the content type"))));
}

#[test]
fn a_delivery_that_lacks_anything_is_refused() {
    let message = delivery(&sample_delivery(), "delivery").unwrap();
    for name in [VERSION_HEADER, EVENT, EVENT_TYPE, SUBSCRIPTION, ATTEMPT, LEASE_UNTIL] {
        let mut headers = message.properties.headers().clone().unwrap();
        headers.insert(name.into(), AMQPValue::Boolean(true));
        let mut received = received(&message);
        received.properties = message.properties.clone().with_headers(headers);
        let flaw = decode_delivery(received).unwrap_err();
        assert!(flaw.to_string().contains(name), "{name}: {flaw}");
    }
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(body: Vec<u8>) {
        let stranger = || Delivery::mock(1, "".into(), "any".into(), false, body.clone());
        prop_assert!(decode_delivery(stranger()).is_err());
        let _ = decode_event(stranger());
    }
}
