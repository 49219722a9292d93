//! Stores what others published to the broker: a message is one event or a batch of them, and
//! means what it would mean at `POST /events`.
//!
//! Invariant: a message that can be read is never given up, however long the store is away; one
//! that cannot be read is never tried twice.

mod metrics;
mod mode;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sidehook_event::Event;
use tokio::sync::Semaphore;

pub use self::metrics::Metrics;
use self::mode::Flaw;
use super::{Ingest, Refused};
use crate::{
    clock::Clock,
    queue::inbound::{Malformed, Message},
};

/// The most bytes that are handed over at a time, so that a commit ends within its time.
const WEIGHT: usize = 16 << 20;
/// The bounds of the pause before something is tried again.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// The longest reason, in characters: the names of attributes are others' to choose.
const TOLD: usize = 500;

/// Takes messages in.
#[derive(Debug)]
pub struct Inbound {
    ingest: Ingest,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// So many bytes may still be handed over.
    room: Semaphore,
    /// The kinds of flaws that were logged.
    logged: Mutex<BTreeSet<&'static str>>,
}

impl Inbound {
    /// Hands events over to `ingest`.
    pub fn new(ingest: Ingest, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        let room = Semaphore::new(WEIGHT);
        Self { ingest, clock, metrics, room, logged: Mutex::default() }
    }

    /// Waits until all events of a message are stored.
    ///
    /// # Errors
    ///
    /// The message is no event.
    pub async fn take_in(&self, message: Message) -> Result<(), Malformed> {
        let weight = message.body.len();
        match mode::events(message, self.clock.now()) {
            Ok(events) => {
                self.store(events, weight).await;
                self.metrics.stored();
                Ok(())
            }
            Err(flaw) => {
                self.metrics.malformed();
                let reason: String = flaw.to_string().chars().take(TOLD).collect();
                self.log(&flaw, &reason);
                Err(Malformed(reason))
            }
        }
    }

    /// Tries until they are stored.
    async fn store(&self, events: Vec<Event>, weight: usize) {
        let weight = u32::try_from(weight.clamp(1, WEIGHT)).unwrap_or(u32::MAX);
        let mut pause = SHORTEST;
        loop {
            // It is never closed.
            let room = self.room.acquire_many(weight).await;
            match self.ingest.submit(events.clone()).await {
                Ok(()) => return,
                Err(
                    refused @ (Refused::Overloaded | Refused::StoreUnavailable | Refused::Stopping),
                ) => {
                    self.metrics.deferred();
                    tracing::debug!(%refused, ?pause, "a message waits");
                }
            }
            drop(room);
            self.clock.sleep(pause + pause.mul_f64(self.share())).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// A share of a whole, by chance: what was refused together does not come again together.
    fn share(&self) -> f64 {
        let dice = u32::try_from(self.clock.dice() % 1000).unwrap_or(0);
        f64::from(dice) / 1000.0
    }

    /// Each kind once: whoever publishes one such message publishes many.
    fn log(&self, flaw: &Flaw, reason: &str) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.insert(flaw.kind()) {
            tracing::warn!(
                ?reason,
                kind = flaw.kind(),
                "a message that was published to the broker is malformed, it goes to the dead \
                 letters; more of this kind are counted and not logged"
            );
        } else {
            tracing::debug!(?reason, kind = flaw.kind(), "a malformed message");
        }
    }
}
