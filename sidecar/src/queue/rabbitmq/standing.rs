//! Whether RabbitMQ is there, as seen by all who are connected to it.
//!
//! Invariant: it counts as connected only while every link is, and each change is logged once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Whether the broker is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Work goes through it.
    Connected,
    /// It does not, for this reason.
    Away(Arc<str>),
}

/// The connections of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Publishes to both lanes.
    Publisher,
    /// Consumes events, or measures them.
    Events,
    /// Consumes deliveries, or measures them.
    Deliveries,
}

impl Link {
    /// Its name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Events => "events",
            Self::Deliveries => "deliveries",
        }
    }
}

/// How all links stand.
#[derive(Debug)]
pub(super) struct Links {
    down: Mutex<Down>,
    standing: watch::Sender<Standing>,
}

/// Why a link is down, for those that are.
#[derive(Debug)]
struct Down {
    publisher: Option<Arc<str>>,
    events: Option<Arc<str>>,
    deliveries: Option<Arc<str>>,
}

impl Links {
    /// Links that have never been up, for this reason.
    pub(super) fn new(reason: &str) -> Self {
        let reason: Arc<str> = reason.into();
        let down = Some(Arc::clone(&reason));
        let down = Down { publisher: down.clone(), events: down.clone(), deliveries: down };
        Self { down: Mutex::new(down), standing: watch::Sender::new(Standing::Away(reason)) }
    }

    pub(super) fn connected(&self) -> bool {
        *self.standing.borrow() == Standing::Connected
    }

    pub(super) fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub(super) fn up(&self, link: Link) {
        self.set(link, None);
    }

    pub(super) fn down(&self, link: Link, reason: &str) {
        self.set(link, Some(reason.into()));
    }

    fn set(&self, link: Link, reason: Option<Arc<str>>) {
        // Held until the change is published and logged, so that changes keep their order.
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        match link {
            Link::Publisher => down.publisher = reason,
            Link::Events => down.events = reason,
            Link::Deliveries => down.deliveries = reason,
        }
        let reason = [&down.publisher, &down.events, &down.deliveries].into_iter().flatten().next();
        let now = reason.map_or(Standing::Connected, |reason| Standing::Away(Arc::clone(reason)));
        let before = self.standing.send_replace(now.clone());
        match (before, now) {
            (Standing::Away(_), Standing::Connected) => tracing::info!("connected to RabbitMQ"),
            (Standing::Connected, Standing::Away(reason)) => tracing::warn!(
                %reason,
                "RabbitMQ is away, work goes through the queue inside the process"
            ),
            (Standing::Connected, Standing::Connected) | (Standing::Away(_), Standing::Away(_)) => {
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_connected_only_while_all_links_are() {
        let links = Links::new("not yet");
        assert!(!links.connected());
        links.up(Link::Publisher);
        links.up(Link::Events);
        assert!(!links.connected());
        links.up(Link::Deliveries);
        assert!(links.connected());
        links.down(Link::Events, "the cable");
        assert_eq!(*links.watch().borrow(), Standing::Away("the cable".into()));
        links.up(Link::Events);
        assert!(links.connected());
    }
}
