//! Where a store stands during a test, and what can befall it.
//!
//! Invariant: every test has a store of its own.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use sidehook::{
    clock::SystemClock,
    model::SealingKey,
    store::{
        Store,
        postgres::{Config, OpenError, PostgresStore},
        seal::Keyring,
        sqlite::SqliteStore,
    },
};
use tempfile::TempDir;

use crate::database::Database;

/// An implementation under test.
#[async_trait]
pub(crate) trait Ground: Send {
    /// A store that holds nothing.
    async fn fresh() -> Self
    where
        Self: Sized;

    /// The store. Whoever keeps it must let go of it before a crash.
    fn store(&self) -> Arc<dyn Store>;

    /// Ends the process that has the store, without a word, and starts another.
    async fn crash(&mut self) {
        self.reopen(&[1]).await.unwrap();
    }

    /// The same, but the other has these keys. If it does not start, it says why; nobody has the
    /// store then.
    async fn reopen(&mut self, keys: &[u8]) -> Result<(), String>;

    /// Whatever of subscriptions is in the database, byte by byte.
    async fn raw(&self) -> Vec<u8>;

    /// Whether a process that has the store has it alone, so that one before it is dead.
    fn exclusive(&self) -> bool;
}

/// A key of many.
pub(crate) fn key(seed: u8) -> SealingKey {
    SealingKey::generate(|| u64::from_le_bytes([seed; 8]))
}

/// Keys of many.
pub(crate) fn keyring(seeds: &[u8]) -> Keyring {
    Keyring::new(seeds.iter().map(|seed| key(*seed)), Arc::new(SystemClock::start()))
}

/// A file in a folder of its own.
pub(crate) struct SqliteGround {
    folder: TempDir,
    store: Option<Arc<SqliteStore>>,
}

impl SqliteGround {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("sidehook.db")
    }
}

#[async_trait]
impl Ground for SqliteGround {
    async fn fresh() -> Self {
        let mut ground = Self { folder: tempfile::tempdir().unwrap(), store: None };
        ground.crash().await;
        ground
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().unwrap()
    }

    async fn reopen(&mut self, keys: &[u8]) -> Result<(), String> {
        self.store = None;
        let opened = SqliteStore::open(&self.path(), keyring(keys)).await;
        self.store = Some(Arc::new(opened.map_err(|error| error.to_string())?));
        Ok(())
    }

    async fn raw(&self) -> Vec<u8> {
        let files = fs::read_dir(self.folder.path()).unwrap();
        files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }

    fn exclusive(&self) -> bool {
        true
    }
}

/// A database of its own on a server that is there already.
pub(crate) struct PostgresGround {
    pub(crate) database: Database,
    store: Option<Arc<PostgresStore>>,
}

/// The database that those of the tests are copies of.
const TEMPLATE: &str = "sidehook_test_template";

impl PostgresGround {
    /// One more process that has the store.
    pub(crate) async fn another(&self) -> Arc<PostgresStore> {
        Arc::new(connect(&self.database.url, &[1]).await.unwrap())
    }
}

#[async_trait]
impl Ground for PostgresGround {
    async fn fresh() -> Self {
        Database::keep(TEMPLATE, async |url: &str| {
            connect(url, &[]).await.unwrap().close().await;
        })
        .await;
        let mut ground = Self { database: Database::like(TEMPLATE).await, store: None };
        ground.crash().await;
        ground
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().unwrap()
    }

    async fn reopen(&mut self, keys: &[u8]) -> Result<(), String> {
        self.store = None;
        let opened = connect(&self.database.url, keys).await;
        self.store = Some(Arc::new(opened.map_err(|error| error.to_string())?));
        Ok(())
    }

    async fn raw(&self) -> Vec<u8> {
        self.database.raw("subscriptions").await
    }

    fn exclusive(&self) -> bool {
        false
    }
}

/// A store at this address, without waiting for a server that is not there.
pub(crate) async fn connect(url: &str, keys: &[u8]) -> Result<PostgresStore, OpenError> {
    let config = Config { url: url.to_owned().into(), patience: Duration::ZERO };
    PostgresStore::connect(&config, keyring(keys), Arc::new(SystemClock::start())).await
}
