//! Deliveries added to events that were dispatched before.
//!
//! Invariant: an event that still waits to be dispatched, or is gone, is left out: what it gets is
//! decided then, or no more.

use std::collections::{HashMap, HashSet};

use sidehook_event::{EventId, UnixMicros};
use sqlx::{Row as _, SqlitePool};

use super::{batch, begin, dispatch::Rows, rows::id};
use crate::{model::SubscriptionId, store::Dispatched};

/// With the number that their next payload gets.
pub(super) const DISPATCHED: &str = "SELECT e.id, (
        SELECT COALESCE(MAX(number) + 1, 0) FROM payloads WHERE event_id = e.id
    ) AS next
    FROM events AS e WHERE e.id IN (SELECT unhex(value) FROM json_each(?1))
        AND NOT EXISTS (SELECT 1 FROM undispatched WHERE event_id = e.id)";

pub(super) const KNOWN: &str = "SELECT event_id, subscription_id FROM deliveries
    WHERE event_id IN (SELECT unhex(value) FROM json_each(?1))";

pub(super) async fn replay(
    writer: &SqlitePool,
    replayed: Vec<Dispatched>,
    missing_only: bool,
    now: UnixMicros,
) -> sqlx::Result<u64> {
    let mut replayed = replayed;
    let mut tx = begin(writer).await?;
    let ids = batch::list(replayed.iter().map(|replayed| replayed.event.id));
    if missing_only {
        let known = sqlx::query(KNOWN).bind(ids.clone()).fetch_all(&mut *tx).await?;
        let known = known.iter().map(|row| Ok((id(row, "event_id")?, id(row, "subscription_id")?)));
        let known: HashSet<(EventId, SubscriptionId)> = known.collect::<sqlx::Result<_>>()?;
        for Dispatched { event, deliveries } in &mut replayed {
            deliveries.retain(|delivery| !known.contains(&(event.id, delivery.subscription_id)));
        }
    }
    let found = sqlx::query(DISPATCHED).bind(ids).fetch_all(&mut *tx).await?;
    let first = found.iter().map(|row| Ok((id(row, "id")?, row.try_get("next")?)));
    let first: HashMap<EventId, i64> = first.collect::<sqlx::Result<_>>()?;
    let rows = Rows::of(&replayed, first);
    rows.insert(&mut tx, now).await?;
    let count = rows.deliveries();
    tx.commit().await?;
    Ok(count)
}
