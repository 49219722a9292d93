//! What a column holds, and back: ids, instants, names. And what an error of the database means.
//!
//! Invariant: whatever a column holds, reading it is an answer or [`Error::Corrupt`].

use std::{sync::Arc, time::Duration};

use sidehook_event::{TypeId, UnixMicros};
use sqlx::{Row, postgres::PgRow, types::Uuid};

use crate::{
    model::{Cause, Death, ScriptVersion},
    store::Error,
};

/// An id as it is stored.
pub(super) fn key<Id: TypeId>(id: Id) -> Uuid {
    Uuid::from_u128(id.bits())
}

/// Ids as they are stored, in their order: whoever locks many rows locks them in this one, so that
/// no two wait for each other.
pub(super) fn keys<Id: TypeId>(ids: impl IntoIterator<Item = Id>) -> Vec<Uuid> {
    let mut keys: Vec<_> = ids.into_iter().map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The id, older than which a page's elements are. Without one it is the greatest, which nothing
/// has: an id of time names its version in its middle.
pub(super) fn below<Id: TypeId>(after: Option<Id>) -> Uuid {
    after.map_or(Uuid::max(), key)
}

/// The id, younger than which those are that follow. Without one it is the least, which nothing has.
pub(super) fn above<Id: TypeId>(after: Option<Id>) -> Uuid {
    after.map_or(Uuid::nil(), key)
}

/// How many rows show whether there is another page.
pub(super) fn one_more(limit: u32) -> i64 {
    i64::from(limit) + 1
}

/// A number of rows.
pub(super) fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// An instant as it is stored.
pub(super) fn micros(instant: UnixMicros) -> i64 {
    instant.micros()
}

/// A duration as it is stored.
pub(super) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// An id.
pub(super) fn id<Id: TypeId>(row: &PgRow, column: &str) -> sqlx::Result<Id> {
    Ok(Id::from_bits(row.try_get::<Uuid, _>(column)?.as_u128()))
}

/// An instant.
pub(super) fn instant(row: &PgRow, column: &str) -> sqlx::Result<UnixMicros> {
    Ok(UnixMicros::new(row.try_get(column)?))
}

/// An instant, if there is one.
pub(super) fn maybe_instant(row: &PgRow, column: &str) -> sqlx::Result<Option<UnixMicros>> {
    let micros: Option<i64> = row.try_get(column)?;
    Ok(micros.map(UnixMicros::new))
}

/// A duration.
pub(super) fn duration(row: &PgRow, column: &str) -> sqlx::Result<Duration> {
    let micros: i64 = row.try_get(column)?;
    let micros = u64::try_from(micros).map_err(unreadable(column))?;
    Ok(Duration::from_micros(micros))
}

/// A number that is not negative and not large.
pub(super) fn number<N: TryFrom<i64>>(row: &PgRow, column: &str) -> sqlx::Result<N> {
    let number: i64 = row.try_get(column)?;
    N::try_from(number).map_err(|_| unreadable(column)(format!("{number} is out of range")))
}

/// Text that is stored as bytes.
pub(super) fn text<'r>(row: &'r PgRow, column: &str) -> sqlx::Result<&'r str> {
    maybe_text(row, column)?.ok_or_else(|| unreadable(column)("is null"))
}

/// Text that is stored as bytes, if there is any.
pub(super) fn maybe_text<'r>(row: &'r PgRow, column: &str) -> sqlx::Result<Option<&'r str>> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    bytes.map(std::str::from_utf8).transpose().map_err(unreadable(column))
}

/// Something with a name.
pub(super) fn named<T: Copy>(row: &PgRow, column: &str, names: &[(&str, T)]) -> sqlx::Result<T> {
    let found = maybe_named(row, column, names)?;
    found.ok_or_else(|| unreadable(column)("is null"))
}

/// Something with a name, if there is one.
pub(super) fn maybe_named<T: Copy>(
    row: &PgRow,
    column: &str,
    names: &[(&str, T)],
) -> sqlx::Result<Option<T>> {
    let Some(name) = row.try_get::<Option<&str>, _>(column)? else {
        return Ok(None);
    };
    let found = names.iter().find(|(known, _)| *known == name);
    let found = found.ok_or_else(|| unreadable(column)(format!("no such name: {name}")))?;
    Ok(Some(found.1))
}

/// The headers of a payload as they are stored: nothing if there are none.
pub(super) fn headers_column(headers: &[(String, String)]) -> sqlx::Result<Option<String>> {
    if headers.is_empty() {
        return Ok(None);
    }
    let written = serde_json::to_string(headers);
    written.map(Some).map_err(|error| unwritable("headers", &error.to_string()))
}

/// And back.
pub(super) fn headers(stored: Option<&str>) -> sqlx::Result<Arc<[(String, String)]>> {
    let Some(stored) = stored else { return Ok(Arc::default()) };
    serde_json::from_str(stored).map(Vec::into).map_err(unreadable("headers"))
}

/// How a delivery ended that is dead.
pub(super) fn death(row: &PgRow) -> sqlx::Result<Option<Death>> {
    let Some(cause) = maybe_named(row, "cause", &Cause::NAMES)? else { return Ok(None) };
    Ok(Some(Death { cause, error: text(row, "error")?.to_owned() }))
}

/// Why a delivery was filtered that was.
pub(super) fn reason(row: &PgRow) -> sqlx::Result<Option<String>> {
    let is_dead = row.try_get::<Option<&str>, _>("cause")?.is_some();
    let error = maybe_text(row, "error")?;
    Ok(error.filter(|_| !is_dead).map(str::to_owned))
}

/// The version of the script that made what is sent.
pub(super) fn script(row: &PgRow) -> sqlx::Result<Option<ScriptVersion>> {
    let Some(text) = row.try_get::<Option<&str>, _>("script")? else { return Ok(None) };
    let version = ScriptVersion::parse(text);
    version.map(Some).ok_or_else(|| unreadable("script")("no such version"))
}

/// Says that `column` holds something that nothing of ours wrote.
pub(super) fn unreadable<E>(column: &str) -> impl FnOnce(E) -> sqlx::Error
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |reason| sqlx::Error::ColumnDecode { index: column.to_owned(), source: reason.into() }
}

/// Says that what is to stand in `column` cannot be written.
pub(super) fn unwritable(column: &str, reason: &str) -> sqlx::Error {
    sqlx::Error::Encode(format!("{column}: {reason}").into())
}

/// What an error means to whoever called the store.
pub(super) fn failed(error: sqlx::Error) -> Error {
    match &error {
        // What is said in another language than the protocol's is said by a broken connection.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::Configuration(_)
        | sqlx::Error::BeginFailed
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Error::Unavailable(Box::new(error)),
        sqlx::Error::Database(database) => {
            if database.code().is_some_and(|code| passes(&code)) {
                Error::Unavailable(Box::new(error))
            } else {
                Error::Corrupt(error.to_string())
            }
        }
        _ => Error::Corrupt(error.to_string()),
    }
}

/// Whether it is the connection that failed, as others then have too that were made to the same
/// server.
pub(super) fn is_of_the_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        // The server ends, or ends our sessions.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

/// Whether an error code (<https://www.postgresql.org/docs/current/errcodes-appendix.html>) tells
/// of something that may pass.
fn passes(code: &str) -> bool {
    const CLASSES: [&str; 6] = [
        "08", // Connection exception.
        "28", // Invalid authorization: it was good when we began, and somebody is changing it.
        "40", // Transaction rollback: a deadlock, a serialization failure.
        "53", // Insufficient resources: a full disk, no memory, too many connections.
        "57", // Operator intervention: shutting down, starting up, a statement took too long.
        "58", // System error: an error of the disk among them.
    ];
    const CODES: [&str; 4] = [
        "3D000", // No such database: it is being restored.
        "25006", // Read only: a standby that is not promoted yet.
        "25P03", // A transaction that said nothing for too long, because we were frozen.
        "55P03", // A lock that was not let go of in time.
    ];
    CLASSES.iter().any(|class| code.starts_with(class)) || CODES.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_a_person_must_look_at() {
        for code in
            ["40P01", "40001", "57P01", "57P02", "57P03", "57014", "53100", "53300", "25006"]
        {
            assert!(passes(code), "{code}");
        }
        for code in ["42P01", "22P02", "XX001", "23505", "25001"] {
            assert!(!passes(code), "{code}");
        }
    }
}
