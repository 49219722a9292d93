//! Whether a server keeps what it says it has committed.
//!
//! Invariant: a server that a power cut may rob of an answered event is never written to.

use sqlx::{PgConnection, Row as _};

/// The settings without which a commit may be lost, or the database with it.
const NEEDED: &str = "SELECT name, setting FROM pg_settings
    WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
    ORDER BY name";

/// A server that may forget what it has committed.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server has {0} = off and may lose what it has committed; set {0} = on, in its \
     configuration and for this user and database"
)]
pub struct Forgetful(pub String);

/// Fails with [`Forgetful`] inside unless all of them are on, for this connection.
pub(super) async fn check(connection: &mut PgConnection) -> sqlx::Result<()> {
    match sqlx::query(NEEDED).fetch_optional(connection).await? {
        None => Ok(()),
        Some(row) => Err(sqlx::Error::Configuration(Forgetful(row.try_get("name")?).into())),
    }
}
