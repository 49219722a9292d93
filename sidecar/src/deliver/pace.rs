//! How fast a line moves: the attempts that ended in the last second or two. Pure: the caller
//! supplies the clock.
//!
//! Invariant: what ended longer ago tells nothing.

use std::time::Duration;

use sidehook_event::UnixMicros;

/// How many attempts ended in the second that runs, and in the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    since: UnixMicros,
    now: usize,
    before: usize,
}

impl Pace {
    /// Of a line that begins now.
    pub(super) fn from(now: UnixMicros) -> Self {
        Self { since: now, now: 0, before: 0 }
    }

    /// An attempt has ended.
    pub(super) fn ended(&mut self, now: UnixMicros) {
        self.turn(now);
        self.now += 1;
    }

    /// How many end in a second.
    pub(super) fn per_second(&mut self, now: UnixMicros) -> usize {
        self.turn(now);
        self.now.max(self.before)
    }

    fn turn(&mut self, now: UnixMicros) {
        const SECOND: Duration = Duration::from_secs(1);
        let passed = now.since(self.since);
        if passed >= SECOND {
            self.before = if passed < SECOND * 2 { self.now } else { 0 };
            self.now = 0;
            self.since = now;
        }
    }
}
