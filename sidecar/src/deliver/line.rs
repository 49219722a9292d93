//! The line of one subscription: what of it waits, and how much of it may be under way. Pure.
//!
//! Invariant: a line is short enough that whoever joins it has a turn in a while.

use std::{collections::VecDeque, time::Duration};

use sidehook_event::UnixMicros;

use super::{circuit::Circuit, holds::Terms, pace::Pace, slots::Slots, turns::Reason};

/// How long a line that is full is left alone.
pub(super) const REST: Duration = Duration::from_secs(1);
/// How long a piece may wait in its line, as far as the pace of the line tells.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How long the sweep need not offer more of a line that was full.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a receiver that is back is not taken at its pace.
const SPARED: Duration = Duration::from_secs(5);
/// How many times its window a line may hold of whose pace little is known.
const UNKNOWN: usize = 4;
/// The time between those that are put off to come again, so that they do not come at once.
pub(super) const SPACING: Duration = Duration::from_millis(5);
/// The same while nothing is known of its pace, when they come again after a [`GLANCE`]: it may be
/// that much came at once for a receiver that takes it easily.
pub(super) const FIRST_SPACING: Duration = Duration::from_micros(200);

/// What waits of a subscription, and what is known of its receiver.
#[derive(Debug)]
pub(super) struct Line<T> {
    pub(super) waiting: VecDeque<T>,
    pub(super) in_flight: u32,
    pub(super) circuit: Circuit,
    /// Its places, if its subscription has a pace.
    pub(super) slots: Option<Slots>,
    /// Whether it stands in the order.
    pub(super) in_order: bool,
    /// Whether it is among those that had nothing left.
    pub(super) in_rest: bool,
    pub(super) pace: Pace,
    /// Until when its receiver is spared, which failed and is back.
    spared_until: UnixMicros,
}

impl<T> Line<T> {
    pub(super) fn new(most: u32, now: UnixMicros) -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: 0,
            circuit: Circuit::new(most),
            slots: None,
            in_order: false,
            in_rest: false,
            pace: Pace::from(now),
            spared_until: now,
        }
    }

    /// Its receiver took something; before, it may have done nothing but fail. Says whether it had.
    pub(super) fn succeeded(&mut self, now: UnixMicros) -> bool {
        let has_failed = !self.circuit.is_well();
        if has_failed {
            self.spared_until = now.after(SPARED);
        }
        self.circuit.succeeded();
        has_failed
    }

    /// Nothing of it is left. Of a receiver that is back nothing is known yet: it is not to be sent at
    /// once all that has piled up, however fast it takes some.
    pub(super) fn drained(&mut self, now: UnixMicros) {
        if now < self.spared_until {
            self.pace = Pace::from(now);
        }
    }

    /// From now on its subscription wants it so. Says whether its pace is another one.
    pub(super) fn keep_to(&mut self, most: u32, interval: Option<Duration>) -> bool {
        self.circuit.allow(most);
        let changed = self.slots.as_ref().map(Slots::interval) != interval;
        if changed {
            self.slots = interval.map(Slots::new);
        }
        changed
    }

    /// Whether nothing would be forgotten with it.
    pub(super) fn is_idle(&self) -> bool {
        let has_places = self.slots.as_ref().is_some_and(|slots| slots.next().is_some());
        !self.has_work() && self.circuit.is_well() && !has_places
    }

    /// Whether anything of it waits or is under way.
    pub(super) fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.in_flight > 0
    }

    pub(super) fn may_have_a_turn(&self, now: UnixMicros) -> bool {
        let has_place =
            self.slots.as_ref().is_none_or(|slots| slots.next().is_some_and(|next| next <= now));
        !self.waiting.is_empty() && self.in_flight < self.circuit.window(now) && has_place
    }

    /// How many may wait: those that come to their turn in a while.
    pub(super) fn longest(&mut self, now: UnixMicros) -> usize {
        let window = usize::try_from(self.circuit.window(now)).unwrap_or(usize::MAX);
        let usual = self.pace.per_second(now) * usize::try_from(PATIENCE.as_secs()).unwrap_or(1);
        let usual = usual.max(window * UNKNOWN);
        let Some(slots) = &self.slots else { return usual };
        if slots.next() > Some(now.after(PATIENCE)) {
            return 0;
        }
        let in_time = PATIENCE.as_micros() / slots.interval().as_micros().max(1);
        usual.min(usize::try_from(in_time).unwrap_or(usize::MAX).max(1))
    }

    /// The terms on which one is put off that finds the line full.
    pub(super) fn terms_when_full(&mut self, now: UnixMicros) -> Terms {
        let ends = now.after(GLANCE);
        if self.slots.is_some() {
            return self.terms(Reason::Paced, ends, now.after(REST));
        }
        if self.pace.is_young(now) {
            return Terms { reason: Reason::Full, ends, earliest: ends, spacing: FIRST_SPACING };
        }
        self.terms(Reason::Full, ends, now.after(REST))
    }

    pub(super) fn terms(
        &mut self,
        reason: Reason,
        ends: UnixMicros,
        earliest: UnixMicros,
    ) -> Terms {
        let pace = u32::try_from(self.pace.per_second(earliest)).unwrap_or(u32::MAX);
        let usual = (REST / pace.max(1)).min(SPACING);
        let spacing = self.slots.as_ref().map_or(usual, Slots::interval);
        Terms { reason, ends, earliest, spacing }
    }
}
