//! Deliveries that wait for each other: one line for each subscription and subject.
//!
//! Invariant: an ordered delivery stands in its line from the transaction that stores it to the one
//! that finishes it.

use sha2::{Digest as _, Sha256};
use sidehook_event::UnixMicros;
use sqlx::{Connection as _, PgConnection, types::Uuid};

use super::{
    pool::Pool,
    rows::{key, micros},
};
use crate::{model::DeliveryId, store::Dispatched};

pub(super) const OWN: &str = "SELECT l.subscription_id, l.subject, l.sequence, (
        SELECT e.subject FROM events AS e WHERE e.id = (
            SELECT event_id FROM pending_deliveries WHERE id = $1 LIMIT 1
        ) LIMIT 1
    ) FROM lines AS l WHERE delivery_id = $1";

pub(super) const AHEAD: &str = "SELECT count(*) FROM (
        SELECT FROM lines
        WHERE (subscription_id, subject, sequence) < ($1, $2, $3)
            AND (subscription_id, subject) >= ($1, $2)
        LIMIT 100
    ) AS earlier";

/// Of what waits to be dispatched, which is little.
pub(super) const COMING: &str = "SELECT EXISTS (
        SELECT FROM undispatched AS u WHERE (
            SELECT (e.subject = $1 AND e.sequence < $2) FROM events AS e WHERE e.id = u.event_id LIMIT 1
        )
    )";

pub(super) const LINE_UP: &str = "INSERT INTO lines
        (subscription_id, subject, sequence, delivery_id, earliest)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::bigint[])";

pub(super) const LEAVE_ALL: &str = "DELETE FROM lines WHERE subscription_id = $1";

/// One of which something was attempted waits for its own time.
pub(super) const NEXT: &str = "UPDATE pending_deliveries AS d
    SET due_at = GREATEST($3, (SELECT earliest FROM lines WHERE delivery_id = d.id LIMIT 1))
    WHERE id = (
        SELECT delivery_id FROM lines WHERE (subscription_id, subject) >= ($1, $2)
            AND (subscription_id, subject) <= ($1, $2)
        ORDER BY subscription_id, subject, sequence LIMIT 1
    ) AND (due_at > $3) IS TRUE AND (claimed) IS FALSE AND (attempts = earlier) IS TRUE";

/// What `lines` says of a subject.
fn hash(subject: &str) -> i64 {
    let hash = Sha256::digest(subject);
    hash.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// What stands in the lines, as columns.
#[derive(Default)]
pub(super) struct Lines {
    subscription_ids: Vec<Uuid>,
    subjects: Vec<i64>,
    sequences: Vec<i64>,
    delivery_ids: Vec<Uuid>,
    earliest: Vec<i64>,
}

impl Lines {
    /// The deliveries of an event that is dispatched now.
    pub(super) fn add(&mut self, Dispatched { event, deliveries }: &Dispatched, now: UnixMicros) {
        let (Some(subject), Some(sequence)) = (&event.subject, event.sequence) else { return };
        for delivery in deliveries.iter().filter(|delivery| delivery.is_ordered) {
            self.subscription_ids.push(key(delivery.subscription_id));
            self.subjects.push(hash(subject));
            self.sequences.push(i64::try_from(sequence).unwrap_or(i64::MAX));
            self.delivery_ids.push(key(delivery.id));
            self.earliest.push(micros(delivery.due.earliest(now)));
        }
    }

    pub(super) async fn line_up(self, tx: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query(LINE_UP)
            .bind(self.subscription_ids)
            .bind(self.subjects)
            .bind(self.sequences)
            .bind(self.delivery_ids)
            .bind(self.earliest)
            .execute(tx)
            .await
            .map(drop)
    }
}

/// The next ones of these lines are due at `now`.
pub(super) async fn next(
    tx: &mut PgConnection,
    mut left: Vec<(Uuid, i64)>,
    now: UnixMicros,
) -> sqlx::Result<()> {
    // Two who do so do not wait for each other.
    left.sort_unstable();
    left.dedup();
    for (subscription, subject) in left {
        let next = sqlx::query(NEXT).bind(subscription).bind(subject).bind(micros(now));
        next.execute(&mut *tx).await?;
    }
    Ok(())
}

pub(super) async fn ahead(pool: &Pool, id: DeliveryId) -> sqlx::Result<u32> {
    let mut connection = pool.lend().await?;
    let mut tx = connection.begin().await?;
    let own: Option<(Uuid, i64, i64, Option<Vec<u8>>)> =
        sqlx::query_as(OWN).bind(key(id)).fetch_optional(&mut *tx).await?;
    let Some((subscription, line, sequence, subject)) = own else {
        tx.commit().await?;
        return connection.done(Ok(0));
    };
    // In this order: what is dispatched between the two is in its line by then.
    let coming: bool =
        sqlx::query_scalar(COMING).bind(subject).bind(sequence).fetch_one(&mut *tx).await?;
    let ahead = sqlx::query_scalar(AHEAD).bind(subscription).bind(line).bind(sequence);
    let ahead: i64 = ahead.fetch_one(&mut *tx).await?;
    tx.commit().await?;
    connection.done(Ok(u32::try_from(ahead).unwrap_or(0).saturating_add(coming.into())))
}
