//! The store in one SQLite file, for one process.
//!
//! One connection writes, so that writers wait for each other in order instead of failing; a few
//! read beside it. Every commit is synced (`synchronous=FULL`), for an answered event must
//! survive a power cut.
//!
//! Invariant: a statement's text is fixed when the program starts; values are always bound.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    path::Path,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use sidehook_event::{Event, EventId, UnixMicros};
use sqlx::{Sqlite, SqlitePool, Transaction};

use super::{
    Change, DeliveryFilter, Dispatched, Due, EventFilter, Expired, Result, Router, Store,
    UpdateError, Upserted, Waiting,
    figures::{Backlog, Connections, Owed},
    seal::Keyring,
};
use crate::model::{
    AccessToken, Attempt, Delivery, DeliveryId, DueDelivery, Page, PageRequest, Pattern, Script,
    ScriptVersion, Subscription, SubscriptionId, Target, TokenId, Verdict,
};

mod backlog;
mod batch;
mod claim;
mod deliveries;
mod dispatch;
mod events;
mod expire;
#[cfg(test)]
mod failure_tests;
mod open;
mod order;
#[cfg(test)]
mod plan_tests;
mod record;
mod redrive;
mod replay;
mod reschedule;
mod rows;
mod scripts;
mod sealing;
mod subscriptions;
mod tokens;

pub use open::OpenError;
use rows::{failed, micros};

/// What survives, in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    keyring: Keyring,
    /// Held as long as the store is: no other process may think ours dead.
    _lock: File,
}

impl SqliteStore {
    /// Opens the database at `path`, makes it if there is none, and brings its schema up to
    /// this build's. `keyring` seals the secrets in it.
    pub async fn open(path: &Path, keyring: Keyring) -> std::result::Result<Self, OpenError> {
        open::open(path, keyring).await
    }

    /// Waits for what is under way, folds the write-ahead log into the file and closes it.
    /// Calls that come later fail. A store that is merely dropped loses nothing either.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<()> {
        beat(&self.writer).await.map_err(failed)
    }

    async fn recover(&self, now: UnixMicros) -> Result<u64> {
        recover(&self.writer, now).await.map_err(failed)
    }

    async fn append(
        &self,
        events: &[Arc<Event>],
        stored_at: UnixMicros,
        due: Due,
    ) -> Result<HashMap<EventId, u64>> {
        let appended = events::append(&self.writer, events, stored_at, due).await;
        appended.map_err(failed)
    }

    async fn append_dispatched(
        &self,
        events: Vec<Arc<Event>>,
        now: UnixMicros,
        router: Router<'_>,
    ) -> Result<Vec<Dispatched>> {
        let appended = dispatch::append_dispatched(&self.writer, events, now, router).await;
        appended.map_err(failed)
    }

    async fn claim_events(
        &self,
        now: UnixMicros,
        lease_until: UnixMicros,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>> {
        let claimed = events::claim(&self.writer, now, lease_until, limit).await;
        claimed.map_err(failed)
    }

    async fn dispatch(
        &self,
        dispatched: &[Dispatched],
        now: UnixMicros,
    ) -> Result<HashSet<EventId>> {
        let stored = dispatch::dispatch(&self.writer, dispatched, now).await;
        stored.map_err(failed)
    }

    async fn claim_deliveries(
        &self,
        now: UnixMicros,
        lease_until: UnixMicros,
        limit: usize,
    ) -> Result<Vec<DueDelivery>> {
        let claimed = deliveries::claim(&self.writer, now, lease_until, limit).await;
        claimed.map_err(failed)
    }

    async fn leases(&self, ids: &[DeliveryId]) -> Result<HashMap<DeliveryId, UnixMicros>> {
        deliveries::leases(&self.readers, ids).await.map_err(failed)
    }

    async fn ahead(&self, id: DeliveryId) -> Result<u32> {
        order::ahead(&self.readers, id).await.map_err(failed)
    }

    async fn record(&self, verdicts: &[Verdict]) -> Result<()> {
        let recorded = record::record(&self.writer, verdicts).await;
        recorded.map_err(failed)
    }

    async fn redrive(&self, ids: &[DeliveryId], now: UnixMicros) -> Result<u64> {
        redrive::redrive(&self.writer, ids, now).await.map_err(failed)
    }

    async fn waiting(
        &self,
        id: SubscriptionId,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<Waiting>> {
        reschedule::waiting(&self.readers, id, after, limit).await.map_err(failed)
    }

    async fn reschedule(&self, moved: &[(Waiting, UnixMicros)]) -> Result<u64> {
        reschedule::reschedule(&self.writer, moved).await.map_err(failed)
    }

    async fn replay(
        &self,
        replayed: Vec<Dispatched>,
        missing_only: bool,
        now: UnixMicros,
    ) -> Result<u64> {
        replay::replay(&self.writer, replayed, missing_only, now).await.map_err(failed)
    }

    async fn discard(&self, ids: &[DeliveryId]) -> Result<u64> {
        redrive::discard(&self.writer, ids).await.map_err(failed)
    }

    async fn expire(
        &self,
        before: UnixMicros,
        from: Option<EventId>,
        limit: usize,
    ) -> Result<Expired> {
        expire::expire(&self.writer, before, from, limit).await.map_err(failed)
    }

    async fn backlog(&self, now: UnixMicros) -> Result<Backlog> {
        backlog::count(&self.readers, now).await.map_err(failed)
    }

    async fn owed(&self, subscriptions: &[SubscriptionId]) -> Result<Vec<Owed>> {
        backlog::owed(&self.readers, subscriptions).await.map_err(failed)
    }

    fn connections(&self) -> Connections {
        let pools = [&self.writer, &self.readers];
        let open = |pool: &&SqlitePool| usize::try_from(pool.size()).unwrap_or(usize::MAX);
        let most = |pool: &&SqlitePool| {
            usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX)
        };
        let idle = pools.iter().map(|pool| pool.num_idle()).sum();
        let open: usize = pools.iter().map(open).sum();
        Connections { used: open.saturating_sub(idle), idle, most: pools.iter().map(most).sum() }
    }

    async fn upsert_subscription(
        &self,
        subscription: Subscription,
        new_secret: bool,
    ) -> Result<Upserted> {
        let upserted =
            subscriptions::upsert(&self.writer, &self.keyring, subscription, new_secret).await;
        upserted.map_err(failed)
    }

    async fn update_subscription(
        &self,
        subscription: &Subscription,
    ) -> std::result::Result<bool, UpdateError> {
        subscriptions::update(&self.writer, &self.keyring, subscription).await
    }

    async fn disable_subscription(
        &self,
        id: SubscriptionId,
        reason: &str,
        now: UnixMicros,
    ) -> Result<bool> {
        let disabled = subscriptions::disable(&self.writer, &self.keyring, id, reason, now).await;
        disabled.map_err(failed)
    }

    async fn receiver_fails(&self, id: SubscriptionId, now: UnixMicros) -> Result<UnixMicros> {
        subscriptions::fails(&self.writer, id, now).await.map_err(failed)
    }

    async fn receiver_works(&self, id: SubscriptionId) -> Result<()> {
        subscriptions::works(&self.writer, id).await.map_err(failed)
    }

    async fn reserve_pace(
        &self,
        id: SubscriptionId,
        span: Duration,
        now: UnixMicros,
    ) -> Result<UnixMicros> {
        subscriptions::reserve_pace(&self.writer, id, span, now).await.map_err(failed)
    }

    async fn delete_subscription(&self, id: SubscriptionId, now: UnixMicros) -> Result<bool> {
        let deleted = subscriptions::delete(&self.writer, id, now).await;
        deleted.map_err(failed)
    }

    async fn all_subscriptions(&self) -> Result<Vec<Subscription>> {
        subscriptions::all(&self.readers, &self.keyring).await.map_err(failed)
    }

    async fn subscriptions_of(&self, ids: &[SubscriptionId]) -> Result<Vec<Subscription>> {
        subscriptions::these(&self.readers, &self.keyring, ids).await.map_err(failed)
    }

    async fn subscription_by_target(
        &self,
        pattern: &Pattern,
        url: &Target,
    ) -> Result<Option<Subscription>> {
        let found = subscriptions::by_target(&self.readers, &self.keyring, pattern, url).await;
        found.map_err(failed)
    }

    /// Nobody else writes here, and whoever writes here knows what.
    fn subscription_changes(&self) -> BoxStream<'static, Change> {
        stream::pending().boxed()
    }

    async fn subscriptions(
        &self,
        page: PageRequest<SubscriptionId>,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        let listed = subscriptions::list(&self.readers, &self.keyring, page).await;
        listed.map_err(failed)
    }

    async fn reseal(&self) -> Result<u64> {
        sealing::reseal(&self.writer, &self.keyring).await.map_err(failed)
    }

    async fn events(
        &self,
        filter: &EventFilter,
        page: PageRequest<EventId>,
    ) -> Result<Page<Event, EventId>> {
        let listed = events::list(&self.readers, filter, page).await;
        listed.map_err(failed)
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        events::one(&self.readers, id).await.map_err(failed)
    }

    async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        page: PageRequest<DeliveryId>,
    ) -> Result<Page<Delivery, DeliveryId>> {
        let listed = deliveries::list(&self.readers, filter, page).await;
        listed.map_err(failed)
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<(Delivery, Vec<Attempt>)>> {
        deliveries::one(&self.readers, id).await.map_err(failed)
    }

    async fn keep_script(&self, script: &Script, now: UnixMicros) -> Result<()> {
        scripts::keep(&self.writer, script, now).await.map_err(failed)
    }

    async fn script(&self, version: ScriptVersion) -> Result<Option<Script>> {
        scripts::one(&self.readers, version).await.map_err(failed)
    }

    async fn add_token(&self, token: &AccessToken) -> Result<()> {
        tokens::add(&self.writer, token).await.map_err(failed)
    }

    async fn revoke_token(&self, id: TokenId, now: UnixMicros) -> Result<bool> {
        tokens::revoke(&self.writer, id, now).await.map_err(failed)
    }

    async fn all_tokens(&self) -> Result<Vec<AccessToken>> {
        tokens::all(&self.readers).await.map_err(failed)
    }

    async fn tokens(&self, page: PageRequest<TokenId>) -> Result<Page<AccessToken, TokenId>> {
        tokens::list(&self.readers, page).await.map_err(failed)
    }
}

/// A transaction that may write, and therefore never has to be begun anew.
async fn begin(writer: &SqlitePool) -> sqlx::Result<Transaction<'static, Sqlite>> {
    writer.begin_with("BEGIN IMMEDIATE").await
}

/// Writes and syncs something, however small.
async fn beat(writer: &SqlitePool) -> sqlx::Result<()> {
    let mut tx = begin(writer).await?;
    sqlx::query("UPDATE pulse SET beats = beats + 1").execute(&mut *tx).await?;
    tx.commit().await
}

/// This store has one process, and the lock says that it is this one: whatever is in hand was in
/// the hands of a dead one.
async fn recover(writer: &SqlitePool, now: UnixMicros) -> sqlx::Result<u64> {
    let mut tx = begin(writer).await?;
    let events = sqlx::query(
        "UPDATE undispatched SET due_at = min(due_at, ?1), claimed = 0 WHERE claimed = 1",
    )
    .bind(micros(now))
    .execute(&mut *tx)
    .await?;
    let deliveries = sqlx::query(
        "UPDATE deliveries SET due_at = min(due_at, ?1), claimed = 0
         WHERE due_at IS NOT NULL AND claimed = 1",
    )
    .bind(micros(now))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(events.rows_affected() + deliveries.rows_affected())
}
