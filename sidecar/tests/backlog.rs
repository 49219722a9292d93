//! What 100,000 deliveries that wait for a dead receiver cost everybody else, and how they come to
//! it when it is back.
//!
//! Invariant: a process of its own, whose memory is that of this test alone.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "this is how a test fails and tells"
)]

#[path = "scripts/opened.rs"]
mod opened;
#[expect(dead_code, reason = "it serves the delivery tests too")]
#[path = "delivery/stage.rs"]
mod stage;

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode};
use sidehook::{
    clock::{Clock, SystemClock, mint},
    model::{Payload, SubscriptionId},
    store::{Dispatched, Due, NewDelivery},
};
use sidehook_event::{Event, UnixMicros};
use tokio::{net::TcpListener, time::sleep};

use stage::{Stage, event};

const PENDING: u128 = 100_000;
/// How many are stored in one transaction.
const GROUP: u128 = 2_000;
/// The events to the receiver that is well, by which the others' delay is measured.
const PROBES: u128 = 400;
/// The subscription's share of the attempts at a time on this stage.
const SHARE: usize = 8;
/// Some megabytes are caches of the store, which are bounded.
const MEMORY: u64 = 64 << 20;

/// A receiver, and what it saw.
#[derive(Debug, Default)]
struct Receiver {
    is_back: AtomicBool,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    refused: AtomicUsize,
    taken: Mutex<Vec<Duration>>,
}

impl Receiver {
    async fn start(is_back: bool, clock: &SystemClock) -> (Arc<Self>, String) {
        let receiver = Arc::new(Self { is_back: is_back.into(), ..Self::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (hearing, clock) = (Arc::clone(&receiver), *clock);
        let router = Router::new().fallback(move || Arc::clone(&hearing).hear(clock));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }

    async fn hear(self: Arc<Self>, clock: SystemClock) -> StatusCode {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(now, Ordering::SeqCst);
        // Long enough for those at the same time to be seen.
        sleep(Duration::from_millis(2)).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        if self.is_back.load(Ordering::SeqCst) {
            self.taken.lock().unwrap().push(clock.monotonic());
            StatusCode::OK
        } else {
            self.refused.fetch_add(1, Ordering::SeqCst);
            StatusCode::SERVICE_UNAVAILABLE
        }
    }

    fn taken(&self) -> Vec<Duration> {
        self.taken.lock().unwrap().clone()
    }
}

impl Stage {
    /// Stores events with a delivery each to this subscription, due at once, as a receiver that was
    /// away for long leaves them.
    async fn pile_up(&self, id: SubscriptionId, events: Vec<Event>) {
        let now = self.running.clock.now();
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        self.running.store.append(&events, now, Due::Leased(UnixMicros::MAX)).await.unwrap();
        let payload = |event: &Event| Payload {
            content_type: "application/json".into(),
            headers: Arc::default(),
            body: event.exchange.response.content.clone(),
        };
        let dispatched = events.into_iter().map(|event| {
            let delivery = NewDelivery {
                id: mint(&*self.running.clock),
                subscription_id: id,
                payload: payload(&event),
                due: Due::At(now),
                is_ordered: false,
                script: None,
            };
            Dispatched { event, deliveries: vec![delivery] }
        });
        let dispatched: Vec<_> = dispatched.collect();
        let stored = self.running.store.dispatch(&dispatched, now).await.unwrap();
        assert_eq!(stored.len(), dispatched.len());
    }
}

/// The p99 of the time that events need to the receiver that is well.
async fn p99(stage: &Stage, well: &Receiver, clock: &SystemClock, first: u128) -> Duration {
    let mut took = Vec::new();
    for id in first..first + PROBES {
        let before = well.taken().len();
        let begun = clock.monotonic();
        stage.store([event(id, "orders.created")]).await;
        while well.taken().len() == before {
            assert!(
                clock.monotonic().saturating_sub(begun) < Duration::from_secs(10),
                "it is held up"
            );
            sleep(Duration::from_micros(500)).await;
        }
        took.push(well.taken()[before].saturating_sub(begun));
    }
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_for_a_dead_receiver_cost_no_memory_and_delay_nobody() {
    let clock = SystemClock::start();
    let mut stage = Stage::new().await;
    stage.schedule = vec![Duration::ZERO, Duration::from_secs(5), Duration::from_mins(5)];
    let (dead, dead_url) = Receiver::start(false, &clock).await;
    let (well, well_url) = Receiver::start(true, &clock).await;
    let waits = stage.subscribe_url(&dead_url, "people.created").await;
    stage.subscribe_url(&well_url, "orders.created").await;

    let alone = p99(&stage, &well, &clock, PENDING).await;
    let before = resident();
    for first in (0..PENDING).step_by(usize::try_from(GROUP).unwrap()) {
        let events = (first..first + GROUP).map(|id| event(id, "people.created"));
        stage.pile_up(waits.id, events.collect()).await;
    }
    let beside = p99(&stage, &well, &clock, PENDING * 2).await;
    let grown = resident().saturating_sub(before);
    println!(
        "p99 {alone:?} alone, {beside:?} beside {PENDING} that wait; {} KiB more memory; \
         the dead one was asked {} times",
        grown / 1024,
        dead.refused.load(Ordering::SeqCst)
    );
    // Below some milliseconds it is the machine that is measured.
    assert!(beside <= alone.max(Duration::from_millis(30)) * 2, "{beside:?}, {alone:?} alone");
    assert!(grown <= MEMORY, "{grown} bytes");
    assert!(dead.refused.load(Ordering::SeqCst) <= 40, "a dead one is left alone");

    dead.most_under_way.store(0, Ordering::SeqCst);
    dead.is_back.store(true, Ordering::SeqCst);
    let limit = clock.monotonic() + Duration::from_secs(90);
    while dead.taken().len() < 2_000 {
        assert!(clock.monotonic() < limit, "only {} came", dead.taken().len());
        sleep(Duration::from_millis(10)).await;
    }
    let taken = dead.taken();
    let in_first = |time| taken.iter().filter(|at| **at < taken[0] + time).count();
    let (second, five) = (in_first(Duration::from_secs(1)), in_first(Duration::from_secs(5)));
    let most = dead.most_under_way.load(Ordering::SeqCst);
    println!("back: {second} in the first second, {five} in five; {most} at a time at most");
    assert!(most <= SHARE, "{most} at a time");
    // However fast the machine is: what has piled up does not come in one burst.
    assert!(second * 5 <= five * 3, "{second} in the first second, {five} in five");
}
