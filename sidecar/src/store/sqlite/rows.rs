//! What a column holds, and back: ids, instants, names. And what an error of the database means.
//!
//! Invariant: whatever a column holds, reading it is an answer or [`Error::Corrupt`].

use std::{sync::Arc, time::Duration};

use sidehook_event::{TypeId, UnixMicros};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    model::{Cause, Death, ScriptVersion},
    store::Error,
};

/// Greater than any id of 16 bytes: where a list begins that nobody has begun to read.
const ABOVE_ALL: [u8; 17] = [0xFF; 17];

/// An id as it is stored.
pub(super) fn bytes<Id: TypeId>(id: Id) -> Vec<u8> {
    id.bits().to_be_bytes().to_vec()
}

/// The id, older than which a page's elements are.
pub(super) fn below<Id: TypeId>(after: Option<Id>) -> Vec<u8> {
    after.map_or_else(|| ABOVE_ALL.to_vec(), bytes)
}

/// The id, younger than which those are that follow.
pub(super) fn above<Id: TypeId>(after: Option<Id>) -> Vec<u8> {
    after.map_or_else(Vec::new, bytes)
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
pub(super) fn id<Id: TypeId>(row: &SqliteRow, column: &str) -> sqlx::Result<Id> {
    let bytes: &[u8] = row.try_get(column)?;
    let bytes = <[u8; 16]>::try_from(bytes).map_err(unreadable(column))?;
    Ok(Id::from_bits(u128::from_be_bytes(bytes)))
}

/// An instant.
pub(super) fn instant(row: &SqliteRow, column: &str) -> sqlx::Result<UnixMicros> {
    Ok(UnixMicros::new(row.try_get(column)?))
}

/// An instant, if there is one.
pub(super) fn maybe_instant(row: &SqliteRow, column: &str) -> sqlx::Result<Option<UnixMicros>> {
    let micros: Option<i64> = row.try_get(column)?;
    Ok(micros.map(UnixMicros::new))
}

/// A duration.
pub(super) fn duration(row: &SqliteRow, column: &str) -> sqlx::Result<Duration> {
    let micros: i64 = row.try_get(column)?;
    let micros = u64::try_from(micros).map_err(unreadable(column))?;
    Ok(Duration::from_micros(micros))
}

/// A number that is not negative and not large.
pub(super) fn number<N: TryFrom<i64>>(row: &SqliteRow, column: &str) -> sqlx::Result<N> {
    let number: i64 = row.try_get(column)?;
    N::try_from(number).map_err(|_| unreadable(column)(format!("{number} is out of range")))
}

/// Something with a name.
pub(super) fn named<T: Copy>(
    row: &SqliteRow,
    column: &str,
    names: &[(&str, T)],
) -> sqlx::Result<T> {
    let found = maybe_named(row, column, names)?;
    found.ok_or_else(|| unreadable(column)("is null"))
}

/// Something with a name, if there is one.
pub(super) fn maybe_named<T: Copy>(
    row: &SqliteRow,
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
pub(super) fn death(row: &SqliteRow) -> sqlx::Result<Option<Death>> {
    let Some(cause) = maybe_named(row, "cause", &Cause::NAMES)? else { return Ok(None) };
    Ok(Some(Death { cause, error: row.try_get("error")? }))
}

/// Why a delivery was filtered that was.
pub(super) fn reason(row: &SqliteRow) -> sqlx::Result<Option<String>> {
    let is_dead = row.try_get::<Option<&str>, _>("cause")?.is_some();
    if is_dead { Ok(None) } else { row.try_get("error") }
}

/// The version of the script that made what is sent.
pub(super) fn script(row: &SqliteRow) -> sqlx::Result<Option<ScriptVersion>> {
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
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Error::Unavailable(Box::new(error)),
        sqlx::Error::Database(database) => {
            let code = database.code().and_then(|code| code.parse().ok());
            if code.is_some_and(passes) {
                Error::Unavailable(Box::new(error))
            } else {
                Error::Corrupt(error.to_string())
            }
        }
        _ => Error::Corrupt(error.to_string()),
    }
}

/// Whether a result code of SQLite (<https://sqlite.org/rescode.html>) tells of something that
/// may pass: a lock, a full disk, a device, memory.
fn passes(code: u32) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const NO_MEMORY: u32 = 7;
    const READ_ONLY: u32 = 8;
    const IO: u32 = 10;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    // Extended codes have the primary one in their lowest byte.
    matches!(code & 0xFF, BUSY | LOCKED | NO_MEMORY | READ_ONLY | IO | FULL | CANNOT_OPEN)
}
