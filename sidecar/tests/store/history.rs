//! Whatever happens in whatever order: appending, dispatching, claiming, recording, time passing,
//! crashes.
//!
//! Invariant: nothing is lost, nothing is handed out twice within a lease, nothing moves back.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};
use sidehook::{
    model::{
        Attempt, Cause, Delivery, DeliveryId, DueDelivery, State, Successor, Verdict, operational,
    },
    store::{Dispatched, Due, Store},
};
use sidehook_event::{Event, EventId, UnixMicros};

use crate::{
    ground::Ground,
    samples::{at, dead, delivered, event, events, failed, minted, new_delivery, unattempted},
};

/// Events 0 to 5, each with a delivery to the subscriptions 0 and 1.
const EVENTS: u64 = 6;
const LEASE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u64>, Option<u64>),
    Dispatch(Vec<u64>),
    AppendDispatched(Vec<u64>),
    ClaimEvents(usize),
    ClaimDeliveries(usize),
    /// A worker, who may have been taken for dead long since, says what came of something it was
    /// handed out at any time.
    Record(Vec<(Index, Finding)>),
    Pass(u64),
    Crash,
}

#[derive(Debug, Clone, Copy)]
enum Finding {
    Success,
    Failure(u64),
    Exhausted,
    PutBack(u64),
}

pub(crate) fn any_history_keeps_the_invariants<G: Ground>() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&vec(any_step(), 1..40), |steps| {
        runtime.block_on(async {
            let mut world = World::new(G::fresh().await);
            for step in steps {
                world.take(step).await;
                world.look_around().await;
            }
            world.come_to_an_end().await;
        });
        Ok(())
    });
    checked.unwrap();
}

/// An event's two deliveries.
fn routed(event: Arc<Event>, now: UnixMicros) -> Dispatched {
    let number: u64 = event.subject.as_ref().unwrap().parse().unwrap();
    let delivery = |sub| new_delivery(number * 2 + sub, sub, Due::At(now));
    Dispatched { event, deliveries: [0, 1].map(delivery).to_vec() }
}

fn any_step() -> impl Strategy<Value = Step> {
    let some = || vec(0..EVENTS, 0..4);
    let finding = prop_oneof![
        Just(Finding::Success),
        (0..60_u64).prop_map(Finding::Failure),
        Just(Finding::Exhausted),
        (0..60_u64).prop_map(Finding::PutBack),
    ];
    prop_oneof![
        3 => (some(), proptest::option::of(0..40_u64)).prop_map(|(n, lease)| Step::Append(n, lease)),
        3 => some().prop_map(Step::Dispatch),
        2 => some().prop_map(Step::AppendDispatched),
        2 => (0..4_usize).prop_map(Step::ClaimEvents),
        5 => (0..6_usize).prop_map(Step::ClaimDeliveries),
        5 => vec((any::<Index>(), finding), 0..4).prop_map(Step::Record),
        4 => (0..40_u64).prop_map(Step::Pass),
        1 => Just(Step::Crash),
    ]
}

struct World<G> {
    ground: G,
    now: UnixMicros,
    appended: HashSet<EventId>,
    dispatched: HashSet<EventId>,
    /// Until when an event, or a delivery, is in somebody's hands.
    events_in_hand: BTreeMap<EventId, UnixMicros>,
    in_hand: BTreeMap<DeliveryId, UnixMicros>,
    handed_out: Vec<DueDelivery>,
    last_seen: BTreeMap<DeliveryId, (Delivery, Vec<Attempt>)>,
}

impl<G: Ground> World<G> {
    fn new(ground: G) -> Self {
        Self {
            ground,
            now: at(0),
            appended: HashSet::new(),
            dispatched: HashSet::new(),
            events_in_hand: BTreeMap::new(),
            in_hand: BTreeMap::new(),
            handed_out: Vec::new(),
            last_seen: BTreeMap::new(),
        }
    }

    fn store(&self) -> Arc<dyn Store> {
        self.ground.store()
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Append(numbers, lease) => self.append(numbers, lease).await,
            Step::Dispatch(numbers) => self.dispatch(numbers).await,
            Step::AppendDispatched(numbers) => self.append_dispatched(numbers).await,
            Step::ClaimEvents(limit) => {
                self.claim_events(limit).await;
            }
            Step::ClaimDeliveries(limit) => {
                self.claim_deliveries(limit).await;
            }
            Step::Record(findings) => self.record(findings).await,
            Step::Pass(seconds) => self.now = self.now.after(Duration::from_secs(seconds)),
            Step::Crash => {
                self.ground.crash().await;
                self.store().recover(self.now).await.unwrap();
                if self.ground.exclusive() {
                    self.in_hand.clear();
                    self.events_in_hand.clear();
                }
            }
        }
    }

    async fn append(&mut self, numbers: Vec<u64>, lease: Option<u64>) {
        let until = lease.map(|seconds| self.now.after(Duration::from_secs(seconds)));
        let due = until.map_or(Due::At(self.now), Due::Leased);
        let group = events(numbers);
        let new = self.store().append(&group, self.now, due).await.unwrap();
        let new: HashSet<EventId> = new.into_keys().collect();
        let asked: HashSet<_> = group.iter().map(|event| event.id).collect();
        let expected: HashSet<_> = asked.difference(&self.appended).copied().collect();
        assert_eq!(new, expected);
        if let Some(until) = until {
            self.events_in_hand.extend(new.iter().map(|id| (*id, until)));
        }
        self.appended.extend(new);
    }

    async fn append_dispatched(&mut self, numbers: Vec<u64>) {
        let asked: HashSet<EventId> = numbers.iter().map(|number| minted(*number)).collect();
        let expected: HashSet<_> = asked.difference(&self.appended).copied().collect();
        let (store, now) = (self.store(), self.now);
        let router =
            |events: Vec<Arc<Event>>| events.into_iter().map(|event| routed(event, now)).collect();
        let new = store.append_dispatched(events(numbers), now, Box::new(router)).await.unwrap();
        let new: HashSet<EventId> = new.iter().map(|dispatched| dispatched.event.id).collect();
        assert_eq!(new, expected);
        self.appended.extend(&new);
        self.dispatched.extend(new);
    }

    async fn dispatch(&mut self, numbers: Vec<u64>) {
        let asked: HashSet<EventId> = numbers.iter().map(|number| minted(*number)).collect();
        let to = |number| routed(Arc::new(event(number)), self.now);
        let dispatched: Vec<_> = numbers.into_iter().map(to).collect();
        let done = self.store().dispatch(&dispatched, self.now).await.unwrap();
        let open: HashSet<_> = self.appended.difference(&self.dispatched).collect();
        assert_eq!(done, asked.into_iter().filter(|id| open.contains(id)).collect());
        self.dispatched.extend(done);
    }

    async fn claim_events(&mut self, limit: usize) -> usize {
        let until = self.now.after(LEASE);
        let claimed = self.store().claim_events(self.now, until, limit).await;
        let claimed = claimed.unwrap();
        assert!(claimed.len() <= limit);
        for event in &claimed {
            assert!(!self.dispatched.contains(&event.id), "was dispatched");
            let before = self.events_in_hand.insert(event.id, until);
            assert!(before.is_none_or(|end| end <= self.now), "in hand");
        }
        claimed.iter().filter(|event| !event.event_type.is_operational()).count()
    }

    async fn claim_deliveries(&mut self, limit: usize) -> usize {
        let until = self.now.after(LEASE);
        let claimed = self.store().claim_deliveries(self.now, until, limit).await;
        let claimed = claimed.unwrap();
        assert!(claimed.len() <= limit);
        for due in &claimed {
            let (delivery, _) = &self.last_seen[&due.id];
            assert_eq!(delivery.state, State::Pending);
            assert!(delivery.next_attempt_at <= Some(self.now), "not due");
            assert_eq!(due.attempt, delivery.attempts + 1);
            let before = self.in_hand.insert(due.id, until);
            assert!(before.is_none_or(|end| end <= self.now), "in hand");
        }
        self.handed_out.extend(claimed.iter().cloned());
        claimed.len()
    }

    async fn record(&mut self, findings: Vec<(Index, Finding)>) {
        if self.handed_out.is_empty() {
            return;
        }
        let verdicts = findings.into_iter().map(|(which, finding)| {
            let due = which.get(&self.handed_out);
            let later = |seconds| Successor::Retry(self.now.after(Duration::from_secs(seconds)));
            match finding {
                Finding::Success => delivered(due.id, due.attempt),
                Finding::Failure(wait) => failed(due.id, due.attempt, later(wait)),
                Finding::Exhausted => failed(due.id, due.attempt, dead(Cause::Exhausted)),
                Finding::PutBack(wait) => unattempted(due.id, due.attempt, later(wait)),
            }
        });
        let verdicts: Vec<Verdict> = verdicts.collect();
        self.store().record(&verdicts).await.unwrap();
        for verdict in verdicts {
            let read = self.store().delivery(verdict.delivery_id).await.unwrap();
            let (delivery, log) = read.unwrap();
            // A verdict that counted ends the lease.
            if delivery.next_attempt_at != self.in_hand.get(&verdict.delivery_id).copied() {
                self.in_hand.remove(&verdict.delivery_id);
            }
            if let Some(attempt) = verdict.attempt {
                assert!(log.iter().any(|logged| logged.number == attempt.number));
                if attempt.outcome == sidehook::model::Outcome::Success {
                    assert_ne!(delivery.state, State::Pending, "a success was lost");
                }
            }
        }
    }

    /// Compares every delivery with what it was.
    async fn look_around(&mut self) {
        for number in 0..EVENTS * 2 {
            let id = minted(number);
            let read = self.store().delivery(id).await.unwrap();
            let exists = self.dispatched.contains(&minted(number / 2));
            assert_eq!(read.is_some(), exists);
            let Some((delivery, log)) = read else {
                continue;
            };
            let is_pending = delivery.state == State::Pending;
            assert_eq!(delivery.next_attempt_at.is_some(), is_pending);
            assert_eq!(delivery.finished_at.is_none(), is_pending);
            assert_eq!(delivery.death.is_some(), delivery.state == State::Dead);
            let latest = log.iter().map(|attempt| attempt.number).max();
            assert_eq!(delivery.attempts, latest.unwrap_or(0));
            if let Some((before, log_before)) = self.last_seen.get(&id) {
                assert!(delivery.attempts >= before.attempts);
                assert!(log_before.iter().all(|attempt| log.contains(attempt)));
                if before.state != State::Pending {
                    let now = (delivery.state, delivery.death.clone(), delivery.finished_at);
                    assert_eq!(now, (before.state, before.death.clone(), before.finished_at));
                }
            }
            self.last_seen.insert(id, (delivery, log));
        }
    }

    /// What is told of a death is an event that everybody is handed out until it is dispatched.
    fn every_death_was_told(&self) {
        let deaths = self.last_seen.values().filter(|(delivery, _)| delivery.death.is_some());
        let told: HashSet<_> =
            deaths.map(|(delivery, _)| operational::of_death(delivery).unwrap().id).collect();
        let handed_out = self.events_in_hand.keys().copied().collect::<HashSet<_>>();
        assert_eq!(handed_out.difference(&self.appended).copied().collect::<HashSet<_>>(), told);
    }

    /// In the end every event is dispatched and every delivery finished.
    async fn come_to_an_end(&mut self) {
        self.now = self.now.after(Duration::from_secs(1_000));
        let open = self.appended.difference(&self.dispatched).count();
        assert_eq!(self.claim_events(99).await, open);
        self.every_death_was_told();
        self.dispatch((0..EVENTS).collect()).await;
        assert_eq!(self.dispatched, self.appended);
        self.look_around().await;
        let is_pending =
            |(delivery, _): &&(Delivery, Vec<Attempt>)| delivery.state == State::Pending;
        let pending = self.last_seen.values().filter(is_pending).count();
        let before = self.handed_out.len();
        assert_eq!(self.claim_deliveries(99).await, pending);
        let last = self.handed_out.split_off(before);
        let verdicts: Vec<_> = last.iter().map(|due| delivered(due.id, due.attempt)).collect();
        self.store().record(&verdicts).await.unwrap();
        self.look_around().await;
        assert_eq!(self.last_seen.values().filter(is_pending).count(), 0);
    }
}
