//! Decides what follows an attempt. Pure: the caller supplies the clock and the dice.
//!
//! Invariant: every attempt has exactly one successor: none because it was delivered, a retry,
//! or a dead letter.

use sidehook_event::UnixMicros;

use super::{egress::Denied, schedule};
use crate::model::{Attempt, Cause, Outcome, Retry, Successor};

/// What an answer with this status comes to. Redirects are not followed, so 3xx is a failure.
pub fn of_status(status: u16) -> Outcome {
    if (200..300).contains(&status) { Outcome::Success } else { Outcome::Status }
}

/// What a denial comes to.
pub fn of_denial(denied: &Denied) -> Outcome {
    match denied {
        Denied::Address { .. } => Outcome::Egress,
        Denied::Unresolved { .. } => Outcome::Dns,
    }
}

/// What follows `attempt`, which ended at `now`.
pub fn successor(attempt: &Attempt, retry: &Retry, now: UnixMicros, dice: u64) -> Successor {
    match attempt.outcome {
        Outcome::Success => Successor::Delivered,
        // The rule does not change while the process runs: trying again would not help.
        Outcome::Egress => Successor::Dead(Cause::Egress),
        Outcome::Status | Outcome::Timeout | Outcome::Dns | Outcome::Connection | Outcome::Tls => {
            let next = attempt.number.saturating_add(1);
            match schedule::due(retry, next, now, dice) {
                Some(at) => Successor::Retry(at),
                None => Successor::Dead(Cause::Exhausted),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(outcome: Outcome, number: u32) -> Successor {
        let attempt = Attempt {
            number,
            started_at: UnixMicros::EPOCH,
            duration: Duration::ZERO,
            outcome,
            status_code: None,
            response_excerpt: None,
            error: None,
        };
        let schedule = [Duration::ZERO, Duration::from_secs(5)].into();
        successor(&attempt, &Retry { schedule, jitter: 0.0 }, UnixMicros::EPOCH, 0)
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
        assert_eq!(after(Outcome::Success, 1), Successor::Delivered);
        assert_eq!(after(Outcome::Success, 2), Successor::Delivered);
    }

    #[test]
    fn a_failure_is_retried_until_the_schedule_ends() {
        let retry = Successor::Retry(UnixMicros::new(5_000_000));
        for (_, outcome) in Outcome::NAMES {
            if matches!(outcome, Outcome::Success | Outcome::Egress) {
                continue;
            }
            assert_eq!(after(outcome, 1), retry, "{outcome:?}");
            assert_eq!(after(outcome, 2), Successor::Dead(Cause::Exhausted), "{outcome:?}");
            // A schedule that became shorter meanwhile.
            assert_eq!(after(outcome, 9), Successor::Dead(Cause::Exhausted), "{outcome:?}");
        }
    }

    #[test]
    fn a_denied_address_is_not_tried_again() {
        assert_eq!(after(Outcome::Egress, 1), Successor::Dead(Cause::Egress));
    }
}
