//! Messages of others: read as they are, and copied to the dead letters if they are malformed.
//!
//! Invariant: a copy can always be published, whatever the original was like: it has no property
//! that the broker would judge anew, and no more headers than fit into a frame.

use bytes::Bytes;
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};
use sidehook_event::UnixMicros;

use super::wire;
use crate::queue::inbound::{Header, Malformed, Message};

const PERSISTENT: u8 = 2;
/// The cause that a copy names.
const CAUSE: &str = "malformed";
/// The most bytes that the headers of a copy have. A frame has 128 KiB.
const HEADERS: usize = 64 * 1024;

/// What is kept of a message until it is settled.
#[derive(Debug)]
pub(super) struct Original {
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
    body: Bytes,
}

impl Original {
    pub(super) fn of(delivery: Delivery) -> Self {
        let Delivery { exchange, routing_key, properties, data, .. } = delivery;
        Self { exchange, routing_key, properties, body: data.into() }
    }

    /// As whoever takes it in sees it.
    pub(super) fn message(&self) -> Message {
        let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
        let headers = self.properties.headers().iter().flat_map(FieldTable::inner);
        Message {
            content_type: text(self.properties.content_type()),
            content_encoding: text(self.properties.content_encoding()),
            headers: headers.map(|(name, value)| (name.to_string(), header(value))).collect(),
            body: self.body.clone(),
        }
    }

    /// A copy for the dead letters, to be routed by `routing_key`, that says why it is there.
    pub(super) fn letter(&self, malformed: &Malformed, routing_key: &str) -> wire::Message {
        let mut headers = FieldTable::default();
        let theirs = self.properties.headers().iter().flat_map(FieldTable::inner);
        let theirs: Vec<_> = theirs.filter(|(name, _)| !is_the_brokers(name.as_str())).collect();
        let size: usize =
            theirs.iter().map(|(name, value)| name.as_str().len() + size(value)).sum();
        if size <= HEADERS {
            for (name, value) in theirs {
                headers.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in [
            ("sidehook:cause", CAUSE),
            ("sidehook:reason", &malformed.0),
            ("sidehook:exchange", self.exchange.as_str()),
            ("sidehook:routing-key", self.routing_key.as_str()),
        ] {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let mut properties =
            BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
        // Neither the user, whom the broker compares with ours, nor the time to live.
        let original = &self.properties;
        if let Some(content_type) = original.content_type() {
            properties = properties.with_content_type(content_type.clone());
        }
        if let Some(content_encoding) = original.content_encoding() {
            properties = properties.with_content_encoding(content_encoding.clone());
        }
        if let Some(message_id) = original.message_id() {
            properties = properties.with_message_id(message_id.clone());
        }
        if let Some(correlation_id) = original.correlation_id() {
            properties = properties.with_correlation_id(correlation_id.clone());
        }
        if let Some(timestamp) = original.timestamp() {
            properties = properties.with_timestamp(*timestamp);
        }
        if let Some(kind) = original.kind() {
            properties = properties.with_type(kind.clone());
        }
        if let Some(app_id) = original.app_id() {
            properties = properties.with_app_id(app_id.clone());
        }
        wire::Message { routing_key: routing_key.into(), properties, body: self.body.clone() }
    }
}

/// A header that means something to the broker: where else to route, how often it died.
fn is_the_brokers(name: &str) -> bool {
    name.starts_with("x-") || ["CC", "BCC"].contains(&name)
}

fn header(value: &AMQPValue) -> Header {
    let text = match value {
        AMQPValue::ShortString(text) => Some(text.to_string()),
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::Timestamp(seconds) => Some(instant(*seconds)),
        AMQPValue::Boolean(_)
        | AMQPValue::ShortShortInt(_)
        | AMQPValue::ShortShortUInt(_)
        | AMQPValue::ShortInt(_)
        | AMQPValue::ShortUInt(_)
        | AMQPValue::LongInt(_)
        | AMQPValue::LongUInt(_)
        | AMQPValue::LongLongInt(_)
        | AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => None,
    };
    text.map_or(Header::Other, Header::Text)
}

/// AMQP 0-9-1 counts seconds since the Unix epoch.
fn instant(seconds: u64) -> String {
    UnixMicros::from_nanos(seconds.saturating_mul(1_000_000_000)).to_string()
}

/// About how many bytes a value takes in a frame.
fn size(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::ShortString(text) => text.as_str().len() + 2,
        AMQPValue::LongString(text) => text.as_bytes().len() + 5,
        AMQPValue::ByteArray(bytes) => bytes.as_slice().len() + 5,
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(size).sum::<usize>() + 5,
        AMQPValue::FieldTable(table) => {
            let members = table.inner().iter();
            members.map(|(name, value)| name.as_str().len() + 1 + size(value)).sum::<usize>() + 5
        }
        AMQPValue::Boolean(_)
        | AMQPValue::ShortShortInt(_)
        | AMQPValue::ShortShortUInt(_)
        | AMQPValue::ShortInt(_)
        | AMQPValue::ShortUInt(_)
        | AMQPValue::LongInt(_)
        | AMQPValue::LongUInt(_)
        | AMQPValue::LongLongInt(_)
        | AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::Timestamp(_)
        | AMQPValue::Void => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(headers: FieldTable) -> Original {
        let properties = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_user_id("importer".into())
            .with_expiration("1".into())
            .with_message_id("7".into())
            .with_headers(headers);
        Original {
            exchange: "sidehook.inbound".into(),
            routing_key: "people".into(),
            properties,
            body: Bytes::from_static(b"garbage"),
        }
    }

    fn headers<const N: usize>(headers: [(&str, AMQPValue); N]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(name.into(), value);
        }
        table
    }

    #[test]
    fn texts_and_instants_are_read() {
        let message = original(headers([
            ("long", AMQPValue::LongString("é".into())),
            ("short", AMQPValue::ShortString("s".into())),
            ("time", AMQPValue::Timestamp(1_763_890_200)),
            ("never", AMQPValue::Timestamp(u64::MAX)),
            ("number", AMQPValue::LongInt(7)),
            ("bytes", AMQPValue::LongString(vec![0xff].into())),
        ]))
        .message();
        let text = |text: &str| Header::Text(text.to_owned());
        let mut expected = vec![
            ("bytes".to_owned(), Header::Other),
            ("long".to_owned(), text("é")),
            ("never".to_owned(), text("2554-07-21T23:34:33.709551Z")),
            ("number".to_owned(), Header::Other),
            ("short".to_owned(), text("s")),
            ("time".to_owned(), text("2025-11-23T09:30:00.000000Z")),
        ];
        expected.sort_by(|(one, _), (other, _)| one.cmp(other));
        assert_eq!(message.headers, expected);
        assert_eq!(message.content_type.as_deref(), Some("text/plain"));
    }

    #[test]
    fn a_copy_says_why_and_has_nothing_that_would_be_judged_again() {
        let original = original(headers([
            ("theirs", AMQPValue::LongInt(7)),
            ("x-death", AMQPValue::FieldArray(vec![].into())),
            ("CC", AMQPValue::FieldArray(vec![].into())),
        ]));
        let copy = original.letter(&Malformed("id is required".to_owned()), "pipeline.inbound");
        assert_eq!(copy.routing_key.as_str(), "pipeline.inbound");
        assert_eq!(copy.body, "garbage");
        assert_eq!(*copy.properties.user_id(), None);
        assert_eq!(*copy.properties.expiration(), None);
        assert_eq!(*copy.properties.message_id(), Some("7".into()));
        let headers = copy.properties.headers().as_ref().unwrap().inner();
        let names: Vec<_> = headers.keys().map(ShortString::as_str).collect();
        assert_eq!(
            names,
            [
                "sidehook:cause",
                "sidehook:exchange",
                "sidehook:reason",
                "sidehook:routing-key",
                "theirs"
            ]
        );
        let reason = AMQPValue::LongString("id is required".into());
        assert_eq!(headers.get("sidehook:reason"), Some(&reason));
    }

    #[test]
    fn headers_that_may_not_fit_are_left_out() {
        let long = AMQPValue::LongString(vec![b'x'; HEADERS].into());
        let nested = AMQPValue::FieldTable(headers([("inner", long)]));
        let original = original(headers([("theirs", nested)]));
        let copy = original.letter(&Malformed(String::new()), "pipeline.inbound");
        let headers = copy.properties.headers().as_ref().unwrap().inner();
        assert!(!headers.contains_key("theirs"));
    }
}
