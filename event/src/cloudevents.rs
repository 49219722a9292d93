//! An event in the terms of CloudEvents 1.0: the context attributes, by their names.
//!
//! Invariant: the required attributes (`specversion`, `id`, `source`, `type`) are always there,
//! and every name is of lower-case letters and digits.

use crate::Event;

/// The context attributes of `event`, in the order of the specification. Its data is not among
/// them.
pub fn attributes(event: &Event) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("id", event.id.to_string()),
        ("source", event.source.clone()),
        ("type", event.event_type.to_string()),
    ];
    attributes.extend(event.subject.clone().map(|subject| ("subject", subject)));
    attributes.push(("time", event.time.to_string()));
    // The extension `sequence`: as text its order is that of the numbers.
    attributes.extend(event.sequence.map(|sequence| ("sequence", format!("{sequence:020}"))));
    // The extension `traceparent`, of CloudEvents' own Distributed Tracing extension.
    attributes.extend(event.exchange.traceparent.clone().map(|trace| ("traceparent", trace)));
    attributes.extend(event.exchange.tracestate.clone().map(|trace| ("tracestate", trace)));
    attributes
}

#[cfg(test)]
mod tests {
    use crate::{EventId, Exchange, TypeId, UnixMicros};

    use super::*;

    #[test]
    fn an_event_has_the_attributes_of_the_specification() {
        let event = Event {
            id: EventId::from_bits(42),
            event_type: "people.created".parse().unwrap(),
            source: "edge".to_owned(),
            subject: Some("people/42".to_owned()),
            sequence: Some(7),
            time: UnixMicros::new(1_763_890_200_000_000),
            exchange: Exchange::default(),
        };
        let expected = [
            ("specversion", "1.0"),
            ("id", "evt_0000000000000000000000001a"),
            ("source", "edge"),
            ("type", "people.created"),
            ("subject", "people/42"),
            ("time", "2025-11-23T09:30:00.000000Z"),
            ("sequence", "00000000000000000007"),
        ];
        assert_eq!(attributes(&event), expected.map(|(name, value)| (name, value.to_owned())));
    }
}
