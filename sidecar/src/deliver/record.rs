//! Stores what attempts came to, many in one transaction.
//!
//! Invariant: the queue is told that a delivery is done only after the verdict on it is stored.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    live::{About, Live, of_verdicts},
    model::Verdict,
    queue::{Lane, Queue, Receipt},
    store::{Store, patience::until_stored},
};

/// The most verdicts of one transaction.
const VERDICTS_PER_COMMIT: usize = 256;

/// A verdict, the delivery it is about, and what the queue calls that.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) verdict: Verdict,
    pub(super) about: About,
    pub(super) receipt: Receipt,
}

/// Stores verdicts as they come.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) found: mpsc::Receiver<Found>,
    pub(super) store: Arc<dyn Store>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) live: Live,
}

impl Recorder {
    /// Records until nobody can find anything any more.
    pub(super) async fn run(mut self) {
        let (mut found, mut verdicts, mut about) = (Vec::new(), Vec::new(), Vec::new());
        while self.found.recv_many(&mut found, VERDICTS_PER_COMMIT).await > 0 {
            let mut receipts = Vec::with_capacity(found.len());
            for found in found.drain(..) {
                verdicts.push(found.verdict);
                about.push(found.about);
                receipts.push(found.receipt);
            }
            until_stored(&*self.clock, "record attempts", || self.store.record(&verdicts)).await;
            self.live.tell(|| of_verdicts(&verdicts, &about));
            self.queue.settle(Lane::Deliveries, receipts).await;
            verdicts.clear();
            about.clear();
        }
    }
}
