//! The texts of scripts, by their versions.
//!
//! Invariant: a row is never changed nor deleted: a delivery may name it for as long as it is kept.

use sidehook_event::UnixMicros;

use super::{
    pool::Pool,
    rows::{micros, text},
};
use crate::model::{Script, ScriptVersion};

pub(super) const KEEP: &str = "INSERT INTO scripts (version, source, saved_at) VALUES ($1, $2, $3)
    ON CONFLICT (version) DO NOTHING";

pub(super) const ONE: &str = "SELECT source FROM scripts WHERE version = $1";

pub(super) async fn keep(pool: &Pool, script: &Script, now: UnixMicros) -> sqlx::Result<()> {
    let keep = sqlx::query(KEEP).bind(script.version.to_string()).bind(script.source.as_bytes());
    let mut connection = pool.lend().await?;
    keep.bind(micros(now)).execute(&mut *connection).await?;
    connection.done(Ok(()))
}

pub(super) async fn one(pool: &Pool, version: ScriptVersion) -> sqlx::Result<Option<Script>> {
    let mut connection = pool.lend().await?;
    let one = sqlx::query(ONE).bind(version.to_string());
    let found = one.fetch_optional(&mut *connection).await?;
    let read = |row| Ok(Script { version, source: text(row, "source")?.into() });
    connection.done(found.as_ref().map(read).transpose())
}
