//! Stores what routing made of events: their deliveries and what these send.
//!
//! Invariant: an event leaves `undispatched` in the statement that stores its deliveries, so
//! that it is dispatched once.

use std::{collections::HashMap, collections::HashSet};

use sidehook_event::{EventId, UnixMicros};
use sqlx::{Connection as _, types::Uuid};

use super::{
    events::due_columns,
    order::Lines,
    pool::Pool,
    rows::{headers_column, id, key, keys, micros, unwritable},
};
use crate::store::{Dispatched, NewDelivery};

/// Rows of an event that was not taken are left out by a look into a table of those that were, in
/// memory. A plain `IN` would be made a join, which the planner could do row by row.
pub(super) const DISPATCH: &str = "WITH taken AS (
        DELETE FROM undispatched WHERE event_id = ANY ($1) RETURNING event_id
    ), sent AS (
        INSERT INTO payloads (event_id, number, content_type, body, headers)
        SELECT * FROM unnest($2::uuid[], $3::integer[], $4::bytea[], $5::bytea[], $14::bytea[])
            AS new (event_id)
        WHERE (event_id IN (SELECT event_id FROM taken)) IS TRUE
    ), made AS (
        INSERT INTO pending_deliveries
            (id, event_id, subscription_id, payload, event_type, due_at, claimed, attempts,
             created_at, series_at, script)
        SELECT id, event_id, subscription_id, payload, event_type, due_at, claimed, 0, $13::bigint,
            $13::bigint, script
        FROM unnest($6::uuid[], $7::uuid[], $8::uuid[], $9::integer[], $10::text[], $11::bigint[],
                $12::boolean[], $15::text[])
            AS new (id, event_id, subscription_id, payload, event_type, due_at, claimed, script)
        WHERE (event_id IN (SELECT event_id FROM taken)) IS TRUE
    )
    SELECT event_id FROM taken";

pub(super) async fn dispatch(
    pool: &Pool,
    dispatched: &[Dispatched],
    now: UnixMicros,
) -> sqlx::Result<HashSet<EventId>> {
    let Columns { payloads, deliveries } = Columns::of(dispatched, |_| Some(0))?;
    let dispatch = sqlx::query(DISPATCH)
        .bind(keys(dispatched.iter().map(|dispatched| dispatched.event.id)))
        .bind(payloads.event_ids)
        .bind(payloads.numbers)
        .bind(payloads.content_types)
        .bind(payloads.bodies)
        .bind(deliveries.ids)
        .bind(deliveries.event_ids)
        .bind(deliveries.subscription_ids)
        .bind(deliveries.payloads)
        .bind(deliveries.event_types)
        .bind(deliveries.due_ats)
        .bind(deliveries.claimed)
        .bind(micros(now))
        .bind(payloads.headers)
        .bind(deliveries.scripts);
    let mut connection = pool.lend().await?;
    if !dispatched.iter().any(|one| one.deliveries.iter().any(|delivery| delivery.is_ordered)) {
        let taken = dispatch.fetch_all(&mut *connection).await?;
        return connection.done(taken.iter().map(|row| id(row, "event_id")).collect());
    }
    let mut tx = connection.begin().await?;
    let taken = dispatch.fetch_all(&mut *tx).await?;
    let taken: HashSet<EventId> =
        taken.iter().map(|row| id(row, "event_id")).collect::<sqlx::Result<_>>()?;
    let mut left = taken.clone();
    let mut lines = Lines::default();
    for dispatched in dispatched {
        if left.remove(&dispatched.event.id) {
            lines.add(dispatched, now);
        }
    }
    lines.line_up(&mut tx).await?;
    tx.commit().await?;
    connection.done(Ok(taken))
}

#[derive(Default)]
pub(super) struct Payloads<'a> {
    pub(super) event_ids: Vec<Uuid>,
    pub(super) numbers: Vec<i32>,
    pub(super) content_types: Vec<&'a [u8]>,
    pub(super) bodies: Vec<&'a [u8]>,
    pub(super) headers: Vec<Option<Vec<u8>>>,
}

#[derive(Default)]
pub(super) struct Deliveries<'a> {
    pub(super) ids: Vec<Uuid>,
    pub(super) event_ids: Vec<Uuid>,
    pub(super) subscription_ids: Vec<Uuid>,
    pub(super) payloads: Vec<i32>,
    pub(super) event_types: Vec<&'a str>,
    pub(super) due_ats: Vec<i64>,
    pub(super) claimed: Vec<bool>,
    pub(super) scripts: Vec<Option<String>>,
}

#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) payloads: Payloads<'a>,
    pub(super) deliveries: Deliveries<'a>,
}

impl<'a> Columns<'a> {
    /// Of the events whose first payload has a number; of one that comes twice, those of the first.
    pub(super) fn of(
        dispatched: &'a [Dispatched],
        first: impl Fn(EventId) -> Option<i32>,
    ) -> sqlx::Result<Self> {
        let mut columns = Self::default();
        let mut seen = HashSet::new();
        for dispatched in dispatched {
            let first = first(dispatched.event.id).filter(|_| seen.insert(dispatched.event.id));
            if let Some(first) = first {
                columns.add(dispatched, first)?;
            }
        }
        Ok(columns)
    }

    /// Deliveries that share their body's memory share its row: comparing the bytes of thousands
    /// of bodies would cost more than it saves. What is still to be made is nobody else's.
    fn add(&mut self, dispatched: &'a Dispatched, first: i32) -> sqlx::Result<()> {
        let mut numbers = HashMap::new();
        for delivery in &dispatched.deliveries {
            let payload = &delivery.payload;
            let place = (
                payload.body.as_ptr(),
                payload.body.len(),
                &*payload.content_type,
                &*payload.headers,
            );
            let next =
                i32::try_from(numbers.len()).ok().and_then(|number| first.checked_add(number));
            let next = next.ok_or_else(|| unwritable("number", "too many payloads"))?;
            let headers = headers_column(&payload.headers)?;
            let number = *numbers.entry(place).or_insert_with(|| {
                self.payloads.event_ids.push(key(dispatched.event.id));
                self.payloads.numbers.push(next);
                self.payloads.content_types.push(payload.content_type.as_bytes());
                self.payloads.bodies.push(&payload.body);
                self.payloads.headers.push(headers.map(String::into_bytes));
                next
            });
            self.deliveries.add(dispatched, delivery, number);
        }
        Ok(())
    }
}

impl<'a> Deliveries<'a> {
    fn add(&mut self, dispatched: &'a Dispatched, delivery: &NewDelivery, payload: i32) {
        let (due_at, claimed) = due_columns(delivery.due);
        self.ids.push(key(delivery.id));
        self.event_ids.push(key(dispatched.event.id));
        self.subscription_ids.push(key(delivery.subscription_id));
        self.payloads.push(payload);
        self.event_types.push(dispatched.event.event_type.as_str());
        self.due_ats.push(due_at);
        self.claimed.push(claimed);
    }
}
