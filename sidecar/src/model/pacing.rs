//! How fast a subscription takes its deliveries: `50/s`, and so many at a time.
//!
//! Invariant: there is always some pace, so that whatever waits has its turn in the end.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use thiserror::Error;

/// What its owner asks for; without it Sidehook's own limits alone apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pacing {
    /// The most attempts in a time, over all processes.
    pub rate_limit: Option<RateLimit>,
    /// The most attempts under way at a time, of each process.
    pub max_in_flight: Option<NonZeroU32>,
}

impl Pacing {
    /// The most that `max_in_flight` may ask for.
    pub const MOST_IN_FLIGHT: u32 = 1_000;
}

/// So many attempts in a time, evenly spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    count: NonZeroU32,
    per: Per,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

/// Why a text is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidRate {
    /// Not a number and a time.
    #[error(
        "must be a number of deliveries in a second, minute or hour, such as 50/s, 600/m or 10/h"
    )]
    Malformed,
    /// 0, or more than [`RateLimit::MOST`].
    #[error("must be 1 to 10000 in a second, minute or hour")]
    OutOfRange,
}

impl RateLimit {
    /// The most in any of the times.
    pub const MOST: u32 = 10_000;

    /// The time from one attempt to the next.
    pub fn interval(self) -> Duration {
        let per = match self.per {
            Per::Second => Duration::from_secs(1),
            Per::Minute => Duration::from_mins(1),
            Per::Hour => Duration::from_hours(1),
        };
        per / self.count.get()
    }
}

impl FromStr for RateLimit {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (count, per) = text.split_once('/').ok_or(InvalidRate::Malformed)?;
        let per = match per {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(InvalidRate::Malformed),
        };
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidRate::Malformed);
        }
        let count = count.parse().map_err(|_| InvalidRate::OutOfRange)?;
        let count = NonZeroU32::new(count).filter(|count| count.get() <= Self::MOST);
        Ok(Self { count: count.ok_or(InvalidRate::OutOfRange)?, per })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Second => 's',
            Per::Minute => 'm',
            Per::Hour => 'h',
        };
        write!(f, "{}/{per}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        for (text, interval) in [
            ("50/s", Duration::from_millis(20)),
            ("10000/s", Duration::from_micros(100)),
            ("600/m", Duration::from_millis(100)),
            ("1/h", Duration::from_hours(1)),
        ] {
            let rate: RateLimit = text.parse().unwrap();
            assert_eq!((rate.interval(), rate.to_string()), (interval, text.to_owned()));
        }
    }

    #[test]
    fn what_is_none_is_refused_with_its_reason() {
        for text in ["", "50", "/s", "50/", "50/d", "50/S", "+5/s", "-1/s", "1.5/s", " 5/s", "5 /s"]
        {
            assert_eq!(text.parse::<RateLimit>(), Err(InvalidRate::Malformed), "{text:?}");
        }
        for text in ["0/s", "10001/h", "99999999999999/s"] {
            assert_eq!(text.parse::<RateLimit>(), Err(InvalidRate::OutOfRange), "{text:?}");
        }
    }
}
