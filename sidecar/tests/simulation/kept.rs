//! What the store of the simulation keeps.
//!
//! Invariant: it outlasts every process.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use sidehook::{
    model::{Attempt, DeliveryId, Payload, State, Subscription, SubscriptionId},
    store::{Dispatched, Due, standing::Standing},
};
use sidehook_event::{Event, EventId, UnixMicros};

/// What survives.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) events: BTreeMap<EventId, KeptEvent>,
    pub(crate) deliveries: BTreeMap<DeliveryId, KeptDelivery>,
    pub(crate) subscriptions: BTreeMap<SubscriptionId, Subscription>,
    pub(crate) sequence: u64,
    pub(crate) pace: BTreeMap<SubscriptionId, UnixMicros>,
    /// Until when it is away.
    pub(crate) away_until: UnixMicros,
    /// A store that does wrong, to see that it is noticed.
    pub(crate) forgets_retries: bool,
}

#[derive(Debug)]
pub(crate) struct KeptEvent {
    pub(crate) event: Arc<Event>,
    pub(crate) is_dispatched: bool,
    pub(crate) due_at: UnixMicros,
}

#[derive(Debug)]
pub(crate) struct KeptDelivery {
    pub(crate) event_id: EventId,
    pub(crate) subscription_id: SubscriptionId,
    pub(crate) standing: Standing,
    pub(crate) created_at: UnixMicros,
    pub(crate) log: BTreeMap<u32, Attempt>,
    /// Its subject and its place in the order.
    pub(crate) line: Option<(String, u64)>,
    /// When its first attempt was to be made.
    pub(crate) earliest: UnixMicros,
    pub(crate) payload: Payload,
}

impl Kept {
    pub(crate) fn leases(&self, ids: &[DeliveryId]) -> HashMap<DeliveryId, UnixMicros> {
        let known = ids.iter().filter_map(|id| Some((*id, &self.deliveries.get(id)?.standing)));
        let leased = known.filter(|(_, standing)| standing.claimed);
        leased.filter_map(|(id, standing)| Some((id, standing.due_at?))).collect()
    }

    /// How many stand before it in its line.
    pub(crate) fn ahead(&self, id: DeliveryId) -> u32 {
        let Some(own) = self.deliveries.get(&id) else { return 0 };
        let Some((subject, sequence)) = &own.line else { return 0 };
        if own.standing.state != State::Pending {
            return 0;
        }
        let earlier = self.deliveries.values().filter(|other| {
            other.subscription_id == own.subscription_id
                && other.standing.state == State::Pending
                && other.line.as_ref().is_some_and(|(s, n)| s == subject && n < sequence)
        });
        let coming = self.events.values().filter(|other| {
            !other.is_dispatched
                && other.event.subject.as_ref() == Some(subject)
                && other.event.sequence < Some(*sequence)
        });
        u32::try_from(earlier.count() + coming.count()).unwrap()
    }

    pub(crate) fn release(&mut self, id: DeliveryId, now: UnixMicros) {
        let Some((subject, subscription)) = self
            .deliveries
            .get(&id)
            .and_then(|done| Some((done.line.as_ref()?.0.clone(), done.subscription_id)))
        else {
            return;
        };
        let line = self.deliveries.values_mut().filter(|other| {
            other.subscription_id == subscription
                && other.standing.state == State::Pending
                && other.line.as_ref().is_some_and(|(other, _)| *other == subject)
        });
        let next = line.min_by_key(|other| other.line.as_ref().map(|(_, sequence)| *sequence));
        if let Some(next) = next
            && !next.standing.claimed
            && next.standing.attempts == 0
            && next.standing.due_at > Some(now.max(next.earliest))
        {
            next.standing.due_at = Some(now.max(next.earliest));
        }
    }
}

impl Kept {
    pub(crate) fn append(&mut self, events: &[Arc<Event>], when: Due) -> HashMap<EventId, u64> {
        let mut new = HashMap::new();
        for event in events {
            if self.events.contains_key(&event.id) {
                continue;
            }
            self.sequence += 1;
            let sequence = Some(self.sequence);
            let event = Arc::new(Event { sequence, ..Event::clone(event) });
            new.insert(event.id, self.sequence);
            let (due_at, _) = due(when);
            self.events.insert(event.id, KeptEvent { event, is_dispatched: false, due_at });
        }
        new
    }

    pub(crate) fn dispatch(&mut self, all: &[Dispatched], now: UnixMicros) -> HashSet<EventId> {
        let mut taken = HashSet::new();
        for Dispatched { event, deliveries } in all {
            let Some(found) = self.events.get_mut(&event.id) else { continue };
            if std::mem::replace(&mut found.is_dispatched, true) {
                continue;
            }
            taken.insert(event.id);
            for new in deliveries {
                let (due_at, claimed) = due(new.due);
                let standing = Standing {
                    state: State::Pending,
                    attempts: 0,
                    due_at: Some(due_at),
                    claimed,
                    last_outcome: None,
                    death: None,
                    reason: None,
                    script: new.script,
                    finished_at: None,
                };
                let line = event.subject.clone().zip(event.sequence);
                let delivery = KeptDelivery {
                    event_id: event.id,
                    subscription_id: new.subscription_id,
                    standing,
                    created_at: now,
                    log: BTreeMap::new(),
                    line: line.filter(|_| new.is_ordered),
                    earliest: if claimed { now } else { due_at },
                    payload: new.payload.clone(),
                };
                self.deliveries.insert(new.id, delivery);
            }
        }
        taken
    }
}

fn due(due: Due) -> (UnixMicros, bool) {
    match due {
        Due::At(at) => (at, false),
        Due::Leased(until) => (until, true),
    }
}
