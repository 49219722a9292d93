//! Opens the store that the configuration names.
//!
//! Invariant: the rest of the process knows the seam alone.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use secrecy::SecretString;

use crate::{
    clock::{Clock, SystemClock},
    config::{Config, StoreUrl},
    store::{
        Store,
        postgres::{self, PostgresStore},
        seal::Keyring,
        sqlite::SqliteStore,
    },
};

/// For how long a Postgres that cannot be reached at the start is waited for: it may have been
/// started together with us.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens it, with its schema up to date.
pub(super) async fn open(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Store>> {
    let keyring = Keyring::new(config.secret_keys.iter().cloned(), Arc::clone(clock));
    Ok(match &config.store {
        StoreUrl::Sqlite(path) => Arc::new(sqlite(path, keyring).await?),
        StoreUrl::Postgres(url) => {
            let clock = Arc::clone(clock);
            let store = PostgresStore::connect(&postgres(url), keyring, clock).await;
            Arc::new(store.context(OPENING)?)
        }
    })
}

/// Brings the schema of the store up to date. Says from where to where, if that is known.
pub async fn migrate(config: &Config) -> anyhow::Result<String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    match &config.store {
        StoreUrl::Sqlite(path) => {
            let keyring = Keyring::new(config.secret_keys.iter().cloned(), clock);
            sqlite(path, keyring).await?;
            Ok("the schema is up to date".to_owned())
        }
        StoreUrl::Postgres(url) => {
            let migrated = PostgresStore::migrate(&postgres(url), &*clock).await;
            let postgres::Migrated { from, to } = migrated.context(OPENING)?;
            Ok(match from {
                0 => format!("made the schema, number {to}"),
                _ if from == to => format!("the schema was up to date, number {to}"),
                _ => format!("brought the schema from number {from} to {to}"),
            })
        }
    }
}

const OPENING: &str = "opening the store that `store` names";

async fn sqlite(path: &Path, keyring: Keyring) -> anyhow::Result<SqliteStore> {
    let opened = SqliteStore::open(path, keyring).await;
    opened.with_context(|| format!("opening the store sqlite:{}", path.display()))
}

fn postgres(url: &SecretString) -> postgres::Config {
    postgres::Config { url: url.clone(), patience: PATIENCE }
}
