//! The real dispatcher, sweep and deliverer in made-up time: thousands of runs with receivers that
//! fail, processes that die and come back, a store that is away and a queue that loses, doubles and
//! mixes up. What must hold of every one of them is checked at its end.
//!
//! Invariant: a run follows from its seed, which a failure names; it is run again by
//! `SIDEHOOK_SIMULATION_SEED=… SIDEHOOK_SIMULATION_RUNS=1 cargo test -p sidehook --test simulation`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is how a test fails and tells"
)]

mod chance;
mod check;
mod kept;
mod process;
mod receivers;
mod store;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Map;
use sidehook::{
    clock::Clock as _,
    model::{
        Format, Headers, Order, Pacing, Retry, Secret, State, Subscription, SubscriptionId, Target,
        Tls,
    },
};
use sidehook_event::{Body, Event, EventId, Exchange, TypeId as _, UnixMicros};

use chance::{Chance, Virtual};
use process::{Ground, Process};
use receivers::Manner;

/// How long things go wrong.
const TROUBLE: u64 = 90_000;
/// How long it may then take until all is delivered or given up.
const CALM: Duration = Duration::from_mins(20);
/// How many runs there are unless told otherwise.
const RUNS: u64 = 1_000;

/// What came of a run.
struct Outcome {
    wrong: Vec<String>,
    history: Vec<String>,
}

/// A run.
struct World {
    ground: Ground,
    processes: Vec<Option<Process>>,
    acknowledged: Vec<EventId>,
    kills: u64,
    started: usize,
}

fn run(seed: u64, break_it: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed);
        world.ground.kept.lock().unwrap().forgets_retries = break_it;
        world.trouble().await;
        world.calm().await;
        let wrong = check::wrong(&world.ground, &world.acknowledged, world.kills);
        let history = std::mem::take(&mut world.ground.seen.lock().unwrap().history);
        Outcome { wrong, history }
    })
}

fn subscription(number: u64, chance: &Chance) -> Subscription {
    let secs = |all: &[u64]| all.iter().copied().map(Duration::from_secs).collect();
    let schedules: [&[u64]; 4] = [&[0], &[0, 1, 5], &[0, 2, 10, 30, 60], &[1, 1, 1, 1, 1, 1, 1, 1]];
    let schedule = schedules.iter().cycle().nth(usize::try_from(chance.below(4)).unwrap()).unwrap();
    let patterns = ["*", "people.*", "created"];
    let pattern = patterns.iter().cycle().nth(usize::try_from(chance.below(3)).unwrap()).unwrap();
    let rate = chance.happens(20).then(|| "5/s".parse().unwrap());
    Subscription {
        id: SubscriptionId::from_bits(number.into()),
        url: Target::parse(&format!("http://receiver.test/{number}")).unwrap(),
        pattern: pattern.parse().unwrap(),
        filter: None,
        script: None,
        custom_headers: Headers::default(),
        custom_payload: Map::new(),
        format: Format::Standard,
        signing: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<Secret>().unwrap().into(),
        enabled: true,
        disabled_reason: None,
        retry: Retry {
            schedule: secs(schedule),
            jitter: if chance.happens(50) { 0.5 } else { 0.0 },
            horizon: chance.happens(20).then(|| Duration::from_mins(1)),
        },
        timeout: Duration::from_secs(1 + chance.below(10)),
        tls: Tls::default(),
        pacing: Pacing { rate_limit: rate, max_in_flight: None },
        ordering: if chance.happens(40) { Order::Subject } else { Order::None },
        description: None,
        metadata: BTreeMap::new(),
        created_at: UnixMicros::EPOCH,
        updated_at: UnixMicros::EPOCH,
    }
}

/// Well at first or not, and then now so and now so; in the end well.
fn manners(chance: &Chance) -> Vec<(Duration, Manner)> {
    let mut phases = Vec::new();
    let mut from = 0;
    while from < TROUBLE {
        let manner = match chance.below(100) {
            0..45 => Manner::Well,
            45..65 => Manner::Fails(500),
            65..70 => Manner::Fails(404),
            70..80 => Manner::Busy(chance.below(20)),
            80..89 => Manner::Hangs,
            89..98 => Manner::Breaks,
            _ => Manner::Gone,
        };
        phases.push((Duration::from_millis(from), manner));
        from += 500 + chance.below(30_000);
    }
    phases.push((Duration::from_millis(TROUBLE), Manner::Well));
    phases
}

impl World {
    fn new(seed: u64) -> Self {
        let chance = Chance::of(seed);
        let clock = Virtual::start(&chance);
        let ground = Ground {
            kept: Arc::default(),
            seen: Arc::default(),
            chance: chance.clone(),
            clock,
            doubled: Arc::default(),
        };
        let receivers = 1 + chance.below(4);
        for number in 0..receivers {
            let made = subscription(number, &chance);
            ground.kept.lock().unwrap().subscriptions.insert(made.id, made);
            ground.seen.lock().unwrap().manners.push(manners(&chance));
        }
        let processes = (0..=chance.below(2)).map(|_| None).collect();
        Self { ground, processes, acknowledged: Vec::new(), kills: 0, started: 0 }
    }

    /// Events come, processes die, the store is away.
    async fn trouble(&mut self) {
        let Ground { chance, clock, .. } = self.ground.clone();
        let mut number = 0;
        while clock.monotonic() < Duration::from_millis(TROUBLE) {
            self.start_all().await;
            for _ in 0..chance.below(4) {
                number += 1;
                self.happens(number).await;
            }
            if chance.happens(6) {
                let which = usize::try_from(chance.below(self.processes.len() as u64)).unwrap();
                if let Some(process) = self.processes.get_mut(which).and_then(Option::take) {
                    process.kill();
                    self.kills += 1;
                    self.ground.seen.lock().unwrap().history.push(format!("{which} dies"));
                }
            }
            if chance.happens(3) {
                let until = clock.now().after(chance.millis(8_000));
                self.ground.kept.lock().unwrap().away_until = until;
            }
            tokio::time::sleep(chance.millis(6_000)).await;
        }
    }

    async fn start_all(&mut self) {
        for number in 0..self.processes.len() {
            if self.processes.get(number).is_some_and(Option::is_none) {
                self.started += 1;
                let process = Process::start(&self.ground, self.started).await;
                if let Some(place) = self.processes.get_mut(number) {
                    *place = Some(process);
                }
            }
        }
    }

    /// A write is handed over as a gateway does it: again and again, until it is stored.
    async fn happens(&mut self, number: u64) {
        let chance = &self.ground.chance;
        let subject = format!("people/{}", chance.below(3));
        let content = Bytes::from(format!("{{\"id\":{number}}}"));
        let kinds = ["people.created", "people.updated", "orders.created"];
        let kind = kinds.iter().cycle().nth(usize::try_from(chance.below(3)).unwrap()).unwrap();
        let event = Event {
            id: EventId::mint(self.ground.clock.unix_nanos(), chance.draw()),
            event_type: kind.parse().unwrap(),
            source: "edge".to_owned(),
            subject: Some(subject),
            parents: Vec::new(),
            sequence: None,
            time: self.ground.clock.now(),
            exchange: Exchange {
                status: 201,
                response: Body { size: content.len() as u64, content, ..Body::default() },
                ..Exchange::default()
            },
        };
        let Some(Some(process)) = self.processes.first() else { return };
        let submitted = process.ingest.submit(vec![event.clone()]);
        // Nobody waits for ever; what was not answered may be stored all the same.
        if let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(2), submitted).await {
            self.acknowledged.push(event.id);
        }
    }

    /// Nothing goes wrong any more.
    async fn calm(&mut self) {
        self.ground.kept.lock().unwrap().away_until = UnixMicros::EPOCH;
        self.start_all().await;
        let end = self.ground.clock.monotonic() + CALM;
        while self.ground.clock.monotonic() < end && !self.is_settled() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for process in self.processes.iter_mut().filter_map(Option::take) {
            process.kill();
        }
    }

    fn is_settled(&self) -> bool {
        let kept = self.ground.kept.lock().unwrap();
        let is_open = |id: &SubscriptionId| kept.subscriptions.get(id).is_some_and(|s| s.enabled);
        kept.events.values().all(|one| one.is_dispatched)
            && kept
                .deliveries
                .values()
                .all(|one| one.standing.state != State::Pending || !is_open(&one.subscription_id))
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Runs these, and says how many requests there were and how many processes were killed.
fn run_all(seeds: impl Iterator<Item = u64>) -> (usize, usize) {
    let (mut asked, mut kills) = (0, 0);
    for seed in seeds {
        let Outcome { wrong, history } = run(seed, false);
        asked += history.iter().filter(|line| line.contains("asks")).count();
        kills += history.iter().filter(|line| line.ends_with("dies")).count();
        if !wrong.is_empty() {
            let from = history.len().saturating_sub(60);
            panic!(
                "SIDEHOOK_SIMULATION_SEED={seed} SIDEHOOK_SIMULATION_RUNS=1: {wrong:#?}\nafter\n{}",
                history.get(from..).unwrap_or_default().join("\n")
            );
        }
    }
    (asked, kills)
}

#[test]
fn whatever_goes_wrong_nothing_is_lost_early_or_out_of_turn() {
    let runs = setting("SIDEHOOK_SIMULATION_RUNS").unwrap_or(RUNS);
    let first = setting("SIDEHOOK_SIMULATION_SEED").unwrap_or(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let sums = std::thread::scope(|scope| {
        let part = |number| (first..first + runs).skip(number).step_by(threads);
        let all = (0..threads).map(|number| scope.spawn(move || run_all(part(number))));
        let all: Vec<_> = all.collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let asked: usize = sums.iter().map(|sum| sum.0).sum();
    let kills: usize = sums.iter().map(|sum| sum.1).sum();
    println!("{runs} runs: {asked} requests, {kills} processes killed");
    assert!(asked > 0 && (runs < 20 || kills > 0), "the runs were of nothing");
}

#[test]
fn a_run_follows_from_its_seed() {
    for seed in 1..=5 {
        assert_eq!(run(seed, false).history, run(seed, false).history, "{seed}");
    }
}

#[test]
fn a_store_that_forgets_what_follows_is_noticed() {
    let noticed = (1..=20).filter(|seed| !run(*seed, true).wrong.is_empty()).count();
    assert!(noticed >= 15, "{noticed} of 20");
}
