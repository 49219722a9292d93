//! What is counted about RabbitMQ, and how it stands at the moment it is asked.
//!
//! Invariant: the number of time series does not grow with traffic.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use super::{Shared, standing::Link};
use crate::queue::Lane;

/// The counters of the queue. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    families: [(&'static str, &'static str, Family<OfLane, Counter>); 6],
    connections: Family<OfLink, Counter>,
    inbound: Gauge,
    round_trip: Histogram,
    events: Counters,
    deliveries: Counters,
    announcements: Counters,
    letters: Counters,
}

/// What a message is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A piece of work.
    Work(Lane),
    /// An event for others.
    Announcement,
    /// What tells of a death.
    Letter,
}

impl From<Lane> for Kind {
    fn from(lane: Lane) -> Self {
        Self::Work(lane)
    }
}

/// The counters of one kind.
#[derive(Debug, Clone)]
pub(super) struct Counters {
    /// Sent to the broker.
    pub(super) published: Counter,
    /// Of these, what the broker has confirmed.
    pub(super) confirmed: Counter,
    /// What it had not confirmed when the connection broke, or has refused.
    pub(super) returned: Counter,
    /// What never was on its way to it, since it was away.
    pub(super) bypassed: Counter,
    /// What it handed over not for the first time.
    pub(super) redelivered: Counter,
    /// What it handed over and is no piece of work.
    pub(super) unreadable: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLane {
    lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLink {
    link: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let families = [
            ("published", "What was sent to RabbitMQ, in fewer messages"),
            ("confirmed", "What RabbitMQ confirmed"),
            (
                "returned",
                "What RabbitMQ refused, or had not confirmed when its connection broke; \
                 the queue inside the process or the sweep takes them",
            ),
            ("bypassed", "Pieces of work that never were for RabbitMQ, since it was away"),
            ("redelivered", "What RabbitMQ handed over not for the first time"),
            ("unreadable", "Messages that were no pieces of work and became dead letters"),
        ];
        let families = families.map(|(name, help)| (name, help, Family::default()));
        let [published, confirmed, returned, bypassed, redelivered, unreadable] = &families;
        let of = |lane: &'static str| {
            let label = OfLane { lane };
            let counter = |(_, _, family): &(_, _, Family<OfLane, Counter>)| {
                Counter::clone(&family.get_or_create(&label))
            };
            Counters {
                published: counter(published),
                confirmed: counter(confirmed),
                returned: counter(returned),
                bypassed: counter(bypassed),
                redelivered: counter(redelivered),
                unreadable: counter(unreadable),
            }
        };
        let [events, deliveries] = [Lane::Events, Lane::Deliveries].map(|lane| of(lane.name()));
        let [announcements, letters] = ["announcements", "dead_letters"].map(of);
        let connections = Family::default();
        for link in [Link::Publisher, Link::Events, Link::Deliveries] {
            drop(connections.get_or_create(&OfLink { link: link.name() }));
        }
        Self {
            families,
            connections,
            inbound: Gauge::default(),
            round_trip: Histogram::new([
                0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0,
            ]),
            events,
            deliveries,
            announcements,
            letters,
        }
    }
}

impl Metrics {
    /// The counters of this kind.
    pub(super) fn of(&self, kind: impl Into<Kind>) -> &Counters {
        match kind.into() {
            Kind::Work(Lane::Events) => &self.events,
            Kind::Work(Lane::Deliveries) => &self.deliveries,
            Kind::Announcement => &self.announcements,
            Kind::Letter => &self.letters,
        }
    }

    /// Counts a connection that came about.
    pub(super) fn connected(&self, link: &'static str) {
        self.connections.get_or_create(&OfLink { link }).inc();
    }

    /// A message was confirmed so long after it was sent.
    pub(super) fn took(&self, took: Duration) {
        self.round_trip.observe(took.as_secs_f64());
    }

    /// So many messages of others wait.
    pub(super) fn waits_inbound(&self, messages: usize) {
        self.inbound.set(i64::try_from(messages).unwrap_or(i64::MAX));
    }
}

/// Registers all of it under `sidehook_rabbitmq_…`.
pub(super) fn register(shared: &Arc<Shared>, registry: &mut Registry) {
    let registry = registry.sub_registry_with_prefix("rabbitmq");
    for (name, help, family) in &shared.metrics.families {
        registry.register(*name, *help, family.clone());
    }
    registry.register(
        "connections",
        "Connections that came about, by what they are for; each but the first replaced a broken one",
        shared.metrics.connections.clone(),
    );
    registry.register_with_unit(
        "round_trip",
        "The time from sending a message to RabbitMQ until it confirmed it",
        Unit::Seconds,
        shared.metrics.round_trip.clone(),
    );
    registry.register(
        "inbound_waiting",
        "Messages of others that wait in RabbitMQ, as last measured",
        shared.metrics.inbound.clone(),
    );
    registry.register_collector(Box::new(Now(Arc::clone(shared))));
}

/// What is looked up when it is asked for.
struct Now(Arc<Shared>);

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let connected = ConstGauge::new(i64::from(self.0.links.connected()));
        let help = "Whether work goes through RabbitMQ";
        let descriptor =
            encoder.encode_descriptor("connected", help, None, connected.metric_type())?;
        connected.encode(descriptor)?;

        let waiting: Family<OfLane, Gauge> = Family::default();
        for lane in [Lane::Events, Lane::Deliveries] {
            let used = i64::try_from(self.0.account(lane).used()).unwrap_or(i64::MAX);
            waiting.get_or_create(&OfLane { lane: lane.name() }).set(used);
        }
        let help = "Pieces that wait in RabbitMQ or are on their way, as far as this process knows";
        let descriptor = encoder.encode_descriptor("waiting", help, None, waiting.metric_type())?;
        waiting.encode(descriptor)
    }
}
