//! An event in the terms of CloudEvents 1.0: the context attributes, by their names.
//!
//! Invariant: the required attributes (`specversion`, `id`, `source`, `type`) are always there,
//! and every name is of lower-case letters and digits.

use std::borrow::Cow;

use crate::Event;

/// The longest name that the specification recommends for an attribute, in characters.
const LONGEST: usize = 20;

/// The names that mean something else where events are shown.
const TAKEN: [&str; 13] = [
    "data",
    "datacontenttype",
    "dataschema",
    "id",
    "sequence",
    "source",
    "specversion",
    "subject",
    "time",
    "traceparent",
    "tracestate",
    "truncated",
    "type",
];

/// The context attributes of `event`, in the order of the specification, then its parents. Its
/// data is not among them.
pub fn attributes(event: &Event) -> Vec<(Cow<'static, str>, String)> {
    let mut attributes = vec![
        ("specversion".into(), "1.0".to_owned()),
        ("id".into(), event.id.to_string()),
        ("source".into(), event.source.clone()),
        ("type".into(), event.event_type.to_string()),
    ];
    let mut some = |name: &'static str, value: Option<String>| {
        attributes.extend(value.map(|value| (Cow::from(name), value)));
    };
    some("subject", event.subject.clone());
    some("time", Some(event.time.to_string()));
    // The extension `sequence`: as text its order is that of the numbers.
    some("sequence", event.sequence.map(|sequence| format!("{sequence:020}")));
    // The extension `traceparent`, of CloudEvents' own Distributed Tracing extension.
    some("traceparent", event.exchange.traceparent.clone());
    some("tracestate", event.exchange.tracestate.clone());
    for (name, id) in &event.parents {
        let name = parent(name);
        if !attributes.iter().any(|(known, _)| *known == name) {
            attributes.push((name.into(), id.clone()));
        }
    }
    attributes
}

/// A parameter's name as one of an attribute: `org_id` is `orgid`; `id`, which is taken, is
/// `parentid`.
fn parent(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let name: String = letters.map(|letter| letter.to_ascii_lowercase()).take(LONGEST).collect();
    if name.is_empty() || TAKEN.contains(&name.as_str()) { format!("parent{name}") } else { name }
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
            subject: Some("orgs/7/people/42".to_owned()),
            parents: ["Org_Id", "type", "org-id"]
                .map(|name| (name.to_owned(), "7".to_owned()))
                .to_vec(),
            sequence: Some(7),
            time: UnixMicros::new(1_763_890_200_000_000),
            exchange: Exchange::default(),
        };
        let expected = [
            ("specversion", "1.0"),
            ("id", "evt_0000000000000000000000001a"),
            ("source", "edge"),
            ("type", "people.created"),
            ("subject", "orgs/7/people/42"),
            ("time", "2025-11-23T09:30:00.000000Z"),
            ("sequence", "00000000000000000007"),
            ("orgid", "7"),
            ("parenttype", "7"),
        ];
        let expected = expected.map(|(name, value)| (name.into(), value.to_owned()));
        assert_eq!(attributes(&event), expected);
    }
}
