//! What waits, counted.
//!
//! Invariant: each count walks through one index, and ends at its limit.

use sidehook_event::UnixMicros;
use sqlx::postgres::PgRow;

use super::{
    pool::Pool,
    rows::{id, key, maybe_instant, micros, number, rows},
};
use crate::{
    model::{Cause, SubscriptionId},
    store::figures::{Backlog, MOST, MOST_DEAD, MOST_OWED, Owed},
};

pub(super) const EVENTS: &str = "SELECT
    (SELECT COUNT(*) FROM (SELECT 1 FROM undispatched ORDER BY event_id LIMIT $1) AS counted)
        AS waiting,
    (SELECT stored_at FROM events
        WHERE id = (SELECT event_id FROM undispatched ORDER BY event_id LIMIT 1)) AS since";

pub(super) const DELIVERIES: &str = "SELECT
    (SELECT COUNT(*) FROM (
        SELECT 1 FROM pending_deliveries ORDER BY due_at, id LIMIT $1) AS counted) AS pending,
    (SELECT COUNT(*) FROM (
        SELECT 1 FROM pending_deliveries WHERE due_at <= $2 ORDER BY due_at, id LIMIT $1) AS counted)
        AS due,
    (SELECT due_at FROM pending_deliveries WHERE due_at <= $2 ORDER BY due_at, id LIMIT 1)
        AS since";

/// A column for each cause, under its name.
pub(super) const DEAD: &str = "SELECT
        COUNT(*) FILTER (WHERE cause = 'exhausted') AS exhausted,
        COUNT(*) FILTER (WHERE cause = 'refused') AS refused,
        COUNT(*) FILTER (WHERE cause = 'egress') AS egress,
        COUNT(*) FILTER (WHERE cause = 'malformed') AS malformed,
        COUNT(*) FILTER (WHERE cause = 'unsubscribed') AS unsubscribed,
        COUNT(*) FILTER (WHERE cause = 'script') AS script
    FROM (
        SELECT cause FROM finished_deliveries
        WHERE (state, id) < ('dead', 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
            AND state >= 'dead' AND state <> 'delivered'
        ORDER BY state DESC, id DESC LIMIT $1
    ) AS dead";

/// The pending deliveries of each subscription, and when its oldest was made.
pub(super) const OWED: &str = "SELECT each.id,
        (SELECT COUNT(*) FROM (
            SELECT 1 FROM pending_deliveries WHERE subscription_id = each.id ORDER BY id LIMIT $2
        ) AS counted) AS pending,
        (SELECT created_at FROM pending_deliveries WHERE subscription_id = each.id
            ORDER BY id LIMIT 1) AS since
    FROM UNNEST($1::uuid[]) AS each (id)";

pub(super) async fn count(pool: &Pool, now: UnixMicros) -> sqlx::Result<Backlog> {
    let mut connection = pool.lend().await?;
    let events = sqlx::query(EVENTS).bind(rows(MOST)).fetch_one(&mut *connection).await?;
    let deliveries = sqlx::query(DELIVERIES).bind(rows(MOST)).bind(micros(now));
    let deliveries = deliveries.fetch_one(&mut *connection).await?;
    let dead = sqlx::query(DEAD).bind(rows(MOST_DEAD)).fetch_one(&mut *connection).await?;
    connection.done(backlog(&events, &deliveries, &dead))
}

pub(super) async fn owed(pool: &Pool, subscriptions: &[SubscriptionId]) -> sqlx::Result<Vec<Owed>> {
    let mut connection = pool.lend().await?;
    let ids: Vec<_> = subscriptions.iter().map(|subscription| key(*subscription)).collect();
    let owed = sqlx::query(OWED).bind(ids).bind(rows(MOST_OWED));
    let owed = owed.fetch_all(&mut *connection).await?;
    let owed = owed.iter().map(|row| {
        let (subscription_id, pending) = (id(row, "id")?, number(row, "pending")?);
        Ok(Owed { subscription_id, pending, since: maybe_instant(row, "since")? })
    });
    connection.done(owed.collect())
}

fn backlog(events: &PgRow, deliveries: &PgRow, dead: &PgRow) -> sqlx::Result<Backlog> {
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
