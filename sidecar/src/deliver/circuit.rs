//! Whether a receiver is worth asking. Pure: the caller supplies the clock and the dice.
//!
//! A circuit opens after [`FAILURES`] failures in a row. When its time is up one attempt is let
//! through to see; its success closes the circuit, its failure opens it for twice as long. After
//! that the receiver is asked a little at first and then more, so that it is not knocked over again.
//!
//! Invariant: while it is open nothing passes; when its time is up one attempt does.

use std::time::Duration;

use sidehook_event::UnixMicros;

/// How many failures in a row open it.
pub const FAILURES: u32 = 5;
/// How long it is open the first time.
const FIRST: Duration = Duration::from_secs(5);
/// How long it is open at most.
const LONGEST: Duration = Duration::from_mins(5);

/// What is known of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    state: State,
    /// The most attempts at a time when all is well.
    most: u32,
    /// The most at the moment.
    window: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many failed in a row.
    Closed { failures: u32 },
    /// Until then; it was open for so long.
    Open { until: UnixMicros, wait: Duration },
}

impl Circuit {
    /// Of a receiver of which nothing is known, that may be sent `most` at a time.
    pub fn new(most: u32) -> Self {
        let most = most.max(1);
        Self { state: State::Closed { failures: 0 }, most, window: most }
    }

    /// From now on so many at a time.
    pub fn allow(&mut self, most: u32) {
        let most = most.max(1);
        if most != self.most {
            self.window = if self.window == self.most { most } else { self.window.min(most) };
            self.most = most;
        }
    }

    /// Whether nothing is known against the receiver.
    pub fn is_well(&self) -> bool {
        self.state == State::Closed { failures: 0 } && self.window == self.most
    }

    /// How many attempts may be under way at `now`.
    pub fn window(&self, now: UnixMicros) -> u32 {
        match self.state {
            State::Closed { .. } => self.window,
            State::Open { until, .. } => u32::from(now >= until),
        }
    }

    /// Until when it is open, if it is at `now`.
    pub fn open_until(&self, now: UnixMicros) -> Option<UnixMicros> {
        match self.state {
            State::Open { until, .. } if now < until => Some(until),
            State::Open { .. } | State::Closed { .. } => None,
        }
    }

    /// An attempt succeeded. The receiver is there, whenever the attempt began.
    pub fn succeeded(&mut self) {
        self.window = match self.state {
            State::Closed { .. } => self.window.saturating_mul(2).min(self.most),
            State::Open { .. } => 1,
        };
        self.state = State::Closed { failures: 0 };
    }

    /// An attempt failed by the receiver's fault. Says whether that opened the circuit.
    pub fn failed(&mut self, now: UnixMicros, dice: u64) -> bool {
        let wait = match self.state {
            State::Closed { failures } if failures + 1 < FAILURES => {
                self.state = State::Closed { failures: failures + 1 };
                return false;
            }
            // One that began before it was opened tells nothing new.
            State::Open { until, .. } if now < until => return false,
            State::Closed { .. } => FIRST,
            State::Open { wait, .. } => (wait * 2).min(LONGEST),
        };
        self.state = State::Open { until: now.after(spread(wait, dice)), wait };
        self.window = 1;
        true
    }
}

/// Up to a tenth longer, so that processes do not ask in step.
fn spread(wait: Duration, dice: u64) -> Duration {
    wait + wait / 10 * u32::try_from(dice % 1000).unwrap_or(0) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixMicros {
        UnixMicros::EPOCH.after(Duration::from_secs(seconds))
    }

    fn failing(times: u32) -> Circuit {
        let mut circuit = Circuit::new(8);
        for _ in 0..times {
            circuit.failed(at(0), 0);
        }
        circuit
    }

    #[test]
    fn it_opens_after_failures_in_a_row() {
        let mut circuit = failing(FAILURES - 1);
        assert_eq!((circuit.window(at(0)), circuit.open_until(at(0))), (8, None));
        circuit.succeeded();
        for _ in 1..FAILURES {
            assert!(!circuit.failed(at(0), 0));
        }
        assert!(circuit.failed(at(0), 0));
        assert_eq!((circuit.window(at(4)), circuit.open_until(at(4))), (0, Some(at(5))));
    }

    #[test]
    fn when_its_time_is_up_one_attempt_passes_and_a_failure_doubles_the_time() {
        let mut circuit = failing(FAILURES);
        let mut now = 5;
        for wait in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(circuit.window(at(now)), 1);
            assert!(circuit.failed(at(now), 0));
            assert!(!circuit.failed(at(now), 0), "one that began before");
            assert_eq!(circuit.window(at(now + wait - 1)), 0);
            now += wait;
        }
    }

    #[test]
    fn a_receiver_that_came_back_is_asked_a_little_at_first() {
        let mut circuit = failing(FAILURES);
        let mut windows = Vec::new();
        for _ in 0..6 {
            circuit.succeeded();
            windows.push(circuit.window(at(5)));
        }
        assert_eq!(windows, [1, 2, 4, 8, 8, 8]);
    }
}
