//! JSON: values as text, and text as values.
//!
//! Invariant: what is written is JSON, or an error; no value is written as something else than
//! JSON has for it, but for blobs, which are written in base64.

use data_encoding::BASE64;
use rhai::{Array, Blob, Dynamic, Engine, FLOAT, INT, ImmutableString, Map};
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap as _},
};

use super::{Fallible, wrong};

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("to_json", |value: Dynamic| text(&value, false))
        .register_fn("to_json", |value: &mut Map| text(&value.clone().into(), false))
        .register_fn("to_json_pretty", |value: Dynamic| text(&value, true))
        .register_fn("from_json", |text: &str| {
            let value = serde_json::from_str::<Dynamic>(text);
            value.map_err(|error| wrong(format!("from_json: {error}")))
        });
}

fn text(value: &Dynamic, pretty: bool) -> Fallible<String> {
    let plain = Plain(value);
    let written =
        if pretty { serde_json::to_string_pretty(&plain) } else { serde_json::to_string(&plain) };
    written.map_err(|error| wrong(format!("to_json: {error}")))
}

/// A value that is written as JSON.
pub(crate) struct Plain<'a>(pub(crate) &'a Dynamic);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.0;
        if value.is_unit() {
            return serializer.serialize_unit();
        }
        if let Ok(text) = value.as_immutable_string_ref() {
            return serializer.serialize_str(&text);
        }
        if let Ok(map) = value.as_map_ref() {
            return write_map(&map, serializer);
        }
        if let Ok(array) = value.as_array_ref() {
            return write_array(&array, serializer);
        }
        if let Ok(number) = value.as_int() {
            return serializer.serialize_i64(number);
        }
        if let Ok(number) = value.as_float() {
            return write_float(number, serializer);
        }
        if let Ok(bool) = value.as_bool() {
            return serializer.serialize_bool(bool);
        }
        if let Ok(char) = value.as_char() {
            return serializer.serialize_char(char);
        }
        if let Some(blob) = value.read_lock::<Blob>() {
            return serializer.serialize_str(&BASE64.encode(&blob));
        }
        let kind = if value.is_fnptr() { "a function" } else { value.type_name() };
        Err(S::Error::custom(format!("JSON has nothing for {kind}")))
    }
}

fn write_map<S: Serializer>(map: &Map, serializer: S) -> Result<S::Ok, S::Error> {
    let mut members = serializer.serialize_map(Some(map.len()))?;
    for (name, value) in map {
        members.serialize_entry(name.as_str(), &Plain(value))?;
    }
    members.end()
}

fn write_array<S: Serializer>(array: &Array, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(array.iter().map(Plain))
}

fn write_float<S: Serializer>(number: FLOAT, serializer: S) -> Result<S::Ok, S::Error> {
    if number.is_finite() {
        return serializer.serialize_f64(number);
    }
    Err(S::Error::custom(format!("JSON has nothing for the number {number}")))
}

/// A value of Rhai as one of `serde_json`.
pub(super) fn to_value(value: &Dynamic) -> Fallible<serde_json::Value> {
    serde_json::to_value(Plain(value)).map_err(|error| wrong(error.to_string()))
}

/// The other way round.
pub(super) fn from_value(value: serde_json::Value) -> Dynamic {
    use serde_json::Value;
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(bool) => bool.into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Dynamic::from_int(INT::from(whole)),
            None => Dynamic::from_float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => ImmutableString::from(text).into(),
        Value::Array(elements) => elements.into_iter().map(from_value).collect::<Array>().into(),
        Value::Object(members) => {
            let members = members.into_iter();
            members.map(|(name, value)| (name.into(), from_value(value))).collect::<Map>().into()
        }
    }
}
