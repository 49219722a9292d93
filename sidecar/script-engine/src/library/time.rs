//! Times, as text by RFC 3339 and as seconds since 1970. There is no clock: `event.time` is the
//! only time that a script knows.
//!
//! Invariant: whatever is returned as a time is RFC 3339 in UTC.

use jiff::{SignedDuration, Timestamp, civil, fmt::strtime, tz::Offset};
use rhai::{Engine, INT};

use super::{Fallible, wrong};

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("unix_time", |time: &str| -> Fallible<INT> {
            Ok(parsed("unix_time", time)?.as_second())
        })
        .register_fn("unix_time_ms", |time: &str| -> Fallible<INT> {
            Ok(parsed("unix_time_ms", time)?.as_millisecond())
        })
        .register_fn("from_unix_time", |seconds: INT| {
            let time = Timestamp::from_second(seconds);
            time.map(shown).map_err(|error| wrong(format!("from_unix_time: {error}")))
        })
        .register_fn("format_time", |time: &str, format: &str| {
            let time = parsed("format_time", time)?;
            formatted(time, format, Offset::UTC)
        })
        .register_fn("format_time", |time: &str, format: &str, offset: &str| {
            let time = parsed("format_time", time)?;
            formatted(time, format, zone(offset)?)
        })
        .register_fn("parse_time", parse_time)
        .register_fn("add_time", add_time)
        .register_fn("seconds_between", |from: &str, to: &str| -> Fallible<INT> {
            let (from, to) = (parsed("seconds_between", from)?, parsed("seconds_between", to)?);
            Ok(to.as_second() - from.as_second())
        });
}

fn parsed(name: &str, time: &str) -> Fallible<Timestamp> {
    time.parse().map_err(|_| wrong(format!("{name}: must be a time such as 2026-03-01T12:00:00Z")))
}

fn shown(time: Timestamp) -> String {
    time.to_string()
}

fn formatted(time: Timestamp, format: &str, offset: Offset) -> Fallible<String> {
    let mut parts = strtime::BrokenDownTime::from(offset.to_datetime(time));
    parts.set_offset(Some(offset));
    parts.to_string(format).map_err(|error| wrong(format!("format_time: {error}")))
}

/// `+02:00`.
fn zone(offset: &str) -> Fallible<Offset> {
    let flawed = || wrong("format_time: the offset must be such as +02:00");
    let parts = strtime::parse("%:z", offset).map_err(|_| flawed())?;
    parts.offset().ok_or_else(flawed)
}

/// In UTC, if it names no offset; at midnight, if it names no time of day.
fn parse_time(text: &str, format: &str) -> Fallible<String> {
    let flawed = |error| wrong(format!("parse_time: {error}"));
    let parts = strtime::parse(format, text).map_err(flawed)?;
    if parts.offset().is_some() {
        return parts.to_timestamp().map(shown).map_err(flawed);
    }
    let date = parts.to_date().map_err(flawed)?;
    let time = parts.to_time().unwrap_or(civil::Time::midnight());
    Offset::UTC.to_timestamp(date.to_datetime(time)).map(shown).map_err(flawed)
}

/// `2h`, `1d 12h`, `-30s`; a day is 24 hours.
fn add_time(time: &str, span: &str) -> Fallible<String> {
    let time = parsed("add_time", time)?;
    let flawed = || wrong("add_time: must be a time and a span such as 2h, 1d 12h or -30s");
    let (sign, span) = match span.trim().strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, span),
    };
    let mut seconds: i64 = 0;
    let mut number = String::new();
    for c in span.chars().filter(|c| !c.is_whitespace()) {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(flawed()),
        };
        let count: i64 = std::mem::take(&mut number).parse().map_err(|_| flawed())?;
        let part = count.checked_mul(unit).ok_or_else(flawed)?;
        seconds = seconds.checked_add(part).ok_or_else(flawed)?;
    }
    if !number.is_empty() || span.trim().is_empty() {
        return Err(flawed());
    }
    let sum = time.checked_add(SignedDuration::from_secs(sign * seconds)).map_err(|_| flawed())?;
    Ok(shown(sum))
}
