//! Reads single values: text, durations, choices, maps.
//!
//! Invariant: what is refused is described, never repeated; a duration that was written is read back.

use std::{fmt::Display, str::FromStr, time::Duration};

use serde_json::{Map, Value, json};

use super::{Flaws, Reader, flaw::all};

/// What is read as a duration: numbers, each with a unit behind it.
const DURATION: &str = r"^(0|(\s*[0-9][0-9\s]*(\.[0-9\s]+)?(UNIT))+\s*)$";
/// Those that are written, and other names for them.
const UNITS: &str = "nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y";

/// A string.
pub(crate) fn text() -> Reader<String> {
    let read = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err(Flaws::here("must be a string")),
    };
    Reader::new(read, || json!({"type": "string"}))
}

/// A string of at most `limit` characters.
pub(crate) fn text_up_to(limit: usize) -> Reader<String> {
    let bounded = move |text: String| {
        if text.chars().count() > limit {
            return Err(format!("must not be longer than {limit} characters"));
        }
        Ok(text)
    };
    text().then(bounded).with(move || json!({"maxLength": limit}))
}

/// A string that is parsed further.
pub(crate) fn parsed<T: FromStr<Err: Display> + 'static>() -> Reader<T> {
    text().then(|text| text.parse())
}

/// Anything at all.
pub(crate) fn anything() -> Reader<Value> {
    Reader::new(Ok, || json!({}))
}

/// `true` or `false`; `false` if nothing is said.
pub(crate) fn boolean() -> Reader<bool> {
    let read = |value| match value {
        Value::Bool(boolean) => Ok(boolean),
        _ => Err(Flaws::here("must be true or false")),
    };
    Reader::new(read, || json!({"type": "boolean"}))
}

/// A number between these two.
pub(crate) fn number(least: f64, most: f64) -> Reader<f64> {
    let read = move |value: Value| {
        let number = value.as_f64().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| Flaws::here(format!("must be a number from {least} to {most}")))
    };
    Reader::new(read, move || json!({"type": "number", "minimum": least, "maximum": most}))
}

/// A duration between `shortest` and `longest`, written like `"5s"` or `"1h 30m"`.
pub(crate) fn duration(shortest: Duration, longest: Duration) -> Reader<Duration> {
    let read = move |value: Value| {
        let duration = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        let duration =
            duration.ok_or_else(|| Flaws::here("must be a duration such as \"5s\" or \"10m\""))?;
        if !(shortest..=longest).contains(&duration) {
            let shortest = written(shortest);
            let longest = written(longest);
            return Err(Flaws::here(format!("must be from {shortest} to {longest}")));
        }
        Ok(duration)
    };
    let bounds = move || format!("A duration from {} to {}.", written(shortest), written(longest));
    Reader::new(
        read,
        move || json!({"type": "string", "pattern": DURATION.replace("UNIT", UNITS), "title": bounds()}),
    )
}

/// One of the names of `choices`.
pub(crate) fn one_of<T: Copy>(choices: &'static [(&'static str, T)]) -> Reader<T> {
    let names = || -> Vec<_> { choices.iter().map(|(name, _)| *name).collect() };
    let read = move |value: Value| {
        let known = value.as_str().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        let refused = || Flaws::here(format!("must be one of {}", names().join(", ")));
        known.map(|(_, choice)| *choice).ok_or_else(refused)
    };
    Reader::new(read, move || json!({"type": "string", "enum": names()}))
}

/// An object whose members are strings.
pub(crate) fn text_map() -> Reader<Vec<(String, String)>> {
    let each = |members: Map<String, Value>| {
        all(members.into_iter().map(|(name, value)| match text().read(value) {
            Ok(text) => Ok((name, text)),
            Err(flaws) => Err(flaws.within(&name)),
        }))
    };
    let read = move |value| object().read(value).and_then(each);
    Reader::new(read, || json!({"type": "object", "additionalProperties": {"type": "string"}}))
}

/// An object.
pub(crate) fn object() -> Reader<Map<String, Value>> {
    let read = |value| match value {
        Value::Object(members) => Ok(members),
        _ => Err(Flaws::here("must be an object")),
    };
    Reader::new(read, || json!({"type": "object"}))
}

/// A whole number between these two.
pub(crate) fn whole(least: u64, most: u64) -> Reader<u64> {
    let read = move |value: Value| {
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        let message = || format!("must be a whole number from {least} to {most}");
        number.ok_or_else(|| Flaws::here(message()))
    };
    Reader::new(read, move || json!({"type": "integer", "minimum": least, "maximum": most}))
}

/// A duration in the largest unit that holds it without a rest, so that any client can read it.
pub(crate) fn written(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let unit = UNITS.iter().find(|(unit, _)| nanos.is_multiple_of(*unit));
    let (unit, name) = unit.copied().unwrap_or((1, "ns"));
    format!("{}{name}", nanos / unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_duration_has_a_unit_and_bounds() {
        let read = duration(Duration::from_secs(1), Duration::from_secs(90));
        assert_eq!(read.read(json!("1m 30s")), Ok(Duration::from_secs(90)));
        for wrong in [json!("10"), json!(10), json!(""), json!("-5s"), json!("9e9y")] {
            assert_eq!(
                read.read(wrong),
                Err(Flaws::here("must be a duration such as \"5s\" or \"10m\""))
            );
        }
        for outside in ["999ms", "91s", "5000y"] {
            assert_eq!(read.read(json!(outside)), Err(Flaws::here("must be from 1s to 90s")));
        }
    }

    #[test]
    fn every_member_of_a_text_map_is_looked_at() {
        assert_eq!(
            text_map().read(json!({"a": 1, "b": "b", "c": true})),
            Err(Flaws::at("a", "must be a string").and(Flaws::at("c", "must be a string")))
        );
    }

    #[test]
    fn a_share_is_neither_negative_nor_more_than_the_whole() {
        assert_eq!(number(0.0, 1.0).read(json!(0.25)), Ok(0.25));
        assert_eq!(number(0.0, 1.0).read(json!(1)), Ok(1.0));
        for wrong in [json!(-0.1), json!(1.1), json!("0.1"), json!(null)] {
            assert!(number(0.0, 1.0).read(wrong).is_err());
        }
    }

    #[test]
    fn a_duration_is_written_in_one_unit() {
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (5_000, "5s"),
            (90_000, "90s"),
            (1_800_000, "30m"),
            (86_400_000, "24h"),
        ] {
            assert_eq!(written(Duration::from_millis(millis)), text);
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_read_back_as_it_was(seconds in 0..10_u64.pow(9), nanos in 0..10_u32.pow(9)) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(humantime::parse_duration(&written(duration)), Ok(duration));
        }
    }
}
