//! When the next attempt is made. Pure: the caller supplies the clock and the dice.
//!
//! Invariant: a wait is never shorter than the schedule says, and there are exactly as many
//! attempts as the schedule has waits.

use std::time::Duration;

use sidehook_event::UnixMicros;

use crate::model::Retry;

/// When attempt `number` (from 1) is made, if there is one: its wait after `from`, lengthened by
/// a share of the jitter that `dice` picks.
pub fn due(retry: &Retry, number: u32, from: UnixMicros, dice: u64) -> Option<UnixMicros> {
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    let wait = *retry.schedule.get(index)?;
    Some(from.after(wait).after(jitter(wait, retry.jitter, dice)))
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

    fn retry(seconds: &[u64], jitter: f64) -> Retry {
        Retry { schedule: seconds.iter().copied().map(Duration::from_secs).collect(), jitter }
    }

    #[test]
    fn follows_the_schedule_and_ends_with_it() {
        let retry = retry(&[0, 5, 300], 0.0);
        let start = UnixMicros::new(1_000_000);
        let wait = |number| due(&retry, number, start, 7).map(|at| at.since(start).as_secs());
        assert_eq!([1, 2, 3, 4, 0].map(wait), [Some(0), Some(5), Some(300), None, None]);
    }

    proptest! {
        #[test]
        fn jitter_only_lengthens_a_wait_and_by_no_more_than_its_share(
            wait in 0_u32..10_000_000, share in 0.0..=1.0, dice: u64,
        ) {
            let start = UnixMicros::new(0);
            let got = due(&retry(&[wait.into()], share), 1, start, dice).unwrap().since(start).as_secs_f64();
            prop_assert!(got >= f64::from(wait) && got <= f64::from(wait) * (1.0 + share) + 1e-5);
        }
    }
}
