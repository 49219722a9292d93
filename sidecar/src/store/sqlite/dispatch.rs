//! Stores what routing made of events: their deliveries and what these send.
//!
//! Invariant: an event leaves `undispatched` in the transaction that stores its deliveries, or was
//! stored in that, so that it is dispatched once.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock},
};

use sidehook_event::{Event, EventId, UnixMicros};
use sqlx::{SqliteConnection, SqlitePool};

use super::{
    batch::{self, Batch},
    begin,
    events::{Addition, due_columns},
    order,
    rows::{bytes, headers_column, id, micros},
};
use crate::{
    model::Payload,
    store::{Dispatched, NewDelivery, Router, numbered},
};

pub(super) const TAKE: &str = "DELETE FROM undispatched
    WHERE event_id IN (SELECT unhex(value) FROM json_each(?1)) RETURNING event_id";

static PAYLOADS: LazyLock<Batch> = LazyLock::new(|| {
    Batch::new("INSERT INTO payloads (event_id, number, content_type, headers, body) VALUES", 5, "")
});

static DELIVERIES: LazyLock<Batch> = LazyLock::new(|| {
    Batch::new(
        "INSERT INTO deliveries
         (id, event_id, payload, subscription_id, event_type, due_at, claimed, created_at,
             series_at, script) VALUES",
        10,
        "",
    )
});

pub(super) async fn dispatch(
    writer: &SqlitePool,
    dispatched: &[Dispatched],
    now: UnixMicros,
) -> sqlx::Result<HashSet<EventId>> {
    let mut tx = begin(writer).await?;
    let ids = dispatched.iter().map(|dispatched| dispatched.event.id);
    let taken = sqlx::query(TAKE).bind(batch::list(ids)).fetch_all(&mut *tx).await?;
    let taken: HashSet<EventId> =
        taken.iter().map(|row| id(row, "event_id")).collect::<sqlx::Result<_>>()?;

    let first = taken.iter().map(|id| (*id, 0)).collect();
    Rows::of(dispatched, first).insert(&mut tx, now).await?;
    let mut left = taken.clone();
    for dispatched in dispatched {
        if left.remove(&dispatched.event.id) {
            order::line_up(&mut tx, dispatched, now).await?;
        }
    }
    tx.commit().await?;
    Ok(taken)
}

/// Stores events with their deliveries.
pub(super) async fn append_dispatched(
    writer: &SqlitePool,
    events: Vec<Arc<Event>>,
    now: UnixMicros,
    router: Router<'_>,
) -> sqlx::Result<Vec<Dispatched>> {
    let addition = Addition::of(&events, now);
    let mut tx = begin(writer).await?;
    let new = addition.add(&mut tx).await?;
    let first = new.keys().map(|id| (*id, 0)).collect();
    let dispatched = router(numbered(events, new));
    Rows::of(&dispatched, first).insert(&mut tx, now).await?;
    tx.commit().await?;
    Ok(dispatched)
}

struct PayloadRow<'a> {
    event_id: EventId,
    number: i64,
    payload: &'a Payload,
}

struct DeliveryRow<'a> {
    dispatched: &'a Dispatched,
    delivery: &'a NewDelivery,
    payload: i64,
}

#[derive(Default)]
pub(super) struct Rows<'a> {
    payloads: Vec<PayloadRow<'a>>,
    deliveries: Vec<DeliveryRow<'a>>,
}

impl<'a> Rows<'a> {
    /// The rows of the events in `first`, with the number of their first payload; of an event that
    /// comes twice, those of the first.
    pub(super) fn of(dispatched: &'a [Dispatched], mut first: HashMap<EventId, i64>) -> Self {
        let mut rows = Self::default();
        for dispatched in dispatched {
            if let Some(first) = first.remove(&dispatched.event.id) {
                rows.add(dispatched, first);
            }
        }
        rows
    }

    /// How many deliveries they are of.
    pub(super) fn deliveries(&self) -> u64 {
        u64::try_from(self.deliveries.len()).unwrap_or(u64::MAX)
    }

    /// Adds them.
    pub(super) async fn insert(
        &self,
        connection: &mut SqliteConnection,
        now: UnixMicros,
    ) -> sqlx::Result<()> {
        let Self { payloads, deliveries } = self;
        for (text, piece) in PAYLOADS.split(payloads) {
            let mut insert = sqlx::query(text);
            for row in piece {
                insert = insert
                    .bind(bytes(row.event_id))
                    .bind(row.number)
                    .bind(row.payload.content_type.to_string())
                    .bind(headers_column(&row.payload.headers)?)
                    .bind(row.payload.body.to_vec());
            }
            insert.execute(&mut *connection).await?;
        }
        for (text, piece) in DELIVERIES.split(deliveries) {
            let insert = piece.iter().fold(sqlx::query(text), |insert, row| {
                let (due_at, claimed) = due_columns(row.delivery.due);
                insert
                    .bind(bytes(row.delivery.id))
                    .bind(bytes(row.dispatched.event.id))
                    .bind(row.payload)
                    .bind(bytes(row.delivery.subscription_id))
                    .bind(row.dispatched.event.event_type.as_str().to_owned())
                    .bind(due_at)
                    .bind(claimed)
                    .bind(micros(now))
                    .bind(micros(now))
                    .bind(row.delivery.script.map(|version| version.to_string()))
            });
            insert.execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Deliveries that share their body's memory share its row: comparing the bytes of thousands
    /// of bodies would cost more than it saves. What is still to be made is nobody else's.
    fn add(&mut self, dispatched: &'a Dispatched, first: i64) {
        let event_id = dispatched.event.id;
        let mut numbers = HashMap::new();
        for delivery in &dispatched.deliveries {
            let payload = &delivery.payload;
            let place = (payload.body.as_ptr(), payload.body.len(), &*payload.headers);
            let next = first.saturating_add(i64::try_from(numbers.len()).unwrap_or(i64::MAX));
            let number = *numbers.entry((place, &*payload.content_type)).or_insert_with(|| {
                self.payloads.push(PayloadRow { event_id, number: next, payload });
                next
            });
            self.deliveries.push(DeliveryRow { dispatched, delivery, payload: number });
        }
    }
}
