//! What is in headers and bodies: what an API says, what is nearly that, and anything at all.
//!
//! Invariant: none is longer than 256 KiB, so that a run is short.

use std::fmt::Write;

use arbitrary::Arbitrary;

use crate::script::one_of;

/// A header field.
#[derive(Debug, Arbitrary)]
pub(crate) enum Field {
    Known { name: u8, value: u8 },
    Named { name: u8, value: Vec<u8> },
    Any { name: Vec<u8>, value: Vec<u8> },
}

const NAMES: [&str; 12] = [
    "content-type",
    "content-length",
    "content-encoding",
    "location",
    "idempotency-key",
    "authorization",
    "traceparent",
    "tracestate",
    "x-http-method-override",
    "x-method-override",
    "x-tag",
    ":status",
];

const VALUES: [&[u8]; 14] = [
    b"application/json",
    b"application/grpc+proto",
    b"text/event-stream",
    b"gzip",
    b"identity",
    b"0",
    b"5",
    b"99999999999999999999",
    b"/people/7",
    b"https://api/people/8?x#y",
    b"DELETE",
    b"\xff\xfe",
    b"",
    b"key-1",
];

impl Field {
    /// Its name and its value.
    pub(crate) fn pair(&self) -> (Vec<u8>, Vec<u8>) {
        let named = |which: u8| one_of(&NAMES, which).as_bytes().to_vec();
        match self {
            Self::Known { name, value } => (named(*name), one_of(&VALUES, *value).to_vec()),
            Self::Named { name, value } => (named(*name), value.clone()),
            Self::Any { name, value } => (name.clone(), value.clone()),
        }
    }
}

/// A part of a body.
#[derive(Debug, Arbitrary)]
pub(crate) enum Content {
    Json(Json),
    /// Cut off, or with one byte changed.
    Nearly {
        json: Json,
        at: u16,
        instead: Option<u8>,
    },
    Any(Vec<u8>),
    Long(u16),
    /// A list of so many resources.
    List {
        of: u16,
        below: bool,
    },
    Deep(u16),
}

#[derive(Debug, Arbitrary)]
pub(crate) enum Json {
    Null,
    Number(i64),
    Float(f32),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(Key, Json)>),
}

#[derive(Debug, Arbitrary)]
pub(crate) enum Key {
    Id,
    Data,
    Secret,
    Any(String),
}

impl Content {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Json(json) => json.text().into_bytes(),
            Self::Nearly { json, at, instead } => {
                let mut bytes = json.text().into_bytes();
                let at = usize::from(*at) % (bytes.len() + 1);
                match (bytes.get_mut(at), instead) {
                    (Some(byte), Some(instead)) => *byte = *instead,
                    _ => bytes.truncate(at),
                }
                bytes
            }
            Self::Any(bytes) => bytes.clone(),
            Self::Long(length) => vec![b'x'; usize::from(*length)],
            Self::List { of, below } => {
                let items: Vec<_> = (0..*of % 1100).map(|id| format!("{{\"id\":{id}}}")).collect();
                let list = format!("[{}]", items.join(","));
                if *below { format!("{{\"data\":{list}}}") } else { list }.into_bytes()
            }
            Self::Deep(depth) => "[{\"data\":".repeat(usize::from(*depth) % 8192).into_bytes(),
        }
    }
}

impl Json {
    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) {
        match self {
            Self::Null => to.push_str("null"),
            Self::Number(number) => {
                let _ = write!(to, "{number}");
            }
            Self::Float(number) => {
                let _ = write!(to, "{number:e}");
            }
            Self::Text(text) => {
                let _ = write!(to, "{}", serde_json::Value::from(text.as_str()));
            }
            Self::List(items) => {
                to.push('[');
                for (at, item) in items.iter().enumerate() {
                    to.push_str(if at == 0 { "" } else { "," });
                    item.write(to);
                }
                to.push(']');
            }
            Self::Object(members) => {
                to.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    to.push_str(if at == 0 { "" } else { ", " });
                    let key = match key {
                        Key::Id => "id",
                        Key::Data => "data",
                        Key::Secret => "secret",
                        Key::Any(text) => text,
                    };
                    let _ = write!(to, "{}:", serde_json::Value::from(key));
                    value.write(to);
                }
                to.push('}');
            }
        }
    }
}
