//! The queue inside the process: two bounded lanes in memory.
//!
//! Invariant: a lane never holds more than twice its capacity, and what was taken is never handed out
//! twice. A lane that nobody here takes from holds nothing, so that work stays in the store, where
//! others find it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use sidehook_event::Event;
use tokio::sync::Notify;

use super::{Lane, Lanes, Queue, Receipt, SLACK, Taken, Unburied};
use crate::model::DueDelivery;

/// How many pieces a lane holds unless told otherwise. At some hundreds of bytes each this is a
/// few megabytes, and some tenths of a second of work.
pub const CAPACITY: usize = 8192;

/// Two lanes in memory.
#[derive(Debug)]
pub struct LocalQueue {
    events: LaneOf<Arc<Event>>,
    deliveries: LaneOf<DueDelivery>,
}

impl LocalQueue {
    /// The lanes that this process takes from, of so many pieces each, at least one. The others
    /// have no room.
    pub fn new(lanes: Lanes, capacity: usize) -> Self {
        let of = |lane| if lanes.include(lane) { capacity.max(1) } else { 0 };
        Self {
            events: LaneOf::new(of(Lane::Events)),
            deliveries: LaneOf::new(of(Lane::Deliveries)),
        }
    }
}

impl Default for LocalQueue {
    fn default() -> Self {
        Self::new(Lanes::ALL, CAPACITY)
    }
}

#[async_trait]
impl Queue for LocalQueue {
    fn trouble(&self) -> Option<String> {
        None
    }

    fn room(&self, lane: Lane) -> usize {
        match lane {
            Lane::Events => self.events.room(),
            Lane::Deliveries => self.deliveries.room(),
        }
    }

    async fn has_room(&self, lane: Lane) {
        match lane {
            Lane::Events => self.events.has_room().await,
            Lane::Deliveries => self.deliveries.has_room().await,
        }
    }

    fn announce(&self, _: &[Arc<Event>]) {
        // There is nobody else.
    }

    async fn publish_events(&self, events: Vec<Arc<Event>>) {
        self.events.publish(events);
    }

    async fn publish_deliveries(&self, deliveries: Vec<DueDelivery>) {
        self.deliveries.publish(deliveries);
    }

    async fn bury(&self, _: Vec<Arc<Event>>) -> Result<(), Unburied> {
        // Who looks for them finds them in the store.
        Ok(())
    }

    async fn take_events(&self, limit: usize) -> Vec<Taken<Arc<Event>>> {
        self.events.take(limit).await
    }

    async fn take_deliveries(&self, limit: usize) -> Vec<Taken<DueDelivery>> {
        self.deliveries.take(limit).await
    }

    async fn settle(&self, _lane: Lane, _receipts: Vec<Receipt>) {
        // What was taken is in nobody's hands but the taker's; if that dies, so does this queue.
    }
}

#[derive(Debug)]
struct LaneOf<T> {
    capacity: usize,
    held: Mutex<Held<T>>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Debug)]
struct Held<T> {
    pieces: VecDeque<T>,
    taken: u64,
}

impl<T> LaneOf<T> {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            held: Mutex::new(Held { pieces: VecDeque::new(), taken: 0 }),
            filled: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// A panic elsewhere cannot leave the pieces in disorder: every change is one call.
    fn held(&self) -> MutexGuard<'_, Held<T>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.held().pieces.len())
    }

    async fn has_room(&self) {
        loop {
            // Registered before looking, so that no wake-up falls between.
            let emptied = self.emptied.notified();
            if self.room() > 0 {
                return;
            }
            emptied.await;
        }
    }

    fn publish(&self, pieces: Vec<T>) {
        let mut held = self.held();
        let room = (self.capacity * SLACK).saturating_sub(held.pieces.len());
        held.pieces.extend(pieces.into_iter().take(room));
        drop(held);
        self.filled.notify_one();
    }

    async fn take(&self, limit: usize) -> Vec<Taken<T>> {
        loop {
            let filled = self.filled.notified();
            let taken = self.take_now(limit);
            if !taken.is_empty() {
                return taken;
            }
            filled.await;
        }
    }

    fn take_now(&self, limit: usize) -> Vec<Taken<T>> {
        let mut held = self.held();
        let count = limit.min(held.pieces.len());
        let first = held.taken;
        held.taken = first.wrapping_add(u64::try_from(count).unwrap_or(u64::MAX));
        let taken: Vec<_> = held
            .pieces
            .drain(..count)
            .zip(first..)
            .map(|(work, number)| Taken { work, receipt: Receipt(number), is_again: false })
            .collect();
        let more = !held.pieces.is_empty();
        drop(held);
        if !taken.is_empty() {
            self.emptied.notify_waiters();
        }
        if more {
            // One wake-up stands for all that was published: pass it on to the next taker.
            self.filled.notify_one();
        }
        taken
    }
}
