//! Where a store stands during a test, and what can befall it.
//!
//! Invariant: every test has a store of its own.

use std::{fs, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use sidehook::{
    clock::SystemClock,
    model::SealingKey,
    store::{Store, seal::Keyring, sqlite::SqliteStore},
};
use tempfile::TempDir;

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
}
