//! Whether a delivery waits for those before it.
//!
//! Invariant: what is ordered is attempted only after the store said that nothing is ahead of it.

use std::time::Duration;

use sidehook_event::UnixMicros;

use super::Deliverer;
use crate::{model::DeliveryId, store::patience::until_stored};

/// How long it waits for each one ahead of it before it is looked again. When one is finished the
/// store makes the next one due, unless that is being looked at in the same moment.
const EACH: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

impl Deliverer {
    /// Until when it waits for others, if it does.
    pub(super) async fn waits_until(&self, id: DeliveryId) -> Option<UnixMicros> {
        let ahead = || self.store.ahead(id);
        match until_stored(&*self.clock, "look at what is ahead of a delivery", ahead).await {
            0 => None,
            count => Some(self.clock.now().after((EACH * count).min(LONGEST))),
        }
    }
}
