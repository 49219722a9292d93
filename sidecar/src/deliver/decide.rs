//! What becomes of a delivery whose turn has come: attempted, made first if no script has made it
//! yet, put off, or given up.
//!
//! Invariant: what is sent was stored before or is stored with the verdict, so that a retry sends
//! the same bytes.

use std::{error::Error, sync::Arc};

use sidehook_event::UnixMicros;

use super::{
    Deliverer, PAUSE,
    attempt::{self, Made},
    disabling, outcome, schedule,
};
use crate::{
    model::{
        self, Attempt, Cause, Death, DueDelivery, MAX_TIMEOUT, Order, Subscription, Successor,
        Verdict,
    },
    store,
    transform::Rendered,
};

impl Deliverer {
    /// Makes the attempt, if there is one to make, and says what follows.
    pub(super) async fn judge(
        &self,
        due: &DueDelivery,
        subscription: Option<&Arc<Subscription>>,
    ) -> Verdict {
        let now = self.clock.now();
        let (delivery_id, number) = (due.id, due.attempt);
        let verdict = |successor, at| Verdict {
            delivery_id,
            number,
            attempt: None,
            made: None,
            successor,
            at,
        };
        let Some(subscription) = subscription else {
            let death = Death { cause: Cause::Unsubscribed, error: store::UNSUBSCRIBED.to_owned() };
            return verdict(Successor::Dead(death), now);
        };
        if !subscription.enabled {
            return verdict(Successor::Retry(now.after(PAUSE)), now);
        }
        if subscription.ordering == Order::Subject
            && let Some(until) = self.waits_until(due.id).await
        {
            return verdict(Successor::Retry(until), now);
        }
        if schedule::has_ended(&subscription.retry, due.series, due.attempt, now) {
            let error = "its schedule was made shorter".to_owned();
            return verdict(Successor::Dead(Death { cause: Cause::Exhausted, error }), now);
        }
        if due.payload.is_unmade() {
            return self.make(due, subscription).await;
        }
        let (attempt, successor, end) = self.attempt(due, subscription).await;
        Verdict { attempt: Some(attempt), ..verdict(successor, end) }
    }

    /// Makes the payload, and then the attempt.
    async fn make(&self, due: &DueDelivery, subscription: &Arc<Subscription>) -> Verdict {
        let (delivery_id, number) = (due.id, due.attempt);
        let verdict = |made, attempt, successor, at| Verdict {
            delivery_id,
            number,
            attempt,
            made,
            successor,
            at,
        };
        let event = match self.store.event(due.event_id).await {
            Ok(Some(event)) => event,
            Ok(None) => {
                let error = "its event is gone".to_owned();
                let death = Death { cause: Cause::Malformed, error };
                return verdict(None, None, Successor::Dead(death), self.clock.now());
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, delivery = %due.id, "failed to read its event");
                let now = self.clock.now();
                return verdict(None, None, Successor::Retry(now.after(PAUSE)), now);
            }
        };
        let rendered = self.maker.make(event, Arc::clone(subscription), &*self.clock).await;
        let now = self.clock.now();
        let Some(Rendered { payload, script, end }) = rendered else {
            return verdict(None, None, Successor::Retry(now.after(PAUSE)), now);
        };
        if let Some(end) = end {
            return verdict(Some(model::Made { payload: None, script }), None, end, now);
        }
        let made = Some(model::Made { payload: Some(payload.clone()), script });
        if due.lease_until < now.after(MAX_TIMEOUT) {
            // It took so long that an attempt might not end in time.
            return verdict(made, None, Successor::Retry(now), now);
        }
        let due = DueDelivery { payload, ..due.clone() };
        let (attempt, successor, end) = self.attempt(&due, subscription).await;
        verdict(made, Some(attempt), successor, end)
    }

    /// Makes the attempt, and says what follows and when it ended.
    async fn attempt(
        &self,
        due: &DueDelivery,
        subscription: &Subscription,
    ) -> (Attempt, Successor, UnixMicros) {
        let Made { attempt, retry_after, resent } =
            attempt::attempt(due, subscription, &*self.courier, &*self.clock, &self.tracer).await;
        self.metrics.attempted(due.subscription_id, &attempt, resent);
        let end = self.clock.now();
        let successor = outcome::successor(
            &attempt,
            due.series,
            retry_after,
            &subscription.retry,
            end,
            self.clock.dice(),
        );
        self.tracer.attempted(due, subscription, &attempt, &successor);
        if outcome::is_unsubscribing(&attempt) {
            self.disable(subscription.id, disabling::GONE).await;
        }
        tracing::debug!(
            event = %due.event_id,
            delivery = %due.id,
            subscription = %subscription.id,
            number = attempt.number,
            outcome = attempt.outcome.name(),
            status = attempt.status_code,
            "attempted"
        );
        (attempt, successor, end)
    }
}
