//! What is special to SQLite: the file, who may open it, and what is in it.
//!
//! Invariant: a file that cannot be trusted is refused in words, never with a panic.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    sync::Arc,
};

use futures::StreamExt as _;
use sidehook::{
    model::{Cause, DeliveryId, PageRequest},
    store::{
        DeliveryFilter, Due, Error, EventFilter, Store,
        sqlite::{OpenError, SqliteStore},
    },
};
use sidehook_event::{EventId, TypeId};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::{
    ground::{Ground, SqliteGround, keyring},
    samples::{
        all_unnumbered, at, dead, elaborate, event, failed, minted, new_delivery, one_pending,
        pending, subscription,
    },
};

#[tokio::test]
async fn nobody_else_may_read_the_file() {
    let ground = SqliteGround::fresh().await;
    ground.store().ping().await.unwrap();
    for ending in ["", "-wal", "-shm", ".lock"] {
        let file = format!("{}{ending}", ground.path().display());
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let refused = refused(&missing.join("sidehook.db")).await;
    assert!(matches!(&refused, OpenError::NoFolder(named) if *named == missing));
    assert!(refused.to_string().contains(missing.to_str().unwrap()));
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_store_that_is_open_is_not_opened_twice() {
    let mut ground = SqliteGround::fresh().await;
    let link = ground.path().with_file_name("link.db");
    symlink(ground.path(), &link).unwrap();
    for path in [ground.path(), link] {
        let refused = refused(&path).await;
        assert!(matches!(&refused, OpenError::InUse(_)), "{refused:?}");
        assert!(refused.to_string().contains("in use by another process"));
    }
    ground.crash().await;
    ground.store().ping().await.unwrap();
}

/// The test runs itself once more as the other process, which is told what to open.
#[tokio::test]
async fn another_process_cannot_open_it_before_it_is_let_go() {
    const TARGET: &str = "SIDEHOOK_TEST_OPENS";
    if let Some(path) = std::env::var_os(TARGET) {
        let refused = refused(Path::new(&path)).await;
        assert!(matches!(&refused, OpenError::InUse(_)), "{refused:?}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidehook.db");
    let another_is_refused = || {
        let name = "sqlite_file::another_process_cannot_open_it_before_it_is_let_go";
        let mut other = Command::new(std::env::current_exe().unwrap());
        let done = other.args(["--exact", name]).env(TARGET, &path).output();
        done.unwrap().status.success()
    };
    let store = SqliteStore::open(&path, keyring(&[1])).await.unwrap();
    assert!(another_is_refused());
    drop(store);
    assert!(!another_is_refused());
}

/// Nobody else can have changed anything.
#[tokio::test]
async fn nothing_is_told_of_changes() {
    let ground = SqliteGround::fresh().await;
    let mut changes = ground.store().subscription_changes();
    ground.store().upsert_subscription(subscription(1), true).await.unwrap();
    assert_eq!(futures::future::poll_immediate(changes.next()).await, None);
}

#[tokio::test]
async fn a_schema_of_a_later_build_is_refused() {
    let (folder, path) = closed_database().await;
    tamper(
        &path,
        "INSERT INTO _sqlx_migrations
             (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', 1, x'00', 0)",
    )
    .await;
    let refused = refused(&path).await;
    assert!(
        matches!(&refused, OpenError::Newer { found: 9999, known, .. } if *known < 9999),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("has schema 9999"));
    drop(folder);
}

#[tokio::test]
async fn a_schema_that_is_not_ours_is_refused() {
    let (_folder, path) = closed_database().await;
    tamper(&path, "UPDATE _sqlx_migrations SET checksum = x'00'").await;
    let refused = refused(&path).await;
    assert!(matches!(&refused, OpenError::Schema(..)), "{refused:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let notes = "not a database, and long enough not to be taken for a new one\n".repeat(20);
    fs::write(&path, &notes).unwrap();
    let refused = refused(&path).await;
    assert!(matches!(&refused, OpenError::Database(..)), "{refused:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), notes);
}

#[tokio::test]
async fn a_store_that_was_closed_is_unavailable_and_all_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidehook.db");
    let store = SqliteStore::open(&path, keyring(&[1])).await.unwrap();
    pending(&store, 1, vec![]).await;
    store.close().await;
    assert!(matches!(store.ping().await, Err(Error::Unavailable(_))));
    assert!(matches!(store.event(minted(1)).await, Err(Error::Unavailable(_))));
    assert!(!folder.path().join("sidehook.db-wal").exists());
    drop(store);
    let again = SqliteStore::open(&path, keyring(&[1])).await.unwrap();
    assert!(again.event(minted(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_an_error() {
    for damage in [
        "UPDATE events SET frame = x'00FF'",
        "UPDATE events SET frame = x''",
        "UPDATE events SET frame = unhex(hex(frame) || hex(frame))",
        "UPDATE events SET frame = substr(frame, 1, length(frame) - 3)",
    ] {
        let damage = &*format!("{damage} WHERE id = x'{:032x}'", minted::<EventId>(1).bits());
        let store = damaged(damage).await;
        let store = &store.1;
        corrupt(damage, &store.event(minted(1)).await);
        let page = PageRequest::default();
        corrupt(damage, &store.events(&EventFilter::default(), page).await);
    }
}

#[tokio::test]
async fn a_delivery_that_cannot_be_read_is_an_error() {
    for damage in [
        "UPDATE deliveries SET state = 'lost'",
        "UPDATE deliveries SET attempts = -1",
        "UPDATE deliveries SET attempts = 4294967296",
        "UPDATE deliveries SET last_outcome = 'maybe'",
        "UPDATE deliveries SET cause = ''",
        "UPDATE deliveries SET event_type = 'People'",
        "UPDATE deliveries SET subscription_id = x'01'",
        "UPDATE attempts SET outcome = 'maybe'",
        "UPDATE attempts SET status_code = 65536",
        "UPDATE attempts SET duration_us = -1",
        "UPDATE attempts SET number = -1",
    ] {
        let store = damaged(damage).await;
        let store = &store.1;
        corrupt(damage, &store.delivery(minted(1)).await);
        if damage.starts_with("UPDATE deliveries") {
            let filter = DeliveryFilter::default();
            let page = PageRequest::default();
            corrupt(damage, &store.deliveries(&filter, page).await);
        }
    }
}

#[tokio::test]
async fn a_subscription_that_cannot_be_read_is_an_error() {
    for damage in [
        "UPDATE subscriptions SET url = 'ftp://example.com'",
        "UPDATE subscriptions SET pattern = '*.*'",
        "UPDATE subscriptions SET secrets = CAST(x'00' || 'whsec_' AS BLOB)",
        "UPDATE subscriptions SET secrets = CAST(x'00' || '[' AS BLOB)",
        "UPDATE subscriptions SET secrets = CAST(x'00' || '{\"secret\":\"whsec_QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD\",\"previous\":[],\"custom_headers\":[[\"Host\",\"x\"]]}' AS BLOB)",
        "UPDATE subscriptions SET secrets = x''",
        "UPDATE subscriptions SET secrets = x'02'",
        "UPDATE subscriptions SET secrets = substr(secrets, 1, length(secrets) - 1)",
        "UPDATE subscriptions SET secrets = CAST(secrets || x'00' AS BLOB)",
        "UPDATE subscriptions SET settings = '{'",
        "UPDATE subscriptions SET settings = '[]'",
        "UPDATE subscriptions SET settings = replace(settings, '\"format\":\"', '\"format\":\"odd')",
        "UPDATE subscriptions SET settings = replace(settings, '\"schedule\":[', '\"schedule\":[-1,')",
        "UPDATE subscriptions SET settings = replace(settings, '\"metadata\":{', '\"metadata\":{\"a\":1,')",
        "UPDATE subscriptions SET settings = replace(settings, '\"timeout\":', '\"timeout\":-')",
        "UPDATE subscriptions SET settings = replace(settings, '\"enabled\":', '\"unknown\":1,\"enabled\":')",
    ] {
        let store = damaged(damage).await;
        let store = &store.1;
        corrupt(damage, &store.subscription(minted(1)).await);
        corrupt(damage, &store.all_subscriptions().await);
    }
}

#[tokio::test]
async fn a_seal_that_was_moved_to_another_row_does_not_open() {
    let ground = SqliteGround::fresh().await;
    let store = ground.store();
    for number in [1, 2] {
        store.upsert_subscription(subscription(number), true).await.unwrap();
    }
    let moved = "UPDATE subscriptions SET secrets =
        (SELECT secrets FROM subscriptions WHERE url LIKE '%/2') WHERE url LIKE '%/1'";
    tamper(&ground.path(), moved).await;
    corrupt(moved, &store.subscription(minted(1)).await);
    assert!(store.subscription(minted(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn what_cannot_be_read_stands_in_nobodys_way() {
    let ground = SqliteGround::fresh().await;
    let store = ground.store();
    let events = [1, 2, 3].map(|number| Arc::new(event(number)));
    store.append(&events, at(0), Due::At(at(0))).await.unwrap();
    for number in 4..=6 {
        one_pending(&*store, number).await;
    }
    let of = |number: u64| format!("{:032x}", minted::<EventId>(number).bits());
    let damaged = format!("UPDATE events SET frame = x'00' WHERE id = x'{}'", of(1));
    tamper(&ground.path(), &damaged).await;
    let damaged = format!("UPDATE deliveries SET attempts = -1 WHERE id = x'{}'", of(4));
    tamper(&ground.path(), &damaged).await;

    let claimed = store.claim_events(at(1), at(100), 2).await.unwrap();
    assert_eq!(all_unnumbered(claimed), events[1..2]);
    let claimed = store.claim_events(at(1), at(100), 2).await.unwrap();
    assert_eq!(all_unnumbered(claimed), events[2..]);
    let claimed = store.claim_deliveries(at(1), at(100), 10).await.unwrap();
    let ids: Vec<DeliveryId> = claimed.iter().map(|delivery| delivery.id).collect();
    assert_eq!(ids, [minted(5), minted(6)]);
    assert!(store.claim_deliveries(at(1), at(100), 10).await.unwrap().is_empty());
}

async fn refused(path: &Path) -> OpenError {
    SqliteStore::open(path, keyring(&[1])).await.unwrap_err()
}

fn corrupt<T: std::fmt::Debug>(damage: &str, read: &Result<T, Error>) {
    assert!(matches!(read, Err(Error::Corrupt(_))), "{damage}: {read:?}");
}

async fn closed_database() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidehook.db");
    SqliteStore::open(&path, keyring(&[1])).await.unwrap().close().await;
    (folder, path)
}

/// A store that holds an event, a dead delivery with its attempt, and a subscription, all of the
/// number 1, after `damage` was done to it.
async fn damaged(damage: &str) -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidehook.db");
    let store = SqliteStore::open(&path, keyring(&[1])).await.unwrap();
    pending(&store, 1, vec![new_delivery(1, 1, Due::At(at(0)))]).await;
    let dead = failed(minted(1), 1, dead(Cause::Exhausted));
    store.record(&[dead]).await.unwrap();
    let made = store.upsert_subscription(elaborate(1, 1), true).await;
    made.unwrap();
    tamper(&path, damage).await;
    (folder, store)
}

/// Does something to a database behind its store's back.
async fn tamper(path: &Path, statement: &str) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut shell = options
        .foreign_keys(false)
        .pragma("ignore_check_constraints", "ON")
        .connect()
        .await
        .unwrap();
    let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut shell).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{statement}");
    shell.close().await.unwrap();
}
