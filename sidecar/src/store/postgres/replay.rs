//! Deliveries added to events that were dispatched before.
//!
//! Invariant: an event that still waits to be dispatched, or is gone, is left out: what it gets is
//! decided then, or no more. One that is replayed cannot expire meanwhile, nor be replayed by
//! another, who would give payloads the same numbers.

use std::collections::{HashMap, HashSet};

use sidehook_event::UnixMicros;
use sqlx::{Connection as _, types::Uuid};

use super::{
    dispatch::Columns,
    pool::Pool,
    rows::{key, keys, micros},
};
use crate::store::Dispatched;

pub(super) const LOCK: &str =
    "SELECT id FROM events WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE";

pub(super) const WAITING: &str = "SELECT event_id FROM undispatched WHERE event_id = ANY ($1)";

/// The greatest numbers of their payloads.
pub(super) const NUMBERS: &str = "SELECT event_id, max(number) FROM payloads
    WHERE event_id = ANY ($1) GROUP BY event_id";

pub(super) const KNOWN: &str = "SELECT event_id, subscription_id FROM pending_deliveries
    WHERE event_id = ANY ($1)
    UNION ALL
    SELECT event_id, subscription_id FROM finished_deliveries WHERE event_id = ANY ($1)";

pub(super) const PAYLOADS: &str =
    "INSERT INTO payloads (event_id, number, content_type, body, headers)
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bytea[], $4::bytea[], $5::bytea[])";

pub(super) const DELIVERIES: &str = "INSERT INTO pending_deliveries
        (id, event_id, subscription_id, payload, event_type, due_at, claimed, attempts,
         created_at, series_at)
    SELECT *, 0, $8::bigint, $8::bigint FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[],
        $5::text[], $6::bigint[], $7::boolean[])";

pub(super) async fn replay(
    pool: &Pool,
    mut replayed: Vec<Dispatched>,
    missing_only: bool,
    now: UnixMicros,
) -> sqlx::Result<u64> {
    let ids = keys(replayed.iter().map(|replayed| replayed.event.id));
    let mut connection = pool.lend().await?;
    let mut tx = connection.begin().await?;
    let locked: Vec<Uuid> = sqlx::query_scalar(LOCK).bind(&ids).fetch_all(&mut *tx).await?;
    let waiting: Vec<Uuid> = sqlx::query_scalar(WAITING).bind(&ids).fetch_all(&mut *tx).await?;
    let numbers: Vec<(Uuid, i32)> = sqlx::query_as(NUMBERS).bind(&ids).fetch_all(&mut *tx).await?;
    if missing_only {
        let known: Vec<(Uuid, Uuid)> = sqlx::query_as(KNOWN).bind(&ids).fetch_all(&mut *tx).await?;
        let known: HashSet<_> = known.into_iter().collect();
        for Dispatched { event, deliveries } in &mut replayed {
            let is_known = |subscription| known.contains(&(key(event.id), key(subscription)));
            deliveries.retain(|delivery| !is_known(delivery.subscription_id));
        }
    }
    let mut first: HashMap<Uuid, i32> = locked.into_iter().map(|id| (id, 0)).collect();
    for (id, number) in numbers {
        first.entry(id).and_modify(|first| *first = number.saturating_add(1));
    }
    for id in waiting {
        first.remove(&id);
    }
    let Columns { payloads, deliveries } =
        Columns::of(&replayed, |id| first.get(&key(id)).copied())?;
    let count = u64::try_from(deliveries.ids.len()).unwrap_or(u64::MAX);
    sqlx::query(PAYLOADS)
        .bind(payloads.event_ids)
        .bind(payloads.numbers)
        .bind(payloads.content_types)
        .bind(payloads.bodies)
        .bind(payloads.headers)
        .execute(&mut *tx)
        .await?;
    sqlx::query(DELIVERIES)
        .bind(deliveries.ids)
        .bind(deliveries.event_ids)
        .bind(deliveries.subscription_ids)
        .bind(deliveries.payloads)
        .bind(deliveries.event_types)
        .bind(deliveries.due_ats)
        .bind(deliveries.claimed)
        .bind(micros(now))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    connection.done(Ok(count))
}
