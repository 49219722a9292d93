//! Asks the sidecars for all that is shown: each for what it counted, and the first that answers for
//! what the store has.
//!
//! Invariant: what cannot be had is a reason, and keeps nothing else from being had.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures::future::join_all;
use reqwest::{Client, Method};
use serde::{Deserialize, de::DeserializeOwned};

use super::exposition::Exposition;
use crate::{cli::reach::Reach, clock::Clock, neighbours::client};

/// How many deliveries and dead letters are looked at, the newest.
const NEWEST: &str = "200";
/// How many subscriptions whose names are not known are asked for at a time.
const NAMES: usize = 20;

/// What was found out at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    /// When, by the monotonic clock.
    pub(super) at: Duration,
    /// What each sidecar counted.
    pub(super) counted: Vec<Had<Exposition>>,
    /// The newest dead letters.
    pub(super) dead: Had<Vec<Delivery>>,
    /// The newest deliveries that are pending.
    pub(super) pending: Had<Vec<Delivery>>,
    /// What subscriptions are called, by their ids.
    pub(super) names: BTreeMap<String, String>,
}

impl Reading {
    /// What a subscription is called, else its id.
    pub(super) fn name(&self, id: &str) -> String {
        self.names.get(id).map_or(id, String::as_str).to_owned()
    }
}

/// What was asked for, or why it is not there.
pub(super) type Had<T> = Result<T, String>;

/// A delivery, as far as it is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delivery {
    pub(super) subscription_id: String,
    pub(super) event_type: String,
    pub(super) attempts: u32,
    pub(super) last_outcome: Option<String>,
    pub(super) cause: Option<String>,
    pub(super) error: Option<String>,
    pub(super) finished_at: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Subscription {
    url: String,
    description: Option<String>,
}

/// Who asks.
#[derive(Debug)]
pub(super) struct Asker {
    sidecars: Vec<Reach>,
    client: Client,
    /// What is known of subscriptions; they seldom change.
    names: HashMap<String, String>,
}

impl Asker {
    pub(super) fn new(sidecars: Vec<Reach>) -> anyhow::Result<Self> {
        Ok(Self { sidecars, client: client()?, names: HashMap::new() })
    }

    /// Asks for everything.
    pub(super) async fn ask(&mut self, clock: &dyn Clock) -> Reading {
        let counted = join_all(self.sidecars.iter().map(|sidecar| self.counted(sidecar)));
        let dead = self.first::<Page>(&["dead-letters"], &[("limit", NEWEST)]);
        let wanted = [("state", "pending"), ("limit", NEWEST)];
        let pending = self.first::<Page>(&["deliveries"], &wanted);
        let (counted, dead, pending) = tokio::join!(counted, dead, pending);
        let at = clock.monotonic();
        let (dead, pending) = (dead.map(|page| page.data), pending.map(|page| page.data));
        let all = dead.iter().chain(&pending).flatten();
        let mut ids: Vec<_> = all.map(|one| one.subscription_id.clone()).collect();
        ids.sort();
        ids.dedup();
        self.learn(&ids).await;
        let name = |id: String| Some((self.names.get(&id)?.clone(), id));
        let names = ids.into_iter().filter_map(name).map(|(name, id)| (id, name)).collect();
        Reading { at, counted, dead, pending, names }
    }

    async fn counted(&self, sidecar: &Reach) -> Had<Exposition> {
        let asked = sidecar.ask_by(&self.client, Method::GET, &["metrics"], &[], None).await;
        let text = asked.map_err(|error| format!("{error:#}"))?;
        Ok(Exposition::parse(&text))
    }

    /// Asks for the names that are not known.
    async fn learn(&mut self, ids: &[String]) {
        let unknown: Vec<_> = ids.iter().filter(|id| !self.names.contains_key(*id)).collect();
        let asking = unknown.into_iter().take(NAMES).map(async |id| {
            let found = self.first::<Subscription>(&["subscriptions", id], &[]).await;
            Some((id.clone(), found.ok()?.name()))
        });
        let learnt = join_all(asking).await;
        self.names.extend(learnt.into_iter().flatten());
    }

    /// The answer of the first sidecar that has one, else the reason of the last.
    async fn first<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Had<T> {
        let mut reason = "no sidecar was named".to_owned();
        for sidecar in &self.sidecars {
            let asked = sidecar.ask_by(&self.client, Method::GET, segments, query, None).await;
            let read = asked.and_then(|text| Ok(serde_json::from_str(&text)?));
            match read {
                Ok(found) => return Ok(found),
                Err(error) => reason = format!("{error:#}"),
            }
        }
        Err(reason)
    }
}

impl Subscription {
    /// What its owner calls it, behind the host that it is delivered to.
    fn name(&self) -> String {
        let host = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let host = host.split(['/', '?']).next().unwrap_or_default();
        match &self.description {
            Some(description) => format!("{host} {description}"),
            None => host.to_owned(),
        }
    }
}
