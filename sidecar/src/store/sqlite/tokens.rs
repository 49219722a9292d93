//! Tokens: made, revoked, listed.
//!
//! Invariant: a row is never deleted, and of a revoked one nothing changes.

use sidehook_event::UnixMicros;
use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use super::rows::{below, bytes, id, instant, maybe_instant, micros, one_more, unreadable};
use crate::model::{AccessToken, Page, PageRequest, TokenDigest, TokenId};

const ADD: &str = "INSERT INTO tokens
        (id, name, scopes, digest, created_at, expires_at, revoked_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (id) DO NOTHING";

pub(super) const REVOKE: &str =
    "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, scopes, digest, created_at, expires_at, revoked_at FROM tokens ",
            $rest
        )
    };
}

const ALL: &str = select!("ORDER BY id");
pub(super) const LIST: &str = select!("WHERE id < ?1 ORDER BY id DESC LIMIT ?2");

pub(super) async fn add(writer: &SqlitePool, token: &AccessToken) -> sqlx::Result<()> {
    sqlx::query(ADD)
        .bind(bytes(token.id))
        .bind(token.name.clone())
        .bind(token.scopes.to_string())
        .bind(token.digest.bytes().to_vec())
        .bind(micros(token.created_at))
        .bind(token.expires_at.map(micros))
        .bind(token.revoked_at.map(micros))
        .execute(writer)
        .await
        .map(drop)
}

pub(super) async fn revoke(
    writer: &SqlitePool,
    id: TokenId,
    now: UnixMicros,
) -> sqlx::Result<bool> {
    let done = sqlx::query(REVOKE).bind(bytes(id)).bind(micros(now)).execute(writer).await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn all(readers: &SqlitePool) -> sqlx::Result<Vec<AccessToken>> {
    let found = sqlx::query(ALL).fetch_all(readers).await?;
    found.iter().map(token).collect()
}

pub(super) async fn list(
    readers: &SqlitePool,
    page: PageRequest<TokenId>,
) -> sqlx::Result<Page<AccessToken, TokenId>> {
    let found = sqlx::query(LIST)
        .bind(below(page.after))
        .bind(one_more(page.limit))
        .fetch_all(readers)
        .await?;
    let found = found.iter().map(token).collect::<sqlx::Result<_>>()?;
    Ok(Page::cut(found, page.limit, |token: &AccessToken| token.id))
}

fn token(row: &SqliteRow) -> sqlx::Result<AccessToken> {
    let scopes: &str = row.try_get("scopes")?;
    let digest: &[u8] = row.try_get("digest")?;
    let digest = digest.try_into().map_err(unreadable("digest"))?;
    Ok(AccessToken {
        id: id(row, "id")?,
        name: row.try_get("name")?,
        scopes: scopes.parse().map_err(unreadable("scopes"))?,
        digest: TokenDigest::from_bytes(digest),
        created_at: instant(row, "created_at")?,
        expires_at: maybe_instant(row, "expires_at")?,
        revoked_at: maybe_instant(row, "revoked_at")?,
    })
}
