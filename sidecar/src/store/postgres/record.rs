//! Records attempts and what follows them, many in one transaction.
//!
//! What was delivered, which is nearly all, is moved by one statement that reads nothing
//! (`quick.rs`). Whatever else is moved is read whole and written whole, so that no statement joins a
//! table with what it was handed: the planner has no choice of how to.
//!
//! Invariant: an attempt and its successor are stored together or not at all.

use std::collections::HashMap;

use sidehook_event::{EventId, TypeId as _, UnixMicros};
use sqlx::{Connection as _, PgConnection, Row, postgres::PgRow, types::Uuid};

use super::{
    events, order,
    pool::Pool,
    rows::{
        death, id, keys, maybe_instant, maybe_named, micros, named, number, reason, script,
        unreadable,
    },
};
use crate::{
    model::{Attempt, Delivery, DeliveryId, Outcome, State, SubscriptionId, Verdict, operational},
    store::standing::Standing,
};

mod quick;
mod write;

#[cfg(test)]
pub(super) use quick::DELIVERED;
#[cfg(test)]
pub(super) use write::{COUNT, FILL, FINISH, KEEP, LOG};

/// Locks in the order of the ids, in which the index is read.
pub(super) const PENDING: &str = "SELECT id, event_id, subscription_id, created_at, payload,
        event_type, 'pending' AS state, attempts, due_at, claimed, last_outcome,
        NULL AS cause, NULL::bytea AS error, script, NULL::bigint AS finished_at
    FROM pending_deliveries WHERE id = ANY ($1) FOR UPDATE";

/// Those that were finished before. What is not pending never moves again, but for the count of
/// its attempts.
pub(super) const FINISHED: &str = "SELECT id, event_id, subscription_id, created_at, payload,
        event_type, state, attempts, NULL::bigint AS due_at, false AS claimed, last_outcome,
        cause, error, script, finished_at
    FROM finished_deliveries WHERE id = ANY ($1) FOR UPDATE";

/// A delivery as it was found: what a verdict can change of it, and the rest.
struct Found {
    before: Standing,
    event_id: Uuid,
    subscription_id: Uuid,
    created_at: i64,
    payload: i32,
    event_type: String,
}

/// Where a delivery has come to.
struct Moved<'a> {
    id: DeliveryId,
    found: &'a Found,
    after: Standing,
}

pub(super) async fn record(pool: &Pool, verdicts: &[Verdict]) -> sqlx::Result<()> {
    let mut connection = pool.lend().await?;
    let mut tx = connection.begin().await?;
    let (done, mut left) = quick::finish(&mut tx, verdicts).await?;
    let others: Vec<_> =
        verdicts.iter().filter(|verdict| !done.contains(&verdict.delivery_id)).collect();
    let mut died = Vec::new();
    if !others.is_empty() {
        died = one_by_one(&mut tx, &others, &mut left).await?;
    }
    if let Some(now) = verdicts.iter().map(|verdict| verdict.at).max() {
        order::next(&mut tx, left, now).await?;
    }
    events::tell(&mut tx, died.iter().filter_map(operational::of_death)).await?;
    tx.commit().await?;
    connection.done(Ok(()))
}

/// Records what may come to anything: each delivery is read, and written where it has come to. Says
/// in which lines a place became free, and returns the deliveries that died.
async fn one_by_one(
    tx: &mut PgConnection,
    verdicts: &[&Verdict],
    left: &mut Vec<(Uuid, i64)>,
) -> sqlx::Result<Vec<Delivery>> {
    let found = find(tx, verdicts).await?;
    let mut after: HashMap<_, _> =
        found.iter().map(|(id, found)| (*id, found.before.clone())).collect();
    let mut attempts: Vec<(DeliveryId, &Attempt)> = Vec::with_capacity(verdicts.len());
    for verdict in verdicts {
        // A delivery that is not stored has no log either.
        if let Some(standing) = after.get_mut(&verdict.delivery_id) {
            *standing = standing.after(verdict);
            let attempt = verdict.attempt.as_ref();
            attempts.extend(attempt.map(|attempt| (verdict.delivery_id, attempt)));
        }
    }
    let moved = found.iter().filter_map(|(id, found)| {
        let after = after.get(id)?.clone();
        (after != found.before).then_some(Moved { id: *id, found, after })
    });
    let mut moved: Vec<_> = moved.collect();
    // In the order of time, in which an index grows at its end.
    moved.sort_unstable_by_key(|moved| moved.id);
    left.extend(write::write(tx, &attempts, &moved).await?);
    write::fill(tx, verdicts, &found).await?;
    let died = moved.iter().filter(|moved| moved.after.death != moved.found.before.death);
    died.map(Moved::delivery).collect()
}

async fn find(
    tx: &mut PgConnection,
    verdicts: &[&Verdict],
) -> sqlx::Result<HashMap<DeliveryId, Found>> {
    let ids = keys(verdicts.iter().map(|verdict| verdict.delivery_id));
    let mut rows = sqlx::query(PENDING).bind(&ids).fetch_all(&mut *tx).await?;
    if rows.len() < ids.len() {
        // Also one that somebody finished while we waited for its lock.
        rows.extend(sqlx::query(FINISHED).bind(&ids).fetch_all(&mut *tx).await?);
    }
    rows.iter().map(|row| Ok((id(row, "id")?, found(row)?))).collect()
}

fn found(row: &PgRow) -> sqlx::Result<Found> {
    Ok(Found {
        before: Standing {
            state: named(row, "state", &State::NAMES)?,
            attempts: number(row, "attempts")?,
            due_at: maybe_instant(row, "due_at")?,
            claimed: row.try_get("claimed")?,
            last_outcome: maybe_named(row, "last_outcome", &Outcome::NAMES)?,
            death: death(row)?,
            reason: reason(row)?,
            script: script(row)?,
            finished_at: maybe_instant(row, "finished_at")?,
        },
        event_id: row.try_get("event_id")?,
        subscription_id: row.try_get("subscription_id")?,
        created_at: row.try_get("created_at")?,
        payload: row.try_get("payload")?,
        event_type: row.try_get("event_type")?,
    })
}

impl Moved<'_> {
    fn delivery(&self) -> sqlx::Result<Delivery> {
        let Self { id, found, after } = self;
        Ok(Delivery {
            id: *id,
            event_id: EventId::from_bits(found.event_id.as_u128()),
            subscription_id: SubscriptionId::from_bits(found.subscription_id.as_u128()),
            event_type: found.event_type.parse().map_err(unreadable("event_type"))?,
            state: after.state,
            attempts: after.attempts,
            next_attempt_at: after.due_at,
            last_outcome: after.last_outcome,
            death: after.death.clone(),
            reason: after.reason.clone(),
            script: after.script,
            created_at: UnixMicros::new(found.created_at),
            finished_at: after.finished_at,
        })
    }
}

/// The rest of a row's columns, of many rows.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    event_ids: Vec<Uuid>,
    subscription_ids: Vec<Uuid>,
    created_ats: Vec<i64>,
    payloads: Vec<i32>,
    event_types: Vec<&'a str>,
    attempts: Vec<i64>,
    last_outcomes: Vec<Option<&'static str>>,
    scripts: Vec<Option<String>>,
    /// `due_at` of those that are pending, `finished_at` of the others.
    times: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, moved: &Moved<'a>) {
        let Moved { id, found, after } = moved;
        self.ids.push(super::rows::key(*id));
        self.event_ids.push(found.event_id);
        self.subscription_ids.push(found.subscription_id);
        self.created_ats.push(found.created_at);
        self.payloads.push(found.payload);
        self.event_types.push(&found.event_type);
        self.attempts.push(after.attempts.into());
        self.last_outcomes.push(after.last_outcome.map(Outcome::name));
        self.scripts.push(after.script.map(|version| version.to_string()));
        self.times.push(after.due_at.or(after.finished_at).map_or(0, micros));
    }
}
