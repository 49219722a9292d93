//! What becomes of a call when SQLite fails, and of the calls after it.
//!
//! Invariant: whatever may pass is said to be so, and when it has passed all is well again.

use std::sync::Arc;

use bytes::Bytes;
use sidehook_event::{Event, EventId, Exchange, TypeId, UnixMicros};
use sqlx::ConnectOptions as _;

use super::*;
use crate::store::Error;

const DUE: Due = Due::At(UnixMicros::EPOCH);

fn events(count: u128, bytes: usize) -> Vec<Arc<Event>> {
    let event = |number: u128| {
        let mut exchange = Exchange { status: 200, ..Exchange::default() };
        exchange.response.content = Bytes::from(vec![b'x'; bytes]);
        Arc::new(Event {
            id: EventId::from_bits(number),
            event_type: "people.created".parse().unwrap(),
            source: "edge".to_owned(),
            subject: None,
            parents: Vec::new(),
            sequence: None,
            time: UnixMicros::EPOCH,
            exchange,
        })
    };
    (1..=count).map(event).collect()
}

async fn store() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidehook.db");
    let store = SqliteStore::open(&path, Keyring::default()).await.unwrap();
    (folder, store)
}

#[tokio::test]
async fn a_full_disk_fails_the_call_and_leaves_nothing_behind() {
    let (_folder, store) = store().await;
    let limit = async |text: &'static str| {
        sqlx::query(text).execute(&store.writer).await.unwrap();
    };
    limit("PRAGMA max_page_count = 60").await;
    let group = events(200, 10_000);
    let failed = store.append(&group, UnixMicros::EPOCH, DUE).await;
    assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
    let page = PageRequest::default();
    let listed = store.events(&EventFilter::default(), page).await.unwrap();
    assert_eq!(listed.data, []);

    limit("PRAGMA max_page_count = 60000").await;
    let appended = store.append(&group, UnixMicros::EPOCH, DUE).await;
    assert_eq!(appended.unwrap().len(), group.len());
}

/// As it does when a write to the disk fails.
#[tokio::test]
async fn a_transaction_that_sqlite_ended_itself_does_not_harm_those_after_it() {
    let (_folder, store) = store().await;
    for text in [
        "CREATE TRIGGER broken BEFORE INSERT ON events BEGIN SELECT RAISE(ROLLBACK, ''); END",
        "DROP TRIGGER broken",
    ] {
        sqlx::query(text).execute(&store.writer).await.unwrap();
        let appended = store.append(&events(1, 1), UnixMicros::EPOCH, DUE).await;
        assert_eq!(appended.is_err(), text.starts_with("CREATE"), "{appended:?}");
        store.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_nothing_behind() {
    let (_folder, store) = store().await;
    let group = events(2_000, 100);
    for patience in 0..20 {
        let append = store.append(&group, UnixMicros::EPOCH, DUE);
        // Polled so many times and dropped, wherever it then is.
        let mut append = std::pin::pin!(append);
        for _ in 0..patience {
            let done = futures::future::poll_immediate(&mut append).await;
            assert!(done.is_none(), "a group was stored sooner than thought");
            tokio::task::yield_now().await;
        }
    }
    let page = PageRequest::default();
    let listed = store.events(&EventFilter::default(), page).await.unwrap();
    assert_eq!(listed.data, []);
    let appended = store.append(&group, UnixMicros::EPOCH, DUE).await;
    assert_eq!(appended.unwrap().len(), group.len());
}

#[tokio::test]
async fn a_shell_that_holds_the_file_makes_calls_wait() {
    let (folder, store) = store().await;
    let path = folder.path().join("sidehook.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut shell = options.connect().await.unwrap();
    let hold = sqlx::raw_sql("BEGIN IMMEDIATE");
    hold.execute(&mut shell).await.unwrap();
    let mut ping = std::pin::pin!(store.ping());
    let early = futures::future::poll_immediate(&mut ping).await;
    assert!(early.is_none());
    // Reads go on meanwhile.
    assert_eq!(store.all_subscriptions().await.unwrap(), []);
    let release = sqlx::raw_sql("ROLLBACK");
    release.execute(&mut shell).await.unwrap();
    ping.await.unwrap();
}
