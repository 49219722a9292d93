//! Writes what was found out: the log, and where each delivery has come to.
//!
//! Invariant: a delivery is pending or finished, never both and never neither.

use sqlx::{PgConnection, Postgres, Row as _, postgres::PgArguments, query::Query, types::Uuid};

use std::collections::HashMap;

use super::{Columns, Found, Moved};
use crate::{
    model::{Attempt, DeliveryId, State, Verdict},
    store::postgres::rows::{headers_column, key, micros, span},
};

pub(crate) const LOG: &str = "INSERT INTO attempts (delivery_id, number, started_at, duration_us,
        outcome, status_code, response_excerpt, error)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[],
        $6::integer[], $7::bytea[], $8::bytea[])
    ON CONFLICT DO NOTHING";

/// The log and the end of those that are finished: what nearly every call comes to.
pub(crate) const FINISH: &str = "WITH logged AS (
        INSERT INTO attempts (delivery_id, number, started_at, duration_us, outcome,
            status_code, response_excerpt, error)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[],
            $6::integer[], $7::bytea[], $8::bytea[])
        ON CONFLICT DO NOTHING
    ), gone AS (
        DELETE FROM pending_deliveries WHERE id = ANY ($9)
    ), left_lines AS (
        DELETE FROM lines WHERE delivery_id = ANY ($9) RETURNING subscription_id, subject
    ), finished AS (
    INSERT INTO finished_deliveries (id, event_id, subscription_id, created_at, payload,
        event_type, attempts, last_outcome, finished_at, script, state, cause, error)
    SELECT * FROM unnest($9::uuid[], $10::uuid[], $11::uuid[], $12::bigint[], $13::integer[],
        $14::text[], $15::bigint[], $16::text[], $17::bigint[], $18::text[], $19::text[],
        $20::text[], $21::bytea[])
    )
    SELECT subscription_id, subject FROM left_lines";

/// Each of the rows is there, and locked: an insertion that always conflicts.
pub(crate) const KEEP: &str = "INSERT INTO pending_deliveries (id, event_id, subscription_id,
        created_at, payload, event_type, attempts, last_outcome, due_at, script, claimed)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::integer[],
        $6::text[], $7::bigint[], $8::text[], $9::bigint[], $10::text[], $11::boolean[])
    ON CONFLICT (id) DO UPDATE SET attempts = EXCLUDED.attempts,
        last_outcome = EXCLUDED.last_outcome, due_at = EXCLUDED.due_at,
        script = EXCLUDED.script, claimed = EXCLUDED.claimed";

/// What was made before stays as it is.
pub(crate) const FILL: &str = "UPDATE payloads SET content_type = $3, headers = $4, body = $5
    WHERE event_id = $1 AND number = $2 AND (content_type = '') IS TRUE";

/// An attempt that came to its end after its delivery had.
pub(crate) const COUNT: &str = "UPDATE finished_deliveries SET attempts = $2 WHERE id = $1";

/// Returns the lines in which a place became free.
pub(super) async fn write(
    tx: &mut PgConnection,
    attempts: &[(DeliveryId, &Attempt)],
    moved: &[Moved<'_>],
) -> sqlx::Result<Vec<(Uuid, i64)>> {
    let mut left = Vec::new();
    let (mut finished, mut states) = (Columns::default(), Vec::new());
    let (mut causes, mut errors) = (Vec::new(), Vec::new());
    let (mut kept, mut claimed) = (Columns::default(), Vec::new());
    let mut counted = Vec::new();
    for moved in moved {
        match (moved.found.before.state, moved.after.state) {
            (State::Pending, State::Pending) => {
                kept.add(moved);
                claimed.push(moved.after.claimed);
            }
            (State::Pending, State::Delivered | State::Filtered | State::Dead) => {
                finished.add(moved);
                states.push(moved.after.state.name());
                let death = moved.after.death.as_ref();
                causes.push(death.map(|death| death.cause.name()));
                errors.push(moved.after.error().map(str::as_bytes));
            }
            (State::Delivered | State::Filtered | State::Dead, _) => counted.push(moved),
        }
    }
    if !states.is_empty() {
        let finish = bind(log(FINISH, attempts), &finished).bind(states).bind(causes).bind(errors);
        let rows = finish.fetch_all(&mut *tx).await?;
        let rows = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        left = rows.collect::<sqlx::Result<_>>()?;
    } else if !attempts.is_empty() {
        log(LOG, attempts).execute(&mut *tx).await?;
    }
    if !claimed.is_empty() {
        bind(sqlx::query(KEEP), &kept).bind(claimed).execute(&mut *tx).await?;
    }
    for moved in counted {
        let count = sqlx::query(COUNT).bind(key(moved.id)).bind(i64::from(moved.after.attempts));
        count.execute(&mut *tx).await?;
    }
    Ok(left)
}

/// Fills the payloads that scripts made.
pub(super) async fn fill(
    tx: &mut PgConnection,
    verdicts: &[&Verdict],
    found: &HashMap<DeliveryId, Found>,
) -> sqlx::Result<()> {
    for verdict in verdicts {
        let made = verdict.made.as_ref().and_then(|made| made.payload.as_ref());
        let Some((payload, found)) = made.zip(found.get(&verdict.delivery_id)) else { continue };
        let fill = sqlx::query(FILL).bind(found.event_id).bind(found.payload);
        let fill = fill.bind(payload.content_type.as_bytes());
        let headers = headers_column(&payload.headers)?.map(String::into_bytes);
        let fill = fill.bind(headers).bind(&*payload.body);
        fill.execute(&mut *tx).await?;
    }
    Ok(())
}

pub(super) type Statement = Query<'static, Postgres, PgArguments>;

fn bind(statement: Statement, columns: &Columns<'_>) -> Statement {
    statement
        .bind(&columns.ids)
        .bind(&columns.event_ids)
        .bind(&columns.subscription_ids)
        .bind(&columns.created_ats)
        .bind(&columns.payloads)
        .bind(&columns.event_types)
        .bind(&columns.attempts)
        .bind(&columns.last_outcomes)
        .bind(&columns.times)
        .bind(&columns.scripts)
}

/// The first eight values of `text`: the columns of the log.
pub(super) fn log(text: &'static str, attempts: &[(DeliveryId, &Attempt)]) -> Statement {
    fn column<'a, T>(
        attempts: &[(DeliveryId, &'a Attempt)],
        value: impl Fn(DeliveryId, &'a Attempt) -> T,
    ) -> Vec<T> {
        attempts.iter().map(|(id, attempt)| value(*id, attempt)).collect()
    }
    sqlx::query(text)
        .bind(column(attempts, |id, _| key(id)))
        .bind(column(attempts, |_, attempt| i64::from(attempt.number)))
        .bind(column(attempts, |_, attempt| micros(attempt.started_at)))
        .bind(column(attempts, |_, attempt| span(attempt.duration)))
        .bind(column(attempts, |_, attempt| attempt.outcome.name()))
        .bind(column(attempts, |_, attempt| attempt.status_code.map(i32::from)))
        .bind(column(attempts, |_, attempt| attempt.response_excerpt.as_deref().map(str::as_bytes)))
        .bind(column(attempts, |_, attempt| attempt.error.as_deref().map(str::as_bytes)))
}
