//! Where a store stands during a test, and what can befall it.
//!
//! Invariant: every test has a store of its own.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

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
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

use crate::database::{Database, VARIABLE};

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

/// The name of the database that those of the tests are copies of, different for each schema.
fn template() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let steps: BTreeMap<_, _> = files.map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    let texts = steps.into_values().flatten();
    let hash = texts.fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    format!("sidehook_test_template_{hash:016x}")
}

impl PostgresGround {
    /// One more process that has the store.
    pub(crate) async fn another(&self) -> Arc<PostgresStore> {
        Arc::new(connect(&self.database.url, &[1]).await.unwrap())
    }
}

#[async_trait]
impl Ground for PostgresGround {
    async fn fresh() -> Self {
        let template = template();
        make_template(&template).await;
        let mut ground = Self { database: Database::like(&template).await, store: None };
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
        let mut shell = self.database.shell().await;
        sqlx::raw_sql("CHECKPOINT").execute(&mut shell).await.unwrap();
        let file = "SELECT pg_read_binary_file(pg_relation_filepath('subscriptions'))";
        let file: Vec<u8> = sqlx::query_scalar(file).fetch_one(&mut shell).await.unwrap();
        shell.close().await.unwrap();
        file
    }

    fn exclusive(&self) -> bool {
        false
    }
}

/// Makes it, unless an earlier test has.
async fn make_template(name: &str) {
    let mut server = PgConnection::connect(&std::env::var(VARIABLE).unwrap()).await.unwrap();
    // Others may be about to make it too, in this process or another.
    sqlx::query("SELECT pg_advisory_lock(1)").execute(&mut server).await.unwrap();
    let there = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    let there: bool = sqlx::query_scalar(there).bind(name).fetch_one(&mut server).await.unwrap();
    if !there {
        let making = Database::empty().await;
        connect(&making.url, &[]).await.unwrap().close().await;
        let rename = format!("ALTER DATABASE {} RENAME TO {name}", making.name);
        sqlx::raw_sql(AssertSqlSafe(rename)).execute(&mut server).await.unwrap();
    }
    server.close().await.unwrap();
}

/// A store at this address, without waiting for a server that is not there.
pub(crate) async fn connect(url: &str, keys: &[u8]) -> Result<PostgresStore, OpenError> {
    let config = Config { url: url.to_owned().into(), patience: Duration::ZERO };
    PostgresStore::connect(&config, keyring(keys), Arc::new(SystemClock::start())).await
}
