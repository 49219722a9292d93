//! Records deliveries that came to their receivers, without reading anything: the row moves as it is.
//!
//! Invariant: only what is pending, and of which one attempt less is recorded than the one that
//! succeeded, is moved here. Whatever else may have happened to a delivery is looked at elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};

use sidehook_event::UnixMicros;
use sqlx::{PgConnection, Row as _, types::Uuid};

use super::write::log;
use crate::{
    model::{Attempt, DeliveryId, Outcome, Successor, Verdict},
    store::postgres::rows::{id, micros},
};

/// The log and the end of deliveries that all succeeded at an attempt of one number. Whether a row
/// was taken is looked up in a table in memory, as in `DISPATCH`.
pub(in crate::store::postgres) const DELIVERED: &str = "WITH gone AS (
        DELETE FROM pending_deliveries WHERE id = ANY ($1) AND (attempts = $9) IS TRUE
        RETURNING id, event_id, subscription_id, created_at, payload, event_type, script
    ), logged AS (
        INSERT INTO attempts (delivery_id, number, started_at, duration_us, outcome,
            status_code, response_excerpt, error)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[],
            $6::integer[], $7::bytea[], $8::bytea[]) AS new (delivery_id)
        WHERE (delivery_id IN (SELECT id FROM gone)) IS TRUE
        ON CONFLICT DO NOTHING
    ), left_lines AS (
        DELETE FROM lines WHERE delivery_id = ANY ($1) RETURNING subscription_id, subject
    ), finished AS (
        INSERT INTO finished_deliveries (id, event_id, subscription_id, created_at, payload,
            event_type, attempts, last_outcome, finished_at, script, state)
        SELECT id, event_id, subscription_id, created_at, payload,
            event_type, $9 + 1, $10, $11, script, 'delivered' FROM gone
    )
    SELECT id, NULL AS subscription_id, NULL AS subject FROM gone
    UNION ALL SELECT NULL, subscription_id, subject FROM left_lines";

/// Those that were moved, and the lines in which a place became free.
pub(super) type Finished = (HashSet<DeliveryId>, Vec<(Uuid, i64)>);

/// Moves what it may move. Those of one number finish at one time: the latest.
pub(super) async fn finish(tx: &mut PgConnection, verdicts: &[Verdict]) -> sqlx::Result<Finished> {
    let (mut done, mut left) = (HashSet::new(), Vec::new());
    for (number, delivered) in by_number(verdicts) {
        let attempts: Vec<_> = delivered.iter().map(|(id, attempt, _)| (*id, *attempt)).collect();
        let Some(latest) = delivered.iter().map(|(.., at)| *at).max() else { continue };
        let delivered = log(DELIVERED, &attempts)
            .bind(i64::from(number) - 1)
            .bind(Outcome::Success.name())
            .bind(micros(latest));
        for row in delivered.fetch_all(&mut *tx).await? {
            match row.try_get::<Option<Uuid>, _>("id")? {
                Some(_) => drop(done.insert(id(&row, "id")?)),
                None => left.push((row.try_get("subscription_id")?, row.try_get("subject")?)),
            }
        }
    }
    Ok((done, left))
}

type Delivered<'a> = (DeliveryId, &'a Attempt, UnixMicros);

/// What was delivered, and said nothing else, by the number of its attempt, in the order of the ids.
/// A delivery that there is more to say of is left out.
fn by_number(verdicts: &[Verdict]) -> BTreeMap<u32, Vec<Delivered<'_>>> {
    let mut times = HashMap::new();
    for verdict in verdicts {
        *times.entry(verdict.delivery_id).or_insert(0) += 1;
    }
    let mut by_number = BTreeMap::<u32, Vec<_>>::new();
    for verdict in verdicts {
        let is_plain = verdict.successor == Successor::Delivered
            && verdict.made.is_none()
            && times.get(&verdict.delivery_id) == Some(&1);
        if let Some(attempt) = verdict.attempt.as_ref().filter(|_| is_plain) {
            let delivered = (verdict.delivery_id, attempt, verdict.at);
            by_number.entry(attempt.number).or_default().push(delivered);
        }
    }
    for delivered in by_number.values_mut() {
        // Rows are locked in the order of the ids, in which an index grows at its end.
        delivered.sort_unstable_by_key(|(id, ..)| *id);
    }
    by_number
}
