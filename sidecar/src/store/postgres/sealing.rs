//! The seals on the secrets: which keys made them, and the exchange of old ones for new ones.
//!
//! Invariant: a seal is exchanged for one on the same value, or the row stays as it was.

use sqlx::{Connection as _, PgConnection, Row as _, postgres::PgRow};

use super::{
    pool::Pool,
    rows::{id, key, unreadable},
};
use crate::{
    model::SubscriptionId,
    store::{
        form::SECRETS,
        seal::{HEAD, Keyring, Place},
    },
};

const BEGINNINGS: &str = "SELECT DISTINCT substr(secrets, 1, $1) FROM subscriptions";

/// So many at a time, that a transaction is soon over. Nobody changes them meanwhile.
const STALE: &str = "SELECT id, secrets FROM subscriptions
    WHERE substr(secrets, 1, $1) <> $2
    ORDER BY id LIMIT 256 FOR UPDATE";

const EXCHANGE: &str = "UPDATE subscriptions SET secrets = $2 WHERE id = $1";

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
            .bind(exchanged(keyring, subscription, row)?)
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
) -> sqlx::Result<Vec<u8>> {
    let place = Place { subscription, column: SECRETS };
    let exchanged = keyring.exchange(place, row.try_get(SECRETS)?);
    exchanged.map_err(|error| unreadable(SECRETS)(format!("{error} ({subscription})")))
}

/// Rewrites the table, for what a value was before is still in rows that are dead now. As if a
/// column had changed: then just what is there now is written, whereas VACUUM would carry over
/// what any transaction on the server could still want to see.
const REWRITE: &str =
    "ALTER TABLE subscriptions ALTER COLUMN secrets TYPE bytea USING secrets || ''::bytea";

pub(super) async fn forget(pool: &Pool) -> sqlx::Result<()> {
    let mut connection = pool.lend().await?;
    sqlx::query(REWRITE).execute(&mut *connection).await?;
    connection.done(Ok(()))
}

fn head_length() -> i32 {
    i32::try_from(HEAD).unwrap_or(i32::MAX)
}
