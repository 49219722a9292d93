//! Pending deliveries whose subscription's policy changed: read, and made due at another time.
//!
//! Invariant: what somebody has in hand, or what was moved since it was read, is left alone.

use sidehook_event::UnixMicros;
use sqlx::{SqlitePool, sqlite::SqliteRow};

use super::{
    begin,
    rows::{above, bytes, id, instant, maybe_instant, micros, number, rows},
};
use crate::{
    model::{DeliveryId, Series, SubscriptionId},
    store::Waiting,
};

pub(super) const WAITING: &str = "SELECT id, attempts, series_at, earlier, due_at, (
        SELECT started_at + duration_us FROM attempts
        WHERE delivery_id = d.id AND number = d.attempts
    ) AS ended_at
    FROM deliveries AS d
    WHERE subscription_id = ?1 AND state = 'pending' AND state <> 'delivered' AND id > ?2
        AND claimed = 0
    ORDER BY id LIMIT ?3";

pub(super) const MOVE: &str = "UPDATE deliveries SET due_at = ?3
    WHERE id = ?1 AND due_at = ?2 AND claimed = 0";

pub(super) async fn waiting(
    readers: &SqlitePool,
    subscription: SubscriptionId,
    after: Option<DeliveryId>,
    limit: usize,
) -> sqlx::Result<Vec<Waiting>> {
    let found = sqlx::query(WAITING)
        .bind(bytes(subscription))
        .bind(above(after))
        .bind(rows(limit))
        .fetch_all(readers)
        .await?;
    found.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> sqlx::Result<Waiting> {
    let series = Series { began_at: instant(row, "series_at")?, earlier: number(row, "earlier")? };
    Ok(Waiting {
        id: id(row, "id")?,
        attempts: number(row, "attempts")?,
        series,
        ended_at: maybe_instant(row, "ended_at")?,
        due_at: instant(row, "due_at")?,
    })
}

pub(super) async fn reschedule(
    writer: &SqlitePool,
    moved: &[(Waiting, UnixMicros)],
) -> sqlx::Result<u64> {
    let mut tx = begin(writer).await?;
    let mut count = 0;
    for (waiting, due_at) in moved {
        let update = sqlx::query(MOVE).bind(bytes(waiting.id)).bind(micros(waiting.due_at));
        count += update.bind(micros(*due_at)).execute(&mut *tx).await?.rows_affected();
    }
    tx.commit().await?;
    Ok(count)
}
