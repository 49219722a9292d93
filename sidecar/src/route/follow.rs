//! Follows what other processes change of subscriptions.
//!
//! Invariant: a change that the store tells of is in the table as soon as it can be read.

use std::sync::Arc;

use futures::StreamExt as _;

use super::Table;
use crate::{
    clock::Clock,
    store::{Change, Error, Result, Store, patience::until_stored},
};

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
        while let Some(change) = changes.next().await {
            let read = until_stored(&**clock, "read subscriptions that changed", || async move {
                match change {
                    Change::One(id) => unless_corrupt(table.reload(&**store, id).await),
                    Change::Any => unless_corrupt(table.reload_all(&**store).await),
                }
            });
            if let Some(flaw) = read.await {
                tracing::error!(flaw, "cannot read a subscription, going on with what was known");
            }
        }
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
