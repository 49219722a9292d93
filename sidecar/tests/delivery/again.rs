//! What the queue hands out a second time.
//!
//! Invariant: what was recorded is not sent again because its message came again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use prometheus_client::registry::Registry;
use sidehook::{
    deliver::{
        Deliverer, Metrics,
        client::{Answer, Failure},
        courier::Courier,
        holds::Holds,
        lease_from,
        making::Maker,
    },
    live::Live,
    model::{Attempt, DueDelivery, Outcome, Successor, Target, Tls, Verdict},
    queue::{Lane, Queue, Receipt, Taken, Unburied},
    trace::Tracer,
};
use sidehook_event::Event;
use tokio_util::sync::CancellationToken;

use crate::{ending::Ground, opened::scripts, stage::event};

/// Hands out everything as a broker does whose worker died.
#[derive(Debug)]
struct Again(Arc<dyn Queue>);

#[async_trait]
impl Queue for Again {
    fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }

    fn room(&self, lane: Lane) -> usize {
        self.0.room(lane)
    }

    async fn has_room(&self, lane: Lane) {
        self.0.has_room(lane).await;
    }

    fn announce(&self, events: &[Arc<Event>]) {
        self.0.announce(events);
    }

    async fn publish_events(&self, events: Vec<Arc<Event>>) {
        self.0.publish_events(events).await;
    }

    async fn publish_deliveries(&self, deliveries: Vec<DueDelivery>) {
        self.0.publish_deliveries(deliveries).await;
    }

    async fn bury(&self, letters: Vec<Arc<Event>>) -> Result<(), Unburied> {
        self.0.bury(letters).await
    }

    async fn take_events(&self, limit: usize) -> Vec<Taken<Arc<Event>>> {
        self.0.take_events(limit).await
    }

    async fn take_deliveries(&self, limit: usize) -> Vec<Taken<DueDelivery>> {
        let taken = self.0.take_deliveries(limit).await;
        taken.into_iter().map(|taken| Taken { is_again: true, ..taken }).collect()
    }

    async fn settle(&self, lane: Lane, receipts: Vec<Receipt>) {
        self.0.settle(lane, receipts).await;
    }
}

/// Counts what it is given, which all succeeds.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl Courier for Counting {
    async fn send(
        &self,
        _: &Target,
        _: &Tls,
        _: Request<Full<Bytes>>,
        _: Duration,
    ) -> Result<Answer, Failure> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Answer { status: 200, headers: HeaderMap::new(), excerpt: String::new(), resent: false })
    }
}

/// Of three that come again one was delivered, and one is leased to somebody else by now.
#[tokio::test]
async fn what_was_finished_or_leased_anew_is_not_attempted_when_it_comes_again() {
    let ground = Ground::new().await;
    let events: Vec<_> = (1..=3).map(|id| Arc::new(event(id, "people.created"))).collect();
    ground.dispatch(events.clone(), events).await;
    let Ground { store, queue, clock, table, .. } = &ground;
    let taken = queue.take_deliveries(10).await;
    let mut again: Vec<_> = taken.into_iter().map(|taken| taken.work).collect();
    assert_eq!(again.len(), 3);
    let at = clock.now();
    let attempt = Attempt {
        number: 1,
        started_at: at,
        duration: Duration::ZERO,
        outcome: Outcome::Success,
        status_code: Some(200),
        response_excerpt: None,
        error: None,
    };
    let verdict = Verdict {
        delivery_id: again[0].id,
        number: 1,
        attempt: Some(attempt),
        made: None,
        successor: Successor::Delivered,
        at,
    };
    store.record(&[verdict]).await.unwrap();
    again[1].lease_until = lease_from(at.after(Duration::from_secs(1)));
    let still_leased = again[2].id;
    queue.publish_deliveries(again).await;

    let courier = Arc::new(Counting::default());
    let deliverer = Deliverer {
        store: Arc::clone(store),
        queue: Arc::new(Again(Arc::clone(queue))),
        clock: Arc::clone(clock),
        table: Arc::clone(table),
        holds: Arc::new(Holds::default()),
        maker: Arc::new(Maker::new(scripts(), Tracer::off())),
        courier: Arc::clone(&courier) as Arc<dyn Courier>,
        metrics: Metrics::register(&mut Registry::default()),
        tracer: Tracer::off(),
        live: Live::default(),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(deliverer.run(8, stop.clone()));
    let finished = async {
        while store.delivery(still_leased).await.unwrap().unwrap().0.finished_at.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), finished).await.unwrap();
    stop.cancel();
    running.await.unwrap();
    assert_eq!(courier.0.load(Ordering::Relaxed), 1);
}
