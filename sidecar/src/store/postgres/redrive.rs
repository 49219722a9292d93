//! Dead letters: brought back among what is pending, or forgotten.
//!
//! Invariant: only what is dead is touched; one that is brought back keeps its payload and its
//! attempts, and begins a new series. Its event cannot expire meanwhile.

use sidehook_event::UnixMicros;
use sqlx::{Connection as _, types::Uuid};

use super::{
    pool::Pool,
    rows::{keys, micros},
};
use crate::model::DeliveryId;

pub(super) const EVENTS_OF: &str = "SELECT event_id FROM finished_deliveries WHERE id = ANY ($1)";

/// Whoever lets events expire leaves out what is locked.
pub(super) const LOCK: &str = "SELECT id FROM events WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE";

/// One whose subscription is gone would have nobody to go to. (To ask whether it exists could be
/// answered by reading all that there are.)
pub(super) const REDRIVE: &str = "WITH back AS (
        DELETE FROM finished_deliveries AS d WHERE id = ANY ($1) AND (state = 'dead') IS TRUE
            AND (event_id = ANY ($2)) IS TRUE
            AND (SELECT id FROM subscriptions WHERE id = d.subscription_id LIMIT 1) IS NOT NULL
        RETURNING id, event_id, subscription_id, created_at, payload, event_type, attempts,
            last_outcome, script
    )
    INSERT INTO pending_deliveries (id, event_id, subscription_id, created_at, payload,
        event_type, attempts, last_outcome, script, due_at, claimed, series_at, earlier)
    SELECT back.*, $3::bigint, false, $3::bigint, attempts FROM back";

pub(super) const DISCARD: &str =
    "DELETE FROM finished_deliveries WHERE id = ANY ($1) AND (state = 'dead') IS TRUE RETURNING id";

pub(super) const FORGET: &str = "DELETE FROM attempts WHERE delivery_id = ANY ($1)";

pub(super) async fn redrive(pool: &Pool, ids: &[DeliveryId], now: UnixMicros) -> sqlx::Result<u64> {
    let ids = keys(ids.iter().copied());
    let mut connection = pool.lend().await?;
    let mut tx = connection.begin().await?;
    let events: Vec<Uuid> = sqlx::query_scalar(EVENTS_OF).bind(&ids).fetch_all(&mut *tx).await?;
    let locked: Vec<Uuid> = sqlx::query_scalar(LOCK).bind(events).fetch_all(&mut *tx).await?;
    let redrive = sqlx::query(REDRIVE).bind(ids).bind(locked).bind(micros(now));
    let done = redrive.execute(&mut *tx).await?;
    tx.commit().await?;
    connection.done(Ok(done.rows_affected()))
}

pub(super) async fn discard(pool: &Pool, ids: &[DeliveryId]) -> sqlx::Result<u64> {
    let ids = keys(ids.iter().copied());
    let mut connection = pool.lend().await?;
    let mut tx = connection.begin().await?;
    let gone: Vec<Uuid> = sqlx::query_scalar(DISCARD).bind(ids).fetch_all(&mut *tx).await?;
    let count = u64::try_from(gone.len()).unwrap_or(u64::MAX);
    sqlx::query(FORGET).bind(gone).execute(&mut *tx).await?;
    tx.commit().await?;
    connection.done(Ok(count))
}
