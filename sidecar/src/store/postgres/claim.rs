//! Reads what was claimed, of either kind.
//!
//! Invariant: what cannot be read is leased like the rest, so that it stands in nobody's way.

use std::fmt;

use sidehook_event::TypeId;
use sqlx::postgres::PgRow;

use super::rows::id;

/// What can be read of `rows`. What cannot is said in the log; a person must look at it.
pub(super) fn readable<Id: TypeId + fmt::Display, T>(
    rows: &[PgRow],
    read: impl Fn(&PgRow) -> sqlx::Result<T>,
) -> sqlx::Result<Vec<T>> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let id: Id = id(row, "id")?;
        match read(row) {
            Ok(readable) => found.push(readable),
            Err(error) => tracing::error!(%id, %error, "cannot read what is stored, left there"),
        }
    }
    Ok(found)
}
