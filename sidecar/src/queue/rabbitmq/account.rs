//! How much of a lane is in use, as far as this process knows.
//!
//! Invariant: no more is granted than twice what the lane has room for. What others publish and take is
//! learned from measurements, and only what two of them in a row agree on is believed, since each
//! may miss what is on its way at that moment. They count messages; how much work a message holds is
//! known from those that were seen last.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, futures::Notified};

use crate::queue::SLACK;

/// The account of one lane.
#[derive(Debug)]
pub(super) struct Account {
    capacity: usize,
    counts: Mutex<Counts>,
    changed: Notify,
}

/// In what the mean is counted: fractions of a piece.
const ONE: usize = 256;
/// Of how many messages the mean is, about.
const SEEN: usize = 8;

#[derive(Debug)]
struct Counts {
    /// Granted and not yet taken by anyone, as far as is known.
    used: usize,
    /// Of these, what the broker has handed to this process, and nobody has taken yet.
    arrived: usize,
    /// The measurement before.
    measured: Option<usize>,
    /// How much work a message holds, in parts of [`ONE`].
    mean: usize,
}

impl Account {
    pub(super) fn new(capacity: usize) -> Self {
        let counts = Counts { used: 0, arrived: 0, measured: None, mean: ONE };
        Self { capacity: capacity.max(1), counts: Mutex::new(counts), changed: Notify::new() }
    }

    pub(super) fn used(&self) -> usize {
        self.counts().used
    }

    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.used())
    }

    /// Resolves at the next change. Take it before looking at the room, so that no change falls
    /// between.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Grants room for up to `wanted` pieces, and says for how many.
    pub(super) fn grant(&self, wanted: usize) -> usize {
        let mut counts = self.counts();
        let granted = wanted.min((self.capacity * SLACK).saturating_sub(counts.used));
        counts.used += granted;
        granted
    }

    /// Pieces that were granted room are not in the lane after all.
    pub(super) fn returned(&self, pieces: usize) {
        let mut counts = self.counts();
        counts.used = counts.used.saturating_sub(pieces);
        drop(counts);
        self.changed.notify_waiters();
    }

    /// A message with so many pieces goes to the broker.
    pub(super) fn sent(&self, pieces: usize) {
        self.counts().saw(pieces);
    }

    /// The broker handed over a message with so many pieces.
    pub(super) fn arrived(&self, pieces: usize) {
        let mut counts = self.counts();
        counts.arrived += pieces;
        counts.saw(pieces);
    }

    /// Pieces that had arrived were taken.
    pub(super) fn taken(&self, pieces: usize) {
        self.outdated(pieces);
        self.returned(pieces);
    }

    /// Pieces that had arrived were thrown away: the broker has them again.
    pub(super) fn outdated(&self, pieces: usize) {
        let mut counts = self.counts();
        counts.arrived = counts.arrived.saturating_sub(pieces);
    }

    /// The broker says that so many messages wait in the lane.
    pub(super) fn measured(&self, messages: usize) {
        let mut counts = self.counts();
        let waiting = messages.saturating_mul(counts.mean) / ONE;
        let now = waiting.saturating_add(counts.arrived);
        let before = counts.measured.replace(now).unwrap_or(counts.used);
        counts.used = counts.used.clamp(now.min(before), now.max(before));
        drop(counts);
        self.changed.notify_waiters();
    }

    /// A panic elsewhere cannot leave the counts in disorder: each is a number by itself.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn saw(&mut self, pieces: usize) {
        self.mean = (self.mean * (SEEN - 1) + pieces * ONE) / SEEN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_granted_than_twice_the_room() {
        let account = Account::new(3);
        assert_eq!(account.grant(2), 2);
        assert_eq!(account.grant(2), 2);
        assert_eq!(account.room(), 0);
        assert_eq!(account.grant(3), 2);
        account.arrived(1);
        account.taken(3);
        assert_eq!(account.room(), 0);
        account.returned(2);
        assert_eq!(account.room(), 2);
    }

    #[test]
    fn what_others_took_is_believed_when_it_is_measured_twice() {
        let account = Account::new(10);
        account.grant(8);
        account.measured(8);
        account.measured(1);
        assert_eq!(account.room(), 2);
        account.measured(2);
        assert_eq!(account.room(), 8);
    }

    #[test]
    fn what_others_published_is_believed_when_it_is_measured_twice() {
        let account = Account::new(10);
        account.measured(0);
        account.measured(9);
        assert_eq!(account.room(), 10);
        account.measured(7);
        assert_eq!(account.room(), 3);
    }

    #[test]
    fn what_arrived_still_counts() {
        let account = Account::new(10);
        account.grant(4);
        (0..4).for_each(|_| account.arrived(1));
        account.measured(0);
        account.measured(0);
        assert_eq!(account.room(), 6);
    }

    #[test]
    fn messages_are_taken_to_hold_as_much_as_those_seen_last() {
        let account = Account::new(1000);
        (0..100).for_each(|_| account.sent(10));
        account.measured(50);
        account.measured(50);
        assert!((490..=500).contains(&account.used()), "{}", account.used());
        (0..100).for_each(|_| account.sent(1));
        account.measured(50);
        account.measured(50);
        assert_eq!(account.used(), 50);
    }
}
