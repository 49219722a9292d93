//! Stores what attempts came to, many in one transaction.
//!
//! Invariant: the queue is told that a delivery is done only after the verdict on it is stored.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    model::Verdict,
    queue::{Lane, Queue, Receipt},
    store::{Store, patience::until_stored},
};

/// The most verdicts of one transaction.
const VERDICTS_PER_COMMIT: usize = 256;

/// A verdict, and what the queue calls the delivery it is about.
pub(super) type Found = (Verdict, Receipt);

/// Stores verdicts as they come.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) found: mpsc::Receiver<Found>,
    pub(super) store: Arc<dyn Store>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Recorder {
    /// Records until nobody can find anything any more.
    pub(super) async fn run(mut self) {
        let mut found = Vec::new();
        while self.found.recv_many(&mut found, VERDICTS_PER_COMMIT).await > 0 {
            let (verdicts, receipts): (Vec<_>, Vec<_>) = found.drain(..).unzip();
            until_stored(&*self.clock, "record attempts", || self.store.record(&verdicts)).await;
            self.queue.settle(Lane::Deliveries, receipts).await;
        }
    }
}
