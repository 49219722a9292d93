//! When the next attempt is made. Pure: the caller supplies the clock and the dice.
//!
//! Invariant: a wait is never shorter than the schedule says, a series has at most as many
//! attempts as the schedule has waits, and none begins beyond the horizon.

use std::time::Duration;

use sidehook_event::UnixMicros;

use crate::{
    model::{Retry, Series},
    store::Waiting,
};

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

/// Whether attempt `number` is one that the schedule no longer has: it was made shorter since. The
/// first one of a series is always made.
pub fn has_ended(retry: &Retry, series: Series, number: u32, now: UnixMicros) -> bool {
    let index = number.saturating_sub(series.earlier).saturating_sub(1);
    let is_one = usize::try_from(index).is_ok_and(|index| index < retry.schedule.len());
    index > 0 && !(is_one && within_horizon(retry, series, now))
}

/// When a delivery is due that waits, after its subscription's schedule was changed at `now`: as if
/// its last attempt had been followed by the new one. One that has no more attempts is due at once,
/// to be given up. One that waits for longer than the earlier schedule said was asked to by its
/// receiver, or put off: it comes no earlier.
pub fn rescheduled(
    earlier: &Retry,
    later: &Retry,
    waiting: &Waiting,
    now: UnixMicros,
    dice: u64,
) -> UnixMicros {
    let Waiting { attempts, series, due_at, .. } = *waiting;
    let from = waiting.ended_at.unwrap_or(series.began_at);
    let number = attempts.saturating_add(1);
    let Some(due) = due(later, series, number, from, dice) else { return now };
    // Nothing was asked for before the first attempt.
    let latest = due_at_most(earlier, series, number, from).filter(|_| attempts > series.earlier);
    let asked = latest.filter(|latest| due_at > *latest).map(|_| due_at);
    asked.map_or(due, |asked| asked.max(due)).max(now)
}

/// As late as the schedule may say, with all of the jitter and the sweep's delay.
fn due_at_most(retry: &Retry, series: Series, number: u32, from: UnixMicros) -> Option<UnixMicros> {
    const DELAY: Duration = Duration::from_secs(1);
    due(&Retry { horizon: None, ..retry.clone() }, series, number, from, u64::MAX)
        .map(|at| at.after(DELAY))
}

fn jitter(wait: Duration, share: f64, dice: u64) -> Duration {
    // 32 bits of the dice, as a number from 0 to 1.
    let picked = f64::from(u32::try_from(dice >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    Duration::try_from_secs_f64(wait.as_secs_f64() * share * picked).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use sidehook_event::TypeId as _;

    use super::*;
    use crate::model::DeliveryId;

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

    fn waiting(attempts: u32, due_at: u64) -> Waiting {
        let at = |seconds| START.after(Duration::from_secs(seconds));
        Waiting {
            id: DeliveryId::from_bits(1),
            attempts,
            series: series(0),
            ended_at: (attempts > 0).then(|| at(100)),
            due_at: at(due_at),
        }
    }

    /// In seconds after the start, when it waits at 150.
    fn moved(earlier: &Retry, later: &Retry, waiting: &Waiting) -> u64 {
        let now = START.after(Duration::from_secs(150));
        rescheduled(earlier, later, waiting, now, 0).since(START).as_secs()
    }

    #[test]
    fn what_waits_follows_the_new_schedule_from_its_last_attempt() {
        let usual = retry(&[0, 300, 300], 0.0, None);
        let [shorter, longer] = [60, 600].map(|wait| retry(&[0, wait, 300], 0.0, None));
        assert_eq!(moved(&usual, &shorter, &waiting(1, 400)), 160);
        assert_eq!(moved(&usual, &longer, &waiting(1, 400)), 700);
        let at_once = retry(&[0, 1, 1], 0.0, None);
        assert_eq!(moved(&usual, &at_once, &waiting(1, 400)), 150, "never in the past");
    }

    #[test]
    fn what_has_no_more_attempts_is_due_at_once_and_has_ended() {
        let (usual, short) = (retry(&[0, 300, 300], 0.0, None), retry(&[0], 0.0, None));
        assert_eq!(moved(&usual, &short, &waiting(1, 400)), 150);
        assert!(has_ended(&short, series(0), 2, START) && !has_ended(&usual, series(0), 2, START));
        let bounded = retry(&[0, 300, 300], 0.0, Some(50));
        assert_eq!(moved(&usual, &bounded, &waiting(1, 400)), 150);
        let late = START.after(Duration::from_secs(51));
        assert!(
            has_ended(&bounded, series(0), 2, late) && !has_ended(&bounded, series(0), 1, late)
        );
        assert!(!has_ended(&short, series(7), 8, START), "the first of a series");
    }

    #[test]
    fn what_its_receiver_asked_to_wait_for_comes_no_earlier() {
        let (usual, shorter) = (retry(&[0, 300], 0.1, None), retry(&[0, 60], 0.0, None));
        assert_eq!(moved(&usual, &shorter, &waiting(1, 430)), 160, "with jitter");
        assert_eq!(moved(&usual, &shorter, &waiting(1, 3600)), 3600);
        assert_eq!(moved(&usual, &shorter, &waiting(0, 3600)), 150, "put off before the first");
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
