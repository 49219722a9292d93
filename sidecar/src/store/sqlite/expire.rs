//! Deletes what is finished and whose time is up.
//!
//! Invariant: an event goes with all that belongs to it, or stays with all of it.

use sidehook_event::{EventId, UnixMicros};
use sqlx::{Row as _, SqlitePool};

use super::{
    batch, begin,
    rows::{bytes, id, micros, rows},
};
use crate::store::{Expired, earliest};

/// The next events, and whether they may go.
pub(super) const LOOK: &str = "SELECT id, stored_at < ?3
        AND NOT EXISTS (SELECT 1 FROM undispatched WHERE event_id = e.id)
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event_id = e.id AND due_at IS NOT NULL)
        AS expired
    FROM events AS e WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?4";

/// What belongs to them goes by itself.
pub(super) const DELETE: &str =
    "DELETE FROM events WHERE id IN (SELECT unhex(value) FROM json_each(?1))";

pub(super) async fn expire(
    writer: &SqlitePool,
    before: UnixMicros,
    from: Option<EventId>,
    limit: usize,
) -> sqlx::Result<Expired> {
    let mut tx = begin(writer).await?;
    let seen = sqlx::query(LOOK)
        .bind(from.map(bytes).unwrap_or_default())
        .bind(bytes(earliest(before)))
        .bind(micros(before))
        .bind(rows(limit))
        .fetch_all(&mut *tx)
        .await?;
    let mut expired: Vec<EventId> = Vec::with_capacity(seen.len());
    for row in &seen {
        if row.try_get("expired")? {
            expired.push(id(row, "id")?);
        }
    }
    let more = seen.len() >= limit;
    let next = seen.last().filter(|_| more).map(|row| id(row, "id")).transpose()?;
    let events = expired.len();
    if events > 0 {
        sqlx::query(DELETE).bind(batch::list(expired)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(Expired { events, next })
}
