//! Follows what other processes change of subscriptions.
//!
//! Invariant: a change that the store tells of is in the table as soon as it can be read.

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _};

use super::Table;
use crate::{
    clock::Clock,
    model::SubscriptionId,
    store::{Change, Error, Result, Store, patience::until_stored},
};

/// The most changes that are read together.
const TOGETHER: usize = 512;

/// Follows what other processes change of subscriptions.
#[derive(Debug)]
pub struct Follower {
    /// What is kept up to date.
    pub table: Arc<Table>,
    /// Where subscriptions are.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Follower {
    /// Reads again whatever changes, for ever. May be dropped at any time.
    pub async fn run(&self) {
        let Self { table, store, clock } = self;
        let mut changes = store.subscription_changes();
        while let Some(first) = changes.next().await {
            // What has been told already is read together, else whoever changes many is faster.
            let mut told = vec![first];
            while told.len() < TOGETHER
                && let Some(Some(next)) = changes.next().now_or_never()
            {
                told.push(next);
            }
            let ids: Option<Vec<_>> = told.iter().map(one).collect();
            let ids = ids.as_deref();
            let read = until_stored(&**clock, "read subscriptions that changed", || async move {
                match ids {
                    Some(ids) => unless_corrupt(table.reload_these(&**store, ids).await),
                    None => unless_corrupt(table.reload_all(&**store).await),
                }
            });
            let mut flaw = read.await;
            if let Some(several) = ids.filter(|ids| flaw.is_some() && ids.len() > 1) {
                flaw = self.each(several).await;
            }
            if let Some(flaw) = flaw {
                tracing::error!(flaw, "cannot read a subscription, going on with what was known");
            }
        }
    }

    /// Reads each by itself, so that one that cannot be read keeps none of the others away.
    async fn each(&self, ids: &[SubscriptionId]) -> Option<String> {
        let Self { table, store, clock } = self;
        let mut flaw = None;
        for id in ids {
            let read = until_stored(&**clock, "read subscriptions that changed", || async move {
                unless_corrupt(table.reload(&**store, *id).await)
            });
            flaw = read.await.or(flaw);
        }
        flaw
    }
}

/// The one that changed, unless any may have.
fn one(change: &Change) -> Option<SubscriptionId> {
    match change {
        Change::One(id) => Some(*id),
        Change::Any => None,
    }
}

/// What cannot be read will not be readable the next time; others can be.
fn unless_corrupt(read: Result<()>) -> Result<Option<String>> {
    match read {
        Ok(()) => Ok(None),
        Err(Error::Corrupt(flaw)) => Ok(Some(flaw)),
        Err(Error::Unavailable(error)) => Err(Error::Unavailable(error)),
    }
}
