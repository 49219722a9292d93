//! The receivers of a run, and what they saw.
//!
//! Invariant: what a receiver does depends on the time alone; whatever reaches it is written down.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is how a test fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use sidehook::{
    clock::Clock as _,
    deliver::{
        client::{Answer, Failure},
        courier::Courier,
    },
    model::{Outcome, State, Target, Tls},
};
use sidehook_event::{EventId, TypeId as _};

use crate::{
    chance::{Chance, Virtual},
    kept::Kept,
};

/// What a receiver does for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Well,
    Fails(u16),
    /// 503, and to be left alone for so many seconds.
    Busy(u64),
    Hangs,
    /// Takes it, and the connection breaks.
    Breaks,
    /// 410.
    Gone,
}

/// A delivery as receivers see it: which of them, and the event.
type Name = (usize, EventId);

#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// When each begins to behave so, the earliest first.
    pub(crate) manners: Vec<Vec<(Duration, Manner)>>,
    pub(crate) asked: BTreeMap<Name, u64>,
    pub(crate) taken: BTreeSet<Name>,
    bodies: BTreeMap<Name, Bytes>,
    under_way: BTreeMap<(usize, usize), usize>,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
    /// What happened.
    pub(crate) history: Vec<String>,
}

/// The way from one process to the receivers.
#[derive(Debug, Clone)]
pub(crate) struct Road {
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) kept: Arc<Mutex<Kept>>,
    pub(crate) process: usize,
    pub(crate) lives: Arc<AtomicBool>,
    pub(crate) chance: Chance,
    pub(crate) clock: Virtual,
    /// The most attempts at a time for one receiver.
    pub(crate) share: usize,
}

impl Road {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    async fn pass(&self) {
        tokio::time::sleep(self.chance.millis(30)).await;
        if !self.lives.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// A request is at its receiver.
    fn arrive(&self, name: Name, body: &Bytes) -> Manner {
        let (now, out_of_turn) = (self.clock.monotonic(), self.out_of_turn(name));
        let mut seen = self.seen();
        let phases = seen.manners[name.0].iter().rev();
        let manner = phases.clone().find(|(from, _)| *from <= now).map_or(Manner::Well, |p| p.1);
        let line =
            format!("{now:?} process {} asks {} of {}: {manner:?}", self.process, name.0, name.1);
        seen.history.push(line);
        *seen.asked.entry(name).or_default() += 1;
        let first = seen.bodies.entry(name).or_insert_with(|| body.clone()).clone();
        if first != *body {
            seen.wrong.push(format!("{name:?} was sent with other bytes"));
        }
        let under_way = seen.under_way.entry((self.process, name.0)).or_default();
        *under_way += 1;
        let many = *under_way;
        if many > self.share {
            seen.wrong.push(format!("{many} attempts at a time for {}", name.0));
        }
        if out_of_turn && !seen.taken.contains(&name) {
            seen.wrong.push(format!("{name:?} was sent before one that is ahead of it"));
        }
        if matches!(manner, Manner::Well | Manner::Breaks) {
            seen.taken.insert(name);
        }
        manner
    }

    fn out_of_turn(&self, (receiver, event): Name) -> bool {
        let kept = self.kept.lock().unwrap();
        let own = kept.deliveries.iter().find(|(_, one)| {
            one.event_id == event && one.subscription_id.bits() == receiver as u128
        });
        own.is_some_and(|(id, one)| one.standing.state == State::Pending && kept.ahead(*id) > 0)
    }
}

#[async_trait]
impl Courier for Road {
    async fn send(
        &self,
        target: &Target,
        _: &Tls,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        let receiver: usize = target.url().path().trim_start_matches('/').parse().unwrap();
        let id = request.headers()["webhook-id"].to_str().unwrap();
        let name = (receiver, EventId::parse(id).unwrap());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        self.pass().await;
        let manner = self.arrive(name, &body);
        if manner == Manner::Hangs {
            tokio::time::sleep(limit.saturating_sub(Duration::from_millis(30))).await;
        }
        self.pass().await;
        *self.seen().under_way.get_mut(&(self.process, receiver)).unwrap() -= 1;
        let answer = |status: u16, headers: HeaderMap, excerpt: &str| {
            Ok(Answer { status, headers, excerpt: excerpt.to_owned(), resent: false })
        };
        let failure = |outcome, error: &str| Err(Failure { outcome, error: error.to_owned() });
        match manner {
            Manner::Well => answer(200, HeaderMap::new(), ""),
            Manner::Fails(status) => answer(status, HeaderMap::new(), "no"),
            Manner::Busy(seconds) => {
                let headers = [(http::header::RETRY_AFTER, seconds.into())];
                answer(503, headers.into_iter().collect(), &format!("busy {seconds}"))
            }
            Manner::Gone => answer(410, HeaderMap::new(), ""),
            Manner::Hangs => failure(Outcome::Timeout, "no answer"),
            Manner::Breaks => failure(Outcome::Connection, "broke off"),
        }
    }
}
