//! What the queue hands out again: a worker may have finished it before it died, or before its
//! connection broke.
//!
//! Invariant: what is known to be finished, or to be leased anew, is not attempted.

use std::error::Error;

use super::{Deliverer, Work};
use crate::queue::{Lane, Taken};

impl Deliverer {
    /// Leaves out what is not to be attempted any more under the lease that it was published with.
    /// While the store cannot tell, nothing is left out: delivery is at least once.
    pub(super) async fn still_leased(&self, taken: Vec<Work>) -> Vec<Work> {
        let again = taken.iter().filter(|taken| taken.is_again);
        let again: Vec<_> = again.map(|taken| taken.work.id).collect();
        if again.is_empty() {
            return taken;
        }
        let leases = match self.store.leases(&again).await {
            Ok(leases) => leases,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn Error,
                    count = again.len(),
                    "what was handed out again may be repeated"
                );
                return taken;
            }
        };
        let is_left = |Taken { work, is_again, .. }: &Work| {
            !is_again || leases.get(&work.id) == Some(&work.lease_until)
        };
        let (left, done): (Vec<_>, Vec<_>) = taken.into_iter().partition(is_left);
        if !done.is_empty() {
            let receipts = done.into_iter().map(|taken| taken.receipt).collect();
            self.queue.settle(Lane::Deliveries, receipts).await;
        }
        left
    }
}
