//! What is put off together: the deliveries of a subscription that can have no turn soon, and the
//! times at which they come again. Shared by those who take turns and by the sweep, which puts off
//! by itself what it finds due meanwhile: what waits for a receiver that is away does not fill the
//! queue, where others' deliveries would wait behind it.
//!
//! Invariant: of one subscription no two are put off to the same time, so that they don't come back
//! at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sidehook_event::UnixMicros;

use super::{Metrics, PAUSE, line::SPACING, schedule, turns::Reason};
use crate::{
    model::{DueDelivery, SubscriptionId, Successor, Verdict},
    route::Table,
};

/// The subscriptions whose deliveries were put off.
#[derive(Debug, Default)]
pub struct Holds {
    all: Mutex<HashMap<SubscriptionId, Hold>>,
}

#[derive(Debug, Clone, Copy)]
struct Hold {
    /// So long nothing of it has a turn.
    ends: UnixMicros,
    reason: Reason,
    /// Before this time none comes again.
    earliest: UnixMicros,
    /// When the next one comes again.
    next: UnixMicros,
    spacing: Duration,
}

/// Why, for how long and until when something is put off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) reason: Reason,
    pub(super) ends: UnixMicros,
    pub(super) earliest: UnixMicros,
    pub(super) spacing: Duration,
}

impl Holds {
    /// Puts one off, and holds the subscription on these terms. Says when it comes again.
    pub(super) fn put_off(&self, id: SubscriptionId, terms: Terms) -> UnixMicros {
        held_on(&mut self.all(), id, terms).put_off()
    }

    /// It may have turns again; what was put off stays so.
    pub(super) fn release(&self, id: SubscriptionId) {
        if let Some(hold) = self.all().get_mut(&id) {
            hold.ends = UnixMicros::EPOCH;
        }
    }

    /// Nothing is known of it any more.
    pub(super) fn forget(&self, id: SubscriptionId) {
        self.all().remove(&id);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<SubscriptionId, Hold>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds the subscription on these terms from now on.
fn held_on(all: &mut HashMap<SubscriptionId, Hold>, id: SubscriptionId, terms: Terms) -> &mut Hold {
    let Terms { reason, ends, earliest, spacing } = terms;
    // What waited for it to be enabled is asked for anew.
    let known =
        all.get(&id).filter(|known| known.reason != Reason::Disabled || known.reason == reason);
    let next = known.map_or(earliest, |known| known.next);
    let hold = Hold { ends, reason, earliest, next, spacing };
    all.entry(id).insert_entry(hold).into_mut()
}

impl Hold {
    fn put_off(&mut self) -> UnixMicros {
        let until = self.next.max(self.earliest);
        self.next = until.after(self.spacing);
        until
    }
}

/// Puts off what is due and held.
#[derive(Debug, Clone)]
pub struct Holding {
    /// What is held.
    pub holds: Arc<Holds>,
    /// The subscriptions, as they are now.
    pub table: Arc<Table>,
    /// What is counted.
    pub metrics: Metrics,
}

impl Holding {
    /// Divides what is due at `now`: what may have its turn, or is to be given up; and of the rest
    /// that it is put off, to be recorded.
    pub fn divide(
        &self,
        due: Vec<DueDelivery>,
        now: UnixMicros,
    ) -> (Vec<DueDelivery>, Vec<Verdict>) {
        let (mut free, mut put_off) = (Vec::with_capacity(due.len()), Vec::new());
        let mut all = self.holds.all();
        for delivery in due {
            let Some((reason, until)) = self.comes_again(&mut all, &delivery, now) else {
                free.push(delivery);
                continue;
            };
            self.metrics.put_off(reason);
            put_off.push(Verdict {
                delivery_id: delivery.id,
                number: delivery.attempt,
                attempt: None,
                made: None,
                successor: Successor::Retry(until),
                at: now,
            });
        }
        (free, put_off)
    }

    /// Why and when it comes again, if it is not to have its turn.
    fn comes_again(
        &self,
        all: &mut HashMap<SubscriptionId, Hold>,
        due: &DueDelivery,
        now: UnixMicros,
    ) -> Option<(Reason, UnixMicros)> {
        let id = due.subscription_id;
        let known = self.table.subscription(id);
        if known.as_ref().is_some_and(|known| !known.enabled) {
            let reason = Reason::Disabled;
            let terms = Terms { reason, ends: now, earliest: now.after(PAUSE), spacing: SPACING };
            return Some((reason, held_on(all, id, terms).put_off()));
        }
        let hold = all.get_mut(&id).filter(|hold| now < hold.ends)?;
        let is_over = known.is_some_and(|known| schedule::is_over(&known.retry, due.series, now));
        (!is_over).then(|| (hold.reason, hold.put_off()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prometheus_client::registry::Registry;
    use sidehook_event::{EventId, TypeId as _};

    use super::*;
    use crate::model::{DeliveryId, Payload, Series, Subscription, testing::subscription};

    fn id(number: u128) -> SubscriptionId {
        SubscriptionId::from_bits(number)
    }

    fn at(seconds: u64) -> UnixMicros {
        UnixMicros::EPOCH.after(Duration::from_secs(seconds))
    }

    fn due(subscription: u128) -> DueDelivery {
        DueDelivery {
            id: DeliveryId::from_bits(1),
            event_id: EventId::from_bits(1),
            event_type: "people.created".parse().unwrap(),
            subscription_id: id(subscription),
            attempt: 1,
            series: Series { began_at: at(0), earlier: 0 },
            payload: Payload {
                content_type: "application/json".into(),
                headers: Arc::default(),
                body: Bytes::new(),
            },
            lease_until: at(100),
        }
    }

    fn holding() -> Holding {
        let metrics = Metrics::register(&mut Registry::default());
        Holding { holds: Arc::default(), table: Arc::default(), metrics }
    }

    fn open(ends: u64) -> Terms {
        let (reason, spacing) = (Reason::Open, Duration::from_secs(1));
        Terms { reason, ends: at(ends), earliest: at(ends), spacing }
    }

    fn times(put_off: &[Verdict]) -> Vec<UnixMicros> {
        let times = put_off.iter().map(|verdict| match verdict.successor {
            Successor::Retry(at) => at,
            Successor::Delivered | Successor::Dead(_) | Successor::Filtered(_) => {
                panic!("it is put off")
            }
        });
        times.collect()
    }

    #[test]
    fn what_is_held_is_put_off_one_after_the_other_and_the_rest_goes_on() {
        let holding = holding();
        assert_eq!(holding.holds.put_off(id(1), open(10)), at(10));
        let (free, put_off) = holding.divide(vec![due(1), due(2), due(1)], at(5));
        assert_eq!(free, [due(2)]);
        assert_eq!(times(&put_off), [at(11), at(12)]);
        assert_eq!(holding.holds.put_off(id(1), open(10)), at(13));
    }

    #[test]
    fn what_waits_for_its_subscription_to_be_enabled_comes_again_in_a_while() {
        let holding = holding();
        let disabled = Subscription { enabled: false, ..subscription(1, "*") };
        holding.table.put(disabled);
        let (free, put_off) = holding.divide(vec![due(1), due(1)], at(5));
        assert_eq!(free, []);
        assert_eq!(times(&put_off), [at(5).after(PAUSE), at(5).after(PAUSE).after(SPACING)]);
        holding.table.put(subscription(1, "*"));
        assert_eq!(holding.divide(vec![due(1)], at(6)).0, [due(1)]);
        assert_eq!(holding.holds.put_off(id(1), open(10)), at(10));
    }

    #[test]
    fn what_waited_for_too_long_is_not_put_off_again() {
        let holding = holding();
        holding.table.put(subscription(1, "*"));
        let year = 365 * 24 * 3600;
        holding.holds.put_off(id(1), open(year + 10));
        assert_eq!(holding.divide(vec![due(1)], at(year)).0, [due(1)]);
    }

    #[test]
    fn when_the_hold_ends_or_is_released_it_has_turns_again() {
        let holding = holding();
        holding.holds.put_off(id(1), open(10));
        assert_eq!(holding.divide(vec![due(1)], at(10)).0, [due(1)]);
        assert_eq!(holding.divide(vec![due(1)], at(9)).0, []);
        holding.holds.release(id(1));
        assert_eq!(holding.divide(vec![due(1)], at(9)).0, [due(1)]);
        assert_eq!(holding.holds.put_off(id(1), open(10)), at(12), "no time is given twice");
        holding.holds.forget(id(1));
        assert_eq!(holding.holds.put_off(id(1), open(10)), at(10));
    }
}
