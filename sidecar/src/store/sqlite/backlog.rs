//! What waits, counted.
//!
//! Invariant: each count walks through one index, and ends at its limit.

use sidehook_event::UnixMicros;
use sqlx::{SqlitePool, sqlite::SqliteRow};

use super::{
    batch,
    rows::{id, maybe_instant, micros, number, rows},
};
use crate::{
    model::{Cause, SubscriptionId},
    store::figures::{Backlog, MOST, MOST_DEAD, MOST_OWED, Owed},
};

pub(super) const EVENTS: &str = "SELECT
    (SELECT COUNT(*) FROM (SELECT 1 FROM undispatched AS u LIMIT ?1)) AS waiting,
    (SELECT stored_at FROM events
        WHERE id = (SELECT event_id FROM undispatched AS u ORDER BY event_id LIMIT 1)) AS since";

/// That every time is after a beginning leads through the index.
pub(super) const DELIVERIES: &str = "SELECT
    (SELECT COUNT(*) FROM (SELECT 1 FROM deliveries WHERE due_at > -1 LIMIT ?1)) AS pending,
    (SELECT COUNT(*) FROM (SELECT 1 FROM deliveries WHERE due_at <= ?2 LIMIT ?1)) AS due,
    (SELECT due_at FROM deliveries WHERE due_at <= ?2 ORDER BY due_at LIMIT 1) AS since";

/// A column for each cause, under its name.
pub(super) const DEAD: &str = "SELECT
        COUNT(*) FILTER (WHERE cause = 'exhausted') AS exhausted,
        COUNT(*) FILTER (WHERE cause = 'refused') AS refused,
        COUNT(*) FILTER (WHERE cause = 'egress') AS egress,
        COUNT(*) FILTER (WHERE cause = 'malformed') AS malformed,
        COUNT(*) FILTER (WHERE cause = 'unsubscribed') AS unsubscribed,
        COUNT(*) FILTER (WHERE cause = 'script') AS script
    FROM (
        SELECT cause FROM deliveries
        WHERE state = 'dead' AND state <> 'delivered' ORDER BY id DESC LIMIT ?1
    )";

/// The pending deliveries of each subscription, and when its oldest was made.
pub(super) const OWED: &str = "SELECT unhex(json_each.value) AS id,
        (SELECT COUNT(*) FROM (
            SELECT 1 FROM deliveries
            WHERE subscription_id = unhex(json_each.value) AND state = 'pending' AND state <> 'delivered'
            LIMIT ?2
        )) AS pending,
        (SELECT created_at FROM deliveries
            WHERE subscription_id = unhex(json_each.value) AND state = 'pending' AND state <> 'delivered'
            ORDER BY id LIMIT 1) AS since
    FROM json_each(?1)";

pub(super) async fn count(readers: &SqlitePool, now: UnixMicros) -> sqlx::Result<Backlog> {
    // Of one moment.
    let mut tx = readers.begin().await?;
    let events = sqlx::query(EVENTS).bind(rows(MOST)).fetch_one(&mut *tx).await?;
    let deliveries = sqlx::query(DELIVERIES).bind(rows(MOST)).bind(micros(now));
    let deliveries = deliveries.fetch_one(&mut *tx).await?;
    let dead = sqlx::query(DEAD).bind(rows(MOST_DEAD)).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    backlog(&events, &deliveries, &dead)
}

pub(super) async fn owed(
    readers: &SqlitePool,
    subscriptions: &[SubscriptionId],
) -> sqlx::Result<Vec<Owed>> {
    let ids = batch::list(subscriptions.iter().copied());
    let owed = sqlx::query(OWED).bind(ids).bind(rows(MOST_OWED)).fetch_all(readers).await?;
    let owed = owed.iter().map(|row| {
        let (subscription_id, pending) = (id(row, "id")?, number(row, "pending")?);
        Ok(Owed { subscription_id, pending, since: maybe_instant(row, "since")? })
    });
    owed.collect()
}

fn backlog(events: &SqliteRow, deliveries: &SqliteRow, dead: &SqliteRow) -> sqlx::Result<Backlog> {
    let dead = Cause::NAMES.into_iter().map(|(name, cause)| Ok((cause, number(dead, name)?)));
    Ok(Backlog {
        undispatched: number(events, "waiting")?,
        undispatched_since: maybe_instant(events, "since")?,
        pending: number(deliveries, "pending")?,
        due: number(deliveries, "due")?,
        due_since: maybe_instant(deliveries, "since")?,
        dead: dead.collect::<sqlx::Result<_>>()?,
    })
}
