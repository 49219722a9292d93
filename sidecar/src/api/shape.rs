//! How values look in JSON: instants as RFC 3339, durations and ids as text.
//!
//! Invariant: whatever is written here is read back by the same API.

use std::{fmt::Display, time::Duration};

use humantime::format_duration;
use serde::Serializer;

/// Anything that has a text of its own: ids, instants, patterns.
pub(super) fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A duration: `5s`, `1h 30m`.
pub(super) fn duration<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_duration(*value))
}

/// Durations.
pub(super) fn durations<S: Serializer>(
    values: &[Duration],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| format_duration(*value).to_string()))
}
