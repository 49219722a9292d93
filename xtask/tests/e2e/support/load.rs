//! Many writes at once, and the accounts that must balance afterwards.
//!
//! Invariant: each person has a name of its own, so that a loss and a duplicate are told apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use xtask::{clock::Stopwatch, http::Http, receiver::Receiver};

use super::{LIMIT, Sidehook, name_of};

/// What came of a load.
pub(crate) struct Outcome {
    /// The names that the client saw a 2xx for.
    pub(crate) accepted: BTreeSet<String>,
    /// The statuses or errors that the others ended with, and how often.
    pub(crate) others: BTreeMap<String, usize>,
    /// The time it took.
    pub(crate) took: Duration,
}

/// People who are being created until someone says stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Outcome>,
}

impl Load {
    /// Creates people through the gateway, `at_once` at a time.
    pub(crate) fn of_people(url: String, at_once: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let numbers = (0..).take_while(move |_| !stopped.load(Ordering::Relaxed));
        Self { stop, task: tokio::spawn(create_people_of(url, numbers, at_once, 0)) }
    }

    /// Begins nothing new and waits for what is under way.
    pub(crate) async fn stop(self) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = tokio::time::timeout(LIMIT, self.task).await;
        Ok(outcome.context("some writes were never answered")??)
    }
}

/// Creates the people of these numbers through the gateway, `at_once` at a time.
pub(crate) async fn create_people(url: String, numbers: Range<usize>, at_once: usize) -> Outcome {
    create_people_of(url, numbers, at_once, 0).await
}

/// The same, each with so many bytes to tell of them.
pub(crate) async fn create_people_of(
    url: String,
    numbers: impl Iterator<Item = usize>,
    at_once: usize,
    length: usize,
) -> Outcome {
    let start = Stopwatch::start();
    let http = Http::new();
    let mut outcome =
        Outcome { accepted: BTreeSet::new(), others: BTreeMap::new(), took: Duration::ZERO };
    let writes = numbers.map(|number| {
        let (http, url) = (http.clone(), url.clone());
        async move {
            let name = format!("person {number}");
            let person = match length {
                0 => json!({"name": name}),
                length => json!({"name": name, "about": "x".repeat(length)}),
            };
            let answered = http.post(&url, &person).await;
            (name, answered)
        }
    });
    let mut answers = stream::iter(writes).buffer_unordered(at_once);
    while let Some((name, answered)) = answers.next().await {
        let other = match answered {
            Ok(answer) if answer.status.is_success() => {
                outcome.accepted.insert(name);
                continue;
            }
            Ok(answer) => answer.status.to_string(),
            Err(error) => format!("{:#}", error.root_cause()),
        };
        *outcome.others.entry(other).or_default() += 1;
    }
    outcome.took = start.elapsed();
    outcome
}

/// Every accepted name is an event, once, and every event a delivery under its own id.
pub(crate) async fn balance(
    sidehook: &Sidehook,
    receiver: &Receiver,
    accepted: &BTreeSet<String>,
    limit: Duration,
) -> Result<Delivered> {
    let events = sidehook.events().await?;
    let stored: BTreeSet<&str> = events.iter().map(name_of).collect();
    each_once(&events, accepted)?;

    let start = Stopwatch::start();
    let mut webhooks = receiver.got(events.len(), limit).await?;
    loop {
        let mut ids = BTreeMap::<String, BTreeSet<String>>::new();
        for webhook in &webhooks {
            let name = name_of(&webhook.json()).to_owned();
            ids.entry(name).or_default().insert(webhook.id().to_owned());
        }
        let twice: Vec<_> = ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
        ensure!(twice.is_empty(), "delivered under more than one id: {twice:?}");
        let missing: Vec<_> = stored.iter().filter(|name| !ids.contains_key(**name)).collect();
        if missing.is_empty() {
            let again = webhooks.len() - ids.len();
            return Ok(Delivered { events: events.len(), again, took: start.elapsed() });
        }
        ensure!(
            start.elapsed() < limit,
            "{} events were not delivered: {missing:?}",
            missing.len()
        );
        // Repeated deliveries took the place of missing ones in the count: wait for one more.
        webhooks = receiver.got(webhooks.len() + 1, limit).await?;
    }
}

/// Every accepted name is among the events, and no name twice.
pub(crate) fn each_once(events: &[Value], accepted: &BTreeSet<String>) -> Result<()> {
    let stored: BTreeSet<&str> = events.iter().map(name_of).collect();
    ensure!(stored.len() == events.len(), "{} events of {} people", events.len(), stored.len());
    let lost: Vec<_> = accepted.iter().filter(|name| !stored.contains(name.as_str())).collect();
    ensure!(lost.is_empty(), "{} accepted writes have no event: {lost:?}", lost.len());
    Ok(())
}

/// What was delivered.
pub(crate) struct Delivered {
    /// Stored events, each of them delivered.
    pub(crate) events: usize,
    /// Deliveries repeated under the same id.
    again: usize,
    /// The time from the last answer to the last delivery.
    took: Duration,
}

impl fmt::Display for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, again, took } = self;
        write!(f, "{events} events delivered {took:?} after the last answer, {again} twice")
    }
}
