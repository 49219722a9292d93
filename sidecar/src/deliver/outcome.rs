//! Decides what an attempt came to and what follows it. Pure: the caller supplies the clock and
//! the dice.
//!
//! Invariant: every attempt has exactly one successor: none because it was delivered, a retry,
//! or a dead letter.

use std::time::Duration;

use sidehook_event::UnixMicros;

use super::{egress::Denied, schedule};
use crate::model::{Attempt, Cause, Death, Fault, Outcome, Retry, Series, Successor};

/// The longest a receiver may ask to be left alone with `Retry-After`.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Gone (RFC 9110, section 15.5.11): the receiver wants nothing any more.
const GONE: u16 = 410;

/// What an answer with this status comes to. Redirects are not followed, so 3xx is a failure.
pub fn of_status(status: u16) -> Outcome {
    if (200..300).contains(&status) { Outcome::Success } else { Outcome::Status }
}

/// What a denial comes to.
pub fn of_denial(denied: &Denied) -> Outcome {
    match denied {
        Denied::Address { .. } | Denied::Clear => Outcome::Egress,
        Denied::Unresolved { .. } => Outcome::Dns,
    }
}

/// Whose fault a failure is; nobody's if it is none.
pub fn fault_of(outcome: Outcome) -> Option<Fault> {
    match outcome {
        Outcome::Success => None,
        Outcome::Status | Outcome::Timeout | Outcome::Dns | Outcome::Connection | Outcome::Tls => {
            Some(Fault::Receiver)
        }
        Outcome::Egress | Outcome::Malformed | Outcome::Proxy => Some(Fault::Pipeline),
    }
}

/// Whether the receiver says with this attempt that it wants nothing any more: its subscription is
/// to be disabled.
pub fn is_unsubscribing(attempt: &Attempt) -> bool {
    attempt.status_code == Some(GONE)
}

/// What follows `attempt` of `series`, which ended at `now` with a wish for `retry_after`.
pub fn successor(
    attempt: &Attempt,
    series: Series,
    retry_after: Option<Duration>,
    retry: &Retry,
    now: UnixMicros,
    dice: u64,
) -> Successor {
    let dead = |cause| Successor::Dead(Death { cause, error: said(attempt) });
    match attempt.outcome {
        Outcome::Success => Successor::Delivered,
        // The rule does not change while the process runs: trying again would not help.
        Outcome::Egress => dead(Cause::Egress),
        // Nor would sending what cannot be built.
        Outcome::Malformed => dead(Cause::Malformed),
        Outcome::Status if is_unsubscribing(attempt) => dead(Cause::Refused),
        // Any other status too, even 4xx: receivers are deployed, and keys are mended.
        Outcome::Status
        | Outcome::Timeout
        | Outcome::Dns
        | Outcome::Connection
        | Outcome::Tls
        | Outcome::Proxy => {
            let next = attempt.number.saturating_add(1);
            match schedule::due(retry, series, next, now, dice) {
                Some(at) => Successor::Retry(no_earlier(at, retry_after, now)),
                None => dead(Cause::Exhausted),
            }
        }
    }
}

/// Never earlier than the schedule says; later if the receiver asks for it.
fn no_earlier(at: UnixMicros, retry_after: Option<Duration>, now: UnixMicros) -> UnixMicros {
    let asked = retry_after.map(|wait| now.after(wait.min(LONGEST_RETRY_AFTER)));
    asked.map_or(at, |asked| asked.max(at))
}

/// What went wrong, in words.
fn said(attempt: &Attempt) -> String {
    match (&attempt.error, attempt.status_code) {
        (Some(error), _) => error.clone(),
        (None, Some(status)) => format!("answered {status}"),
        (None, None) => attempt.outcome.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMicros = UnixMicros::new(1_000_000);
    const SERIES: Series = Series { began_at: NOW, earlier: 0 };

    fn attempt(outcome: Outcome, number: u32, status_code: Option<u16>) -> Attempt {
        Attempt {
            number,
            started_at: NOW,
            duration: Duration::ZERO,
            outcome,
            status_code,
            response_excerpt: None,
            error: None,
        }
    }

    fn retry() -> Retry {
        let schedule = [Duration::ZERO, Duration::from_secs(5)].into();
        Retry { schedule, jitter: 0.0, horizon: None }
    }

    fn after(attempt: &Attempt) -> Successor {
        successor(attempt, SERIES, None, &retry(), NOW, 0)
    }

    fn dead(cause: Cause, error: &str) -> Successor {
        Successor::Dead(Death { cause, error: error.to_owned() })
    }

    fn answered(status: u16, number: u32) -> Attempt {
        attempt(of_status(status), number, Some(status))
    }

    #[test]
    fn only_2xx_is_success() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(of_status(status), Outcome::Success, "{status}");
        }
        for status in [100, 199, 300, 301, 304, 307, 400, 404, 410, 429, 500, 503, 599] {
            assert_eq!(of_status(status), Outcome::Status, "{status}");
        }
    }

    #[test]
    fn a_success_ends_it_whichever_attempt_it_was() {
        assert_eq!(after(&answered(200, 1)), Successor::Delivered);
        assert_eq!(after(&answered(204, 2)), Successor::Delivered);
    }

    #[test]
    fn every_status_but_2xx_and_410_is_tried_again_until_the_schedule_ends() {
        let again = Successor::Retry(NOW.after(Duration::from_secs(5)));
        for status in [301, 302, 307, 400, 401, 403, 404, 408, 413, 425, 429, 500, 502, 503, 504] {
            assert_eq!(after(&answered(status, 1)), again, "{status}");
            let exhausted = dead(Cause::Exhausted, &format!("answered {status}"));
            assert_eq!(after(&answered(status, 2)), exhausted, "{status}");
            // A schedule that became shorter meanwhile.
            assert_eq!(after(&answered(status, 9)), exhausted, "{status}");
        }
    }

    #[test]
    fn a_receiver_that_is_gone_wants_nothing_any_more() {
        assert_eq!(after(&answered(410, 1)), dead(Cause::Refused, "answered 410"));
        assert!(is_unsubscribing(&answered(410, 1)));
        assert!(!is_unsubscribing(&answered(404, 1)));
    }

    #[test]
    fn what_broke_on_the_way_is_tried_again() {
        for outcome in [Outcome::Timeout, Outcome::Dns, Outcome::Connection, Outcome::Tls] {
            let failed = attempt(outcome, 1, None);
            assert_eq!(after(&failed), Successor::Retry(NOW.after(Duration::from_secs(5))));
            let last = attempt(outcome, 2, None);
            assert_eq!(after(&last), dead(Cause::Exhausted, outcome.name()));
        }
    }

    #[test]
    fn what_is_ours_to_mend_is_not_tried_again() {
        for (outcome, cause) in
            [(Outcome::Egress, Cause::Egress), (Outcome::Malformed, Cause::Malformed)]
        {
            let failed = Attempt { error: Some("because".to_owned()), ..attempt(outcome, 1, None) };
            assert_eq!(after(&failed), dead(cause, "because"));
            assert_eq!(
                (cause.fault(), fault_of(outcome)),
                (Fault::Pipeline, Some(Fault::Pipeline))
            );
        }
    }

    #[test]
    fn a_wish_to_be_left_alone_lengthens_the_wait_and_never_shortens_it() {
        let wished = |wish| {
            let wish = Some(Duration::from_secs(wish));
            match successor(&answered(503, 1), SERIES, wish, &retry(), NOW, 0) {
                Successor::Retry(at) => at.since(NOW).as_secs(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            [0, 4, 60, 86_400, 86_401, 10_000_000].map(wished),
            [5, 5, 60, 86_400, 86_400, 86_400]
        );
    }
}
