//! Where a store stands during a test, and what can befall it.
//!
//! Invariant: every test has a store of its own.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use sidehook::store::{Store, sqlite::SqliteStore};
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
    async fn crash(&mut self);
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

    async fn crash(&mut self) {
        self.store = None;
        let store = SqliteStore::open(&self.path()).await.unwrap();
        self.store = Some(Arc::new(store));
    }
}
