//! An instant, as it is stored and sent: microseconds since the Unix epoch, UTC.
//!
//! Invariant: every value can be written as RFC 3339; arithmetic saturates instead of wrapping.

use std::{fmt, time::Duration};

use jiff::Timestamp;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMicros(i64);

impl UnixMicros {
    /// The last instant that can be written in every offset: the end of the year 9999.
    pub const MAX: Self = Self(253_402_207_200_000_000);
    /// The epoch itself. Nothing of ours happened before it.
    pub const EPOCH: Self = Self(0);

    /// Clamps `micros` into the range that RFC 3339 can write.
    pub const fn new(micros: i64) -> Self {
        if micros < Self::EPOCH.0 {
            Self::EPOCH
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// This instant, if RFC 3339 can write it.
    pub fn checked(micros: i64) -> Option<Self> {
        (Self::EPOCH.0..=Self::MAX.0).contains(&micros).then_some(Self(micros))
    }

    /// Nanoseconds since the epoch, as gateways give the time.
    pub fn from_nanos(nanos: u64) -> Self {
        Self::new(i64::try_from(nanos / 1_000).unwrap_or(i64::MAX))
    }

    /// Microseconds since the epoch.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, as `webhook-timestamp` wants them.
    pub fn seconds(self) -> i64 {
        self.0 / 1_000_000
    }

    /// The time that passed from `earlier` to `self`, or zero.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// `self` plus `duration`, at most [`Self::MAX`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::new(self.0.saturating_add(micros))
    }

    /// Reads an RFC 3339 instant in any offset; `None` when it is not one, or before the epoch.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        Self::checked(text.parse::<Timestamp>().ok()?.as_microsecond())
    }
}

/// RFC 3339 in UTC with microseconds: `2026-11-23T09:30:00.000000Z`.
impl fmt::Display for UnixMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH);
        write!(f, "{instant:.6}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_rfc_3339_in_utc_with_microseconds() {
        assert_eq!(
            UnixMicros::new(1_763_890_200_000_042).to_string(),
            "2025-11-23T09:30:00.000042Z"
        );
        assert_eq!(UnixMicros::EPOCH.to_string(), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn the_ends_of_the_range_can_be_written_and_read_back() {
        for edge in [UnixMicros::EPOCH, UnixMicros::MAX] {
            assert_eq!(UnixMicros::parse_rfc3339(&edge.to_string()), Some(edge));
        }
        assert_eq!(UnixMicros::new(i64::MAX), UnixMicros::MAX);
        assert_eq!(UnixMicros::MAX.after(Duration::MAX), UnixMicros::MAX);
    }

    #[test]
    fn an_offset_is_read_and_nonsense_is_not() {
        let parsed = UnixMicros::parse_rfc3339("2025-11-23T10:30:00.000042+01:00");
        assert_eq!(parsed, Some(UnixMicros::new(1_763_890_200_000_042)));
        assert_eq!(UnixMicros::parse_rfc3339("yesterday"), None);
        assert_eq!(UnixMicros::parse_rfc3339("1969-12-31T23:59:59Z"), None);
    }
}
