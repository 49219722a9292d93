//! Tokens: made, revoked, listed.
//!
//! Invariant: a row is never deleted, and of a revoked one nothing changes.

use sidehook_event::UnixMicros;
use sqlx::{Row, postgres::PgRow};

use super::{
    pool::Pool,
    rows::{below, id, instant, key, maybe_instant, micros, one_more, text, unreadable},
};
use crate::model::{AccessToken, Page, PageRequest, TokenDigest, TokenId};

pub(super) const ADD: &str = "INSERT INTO tokens
        (id, name, scopes, digest, created_at, expires_at, revoked_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO NOTHING";

pub(super) const REVOKE: &str =
    "UPDATE tokens SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, scopes, digest, created_at, expires_at, revoked_at FROM tokens ",
            $rest
        )
    };
}

pub(super) const ALL: &str = select!("ORDER BY id");
pub(super) const LIST: &str = select!("WHERE id < $1 ORDER BY id DESC LIMIT $2");

pub(super) async fn add(pool: &Pool, token: &AccessToken) -> sqlx::Result<()> {
    let add = sqlx::query(ADD)
        .bind(key(token.id))
        .bind(token.name.as_bytes())
        .bind(token.scopes.to_string())
        .bind(token.digest.bytes().as_slice())
        .bind(micros(token.created_at))
        .bind(token.expires_at.map(micros))
        .bind(token.revoked_at.map(micros));
    let mut connection = pool.lend().await?;
    add.execute(&mut *connection).await?;
    connection.done(Ok(()))
}

pub(super) async fn revoke(pool: &Pool, id: TokenId, now: UnixMicros) -> sqlx::Result<bool> {
    let mut connection = pool.lend().await?;
    let revoke = sqlx::query(REVOKE).bind(key(id)).bind(micros(now));
    let revoked = revoke.execute(&mut *connection).await?.rows_affected() > 0;
    connection.done(Ok(revoked))
}

pub(super) async fn all(pool: &Pool) -> sqlx::Result<Vec<AccessToken>> {
    let mut connection = pool.lend().await?;
    let found = sqlx::query(ALL).fetch_all(&mut *connection).await?;
    connection.done(found.iter().map(token).collect())
}

pub(super) async fn list(
    pool: &Pool,
    page: PageRequest<TokenId>,
) -> sqlx::Result<Page<AccessToken, TokenId>> {
    let list = sqlx::query(LIST).bind(below(page.after)).bind(one_more(page.limit));
    let mut connection = pool.lend().await?;
    let found = list.fetch_all(&mut *connection).await?;
    let found = connection.done(found.iter().map(token).collect::<sqlx::Result<_>>())?;
    Ok(Page::cut(found, page.limit, |token: &AccessToken| token.id))
}

fn token(row: &PgRow) -> sqlx::Result<AccessToken> {
    let scopes: &str = row.try_get("scopes")?;
    let digest: &[u8] = row.try_get("digest")?;
    let digest = digest.try_into().map_err(unreadable("digest"))?;
    Ok(AccessToken {
        id: id(row, "id")?,
        name: text(row, "name")?.to_owned(),
        scopes: scopes.parse().map_err(unreadable("scopes"))?,
        digest: TokenDigest::from_bytes(digest),
        created_at: instant(row, "created_at")?,
        expires_at: maybe_instant(row, "expires_at")?,
        revoked_at: maybe_instant(row, "revoked_at")?,
    })
}
