//! Who gets an event: the live table of subscriptions, found by what they ask for.
//!
//! Invariant: a change of a subscription that was answered to its owner is seen by every event
//! that this process routes from then on; one that another process answered, within seconds.

mod follow;
mod index;

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use sidehook_event::EventType;
use tokio::sync::Mutex;

pub use follow::Follower;
pub use index::Index;

use crate::{
    model::{Subscription, SubscriptionId},
    store::{Result, Store},
};

/// The subscriptions, in memory.
#[derive(Debug, Default)]
pub struct Table {
    index: RwLock<Index>,
    changes: AtomicU64,
    /// Held while the store is read and the index changed, so that what was read earlier never
    /// replaces what was read later.
    reading: Mutex<()>,
}

impl Table {
    /// Reads every subscription again.
    pub async fn reload_all(&self, store: &dyn Store) -> Result<()> {
        let _reading = self.reading.lock().await;
        let subscriptions = store.all_subscriptions().await?;
        let index = subscriptions.into_iter().map(Arc::new).collect();
        self.change(|current| *current = index);
        Ok(())
    }

    /// Reads one subscription again, after it was made, changed or deleted.
    pub async fn reload(&self, store: &dyn Store, id: SubscriptionId) -> Result<()> {
        self.reload_these(store, &[id]).await
    }

    /// The same of several.
    pub async fn reload_these(&self, store: &dyn Store, ids: &[SubscriptionId]) -> Result<()> {
        let _reading = self.reading.lock().await;
        let found = store.subscriptions_of(ids).await?;
        self.change(|index| {
            for id in ids {
                index.remove(*id);
            }
            for subscription in found {
                index.put(Arc::new(subscription));
            }
        });
        Ok(())
    }

    /// The enabled subscriptions that ask for this type, each once.
    pub fn listeners(&self, event_type: &EventType) -> Vec<Arc<Subscription>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).listeners(event_type)
    }

    /// A subscription, enabled or not.
    pub fn subscription(&self, id: SubscriptionId) -> Option<Arc<Subscription>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).subscription(id)
    }

    /// All subscriptions, enabled or not, in no order.
    pub fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).subscriptions()
    }

    /// How often it changed. What was made of [`Table::subscriptions`] after this was read holds
    /// at least until the number is another.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// As if this one had just been read.
    #[cfg(test)]
    pub(crate) fn put(&self, subscription: Subscription) {
        self.change(|index| index.put(Arc::new(subscription)));
    }

    /// As if this one had just been deleted.
    #[cfg(test)]
    pub(crate) fn take_out(&self, id: SubscriptionId) {
        self.change(|index| index.remove(id));
    }

    fn change(&self, change: impl FnOnce(&mut Index)) {
        // A panic while the lock was held can at worst have left one subscription unlisted; the
        // next reload puts it right.
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
        self.changes.fetch_add(1, Ordering::Release);
    }
}
