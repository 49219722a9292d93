//! Events: appended once, claimed until they are dispatched, listed.
//!
//! Invariant: the row of an event is never rewritten.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sidehook_event::{Event, EventId, TypeId, UnixMicros, wire};
use sqlx::{
    PgConnection, Postgres, Row,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use super::{
    claim,
    pool::Pool,
    rows::{below, id, key, micros, number, one_more, rows, text, unreadable},
};
use crate::{
    model::{Page, PageRequest},
    store::{Due, EventFilter},
};

pub(super) const APPEND: &str = "WITH new AS (
        INSERT INTO events (id, type, subject, time_us, skew_us, source, frame, idempotency,
            sequence, stored_at)
        SELECT id, type, subject, time_us, skew_us, source, frame, idempotency,
            (SELECT nextval('appends')) * 65536 + place, $8::bigint
        FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bytea[],
            $7::bytea[], $11::integer[], $12::bytea[])
            AS given (id, type, subject, time_us, skew_us, source, frame, place, idempotency)
        ON CONFLICT DO NOTHING RETURNING id, sequence
    ), waiting AS (
        INSERT INTO undispatched (event_id, due_at, claimed)
        SELECT id, $9::bigint, $10::boolean FROM new
    )
    SELECT id, sequence FROM new";

/// How many events are numbered together.
const NUMBERED: i64 = 65_536;

pub(super) const NUMBER: &str = "SELECT nextval('appends')";

/// Walks from the oldest: before the first that is due stand only those in hand, which are few.
pub(super) const CLAIM: &str = "WITH due AS MATERIALIZED (
        SELECT event_id FROM undispatched WHERE due_at <= $1
        ORDER BY event_id LIMIT $2 FOR UPDATE SKIP LOCKED
    ), leased AS (
        UPDATE undispatched SET due_at = $3, claimed = true
        WHERE event_id = ANY (ARRAY (SELECT event_id FROM due))
    )
    SELECT due.event_id AS id, e.source, e.frame, e.sequence
    FROM due LEFT JOIN LATERAL (
        SELECT source, frame, sequence FROM events WHERE id = due.event_id LIMIT 1
    ) AS e ON true ORDER BY due.event_id";

pub(super) const ONE: &str = "SELECT id, source, frame, sequence FROM events WHERE id = $1";

pub(super) const LIST: &str = "SELECT id, source, frame, sequence FROM events
    WHERE id < $1 AND id >= $2 AND time_us >= $3 ORDER BY id DESC LIMIT $4";

// A row is compared, and sorted by, as a whole, where an equality would do for a part of it: only
// the index of just these columns can then be used.

pub(super) const LIST_BY_TYPE: &str = "SELECT id, source, frame, sequence FROM events
    WHERE (type, id) < ($5, $1) AND (type, id) >= ($5, $2) AND time_us >= $3
    ORDER BY type DESC, id DESC LIMIT $4";

pub(super) const LIST_BY_SUBJECT: &str = "SELECT id, source, frame, sequence FROM events
    WHERE (substr(subject, 1, 64), id) < (substr($6::bytea, 1, 64), $1)
        AND (substr(subject, 1, 64), id) >= (substr($6::bytea, 1, 64), $2)
        AND time_us >= $3 AND ($5::text IS NULL OR type = $5) AND subject = $6
    ORDER BY substr(subject, 1, 64) DESC, id DESC LIMIT $4";

/// The threshold must be the index's own.
pub(super) const LATEST: &str = "SELECT max(skew_us) FROM events WHERE skew_us > 1000000";

/// By how much an event may be later than its id says without being in the index of those.
const USUAL_SKEW: i64 = 1_000_000;

/// The events as columns, each with its place among them, in the order of what must be there once:
/// two who append the same ones do not wait for each other. Of one that comes twice the first is
/// kept.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) ids: Vec<sqlx::types::Uuid>,
    types: Vec<&'a str>,
    subjects: Vec<Option<&'a [u8]>>,
    times: Vec<i64>,
    skews: Vec<i64>,
    sources: Vec<&'a [u8]>,
    frames: Vec<Vec<u8>>,
    places: Vec<i32>,
    idempotencies: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(events: &'a [Arc<Event>]) -> Self {
        let mut sorted: Vec<(usize, &Event)> =
            events.iter().map(AsRef::as_ref).enumerate().collect();
        sorted.sort_by_key(|(place, event)| (event.exchange.idempotency, event.id, *place));
        let mut columns = Self::default();
        for (place, event) in sorted {
            columns.ids.push(key(event.id));
            columns.types.push(event.event_type.as_str());
            columns.subjects.push(event.subject.as_deref().map(str::as_bytes));
            columns.times.push(micros(event.time));
            columns.skews.push(skew(event));
            columns.sources.push(event.source.as_bytes());
            columns.frames.push(wire::frame(event));
            columns.places.push(place_column(place));
            columns
                .idempotencies
                .push(event.exchange.idempotency.as_ref().map(<[u8; 16]>::as_slice));
        }
        columns
    }

    /// Binds what is no id, and the number of the append.
    pub(super) fn bound(
        self,
        query: Query<'static, Postgres, PgArguments>,
        append: i64,
    ) -> Query<'static, Postgres, PgArguments> {
        query
            .bind(self.types)
            .bind(self.subjects)
            .bind(self.times)
            .bind(self.skews)
            .bind(self.sources)
            .bind(self.frames)
            .bind(self.idempotencies)
            .bind(self.places)
            .bind(append)
    }
}

fn place_column(place: usize) -> i32 {
    i32::try_from(place).unwrap_or(i32::MAX).min(65_535)
}

/// The events of the append that has this number, each once, with the sequence that its place makes.
/// These are copies, for what is stored says its sequence beside the event and not in it.
pub(super) fn numbered(events: &[Arc<Event>], append: i64) -> Vec<Arc<Event>> {
    let mut seen = HashSet::new();
    let first = events.iter().enumerate().filter(|(_, event)| seen.insert(event.id));
    let numbered = first.map(|(place, event)| {
        let sequence = append.saturating_mul(NUMBERED).saturating_add(place_column(place).into());
        let sequence = u64::try_from(sequence).ok();
        Arc::new(Event { sequence, ..Event::clone(event) })
    });
    numbered.collect()
}

pub(super) async fn append(
    pool: &Pool,
    events: &[Arc<Event>],
    stored_at: UnixMicros,
    due: Due,
) -> sqlx::Result<HashMap<EventId, u64>> {
    // Encoded before a connection is taken: others wait for it.
    let insert = insertion(events, stored_at, due);
    let mut connection = pool.lend().await?;
    let new = insert.fetch_all(&mut *connection).await?;
    connection.done(new.iter().map(|row| Ok((id(row, "id")?, number(row, "sequence")?))).collect())
}

/// The statement that adds events, those that are there already left out.
pub(super) fn insertion(
    events: &[Arc<Event>],
    stored_at: UnixMicros,
    due: Due,
) -> Query<'static, Postgres, PgArguments> {
    let Columns { ids, types, subjects, times, skews, sources, frames, places, idempotencies } =
        Columns::of(events);
    let (due_at, claimed) = due_columns(due);
    sqlx::query(APPEND)
        .bind(ids)
        .bind(types)
        .bind(subjects)
        .bind(times)
        .bind(skews)
        .bind(sources)
        .bind(frames)
        .bind(micros(stored_at))
        .bind(due_at)
        .bind(claimed)
        .bind(places)
        .bind(idempotencies)
}

/// Adds what is told of things, due when they happened.
pub(super) async fn tell(
    tx: &mut PgConnection,
    told: impl IntoIterator<Item = Event>,
) -> sqlx::Result<()> {
    let told: Vec<_> = told.into_iter().map(Arc::new).collect();
    let Some(latest) = told.iter().map(|event| event.time).max() else { return Ok(()) };
    insertion(&told, latest, Due::At(latest)).execute(tx).await.map(drop)
}

pub(super) async fn claim(
    pool: &Pool,
    now: UnixMicros,
    lease_until: UnixMicros,
    limit: usize,
) -> sqlx::Result<Vec<Arc<Event>>> {
    let claim = sqlx::query(CLAIM).bind(micros(now)).bind(rows(limit)).bind(micros(lease_until));
    let mut connection = pool.lend().await?;
    let claimed = claim.fetch_all(&mut *connection).await?;
    connection.done(claim::readable::<EventId, _>(&claimed, |row| event(row).map(Arc::new)))
}

pub(super) async fn one(pool: &Pool, id: EventId) -> sqlx::Result<Option<Event>> {
    let mut connection = pool.lend().await?;
    let row = sqlx::query(ONE).bind(key(id)).fetch_optional(&mut *connection).await?;
    connection.done(row.as_ref().map(event).transpose())
}

pub(super) async fn list(
    pool: &Pool,
    filter: &EventFilter,
    page: PageRequest<EventId>,
) -> sqlx::Result<Page<Event, EventId>> {
    let mut connection = pool.lend().await?;
    let oldest = match filter.since {
        Some(since) => {
            let latest: Option<i64> =
                sqlx::query_scalar(LATEST).fetch_one(&mut *connection).await?;
            oldest_since(latest, since)
        }
        None => EventId::from_bits(0),
    };
    let bound = |text| {
        sqlx::query(text)
            .bind(below(page.after))
            .bind(key(oldest))
            .bind(micros(filter.since.unwrap_or_default()))
            .bind(one_more(page.limit))
    };
    let list = match (filter.event_type.as_deref(), filter.subject.as_deref()) {
        (None, None) => bound(LIST),
        (Some(event_type), None) => bound(LIST_BY_TYPE).bind(event_type),
        (event_type, Some(subject)) => {
            bound(LIST_BY_SUBJECT).bind(event_type).bind(subject.as_bytes())
        }
    };
    let found = list.fetch_all(&mut *connection).await?;
    let events = connection.done(found.iter().map(event).collect::<sqlx::Result<_>>())?;
    Ok(Page::cut(events, page.limit, |event: &Event| event.id))
}

/// A [`Due`] as columns: when, and whether somebody has it in hand.
pub(super) fn due_columns(due: Due) -> (i64, bool) {
    match due {
        Due::At(at) => (micros(at), false),
        Due::Leased(until) => (micros(until), true),
    }
}

/// No event that happened at `since` or later has a smaller id: the walk from the newest to the
/// oldest ends there, instead of at the beginning of time. `latest` is the greatest delay of an
/// event behind its id.
fn oldest_since(latest: Option<i64>, since: UnixMicros) -> EventId {
    let skew = latest.unwrap_or(USUAL_SKEW);
    let millis = micros(since).saturating_sub(skew).max(0) / 1_000;
    EventId::from_bits(u128::try_from(millis).unwrap_or(0) << 80)
}

/// How much later an event happened than its id says, in microseconds.
fn skew(event: &Event) -> i64 {
    let millis = i64::try_from(event.id.bits() >> 80).unwrap_or(i64::MAX);
    micros(event.time).saturating_sub(millis.saturating_mul(1_000))
}

fn event(row: &PgRow) -> sqlx::Result<Event> {
    let frame: Option<&[u8]> = row.try_get("frame")?;
    let frame = frame.ok_or_else(|| unreadable("frame")("is gone"))?;
    let mut batch = wire::prologue(text(row, "source")?);
    batch.extend_from_slice(frame);
    let mut events = wire::decode(batch.into()).map_err(unreadable("frame"))?;
    match (events.pop(), events.pop()) {
        (Some(event), None) => Ok(Event { sequence: Some(number(row, "sequence")?), ..event }),
        _ => Err(unreadable("frame")("holds several events")),
    }
}
