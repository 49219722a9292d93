//! Every 2xx the client saw is a stored event, whatever is killed or frozen meanwhile: the gateway,
//! the sidecar, the store, at any moment.
//!
//! With `SIDEHOOK_TEST_WRITES=50000` ten times as many writes are made as usual.
//!
//! Invariant: each attempt to write has a name of its own, so that an answer, a write of the API and
//! an event can be told to belong together.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use xtask::{backend::Backend, child::Child, clock::Stopwatch, http::Http, say};

use crate::support::{Sidehook, alone, name_of};

const AT_ONCE: usize = 32;

/// How many writes are made at least, if nobody says otherwise.
const WRITES: usize = 5_000;

/// How often something is killed or frozen at least, however fast the writes are.
const STRIKES: usize = 8;

/// How long a client waits before it asks again.
const AGAIN: Duration = Duration::from_millis(50);

/// The longest that anything is away.
const AWAY: Duration = Duration::from_secs(3);

/// What clients saw.
#[derive(Default)]
struct Ledger {
    /// The names of the writes that were answered 2xx.
    accepted: Mutex<BTreeSet<String>>,
    refused: AtomicUsize,
    broken: AtomicUsize,
    written: AtomicUsize,
    /// Whether there were writes and strikes enough.
    enough: AtomicBool,
}

/// Who is killed or frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Gateway,
    Sidecar,
    Store,
}

/// Numbers that look like chance and are the same in each run (splitmix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % sides
    }
}

impl Ledger {
    fn accepted(&self) -> BTreeSet<String> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let accepted = self.accepted().len();
        write!(
            f,
            "{accepted} × 2xx, {} refused, {} broken off",
            read(&self.refused),
            read(&self.broken)
        )
    }
}

/// A client that makes writes one after the other, each until it is accepted, until there are enough.
async fn write(url: String, client: usize, ledger: Arc<Ledger>) {
    let http = Http::new();
    for number in 0.. {
        if ledger.enough.load(Ordering::Relaxed) {
            break;
        }
        for attempt in 0.. {
            let name = format!("person {client}/{number}/{attempt}");
            match http.post(&url, &json!({"name": name})).await {
                Ok(answer) if answer.status.is_success() => {
                    ledger.accepted.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
                    break;
                }
                Ok(_) => ledger.refused.fetch_add(1, Ordering::Relaxed),
                Err(_) => ledger.broken.fetch_add(1, Ordering::Relaxed),
            };
            tokio::time::sleep(AGAIN).await;
        }
        ledger.written.fetch_add(1, Ordering::Relaxed);
    }
}

impl Victim {
    fn process(self, sidehook: &mut Sidehook) -> Result<&mut Child> {
        Ok(match self {
            Self::Gateway => sidehook.stack.envoy(),
            Self::Sidecar => sidehook.stack.sidecar(0)?,
            Self::Store => {
                sidehook.stack.servers().postgres.as_mut().context("no Postgres")?.server()
            }
        })
    }

    async fn restart(self, sidehook: &mut Sidehook) -> Result<()> {
        match self {
            Self::Gateway => sidehook.stack.restart_gateway().await,
            Self::Sidecar => sidehook.stack.restart_sidecar(0).await,
            Self::Store => {
                let postgres = sidehook.stack.servers().postgres.as_mut().context("no Postgres")?;
                postgres.restart().await
            }
        }
    }
}

/// Kills and freezes one after the other until there were enough of both, writes and strikes. Tells
/// how often it did what.
async fn strike(sidehook: &mut Sidehook, ledger: &Ledger, writes: usize) -> Result<Vec<String>> {
    let mut dice = Dice(42);
    let mut told = Vec::new();
    while ledger.written.load(Ordering::Relaxed) < writes || told.len() < STRIKES {
        tokio::time::sleep(Duration::from_millis(200 + dice.throw(1000))).await;
        let victim = match dice.throw(3) {
            0 => Victim::Gateway,
            1 => Victim::Sidecar,
            _ => Victim::Store,
        };
        let away = Duration::from_millis(100 + dice.throw(u64::try_from(AWAY.as_millis())? - 100));
        if dice.throw(2) == 0 {
            victim.process(sidehook)?.signal(Signal::KILL)?;
            victim.process(sidehook)?.ended().await?;
            tokio::time::sleep(away / 4).await;
            victim.restart(sidehook).await?;
            told.push(format!("{victim:?} killed"));
        } else {
            victim.process(sidehook)?.signal(Signal::STOP)?;
            tokio::time::sleep(away).await;
            victim.process(sidehook)?.signal(Signal::CONT)?;
            told.push(format!("{victim:?} frozen"));
        }
    }
    ledger.enough.store(true, Ordering::Relaxed);
    Ok(told)
}

async fn keeps_its_promise(capture: &str, hold: &str) -> Result<()> {
    let _machine = alone().await;
    let writes = std::env::var("SIDEHOOK_TEST_WRITES").ok();
    let writes = writes.map_or(Ok(WRITES), |writes| writes.parse())?;
    let mut sidehook = Sidehook::before_people_with(|plan| {
        plan.backend = Backend { postgres: true, rabbitmq: false };
        capture.clone_into(&mut plan.capture);
        plan.gateway_arguments.push(format!("--hold-timeout={hold}"));
    })
    .await?;
    let start = Stopwatch::start();
    let ledger = Arc::new(Ledger::default());
    let mut clients = JoinSet::new();
    for client in 0..AT_ONCE {
        let url = sidehook.plan.gateway_url("/people");
        clients.spawn(write(url, client, Arc::clone(&ledger)));
    }
    let mut told = strike(&mut sidehook, &ledger, writes).await?;
    clients.join_all().await;
    let took = start.elapsed();

    let accepted = ledger.accepted();
    // What the gateway still has is on its way; what it had when it was killed was never a 2xx.
    let stored = sidehook.events_until(|events| {
        let stored: BTreeSet<&str> = events.iter().map(name_of).collect();
        accepted.iter().all(|name| stored.contains(name.as_str()))
    });
    let stored = stored.await;
    let events = sidehook.events().await?;
    let names: BTreeSet<&str> = events.iter().map(name_of).collect();
    let missing: Vec<_> = accepted.iter().filter(|name| !names.contains(name.as_str())).collect();
    let at_risk = sidehook.stack.stat("wasmcustom.sidehook.at_risk").await?;
    told.sort();
    let struck = told.chunk_by(|one, other| one == other);
    let struck: Vec<_> = struck
        .map(|same| format!("{} {}×", same.first().map_or("", String::as_str), same.len()))
        .collect();
    say::line(format!(
        "{capture}: {ledger} in {took:?}; {}; {} events, {} of the 2xx missing, {at_risk} at risk",
        struck.join(", "),
        events.len(),
        missing.len()
    ));
    ensure!(missing.is_empty(), "{} of the 2xx have no event: {missing:?}", missing.len());
    drop(stored?);
    ensure!(names.len() == events.len(), "{} events of {} writes", events.len(), names.len());

    // Nothing was made up: whatever is told of, the API has.
    let people =
        sidehook.http.get(&format!("{}/people", sidehook.plan.upstream)).await?.accepted()?;
    let people = people.as_array().context("no list")?;
    let made: BTreeSet<&str> =
        people.iter().filter_map(|person| person.get("name").and_then(Value::as_str)).collect();
    let invented: Vec<_> = names.difference(&made).collect();
    ensure!(invented.is_empty(), "the API knows nothing of {invented:?}");
    sidehook.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_keeps_its_promise_whatever_is_killed_or_frozen() -> Result<()> {
    // Whoever is held for longer is refused, and comes again.
    keeps_its_promise("strict", "500ms").await
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_keeps_its_promise_whatever_is_killed_or_frozen() -> Result<()> {
    // Longer than anything is away: nobody is let go before.
    keeps_its_promise("durable", "20s").await
}
