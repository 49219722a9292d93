//! One lane on this side of the broker: what arrived and waits to be taken.
//!
//! Invariant: what arrived under an earlier connection is not handed out once there is a new
//! one, since the broker hands it out again.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, mpsc};

use super::{account::Account, receipt};
use crate::queue::{Receipt, Taken};

/// A lane of `T`.
#[derive(Debug)]
pub(super) struct LaneOf<T> {
    pub(super) account: Account,
    epoch: AtomicU64,
    arrivals: mpsc::UnboundedSender<Arrived<T>>,
    /// Bounded by the prefetch.
    arrived: Mutex<mpsc::UnboundedReceiver<Arrived<T>>>,
    settled: mpsc::UnboundedSender<Vec<Receipt>>,
}

/// The receipts that come back, for the one who acknowledges.
pub(super) type Settled = mpsc::UnboundedReceiver<Vec<Receipt>>;

#[derive(Debug)]
struct Arrived<T> {
    epoch: u64,
    taken: Taken<T>,
}

impl<T> LaneOf<T> {
    pub(super) fn new(capacity: usize) -> (Self, Settled) {
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let (settled, receipts) = mpsc::unbounded_channel();
        let lane = Self {
            account: Account::new(capacity),
            epoch: AtomicU64::new(0),
            arrivals,
            arrived: Mutex::new(arrived),
            settled,
        };
        (lane, receipts)
    }

    /// A new connection consumes from now on. Returns its number.
    pub(super) fn next_epoch(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// The broker handed over a message with this work.
    pub(super) fn arrive(&self, epoch: u64, tag: u64, work: Vec<T>, is_again: bool) {
        self.account.arrived(work.len());
        for work in work {
            let taken = Taken { work, receipt: receipt::of(epoch, tag), is_again };
            // The other end is in this very struct.
            let _ = self.arrivals.send(Arrived { epoch, taken });
        }
    }

    /// Takes what arrived; waits for the first. May be cancelled without loss.
    pub(super) async fn take(&self, limit: usize) -> Vec<Taken<T>> {
        let mut arrived = Vec::new();
        loop {
            self.arrived.lock().await.recv_many(&mut arrived, limit).await;
            // From here to the end nothing is awaited unless there is nothing to lose.
            let epoch = self.epoch.load(Ordering::Relaxed);
            let all = arrived.len();
            let current = arrived.drain(..).filter(|arrived| arrived.epoch == epoch);
            let taken: Vec<_> = current.map(|arrived| arrived.taken).collect();
            self.account.outdated(all - taken.len());
            if !taken.is_empty() {
                self.account.taken(taken.len());
                return taken;
            }
        }
    }

    /// Hands receipts on to the one who acknowledges.
    pub(super) fn settle(&self, receipts: Vec<Receipt>) {
        // Nobody is there to acknowledge only when the queue is being taken down.
        let _ = self.settled.send(receipts);
    }
}
