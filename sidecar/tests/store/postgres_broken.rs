//! What becomes of calls when Postgres, or the way to it, fails, and of the calls after them.
//!
//! Invariant: every call ends within seconds, what may pass is said to be so, and when it has
//! passed all is well again, without a restart.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use sidehook::{
    clock::{Clock as _, SystemClock},
    model::Successor,
    store::{Due, Error, Result, Store},
};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::time::timeout;
use url::Url;

use crate::{
    ground::{Ground as _, PostgresGround, connect},
    samples::{at, events, failed, minted, one_pending, subscription},
    wire::Wire,
};

/// How long a call may take, and a little more for a busy machine.
const BOUND: Duration = Duration::from_secs(7);
const LIMIT: Duration = Duration::from_secs(20);

async fn behind_a_wire() -> (PostgresGround, Wire, Arc<dyn Store>) {
    let ground = PostgresGround::fresh().await;
    let mut url = Url::parse(&ground.database.url).unwrap();
    let wire = Wire::to(url.port().unwrap()).await;
    url.set_port(Some(wire.port)).unwrap();
    let store = connect(url.as_str(), &[1]).await.unwrap();
    (ground, wire, Arc::new(store))
}

fn is_unavailable<T: std::fmt::Debug>(done: &Result<T>) {
    assert!(matches!(done, Err(Error::Unavailable(_))), "{done:?}");
}

/// Calls again until it succeeds.
async fn comes_back(store: &dyn Store) {
    let back = async {
        while store.ping().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, back).await.unwrap();
}

/// One of each kind of call, all at once, more than there are connections.
async fn all_fail_in_time(store: &Arc<dyn Store>) {
    let calls = (0..30).map(|number| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            match number % 5 {
                0 => is_unavailable(&store.ping().await),
                1 => is_unavailable(&store.append(&events(9..=9), at(0), Due::At(at(0))).await),
                2 => is_unavailable(&store.claim_deliveries(at(0), at(1), 9).await),
                3 => is_unavailable(&store.all_subscriptions().await),
                _ => {
                    let verdict = failed(minted(1), 1, Successor::Retry(at(1)));
                    is_unavailable(&store.record(&[verdict]).await);
                }
            }
        })
    });
    for call in timeout(BOUND, join_all(calls)).await.unwrap() {
        call.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_fail_while_the_server_is_away_and_succeed_when_it_is_back() {
    let (_ground, wire, store) = behind_a_wire().await;
    one_pending(&*store, 1).await;
    wire.cut();
    all_fail_in_time(&store).await;
    wire.mend();
    comes_back(&*store).await;
    assert_eq!(store.claim_deliveries(at(0), at(1), 9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_frozen_server_end_within_seconds() {
    let (_ground, wire, store) = behind_a_wire().await;
    one_pending(&*store, 1).await;
    // Several connections that are in use when it freezes.
    join_all((0..8).map(|_| store.all_subscriptions())).await;
    wire.freeze();
    all_fail_in_time(&store).await;
    // Those that come later too: nobody is left waiting in a queue.
    all_fail_in_time(&store).await;
    wire.mend();
    let clock = SystemClock::start();
    comes_back(&*store).await;
    assert!(clock.monotonic() < BOUND);
    // A claim that was given up may have come through when the server went on: its lease is over then.
    assert_eq!(store.claim_deliveries(at(100), at(200), 9).await.unwrap().len(), 1);
}

/// Connections that died while nobody used them, as they do behind a firewall or when the server
/// restarts at night.
#[tokio::test]
async fn connections_that_died_at_rest_are_replaced_before_they_are_used() {
    let (_ground, wire, store) = behind_a_wire().await;
    let clock = SystemClock::start();
    for kill in [Wire::cut, Wire::freeze_present] {
        store.ping().await.unwrap();
        kill(&wire);
        wire.mend();
        clock.sleep(Duration::from_millis(1_100)).await;
        store.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_nothing_behind() {
    let ground = PostgresGround::fresh().await;
    let store = ground.store();
    let group = events(1..=500);
    for patience in 0..10 {
        let mut append = std::pin::pin!(store.append(&group, at(0), Due::At(at(0))));
        // Polled so many times and dropped, wherever it then is.
        for _ in 0..patience {
            if futures::future::poll_immediate(&mut append).await.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // Either of them, whole, or none.
    let again = store.append(&group, at(0), Due::At(at(0))).await.unwrap().len();
    assert!(again == 0 || again == 500, "{again} were new");
    assert_eq!(store.claim_events(at(0), at(1), 999).await.unwrap().len(), 500);
    for number in 0..30 {
        assert_eq!(store.subscription(minted(number)).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_our_sessions_is_unavailable_to_one_call() {
    let ground = PostgresGround::fresh().await;
    let store = ground.store();
    // Several connections, all of them used just now.
    for read in join_all((0..8).map(|_| store.all_subscriptions())).await {
        read.unwrap();
    }
    let mut shell = ground.database.shell().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended = sqlx::query(end).fetch_all(&mut shell).await.unwrap();
    assert!(ended.len() > 1);
    let mut failures = 0;
    for _ in 0..20 {
        match store.ping().await {
            Ok(()) => {}
            Err(Error::Unavailable(_)) => failures += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(failures <= 1, "{failures} calls failed");
    shell.close().await.unwrap();
}

#[tokio::test]
async fn a_row_that_somebody_else_holds_makes_a_call_fail_in_time() {
    let ground = PostgresGround::fresh().await;
    let store = ground.store();
    let id = one_pending(&*store, 1).await;
    let mut shell = ground.database.shell().await;
    let mut held = shell.begin().await.unwrap();
    sqlx::query("SELECT FROM pending_deliveries FOR UPDATE").execute(&mut *held).await.unwrap();
    let verdict = [failed(id, 1, Successor::Retry(at(9)))];
    is_unavailable(&timeout(BOUND, store.record(&verdict)).await.unwrap());
    // Others pass it over.
    assert_eq!(store.claim_deliveries(at(0), at(1), 9).await.unwrap(), []);
    held.rollback().await.unwrap();
    store.record(&verdict).await.unwrap();
    shell.close().await.unwrap();
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_unavailable_until_it_does() {
    let ground = PostgresGround::fresh().await;
    let alter = |setting: &str| {
        let name = &ground.database.name;
        format!("ALTER DATABASE {name} SET default_transaction_read_only = {setting}")
    };
    ground.database.run(alter("on")).await;
    let read_only = ground.another().await;
    is_unavailable(&read_only.ping().await);
    is_unavailable(&read_only.append(&events(1..=1), at(0), Due::At(at(0))).await);
    is_unavailable(&read_only.upsert_subscription(subscription(1), true).await);
    assert_eq!(read_only.all_subscriptions().await.unwrap(), []);
    let mut shell = ground.database.shell().await;
    for text in ["SET default_transaction_read_only = off".to_owned(), alter("off")] {
        sqlx::query(AssertSqlSafe(text)).execute(&mut shell).await.unwrap();
    }
    shell.close().await.unwrap();
    // What is connected has the old setting.
    let again = ground.another().await;
    again.ping().await.unwrap();
}

#[tokio::test]
async fn a_server_that_no_longer_syncs_is_not_written_to() {
    let (ground, wire, store) = behind_a_wire().await;
    store.ping().await.unwrap();
    let name = &ground.database.name;
    ground.database.run(format!("ALTER DATABASE {name} SET synchronous_commit = off")).await;
    wire.cut();
    is_unavailable(&store.ping().await);
    wire.mend();
    let refused = store.append(&events(1..=1), at(0), Due::At(at(0))).await;
    is_unavailable(&refused);
    ground.database.run(format!("ALTER DATABASE {name} SET synchronous_commit = on")).await;
    comes_back(&*store).await;
    assert_eq!(store.claim_events(at(0), at(1), 9).await.unwrap(), []);
}

/// A trigger stands in for the disk.
#[tokio::test]
async fn a_full_disk_is_unavailable_until_there_is_room_again() {
    let ground = PostgresGround::fresh().await;
    let store = ground.store();
    ground
        .database
        .run(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
             CREATE TRIGGER full_disk BEFORE INSERT ON events EXECUTE FUNCTION full_disk();
             CREATE TRIGGER full_disk BEFORE INSERT ON room EXECUTE FUNCTION full_disk()",
        )
        .await;
    // Nobody has noticed yet.
    store.ping().await.unwrap();
    is_unavailable(&store.append(&events(1..=1), at(0), Due::At(at(0))).await);
    is_unavailable(&store.ping().await);
    is_unavailable(&store.ping().await);
    assert_eq!(store.all_subscriptions().await.unwrap(), []);

    let free = "DROP TRIGGER full_disk ON events; DROP TRIGGER full_disk ON room";
    ground.database.run(free).await;
    store.ping().await.unwrap();
    store.append(&events(1..=1), at(0), Due::At(at(0))).await.unwrap();
    // Nothing of what tried it out is left.
    let mut shell = ground.database.shell().await;
    let left = sqlx::query("SELECT FROM room").fetch_all(&mut shell).await.unwrap();
    assert!(left.is_empty());
    shell.close().await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_closed_is_unavailable() {
    let ground = PostgresGround::fresh().await;
    let store = ground.another().await;
    store.ping().await.unwrap();
    store.close().await;
    is_unavailable(&store.ping().await);
    is_unavailable(&store.event(minted(1)).await);
    ground.store().ping().await.unwrap();
}
