//! Disables subscriptions whose receivers are gone or past hope.
//!
//! Invariant: it is done, and told by the store, before the verdict that gave reason for it is
//! recorded.

use super::{
    Deliverer,
    streak::{News, Streaks},
    turns::Ended,
};
use crate::{model::SubscriptionId, store::patience::until_stored};

/// Why, when its receiver answered 410.
pub(super) const GONE: &str = "the receiver answered 410 (Gone)";
/// Why, when its receiver has failed for too long.
const HOPELESS: &str = "the receiver did nothing but fail for 5 days";

impl Deliverer {
    /// Notes since when a receiver does nothing but fail, and disables the subscription when that
    /// is too long.
    pub(super) async fn note(&self, id: SubscriptionId, ended: Ended, streaks: &Streaks) {
        let now = self.clock.now();
        match streaks.ended(id, ended, now) {
            None => {}
            Some(News::Works) => {
                let works = || self.store.receiver_works(id);
                until_stored(&*self.clock, "note that a receiver works", works).await;
            }
            Some(News::Fails) => {
                let fails = || self.store.receiver_fails(id, now);
                let since = until_stored(&*self.clock, "note that a receiver fails", fails).await;
                if streaks.fails_since(id, since, now) {
                    self.disable(id, HOPELESS).await;
                }
            }
        }
    }

    /// Disables a subscription whose receiver is gone. The verdict on the delivery waits for it: a
    /// process that ends between the two finds the receiver gone once more.
    pub(super) async fn disable(&self, id: SubscriptionId, reason: &str) {
        let now = self.clock.now();
        let disable = || self.store.disable_subscription(id, reason, now);
        if until_stored(&*self.clock, "disable a subscription", disable).await {
            tracing::info!(subscription = %id, "disabled: {reason}");
        }
        let reload = || self.table.reload(&*self.store, id);
        until_stored(&*self.clock, "read a subscription that changed", reload).await;
    }
}
