//! When the next attempt is made. Pure: the caller supplies the clock and the dice.
//!
//! Invariant: a wait is never shorter than the schedule says, a series has at most as many
//! attempts as the schedule has waits, and none begins beyond the horizon.

use std::time::Duration;

use sidehook_event::UnixMicros;

use crate::model::{Retry, Series};

/// When the first attempt of a delivery is made that is made at `now`.
pub fn first(retry: &Retry, now: UnixMicros, dice: u64) -> UnixMicros {
    due(retry, Series { began_at: now, earlier: 0 }, 1, now, dice).unwrap_or(now)
}

/// When attempt `number` (from 1) of a delivery is made, if it is: its wait after `from`, lengthened
/// by a share of the jitter that `dice` picks. The schedule begins anew with each series.
pub fn due(
    retry: &Retry,
    series: Series,
    number: u32,
    from: UnixMicros,
    dice: u64,
) -> Option<UnixMicros> {
    let index = number.checked_sub(series.earlier)?.checked_sub(1)?;
    let wait = *retry.schedule.get(usize::try_from(index).ok()?)?;
    let at = from.after(wait).after(jitter(wait, retry.jitter, dice));
    within_horizon(retry, series, at).then_some(at)
}

/// Whether an attempt may still begin at `at`.
pub fn within_horizon(retry: &Retry, series: Series, at: UnixMicros) -> bool {
    retry.horizon.is_none_or(|horizon| at <= series.began_at.after(horizon))
}

/// Whether a delivery that was put off until `at` has waited longer than all its attempts would
/// have taken, and three days: then its receiver will not come back for it.
pub fn is_over(retry: &Retry, series: Series, at: UnixMicros) -> bool {
    const LEAST: Duration = Duration::from_hours(3 * 24);
    let whole = retry.schedule.iter().fold(Duration::ZERO, |sum, wait| sum.saturating_add(*wait));
    let longest = whole.saturating_mul(2).max(LEAST);
    at > series.began_at.after(retry.horizon.unwrap_or(longest))
}

fn jitter(wait: Duration, share: f64, dice: u64) -> Duration {
    // 32 bits of the dice, as a number from 0 to 1.
    let picked = f64::from(u32::try_from(dice >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    Duration::try_from_secs_f64(wait.as_secs_f64() * share * picked).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: UnixMicros = UnixMicros::new(1_000_000);

    fn retry(seconds: &[u64], jitter: f64, horizon: Option<u64>) -> Retry {
        Retry {
            schedule: seconds.iter().copied().map(Duration::from_secs).collect(),
            jitter,
            horizon: horizon.map(Duration::from_secs),
        }
    }

    fn series(earlier: u32) -> Series {
        Series { began_at: START, earlier }
    }

    #[test]
    fn follows_the_schedule_and_ends_with_it() {
        let retry = retry(&[0, 5, 300], 0.0, None);
        let wait =
            |number| due(&retry, series(0), number, START, 7).map(|at| at.since(START).as_secs());
        assert_eq!([1, 2, 3, 4, 0].map(wait), [Some(0), Some(5), Some(300), None, None]);
    }

    #[test]
    fn a_new_series_begins_the_schedule_anew_while_its_attempts_are_counted_on() {
        let retry = retry(&[0, 5], 0.0, None);
        let wait =
            |number| due(&retry, series(10), number, START, 7).map(|at| at.since(START).as_secs());
        assert_eq!([10, 11, 12, 13].map(wait), [None, Some(0), Some(5), None]);
    }

    #[test]
    fn no_attempt_begins_beyond_the_horizon() {
        let retry = retry(&[0, 5, 5, 5], 0.0, Some(12));
        let at = |number, from: u64| {
            due(&retry, series(0), number, START.after(Duration::from_secs(from)), 7)
        };
        assert!(at(3, 7).is_some(), "at the very end");
        assert_eq!(at(4, 8), None);
    }

    #[test]
    fn what_was_put_off_for_longer_than_its_attempts_would_have_taken_is_over() {
        let after = |hours| START.after(Duration::from_hours(hours));
        let usual = Retry::default();
        assert!(!is_over(&usual, series(0), after(151)) && is_over(&usual, series(0), after(152)));
        let short = retry(&[0, 5], 0.0, None);
        assert!(!is_over(&short, series(0), after(72)) && is_over(&short, series(0), after(73)));
        let bounded = retry(&[0, 5], 0.0, Some(3600));
        assert!(!is_over(&bounded, series(0), after(1)) && is_over(&bounded, series(0), after(2)));
    }

    /// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>,
    /// *Deliverability and reliability*: the example of a schedule, in seconds.
    #[test]
    fn the_default_is_the_one_that_standard_webhooks_recommends() {
        const RECOMMENDED: [u64; 10] =
            [0, 5, 5 * 60, 30 * 60, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
        let retry = Retry::default();
        let mut now = START;
        for (number, wait) in (1..).zip(RECOMMENDED) {
            let next = due(&retry, series(0), number, now, u64::MAX).unwrap();
            let longest = Duration::from_secs(wait).mul_f64(1.1) + Duration::from_micros(1);
            assert!((Duration::from_secs(wait)..=longest).contains(&next.since(now)), "{number}");
            now = next;
        }
        assert_eq!(due(&retry, series(0), 11, now, 0), None);
        // Some three days, as the specification asks for.
        assert!(now.since(START) > Duration::from_hours(3 * 24));
    }

    proptest! {
        #[test]
        fn jitter_only_lengthens_a_wait_and_by_no_more_than_its_share(
            wait in 0_u32..10_000_000, share in 0.0..=1.0, dice: u64,
        ) {
            let retry = retry(&[wait.into()], share, None);
            let got = due(&retry, series(0), 1, START, dice).unwrap().since(START).as_secs_f64();
            prop_assert!(got >= f64::from(wait) && got <= f64::from(wait) * (1.0 + share) + 1e-5);
        }
    }
}
