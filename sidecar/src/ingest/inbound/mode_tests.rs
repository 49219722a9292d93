//! How messages in each mode are read.
//!
//! Invariant: the same event is the same in every mode.

use bytes::Bytes;
use sidehook_event::TypeId as _;

use super::*;

const NOW: UnixMicros = UnixMicros::new(1_763_890_200_000_000);

fn text(text: &str) -> Header {
    Header::Text(text.to_owned())
}

fn message(content_type: &str, body: &str) -> Message {
    Message {
        content_type: Some(content_type.to_owned()),
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..Message::default()
    }
}

/// In binary mode, its attributes behind `prefix`.
fn binary(prefix: &str) -> Message {
    let attributes = [
        ("specversion", "1.0"),
        ("id", "import-1"),
        ("source", "/importer"),
        ("type", "people.created"),
        ("subject", "people/7"),
        ("time", "2025-11-23T09:29:00Z"),
    ];
    let headers = attributes.map(|(name, value)| (format!("{prefix}{name}"), text(value)));
    let body = Bytes::from_static(br#"{"id":7}"#);
    let content_type = Some("application/json".to_owned());
    Message { content_type, headers: headers.into(), body, ..Message::default() }
}

fn with(name: &str, header: Header) -> Message {
    let mut message = binary("cloudEvents:");
    message.headers.retain(|(other, _)| other != name);
    message.headers.push((name.to_owned(), header));
    message
}

fn read(message: Message) -> Vec<Event> {
    events(message, NOW).unwrap()
}

fn refused(message: Message) -> String {
    events(message, NOW).unwrap_err().to_string()
}

#[test]
fn an_event_is_the_same_in_every_mode() {
    let json = r#"{"specversion":"1.0","id":"import-1","source":"/importer",
        "type":"people.created","subject":"people/7","time":"2025-11-23T09:29:00Z",
        "datacontenttype":"application/json","data":{"id":7}}"#;
    let structured = read(message("application/cloudevents+json; charset=utf-8", json));
    assert_eq!(structured.len(), 1);
    let batched = message("application/cloudevents-batch+json", &format!("[{json}]"));
    assert_eq!(read(batched), structured);
    assert_eq!(read(binary("cloudEvents:")), structured);
    assert_eq!(read(binary("cloudEvents_")), structured);
}

#[test]
fn the_content_type_of_a_binary_message_is_that_of_its_data() {
    let mut message = binary("cloudEvents_");
    message.content_type = Some("image/png".to_owned());
    message.body = Bytes::from_static(b"\0\xff");
    let [event] = <[Event; 1]>::try_from(read(message)).unwrap();
    assert_eq!(event.exchange.request.content_type.as_deref(), Some("image/png"));
    assert_eq!(&event.exchange.request.content[..], b"\0\xff");
    let mut untyped = binary("cloudEvents_");
    untyped.content_type = None;
    let [event] = <[Event; 1]>::try_from(read(untyped)).unwrap();
    assert_eq!(event.exchange.request.content_type.as_deref(), Some("application/json"));
}

#[test]
fn extensions_and_the_headers_of_others_are_left_out() {
    let mut message = with("cloudEvents:myextension", Header::Other);
    message.headers.push(("x-death".to_owned(), Header::Other));
    message.headers.push(("Some-Header".to_owned(), text("1")));
    assert_eq!(read(message), read(binary("cloudEvents:")));
}

#[test]
fn one_of_our_own_ids_stands_for_itself() {
    let id = sidehook_event::EventId::from_bits(42);
    let events = read(with("cloudEvents:id", text(&id.to_string())));
    assert_eq!(events.first().map(|event| event.id), Some(id));
}

#[test]
fn what_is_wrong_is_named_with_its_attribute() {
    for (message, reason) in [
        (with("cloudEvents:id", Header::Other), "id must be a string"),
        (with("cloudEvents:time", text("noon")), "time must be an instant"),
        (with("cloudEvents:time", text("2099-01-01T00:00:00Z")), "time must not lie in the future"),
        (with("cloudEvents:type", text("sidehook.x")), "type is told by Sidehook alone"),
        (with("cloudEvents:My-Own", text("x")), "My-Own is no attribute"),
        (with("cloudEvents_id", text("again")), "id must not be given twice"),
        (
            with("cloudEvents:datacontenttype", text("text/plain")),
            "datacontenttype must not be given twice",
        ),
        (with("cloudEvents:specversion", text("0.3")), "specversion must be 1.0"),
        (message(ONE, "{}"), "specversion is required; id is required"),
        (message(MANY, "[{}]"), "[0].specversion is required"),
        (message(MANY, "[]"), "the body must hold 1 to 1000 events"),
    ] {
        let told = refused(message);
        assert!(told.starts_with(reason), "{told}");
    }
}

#[test]
fn what_cannot_be_read_is_told_without_what_it_says() {
    for (body, reason) in [
        (
            r#""secret""#,
            "the body must be a JSON object, or in a batch an array of them, at line 1",
        ),
        ("secret", "the body is not JSON, at line 1 column 1"),
        (r#"{"secret": "#, "the body ends in the midst of its JSON, at line 1"),
        ("", "the body ends in the midst of its JSON, at line 1 column 0"),
    ] {
        let told = refused(message(ONE, body));
        assert!(told.starts_with(reason), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn what_is_of_no_known_kind_is_refused() {
    let unknown = "content_type must be application/cloudevents+json or ";
    for content_type in ["application/json", "", "application/cloudevents+avro"] {
        let told = refused(message(content_type, "{}"));
        assert!(told.starts_with(unknown), "{content_type}: {told}");
    }
    let mut avro = binary("cloudEvents:");
    avro.content_type = Some("application/cloudevents+avro".to_owned());
    assert!(refused(avro).starts_with(unknown));
}

#[test]
fn what_is_compressed_is_refused_and_a_character_set_is_no_compression() {
    let encoded = |encoding: &str| {
        let content_encoding = Some(encoding.to_owned());
        Message { content_encoding, ..binary("cloudEvents:") }
    };
    for encoding in ["gzip", "deflate", "br", "identity, gzip"] {
        let told = refused(encoded(encoding));
        assert!(told.starts_with("content_encoding must be absent"), "{told}");
    }
    for encoding in ["", "identity", "UTF-8"] {
        assert_eq!(read(encoded(encoding)).len(), 1);
    }
}

#[test]
fn what_is_too_long_is_refused() {
    let mut message = binary("cloudEvents:");
    message.body = Bytes::from(vec![b'1'; LIMIT]);
    assert_eq!(read(message.clone()).len(), 1);
    message.body = Bytes::from(vec![b'1'; LIMIT + 1]);
    assert!(refused(message).starts_with("the body must not be longer than 4194304 bytes"));
}
