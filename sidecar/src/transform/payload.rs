//! Lays out the payload that a subscription asked for.
//!
//! Invariant: the same event and subscription always give the same bytes.

use std::{borrow::Cow, collections::BTreeMap, io, sync::Arc};

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, value::RawValue};
use sidehook_event::{Event, cloudevents};

use super::data;
use crate::model::{Format, Payload, TraceContext};

/// A name and its text.
type Attribute = (Cow<'static, str>, String);

/// What all payloads of an event have in common.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) event: &'a Event,
    pub(super) data: &'a RawValue,
}

impl Layout<'_> {
    /// The payload in this format, with these keys added to it.
    pub(super) fn lay_out(&self, format: Format, custom: &Map<String, Value>) -> Payload {
        let mut body = Vec::with_capacity(self.data.get().len() + 128);
        let written = match format {
            Format::Standard => self.write(&mut body, &self.standard(), "data", custom),
            Format::CloudEvents => self.write(&mut body, &self.cloudevent(), "data", custom),
            Format::CloudEventsBinary | Format::Raw => write_raw(&mut body, self.data, custom),
        };
        let headers = self.headers(format).into();
        debug_assert!(written.is_ok(), "memory takes whatever is written to it");
        let content_type = Arc::from(content_type(format));
        Payload { content_type, headers, body: Bytes::from(body) }
    }

    /// The headers that belong to this format, and those by which the event's trace goes on.
    pub(super) fn headers(&self, format: Format) -> Vec<(String, String)> {
        let mut headers = TraceContext::headers(&self.event.exchange);
        match format {
            Format::CloudEventsBinary => headers.extend(ce_headers(self.event)),
            Format::Standard | Format::CloudEvents | Format::Raw => {}
        }
        headers
    }

    fn standard(&self) -> Vec<Attribute> {
        vec![
            ("type".into(), self.event.event_type.to_string()),
            ("timestamp".into(), self.event.time.to_string()),
        ]
    }

    fn cloudevent(&self) -> Vec<Attribute> {
        let mut attributes = cloudevents::attributes(self.event);
        attributes.push(("datacontenttype".into(), "application/json".to_owned()));
        attributes
    }

    fn write(
        &self,
        out: &mut Vec<u8>,
        envelope: &[Attribute],
        data_key: &'static str,
        custom: &Map<String, Value>,
    ) -> serde_json::Result<()> {
        let mut serializer = serde_json::Serializer::new(io::Cursor::new(out));
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in envelope {
            map.serialize_entry(key, value)?;
        }
        if data::is_thin(self.event) {
            map.serialize_entry("truncated", &true)?;
        }
        map.serialize_entry(data_key, &self.data)?;
        // What the subscription adds never hides what the event says.
        let taken = |key: &str| {
            key == data_key || key == "truncated" || envelope.iter().any(|(name, _)| name == key)
        };
        for (key, value) in custom.iter().filter(|(key, _)| !taken(key)) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// The resource alone; what the subscription adds goes into it if it is an object.
fn write_raw(
    out: &mut Vec<u8>,
    data: &RawValue,
    custom: &Map<String, Value>,
) -> serde_json::Result<()> {
    let members = (!custom.is_empty())
        .then(|| serde_json::from_str::<BTreeMap<String, &RawValue>>(data.get()).ok())
        .flatten();
    let mut serializer = serde_json::Serializer::new(out);
    let Some(members) = members else {
        return data.serialize(&mut serializer);
    };
    let mut map = serializer.serialize_map(None)?;
    for (key, value) in members.iter().filter(|(key, _)| !custom.contains_key(*key)) {
        map.serialize_entry(key, value)?;
    }
    for (key, value) in custom {
        map.serialize_entry(key, value)?;
    }
    map.end()
}

/// The context attributes as headers (CloudEvents 1.0, HTTP Protocol Binding, section 3.1.3). The
/// time of an event, its type and its id hold nothing that would have to be escaped; the others may.
fn ce_headers(event: &Event) -> Vec<(String, String)> {
    let attributes = cloudevents::attributes(event).into_iter();
    attributes.map(|(name, value)| (format!("ce-{name}"), percent_encoded(&value))).collect()
}

/// Space, double quote, percent and all that is not printable ASCII (section 3.1.3.2).
fn percent_encoded(value: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%') {
            encoded.push(char::from(byte));
        } else {
            // Memory takes whatever is written to it.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn content_type(format: Format) -> &'static str {
    match format {
        Format::Standard | Format::CloudEventsBinary | Format::Raw => "application/json",
        // CloudEvents 1.0, JSON Event Format, section 3.
        Format::CloudEvents => "application/cloudevents+json",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{model::testing::event, transform::data};

    fn render(format: Format, custom: Value, response: &[u8]) -> String {
        let event = event("people.created", b"", response);
        let Value::Object(custom) = custom else { panic!("an object") };
        let data = data(&event);
        let payload = Layout { event: &event, data: &data }.lay_out(format, &custom);
        String::from_utf8(payload.body.to_vec()).unwrap()
    }

    #[test]
    fn the_standard_form_has_type_timestamp_and_data() {
        assert_eq!(
            render(Format::Standard, json!({}), b"{\"id\":42}"),
            r#"{"type":"people.created","timestamp":"2025-11-23T09:30:00.000000Z","data":{"id":42}}"#
        );
    }

    #[test]
    fn custom_keys_are_merged_in_at_the_top_level_and_hide_nothing() {
        assert_eq!(
            render(Format::Standard, json!({"team": ["a"], "type": "mine"}), b"{\"id\":42}"),
            r#"{"type":"people.created","timestamp":"2025-11-23T09:30:00.000000Z","data":{"id":42},"team":["a"]}"#
        );
    }

    #[test]
    fn a_cloudevent_is_in_the_structured_form() {
        assert_eq!(
            render(Format::CloudEvents, json!({"team": "a"}), b"{\"id\":42}"),
            r#"{"specversion":"1.0","id":"evt_0000000000000000000000001a","source":"edge","type":"people.created","subject":"people/42","time":"2025-11-23T09:30:00.000000Z","datacontenttype":"application/json","data":{"id":42},"team":"a"}"#
        );
    }

    #[test]
    fn the_raw_form_is_the_resource_alone() {
        assert_eq!(
            render(Format::Raw, json!({}), b"{\"id\":42, \"n\":1.10}"),
            "{\"id\":42, \"n\":1.10}"
        );
        assert_eq!(
            render(Format::Raw, json!({"team": "a"}), b"{\"id\":42, \"n\":1.10}"),
            r#"{"id":42,"n":1.10,"team":"a"}"#
        );
        assert_eq!(render(Format::Raw, json!({"team": "a"}), b"[1,2]"), "[1,2]");
    }

    #[test]
    fn a_cloudevent_in_binary_mode_is_the_resource_and_headers() {
        let mut event = event("people.created", b"", b"{\"id\":42}");
        event.subject = Some("größe \"1\" 5%".to_owned());
        let data = data(&event);
        let layout = Layout { event: &event, data: &data };
        let payload = layout.lay_out(Format::CloudEventsBinary, &Map::new());
        assert_eq!(
            (&*payload.content_type, &*payload.body),
            ("application/json", &b"{\"id\":42}"[..])
        );
        let headers: Vec<_> = payload.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(
            headers,
            [
                ("ce-specversion", "1.0"),
                ("ce-id", "evt_0000000000000000000000001a"),
                ("ce-source", "edge"),
                ("ce-type", "people.created"),
                ("ce-subject", "gr%C3%B6%C3%9Fe%20%221%22%205%25"),
                ("ce-time", "2025-11-23T09:30:00.000000Z"),
            ]
        );
    }
}
