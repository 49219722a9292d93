//! Stores what routing made of events: their deliveries and what these send.
//!
//! Invariant: an event leaves `undispatched` in the statement that stores its deliveries, or is stored
//! by that, so that it is dispatched once.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
};

use sidehook_event::{Event, EventId, UnixMicros};
use sqlx::{
    Connection as _, Postgres,
    postgres::{PgArguments, PgRow},
    query::Query,
    types::Uuid,
};

use super::{
    events::{self, due_columns},
    order::Lines,
    pool::Pool,
    rows::{headers_column, id, key, keys, micros, unwritable},
};
use crate::store::{Dispatched, NewDelivery, Router};

/// Stores what was made of the events that are `taken`. Rows of another are left out by a look into a
/// table of those, in memory. A plain `IN` would be made a join, which the planner could do row by row.
macro_rules! of_taken {
    ($taken:literal) => {
        concat!(
            "WITH taken AS (",
            $taken,
            "), sent AS (
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
    SELECT event_id FROM taken"
        )
    };
}

pub(super) const DISPATCH: &str =
    of_taken!("DELETE FROM undispatched WHERE event_id = ANY ($1) RETURNING event_id");

pub(super) const APPEND: &str = of_taken!(
    "INSERT INTO events (id, type, subject, time_us, skew_us, source, frame, idempotency,
        sequence, stored_at)
    SELECT id, type, subject, time_us, skew_us, source, frame, idempotency,
        $24::bigint * 65536 + place, $13::bigint
    FROM unnest($1::uuid[], $16::text[], $17::bytea[], $18::bigint[], $19::bigint[], $20::bytea[],
        $21::bytea[], $22::bytea[], $23::integer[])
        AS given (id, type, subject, time_us, skew_us, source, frame, idempotency, place)
    ON CONFLICT DO NOTHING RETURNING id AS event_id"
);

pub(super) async fn dispatch(
    pool: &Pool,
    dispatched: &[Dispatched],
    now: UnixMicros,
) -> sqlx::Result<HashSet<EventId>> {
    let ids = keys(dispatched.iter().map(|dispatched| dispatched.event.id));
    let dispatch = Columns::of(dispatched, |_| Some(0))?.bound(DISPATCH, ids, now);
    let mut connection = pool.lend().await?;
    if !dispatched.iter().any(|one| one.deliveries.iter().any(|delivery| delivery.is_ordered)) {
        let taken = dispatch.fetch_all(&mut *connection).await?;
        return connection.done(event_ids(&taken));
    }
    let mut tx = connection.begin().await?;
    let taken = dispatch.fetch_all(&mut *tx).await?;
    let taken = event_ids(&taken)?;
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

/// Stores events with their deliveries. What is made of an event has its sequence, so that this has to
/// be known before; nobody waits for the one that asks for it.
pub(super) async fn append_dispatched(
    pool: &Pool,
    events: Vec<Arc<Event>>,
    now: UnixMicros,
    router: Router<'_>,
) -> sqlx::Result<Vec<Dispatched>> {
    let mut connection = pool.lend().await?;
    let append: i64 = sqlx::query_scalar(events::NUMBER).fetch_one(&mut *connection).await?;
    let mut dispatched = router(events::numbered(&events, append));
    let mut given = events::Columns::of(&events);
    let ids = mem::take(&mut given.ids);
    let made = Columns::of(&dispatched, |_| Some(0))?.bound(APPEND, ids, now);
    let taken = given.bound(made, append).fetch_all(&mut *connection).await?;
    let taken = event_ids(&taken)?;
    dispatched.retain(|dispatched| taken.contains(&dispatched.event.id));
    connection.done(Ok(dispatched))
}

fn event_ids(rows: &[PgRow]) -> sqlx::Result<HashSet<EventId>> {
    rows.iter().map(|row| id(row, "event_id")).collect()
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

    /// The statement that stores them, if these events are taken.
    fn bound(
        self,
        statement: &'static str,
        ids: Vec<Uuid>,
        now: UnixMicros,
    ) -> Query<'static, Postgres, PgArguments> {
        let Self { payloads, deliveries } = self;
        sqlx::query(statement)
            .bind(ids)
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
            .bind(deliveries.scripts)
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
