//! How full a queue is at the moment it is asked, whichever it is.
//!
//! Invariant: the number of time series does not grow with traffic.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Lane, Queue};

/// Registers `sidehook_queue_room`.
pub fn register(queue: Arc<dyn Queue>, registry: &mut Registry) {
    registry.register_collector(Box::new(Room(queue)));
}

#[derive(Debug)]
struct Room(Arc<dyn Queue>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    lane: &'static str,
}

impl Collector for Room {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let room: Family<Label, Gauge> = Family::default();
        for lane in [Lane::Events, Lane::Deliveries] {
            let pieces = i64::try_from(self.0.room(lane)).unwrap_or(i64::MAX);
            room.get_or_create(&Label { lane: lane.name() }).set(pieces);
        }
        let help = "How many more pieces of work the lane takes before the rest stays in the store";
        let descriptor = encoder.encode_descriptor("queue_room", help, None, room.metric_type())?;
        room.encode(descriptor)
    }
}
