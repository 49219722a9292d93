//! Opens the file: one process, mode 0600, schema up to date.
//!
//! Invariant: a database that this build might misread is never opened, nor one that another
//! process has open.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection as _, SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use thiserror::Error;

use super::{SqliteStore, sealing};
use crate::store::{
    seal::{self, Keyring},
    steps,
};

/// Why a database was not opened. Each says what a person has to do about it.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder must be made first: a misspelt path should not make one.
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    /// The file cannot be read, written or made.
    #[error("cannot open {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// Another process has it open, or another store of this process.
    #[error("{} is in use by another process; only one may have it open", .0.display())]
    InUse(PathBuf),
    /// A later build wrote it.
    #[error(
        "{} has schema {found}, this build knows none later than {known}; run the build that \
         wrote it, or a later one", path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// The number of a migration in it.
        found: i64,
        /// The number of this build's last migration.
        known: i64,
    },
    /// It is no database, or not one of ours, or damaged.
    #[error("cannot bring the schema of {} up to date", .0.display())]
    Schema(PathBuf, #[source] MigrateError),
    /// Secrets in it cannot be opened with the keys that were given.
    #[error("a secret in {} {flaw}; nothing was changed", path.display())]
    Sealed {
        /// The database.
        path: PathBuf,
        /// What is the matter.
        flaw: seal::Error,
    },
    /// SQLite refuses it.
    #[error("cannot use {} as a database", .0.display())]
    Database(PathBuf, #[source] sqlx::Error),
}

/// How long a statement waits when another program, a shell say, has the file locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call waits for a connection before the store counts as overloaded.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many may read at once.
const READERS: u32 = 4;
/// After how many pages, of 4 KiB, the log is folded into the file. A page that many commits
/// wrote is then copied once; the commit that folds waits for it.
const LOG_PAGES: &str = "4000";
/// To how many bytes the write-ahead log is cut back after it had to grow.
const LOG_LIMIT: &str = "67108864";
/// The cache of a connection; negative numbers are KiB.
const CACHE: &str = "-16384";

pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    steps::all([(1, "first", include_str!("../../../migrations/sqlite/0001_first.sql"))])
});

pub(super) async fn open(path: &Path, keyring: Keyring) -> Result<SqliteStore, OpenError> {
    let path = create(path)?;
    let lock = lock(&path)?;
    let unusable = |error| OpenError::Database(path.clone(), error);
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", CACHE)
        .disable_statement_logging();
    let writer = pool(1)
        .connect_with(
            options
                .clone()
                .journal_mode(SqliteJournalMode::Wal)
                .pragma("wal_autocheckpoint", LOG_PAGES)
                .pragma("journal_size_limit", LOG_LIMIT),
        )
        .await
        .map_err(unusable)?;
    migrate(&writer, &path).await?;
    for beginning in sealing::beginnings(&writer).await.map_err(unusable)? {
        let known = keyring.knows(&beginning);
        known.map_err(|flaw| OpenError::Sealed { path: path.clone(), flaw })?;
    }
    let readers = pool(READERS).connect_with(options.read_only(true)).await.map_err(unusable)?;
    Ok(SqliteStore { writer, readers, keyring, _lock: lock })
}

/// Makes the file unless it is there, and returns the one path it has however it was spelt.
fn create(path: &Path) -> Result<PathBuf, OpenError> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    if !folder.is_dir() {
        return Err(OpenError::NoFolder(folder.to_owned()));
    }
    let unusable = |error| OpenError::File(path.to_owned(), error);
    // It holds secrets: nobody else may read it. SQLite gives its other files the same mode.
    private(path).map_err(unusable)?;
    path.canonicalize().map_err(unusable)
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let file = private(&lock_path).map_err(|error| OpenError::File(lock_path.clone(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::File(lock_path, error)),
    }
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

async fn migrate(writer: &SqlitePool, path: &Path) -> Result<(), OpenError> {
    let known = MIGRATIONS.iter().map(|step| step.version).max();
    let known = known.unwrap_or_default();
    MIGRATIONS.run(writer).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > known => {
            OpenError::Newer { path: path.to_owned(), found, known }
        }
        other => OpenError::Schema(path.to_owned(), other),
    })
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A connection to a file neither ages nor breaks.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // When the disk is full SQLite itself ends the transaction, and the connection goes on
        // believing that it is in one: it must not come back.
        .after_release(|connection, _| {
            Box::pin(async {
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_step_is_in_the_program() {
        let ours = steps::in_folder("migrations/sqlite").await;
        assert_eq!(steps::told(&MIGRATIONS), steps::told(&ours));
    }

    #[tokio::test]
    async fn every_commit_is_synced_and_foreign_keys_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("sidehook.db"), Keyring::default()).await.unwrap();
        let pragma = async |text: &'static str| -> String {
            let row = sqlx::query_scalar(text).fetch_one(&store.writer).await;
            row.unwrap()
        };
        for (text, expected) in [
            ("SELECT synchronous || '' FROM pragma_synchronous", "2"),
            ("SELECT journal_mode FROM pragma_journal_mode", "wal"),
            ("SELECT foreign_keys || '' FROM pragma_foreign_keys", "1"),
        ] {
            assert_eq!(pragma(text).await, expected, "{text}");
        }
    }
}
