//! Deletes what is finished and whose time is up.
//!
//! Invariant: an event goes with all that belongs to it, or stays with all of it.

use sidehook_event::{EventId, UnixMicros};
use sqlx::{Connection as _, Row as _, types::Uuid};

use super::{
    pool::Pool,
    rows::{id, key, micros, rows},
};
use crate::store::{Expired, earliest};

/// The next events, and whether they may go. Another sidecar's are left to it. (To ask whether
/// rows exist could be answered by reading all that there are.)
pub(super) const LOOK: &str = "SELECT id, stored_at < $3
        AND (SELECT event_id FROM undispatched WHERE event_id = e.id LIMIT 1) IS NULL
        AND (SELECT id FROM pending_deliveries WHERE event_id = e.id LIMIT 1) IS NULL AS expired
    FROM events AS e WHERE id > $1 AND id < $2 ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED";

/// Those of which one was brought back before they were locked.
pub(super) const PENDING: &str =
    "SELECT event_id FROM pending_deliveries WHERE event_id = ANY ($1)";

pub(super) const DELIVERIES: &str =
    "DELETE FROM finished_deliveries WHERE event_id = ANY ($1) RETURNING id";
pub(super) const ATTEMPTS: &str = "DELETE FROM attempts WHERE delivery_id = ANY ($1)";
pub(super) const PAYLOADS: &str = "DELETE FROM payloads WHERE event_id = ANY ($1)";
pub(super) const EVENTS: &str = "DELETE FROM events WHERE id = ANY ($1)";

pub(super) async fn expire(
    pool: &Pool,
    before: UnixMicros,
    from: Option<EventId>,
    limit: usize,
) -> sqlx::Result<Expired> {
    let mut connection = pool.lend().await?;
    let mut tx = connection.begin().await?;
    let seen = sqlx::query(LOOK)
        .bind(from.map_or(Uuid::nil(), key))
        .bind(key(earliest(before)))
        .bind(micros(before))
        .bind(rows(limit))
        .fetch_all(&mut *tx)
        .await?;
    let mut expired: Vec<Uuid> = Vec::with_capacity(seen.len());
    for row in &seen {
        if row.try_get("expired")? {
            expired.push(row.try_get("id")?);
        }
    }
    if !expired.is_empty() {
        let pending: Vec<Uuid> =
            sqlx::query_scalar(PENDING).bind(&expired).fetch_all(&mut *tx).await?;
        expired.retain(|event| !pending.contains(event));
        let gone: Vec<Uuid> =
            sqlx::query_scalar(DELIVERIES).bind(&expired).fetch_all(&mut *tx).await?;
        sqlx::query(ATTEMPTS).bind(gone).execute(&mut *tx).await?;
        sqlx::query(PAYLOADS).bind(&expired).execute(&mut *tx).await?;
        sqlx::query(EVENTS).bind(&expired).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    let more = seen.len() >= limit;
    let next = seen.last().filter(|_| more).map(|row| id(row, "id")).transpose();
    connection.done(Ok(Expired { events: expired.len(), next: next? }))
}
