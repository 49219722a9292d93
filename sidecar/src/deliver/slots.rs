//! The places that one line has in the pace of its subscription. Pure: the caller supplies the
//! clock, and reserves places in the store, so that all processes together keep to the pace.
//!
//! Invariant: no piece goes without a place, and none before the time of its place.

use std::{collections::VecDeque, time::Duration};

use sidehook_event::UnixMicros;

/// How far ahead places are reserved: at most so much of the pace lies idle in a process that
/// ends, or whose deliveries are put off.
const AHEAD: Duration = Duration::from_secs(1);
/// How much of what was missed, since a timer rang late, is caught up with.
const SLACK: Duration = Duration::from_millis(50);

/// The places of a line.
#[derive(Debug)]
pub(super) struct Slots {
    interval: Duration,
    /// Reserved and not taken: so many, the first of them at this time.
    free: VecDeque<(UnixMicros, u32)>,
    /// Before this time none is taken.
    next: UnixMicros,
    /// Whether more were asked for.
    asked: bool,
}

impl Slots {
    /// None yet, of a pace of one piece in each `interval`.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, free: VecDeque::new(), next: UnixMicros::EPOCH, asked: false }
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// When the next piece may go, as far as is known.
    pub(super) fn next(&self) -> Option<UnixMicros> {
        self.free.front().map(|(from, _)| self.next.max(*from))
    }

    /// Takes the first place.
    pub(super) fn take(&mut self, now: UnixMicros) {
        let Some(at) = self.next() else { return };
        let missed = now.since(at).saturating_sub(SLACK);
        self.next = at.after(missed).after(self.interval);
        if let Some((_, left)) = self.free.front_mut() {
            *left = left.saturating_sub(1);
        }
        self.free.retain(|(_, left)| *left > 0);
    }

    /// How many places to reserve now for so many pieces that wait; once until they are there.
    pub(super) fn wish(&mut self, waiting: usize) -> Option<u32> {
        let most = AHEAD.as_micros() / self.interval.as_micros().max(1);
        let most = u32::try_from(most).unwrap_or(u32::MAX).max(1);
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        // Asked for while half of them are left, so that none waits for the store.
        let free = self.free.iter().map(|(_, left)| left).sum::<u32>();
        if self.asked || free > most / 2 || waiting <= free {
            return None;
        }
        self.asked = true;
        Some((waiting - free).min(most))
    }

    /// These are reserved.
    pub(super) fn reserved(&mut self, from: UnixMicros, count: u32) {
        self.asked = false;
        if count > 0 {
            self.free.push_back((from, count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> UnixMicros {
        UnixMicros::EPOCH.after(Duration::from_millis(millis))
    }

    #[test]
    fn places_are_reserved_for_what_waits_and_not_far_ahead() {
        let mut slots = Slots::new(Duration::from_millis(20));
        assert_eq!(slots.next(), None);
        assert_eq!(slots.wish(0), None);
        assert_eq!(slots.wish(3), Some(3));
        assert_eq!(slots.wish(70), None, "asked for already");
        slots.reserved(at(100), 3);
        assert_eq!(slots.next(), Some(at(100)));
        assert_eq!(slots.wish(3), None, "there are as many");
        assert_eq!(slots.wish(70), Some(50));
        slots.reserved(at(500), 50);
        (0..3).for_each(|_| slots.take(at(160)));
        assert_eq!(slots.next(), Some(at(500)), "others have the places between");
        assert_eq!(Slots::new(Duration::from_hours(1)).wish(70), Some(1));
    }

    #[test]
    fn they_are_an_interval_apart_and_only_a_little_is_caught_up_with() {
        let mut slots = Slots::new(Duration::from_millis(20));
        slots.wish(9);
        slots.reserved(at(100), 9);
        slots.take(at(100));
        assert_eq!(slots.next(), Some(at(120)));
        slots.take(at(130));
        assert_eq!(slots.next(), Some(at(140)));
        slots.take(at(1140));
        assert_eq!(slots.next(), Some(at(1110)));
    }
}
