//! How much of a processor a run may have: time that its thread was not given does not count, so that
//! a busy machine ends no script that a quiet one would not.
//!
//! Invariant: a run ends some epochs after its allowance is used up, or after [`PATIENCE`] times as
//! long if it is given next to nothing.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use super::ticker::EPOCH;

/// How many times its allowance a run may last.
const PATIENCE: u64 = 10;

/// What a run may still have.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// What the thread has had when it is used up.
    until: Duration,
    /// Epochs that the run may last besides.
    patience: u64,
}

/// What the thread that asks has had of a processor.
pub fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

impl Allowance {
    /// As much as this, from now on.
    pub(super) fn of(time: Duration) -> Self {
        Self { until: thread_time() + time, patience: epochs(time) * (PATIENCE - 1) }
    }

    /// What is to become of a run whose epochs have gone by.
    pub(super) fn check(&mut self) -> UpdateDeadline {
        let left = self.until.saturating_sub(thread_time());
        let more = epochs(left).min(self.patience);
        if left.is_zero() || more == 0 {
            return UpdateDeadline::Interrupt;
        }
        self.patience -= more;
        UpdateDeadline::Continue(more)
    }
}

/// The epoch under way counts as a whole one: a run is never ended early.
pub(super) fn epochs(time: Duration) -> u64 {
    let epochs = time.as_millis().div_ceil(EPOCH.as_millis());
    u64::try_from(epochs).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(time: Duration) {
        let until = thread_time() + time;
        while thread_time() < until {
            std::hint::black_box(0);
        }
    }

    #[test]
    fn what_was_not_had_is_left_and_what_was_had_is_gone() {
        let mut allowance = Allowance::of(Duration::from_millis(20));
        std::thread::sleep(Duration::from_millis(40));
        assert!(matches!(allowance.check(), UpdateDeadline::Continue(4..=5)));
        work(Duration::from_millis(20));
        assert!(matches!(allowance.check(), UpdateDeadline::Interrupt));
    }

    #[test]
    fn who_is_given_nothing_for_too_long_is_ended() {
        let mut allowance = Allowance::of(Duration::from_millis(20));
        let epochs = std::iter::from_fn(|| match allowance.check() {
            UpdateDeadline::Continue(epochs) => Some(epochs),
            _ => None,
        });
        assert_eq!(epochs.sum::<u64>(), 45);
    }
}
