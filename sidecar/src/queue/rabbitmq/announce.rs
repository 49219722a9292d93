//! Tells others of events, if they want to be told: each by a message, to be routed by what it is.
//!
//! Invariant: nobody waits for it, and no more is on its way than [`MOST`]: what is told of besides is
//! left out and counted.

use std::sync::Arc;

use sidehook_event::Event;
use tokio::sync::Semaphore;

use super::{RabbitQueue, metrics::Kind, publisher::Piece};

/// The most that are on their way to the broker.
const MOST: usize = 16_384;

/// A place for each that may be on its way.
pub(super) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MOST))
}

impl RabbitQueue {
    /// Tells of these events.
    pub(super) fn tell_of(&self, events: &[Arc<Event>]) {
        let Some(places) = &self.shared.announcing else { return };
        for event in events {
            match Arc::clone(places).try_acquire_owned() {
                Ok(place) if self.shared.links.connected() => {
                    // The publisher ends with this queue.
                    let _ = self.outbox.send(Piece::Announcement(Arc::clone(event), place));
                }
                Ok(_) | Err(_) => drop(self.shared.metrics.of(Kind::Announcement).bypassed.inc()),
            }
        }
    }
}
