//! What waits for a subscription follows its new policy.
//!
//! Invariant: the policy is stored before; what is not moved, since the process ended or somebody
//! had it in hand, follows it from its next attempt on.

use crate::{
    api::{Context, Problem},
    deliver::schedule,
    model::Subscription,
};

/// How many deliveries are moved in one transaction.
const TOGETHER: usize = 500;

impl Context {
    /// Moves what waits for `later`, if it waits otherwise than `earlier` said.
    pub(super) async fn reschedule(
        &self,
        earlier: &Subscription,
        later: &Subscription,
    ) -> Result<(), Problem> {
        let is_enabled = later.enabled && !earlier.enabled;
        if later.retry == earlier.retry && later.pacing == earlier.pacing && !is_enabled {
            return Ok(());
        }
        let mut after = None;
        loop {
            let waiting = self.store.waiting(later.id, after, TOGETHER).await?;
            let Some(last) = waiting.last() else { return Ok(()) };
            after = Some(last.id);
            let now = self.clock.now();
            let moved = waiting.into_iter().filter_map(|waiting| {
                let dice = self.clock.dice();
                let due_at =
                    schedule::rescheduled(&earlier.retry, &later.retry, &waiting, now, dice);
                (due_at != waiting.due_at).then_some((waiting, due_at))
            });
            let moved: Vec<_> = moved.collect();
            self.store.reschedule(&moved).await?;
        }
    }
}
