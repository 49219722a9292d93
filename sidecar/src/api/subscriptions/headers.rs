//! Reads `custom_headers`.
//!
//! Invariant: names are compared without regard to case (RFC 9110, section 5.1), so that no
//! header is kept twice.

use serde_json::{Map, Value, json};

use super::super::{
    Flaws,
    flaw::all,
    form::Reader,
    read::{object, text_map},
};
use crate::model::Headers;

/// The headers of a subscription; each that cannot be sent is named.
pub(super) fn headers() -> Reader<Headers> {
    let read = |value| {
        let lowered = in_lower_case(object().read(value)?)?;
        checked(&text_map().read(Value::Object(lowered))?)
    };
    Reader::new(read, || text_map().with(|| json!({"maxProperties": Headers::MAX_COUNT})).schema())
}

fn checked(headers: &[(String, String)]) -> Result<Headers, Flaws> {
    let () = all(headers.iter().map(|(name, value)| {
        match Headers::parse([(name.as_str(), value.as_str())]) {
            Ok(_) => Ok(()),
            Err((_, flaw)) => Err(Flaws::at(name, flaw)),
        }
    }))?;
    let headers = headers.iter();
    Headers::parse(headers.map(|(name, value)| (name.as_str(), value.as_str())))
        .map_err(|(_, flaw)| Flaws::here(flaw))
}

/// The same members, with their names in lower case.
pub(super) fn in_lower_case(members: Map<String, Value>) -> Result<Map<String, Value>, Flaws> {
    let mut lowered = Map::new();
    for (name, value) in members {
        let name = name.to_ascii_lowercase();
        if lowered.insert(name.clone(), value).is_some() {
            return Err(Flaws::at(&name, "must not be given twice, in whatever case"));
        }
    }
    Ok(lowered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaws(value: Value) -> Vec<String> {
        let flaws = headers().read(value).unwrap_err().into_list();
        let told = flaws.iter().map(|flaw| format!("{}: {}", flaw.field, flaw.message));
        told.collect()
    }

    #[test]
    fn a_value_must_be_a_string() {
        assert_eq!(
            flaws(json!({"X-Retry": 3, "X-On": true, "X-Ok": "ok"})),
            ["x-on: must be a string", "x-retry: must be a string"]
        );
        assert_eq!(flaws(json!("X-A: 1")), [": must be an object"]);
    }

    #[test]
    fn each_header_that_cannot_be_sent_is_named() {
        assert_eq!(
            flaws(json!({"Host": "a", "X Y": "b", "X-C": "c\r\nd", "Webhook-Id": "e", "X-É": "f"})),
            [
                "host: is set by Sidehook or by HTTP itself",
                "webhook-id: is set by Sidehook or by HTTP itself",
                "x y: is not a header name",
                "x-c: has a value that cannot be sent: only visible ASCII, spaces and tabs",
                "x-É: is not a header name",
            ]
        );
    }

    #[test]
    fn no_header_is_given_twice() {
        assert_eq!(
            flaws(json!({"X-A": "1", "x-a": "2"})),
            ["x-a: must not be given twice, in whatever case"]
        );
    }

    #[test]
    fn too_many_are_too_many_together() {
        let many: Map<_, _> = (0..33).map(|n| (format!("x-{n}"), json!(""))).collect();
        assert_eq!(
            flaws(Value::Object(many)),
            [": has too much in it: at most 32 headers and 8 KiB"]
        );
    }
}
