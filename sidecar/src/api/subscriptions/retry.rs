//! When a subscription's attempts are made, as a request says it: a list of waits, or waits that
//! grow.
//!
//! Invariant: what is read keeps to the limits of [`Retry`], each named in the message.

use std::{sync::Arc, time::Duration};

use super::super::{
    Flaws,
    form::{Form, Reader, nested},
    read::{duration, number, whole},
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
pub(super) fn retry() -> Reader<RequestedRetry> {
    nested(|form| {
        let list = form.read("schedule", schedule());
        let growing = form.read("exponential", nested(exponential));
        if list.is_some() && growing.is_some() {
            form.note(Flaws::at("exponential", "must not stand beside schedule; choose one"));
        }
        let jitter = number(0.0, 1.0).about("Each wait is lengthened by up to this share of it.");
        let horizon = duration(SHORTEST_HORIZON, Retry::MAX_HORIZON)
            .about("How long after the delivery was made the last attempt may begin.");
        Some(RequestedRetry {
            schedule: list.or(growing),
            jitter: form.read("jitter", jitter),
            horizon: form.read("horizon", horizon),
        })
    })
}

fn schedule() -> Reader<Arc<[Duration]>> {
    let waits = duration(Duration::ZERO, Retry::MAX_WAIT).list("durations", Retry::MAX_ATTEMPTS);
    waits.then(|waits| Ok::<_, Flaws>(waits.into())).about("The waits before the attempts.")
}

/// `{"first", "factor", "cap", "attempts"}`: an attempt at once, then after `first`, then after
/// `factor` times as long as the time before, at most `cap`.
fn exponential(form: &mut Form) -> Option<Arc<[Duration]>> {
    let wait = || duration(Duration::from_millis(1), Retry::MAX_WAIT);
    let first = form.require("first", wait().about("The wait before the second attempt."));
    let factor = form.read("factor", number(1.0, STEEPEST).or(2.0)).unwrap_or(2.0);
    let cap = form.read("cap", wait().about("The longest wait.")).unwrap_or(Retry::MAX_WAIT);
    let most = u64::try_from(Retry::MAX_ATTEMPTS).unwrap_or(u64::MAX);
    let attempts = usize::try_from(form.require("attempts", whole(1, most))?).ok()?;
    let growing = std::iter::successors(Some(first?.min(cap)), |wait| {
        Some(Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(cap).min(cap))
    });
    Some(std::iter::once(Duration::ZERO).chain(growing).take(attempts).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn seconds(value: Value) -> Vec<u64> {
        let schedule = retry().read(value).unwrap().schedule.unwrap();
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
            (json!({"schedule": []}), "schedule", "must have 1 to 50 durations"),
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
            let flaws = retry().read(value).unwrap_err().into_list();
            let said: Vec<_> =
                flaws.iter().map(|f| (f.field.as_str(), f.message.as_str())).collect();
            assert!(
                said.iter().any(|(at, what)| *at == field && what.contains(message)),
                "{said:?}"
            );
        }
    }
}
