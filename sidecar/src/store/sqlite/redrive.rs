//! Dead letters: brought back among what is pending, or forgotten.
//!
//! Invariant: only what is dead is touched; one that is brought back keeps its payload and its
//! attempts, and begins a new series.

use sidehook_event::UnixMicros;
use sqlx::SqlitePool;

use super::{batch, begin, rows::micros};
use crate::model::DeliveryId;

/// One whose subscription is gone would have nobody to go to.
pub(super) const REDRIVE: &str = "UPDATE deliveries
    SET state = 'pending', due_at = ?2, claimed = 0, cause = NULL, error = NULL,
        finished_at = NULL, series_at = ?2, earlier = attempts
    WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND state = 'dead'
        AND EXISTS (SELECT 1 FROM subscriptions AS s WHERE s.id = subscription_id)";

/// With their attempts.
pub(super) const DISCARD: &str = "DELETE FROM deliveries
    WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND state = 'dead'";

pub(super) async fn redrive(
    writer: &SqlitePool,
    ids: &[DeliveryId],
    now: UnixMicros,
) -> sqlx::Result<u64> {
    let mut tx = begin(writer).await?;
    let redrive = sqlx::query(REDRIVE).bind(batch::list(ids.iter().copied())).bind(micros(now));
    let done = redrive.execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

pub(super) async fn discard(writer: &SqlitePool, ids: &[DeliveryId]) -> sqlx::Result<u64> {
    let mut tx = begin(writer).await?;
    let discard = sqlx::query(DISCARD).bind(batch::list(ids.iter().copied()));
    let done = discard.execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}
