//! Events and deliveries as messages.
//!
//! Invariant: what is decoded is what was encoded; whatever else may lie in a queue gives an
//! error, never a panic.
//!
//! An event's body is the batch of one that a gateway would have sent, its attributes are
//! headers as well, so that others can bind queues of their own and route by them. A delivery's
//! body is its payload, as it is sent to the receiver; the rest are headers. A dead letter's body
//! is the `data` of the event that tells of the death.

use std::sync::Arc;

use bytes::Bytes;
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};
use sidehook_event::{Event, TypeId, UnixMicros, cloudevents, wire};
use thiserror::Error;

use crate::model::{DueDelivery, Payload, Series, operational};

/// The form of a delivery's headers. Another number means that they are not for this build.
const VERSION: i32 = 3;
const PERSISTENT: u8 = 2;

const VERSION_HEADER: &str = "sidehook:version";
const EVENT: &str = "sidehook:event";
const EVENT_TYPE: &str = "sidehook:event-type";
const SUBSCRIPTION: &str = "sidehook:subscription";
const ATTEMPT: &str = "sidehook:attempt";
const SERIES_AT: &str = "sidehook:series-at";
const EARLIER: &str = "sidehook:earlier-attempts";
const LEASE_UNTIL: &str = "sidehook:lease-until";
/// What stands before the name of a header of the payload.
const HEADER: &str = "sidehook:header:";

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
    #[error("not one event: {0}")]
    Event(String),
    #[error("{0} is missing or not what it should be")]
    Field(&'static str),
}

/// An event, to be routed by its type.
pub(super) fn event(event: &Event) -> Result<Message, Flaw> {
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
    let mut body = wire::prologue(&event.source);
    body.extend(wire::frame(event));
    Ok(Message { routing_key: kind, properties, body: body.into() })
}

/// A delivery, to be routed by `routing_key`.
pub(super) fn delivery(due: &DueDelivery, routing_key: &str) -> Result<Message, Flaw> {
    let DueDelivery { id, event_id, event_type, subscription_id, attempt, .. } = due;
    let DueDelivery { series, payload, lease_until, .. } = due;
    let text = |text: String| AMQPValue::LongString(text.into());
    let mut headers = FieldTable::default();
    headers.insert(VERSION_HEADER.into(), AMQPValue::LongInt(VERSION));
    headers.insert(EVENT.into(), text(event_id.to_string()));
    headers.insert(EVENT_TYPE.into(), text(event_type.to_string()));
    headers.insert(SUBSCRIPTION.into(), text(subscription_id.to_string()));
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt((*attempt).into()));
    headers.insert(SERIES_AT.into(), AMQPValue::LongLongInt(series.began_at.micros()));
    headers.insert(EARLIER.into(), AMQPValue::LongLongInt(series.earlier.into()));
    for (name, value) in &*payload.headers {
        let name = short("a header's name", &format!("{HEADER}{name}"))?;
        headers.insert(name, text(value.clone()));
    }
    headers.insert(LEASE_UNTIL.into(), AMQPValue::LongLongInt(lease_until.micros()));
    let properties = BasicProperties::default()
        .with_content_type(short("the content type", &payload.content_type)?)
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short("the id", &id.to_string())?)
        .with_headers(headers);
    let routing_key = short("the routing key", routing_key)?;
    Ok(Message { routing_key, properties, body: payload.body.clone() })
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

/// The event that a message holds.
pub(super) fn decode_event(message: Delivery) -> Result<Arc<Event>, Flaw> {
    let events =
        wire::decode(message.data.into()).map_err(|error| Flaw::Event(error.to_string()))?;
    let count = events.len();
    let [event] = <[Event; 1]>::try_from(events)
        .map_err(|_| Flaw::Event(format!("there are {count} of them")))?;
    Ok(Arc::new(event))
}

/// The delivery that a message holds.
pub(super) fn decode_delivery(message: Delivery) -> Result<DueDelivery, Flaw> {
    let Delivery { properties, data, .. } = message;
    let headers = properties.headers().as_ref().ok_or(Flaw::Field("the headers"))?;
    if headers.inner().get(VERSION_HEADER).and_then(AMQPValue::as_long_int) != Some(VERSION) {
        return Err(Flaw::Field(VERSION_HEADER));
    }
    let number = |name| {
        let number = headers.inner().get(name).and_then(AMQPValue::as_long_long_int);
        number.ok_or(Flaw::Field(name))
    };
    let instant = |name| {
        let micros = number(name)?;
        let possible = UnixMicros::EPOCH.micros()..=UnixMicros::MAX.micros();
        possible.contains(&micros).then(|| UnixMicros::new(micros)).ok_or(Flaw::Field(name))
    };
    let count = |name| u32::try_from(number(name)?).map_err(|_| Flaw::Field(name));
    let id = properties.message_id().as_ref().ok_or(Flaw::Field("the message id"))?;
    let content_type = properties.content_type().as_ref().ok_or(Flaw::Field("content type"))?;
    Ok(DueDelivery {
        id: TypeId::parse(id.as_str()).map_err(|_| Flaw::Field("the message id"))?,
        event_id: named(headers, EVENT)?,
        event_type: word(headers, EVENT_TYPE)
            .and_then(|name| name.parse().ok())
            .ok_or(Flaw::Field(EVENT_TYPE))?,
        subscription_id: named(headers, SUBSCRIPTION)?,
        attempt: count(ATTEMPT)?,
        series: Series { began_at: instant(SERIES_AT)?, earlier: count(EARLIER)? },
        payload: Payload {
            content_type: content_type.as_str().into(),
            headers: payload_headers(headers)?,
            body: data.into(),
        },
        lease_until: instant(LEASE_UNTIL)?,
    })
}

fn payload_headers(headers: &FieldTable) -> Result<Arc<[(String, String)]>, Flaw> {
    let named = headers.inner().iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(HEADER)?;
        let value = value.as_long_string().map(|text| text.as_bytes().to_vec());
        let value = value.and_then(|bytes| String::from_utf8(bytes).ok());
        Some(value.map(|value| (name.to_owned(), value)).ok_or(Flaw::Field("a header")))
    });
    named.collect()
}

fn named<Id: TypeId>(headers: &FieldTable, name: &'static str) -> Result<Id, Flaw> {
    word(headers, name).and_then(|text| Id::parse(text).ok()).ok_or(Flaw::Field(name))
}

fn word<'a>(headers: &'a FieldTable, name: &str) -> Option<&'a str> {
    let text = headers.inner().get(name).and_then(AMQPValue::as_long_string)?;
    str::from_utf8(text.as_bytes()).ok()
}

fn short(what: &'static str, text: &str) -> Result<ShortString, Flaw> {
    ShortString::try_new(text).map_err(|_| Flaw::TooLong(what))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
