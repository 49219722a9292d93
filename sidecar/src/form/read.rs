//! Reads single values: text, durations, choices, maps.
//!
//! Invariant: what is refused is described, never repeated; a duration that was written is read back.

use std::{fmt::Display, str::FromStr, time::Duration};

use serde_json::{Map, Value};
use sidehook_event::UnixMicros;

use super::{Flaws, flaw::all};
use crate::model::{Filter, FilterFlaw};

/// A string.
pub(crate) fn text(value: Value) -> Result<String, Flaws> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Flaws::here("must be a string")),
    }
}

/// A string of at most `limit` characters.
pub(crate) fn text_up_to(limit: usize) -> impl Fn(Value) -> Result<String, Flaws> {
    move |value| {
        let text = text(value)?;
        if text.chars().count() > limit {
            return Err(Flaws::here(format!("must not be longer than {limit} characters")));
        }
        Ok(text)
    }
}

/// A string that is parsed further.
pub(crate) fn parsed<T: FromStr<Err: Display>>(value: Value) -> Result<T, Flaws> {
    text(value)?.parse().map_err(Flaws::here)
}

/// `true` or `false`.
pub(crate) fn boolean(value: &Value) -> Result<bool, Flaws> {
    match value {
        Value::Bool(boolean) => Ok(*boolean),
        _ => Err(Flaws::here("must be true or false")),
    }
}

/// A share of a whole.
pub(crate) fn share(value: &Value) -> Result<f64, Flaws> {
    value
        .as_f64()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| Flaws::here("must be a number from 0 to 1"))
}

/// A duration between `shortest` and `longest`, written like `"5s"` or `"1h 30m"`.
pub(crate) fn duration(
    shortest: Duration,
    longest: Duration,
) -> impl Fn(Value) -> Result<Duration, Flaws> {
    move |value| {
        let duration = text(value)
            .ok()
            .and_then(|text| humantime::parse_duration(&text).ok())
            .ok_or_else(|| Flaws::here("must be a duration such as \"5s\" or \"10m\""))?;
        if !(shortest..=longest).contains(&duration) {
            let shortest = written(shortest);
            let longest = written(longest);
            return Err(Flaws::here(format!("must be from {shortest} to {longest}")));
        }
        Ok(duration)
    }
}

/// One of the names of `choices`.
pub(crate) fn one_of<T: Copy>(
    choices: &'static [(&'static str, T)],
) -> impl Fn(Value) -> Result<T, Flaws> {
    move |value| {
        let known = value.as_str().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        known.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            Flaws::here(format!("must be one of {}", names.join(", ")))
        })
    }
}

/// An object.
pub(crate) fn object(value: Value) -> Result<Map<String, Value>, Flaws> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Flaws::here("must be an object")),
    }
}

/// A filter.
pub(crate) fn filter(value: Value) -> Result<Filter, Flaws> {
    Filter::parse(object(value)?).map_err(|FilterFlaw { place, message }| {
        if place.is_empty() { Flaws::here(message) } else { Flaws::at(&place, message) }
    })
}

/// A whole number between these two.
pub(crate) fn whole(least: u64, most: u64) -> impl Fn(Value) -> Result<u64, Flaws> {
    move |value| {
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        let message = || format!("must be a whole number from {least} to {most}");
        number.ok_or_else(|| Flaws::here(message()))
    }
}

/// An object whose members are strings.
pub(crate) fn text_map(value: Value) -> Result<Vec<(String, String)>, Flaws> {
    let members = object(value)?.into_iter();
    all(members.map(|(name, value)| match text(value) {
        Ok(text) => Ok((name, text)),
        Err(flaws) => Err(flaws.within(&name)),
    }))
}

/// An instant of RFC 3339.
pub(crate) fn instant(value: Value) -> Result<UnixMicros, Flaws> {
    UnixMicros::parse_rfc3339(&text(value)?).ok_or_else(|| {
        Flaws::here("must be an instant such as 2026-11-23T09:30:00Z, with %2B for a plus sign")
    })
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
        assert_eq!(read(json!("1m 30s")), Ok(Duration::from_secs(90)));
        for wrong in [json!("10"), json!(10), json!(""), json!("-5s"), json!("9e9y")] {
            assert_eq!(
                read(wrong),
                Err(Flaws::here("must be a duration such as \"5s\" or \"10m\""))
            );
        }
        for outside in ["999ms", "91s", "5000y"] {
            assert_eq!(read(json!(outside)), Err(Flaws::here("must be from 1s to 90s")));
        }
    }

    #[test]
    fn every_member_of_a_text_map_is_looked_at() {
        assert_eq!(
            text_map(json!({"a": 1, "b": "b", "c": true})),
            Err(Flaws::at("a", "must be a string").and(Flaws::at("c", "must be a string")))
        );
    }

    #[test]
    fn a_share_is_neither_negative_nor_more_than_the_whole() {
        assert_eq!(share(&json!(0.25)), Ok(0.25));
        assert_eq!(share(&json!(1)), Ok(1.0));
        for wrong in [json!(-0.1), json!(1.1), json!("0.1"), json!(null)] {
            assert!(share(&wrong).is_err());
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
