//! Subscriptions: made or changed by their target, listed.
//!
//! Invariant: what cannot be parsed back is an error, never a subscription that delivers
//! something else than its owner asked for. Secrets and headers are sealed on their way in.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use sidehook_event::UnixMicros;
use sqlx::{Row, Sqlite, SqlitePool, sqlite::SqliteRow};

use super::{
    begin,
    rows::{
        below, bytes, duration, failed, id, instant, micros, named, number, one_more, span,
        unreadable,
    },
};
use crate::{
    model::{
        Cause, Format, Headers, Page, PageRequest, Pattern, Retry, State, Subscription,
        SubscriptionId, Target,
    },
    store::{
        UpdateError, Upserted,
        seal::{Keyring, Place},
    },
};

/// The columns that are sealed.
pub(super) const SECRET: &str = "secret";
pub(super) const HEADERS: &str = "custom_headers";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, pattern, url, custom_headers, custom_payload, format, secret, enabled,
                disabled_reason, schedule, jitter, timeout_us, description, metadata, created_at,
                updated_at
             FROM subscriptions ",
            $rest
        )
    };
}

const ALL: &str = select!("ORDER BY id");
pub(super) const ONE: &str = select!("WHERE id = ?1");
pub(super) const BY_TARGET: &str = select!("WHERE pattern = ?1 AND url = ?2");
pub(super) const LIST: &str = select!("WHERE id < ?1 ORDER BY id DESC LIMIT ?2");

const INSERT: &str = "INSERT INTO subscriptions
        (id, pattern, url, custom_headers, custom_payload, format, secret, enabled,
         disabled_reason, schedule, jitter, timeout_us, description, metadata, created_at,
         updated_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

pub(super) const UPDATE: &str = "UPDATE subscriptions SET
        pattern = ?2, url = ?3, custom_headers = ?4, custom_payload = ?5, format = ?6,
        secret = ?7, enabled = ?8, disabled_reason = ?9, schedule = ?10, jitter = ?11,
        timeout_us = ?12, description = ?13, metadata = ?14, created_at = ?15, updated_at = ?16
    WHERE id = ?1";

pub(super) const DELETE: &str = "DELETE FROM subscriptions WHERE id = ?1";

pub(super) const BURY: &str = "UPDATE deliveries
    SET state = ?2, cause = ?3, due_at = NULL, claimed = 0, finished_at = ?4
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
                secret: if new_secret { subscription.secret } else { old.secret },
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
    sqlx::query(BURY)
        .bind(bytes(id))
        .bind(State::Dead.name())
        .bind(Cause::Unsubscribed.name())
        .bind(micros(now))
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

pub(super) async fn one(
    readers: &SqlitePool,
    keyring: &Keyring,
    id: SubscriptionId,
) -> sqlx::Result<Option<Subscription>> {
    let row = sqlx::query(ONE).bind(bytes(id)).fetch_optional(readers).await?;
    row.as_ref().map(|row| subscription(keyring, row)).transpose()
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
    let Subscription {
        id,
        url,
        pattern,
        custom_headers,
        custom_payload,
        format,
        secret,
        enabled,
        disabled_reason,
        retry,
        timeout,
        description,
        metadata,
        created_at,
        updated_at,
    } = subscription;
    let sealed = |column, clear: &str| {
        let place = Place { subscription: *id, column };
        keyring.seal(place, clear.as_bytes()).map_err(|e| sqlx::Error::Encode(e.into()))
    };
    let schedule: Vec<_> = retry.schedule.iter().copied().map(span).collect();
    Ok(sqlx::query(text)
        .bind(bytes(*id))
        .bind(pattern.to_string())
        .bind(url.as_str().to_owned())
        .bind(sealed(HEADERS, &json(&header_pairs(custom_headers)?)?)?)
        .bind(json(custom_payload)?)
        .bind(format.name())
        .bind(sealed(SECRET, &secret.reveal())?)
        .bind(*enabled)
        .bind(disabled_reason.clone())
        .bind(json(&schedule)?)
        .bind(retry.jitter)
        .bind(span(*timeout))
        .bind(description.clone())
        .bind(json(metadata)?)
        .bind(micros(*created_at))
        .bind(micros(*updated_at)))
}

fn header_pairs(headers: &Headers) -> sqlx::Result<Vec<(&str, &str)>> {
    let pairs = headers.iter().map(|(name, value)| {
        let value = value.to_str().map_err(|e| sqlx::Error::Encode(e.into()))?;
        Ok((name.as_str(), value))
    });
    pairs.collect()
}

fn json(value: &impl serde::Serialize) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|e| sqlx::Error::Encode(e.into()))
}

fn subscription(keyring: &Keyring, row: &SqliteRow) -> sqlx::Result<Subscription> {
    let subscription = id(row, "id")?;
    let opened = |column| {
        let place = Place { subscription, column };
        let clear = keyring.open(place, row.try_get(column)?).map_err(unreadable(column))?;
        String::from_utf8(clear).map_err(unreadable(column))
    };
    let url: &str = row.try_get("url")?;
    let pattern: &str = row.try_get("pattern")?;
    let secret = opened(SECRET)?;
    let headers = opened(HEADERS)?;
    let headers: Vec<(String, String)> =
        serde_json::from_str(&headers).map_err(unreadable(HEADERS))?;
    let headers = headers.iter().map(|(name, value)| (&**name, &**value));
    let headers = Headers::parse(headers).map_err(|(name, flaw)| format!("{name} {flaw}"));
    let schedule: Vec<u64> = parsed(row, "schedule")?;
    let schedule: Arc<[_]> = schedule.into_iter().map(Duration::from_micros).collect();
    Ok(Subscription {
        id: subscription,
        url: Target::parse(url).map_err(unreadable("url"))?,
        pattern: pattern.parse().map_err(unreadable("pattern"))?,
        custom_headers: headers.map_err(unreadable(HEADERS))?,
        custom_payload: parsed::<serde_json::Map<String, Value>>(row, "custom_payload")?,
        format: named(row, "format", &Format::NAMES)?,
        secret: secret.parse().map_err(unreadable(SECRET))?,
        enabled: number::<i64>(row, "enabled")? != 0,
        disabled_reason: row.try_get("disabled_reason")?,
        retry: Retry { schedule, jitter: row.try_get("jitter")? },
        timeout: duration(row, "timeout_us")?,
        description: row.try_get("description")?,
        metadata: parsed(row, "metadata")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
    })
}

fn parsed<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &str) -> sqlx::Result<T> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(unreadable(column))
}
