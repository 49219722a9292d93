//! When a subscription's attempts are made, as a request says it: a list of waits, or waits that
//! grow.
//!
//! Invariant: what is read keeps to the limits of [`Retry`], each named in the message.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::super::{
    Flaws,
    flaw::all,
    form::Form,
    read::{duration, share},
};
use crate::model::Retry;

/// The shortest horizon: no receiver is mended sooner.
const SHORTEST_HORIZON: Duration = Duration::from_secs(1);
/// The steepest growth.
const STEEPEST: f64 = 10.0;

/// What is said of it; `None` where the default applies.
#[derive(Debug, Default)]
pub(super) struct RequestedRetry {
    pub(super) schedule: Option<Arc<[Duration]>>,
    pub(super) jitter: Option<f64>,
    pub(super) horizon: Option<Duration>,
}

/// Reads `{"schedule" | "exponential", "jitter", "horizon"}`.
pub(super) fn retry(value: Value) -> Result<RequestedRetry, Flaws> {
    let mut form = Form::of(value)?;
    let list = form.read("schedule", schedule);
    let growing = form.read("exponential", exponential);
    if list.is_some() && growing.is_some() {
        form.note(Flaws::at("exponential", "must not stand beside schedule; choose one"));
    }
    let retry = RequestedRetry {
        schedule: list.or(growing),
        jitter: form.read("jitter", |value| share(&value)),
        horizon: form.read("horizon", duration(SHORTEST_HORIZON, Retry::MAX_HORIZON)),
    };
    form.finish().map(|()| retry)
}

fn schedule(value: Value) -> Result<Arc<[Duration]>, Flaws> {
    let Value::Array(waits) = value else {
        return Err(Flaws::here("must be an array of durations"));
    };
    let most = Retry::MAX_ATTEMPTS;
    if !(1..=most).contains(&waits.len()) {
        return Err(Flaws::here(format!("must have 1 to {most} waits")));
    }
    let wait = duration(Duration::ZERO, Retry::MAX_WAIT);
    let waits = waits.into_iter().enumerate();
    let waits: Vec<_> =
        all(waits.map(|(n, value)| wait(value).map_err(|flaws| flaws.within(&format!("[{n}]")))))?;
    Ok(waits.into())
}

/// `{"first", "factor", "cap", "attempts"}`: an attempt at once, then after `first`, then after
/// `factor` times as long as the time before, at most `cap`.
fn exponential(value: Value) -> Result<Arc<[Duration]>, Flaws> {
    let mut form = Form::of(value)?;
    let wait = || duration(Duration::from_millis(1), Retry::MAX_WAIT);
    let first = form.require("first", wait());
    let factor = form.read("factor", |value| factor(&value)).unwrap_or(2.0);
    let cap = form.read("cap", wait()).unwrap_or(Retry::MAX_WAIT);
    let attempts = form.require("attempts", |value| attempts(&value));
    form.finish()?;
    let (Some(first), Some(attempts)) = (first, attempts) else {
        return Err(Flaws::here("must have first and attempts"));
    };
    let growing = std::iter::successors(Some(first.min(cap)), |wait| {
        Some(Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(cap).min(cap))
    });
    Ok(std::iter::once(Duration::ZERO).chain(growing).take(attempts).collect())
}

fn factor(value: &Value) -> Result<f64, Flaws> {
    let factor = value.as_f64().filter(|factor| (1.0..=STEEPEST).contains(factor));
    factor.ok_or_else(|| Flaws::here(format!("must be a number from 1 to {STEEPEST}")))
}

fn attempts(value: &Value) -> Result<usize, Flaws> {
    let most = Retry::MAX_ATTEMPTS;
    let attempts = value.as_u64().and_then(|attempts| usize::try_from(attempts).ok());
    let attempts = attempts.filter(|attempts| (1..=most).contains(attempts));
    attempts.ok_or_else(|| Flaws::here(format!("must be a whole number from 1 to {most}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seconds(value: Value) -> Vec<u64> {
        let schedule = retry(value).unwrap().schedule.unwrap();
        schedule.iter().map(Duration::as_secs).collect()
    }

    #[test]
    fn waits_that_grow_are_the_list_that_they_come_to() {
        let exponential = json!({"first": "10s", "factor": 3, "cap": "2m", "attempts": 6});
        assert_eq!(seconds(json!({"exponential": exponential})), [0, 10, 30, 90, 120, 120]);
        let exponential = json!({"first": "1s", "attempts": 5});
        assert_eq!(seconds(json!({"exponential": exponential})), [0, 1, 2, 4, 8]);
        let exponential = json!({"first": "1s", "attempts": 1});
        assert_eq!(seconds(json!({"exponential": exponential})), [0]);
    }

    #[test]
    fn what_is_beyond_the_limits_is_refused_with_the_limit() {
        for (value, field, message) in [
            (json!({"schedule": []}), "schedule", "must have 1 to 50 waits"),
            (json!({"horizon": "31d"}), "horizon", "must be from 1s to 720h"),
            (
                json!({"exponential": {"first": "1s", "attempts": 51}}),
                "exponential.attempts",
                "must be a whole number from 1 to 50",
            ),
            (
                json!({"exponential": {"first": "1s", "factor": 0.5, "attempts": 2}}),
                "exponential.factor",
                "must be a number from 1 to 10",
            ),
            (
                json!({"exponential": {"first": "1s", "attempts": 2}, "schedule": ["0s"]}),
                "exponential",
                "must not stand beside schedule; choose one",
            ),
        ] {
            let flaws = retry(value).unwrap_err().into_list();
            let said: Vec<_> =
                flaws.iter().map(|f| (f.field.as_str(), f.message.as_str())).collect();
            assert!(
                said.iter().any(|(at, what)| *at == field && what.contains(message)),
                "{said:?}"
            );
        }
    }
}
