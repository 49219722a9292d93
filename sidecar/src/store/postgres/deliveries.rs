//! Deliveries: claimed when they are due, shown.
//!
//! Invariant: a claim reads the pending deliveries alone, and so takes no longer when there are
//! many others.

use std::collections::HashMap;

use sidehook_event::UnixMicros;
use sqlx::{Row, postgres::PgRow};

use super::{
    claim,
    pool::Pool,
    rows::{
        death, duration, headers, id, instant, key, keys, maybe_instant, maybe_named, maybe_text,
        micros, named, number, reason, rows, script, text, unreadable,
    },
};
use crate::model::{Attempt, Delivery, DeliveryId, DueDelivery, Outcome, Payload, Series, State};

pub(super) const CLAIM: &str = "WITH due AS MATERIALIZED (
        SELECT id, event_id, event_type, subscription_id, attempts, payload, due_at, series_at,
            earlier
        FROM pending_deliveries
        WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
    ), leased AS (
        UPDATE pending_deliveries SET due_at = $3, claimed = true
        WHERE id = ANY (ARRAY (SELECT id FROM due))
    )
    SELECT due.id, due.event_id, due.event_type, due.subscription_id, due.attempts,
        due.series_at, due.earlier, p.content_type, p.headers, p.body
    FROM due LEFT JOIN LATERAL (
        SELECT content_type, headers, body FROM payloads
        WHERE event_id = due.event_id AND number = due.payload LIMIT 1
    ) AS p ON true ORDER BY due.due_at, due.id";

pub(super) const LEASES: &str = "SELECT id, due_at FROM pending_deliveries
    WHERE id = ANY ($1) AND claimed IS TRUE";

/// With its attempts, all of one moment. A delivery without one is a row without an attempt.
pub(super) const ONE: &str = "SELECT d.*, a.number, a.started_at, a.duration_us, a.outcome,
        a.status_code, a.response_excerpt, a.error AS attempt_error
    FROM (
        SELECT id, event_id, subscription_id, event_type, 'pending' AS state, attempts, due_at,
            last_outcome, NULL AS cause, NULL::bytea AS error, script, created_at,
            NULL::bigint AS finished_at
        FROM pending_deliveries WHERE id = $1
        UNION ALL
        SELECT id, event_id, subscription_id, event_type, state, attempts, NULL,
            last_outcome, cause, error, script, created_at, finished_at
        FROM finished_deliveries WHERE id = $1
    ) AS d LEFT JOIN LATERAL (
        SELECT * FROM attempts WHERE delivery_id = $1
        ORDER BY delivery_id, attempts.number OFFSET 0
    ) AS a ON true ORDER BY a.number";

pub(super) async fn claim(
    pool: &Pool,
    now: UnixMicros,
    lease_until: UnixMicros,
    limit: usize,
) -> sqlx::Result<Vec<DueDelivery>> {
    let claim = sqlx::query(CLAIM).bind(micros(now)).bind(rows(limit)).bind(micros(lease_until));
    let mut connection = pool.lend().await?;
    let claimed = claim.fetch_all(&mut *connection).await?;
    connection
        .done(claim::readable::<DeliveryId, _>(&claimed, |row| due_delivery(row, lease_until)))
}

pub(super) async fn leases(
    pool: &Pool,
    ids: &[DeliveryId],
) -> sqlx::Result<HashMap<DeliveryId, UnixMicros>> {
    let mut connection = pool.lend().await?;
    let leases = sqlx::query(LEASES).bind(keys(ids.iter().copied()));
    let leases = leases.fetch_all(&mut *connection).await?;
    let leases = leases.iter().map(|row| Ok((id(row, "id")?, instant(row, "due_at")?)));
    connection.done(leases.collect())
}

pub(super) async fn one(
    pool: &Pool,
    id: DeliveryId,
) -> sqlx::Result<Option<(Delivery, Vec<Attempt>)>> {
    let mut connection = pool.lend().await?;
    let found = sqlx::query(ONE).bind(key(id)).fetch_all(&mut *connection).await?;
    connection.done(with_attempts(&found))
}

fn with_attempts(rows: &[PgRow]) -> sqlx::Result<Option<(Delivery, Vec<Attempt>)>> {
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let mut attempts = Vec::with_capacity(rows.len());
    for row in rows {
        if row.try_get::<Option<i64>, _>("number")?.is_some() {
            attempts.push(attempt(row)?);
        }
    }
    Ok(Some((delivery(first)?, attempts)))
}

fn due_delivery(row: &PgRow, lease_until: UnixMicros) -> sqlx::Result<DueDelivery> {
    let attempts: u32 = number(row, "attempts")?;
    let event_type: &str = row.try_get("event_type")?;
    let body: Option<Vec<u8>> = row.try_get("body")?;
    Ok(DueDelivery {
        id: id(row, "id")?,
        event_id: id(row, "event_id")?,
        event_type: event_type.parse().map_err(unreadable("event_type"))?,
        subscription_id: id(row, "subscription_id")?,
        attempt: attempts.saturating_add(1),
        series: Series { began_at: instant(row, "series_at")?, earlier: number(row, "earlier")? },
        payload: Payload {
            content_type: text(row, "content_type")?.into(),
            headers: headers(maybe_text(row, "headers")?)?,
            body: body.ok_or_else(|| unreadable("body")("is gone"))?.into(),
        },
        lease_until,
    })
}

pub(super) fn delivery(row: &PgRow) -> sqlx::Result<Delivery> {
    let event_type: &str = row.try_get("event_type")?;
    Ok(Delivery {
        id: id(row, "id")?,
        event_id: id(row, "event_id")?,
        subscription_id: id(row, "subscription_id")?,
        event_type: event_type.parse().map_err(unreadable("event_type"))?,
        state: named(row, "state", &State::NAMES)?,
        attempts: number(row, "attempts")?,
        next_attempt_at: maybe_instant(row, "due_at")?,
        last_outcome: maybe_named(row, "last_outcome", &Outcome::NAMES)?,
        death: death(row)?,
        reason: reason(row)?,
        script: script(row)?,
        created_at: instant(row, "created_at")?,
        finished_at: maybe_instant(row, "finished_at")?,
    })
}

fn attempt(row: &PgRow) -> sqlx::Result<Attempt> {
    let status_code: Option<i32> = row.try_get("status_code")?;
    let status_code = status_code.map(u16::try_from).transpose();
    Ok(Attempt {
        number: number(row, "number")?,
        started_at: instant(row, "started_at")?,
        duration: duration(row, "duration_us")?,
        outcome: named(row, "outcome", &Outcome::NAMES)?,
        status_code: status_code.map_err(unreadable("status_code"))?,
        response_excerpt: maybe_text(row, "response_excerpt")?.map(str::to_owned),
        error: maybe_text(row, "attempt_error")?.map(str::to_owned),
    })
}
