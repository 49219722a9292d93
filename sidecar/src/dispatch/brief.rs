//! Events that are dispatched in the commit that stores them, since it takes no more than a look at
//! what is in memory.
//!
//! Invariant: no script runs here, nothing is decompressed, and nothing is waited for.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use sidehook_event::{Event, EventType, UnixMicros};

use super::{Dispatcher, leased};
use crate::{
    model::{Order, Subscription, operational},
    queue::Lane,
    store::Dispatched,
    transform::Haste,
};

/// The most deliveries that are made in the commit that stores their events, and the most bytes that
/// these have captured: whoever handed them over waits for all of it.
const DELIVERIES: usize = 512;
const BYTES: usize = 1 << 20;

/// Who listens to some events, when these were handed over.
#[derive(Debug)]
pub struct Brief<'d> {
    dispatcher: &'d Dispatcher,
    listeners: HashMap<EventType, Vec<Arc<Subscription>>>,
}

impl Dispatcher {
    /// Whether these events can be dispatched while they are stored: they are small, have few
    /// deliveries, and none of these has a script or stands in a line.
    pub fn brief(&self, events: &[Arc<Event>]) -> Option<Brief<'_>> {
        let mut listeners = HashMap::new();
        let (mut deliveries, mut bytes) = (0_usize, 0_usize);
        for event in events {
            let known = match listeners.entry(event.event_type.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.table.listeners(&event.event_type)),
            };
            deliveries = deliveries.saturating_add(known.len());
            let bodies = [&event.exchange.request, &event.exchange.response];
            bytes += bodies.iter().map(|body| body.content.len()).sum::<usize>();
            let is_compressed = bodies.iter().any(|body| body.content_encoding.is_some());
            if deliveries > DELIVERIES || bytes > BYTES || is_compressed {
                return None;
            }
            // What tells of a death is put among the dead letters first.
            if operational::is_death(event) {
                return None;
            }
        }
        let is_plain = |subscription: &Arc<Subscription>| {
            subscription.script.is_none() && subscription.ordering != Order::Subject
        };
        let all_plain = listeners.values().flatten().all(is_plain);
        all_plain.then_some(Brief { dispatcher: self, listeners })
    }

    /// Tells of events that are stored with their deliveries, and hands on what is due.
    pub async fn stored(&self, dispatched: Vec<Dispatched>, now: UnixMicros) {
        for Dispatched { event, .. } in &dispatched {
            self.queue.announce(std::slice::from_ref(event));
        }
        self.tell(&dispatched, now);
        let due = dispatched.into_iter().flat_map(|dispatched| leased(dispatched, now));
        self.queue.publish_deliveries(due.collect()).await;
    }
}

impl Brief<'_> {
    /// The events with their deliveries.
    pub fn of(self, events: Vec<Arc<Event>>, now: UnixMicros) -> Vec<Dispatched> {
        let Self { dispatcher, listeners } = self;
        let mut room = dispatcher.queue.room(Lane::Deliveries);
        let mut haste = Haste::new(&dispatcher.scripts, &*dispatcher.clock, &dispatcher.tracer);
        // Nothing but a script ends a delivery here.
        let mut ended = HashMap::new();
        let made = events.into_iter().map(|event| {
            let listeners = listeners.get(&event.event_type).map_or(&[][..], Vec::as_slice);
            dispatcher.route(event, listeners, now, &mut room, &mut haste, &mut ended)
        });
        made.collect()
    }
}
