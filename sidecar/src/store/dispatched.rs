//! Events with the deliveries that routing made of them.
//!
//! Invariant: what is here is not stored yet, or was not when it was made.

use std::{collections::HashMap, hash::BuildHasher, sync::Arc};

use sidehook_event::{Event, EventId};

use super::Due;
use crate::model::{DeliveryId, Payload, ScriptVersion, SubscriptionId};

/// An event after routing: who gets it, and what.
#[derive(Debug, Clone)]
pub struct Dispatched {
    /// The event.
    pub event: Arc<Event>,
    /// One for each subscription that asked for it.
    pub deliveries: Vec<NewDelivery>,
}

/// A delivery that is about to exist.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// Who gets it.
    pub subscription_id: SubscriptionId,
    /// What is sent.
    pub payload: Payload,
    /// When it becomes due for the sweep.
    pub due: Due,
    /// Whether it waits for the earlier ones about its subject.
    pub is_ordered: bool,
    /// The version of the script that made what is sent, if one did.
    pub script: Option<ScriptVersion>,
}

/// Makes the deliveries of events while these are stored. It is asked once, and others wait for it.
pub type Router<'r> = Box<dyn FnOnce(Vec<Arc<Event>>) -> Vec<Dispatched> + Send + 'r>;

/// The events that are new, each once, with its sequence.
pub fn numbered<S: BuildHasher>(
    events: Vec<Arc<Event>>,
    mut new: HashMap<EventId, u64, S>,
) -> Vec<Arc<Event>> {
    let numbered = events.into_iter().filter_map(|mut event| {
        // Copied only if somebody else has it too.
        Arc::make_mut(&mut event).sequence = Some(new.remove(&event.id)?);
        Some(event)
    });
    numbered.collect()
}
