//! Connects to a server, and makes sure of it before anything is stored there.
//!
//! Invariant: a server or a database that this build might misread, or that may lose what it has
//! committed, is refused, and left as it was.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection, error::DatabaseError};
use thiserror::Error;
use tokio::time::timeout;

use super::{
    PostgresStore,
    address::Address,
    durability::{self, Forgetful},
    pool::Pool,
    pulse::Pulse,
    schema::{self, Migrated, Standing},
    sealing,
};
use crate::{
    clock::Clock,
    store::seal::{self, Keyring},
};

/// Where the store is, and how patient to be at the start.
#[derive(Debug, Clone)]
pub struct Config {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`
    pub url: SecretString,
    /// For how long it is tried to reach a server that cannot be reached.
    pub patience: Duration,
}

/// Why a store was not opened. Each says what a person has to do about it; none tells the password.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It is no address of a Postgres.
    #[error("is no address of a Postgres ({0}); write postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Address(String),
    /// Nobody answers there.
    #[error(
        "cannot reach {address} within {patience:?}; see that the server runs there and can be reached from here"
    )]
    Unreachable {
        /// Where it should be.
        address: String,
        /// How long it was tried.
        patience: Duration,
        /// What happened the last time.
        #[source]
        source: sqlx::Error,
    },
    /// The server wants no part of this user, or not with this password.
    #[error("{0} refuses the user or the password; correct them, or pg_hba.conf on the server")]
    Denied(String, #[source] sqlx::Error),
    /// The server has no such database.
    #[error("{0} does not exist; make it with CREATE DATABASE, or name another")]
    NoDatabase(String, #[source] sqlx::Error),
    /// The server is too old.
    #[error("{address} is Postgres {found}; Postgres 13 or newer is needed")]
    TooOld {
        /// Where it is.
        address: String,
        /// Its version.
        found: String,
    },
    /// The database cannot hold all text.
    #[error("{address} is encoded in {found}; make a database with ENCODING 'UTF8'")]
    Encoding {
        /// Where it is.
        address: String,
        /// Its encoding.
        found: String,
    },
    /// The server may lose what it has committed.
    #[error("{0} cannot be trusted with events")]
    Forgetful(String, #[source] Forgetful),
    /// A later build wrote it.
    #[error(
        "{address} has schema {found}, this build knows none later than {known}; run the build \
         that wrote it, or a later one"
    )]
    Newer {
        /// Where it is.
        address: String,
        /// The number of a migration in it.
        found: i64,
        /// The number of this build's last migration.
        known: i64,
    },
    /// It was not made by a build that is an ancestor of this one.
    #[error(
        "{address} has a schema {number} that is not this build's; use a database of its own, or \
         the build that made this one"
    )]
    Foreign {
        /// Where it is.
        address: String,
        /// The number of a migration that differs.
        number: i64,
    },
    /// The schema could not be made or changed. Nothing was.
    #[error("cannot bring the schema of {0} up to date, and has left it as it was")]
    Schema(String, #[source] sqlx::Error),
    /// Secrets in it cannot be opened with the keys that were given.
    #[error("a secret in {address} {flaw}; nothing was changed")]
    Sealed {
        /// Where it is.
        address: String,
        /// What is the matter.
        flaw: seal::Error,
    },
    /// The server fails.
    #[error("cannot use {0}")]
    Server(String, #[source] sqlx::Error),
}

/// How long one try to connect may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn connect(
    config: &Config,
    keyring: Keyring,
    clock: Arc<dyn Clock>,
) -> Result<PostgresStore, OpenError> {
    let (address, mut connection) = reach(config, &*clock).await?;
    if schema::standing(&mut connection, &address).await? != Standing::Current {
        let Migrated { from, to } = schema::migrate(&mut connection, &address).await?;
        tracing::info!(from, to, "brought the schema up to date");
    }
    let beginnings = sealing::beginnings(&mut connection).await;
    for beginning in beginnings.map_err(|error| OpenError::Server(address.to_string(), error))? {
        let known = keyring.knows(&beginning);
        known.map_err(|flaw| OpenError::Sealed { address: address.to_string(), flaw })?;
    }
    let _ = timeout(LIMIT, connection.close()).await;
    let pool = Arc::new(Pool::new(address.working(), Arc::clone(&clock)));
    let (pulse, listening) = (Pulse::default(), address.patient());
    Ok(PostgresStore { pool, pulse, listening, keyring, clock })
}

pub(super) async fn migrate(config: &Config, clock: &dyn Clock) -> Result<Migrated, OpenError> {
    let (address, mut connection) = reach(config, clock).await?;
    schema::standing(&mut connection, &address).await?;
    let migrated = schema::migrate(&mut connection, &address).await?;
    let _ = timeout(LIMIT, connection.close()).await;
    Ok(migrated)
}

/// Connects, and looks whether the server is one to be relied on.
async fn reach(config: &Config, clock: &dyn Clock) -> Result<(Address, PgConnection), OpenError> {
    let address = Address::parse(&config.url).map_err(OpenError::Address)?;
    let mut connection = try_for(config.patience, &address, clock).await?;
    let shown = address.to_string();
    let server = |error| OpenError::Server(shown.clone(), error);
    let (number, version, encoding): (i32, String, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::integer,
            current_setting('server_version'), current_setting('server_encoding')",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(server)?;
    if number < 130_000 {
        return Err(OpenError::TooOld { address: shown, found: version });
    }
    if encoding != "UTF8" {
        return Err(OpenError::Encoding { address: shown, found: encoding });
    }
    match durability::check(&mut connection).await {
        Ok(()) => Ok((address, connection)),
        Err(sqlx::Error::Configuration(error)) => Err(match error.downcast::<Forgetful>() {
            Ok(forgetful) => OpenError::Forgetful(shown, *forgetful),
            Err(error) => server(sqlx::Error::Configuration(error)),
        }),
        Err(error) => Err(server(error)),
    }
}

/// Tries again as long as the server cannot be reached or is not up yet.
async fn try_for(
    patience: Duration,
    address: &Address,
    clock: &dyn Clock,
) -> Result<PgConnection, OpenError> {
    let start = clock.monotonic();
    let options = address.patient();
    let mut tries = 0_u32;
    loop {
        let error = match timeout(LIMIT, PgConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => std::io::Error::from(std::io::ErrorKind::TimedOut).into(),
        };
        let shown = address.to_string();
        let code = error.as_database_error().and_then(DatabaseError::code);
        match code.as_deref() {
            Some("28P01" | "28000") => return Err(OpenError::Denied(shown, error)),
            Some("3D000") => return Err(OpenError::NoDatabase(shown, error)),
            // It is starting or stopping, or has its hands full.
            Some(code) if code.starts_with("57P") || code == "53300" => {}
            None if matches!(error, sqlx::Error::Io(_)) => {}
            Some(_) | None => return Err(OpenError::Server(shown, error)),
        }
        if clock.monotonic().saturating_sub(start) >= patience {
            return Err(OpenError::Unreachable { address: shown, patience, source: error });
        }
        if tries == 0 {
            tracing::warn!(%address, %error, "cannot reach Postgres yet, trying again");
        }
        tries = tries.saturating_add(1);
        clock.sleep(PAUSE).await;
    }
}
