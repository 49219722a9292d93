//! A store that is watched: how long its calls take, which of them fail, and what it records.
//!
//! Invariant: it does as the store in it does; to watch changes nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use prometheus_client::registry::Registry;
use sidehook_event::{Event, EventId, UnixMicros};

use super::{
    Change, DeliveryFilter, Dispatched, Due, Error, EventFilter, Expired, Result, Router, Store,
    UpdateError, Upserted, Waiting,
    figures::{Backlog, Connections, Owed},
    metrics::{Call, Metrics},
};
use crate::{
    clock::Clock,
    model::{
        AccessToken, Attempt, Delivery, DeliveryId, DueDelivery, Page, PageRequest, Pattern,
        Script, ScriptVersion, Subscription, SubscriptionId, Target, TokenId, Verdict,
    },
};

/// A store that is watched.
#[derive(Debug)]
pub struct Metered {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Metered {
    /// Watches this store, and registers what is seen under `sidehook_store_…`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, registry: &mut Registry) -> Self {
        let metrics = Metrics::register(&store, registry);
        Self { store, clock, metrics }
    }

    async fn timed<T, E: IsFailure>(
        &self,
        call: Call,
        work: impl Future<Output = std::result::Result<T, E>> + Send,
    ) -> std::result::Result<T, E> {
        let started = self.clock.monotonic();
        let done = work.await;
        let took = self.clock.monotonic().saturating_sub(started);
        let is_failure = done.as_ref().is_err_and(IsFailure::is_failure);
        self.metrics.called(call, took, is_failure);
        done
    }
}

/// Whether an error is the store's.
trait IsFailure {
    fn is_failure(&self) -> bool;
}

impl IsFailure for Error {
    fn is_failure(&self) -> bool {
        true
    }
}

impl IsFailure for UpdateError {
    fn is_failure(&self) -> bool {
        match self {
            Self::Taken => false,
            Self::Store(_) => true,
        }
    }
}

#[async_trait]
impl Store for Metered {
    async fn ping(&self) -> Result<()> {
        self.timed(Call::Ping, self.store.ping()).await
    }

    async fn recover(&self, now: UnixMicros) -> Result<u64> {
        self.timed(Call::Change, self.store.recover(now)).await
    }

    async fn append(
        &self,
        events: &[Arc<Event>],
        stored_at: UnixMicros,
        due: Due,
    ) -> Result<HashMap<EventId, u64>> {
        self.timed(Call::Append, self.store.append(events, stored_at, due)).await
    }

    async fn append_dispatched(
        &self,
        events: Vec<Arc<Event>>,
        now: UnixMicros,
        router: Router<'_>,
    ) -> Result<Vec<Dispatched>> {
        self.timed(Call::Append, self.store.append_dispatched(events, now, router)).await
    }

    async fn claim_events(
        &self,
        now: UnixMicros,
        lease_until: UnixMicros,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>> {
        self.timed(Call::Claim, self.store.claim_events(now, lease_until, limit)).await
    }

    async fn dispatch(
        &self,
        dispatched: &[Dispatched],
        now: UnixMicros,
    ) -> Result<HashSet<EventId>> {
        self.timed(Call::Dispatch, self.store.dispatch(dispatched, now)).await
    }

    async fn claim_deliveries(
        &self,
        now: UnixMicros,
        lease_until: UnixMicros,
        limit: usize,
    ) -> Result<Vec<DueDelivery>> {
        self.timed(Call::Claim, self.store.claim_deliveries(now, lease_until, limit)).await
    }

    async fn leases(&self, ids: &[DeliveryId]) -> Result<HashMap<DeliveryId, UnixMicros>> {
        self.timed(Call::Read, self.store.leases(ids)).await
    }

    async fn ahead(&self, id: DeliveryId) -> Result<u32> {
        self.timed(Call::Read, self.store.ahead(id)).await
    }

    async fn record(&self, verdicts: &[Verdict]) -> Result<()> {
        let recorded = self.timed(Call::Record, self.store.record(verdicts)).await;
        if recorded.is_ok() {
            self.metrics.recorded(verdicts);
        }
        recorded
    }

    async fn redrive(&self, ids: &[DeliveryId], now: UnixMicros) -> Result<u64> {
        self.timed(Call::Change, self.store.redrive(ids, now)).await
    }

    async fn waiting(
        &self,
        id: SubscriptionId,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<Waiting>> {
        self.timed(Call::Read, self.store.waiting(id, after, limit)).await
    }

    async fn reschedule(&self, moved: &[(Waiting, UnixMicros)]) -> Result<u64> {
        self.timed(Call::Change, self.store.reschedule(moved)).await
    }

    async fn replay(
        &self,
        replayed: Vec<Dispatched>,
        missing_only: bool,
        now: UnixMicros,
    ) -> Result<u64> {
        self.timed(Call::Change, self.store.replay(replayed, missing_only, now)).await
    }

    async fn discard(&self, ids: &[DeliveryId]) -> Result<u64> {
        self.timed(Call::Change, self.store.discard(ids)).await
    }

    async fn expire(
        &self,
        before: UnixMicros,
        from: Option<EventId>,
        limit: usize,
    ) -> Result<Expired> {
        self.timed(Call::Expire, self.store.expire(before, from, limit)).await
    }

    async fn backlog(&self, now: UnixMicros) -> Result<Backlog> {
        self.timed(Call::Count, self.store.backlog(now)).await
    }

    async fn owed(&self, subscriptions: &[SubscriptionId]) -> Result<Vec<Owed>> {
        self.timed(Call::Count, self.store.owed(subscriptions)).await
    }

    fn connections(&self) -> Connections {
        self.store.connections()
    }

    async fn upsert_subscription(
        &self,
        subscription: Subscription,
        new_secret: bool,
    ) -> Result<Upserted> {
        self.timed(Call::Change, self.store.upsert_subscription(subscription, new_secret)).await
    }

    async fn disable_subscription(
        &self,
        id: SubscriptionId,
        reason: &str,
        now: UnixMicros,
    ) -> Result<bool> {
        self.timed(Call::Change, self.store.disable_subscription(id, reason, now)).await
    }

    async fn receiver_fails(&self, id: SubscriptionId, now: UnixMicros) -> Result<UnixMicros> {
        self.timed(Call::Change, self.store.receiver_fails(id, now)).await
    }

    async fn receiver_works(&self, id: SubscriptionId) -> Result<()> {
        self.timed(Call::Change, self.store.receiver_works(id)).await
    }

    async fn reserve_pace(
        &self,
        id: SubscriptionId,
        span: Duration,
        now: UnixMicros,
    ) -> Result<UnixMicros> {
        self.timed(Call::Change, self.store.reserve_pace(id, span, now)).await
    }

    async fn update_subscription(
        &self,
        subscription: &Subscription,
    ) -> std::result::Result<bool, UpdateError> {
        self.timed(Call::Change, self.store.update_subscription(subscription)).await
    }

    async fn delete_subscription(&self, id: SubscriptionId, now: UnixMicros) -> Result<bool> {
        self.timed(Call::Change, self.store.delete_subscription(id, now)).await
    }

    async fn all_subscriptions(&self) -> Result<Vec<Subscription>> {
        self.timed(Call::Read, self.store.all_subscriptions()).await
    }

    async fn subscriptions_of(&self, ids: &[SubscriptionId]) -> Result<Vec<Subscription>> {
        self.timed(Call::Read, self.store.subscriptions_of(ids)).await
    }

    async fn subscription_by_target(
        &self,
        pattern: &Pattern,
        url: &Target,
    ) -> Result<Option<Subscription>> {
        self.timed(Call::Read, self.store.subscription_by_target(pattern, url)).await
    }

    fn subscription_changes(&self) -> BoxStream<'static, Change> {
        self.store.subscription_changes()
    }

    async fn subscriptions(
        &self,
        page: PageRequest<SubscriptionId>,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        self.timed(Call::Read, self.store.subscriptions(page)).await
    }

    async fn reseal(&self) -> Result<u64> {
        self.timed(Call::Change, self.store.reseal()).await
    }

    async fn events(
        &self,
        filter: &EventFilter,
        page: PageRequest<EventId>,
    ) -> Result<Page<Event, EventId>> {
        self.timed(Call::Read, self.store.events(filter, page)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.timed(Call::Read, self.store.event(id)).await
    }

    async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        page: PageRequest<DeliveryId>,
    ) -> Result<Page<Delivery, DeliveryId>> {
        self.timed(Call::Read, self.store.deliveries(filter, page)).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<(Delivery, Vec<Attempt>)>> {
        self.timed(Call::Read, self.store.delivery(id)).await
    }

    async fn keep_script(&self, script: &Script, now: UnixMicros) -> Result<()> {
        self.timed(Call::Change, self.store.keep_script(script, now)).await
    }

    async fn script(&self, version: ScriptVersion) -> Result<Option<Script>> {
        self.timed(Call::Read, self.store.script(version)).await
    }

    async fn add_token(&self, token: &AccessToken) -> Result<()> {
        self.timed(Call::Change, self.store.add_token(token)).await
    }

    async fn revoke_token(&self, id: TokenId, now: UnixMicros) -> Result<bool> {
        self.timed(Call::Change, self.store.revoke_token(id, now)).await
    }

    async fn all_tokens(&self) -> Result<Vec<AccessToken>> {
        self.timed(Call::Read, self.store.all_tokens()).await
    }

    async fn tokens(&self, page: PageRequest<TokenId>) -> Result<Page<AccessToken, TokenId>> {
        self.timed(Call::Read, self.store.tokens(page)).await
    }
}
