//! How values look in JSON: instants as RFC 3339, durations and ids as text.
//!
//! Invariant: whatever is written here is read back by the same API.

use std::{fmt::Display, time::Duration};

use serde::{Serialize, Serializer};

pub(super) use super::read::written;

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
