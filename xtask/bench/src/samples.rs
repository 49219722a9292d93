//! What the hot paths are handed: a write, its event, and who asked for it.
//!
//! Invariant: nothing here is drawn by chance or read from a clock.

use bytes::Bytes;
use serde_json::json;
use sidehook::model::{
    Filter, Format, Headers, Order, Pacing, Retry, Secret, Subscription, SubscriptionId, Target,
    Tls,
};
use sidehook_event::{Body, Event, EventId, Exchange, TypeId as _, UnixMicros};

/// When everything happens.
pub(crate) const NOW: UnixMicros = UnixMicros::new(1_763_890_200_000_000);

/// What the API answers with: a person, some 300 bytes.
pub(crate) const PERSON: &[u8] = br#"{"id":42,"first_name":"Ada","last_name":"Lovelace",
"email":"ada@example.com","plan":"team","age":36,"admin":true,"role":"engineer",
"address":{"street":"1 Main St","city":"London","country":"GB","postcode":"N1 9GU"},
"tags":["math","poetry"],"created_at":"2026-03-01T12:00:00Z","newsletter":false,"score":12.5}"#;

/// A person whose biography makes it so many bytes.
pub(crate) fn person_of(bytes: usize) -> Vec<u8> {
    let about = "She wrote the first program. ".repeat(bytes / 29 + 1);
    let about = about.get(..bytes.saturating_sub(40)).unwrap_or(&about);
    format!(r#"{{"id":42,"first_name":"Ada","about":"{about}"}}"#).into_bytes()
}

/// The event of a person who was created.
pub(crate) fn event(number: u128, body: &[u8]) -> Event {
    let content = Bytes::copy_from_slice(body);
    let body = Body {
        size: content.len() as u64,
        content,
        content_type: Some("application/json".to_owned()),
        ..Body::default()
    };
    Event {
        id: EventId::from_bits(0x0199_0000_0000_7000_8000_0000_0000_0000 + number),
        event_type: "people.created".parse().unwrap(),
        source: "edge".to_owned(),
        subject: Some("people/42".to_owned()),
        parents: Vec::new(),
        sequence: Some(7),
        time: NOW,
        exchange: Exchange {
            method: "POST".to_owned(),
            path: "/people".to_owned(),
            status: 201,
            request: body.clone(),
            response: body,
            headers: vec![("x-actor".to_owned(), "grace".to_owned())],
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            ..Exchange::default()
        },
    }
}

/// A subscription that says nothing out of the ordinary.
pub(crate) fn subscription(number: u128, pattern: &str) -> Subscription {
    Subscription {
        id: SubscriptionId::from_bits(number),
        url: Target::parse("https://receiver.test/webhook").unwrap(),
        pattern: pattern.parse().unwrap(),
        filter: None,
        script: None,
        custom_headers: Headers::default(),
        custom_payload: serde_json::Map::new(),
        format: Format::Standard,
        signing: secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").into(),
        enabled: true,
        disabled_reason: None,
        retry: Retry::default(),
        timeout: std::time::Duration::from_secs(15),
        tls: Tls::default(),
        pacing: Pacing::default(),
        ordering: Order::None,
        description: None,
        metadata: std::collections::BTreeMap::new(),
        created_at: UnixMicros::EPOCH,
        updated_at: UnixMicros::EPOCH,
    }
}

/// A secret as it is shown to its owner.
pub(crate) fn secret(shown: &str) -> Secret {
    shown.parse().unwrap()
}

/// A filter of five conditions, all of which hold for a person.
pub(crate) fn filter() -> Filter {
    let written = json!({
        "data.admin": true,
        "data.plan": {"in": ["team", "enterprise"]},
        "any": [{"data.age": {"gte": 30}}, {"data.address.country": "FR"}],
        "data.email": {"suffix": "@example.com"}
    });
    let serde_json::Value::Object(written) = written else { panic!("it is an object") };
    Filter::parse(written).unwrap()
}
