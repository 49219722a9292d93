//! Starting on a Postgres: what is refused, and how the schema comes about.
//!
//! Invariant: whatever is refused is refused in words that name the remedy, never the password, and
//! is left as it was.

use std::time::Duration;

use futures::future::join_all;
use sidehook::{
    clock::SystemClock,
    store::{
        Due, Store as _,
        postgres::{Config, Migrated, OpenError, PostgresStore},
        seal::Keyring,
    },
};
use sqlx::Connection as _;
use url::Url;

use crate::{
    database::Database,
    ground::{Ground as _, PostgresGround, connect},
    samples::{at, events},
};

async fn refused(url: &str) -> OpenError {
    let refused = connect(url, &[1]).await.unwrap_err();
    let said = told(&refused);
    let password = Url::parse(url).ok().and_then(|url| url.password().map(str::to_owned));
    assert!(password.is_none_or(|password| !said.contains(&format!(":{password}"))), "{said}");
    refused
}

/// The error with all that lies behind it, as a person is told it.
fn told(error: &OpenError) -> String {
    let mut said = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    said
}

fn changed(url: &str, change: impl FnOnce(&mut Url)) -> String {
    let mut url = Url::parse(url).unwrap();
    change(&mut url);
    url.into()
}

#[tokio::test]
async fn a_wrong_password_or_user_is_told() {
    let database = Database::empty().await;
    let guess = |url: &mut Url| url.set_password(Some("gu3ss")).unwrap();
    let nobody = |url: &mut Url| url.set_username("nobody").unwrap();
    for url in [changed(&database.url, guess), changed(&database.url, nobody)] {
        let refused = refused(&url).await;
        assert!(matches!(refused, OpenError::Denied(..)), "{refused:?}");
        let said = told(&refused);
        assert!(said.contains("refuses the user or the password; correct them"), "{said}");
        assert!(!said.contains("gu3ss"), "{said}");
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_and_not_made() {
    let database = Database::empty().await;
    let url = changed(&database.url, |url| url.set_path("not_there"));
    for _ in 0..2 {
        let refused = refused(&url).await;
        assert!(matches!(refused, OpenError::NoDatabase(..)), "{refused:?}");
        let said = told(&refused);
        assert!(said.contains("/not_there does not exist; make it with CREATE DATABASE"), "{said}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_after_a_while() {
    // Port 1 is nobody's.
    let url = "postgres://me:s3cret@127.0.0.1:1/hooks".to_owned();
    let config = Config { url: url.into(), patience: Duration::from_millis(700) };
    let clock = std::sync::Arc::new(SystemClock::start());
    let refused = PostgresStore::connect(&config, Keyring::default(), clock).await.unwrap_err();
    assert!(matches!(refused, OpenError::Unreachable { .. }), "{refused:?}");
    let said = told(&refused);
    assert!(said.contains("cannot reach postgres://me@127.0.0.1:1/hooks within 700ms"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn an_address_that_is_none_is_told() {
    for url in ["postgres://me:s3cret@h/x?sslmode=often", "postgres://me:s3cret@h:nine/x"] {
        let refused = refused(url).await;
        assert!(matches!(refused, OpenError::Address(_)), "{refused:?}");
        assert!(!told(&refused).contains("s3cret"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_server_that_may_lose_what_it_has_committed_is_refused() {
    let ground = PostgresGround::fresh().await;
    let Database { name, url, .. } = &ground.database;
    let forget = |setting| format!("ALTER DATABASE {name} SET synchronous_commit = {setting}");
    for setting in ["on", "local", "remote_write", "remote_apply"] {
        ground.database.run(forget(setting)).await;
        connect(url, &[1]).await.unwrap();
    }
    ground.database.run(forget("off")).await;
    let refused = refused(url).await;
    assert!(matches!(refused, OpenError::Forgetful(..)), "{refused:?}");
    let said = told(&refused);
    assert!(said.contains("set synchronous_commit = on"), "{said}");
}

#[tokio::test]
async fn a_database_that_cannot_hold_all_text_is_refused() {
    let Ok(server) = std::env::var(crate::database::VARIABLE) else { panic!("no server") };
    let mut shell = sqlx::PgConnection::connect(&server).await.unwrap();
    for text in [
        "DROP DATABASE IF EXISTS sidehook_test_ascii",
        "CREATE DATABASE sidehook_test_ascii TEMPLATE template0 ENCODING SQL_ASCII LC_COLLATE 'C'
            LC_CTYPE 'C'",
    ] {
        sqlx::query(text).execute(&mut shell).await.unwrap();
    }
    let url = changed(&server, |url| url.set_path("sidehook_test_ascii"));
    let refused = refused(&url).await;
    let drop = "DROP DATABASE sidehook_test_ascii";
    sqlx::query(drop).execute(&mut shell).await.unwrap();
    assert!(matches!(refused, OpenError::Encoding { .. }), "{refused:?}");
    assert!(told(&refused).contains("ENCODING 'UTF8'"), "{refused:?}");
}

#[tokio::test]
async fn of_many_who_start_at_once_on_an_empty_database_one_makes_the_schema() {
    let database = Database::empty().await;
    let starting = (0..6).map(|_| {
        let url = database.url.clone();
        tokio::spawn(async move { connect(&url, &[1]).await.unwrap().ping().await.unwrap() })
    });
    for started in join_all(starting).await {
        started.unwrap();
    }
}

#[tokio::test]
async fn a_migration_says_from_where_to_where() {
    let database = Database::empty().await;
    let config = Config { url: database.url.clone().into(), patience: Duration::ZERO };
    let clock = SystemClock::start();
    let made = PostgresStore::migrate(&config, &clock).await.unwrap();
    assert_eq!(made.from, 0);
    assert!(made.to > 0);
    let again = PostgresStore::migrate(&config, &clock).await.unwrap();
    assert_eq!(again, Migrated { from: made.to, to: made.to });
    connect(&database.url, &[1]).await.unwrap();
}

#[tokio::test]
async fn a_schema_that_cannot_be_made_leaves_nothing_behind() {
    let database = Database::empty().await;
    database.run("CREATE TABLE attempts (mine integer)").await;
    let refused = refused(&database.url).await;
    assert!(matches!(refused, OpenError::Schema(..)), "{refused:?}");
    assert!(told(&refused).contains("has left it as it was"), "{refused:?}");
    let mut shell = database.shell().await;
    let tables = "SELECT array_agg(tablename::text) FROM pg_tables WHERE schemaname = 'public'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_one(&mut shell).await.unwrap();
    assert_eq!(tables, ["attempts"]);
    shell.close().await.unwrap();
}

#[tokio::test]
async fn a_schema_of_a_later_build_is_refused() {
    let ground = PostgresGround::fresh().await;
    let later = "INSERT INTO _sqlx_migrations
            (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', true, '\\x00', 0)";
    ground.database.run(later).await;
    let refused = refused(&ground.database.url).await;
    assert!(
        matches!(refused, OpenError::Newer { found: 9999, known, .. } if known < 9999),
        "{refused:?}"
    );
    assert!(told(&refused).contains("has schema 9999"));
    // Those that run already go on.
    ground.store().ping().await.unwrap();
}

#[tokio::test]
async fn a_schema_that_is_not_ours_is_refused() {
    for damage in ["checksum = '\\x00'", "success = false", "version = 0"] {
        let ground = PostgresGround::fresh().await;
        ground.database.run(format!("UPDATE _sqlx_migrations SET {damage}")).await;
        let refused = refused(&ground.database.url).await;
        assert!(matches!(refused, OpenError::Foreign { .. }), "{damage}: {refused:?}");
    }
}

/// Whoever serves need not own the tables, once they are there.
#[tokio::test]
async fn a_user_who_may_only_read_and_write_rows_is_enough_to_serve() {
    let ground = PostgresGround::fresh().await;
    let role = format!("{}_server", ground.database.name);
    ground
        .database
        .run(format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'serve';
             REVOKE CREATE ON SCHEMA public FROM PUBLIC;
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
        ))
        .await;
    let url = changed(&ground.database.url, |url| {
        url.set_username(&role).unwrap();
        url.set_password(Some("serve")).unwrap();
    });
    let store = connect(&url, &[1]).await.unwrap();
    store.ping().await.unwrap();
    let appended = store.append(&events(1..=3), at(0), Due::At(at(0))).await;
    assert_eq!(appended.unwrap().len(), 3);
    assert_eq!(store.claim_events(at(0), at(1), 9).await.unwrap().len(), 3);
    store.close().await;
    ground.database.run(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
