//! How many events there were of each type.
//!
//! Invariant: whatever types there are, no more than [`MOST`] are told apart; the rest counts as
//! `other`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use sidehook_event::Event;

/// The most types that are told apart.
const MOST: usize = 200;
/// No type has this name, for it has no dot.
const OTHER: &str = "other";

/// The counters. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    shown: Family<Label, Counter>,
    known: Arc<Mutex<HashMap<String, Counter>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    event_type: String,
}

impl Tally {
    /// Registers `sidehook_ingest_stored`.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "ingest_stored",
            "Events that were stored, by type; what exceeds two hundred types counts as other",
            self.shown.clone(),
        );
    }

    pub(super) fn count(&self, events: &[Arc<Event>]) {
        // Whoever panics while it is held has added no half of a type.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let name = event.event_type.as_str();
            if let Some(counter) = known.get(name) {
                counter.inc();
                continue;
            }
            let is_full = known.len() >= MOST;
            let label = Label { event_type: (if is_full { OTHER } else { name }).to_owned() };
            let counter = Counter::clone(&self.shown.get_or_create(&label));
            counter.inc();
            if !is_full {
                known.insert(name.to_owned(), counter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prometheus_client::encoding::text;
    use sidehook_event::{Body, EventId, Exchange, TypeId as _, UnixMicros};

    use super::*;

    fn event(number: usize) -> Arc<Event> {
        Arc::new(Event {
            id: EventId::from_bits(1),
            event_type: format!("people{number}.created").parse().unwrap(),
            source: "edge".to_owned(),
            subject: None,
            parents: Vec::new(),
            sequence: None,
            time: UnixMicros::default(),
            exchange: Exchange {
                response: Body { content: Bytes::new(), ..Body::default() },
                ..Exchange::default()
            },
        })
    }

    #[test]
    fn however_many_types_there_are_few_are_told_apart() {
        let (tally, mut registry) = (Tally::default(), Registry::default());
        tally.register(&mut registry);
        for _ in 0..2 {
            tally.count(&(0..1_000).map(event).collect::<Vec<_>>());
        }
        let mut shown = String::new();
        text::encode(&mut shown, &registry).unwrap();
        assert_eq!(shown.matches("event_type=").count(), MOST + 1);
        assert!(shown.contains(r#"ingest_stored_total{event_type="people0.created"} 2"#));
        assert!(shown.contains(r#"ingest_stored_total{event_type="other"} 1600"#), "{shown}");
    }
}
