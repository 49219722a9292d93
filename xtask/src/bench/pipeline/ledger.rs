//! Which event was handed over when, and when each of its deliveries arrived.
//!
//! Invariant: a delivery counts once, however often it comes; one of an earlier run never does.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Result, ensure};
use tokio::{sync::Notify, time::timeout};

use crate::clock::Stopwatch;

/// Whoever waits is told of so many arrivals together: to be told of each would take a good part of the
/// processors.
const TOGETHER: usize = 32;
/// What takes longer has got stuck.
const LIMIT: Duration = Duration::from_mins(2);

/// The ledger of one run.
#[derive(Debug)]
pub(super) struct Ledger {
    first: u64,
    fan_out: usize,
    stopwatch: Stopwatch,
    /// When each event was handed over: nanoseconds, 0 if it has not been.
    begun: Vec<AtomicU64>,
    /// When each delivery arrived, those of an event beside each other.
    arrived: Vec<AtomicU64>,
    distinct: AtomicUsize,
    repeated: AtomicUsize,
    changed: Notify,
}

impl Ledger {
    /// For so many events, numbered from `first` on, with so many deliveries each.
    pub(super) fn new(first: u64, events: usize, fan_out: usize) -> Self {
        let empty = |count| std::iter::repeat_with(AtomicU64::default).take(count).collect();
        Self {
            first,
            fan_out,
            stopwatch: Stopwatch::start(),
            begun: empty(events),
            arrived: empty(events * fan_out),
            distinct: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    /// The numbers of its events.
    pub(super) fn numbers(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.begun.len() as u64
    }

    /// How many events there are.
    pub(super) fn events(&self) -> usize {
        self.begun.len()
    }

    /// How many deliveries there are to be.
    pub(super) fn deliveries(&self) -> usize {
        self.arrived.len()
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.stopwatch.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// The event of this number is handed over now, or was answered now.
    pub(super) fn begin(&self, number: u64) {
        if let Some(begun) = self.place(number).and_then(|place| self.begun.get(place)) {
            begun.store(self.now(), Ordering::Relaxed);
        }
    }

    /// A delivery of the event of this number arrives now at this receiver.
    pub(super) fn arrive(&self, number: u64, receiver: usize) {
        let Some(place) = self.place(number).filter(|_| receiver < self.fan_out) else { return };
        let Some(arrived) = self.arrived.get(place * self.fan_out + receiver) else { return };
        let first = arrived.compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed);
        let counted = if first.is_ok() { &self.distinct } else { &self.repeated };
        let count = counted.fetch_add(1, Ordering::Release) + 1;
        if count.is_multiple_of(TOGETHER) || count == self.deliveries() {
            self.changed.notify_waiters();
        }
    }

    /// Waits until no more than `window` deliveries of the events that come before this one are under
    /// way, and some fewer.
    pub(super) async fn has_room(&self, number: u64, window: usize) -> Result<()> {
        let before = self.place(number).unwrap_or(0) * self.fan_out;
        self.arrived_at_least(before.saturating_sub(window)).await
    }

    /// Waits until all have arrived.
    pub(super) async fn is_complete(&self) -> Result<()> {
        self.arrived_at_least(self.deliveries()).await
    }

    async fn arrived_at_least(&self, count: usize) -> Result<()> {
        let enough = async {
            loop {
                let changed = self.changed.notified();
                if self.distinct.load(Ordering::Acquire) >= count {
                    return;
                }
                changed.await;
            }
        };
        let in_time = timeout(LIMIT, enough).await.is_ok();
        let arrived = self.distinct.load(Ordering::Acquire);
        ensure!(in_time, "{arrived} of {count} deliveries arrived within {LIMIT:?}");
        Ok(())
    }

    /// How many came more than once.
    pub(super) fn repeated(&self) -> usize {
        self.repeated.load(Ordering::Acquire)
    }

    /// From the first event that was handed over to the last arrival.
    pub(super) fn took(&self) -> Duration {
        let first = self.begun.iter().map(|at| at.load(Ordering::Relaxed)).filter(|at| *at > 0);
        let last = self.arrived.iter().map(|at| at.load(Ordering::Relaxed)).max();
        Duration::from_nanos(last.unwrap_or(0).saturating_sub(first.min().unwrap_or(0)))
    }

    /// Of each delivery, from the hand-over of its event to its arrival.
    pub(super) fn latencies(&self) -> Vec<Duration> {
        let events = self.begun.iter().zip(self.arrived.chunks(self.fan_out.max(1)));
        let latencies = events.flat_map(|(begun, arrived)| {
            let begun = begun.load(Ordering::Relaxed);
            let arrived = arrived.iter().map(|at| at.load(Ordering::Relaxed));
            arrived.map(move |at| Duration::from_nanos(at.saturating_sub(begun)))
        });
        latencies.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_delivery_counts_once_and_only_in_its_run() {
        let ledger = Ledger::new(10, 2, 2);
        for number in ledger.numbers() {
            ledger.begin(number);
        }
        for (number, receiver) in [(9, 0), (10, 0), (10, 0), (10, 1), (11, 0), (12, 0), (11, 2)] {
            ledger.arrive(number, receiver);
        }
        assert_eq!((ledger.distinct.load(Ordering::Relaxed), ledger.repeated()), (3, 1));
        ledger.has_room(11, 0).await.unwrap();
        ledger.has_room(99, 200).await.unwrap();
        ledger.arrive(11, 1);
        ledger.is_complete().await.unwrap();
        assert_eq!(ledger.latencies().len(), 4);
        assert!(ledger.latencies().iter().all(|latency| *latency <= ledger.took()));
    }
}
