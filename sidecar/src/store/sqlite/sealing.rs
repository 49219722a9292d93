//! The seals on the secrets: which keys made them, and the exchange of old ones for new ones.
//!
//! Invariant: a seal is exchanged for one on the same value, or the row stays as it was.

use sqlx::{Row as _, SqlitePool, sqlite::SqliteRow};

use super::{
    begin,
    rows::{bytes, id, unreadable},
};
use crate::{
    model::SubscriptionId,
    store::{
        form::SECRETS,
        seal::{HEAD, Keyring, Place},
    },
};

const BEGINNINGS: &str = "SELECT DISTINCT substr(secrets, 1, ?1) FROM subscriptions";

/// So many at a time, that a transaction is soon over.
const STALE: &str = "SELECT id, secrets FROM subscriptions
    WHERE substr(secrets, 1, ?1) <> ?2 LIMIT 256";

const EXCHANGE: &str = "UPDATE subscriptions SET secrets = ?2 WHERE id = ?1";

/// What the sealed values begin with, each once: it names their keys.
pub(super) async fn beginnings(writer: &SqlitePool) -> sqlx::Result<Vec<Vec<u8>>> {
    sqlx::query_scalar(BEGINNINGS).bind(head_length()).fetch_all(writer).await
}

/// Nobody else writes: within the transaction nothing changes.
pub(super) async fn reseal(writer: &SqlitePool, keyring: &Keyring) -> sqlx::Result<u64> {
    let Some(head) = keyring.head() else { return Ok(0) };
    let mut resealed = 0;
    loop {
        let mut tx = begin(writer).await?;
        let stale = sqlx::query(STALE).bind(head_length()).bind(head.to_vec());
        let stale = stale.fetch_all(&mut *tx).await?;
        if stale.is_empty() {
            break;
        }
        for row in &stale {
            let subscription = id(row, "id")?;
            sqlx::query(EXCHANGE)
                .bind(bytes(subscription))
                .bind(exchanged(keyring, subscription, row)?)
                .execute(&mut *tx)
                .await?;
            resealed += 1;
        }
        tx.commit().await?;
    }
    forget(writer).await?;
    Ok(resealed)
}

fn exchanged(
    keyring: &Keyring,
    subscription: SubscriptionId,
    row: &SqliteRow,
) -> sqlx::Result<Vec<u8>> {
    let place = Place { subscription, column: SECRETS };
    let exchanged = keyring.exchange(place, row.try_get(SECRETS)?);
    exchanged.map_err(|error| unreadable(SECRETS)(format!("{error} ({subscription})")))
}

/// Rewrites the file, for what a value was before is still in pages that are free now.
async fn forget(writer: &SqlitePool) -> sqlx::Result<()> {
    sqlx::query("VACUUM").execute(writer).await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer).await?;
    Ok(())
}

fn head_length() -> i64 {
    i64::try_from(HEAD).unwrap_or(i64::MAX)
}
