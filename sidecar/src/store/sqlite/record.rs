//! Records attempts and what follows them, many in one transaction.
//!
//! Invariant: an attempt and its successor are stored together or not at all.

use std::{collections::HashMap, sync::LazyLock};

use sqlx::{SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{
    batch::{self, Batch},
    begin, deliveries, events, order,
    rows::{
        bytes, death, headers_column, id, maybe_instant, maybe_named, micros, named, number,
        reason, script, span,
    },
};
use crate::{
    model::{Attempt, DeliveryId, Outcome, Payload, State, Verdict, operational},
    store::standing::Standing,
};

pub(super) const STANDINGS: &str = "SELECT id, state, attempts, due_at, claimed, last_outcome,
        cause, error, script, finished_at
    FROM deliveries WHERE id IN (SELECT unhex(value) FROM json_each(?1))";

static ATTEMPTS: LazyLock<Batch> = LazyLock::new(|| {
    Batch::new(
        "INSERT INTO attempts (delivery_id, number, started_at, duration_us, outcome, status_code,
            response_excerpt, error) VALUES",
        8,
        "ON CONFLICT DO NOTHING",
    )
});

pub(super) static MOVE: LazyLock<Batch> = LazyLock::new(|| {
    Batch::new(
        "WITH new (id, state, attempts, due_at, claimed, last_outcome, cause, error, script,
            finished_at) AS (VALUES",
        10,
        ") UPDATE deliveries SET state = new.state, attempts = new.attempts, due_at = new.due_at,
            claimed = new.claimed, last_outcome = new.last_outcome, cause = new.cause,
            error = new.error, script = new.script, finished_at = new.finished_at
         FROM new WHERE deliveries.id = new.id",
    )
});

pub(super) const FILL: &str = "UPDATE payloads SET content_type = ?2, headers = ?3, body = ?4
    WHERE content_type = ''
        AND (event_id, number) = (SELECT event_id, payload FROM deliveries WHERE id = ?1)";

pub(super) async fn record(writer: &SqlitePool, verdicts: &[Verdict]) -> sqlx::Result<()> {
    let mut tx = begin(writer).await?;
    let ids = verdicts.iter().map(|verdict| verdict.delivery_id);
    let before = sqlx::query(STANDINGS).bind(batch::list(ids)).fetch_all(&mut *tx).await?;
    let before: HashMap<DeliveryId, Standing> = before
        .iter()
        .map(|row| Ok((id(row, "id")?, standing(row)?)))
        .collect::<sqlx::Result<_>>()?;

    let mut after = before.clone();
    let mut attempts = Vec::new();
    for verdict in verdicts {
        // A delivery that is not stored has no log either.
        if let Some(standing) = after.get_mut(&verdict.delivery_id) {
            *standing = standing.after(verdict);
            let attempt = verdict.attempt.as_ref();
            attempts.extend(attempt.map(|attempt| (verdict.delivery_id, attempt)));
        }
    }
    let moved: Vec<_> =
        after.into_iter().filter(|(id, standing)| before.get(id) != Some(standing)).collect();

    for (text, piece) in ATTEMPTS.split(&attempts) {
        insert(text, piece).execute(&mut *tx).await?;
    }
    for (text, piece) in MOVE.split(&moved) {
        update(text, piece).execute(&mut *tx).await?;
    }
    make(&mut tx, verdicts).await?;
    tell(&mut tx, &moved).await?;
    let finished = moved.iter().filter(|(_, standing)| standing.state != State::Pending);
    let finished: Vec<_> = finished.map(|(id, _)| *id).collect();
    if let Some(now) = verdicts.iter().map(|verdict| verdict.at).max() {
        order::leave(&mut tx, finished, now).await?;
    }
    tx.commit().await
}

/// Fills the payloads that scripts made. What was made before stays as it is.
async fn make(tx: &mut SqliteConnection, verdicts: &[Verdict]) -> sqlx::Result<()> {
    for verdict in verdicts {
        let made = verdict.made.as_ref().and_then(|made| made.payload.as_ref());
        let Some(Payload { content_type, headers, body }) = made else { continue };
        let fill = sqlx::query(FILL).bind(bytes(verdict.delivery_id));
        let fill = fill.bind(content_type.to_string()).bind(headers_column(headers)?);
        fill.bind(body.to_vec()).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Adds what is told of those that died.
async fn tell(tx: &mut SqliteConnection, moved: &[(DeliveryId, Standing)]) -> sqlx::Result<()> {
    let died: Vec<_> = moved.iter().filter(|(_, standing)| standing.death.is_some()).collect();
    if died.is_empty() {
        return Ok(());
    }
    let died = died.into_iter().map(|(id, _)| *id);
    let rows = sqlx::query(deliveries::THESE).bind(batch::list(died)).fetch_all(&mut *tx).await?;
    let died = rows.iter().map(deliveries::delivery).collect::<sqlx::Result<Vec<_>>>()?;
    events::tell(tx, died.iter().filter_map(operational::of_death)).await
}

type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn insert(text: &'static str, attempts: &[(DeliveryId, &Attempt)]) -> Query {
    let rows = attempts.iter();
    rows.fold(sqlx::query(text), |insert, (delivery_id, attempt)| {
        insert
            .bind(bytes(*delivery_id))
            .bind(attempt.number)
            .bind(micros(attempt.started_at))
            .bind(span(attempt.duration))
            .bind(attempt.outcome.name())
            .bind(attempt.status_code)
            .bind(attempt.response_excerpt.clone())
            .bind(attempt.error.clone())
    })
}

fn update(text: &'static str, moved: &[(DeliveryId, Standing)]) -> Query {
    let rows = moved.iter();
    rows.fold(sqlx::query(text), |update, (id, standing)| {
        update
            .bind(bytes(*id))
            .bind(standing.state.name())
            .bind(standing.attempts)
            .bind(standing.due_at.map(micros))
            .bind(standing.claimed)
            .bind(standing.last_outcome.map(Outcome::name))
            .bind(standing.death.as_ref().map(|death| death.cause.name()))
            .bind(standing.error().map(str::to_owned))
            .bind(standing.script.map(|version| version.to_string()))
            .bind(standing.finished_at.map(micros))
    })
}

fn standing(row: &SqliteRow) -> sqlx::Result<Standing> {
    Ok(Standing {
        state: named(row, "state", &State::NAMES)?,
        attempts: number(row, "attempts")?,
        due_at: maybe_instant(row, "due_at")?,
        claimed: number::<i64>(row, "claimed")? != 0,
        last_outcome: maybe_named(row, "last_outcome", &Outcome::NAMES)?,
        death: death(row)?,
        reason: reason(row)?,
        script: script(row)?,
        finished_at: maybe_instant(row, "finished_at")?,
    })
}
