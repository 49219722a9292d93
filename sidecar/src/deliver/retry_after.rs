//! Reads the header `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. Pure.
//!
//! Invariant: whatever a receiver writes there, it is a wait or nothing.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, header::RETRY_AFTER};
use sidehook_event::UnixMicros;

/// How long the receiver wants to be left alone from `now`. A date that has passed is no wait.
pub fn retry_after(headers: &HeaderMap, now: UnixMicros) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are for ever.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_micros(u64::try_from(now.micros()).ok()?);
    Some(date.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<u64> {
        // Sun, 06 Nov 1994 08:49:30 GMT.
        let now = UnixMicros::new(784_111_770_000_000);
        let headers = [(RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_the_three_forms_of_a_date_are_understood() {
        for (text, seconds) in [
            ("0", 0),
            ("120", 120),
            (" 7 ", 7),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 7),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 7),
            ("Sun Nov  6 08:49:37 1994", 7),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
            ("99999999999999999999999", u64::from(u32::MAX)),
        ] {
            assert_eq!(read(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_wish() {
        for text in ["", "-1", "1.5", "soon", "+5", "2024-01-01T00:00:00Z", "Sun, 99 Nov 1994"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
