//! Subscriptions: made or changed by their target, listed.
//!
//! Invariant: what cannot be parsed back is an error, never a subscription that delivers
//! something else than its owner asked for. Secrets and headers are sealed on their way in.

use std::time::Duration;

use futures::TryStreamExt as _;
use sidehook_event::UnixMicros;
use sqlx::{
    Connection as _, Postgres, Row as _, postgres::PgArguments, postgres::PgRow, query::Query,
};

use super::{
    events, order,
    pool::Pool,
    rows::{below, id, key, keys, micros, one_more, span, unreadable, unwritable},
};
use crate::{
    model::{
        Cause, Page, PageRequest, Pattern, State, Subscription, SubscriptionId, Target, operational,
    },
    store::{
        UNSUBSCRIBED, Upserted,
        form::{self, Columns, Flaw, SECRETS, SETTINGS},
        seal::Keyring,
    },
};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, pattern, url, settings, secrets FROM subscriptions ", $rest)
    };
}

const ALL: &str = select!("ORDER BY id");
pub(super) const THESE: &str = select!("WHERE id = ANY ($1)");
pub(super) const BY_TARGET: &str = select!("WHERE pattern = $1 AND url = $2");
pub(super) const LIST: &str = select!("WHERE id < $1 ORDER BY id DESC LIMIT $2");

/// The same, that nobody else may change while it is read.
pub(super) const ONE_LOCKED: &str = select!("WHERE id = $1 FOR UPDATE");
pub(super) const LOCKED: &str = select!("WHERE pattern = $1 AND url = $2 FOR UPDATE");

pub(super) const INSERT: &str = "INSERT INTO subscriptions (id, pattern, url, settings, secrets)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (pattern, url) DO NOTHING";

pub(super) const UPDATE: &str = "UPDATE subscriptions
    SET pattern = $2, url = $3, settings = $4, secrets = $5, failing_since = NULL,
        paced_until = NULL
    WHERE id = $1";

pub(super) const FAILS: &str = "UPDATE subscriptions
    SET failing_since = COALESCE(failing_since, $2) WHERE id = $1 RETURNING failing_since";

pub(super) const RESERVE: &str = "UPDATE subscriptions
    SET paced_until = GREATEST(COALESCE(paced_until, 0), $2) + $3
    WHERE id = $1 RETURNING paced_until - $3";

pub(super) const WORKS: &str = "UPDATE subscriptions
    SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL";

pub(super) const DELETE: &str = "DELETE FROM subscriptions WHERE id = $1";

/// Some of them: what waits for a receiver that was away for long would make one statement take
/// too long. Locks in the order of the ids.
pub(super) const BURY: &str = "WITH gone AS (
        DELETE FROM pending_deliveries WHERE id = ANY (ARRAY (
            SELECT id FROM pending_deliveries
            WHERE (subscription_id, id) >= ($1, '00000000-0000-0000-0000-000000000000')
                AND subscription_id <= $1
            ORDER BY subscription_id, id LIMIT 5000 FOR UPDATE
        ))
        RETURNING id, event_id, subscription_id, created_at, payload, event_type, attempts,
            last_outcome, script
    )
    INSERT INTO finished_deliveries (id, event_id, subscription_id, created_at, payload,
        event_type, attempts, last_outcome, script, state, cause, finished_at, error)
    SELECT gone.*, $2::text, $3::text, $4::bigint, $5::bytea FROM gone";

/// How many times more, each in a transaction of its own.
const MORE_BURIALS: usize = 20;

/// What is sealed is sealed for its row: whose row it will be must be known before.
pub(super) async fn upsert(
    pool: &Pool,
    keyring: &Keyring,
    subscription: Subscription,
    new_secret: bool,
) -> sqlx::Result<Upserted> {
    let mut connection = pool.lend().await?;
    loop {
        let mut tx = connection.begin().await?;
        let old = sqlx::query(LOCKED)
            .bind(subscription.pattern.to_string())
            .bind(subscription.url.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(old) = old {
            let old = self::subscription(keyring, &old)?;
            let changed = Subscription {
                id: old.id,
                created_at: old.created_at,
                signing: if new_secret { subscription.signing } else { old.signing },
                ..subscription
            };
            bind(UPDATE, keyring, &changed)?.execute(&mut *tx).await?;
            tx.commit().await?;
            return connection.done(Ok(Upserted::Updated(changed)));
        }
        let inserted = bind(INSERT, keyring, &subscription)?.execute(&mut *tx).await?;
        tx.commit().await?;
        if inserted.rows_affected() > 0 {
            return connection.done(Ok(Upserted::Created(subscription)));
        }
        // Somebody made it between the look and the insertion: it is there now, or gone again.
    }
}

/// Says whether there was one; nothing if its target is another's.
pub(super) async fn update(
    pool: &Pool,
    keyring: &Keyring,
    subscription: &Subscription,
) -> sqlx::Result<Option<bool>> {
    let update = bind(UPDATE, keyring, subscription)?;
    let mut connection = pool.lend().await?;
    match update.execute(&mut *connection).await {
        Ok(done) => connection.done(Ok(Some(done.rows_affected() > 0))),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            connection.done(Ok(None))
        }
        Err(error) => Err(error),
    }
}

pub(super) async fn disable(
    pool: &Pool,
    keyring: &Keyring,
    id: SubscriptionId,
    reason: &str,
    now: UnixMicros,
) -> sqlx::Result<bool> {
    let mut connection = pool.lend().await?;
    let mut tx = connection.begin().await?;
    let row = sqlx::query(ONE_LOCKED).bind(key(id)).fetch_optional(&mut *tx).await?;
    let found = row.as_ref().map(|row| subscription(keyring, row)).transpose()?;
    let enabled = found.filter(|found| found.enabled);
    if let Some(enabled) = &enabled {
        let disabled = enabled.disabled(reason, now);
        bind(UPDATE, keyring, &disabled)?.execute(&mut *tx).await?;
        events::tell(&mut tx, operational::of_disabling(&disabled)).await?;
    }
    tx.commit().await?;
    connection.done(Ok(enabled.is_some()))
}

pub(super) async fn fails(
    pool: &Pool,
    id: SubscriptionId,
    now: UnixMicros,
) -> sqlx::Result<UnixMicros> {
    let fails = sqlx::query_scalar(FAILS).bind(key(id)).bind(micros(now));
    let mut connection = pool.lend().await?;
    let since = fails.fetch_optional(&mut *connection).await?;
    connection.done(Ok(since.map_or(now, UnixMicros::new)))
}

pub(super) async fn works(pool: &Pool, id: SubscriptionId) -> sqlx::Result<()> {
    let works = sqlx::query(WORKS).bind(key(id));
    let mut connection = pool.lend().await?;
    works.execute(&mut *connection).await?;
    connection.done(Ok(()))
}

pub(super) async fn reserve_pace(
    pool: &Pool,
    id: SubscriptionId,
    time: Duration,
    now: UnixMicros,
) -> sqlx::Result<UnixMicros> {
    let reserve = sqlx::query_scalar(RESERVE);
    let reserve = reserve.bind(key(id)).bind(micros(now)).bind(span(time));
    let mut connection = pool.lend().await?;
    let from = reserve.fetch_optional(&mut *connection).await?;
    connection.done(Ok(from.map_or(now, UnixMicros::new)))
}

/// Deletes the subscription and buries what waits for it, in the same transaction as far as that
/// is quickly done. What then is left, and what of that a failure leaves, dies of the same cause
/// when it is due: whoever attempts it finds no subscription.
pub(super) async fn delete(pool: &Pool, id: SubscriptionId, now: UnixMicros) -> sqlx::Result<bool> {
    let mut connection = pool.lend().await?;
    let mut tx = connection.begin().await?;
    let deleted = sqlx::query(DELETE).bind(key(id)).execute(&mut *tx).await?.rows_affected() > 0;
    sqlx::query(order::LEAVE_ALL).bind(key(id)).execute(&mut *tx).await?;
    let mut buried = if deleted { bury(&mut tx, id, now).await? } else { 0 };
    tx.commit().await?;
    for _ in 0..MORE_BURIALS {
        if buried == 0 {
            break;
        }
        match bury(&mut connection, id, now).await {
            Ok(more) => buried = more,
            Err(error) => {
                tracing::warn!(%id, %error, "left deliveries of a deleted subscription pending");
                // The connection may be broken: not given back.
                return Ok(deleted);
            }
        }
    }
    connection.done(Ok(deleted))
}

async fn bury(
    connection: &mut sqlx::PgConnection,
    id: SubscriptionId,
    now: UnixMicros,
) -> sqlx::Result<u64> {
    let bury = sqlx::query(BURY)
        .bind(key(id))
        .bind(State::Dead.name())
        .bind(Cause::Unsubscribed.name())
        .bind(micros(now))
        .bind(UNSUBSCRIBED.as_bytes());
    Ok(bury.execute(connection).await?.rows_affected())
}

pub(super) async fn all(pool: &Pool, keyring: &Keyring) -> sqlx::Result<Vec<Subscription>> {
    let mut connection = pool.lend().await?;
    // Read as they come: there may be many, and a row is larger than what is made of it.
    let mut rows = sqlx::query(ALL).fetch(&mut *connection);
    let (mut found, mut flaw) = (Vec::new(), None);
    while let Some(row) = rows.try_next().await? {
        match subscription(keyring, &row) {
            Ok(subscription) => found.push(subscription),
            Err(error) => flaw = Some(error),
        }
    }
    drop(rows);
    connection.done(flaw.map_or(Ok(found), Err))
}

pub(super) async fn these(
    pool: &Pool,
    keyring: &Keyring,
    ids: &[SubscriptionId],
) -> sqlx::Result<Vec<Subscription>> {
    let mut connection = pool.lend().await?;
    let these = sqlx::query(THESE).bind(keys(ids.iter().copied()));
    let found = these.fetch_all(&mut *connection).await?;
    connection.done(found.iter().map(|row| subscription(keyring, row)).collect())
}

pub(super) async fn by_target(
    pool: &Pool,
    keyring: &Keyring,
    pattern: &Pattern,
    url: &Target,
) -> sqlx::Result<Option<Subscription>> {
    let find = sqlx::query(BY_TARGET).bind(pattern.to_string()).bind(url.as_str());
    let mut connection = pool.lend().await?;
    let row = find.fetch_optional(&mut *connection).await?;
    connection.done(row.as_ref().map(|row| subscription(keyring, row)).transpose())
}

pub(super) async fn list(
    pool: &Pool,
    keyring: &Keyring,
    page: PageRequest<SubscriptionId>,
) -> sqlx::Result<Page<Subscription, SubscriptionId>> {
    let list = sqlx::query(LIST).bind(below(page.after)).bind(one_more(page.limit));
    let mut connection = pool.lend().await?;
    let found = list.fetch_all(&mut *connection).await?;
    let found = connection
        .done(found.iter().map(|row| subscription(keyring, row)).collect::<sqlx::Result<_>>())?;
    Ok(Page::cut(found, page.limit, |subscription: &Subscription| subscription.id))
}

fn bind(
    text: &'static str,
    keyring: &Keyring,
    subscription: &Subscription,
) -> sqlx::Result<Query<'static, Postgres, PgArguments>> {
    let written = form::write(keyring, subscription);
    let Columns { pattern, url, settings, secrets } =
        written.map_err(|Flaw { column, reason }| unwritable(column, &reason))?;
    Ok(sqlx::query(text)
        .bind(key(subscription.id))
        .bind(pattern)
        .bind(url)
        .bind(settings)
        .bind(secrets))
}

fn subscription(keyring: &Keyring, row: &PgRow) -> sqlx::Result<Subscription> {
    let columns = Columns {
        pattern: row.try_get("pattern")?,
        url: row.try_get("url")?,
        settings: row.try_get(SETTINGS)?,
        secrets: row.try_get(SECRETS)?,
    };
    let read = form::read(keyring, id(row, "id")?, &columns);
    read.map_err(|Flaw { column, reason }| unreadable(column)(reason))
}
