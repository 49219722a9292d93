//! Deliveries that wait for each other: one line for each subscription and subject.
//!
//! Invariant: an ordered delivery stands in its line from the transaction that stores it to the one
//! that finishes it.

use sidehook_event::UnixMicros;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::{
    batch,
    rows::{bytes, micros},
};
use crate::{model::DeliveryId, store::Dispatched};

const LINE_UP: &str = "INSERT INTO lines
        (subscription_id, subject, sequence, delivery_id, earliest)
    VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) const OWN: &str =
    "SELECT subscription_id, subject, sequence FROM lines WHERE delivery_id = ?1";

pub(super) const AHEAD: &str = "SELECT (
        SELECT COUNT(*) FROM (
            SELECT 1 FROM lines
            WHERE subscription_id = ?1 AND subject = ?2 AND sequence < ?3 LIMIT 100
        )
    ) + EXISTS (
        SELECT 1 FROM undispatched AS u CROSS JOIN events AS e ON e.id = u.event_id
        WHERE e.subject = ?2 AND e.sequence < ?3
    )";

pub(super) const LEAVE: &str = "DELETE FROM lines
    WHERE delivery_id IN (SELECT unhex(value) FROM json_each(?1))
    RETURNING subscription_id, subject";

pub(super) const LEAVE_ALL: &str = "DELETE FROM lines WHERE subscription_id = ?1";

/// One of which something was attempted waits for its own time.
pub(super) const NEXT: &str = "UPDATE deliveries
    SET due_at = MAX(?3, (SELECT earliest FROM lines WHERE delivery_id = deliveries.id))
    WHERE id = (
        SELECT delivery_id FROM lines WHERE subscription_id = ?1 AND subject = ?2
        ORDER BY sequence LIMIT 1
    ) AND due_at > ?3 AND claimed = 0 AND attempts = earlier";

/// The deliveries of an event that is dispatched now.
pub(super) async fn line_up(
    tx: &mut SqliteConnection,
    Dispatched { event, deliveries }: &Dispatched,
    now: UnixMicros,
) -> sqlx::Result<()> {
    let (Some(subject), Some(sequence)) = (&event.subject, event.sequence) else {
        return Ok(());
    };
    for delivery in deliveries.iter().filter(|delivery| delivery.is_ordered) {
        sqlx::query(LINE_UP)
            .bind(bytes(delivery.subscription_id))
            .bind(subject.clone())
            .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
            .bind(bytes(delivery.id))
            .bind(micros(delivery.due.earliest(now)))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Those that are finished leave their lines, and the next ones are due at `now`.
pub(super) async fn leave(
    tx: &mut SqliteConnection,
    finished: Vec<DeliveryId>,
    now: UnixMicros,
) -> sqlx::Result<()> {
    let left = sqlx::query(LEAVE).bind(batch::list(finished)).fetch_all(&mut *tx).await?;
    for row in left {
        let (subscription, subject): (Vec<u8>, String) = (row.try_get(0)?, row.try_get(1)?);
        let next = sqlx::query(NEXT).bind(subscription).bind(subject).bind(micros(now));
        next.execute(&mut *tx).await?;
    }
    Ok(())
}

pub(super) async fn ahead(readers: &SqlitePool, id: DeliveryId) -> sqlx::Result<u32> {
    // Of one moment.
    let mut tx = readers.begin().await?;
    let own = sqlx::query(OWN).bind(bytes(id)).fetch_optional(&mut *tx).await?;
    let Some(own) = own else { return Ok(0) };
    let (subscription, subject): (Vec<u8>, String) = (own.try_get(0)?, own.try_get(1)?);
    let sequence: i64 = own.try_get(2)?;
    let ahead = sqlx::query_scalar(AHEAD).bind(subscription).bind(subject).bind(sequence);
    ahead.fetch_one(&mut *tx).await
}
