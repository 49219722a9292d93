//! A store in memory, as each of several processes sees it: slow, now and then away, and for a
//! process that died without an answer for ever.
//!
//! Invariant: it decides as the real stores do (`store/standing.rs`), and every call is one
//! transaction.

#![expect(clippy::unwrap_used, clippy::unreachable, reason = "this is how a test fails")]

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use sidehook::{
    clock::Clock as _,
    model::{
        AccessToken, Attempt, Delivery, DeliveryId, DueDelivery, Page, PageRequest, Pattern,
        Script, ScriptVersion, Series, State, Subscription, SubscriptionId, Target, TokenId,
        Verdict,
    },
    store::{
        Change, DeliveryFilter, Dispatched, Due, Error, EventFilter, Expired, Result, Router,
        Store, UpdateError, Upserted, Waiting,
        figures::{Backlog, Connections, Owed},
        numbered,
    },
};
use sidehook_event::{Event, EventId, UnixMicros};

use crate::{
    chance::{Chance, Virtual},
    kept::Kept,
};

const ELSEWHERE: &str = "nobody asks for it in the simulation";

/// The store as one process sees it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) kept: Arc<Mutex<Kept>>,
    pub(crate) chance: Chance,
    pub(crate) lives: Arc<AtomicBool>,
    pub(crate) clock: Virtual,
}

impl Seen {
    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// Does something in a transaction. It takes its time; the process may die before it is done,
    /// or before it hears of it; and the store may be away.
    async fn call<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> Result<T> {
        self.pass().await;
        let away = || Error::Unavailable("away".into());
        if self.clock.now() < self.kept().away_until {
            return Err(away());
        }
        let done = work(&mut self.kept());
        self.pass().await;
        // Done, and nobody is told.
        if self.clock.now() < self.kept().away_until { Err(away()) } else { Ok(done) }
    }

    async fn pass(&self) {
        tokio::time::sleep(self.chance.millis(8)).await;
        if !self.lives.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Store for Seen {
    async fn append(
        &self,
        events: &[Arc<Event>],
        _: UnixMicros,
        when: Due,
    ) -> Result<HashMap<EventId, u64>> {
        self.call(|kept| kept.append(events, when)).await
    }

    async fn append_dispatched(
        &self,
        events: Vec<Arc<Event>>,
        now: UnixMicros,
        router: Router<'_>,
    ) -> Result<Vec<Dispatched>> {
        self.call(|kept| {
            let new = kept.append(&events, Due::At(now));
            let dispatched = router(numbered(events, new));
            kept.dispatch(&dispatched, now);
            dispatched
        })
        .await
    }

    async fn claim_events(
        &self,
        now: UnixMicros,
        lease_until: UnixMicros,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>> {
        self.call(|kept| {
            let open = kept.events.values_mut().filter(|kept| !kept.is_dispatched);
            let due = open.filter(|kept| kept.due_at <= now).take(limit);
            let claimed = due.map(|kept| {
                kept.due_at = lease_until;
                Arc::clone(&kept.event)
            });
            claimed.collect()
        })
        .await
    }

    async fn dispatch(&self, all: &[Dispatched], now: UnixMicros) -> Result<HashSet<EventId>> {
        self.call(|kept| kept.dispatch(all, now)).await
    }

    async fn claim_deliveries(
        &self,
        now: UnixMicros,
        lease_until: UnixMicros,
        limit: usize,
    ) -> Result<Vec<DueDelivery>> {
        self.call(|kept| {
            let pending = kept.deliveries.iter_mut();
            let mut due: Vec<_> = pending
                .filter(|(_, one)| one.standing.due_at.is_some_and(|due_at| due_at <= now))
                .collect();
            due.sort_by_key(|(id, one)| (one.standing.due_at, **id));
            let claimed = due.into_iter().take(limit).map(|(id, one)| {
                one.standing.due_at = Some(lease_until);
                one.standing.claimed = true;
                DueDelivery {
                    id: *id,
                    event_id: one.event_id,
                    event_type: kept.events.get(&one.event_id).unwrap().event.event_type.clone(),
                    subscription_id: one.subscription_id,
                    attempt: one.standing.attempts + 1,
                    series: Series { began_at: one.created_at, earlier: 0 },
                    payload: one.payload.clone(),
                    lease_until,
                }
            });
            claimed.collect()
        })
        .await
    }

    async fn leases(&self, ids: &[DeliveryId]) -> Result<HashMap<DeliveryId, UnixMicros>> {
        self.call(|kept| kept.leases(ids)).await
    }

    async fn ahead(&self, id: DeliveryId) -> Result<u32> {
        self.call(|kept| kept.ahead(id)).await
    }

    async fn record(&self, verdicts: &[Verdict]) -> Result<()> {
        self.call(|kept| {
            let mut finished = Vec::new();
            for verdict in verdicts {
                let forgets = kept.forgets_retries;
                let Some(one) = kept.deliveries.get_mut(&verdict.delivery_id) else { continue };
                let before = one.standing.state;
                one.standing = one.standing.after(verdict);
                if let Some(attempt) = &verdict.attempt {
                    one.log.entry(attempt.number).or_insert_with(|| attempt.clone());
                }
                if before == State::Pending && one.standing.state != State::Pending {
                    finished.push((verdict.delivery_id, verdict.at));
                } else if forgets && verdict.attempt.is_some() {
                    one.standing.due_at = Some(UnixMicros::MAX);
                }
            }
            for (id, at) in finished {
                kept.release(id, at);
            }
        })
        .await
    }

    async fn disable_subscription(
        &self,
        id: SubscriptionId,
        reason: &str,
        now: UnixMicros,
    ) -> Result<bool> {
        self.call(|kept| {
            let Some(found) = kept.subscriptions.get_mut(&id).filter(|found| found.enabled) else {
                return false;
            };
            *found = found.disabled(reason, now);
            true
        })
        .await
    }

    async fn receiver_fails(&self, _: SubscriptionId, now: UnixMicros) -> Result<UnixMicros> {
        self.call(|_| now).await
    }

    async fn receiver_works(&self, _: SubscriptionId) -> Result<()> {
        self.call(|_| ()).await
    }

    async fn reserve_pace(
        &self,
        id: SubscriptionId,
        span: Duration,
        now: UnixMicros,
    ) -> Result<UnixMicros> {
        self.call(|kept| {
            let next = kept.pace.entry(id).or_insert(now);
            let from = (*next).max(now);
            *next = from.after(span);
            from
        })
        .await
    }

    async fn all_subscriptions(&self) -> Result<Vec<Subscription>> {
        self.call(|kept| kept.subscriptions.values().cloned().collect()).await
    }

    async fn subscriptions_of(&self, ids: &[SubscriptionId]) -> Result<Vec<Subscription>> {
        let found = |kept: &mut Kept| {
            ids.iter().filter_map(|id| kept.subscriptions.get(id).cloned()).collect()
        };
        self.call(found).await
    }

    fn subscription_changes(&self) -> BoxStream<'static, Change> {
        Box::pin(stream::pending())
    }

    async fn ping(&self) -> Result<()> {
        unreachable!("{ELSEWHERE}")
    }
    async fn recover(&self, _: UnixMicros) -> Result<u64> {
        unreachable!("{ELSEWHERE}")
    }
    async fn redrive(&self, _: &[DeliveryId], _: UnixMicros) -> Result<u64> {
        unreachable!("{ELSEWHERE}")
    }
    async fn discard(&self, _: &[DeliveryId]) -> Result<u64> {
        unreachable!("{ELSEWHERE}")
    }
    async fn replay(&self, _: Vec<Dispatched>, _: bool, _: UnixMicros) -> Result<u64> {
        unreachable!("{ELSEWHERE}")
    }
    async fn waiting(
        &self,
        _: SubscriptionId,
        _: Option<DeliveryId>,
        _: usize,
    ) -> Result<Vec<Waiting>> {
        unreachable!("{ELSEWHERE}")
    }
    async fn reschedule(&self, _: &[(Waiting, UnixMicros)]) -> Result<u64> {
        unreachable!("{ELSEWHERE}")
    }
    async fn expire(&self, _: UnixMicros, _: Option<EventId>, _: usize) -> Result<Expired> {
        unreachable!("{ELSEWHERE}")
    }
    async fn backlog(&self, _: UnixMicros) -> Result<Backlog> {
        unreachable!("{ELSEWHERE}")
    }
    async fn owed(&self, _: &[SubscriptionId]) -> Result<Vec<Owed>> {
        unreachable!("{ELSEWHERE}")
    }
    fn connections(&self) -> Connections {
        unreachable!("{ELSEWHERE}")
    }
    async fn upsert_subscription(&self, _: Subscription, _: bool) -> Result<Upserted> {
        unreachable!("{ELSEWHERE}")
    }
    async fn update_subscription(
        &self,
        _: &Subscription,
    ) -> std::result::Result<bool, UpdateError> {
        unreachable!("{ELSEWHERE}")
    }
    async fn delete_subscription(&self, _: SubscriptionId, _: UnixMicros) -> Result<bool> {
        unreachable!("{ELSEWHERE}")
    }
    async fn subscription_by_target(
        &self,
        _: &Pattern,
        _: &Target,
    ) -> Result<Option<Subscription>> {
        unreachable!("{ELSEWHERE}")
    }
    async fn subscriptions(
        &self,
        _: PageRequest<SubscriptionId>,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        unreachable!("{ELSEWHERE}")
    }
    async fn reseal(&self) -> Result<u64> {
        unreachable!("{ELSEWHERE}")
    }
    async fn events(
        &self,
        _: &EventFilter,
        _: PageRequest<EventId>,
    ) -> Result<Page<Event, EventId>> {
        unreachable!("{ELSEWHERE}")
    }
    async fn event(&self, _: EventId) -> Result<Option<Event>> {
        unreachable!("{ELSEWHERE}")
    }
    async fn deliveries(
        &self,
        _: &DeliveryFilter,
        _: PageRequest<DeliveryId>,
    ) -> Result<Page<Delivery, DeliveryId>> {
        unreachable!("{ELSEWHERE}")
    }
    async fn delivery(&self, _: DeliveryId) -> Result<Option<(Delivery, Vec<Attempt>)>> {
        unreachable!("{ELSEWHERE}")
    }
    async fn keep_script(&self, _: &Script, _: UnixMicros) -> Result<()> {
        unreachable!("{ELSEWHERE}")
    }
    async fn script(&self, _: ScriptVersion) -> Result<Option<Script>> {
        unreachable!("{ELSEWHERE}")
    }
    async fn add_token(&self, _: &AccessToken) -> Result<()> {
        unreachable!("{ELSEWHERE}")
    }
    async fn revoke_token(&self, _: TokenId, _: UnixMicros) -> Result<bool> {
        unreachable!("{ELSEWHERE}")
    }
    async fn all_tokens(&self) -> Result<Vec<AccessToken>> {
        unreachable!("{ELSEWHERE}")
    }
    async fn tokens(&self, _: PageRequest<TokenId>) -> Result<Page<AccessToken, TokenId>> {
        unreachable!("{ELSEWHERE}")
    }
}
