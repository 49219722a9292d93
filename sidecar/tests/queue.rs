//! What every queue does, run on each implementation.
//!
//! Invariant: a new implementation is one more line here, and no test is written for it alone
//! that its contract promises of all.

mod queue {
    pub(crate) mod conformance;
}

use std::sync::Arc;

use sidehook::queue::{Queue, local::LocalQueue};

fn local(capacity: usize) -> Arc<dyn Queue> {
    Arc::new(LocalQueue::with_capacity(capacity))
}

conforms!(local_queue, crate::local);
