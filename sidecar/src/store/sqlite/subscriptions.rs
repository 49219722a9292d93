//! Subscriptions: made or changed by their target, listed.
//!
//! Invariant: what cannot be parsed back is an error, never a subscription that delivers
//! something else than its owner asked for. Secrets and headers are sealed on their way in.

use std::time::Duration;

use sidehook_event::UnixMicros;
use sqlx::{Row, Sqlite, SqlitePool, sqlite::SqliteRow};

use super::{
    batch, begin, events, order,
    rows::{below, bytes, failed, id, micros, one_more, span, unreadable, unwritable},
};
use crate::{
    model::{
        Cause, Page, PageRequest, Pattern, State, Subscription, SubscriptionId, Target, operational,
    },
    store::{
        UNSUBSCRIBED, UpdateError, Upserted,
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
pub(super) const ONE: &str = select!("WHERE id = ?1");
pub(super) const THESE: &str = select!("WHERE id IN (SELECT unhex(value) FROM json_each(?1))");
pub(super) const BY_TARGET: &str = select!("WHERE pattern = ?1 AND url = ?2");
pub(super) const LIST: &str = select!("WHERE id < ?1 ORDER BY id DESC LIMIT ?2");

const INSERT: &str = "INSERT INTO subscriptions (id, pattern, url, settings, secrets)
    VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) const UPDATE: &str = "UPDATE subscriptions
    SET pattern = ?2, url = ?3, settings = ?4, secrets = ?5, failing_since = NULL,
        paced_until = NULL
    WHERE id = ?1";

pub(super) const FAILS: &str = "UPDATE subscriptions
    SET failing_since = COALESCE(failing_since, ?2) WHERE id = ?1 RETURNING failing_since";

pub(super) const RESERVE: &str = "UPDATE subscriptions
    SET paced_until = MAX(COALESCE(paced_until, 0), ?2) + ?3
    WHERE id = ?1 RETURNING paced_until - ?3";

pub(super) const WORKS: &str = "UPDATE subscriptions
    SET failing_since = NULL WHERE id = ?1 AND failing_since IS NOT NULL";

pub(super) const DELETE: &str = "DELETE FROM subscriptions WHERE id = ?1";

pub(super) const BURY: &str = "UPDATE deliveries
    SET state = ?2, cause = ?3, error = ?5, due_at = NULL, claimed = 0, finished_at = ?4
    WHERE subscription_id = ?1 AND state = 'pending' AND state <> 'delivered'";

pub(super) async fn upsert(
    writer: &SqlitePool,
    keyring: &Keyring,
    subscription: Subscription,
    new_secret: bool,
) -> sqlx::Result<Upserted> {
    let mut tx = begin(writer).await?;
    let old = sqlx::query(BY_TARGET)
        .bind(subscription.pattern.to_string())
        .bind(subscription.url.as_str().to_owned())
        .fetch_optional(&mut *tx)
        .await?;
    let upserted = match old.as_ref().map(|row| self::subscription(keyring, row)).transpose()? {
        None => {
            bind(INSERT, keyring, &subscription)?.execute(&mut *tx).await?;
            Upserted::Created(subscription)
        }
        Some(old) => {
            let changed = Subscription {
                id: old.id,
                created_at: old.created_at,
                signing: if new_secret { subscription.signing } else { old.signing },
                ..subscription
            };
            bind(UPDATE, keyring, &changed)?.execute(&mut *tx).await?;
            Upserted::Updated(changed)
        }
    };
    tx.commit().await?;
    Ok(upserted)
}

pub(super) async fn update(
    writer: &SqlitePool,
    keyring: &Keyring,
    subscription: &Subscription,
) -> Result<bool, UpdateError> {
    let query = bind(UPDATE, keyring, subscription).map_err(failed)?;
    match query.execute(writer).await {
        Ok(done) => Ok(done.rows_affected() > 0),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(UpdateError::Taken),
        Err(error) => Err(failed(error).into()),
    }
}

pub(super) async fn disable(
    writer: &SqlitePool,
    keyring: &Keyring,
    id: SubscriptionId,
    reason: &str,
    now: UnixMicros,
) -> sqlx::Result<bool> {
    let mut tx = begin(writer).await?;
    let row = sqlx::query(ONE).bind(bytes(id)).fetch_optional(&mut *tx).await?;
    let found = row.as_ref().map(|row| subscription(keyring, row)).transpose()?;
    let Some(enabled) = found.filter(|found| found.enabled) else {
        return Ok(false);
    };
    let disabled = enabled.disabled(reason, now);
    bind(UPDATE, keyring, &disabled)?.execute(&mut *tx).await?;
    events::tell(&mut tx, operational::of_disabling(&disabled)).await?;
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn fails(
    writer: &SqlitePool,
    id: SubscriptionId,
    now: UnixMicros,
) -> sqlx::Result<UnixMicros> {
    let fails = sqlx::query_scalar(FAILS).bind(bytes(id)).bind(micros(now));
    Ok(fails.fetch_optional(writer).await?.map_or(now, UnixMicros::new))
}

pub(super) async fn works(writer: &SqlitePool, id: SubscriptionId) -> sqlx::Result<()> {
    sqlx::query(WORKS).bind(bytes(id)).execute(writer).await?;
    Ok(())
}

pub(super) async fn reserve_pace(
    writer: &SqlitePool,
    id: SubscriptionId,
    time: Duration,
    now: UnixMicros,
) -> sqlx::Result<UnixMicros> {
    let reserve = sqlx::query_scalar(RESERVE);
    let reserve = reserve.bind(bytes(id)).bind(micros(now)).bind(span(time));
    Ok(reserve.fetch_optional(writer).await?.map_or(now, UnixMicros::new))
}

pub(super) async fn delete(
    writer: &SqlitePool,
    id: SubscriptionId,
    now: UnixMicros,
) -> sqlx::Result<bool> {
    let mut tx = begin(writer).await?;
    let deleted = sqlx::query(DELETE).bind(bytes(id)).execute(&mut *tx).await?;
    if deleted.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(order::LEAVE_ALL).bind(bytes(id)).execute(&mut *tx).await?;
    sqlx::query(BURY)
        .bind(bytes(id))
        .bind(State::Dead.name())
        .bind(Cause::Unsubscribed.name())
        .bind(micros(now))
        .bind(UNSUBSCRIBED)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn all(
    readers: &SqlitePool,
    keyring: &Keyring,
) -> sqlx::Result<Vec<Subscription>> {
    let found = sqlx::query(ALL).fetch_all(readers).await?;
    found.iter().map(|row| subscription(keyring, row)).collect()
}

pub(super) async fn these(
    readers: &SqlitePool,
    keyring: &Keyring,
    ids: &[SubscriptionId],
) -> sqlx::Result<Vec<Subscription>> {
    let ids = batch::list(ids.iter().copied());
    let found = sqlx::query(THESE).bind(ids).fetch_all(readers).await?;
    found.iter().map(|row| subscription(keyring, row)).collect()
}

pub(super) async fn by_target(
    readers: &SqlitePool,
    keyring: &Keyring,
    pattern: &Pattern,
    url: &Target,
) -> sqlx::Result<Option<Subscription>> {
    let row = sqlx::query(BY_TARGET)
        .bind(pattern.to_string())
        .bind(url.as_str().to_owned())
        .fetch_optional(readers)
        .await?;
    row.as_ref().map(|row| subscription(keyring, row)).transpose()
}

pub(super) async fn list(
    readers: &SqlitePool,
    keyring: &Keyring,
    page: PageRequest<SubscriptionId>,
) -> sqlx::Result<Page<Subscription, SubscriptionId>> {
    let found = sqlx::query(LIST)
        .bind(below(page.after))
        .bind(one_more(page.limit))
        .fetch_all(readers)
        .await?;
    let found = found.iter().map(|row| subscription(keyring, row)).collect::<sqlx::Result<_>>()?;
    Ok(Page::cut(found, page.limit, |subscription: &Subscription| subscription.id))
}

type Query = sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>;

fn bind(text: &'static str, keyring: &Keyring, subscription: &Subscription) -> sqlx::Result<Query> {
    let written = form::write(keyring, subscription);
    let Columns { pattern, url, settings, secrets } =
        written.map_err(|Flaw { column, reason }| unwritable(column, &reason))?;
    Ok(sqlx::query(text)
        .bind(bytes(subscription.id))
        .bind(pattern)
        .bind(url)
        .bind(settings)
        .bind(secrets))
}

fn subscription(keyring: &Keyring, row: &SqliteRow) -> sqlx::Result<Subscription> {
    let columns = Columns {
        pattern: row.try_get("pattern")?,
        url: row.try_get("url")?,
        settings: row.try_get(SETTINGS)?,
        secrets: row.try_get(SECRETS)?,
    };
    let read = form::read(keyring, id(row, "id")?, &columns);
    read.map_err(|Flaw { column, reason }| unreadable(column)(reason))
}
