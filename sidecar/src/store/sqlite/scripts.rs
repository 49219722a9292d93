//! The texts of scripts, by their versions.
//!
//! Invariant: a row is never changed nor deleted: a delivery may name it for as long as it is kept.

use sidehook_event::UnixMicros;
use sqlx::SqlitePool;

use super::rows::micros;
use crate::model::{Script, ScriptVersion};

const KEEP: &str = "INSERT INTO scripts (version, source, saved_at) VALUES (?1, ?2, ?3)
    ON CONFLICT DO NOTHING";

pub(super) const ONE: &str = "SELECT source FROM scripts WHERE version = ?1";

pub(super) async fn keep(
    writer: &SqlitePool,
    script: &Script,
    now: UnixMicros,
) -> sqlx::Result<()> {
    let keep = sqlx::query(KEEP).bind(script.version.to_string()).bind(script.source.to_string());
    keep.bind(micros(now)).execute(writer).await.map(drop)
}

pub(super) async fn one(
    readers: &SqlitePool,
    version: ScriptVersion,
) -> sqlx::Result<Option<Script>> {
    let one = sqlx::query_scalar::<_, String>(ONE).bind(version.to_string());
    Ok(one.fetch_optional(readers).await?.map(|source| Script { version, source: source.into() }))
}
