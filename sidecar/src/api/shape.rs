//! How values look in JSON: instants as RFC 3339, durations and ids as text.
//!
//! Invariant: whatever is written here is read back by the same API.

use std::{fmt::Display, time::Duration};

use serde::{Serialize, Serializer};

/// To how many something was done, or would be.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    pub(super) count: u64,
    pub(super) dry_run: bool,
}

/// Anything that has a text of its own: ids, instants, patterns.
pub(super) fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A duration: `90s`, `24h`.
pub(super) fn duration<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&written(*value))
}

/// Durations.
pub(super) fn durations<S: Serializer>(
    values: &[Duration],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().copied().map(written))
}

/// A duration in the largest unit that holds it without a rest, so that any client can read it.
pub(super) fn written(duration: Duration) -> String {
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

    use super::*;

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
