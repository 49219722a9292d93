//! Deliveries: claimed when they are due, listed.
//!
//! Invariant: a claim reads what is due through an index that holds pending deliveries alone,
//! and so takes no longer when the table has grown.

use std::collections::HashMap;

use sidehook_event::UnixMicros;
use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use super::{
    batch,
    claim::{self, Claim},
    rows::{
        below, bytes, death, duration, headers, id, instant, maybe_instant, maybe_named, named,
        number, one_more, reason, script, unreadable,
    },
};
use crate::{
    model::{
        Attempt, Delivery, DeliveryId, DueDelivery, Outcome, Page, PageRequest, Payload, Series,
        State,
    },
    store::DeliveryFilter,
};

pub(super) const CLAIM: &str = "SELECT d.id, d.event_id, d.event_type, d.subscription_id,
        d.attempts, d.series_at, d.earlier, p.content_type, p.headers, p.body
    FROM deliveries AS d CROSS JOIN payloads AS p
        ON p.event_id = d.event_id AND p.number = d.payload
    WHERE d.due_at <= ?1 ORDER BY d.due_at, d.id LIMIT ?2";

pub(super) const LEASE: &str = "UPDATE deliveries SET due_at = ?2, claimed = 1
    WHERE id IN (SELECT unhex(value) FROM json_each(?1))";

pub(super) const LEASES: &str = "SELECT id, due_at FROM deliveries
    WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND state = 'pending' AND claimed = 1";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, event_id, subscription_id, event_type, state, attempts, due_at,
                last_outcome, cause, error, script, created_at, finished_at
             FROM deliveries ",
            $rest
        )
    };
}

pub(super) const ONE: &str = select!("WHERE id = ?1");

pub(super) const THESE: &str = select!("WHERE id IN (SELECT unhex(value) FROM json_each(?1))");

/// Also for those delivered, who are the most.
pub(super) const LIST: &str = select!(
    "WHERE id < ?1 AND (?3 IS NULL OR state = ?3)
     ORDER BY id DESC LIMIT ?2"
);

pub(super) const LIST_BY_STATE: &str = select!(
    "WHERE id < ?1 AND state = ?3 AND state <> 'delivered'
     ORDER BY id DESC LIMIT ?2"
);

/// Also for those delivered, who are the most.
pub(super) const LIST_BY_SUBSCRIPTION: &str = select!(
    "WHERE id < ?1 AND (?3 IS NULL OR state = ?3) AND subscription_id = ?4
     ORDER BY id DESC LIMIT ?2"
);

pub(super) const LIST_BY_SUBSCRIPTION_AND_STATE: &str = select!(
    "WHERE id < ?1 AND state = ?3 AND state <> 'delivered' AND subscription_id = ?4
     ORDER BY id DESC LIMIT ?2"
);

pub(super) const LIST_BY_EVENT: &str = select!(
    "WHERE id < ?1 AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR subscription_id = ?4)
        AND event_id = ?5
     ORDER BY id DESC LIMIT ?2"
);

pub(super) const ATTEMPTS: &str = "SELECT number, started_at, duration_us, outcome, status_code,
        response_excerpt, error
    FROM attempts WHERE delivery_id = ?1 ORDER BY number";

pub(super) async fn claim(
    writer: &SqlitePool,
    now: UnixMicros,
    lease_until: UnixMicros,
    limit: usize,
) -> sqlx::Result<Vec<DueDelivery>> {
    let texts = Claim { find: CLAIM, lease: LEASE };
    claim::claim::<DeliveryId, _>(writer, texts, now, lease_until, limit, |row| {
        due_delivery(row, lease_until)
    })
    .await
}

pub(super) async fn leases(
    readers: &SqlitePool,
    ids: &[DeliveryId],
) -> sqlx::Result<HashMap<DeliveryId, UnixMicros>> {
    let ids = batch::list(ids.iter().copied());
    let leases = sqlx::query(LEASES).bind(ids).fetch_all(readers).await?;
    leases.iter().map(|row| Ok((id(row, "id")?, instant(row, "due_at")?))).collect()
}

pub(super) async fn one(
    readers: &SqlitePool,
    id: DeliveryId,
) -> sqlx::Result<Option<(Delivery, Vec<Attempt>)>> {
    // Of one moment, lest the delivery lack an attempt that its count has.
    let mut tx = readers.begin().await?;
    let row = sqlx::query(ONE).bind(bytes(id)).fetch_optional(&mut *tx).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let attempts = sqlx::query(ATTEMPTS).bind(bytes(id)).fetch_all(&mut *tx).await?;
    let attempts = attempts.iter().map(attempt).collect::<sqlx::Result<_>>()?;
    Ok(Some((delivery(&row)?, attempts)))
}

pub(super) async fn list(
    readers: &SqlitePool,
    filter: &DeliveryFilter,
    page: PageRequest<DeliveryId>,
) -> sqlx::Result<Page<Delivery, DeliveryId>> {
    let found = sqlx::query(text(filter))
        .bind(below(page.after))
        .bind(one_more(page.limit))
        .bind(filter.state.map(State::name))
        .bind(filter.subscription_id.map(bytes))
        .bind(filter.event_id.map(bytes))
        .fetch_all(readers)
        .await?;
    let found = found.iter().map(delivery).collect::<sqlx::Result<_>>()?;
    Ok(Page::cut(found, page.limit, |delivery: &Delivery| delivery.id))
}

fn text(filter: &DeliveryFilter) -> &'static str {
    match (filter.event_id, filter.subscription_id, filter.state) {
        (Some(_), _, _) => LIST_BY_EVENT,
        (None, Some(_), None | Some(State::Delivered)) => LIST_BY_SUBSCRIPTION,
        (None, Some(_), Some(State::Pending | State::Filtered | State::Dead)) => {
            LIST_BY_SUBSCRIPTION_AND_STATE
        }
        (None, None, None | Some(State::Delivered)) => LIST,
        (None, None, Some(State::Pending | State::Filtered | State::Dead)) => LIST_BY_STATE,
    }
}

fn due_delivery(row: &SqliteRow, lease_until: UnixMicros) -> sqlx::Result<DueDelivery> {
    let attempts: u32 = number(row, "attempts")?;
    let event_type: &str = row.try_get("event_type")?;
    Ok(DueDelivery {
        id: id(row, "id")?,
        event_id: id(row, "event_id")?,
        event_type: event_type.parse().map_err(unreadable("event_type"))?,
        subscription_id: id(row, "subscription_id")?,
        attempt: attempts.saturating_add(1),
        series: Series { began_at: instant(row, "series_at")?, earlier: number(row, "earlier")? },
        payload: Payload {
            content_type: row.try_get::<&str, _>("content_type")?.into(),
            headers: headers(row.try_get("headers")?)?,
            body: row.try_get::<Vec<u8>, _>("body")?.into(),
        },
        lease_until,
    })
}

pub(super) fn delivery(row: &SqliteRow) -> sqlx::Result<Delivery> {
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

fn attempt(row: &SqliteRow) -> sqlx::Result<Attempt> {
    let status_code: Option<i64> = row.try_get("status_code")?;
    let status_code = status_code.map(u16::try_from).transpose();
    Ok(Attempt {
        number: number(row, "number")?,
        started_at: instant(row, "started_at")?,
        duration: duration(row, "duration_us")?,
        outcome: named(row, "outcome", &Outcome::NAMES)?,
        status_code: status_code.map_err(unreadable("status_code"))?,
        response_excerpt: row.try_get("response_excerpt")?,
        error: row.try_get("error")?,
    })
}
