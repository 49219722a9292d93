//! The seals on the secrets: which keys made them, and the exchange of old ones for new ones.
//!
//! Invariant: a seal is exchanged for one on the same value, or the row stays as it was.

use sqlx::{Connection as _, PgConnection, Row as _, postgres::PgRow};

use super::{
    pool::Pool,
    rows::{id, key, unreadable},
    subscriptions::{HEADERS, SECRET},
};
use crate::{
    model::SubscriptionId,
    store::seal::{HEAD, Keyring, Place},
};

const BEGINNINGS: &str = "SELECT substr(secret, 1, $1) FROM subscriptions
    UNION SELECT substr(custom_headers, 1, $1) FROM subscriptions";

/// So many at a time, that a transaction is soon over. Nobody changes them meanwhile.
const STALE: &str = "SELECT id, secret, custom_headers FROM subscriptions
    WHERE substr(secret, 1, $1) <> $2 OR substr(custom_headers, 1, $1) <> $2
    ORDER BY id LIMIT 256 FOR UPDATE";

const EXCHANGE: &str = "UPDATE subscriptions SET secret = $2, custom_headers = $3 WHERE id = $1";

/// What the sealed values begin with, each once: it names their keys.
pub(super) async fn beginnings(connection: &mut PgConnection) -> sqlx::Result<Vec<Vec<u8>>> {
    sqlx::query_scalar(BEGINNINGS).bind(head_length()).fetch_all(connection).await
}

/// Exchanges some, and says how many; none is left when it says 0.
pub(super) async fn reseal(pool: &Pool, keyring: &Keyring) -> sqlx::Result<u64> {
    let Some(head) = keyring.head() else { return Ok(0) };
    let mut connection = pool.lend().await?;
    let mut tx = connection.begin().await?;
    let stale = sqlx::query(STALE).bind(head_length()).bind(head.to_vec());
    let stale = stale.fetch_all(&mut *tx).await?;
    let mut resealed = 0;
    for row in &stale {
        let subscription = id(row, "id")?;
        sqlx::query(EXCHANGE)
            .bind(key(subscription))
            .bind(exchanged(keyring, subscription, row, SECRET)?)
            .bind(exchanged(keyring, subscription, row, HEADERS)?)
            .execute(&mut *tx)
            .await?;
        resealed += 1;
    }
    tx.commit().await?;
    connection.done(Ok(resealed))
}

fn exchanged(
    keyring: &Keyring,
    subscription: SubscriptionId,
    row: &PgRow,
    column: &'static str,
) -> sqlx::Result<Vec<u8>> {
    let place = Place { subscription, column };
    let named = |error| unreadable(column)(format!("{error} ({subscription})"));
    let clear = keyring.open(place, row.try_get(column)?).map_err(named)?;
    keyring.seal(place, &clear).map_err(named)
}

/// Rewrites the table, for what a value was before is still in rows that are dead now. As if a
/// column had changed: then just what is there now is written, whereas VACUUM would carry over
/// what any transaction on the server could still want to see.
const REWRITE: &str =
    "ALTER TABLE subscriptions ALTER COLUMN secret TYPE bytea USING secret || ''::bytea";

pub(super) async fn forget(pool: &Pool) -> sqlx::Result<()> {
    let mut connection = pool.lend().await?;
    sqlx::query(REWRITE).execute(&mut *connection).await?;
    connection.done(Ok(()))
}

fn head_length() -> i32 {
    i32::try_from(HEAD).unwrap_or(i32::MAX)
}
