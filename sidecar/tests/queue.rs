//! What every queue does, run on each implementation, and what one of them does besides.
//!
//! Invariant: a new implementation is one more line here, and no test is written for it alone
//! that its contract promises of all.

mod queue {
    mod announcing;
    pub(crate) mod broker;
    pub(crate) mod conformance;
    mod counting;
    mod inbound;
    mod lanes;
    mod letters;
    mod rabbitmq;
    mod wire;
}

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use sidehook::queue::{Lanes, Queue, local::LocalQueue};

fn local(capacity: usize) -> BoxFuture<'static, Arc<dyn Queue>> {
    async move { Arc::new(LocalQueue::new(Lanes::ALL, capacity)) as Arc<dyn Queue> }.boxed()
}

fn rabbitmq(capacity: usize) -> BoxFuture<'static, Arc<dyn Queue>> {
    async move {
        let broker = queue::broker::Broker::of_its_own();
        Arc::new(broker.connected(capacity).await) as Arc<dyn Queue>
    }
    .boxed()
}

conforms!(local_queue, crate::local);
conforms!(rabbitmq_queue, crate::rabbitmq);
