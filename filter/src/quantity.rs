//! Durations and sizes as people write them: `"2s"`, `"500ms"`, `"64KiB"`, `65536`. Pure.
//!
//! Invariant: a quantity is read exactly or refused with an example of what is wanted.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// A duration with its unit: `ms`, `s`, `m` or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WANTED: &str = "must be a duration such as \"2s\" or \"500ms\"";
        let (number, unit) = split(&text);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(WANTED),
        };
        let number: f64 = number.parse().map_err(|_| WANTED)?;
        let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| WANTED)?;
        Ok(Self(duration))
    }
}

/// A number of bytes: a whole number, alone or with `B`, `KB`, `MB`, `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SizeVisitor)
    }
}

/// A whole number, which may have been written as `65536.0`: a `google.protobuf.Struct` knows
/// no other numbers than floating ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(CountVisitor).map(Self)
    }
}

struct CountVisitor;

impl de::Visitor<'_> for CountVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<u64, E> {
        whole(number).ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
    }
}

struct SizeVisitor;

impl de::Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"64KiB\" or 65536")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Size, E> {
        Ok(Size(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Size, E> {
        let size = whole(number).map(Size);
        size.ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        let (number, unit) = split(text);
        let factor: Option<u64> = match unit {
            "" | "B" => Some(1),
            "KB" => Some(1_000),
            "MB" => Some(1_000_000),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            _ => None,
        };
        let number = number.parse::<u64>().ok();
        let size = number.zip(factor).and_then(|(n, f)| n.checked_mul(f));
        size.map(Size).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// The number and the unit behind it, which may be set off by a space.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    (number, unit.trim_start())
}

fn whole(number: f64) -> Option<u64> {
    // Beyond 2^53 a float no longer tells whole numbers apart.
    const LAST_EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = number.fract() == 0.0 && (0.0..=LAST_EXACT).contains(&number);
    exact.then(|| format!("{number:.0}").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(json: &str) -> Option<u64> {
        serde_json::from_str::<Size>(json).ok().map(|size| size.0)
    }

    fn millis(text: &str) -> Option<u128> {
        let span = Span::try_from(text.to_owned()).ok();
        span.map(|span| span.0.as_millis())
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        assert_eq!(size("\"64KiB\""), Some(65_536));
        assert_eq!(size("\"16 MiB\""), Some(16 << 20));
        assert_eq!(size("\"1GiB\""), Some(1 << 30));
        assert_eq!(size("\"5KB\""), Some(5_000));
        assert_eq!(size("\"12\""), Some(12));
        assert_eq!(size("65536"), Some(65_536));
        assert_eq!(size("65536.0"), Some(65_536));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for json in [
            "\"\"",
            "\"KiB\"",
            "\"1.5KiB\"",
            "\"1kb\"",
            "-1",
            "1.5",
            "1e300",
            "true",
            "\"99999999999GiB\"",
        ] {
            assert_eq!(size(json), None, "{json}");
        }
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(millis("2s"), Some(2_000));
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("0.5s"), Some(500));
        assert_eq!(millis("2m"), Some(120_000));
        assert_eq!(millis("1h"), Some(3_600_000));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "2", "-2s", "2 weeks", "1.2.3s", "2S", "1e3s"] {
            assert_eq!(millis(text), None, "{text}");
        }
        assert_eq!(millis(&format!("{}h", "9".repeat(300))), None);
    }

    #[test]
    fn counts_are_whole_numbers_even_if_written_as_floats() {
        let count = |json| serde_json::from_str::<Count>(json).ok().map(|count| count.0);
        assert_eq!(count("10000.0"), Some(10_000));
        assert_eq!(count("7"), Some(7));
        assert_eq!(count("7.5"), None);
        assert_eq!(count("\"7\""), None);
    }
}
