//! Pending deliveries whose subscription's policy changed: read, and made due at another time.
//!
//! Invariant: what somebody has in hand, or what was moved since it was read, is left alone.

use sidehook_event::UnixMicros;
use sqlx::{Connection as _, postgres::PgRow};

use super::{
    pool::Pool,
    rows::{above, id, instant, key, maybe_instant, micros, number, rows},
};
use crate::{
    model::{DeliveryId, Series, SubscriptionId},
    store::Waiting,
};

pub(super) const WAITING: &str = "SELECT id, attempts, series_at, earlier, due_at, (
        SELECT started_at + duration_us FROM attempts
        WHERE delivery_id = d.id AND number = d.attempts LIMIT 1
    ) AS ended_at
    FROM pending_deliveries AS d
    WHERE (subscription_id, id) > ($1, $2) AND subscription_id <= $1 AND (claimed) IS FALSE
    ORDER BY subscription_id, id LIMIT $3";

pub(super) const MOVE: &str = "UPDATE pending_deliveries SET due_at = $3
    WHERE id = $1 AND (due_at = $2) IS TRUE AND (claimed) IS FALSE";

pub(super) async fn waiting(
    pool: &Pool,
    subscription: SubscriptionId,
    after: Option<DeliveryId>,
    limit: usize,
) -> sqlx::Result<Vec<Waiting>> {
    let waiting = sqlx::query(WAITING);
    let waiting = waiting.bind(key(subscription)).bind(above(after)).bind(rows(limit));
    let mut connection = pool.lend().await?;
    let found = waiting.fetch_all(&mut *connection).await?;
    connection.done(found.iter().map(read).collect())
}

fn read(row: &PgRow) -> sqlx::Result<Waiting> {
    let series = Series { began_at: instant(row, "series_at")?, earlier: number(row, "earlier")? };
    Ok(Waiting {
        id: id(row, "id")?,
        attempts: number(row, "attempts")?,
        series,
        ended_at: maybe_instant(row, "ended_at")?,
        due_at: instant(row, "due_at")?,
    })
}

pub(super) async fn reschedule(pool: &Pool, moved: &[(Waiting, UnixMicros)]) -> sqlx::Result<u64> {
    let mut connection = pool.lend().await?;
    let mut tx = connection.begin().await?;
    let mut count = 0;
    for (waiting, due_at) in moved {
        let update = sqlx::query(MOVE).bind(key(waiting.id)).bind(micros(waiting.due_at));
        count += update.bind(micros(*due_at)).execute(&mut *tx).await?.rows_affected();
    }
    tx.commit().await?;
    connection.done(Ok(count))
}
