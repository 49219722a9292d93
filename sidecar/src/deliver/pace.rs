//! How fast a line moves: the attempts that ended in the last second or two. Pure: the caller
//! supplies the clock.
//!
//! Invariant: what ended longer ago tells nothing, and what ended in a moment is not taken for all
//! that would end in a second.

use std::time::Duration;

use sidehook_event::UnixMicros;

/// A second, and the part of it after which it can be told how many end in all of it.
const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(50);

/// How many attempts ended in the second that runs, and in the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    began: UnixMicros,
    since: UnixMicros,
    now: usize,
    before: usize,
}

impl Pace {
    /// Of a line that begins now.
    pub(super) fn from(now: UnixMicros) -> Self {
        Self { began: now, since: now, now: 0, before: 0 }
    }

    /// An attempt has ended.
    pub(super) fn ended(&mut self, now: UnixMicros) {
        self.turn(now);
        self.now += 1;
    }

    /// How many end in a second.
    pub(super) fn per_second(&mut self, now: UnixMicros) -> usize {
        self.turn(now);
        let passed = now.since(self.since);
        let in_all = self.now * usize::try_from(SECOND.as_micros()).unwrap_or(usize::MAX);
        let in_all = in_all / usize::try_from(passed.max(MOMENT).as_micros()).unwrap_or(usize::MAX);
        in_all.max(self.before)
    }

    /// Whether so little time has passed that it tells nothing yet.
    pub(super) fn is_young(&self, now: UnixMicros) -> bool {
        now.since(self.began) < SECOND
    }

    /// Whether what is known of it tells nothing any more.
    pub(super) fn is_over(&self, now: UnixMicros) -> bool {
        now.since(self.since) >= SECOND * 2
    }

    fn turn(&mut self, now: UnixMicros) {
        let passed = now.since(self.since);
        if passed >= SECOND {
            self.before = if passed < SECOND * 2 { self.now } else { 0 };
            self.now = 0;
            self.since = now;
        }
    }
}
