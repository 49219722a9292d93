//! A subscription as columns, and back.
//!
//! Invariant: what is secret, its key and its headers, is sealed in its row.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use sqlx::{Postgres, Row, postgres::PgArguments, postgres::PgRow, query::Query};

use crate::{
    model::{Format, Headers, Retry, Subscription, Target},
    store::{
        postgres::rows::{duration, id, instant, key, maybe_text, micros, named, span, unreadable},
        seal::{Keyring, Place},
    },
};

/// The columns that are sealed.
pub(crate) const SECRET: &str = "secret";
pub(crate) const HEADERS: &str = "custom_headers";

pub(super) fn bind(
    text: &'static str,
    keyring: &Keyring,
    subscription: &Subscription,
) -> sqlx::Result<Query<'static, Postgres, PgArguments>> {
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
    let schedule: Vec<i64> = retry.schedule.iter().copied().map(span).collect();
    Ok(sqlx::query(text)
        .bind(key(*id))
        .bind(pattern.to_string())
        .bind(url.as_str())
        .bind(sealed(HEADERS, &json(&header_pairs(custom_headers)?)?)?)
        .bind(json(custom_payload)?)
        .bind(format.name())
        .bind(sealed(SECRET, &secret.reveal())?)
        .bind(*enabled)
        .bind(disabled_reason.as_deref().map(str::as_bytes))
        .bind(schedule)
        .bind(retry.jitter)
        .bind(span(*timeout))
        .bind(description.as_deref().map(str::as_bytes))
        .bind(json(metadata)?)
        .bind(micros(*created_at))
        .bind(micros(*updated_at)))
}

pub(super) fn subscription(keyring: &Keyring, row: &PgRow) -> sqlx::Result<Subscription> {
    let subscription = id(row, "id")?;
    let opened = |column| {
        let place = Place { subscription, column };
        let clear = keyring.open(place, row.try_get(column)?).map_err(unreadable(column))?;
        String::from_utf8(clear).map_err(unreadable(column))
    };
    let url: &str = row.try_get("url")?;
    let pattern: &str = row.try_get("pattern")?;
    let headers: Vec<(String, String)> =
        serde_json::from_str(&opened(HEADERS)?).map_err(unreadable(HEADERS))?;
    let headers = headers.iter().map(|(name, value)| (&**name, &**value));
    let headers = Headers::parse(headers).map_err(|(name, flaw)| format!("{name} {flaw}"));
    let schedule: Vec<i64> = row.try_get("schedule")?;
    let schedule: Result<Arc<[_]>, _> =
        schedule.into_iter().map(|wait| u64::try_from(wait).map(Duration::from_micros)).collect();
    Ok(Subscription {
        id: subscription,
        url: Target::parse(url).map_err(unreadable("url"))?,
        pattern: pattern.parse().map_err(unreadable("pattern"))?,
        custom_headers: headers.map_err(unreadable(HEADERS))?,
        custom_payload: parsed::<serde_json::Map<String, Value>>(row, "custom_payload")?,
        format: named(row, "format", &Format::NAMES)?,
        secret: opened(SECRET)?.parse().map_err(unreadable(SECRET))?,
        enabled: row.try_get("enabled")?,
        disabled_reason: maybe_text(row, "disabled_reason")?.map(str::to_owned),
        retry: Retry {
            schedule: schedule.map_err(unreadable("schedule"))?,
            jitter: row.try_get("jitter")?,
        },
        timeout: duration(row, "timeout_us")?,
        description: maybe_text(row, "description")?.map(str::to_owned),
        metadata: parsed(row, "metadata")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
    })
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

fn parsed<T: serde::de::DeserializeOwned>(row: &PgRow, column: &str) -> sqlx::Result<T> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(unreadable(column))
}
