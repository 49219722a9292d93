//! The store in a Postgres database, which any number of sidecars share.
//!
//! Every call takes a few seconds at most, whatever the server does: it is limited here, and each
//! statement on the server too. What one call writes, it writes in one statement if it can, for
//! many rows at once (`unnest`), so that a batch costs one round trip and one commit.
//!
//! Whoever claims something passes over what another is just claiming (`SKIP LOCKED`). Whoever
//! locks rows locks them in the order of their ids.
//!
//! Invariant: a statement's text is fixed when the program starts; values are always bound.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use sidehook_event::{Event, EventId, UnixMicros};
use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;

use super::{
    Change, DeliveryFilter, Dispatched, Due, Error, EventFilter, Expired, Result, Router, Store,
    UpdateError, Upserted, Waiting,
    figures::{Backlog, Connections, Owed},
    seal::Keyring,
};
use crate::{
    clock::Clock,
    model::{
        AccessToken, Attempt, Delivery, DeliveryId, DueDelivery, Page, PageRequest, Pattern,
        Script, ScriptVersion, Subscription, SubscriptionId, Target, TokenId, Verdict,
    },
};

mod address;
mod backlog;
mod changes;
mod claim;
mod deliveries;
mod dispatch;
mod durability;
mod events;
mod expire;
mod list;
mod open;
mod order;
#[cfg(test)]
mod plan_tests;
mod pool;
mod pulse;
mod record;
mod redrive;
mod replay;
mod reschedule;
mod rows;
mod scripts;
mod schema;
mod sealing;
mod subscriptions;
#[cfg(test)]
mod testing;
mod tokens;

pub use durability::Forgetful;
pub use open::{Config, OpenError};
pub use schema::Migrated;

use changes::Changes;
use pool::Pool;
use pulse::Pulse;
use rows::failed;

/// How long a call may take. Longer than a statement may on the server, which knows the reason.
const LIMIT: Duration = Duration::from_secs(5);

/// What survives, in a Postgres database.
#[derive(Debug)]
pub struct PostgresStore {
    pool: Arc<Pool>,
    pulse: Pulse,
    listening: PgConnectOptions,
    keyring: Keyring,
    clock: Arc<dyn Clock>,
}

impl PostgresStore {
    /// Connects to the server and brings the schema up to this build's. `keyring` seals the
    /// secrets there.
    pub async fn connect(
        config: &Config,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
    ) -> std::result::Result<Self, OpenError> {
        open::connect(config, keyring, clock).await
    }

    /// Brings the schema up to this build's, and says from where to where.
    pub async fn migrate(
        config: &Config,
        clock: &dyn Clock,
    ) -> std::result::Result<Migrated, OpenError> {
        open::migrate(config, clock).await
    }

    /// Lets a call take no longer than the limit. A connection that was in use then is closed.
    async fn bounded<T>(&self, call: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
        match timeout(LIMIT, call).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                self.pulse.feel(&error);
                if rows::is_of_the_connection(&error) {
                    self.pool.forget_idle();
                }
                Err(failed(error))
            }
            Err(late) => Err(Error::Unavailable(late.into())),
        }
    }

    /// Ends the connections that are idle. Calls that come later fail. A store that is merely
    /// dropped loses nothing either.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<()> {
        self.bounded(self.pulse.beat(&self.pool)).await
    }

    /// Others may be at work on what is in hand, and whoever has it may be one of them: nothing
    /// is certain before its lease ends.
    async fn recover(&self, _now: UnixMicros) -> Result<u64> {
        Ok(0)
    }

    async fn append(
        &self,
        events: &[Arc<Event>],
        stored_at: UnixMicros,
        due: Due,
    ) -> Result<HashMap<EventId, u64>> {
        self.bounded(events::append(&self.pool, events, stored_at, due)).await
    }

    async fn append_dispatched(
        &self,
        events: Vec<Arc<Event>>,
        now: UnixMicros,
        router: Router<'_>,
    ) -> Result<Vec<Dispatched>> {
        self.bounded(dispatch::append_dispatched(&self.pool, events, now, router)).await
    }

    async fn claim_events(
        &self,
        now: UnixMicros,
        lease_until: UnixMicros,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>> {
        self.bounded(events::claim(&self.pool, now, lease_until, limit)).await
    }

    async fn dispatch(
        &self,
        dispatched: &[Dispatched],
        now: UnixMicros,
    ) -> Result<HashSet<EventId>> {
        self.bounded(dispatch::dispatch(&self.pool, dispatched, now)).await
    }

    async fn claim_deliveries(
        &self,
        now: UnixMicros,
        lease_until: UnixMicros,
        limit: usize,
    ) -> Result<Vec<DueDelivery>> {
        self.bounded(deliveries::claim(&self.pool, now, lease_until, limit)).await
    }

    async fn leases(&self, ids: &[DeliveryId]) -> Result<HashMap<DeliveryId, UnixMicros>> {
        self.bounded(deliveries::leases(&self.pool, ids)).await
    }

    async fn ahead(&self, id: DeliveryId) -> Result<u32> {
        self.bounded(order::ahead(&self.pool, id)).await
    }

    async fn record(&self, verdicts: &[Verdict]) -> Result<()> {
        self.bounded(record::record(&self.pool, verdicts)).await
    }

    async fn redrive(&self, ids: &[DeliveryId], now: UnixMicros) -> Result<u64> {
        self.bounded(redrive::redrive(&self.pool, ids, now)).await
    }

    async fn waiting(
        &self,
        id: SubscriptionId,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<Waiting>> {
        self.bounded(reschedule::waiting(&self.pool, id, after, limit)).await
    }

    async fn reschedule(&self, moved: &[(Waiting, UnixMicros)]) -> Result<u64> {
        self.bounded(reschedule::reschedule(&self.pool, moved)).await
    }

    async fn replay(
        &self,
        replayed: Vec<Dispatched>,
        missing_only: bool,
        now: UnixMicros,
    ) -> Result<u64> {
        self.bounded(replay::replay(&self.pool, replayed, missing_only, now)).await
    }

    async fn discard(&self, ids: &[DeliveryId]) -> Result<u64> {
        self.bounded(redrive::discard(&self.pool, ids)).await
    }

    async fn expire(
        &self,
        before: UnixMicros,
        from: Option<EventId>,
        limit: usize,
    ) -> Result<Expired> {
        self.bounded(expire::expire(&self.pool, before, from, limit)).await
    }

    async fn backlog(&self, now: UnixMicros) -> Result<Backlog> {
        self.bounded(backlog::count(&self.pool, now)).await
    }

    async fn owed(&self, subscriptions: &[SubscriptionId]) -> Result<Vec<Owed>> {
        self.bounded(backlog::owed(&self.pool, subscriptions)).await
    }

    fn connections(&self) -> Connections {
        self.pool.connections()
    }

    async fn upsert_subscription(
        &self,
        subscription: Subscription,
        new_secret: bool,
    ) -> Result<Upserted> {
        self.bounded(subscriptions::upsert(&self.pool, &self.keyring, subscription, new_secret))
            .await
    }

    async fn update_subscription(
        &self,
        subscription: &Subscription,
    ) -> std::result::Result<bool, UpdateError> {
        let update = subscriptions::update(&self.pool, &self.keyring, subscription);
        self.bounded(update).await?.ok_or(UpdateError::Taken)
    }

    async fn disable_subscription(
        &self,
        id: SubscriptionId,
        reason: &str,
        now: UnixMicros,
    ) -> Result<bool> {
        let disable = subscriptions::disable(&self.pool, &self.keyring, id, reason, now);
        self.bounded(disable).await
    }

    async fn receiver_fails(&self, id: SubscriptionId, now: UnixMicros) -> Result<UnixMicros> {
        self.bounded(subscriptions::fails(&self.pool, id, now)).await
    }

    async fn receiver_works(&self, id: SubscriptionId) -> Result<()> {
        self.bounded(subscriptions::works(&self.pool, id)).await
    }

    async fn reserve_pace(
        &self,
        id: SubscriptionId,
        span: Duration,
        now: UnixMicros,
    ) -> Result<UnixMicros> {
        self.bounded(subscriptions::reserve_pace(&self.pool, id, span, now)).await
    }

    async fn delete_subscription(&self, id: SubscriptionId, now: UnixMicros) -> Result<bool> {
        self.bounded(subscriptions::delete(&self.pool, id, now)).await
    }

    async fn all_subscriptions(&self) -> Result<Vec<Subscription>> {
        self.bounded(subscriptions::all(&self.pool, &self.keyring)).await
    }

    async fn subscriptions_of(&self, ids: &[SubscriptionId]) -> Result<Vec<Subscription>> {
        self.bounded(subscriptions::these(&self.pool, &self.keyring, ids)).await
    }

    async fn subscription_by_target(
        &self,
        pattern: &Pattern,
        url: &Target,
    ) -> Result<Option<Subscription>> {
        self.bounded(subscriptions::by_target(&self.pool, &self.keyring, pattern, url)).await
    }

    async fn subscriptions(
        &self,
        page: PageRequest<SubscriptionId>,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        self.bounded(subscriptions::list(&self.pool, &self.keyring, page)).await
    }

    async fn reseal(&self) -> Result<u64> {
        let mut resealed = 0;
        loop {
            match self.bounded(sealing::reseal(&self.pool, &self.keyring)).await? {
                0 => break,
                some => resealed += some,
            }
        }
        if !self.keyring.is_empty() {
            self.bounded(sealing::forget(&self.pool)).await?;
        }
        Ok(resealed)
    }

    fn subscription_changes(&self) -> BoxStream<'static, Change> {
        let (pool, clock) = (Arc::clone(&self.pool), Arc::clone(&self.clock));
        let changes = Changes::new(pool, self.listening.clone(), clock);
        stream::unfold(changes, async |mut changes| Some((changes.next().await, changes))).boxed()
    }

    async fn events(
        &self,
        filter: &EventFilter,
        page: PageRequest<EventId>,
    ) -> Result<Page<Event, EventId>> {
        self.bounded(events::list(&self.pool, filter, page)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.bounded(events::one(&self.pool, id)).await
    }

    async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        page: PageRequest<DeliveryId>,
    ) -> Result<Page<Delivery, DeliveryId>> {
        self.bounded(list::list(&self.pool, filter, page)).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<(Delivery, Vec<Attempt>)>> {
        self.bounded(deliveries::one(&self.pool, id)).await
    }

    async fn keep_script(&self, script: &Script, now: UnixMicros) -> Result<()> {
        self.bounded(scripts::keep(&self.pool, script, now)).await
    }

    async fn script(&self, version: ScriptVersion) -> Result<Option<Script>> {
        self.bounded(scripts::one(&self.pool, version)).await
    }

    async fn add_token(&self, token: &AccessToken) -> Result<()> {
        self.bounded(tokens::add(&self.pool, token)).await
    }

    async fn revoke_token(&self, id: TokenId, now: UnixMicros) -> Result<bool> {
        self.bounded(tokens::revoke(&self.pool, id, now)).await
    }

    async fn all_tokens(&self) -> Result<Vec<AccessToken>> {
        self.bounded(tokens::all(&self.pool)).await
    }

    async fn tokens(&self, page: PageRequest<TokenId>) -> Result<Page<AccessToken, TokenId>> {
        self.bounded(tokens::list(&self.pool, page)).await
    }
}
