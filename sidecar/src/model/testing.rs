//! Subscriptions and events for unit tests.
//!
//! Invariant: compiled for tests alone.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde_json::Map;
use sidehook_event::{Body, Event, EventId, Exchange, TypeId, UnixMicros};

use super::{
    Format, Headers, Order, Pacing, Retry, Secret, Subscription, SubscriptionId, Target, Tls,
};

/// A subscription to `pattern`.
pub(crate) fn subscription(id: u128, pattern: &str) -> Subscription {
    Subscription {
        id: SubscriptionId::from_bits(id),
        url: Target::parse("https://receiver.test/webhook").unwrap(),
        pattern: pattern.parse().unwrap(),
        filter: None,
        script: None,
        custom_headers: Headers::default(),
        custom_payload: Map::new(),
        format: Format::Standard,
        signing: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<Secret>().unwrap().into(),
        enabled: true,
        disabled_reason: None,
        retry: Retry::default(),
        timeout: Duration::from_secs(15),
        tls: Tls::default(),
        pacing: Pacing::default(),
        ordering: Order::None,
        description: None,
        metadata: BTreeMap::new(),
        created_at: UnixMicros::EPOCH,
        updated_at: UnixMicros::EPOCH,
    }
}

/// An event of `event_type` about `people/42`.
pub(crate) fn event(event_type: &str, request: &[u8], response: &[u8]) -> Event {
    let body = |content: &[u8]| Body {
        content: Bytes::copy_from_slice(content),
        content_type: Some("application/json".to_owned()),
        size: content.len() as u64,
        ..Body::default()
    };
    Event {
        id: EventId::from_bits(42),
        event_type: event_type.parse().unwrap(),
        source: "edge".to_owned(),
        subject: Some("people/42".to_owned()),
        parents: Vec::new(),
        sequence: None,
        time: UnixMicros::new(1_763_890_200_000_000),
        exchange: Exchange {
            method: "POST".to_owned(),
            path: "/people/".to_owned(),
            status: 201,
            request: body(request),
            response: body(response),
            ..Exchange::default()
        },
    }
}
