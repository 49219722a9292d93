//! Events: appended once, claimed until they are dispatched, listed.
//!
//! Invariant: the row of an event is never rewritten.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use sidehook_event::{Event, EventId, TypeId, UnixMicros, wire};
use sqlx::{
    Row, Sqlite, SqliteConnection, SqlitePool,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    batch::{self, Batch},
    begin,
    claim::{self, Claim},
    rows::{below, bytes, id, micros, number, one_more, unreadable},
};
use crate::{
    model::{Page, PageRequest},
    store::{Due, EventFilter},
};

static APPEND: LazyLock<Batch> = LazyLock::new(|| {
    Batch::new(
        "INSERT INTO events
            (id, type, subject, time_us, skew_us, stored_at, source, idempotency, frame) VALUES",
        9,
        "ON CONFLICT DO NOTHING RETURNING id, sequence",
    )
});

const WAIT: &str = "INSERT INTO undispatched (event_id, due_at, claimed)
    SELECT unhex(value), ?2, ?3 FROM json_each(?1)";

/// Walks from the oldest: before the first that is due stand only those in hand, which are few.
pub(super) const CLAIM: &str = "SELECT e.id, e.source, e.frame, e.sequence
    FROM undispatched AS u CROSS JOIN events AS e ON e.id = u.event_id
    WHERE u.due_at <= ?1 ORDER BY u.event_id LIMIT ?2";

pub(super) const LEASE: &str = "UPDATE undispatched SET due_at = ?2, claimed = 1
    WHERE event_id IN (SELECT unhex(value) FROM json_each(?1))";

pub(super) const ONE: &str = "SELECT id, source, frame, sequence FROM events WHERE id = ?1";

pub(super) const LIST: &str = "SELECT id, source, frame, sequence FROM events
    WHERE id < ?1 AND id >= ?2 AND time_us >= ?3
    ORDER BY id DESC LIMIT ?4";

pub(super) const LIST_BY_TYPE: &str = "SELECT id, source, frame, sequence FROM events
    WHERE id < ?1 AND id >= ?2 AND time_us >= ?3 AND type = ?5
    ORDER BY id DESC LIMIT ?4";

pub(super) const LIST_BY_SUBJECT: &str = "SELECT id, source, frame, sequence FROM events
    WHERE id < ?1 AND id >= ?2 AND time_us >= ?3 AND (?5 IS NULL OR type = ?5) AND subject = ?6
    ORDER BY id DESC LIMIT ?4";

/// The threshold must be the index's own.
pub(super) const LATEST: &str = "SELECT max(skew_us) FROM events WHERE skew_us > 1000000";

/// By how much an event may be later than its id says without being in the index of those.
const USUAL_SKEW: i64 = 1_000_000;

pub(super) async fn append(
    writer: &SqlitePool,
    events: &[Arc<Event>],
    stored_at: UnixMicros,
    due: Due,
) -> sqlx::Result<HashMap<EventId, u64>> {
    // Encoded before the transaction begins: others wait for it.
    let addition = Addition::of(events, stored_at);
    let mut tx = begin(writer).await?;
    let new = addition.add(&mut tx).await?;
    wait(&mut tx, &new, due).await?;
    tx.commit().await?;
    Ok(new)
}

/// Events that are about to be added, encoded.
pub(super) struct Addition {
    inserts: Vec<Query<'static, Sqlite, SqliteArguments>>,
}

impl Addition {
    pub(super) fn of(events: &[Arc<Event>], stored_at: UnixMicros) -> Self {
        let insert = |(text, piece): (&'static str, &[Arc<Event>])| {
            piece.iter().fold(sqlx::query(text), |insert, event| {
                insert
                    .bind(bytes(event.id))
                    .bind(event.event_type.as_str().to_owned())
                    .bind(event.subject.clone())
                    .bind(micros(event.time))
                    .bind(skew(event))
                    .bind(micros(stored_at))
                    .bind(event.source.clone())
                    .bind(event.exchange.idempotency.map(Vec::from))
                    .bind(wire::frame(event))
            })
        };
        Self { inserts: APPEND.split(events).map(insert).collect() }
    }

    /// Adds them, those that are there already left out, and says which were not.
    pub(super) async fn add(
        self,
        tx: &mut SqliteConnection,
    ) -> sqlx::Result<HashMap<EventId, u64>> {
        let mut new = HashMap::new();
        for insert in self.inserts {
            for row in insert.fetch_all(&mut *tx).await? {
                new.insert(id(&row, "id")?, number(&row, "sequence")?);
            }
        }
        Ok(new)
    }
}

/// Lets new events wait to be dispatched.
async fn wait(
    tx: &mut SqliteConnection,
    new: &HashMap<EventId, u64>,
    due: Due,
) -> sqlx::Result<()> {
    let (due_at, claimed) = due_columns(due);
    let wait = sqlx::query(WAIT).bind(batch::list(new.keys().copied()));
    wait.bind(due_at).bind(claimed).execute(tx).await.map(drop)
}

/// Adds what is told of things, due when they happened.
pub(super) async fn tell(
    tx: &mut SqliteConnection,
    told: impl IntoIterator<Item = Event>,
) -> sqlx::Result<()> {
    let told: Vec<_> = told.into_iter().map(Arc::new).collect();
    let Some(latest) = told.iter().map(|event| event.time).max() else { return Ok(()) };
    let new = Addition::of(&told, latest).add(tx).await?;
    wait(tx, &new, Due::At(latest)).await
}

pub(super) async fn claim(
    writer: &SqlitePool,
    now: UnixMicros,
    lease_until: UnixMicros,
    limit: usize,
) -> sqlx::Result<Vec<Arc<Event>>> {
    let texts = Claim { find: CLAIM, lease: LEASE };
    claim::claim::<EventId, _>(writer, texts, now, lease_until, limit, |row| {
        event(row).map(Arc::new)
    })
    .await
}

pub(super) async fn one(readers: &SqlitePool, id: EventId) -> sqlx::Result<Option<Event>> {
    let row = sqlx::query(ONE).bind(bytes(id)).fetch_optional(readers).await?;
    row.as_ref().map(event).transpose()
}

pub(super) async fn list(
    readers: &SqlitePool,
    filter: &EventFilter,
    page: PageRequest<EventId>,
) -> sqlx::Result<Page<Event, EventId>> {
    let text = match (&filter.event_type, &filter.subject) {
        (None, None) => LIST,
        (Some(_), None) => LIST_BY_TYPE,
        (_, Some(_)) => LIST_BY_SUBJECT,
    };
    let oldest = match filter.since {
        Some(since) => oldest_since(readers, since).await?,
        None => EventId::from_bits(0),
    };
    let found = sqlx::query(text)
        .bind(below(page.after))
        .bind(bytes(oldest))
        .bind(micros(filter.since.unwrap_or_default()))
        .bind(one_more(page.limit))
        .bind(filter.event_type.clone())
        .bind(filter.subject.clone())
        .fetch_all(readers)
        .await?;
    let events = found.iter().map(event).collect::<sqlx::Result<_>>()?;
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
/// oldest ends there, instead of at the beginning of time.
async fn oldest_since(readers: &SqlitePool, since: UnixMicros) -> sqlx::Result<EventId> {
    let latest: Option<i64> = sqlx::query_scalar(LATEST).fetch_one(readers).await?;
    let skew = latest.unwrap_or(USUAL_SKEW);
    let millis = micros(since).saturating_sub(skew).max(0) / 1_000;
    Ok(EventId::from_bits(u128::try_from(millis).unwrap_or(0) << 80))
}

/// How much later an event happened than its id says, in microseconds.
fn skew(event: &Event) -> i64 {
    let millis = i64::try_from(event.id.bits() >> 80).unwrap_or(i64::MAX);
    micros(event.time).saturating_sub(millis.saturating_mul(1_000))
}

fn event(row: &SqliteRow) -> sqlx::Result<Event> {
    let mut batch = wire::prologue(row.try_get("source")?);
    batch.extend_from_slice(row.try_get("frame")?);
    let mut events = wire::decode(batch.into()).map_err(unreadable("frame"))?;
    match (events.pop(), events.pop()) {
        (Some(event), None) => Ok(Event { sequence: Some(number(row, "sequence")?), ..event }),
        _ => Err(unreadable("frame")("holds several events")),
    }
}
