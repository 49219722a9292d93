//! Finds out whether anything can be written.
//!
//! A server whose disk is full still rewrites a row in its place, for that takes no room. So once a
//! call has met a full disk, the disk counts as full until there is room for something larger.
//!
//! Invariant: after a disk was full, the store is said to be well only when there is room again.

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Connection as _;

use super::pool::Pool;

pub(super) const BEAT: &str = "UPDATE pulse SET beats = beats + 1 WHERE only_row";

/// Half a megabyte, a page in each row.
pub(super) const STRETCH: &str = "INSERT INTO room (filler)
    SELECT (SELECT string_agg(md5(n::text || m::text), '') FROM generate_series(1, 240) AS m)
    FROM generate_series(1, 64) AS n";

/// What the store knows of its own state.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    disk_full: AtomicBool,
}

impl Pulse {
    /// Takes note of why a call failed.
    pub(super) fn feel(&self, error: &sqlx::Error) {
        const DISK_FULL: &str = "53100";
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        if code.as_deref() == Some(DISK_FULL) {
            self.disk_full.store(true, Ordering::Relaxed);
        }
    }

    /// Writes and syncs something, however small, and more if there may be no room for more.
    pub(super) async fn beat(&self, pool: &Pool) -> sqlx::Result<()> {
        let mut connection = pool.lend().await?;
        sqlx::query(BEAT).execute(&mut *connection).await?;
        if self.disk_full.load(Ordering::Relaxed) {
            let mut tx = connection.begin().await?;
            sqlx::query(STRETCH).execute(&mut *tx).await?;
            tx.rollback().await?;
            self.disk_full.store(false, Ordering::Relaxed);
        }
        connection.done(Ok(()))
    }
}
