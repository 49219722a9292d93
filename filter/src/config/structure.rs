//! A `google.protobuf.Struct` as the gateway hands it over: in its binary form.
//!
//! Envoy passes the configuration of a plugin on as text only if it was written as a
//! `StringValue`; plain YAML arrives as the bytes of the message.
//!
//! Invariant: whatever a `Struct` can say, JSON says it here; nothing else is read as one.

use std::collections::BTreeMap;

use prost::{Message, Oneof};
use serde_json::{Number, Value};

/// The object that a `Struct` stands for; `None` if `bytes` are not one, or an empty one.
pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    let structure = Struct::decode(bytes).ok()?;
    (!structure.fields.is_empty()).then(|| structure.into())
}

#[derive(Clone, PartialEq, Message)]
struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    fields: BTreeMap<String, Any>,
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Any>,
}

/// `google.protobuf.Value`
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(int32, tag = "1")]
    Null(i32),
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bool, tag = "4")]
    Bool(bool),
    #[prost(message, tag = "5")]
    Struct(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

impl From<Struct> for Value {
    fn from(structure: Struct) -> Self {
        let fields = structure.fields.into_iter();
        Self::Object(fields.map(|(name, value)| (name, value.into())).collect())
    }
}

impl From<Any> for Value {
    fn from(value: Any) -> Self {
        match value.kind {
            None | Some(Kind::Null(_)) => Self::Null,
            Some(Kind::Number(number)) => Number::from_f64(number).map_or(Self::Null, Self::Number),
            Some(Kind::Text(text)) => Self::String(text),
            Some(Kind::Bool(value)) => Self::Bool(value),
            Some(Kind::Struct(structure)) => structure.into(),
            Some(Kind::List(list)) => list.values.into_iter().map(Self::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// `{"routes": [{"on": true, "max": 65536, "name": "é", "none": null}]}`, serialised by
    /// another implementation.
    const ROUTES: &[u8] = b"\nF\n\x06routes\x12<2:\n8*6\
        \n\x10\n\x03max\x12\t\x11\0\0\0\0\0\0\xf0@\
        \n\x0c\n\x04name\x12\x04\x1a\x02\xc3\xa9\
        \n\n\n\x04none\x12\x02\x08\0\
        \n\x08\n\x02on\x12\x02\x20\x01";

    #[test]
    fn a_struct_is_read_as_the_json_it_stands_for() {
        let value = read(ROUTES).unwrap();
        let max = 65536.0;
        let route = json!({"on": true, "max": max, "name": "é", "none": null});
        assert_eq!(value, json!({ "routes": [route] }));
    }

    #[test]
    fn what_is_not_a_struct_is_not_read() {
        assert_eq!(read(b""), None);
        assert_eq!(read(b"{}"), None);
        assert_eq!(read(&ROUTES[..20]), None);
        assert_eq!(read(&b"\x0a\x7f".repeat(1000)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}
