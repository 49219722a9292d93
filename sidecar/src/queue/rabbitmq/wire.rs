//! Events and deliveries as messages.
//!
//! Invariant: what is decoded is what was encoded; whatever else may lie in a queue gives an
//! error, never a panic.
//!
//! Events, for workers, are a batch as a gateway would have sent it, deliveries are some to a message
//! too ([`bundle`]). Where events are announced each is a batch of one, its attributes headers as well, so
//! that others can route by them. A dead letter's body is the `data` of the event that tells of the death.

use std::sync::Arc;

use bytes::Bytes;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use sidehook_event::{Event, cloudevents, wire};
use thiserror::Error;

use super::bundle;
use crate::model::{DueDelivery, operational};

/// The media type of deliveries.
const DELIVERIES: &str = "application/vnd.sidehook.deliveries+protobuf";

const PERSISTENT: u8 = 2;

/// A message to be published.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// Why something has no form as a message, or a message is not what it should be.
#[derive(Debug, Error)]
pub(super) enum Flaw {
    #[error("{0} is longer than 255 bytes")]
    TooLong(&'static str),
    #[error("not events: {0}")]
    Events(String),
    #[error("not deliveries: {0}")]
    Deliveries(String),
    #[error("{0} is missing or not what it should be")]
    Field(&'static str),
}

/// Events of one source, to be routed by `routing_key`.
pub(super) fn events(events: &[Arc<Event>], routing_key: ShortString) -> Message {
    let properties = BasicProperties::default()
        .with_content_type(wire::CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT);
    Message { routing_key, properties, body: batch(events) }
}

/// An event for others, to be routed by its type.
pub(super) fn announcement(event: &Arc<Event>) -> Result<Message, Flaw> {
    let mut headers = FieldTable::default();
    for (name, value) in cloudevents::attributes(event) {
        let name = short("an attribute's name", &format!("cloudEvents:{name}"))?;
        headers.insert(name, AMQPValue::LongString(value.into()));
    }
    let kind = short("the type", event.event_type.as_str())?;
    let properties = BasicProperties::default()
        .with_content_type(wire::CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short("the id", &event.id.to_string())?)
        .with_type(kind.clone())
        .with_headers(headers);
    Ok(Message { routing_key: kind, properties, body: batch(std::slice::from_ref(event)) })
}

fn batch(events: &[Arc<Event>]) -> Bytes {
    let source = events.first().map(|event| &*event.source).unwrap_or_default();
    let mut body = wire::prologue(source);
    for event in events {
        body.extend(wire::frame(event));
    }
    body.into()
}

/// Deliveries, to be routed by `routing_key`.
pub(super) fn deliveries(deliveries: &[DueDelivery], routing_key: ShortString) -> Message {
    let properties = BasicProperties::default()
        .with_content_type(DELIVERIES.into())
        .with_delivery_mode(PERSISTENT);
    Message { routing_key, properties, body: bundle::encode(deliveries).into() }
}

/// What tells of a death, to be routed by whose fault it was and the cause: `receiver.exhausted`.
pub(super) fn letter(event: &Event) -> Result<Message, Flaw> {
    let content = &event.exchange.response;
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short("the id", &event.id.to_string())?)
        .with_type(short("the type", event.event_type.as_str())?)
        .with_timestamp(u64::try_from(event.time.micros() / 1_000_000).unwrap_or(0));
    let routing_key = operational::blame(event).ok_or(Flaw::Field("the cause"))?;
    let routing_key = short("the cause", &routing_key)?;
    Ok(Message { routing_key, properties, body: content.content.clone() })
}

/// The events that a message holds.
pub(super) fn decode_events(body: Bytes) -> Result<Vec<Arc<Event>>, Flaw> {
    let events = wire::decode(body);
    let events = events.map_err(|error| Flaw::Events(error.to_string()))?;
    Ok(events.into_iter().map(Arc::new).collect())
}

fn short(what: &'static str, text: &str) -> Result<ShortString, Flaw> {
    ShortString::try_new(text).map_err(|_| Flaw::TooLong(what))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
