//! Hands out what is due, of either kind, and leases it.
//!
//! Invariant: what was found due is leased in the transaction that found it, so that nobody else
//! finds it before the lease ends.

use std::fmt;

use sidehook_event::{TypeId, UnixMicros};
use sqlx::{SqlitePool, sqlite::SqliteRow};

use super::{
    batch, begin,
    rows::{id, micros, rows},
};

/// The texts that find what is due (until when, how many) and lease it (which, until when).
pub(super) struct Claim {
    pub(super) find: &'static str,
    pub(super) lease: &'static str,
}

/// Claims at most `limit` of what is due at `now`, each read by `read`.
pub(super) async fn claim<Id: TypeId + fmt::Display, T>(
    writer: &SqlitePool,
    texts: Claim,
    now: UnixMicros,
    lease_until: UnixMicros,
    limit: usize,
    read: impl Fn(&SqliteRow) -> sqlx::Result<T>,
) -> sqlx::Result<Vec<T>> {
    let mut tx = begin(writer).await?;
    let due =
        sqlx::query(texts.find).bind(micros(now)).bind(rows(limit)).fetch_all(&mut *tx).await?;
    let (ids, found) = readable::<Id, _>(&due, read)?;
    if !ids.is_empty() {
        sqlx::query(texts.lease)
            .bind(batch::list(ids))
            .bind(micros(lease_until))
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(found)
}

/// The ids of `rows`, and what can be read of them. What cannot is said in the log and taken like
/// the rest, so that it stands in nobody's way; a person must look at it.
fn readable<Id: TypeId + fmt::Display, T>(
    rows: &[SqliteRow],
    read: impl Fn(&SqliteRow) -> sqlx::Result<T>,
) -> sqlx::Result<(Vec<Id>, Vec<T>)> {
    let mut ids = Vec::with_capacity(rows.len());
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let id: Id = id(row, "id")?;
        ids.push(id);
        match read(row) {
            Ok(readable) => found.push(readable),
            Err(error) => tracing::error!(%id, %error, "cannot read what is stored, left there"),
        }
    }
    Ok((ids, found))
}
