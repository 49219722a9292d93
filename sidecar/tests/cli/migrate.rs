//! `sidehook migrate`, and what `serve` says of a Postgres that it cannot use.
//!
//! Invariant: what is wrong is said in one line that names the setting, without the password.

use std::process::Output;

use sqlx::Connection as _;

use crate::{command, database::Database, said};

/// Runs a command on this store, with its secrets in clear.
fn on(arguments: &str, url: &str) -> Output {
    let arguments = format!("{arguments} --insecure-store-secrets-in-clear");
    command(&arguments).env("SIDEHOOK_STORE", url).output().unwrap()
}

fn migrated(url: &str) -> String {
    let output = on("migrate", url);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What is said of a store that is refused, by both commands that open it.
fn refused(url: &str) -> String {
    let said = ["migrate", "serve --listen 127.0.0.1:0"].map(|arguments| {
        let output = on(arguments, url);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(output.stdout.is_empty() || arguments.starts_with("serve"));
        said(&output).lines().last().unwrap_or_default().to_owned()
    });
    let [migrate, serve] = said;
    assert_eq!(migrate, serve);
    assert!(migrate.starts_with("sidehook: opening the store that `store` names: "), "{migrate}");
    migrate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_is_made_once() {
    let database = Database::empty().await;
    assert_eq!(migrated(&database.url), "made the schema, number 1\n");
    assert_eq!(migrated(&database.url), "the schema was up to date, number 1\n");
    let mut shell = database.shell().await;
    let events = sqlx::query("SELECT FROM events").fetch_all(&mut shell).await.unwrap();
    assert!(events.is_empty());
    shell.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_with_its_remedy() {
    let database = Database::empty().await;
    migrated(&database.url);
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum,
        execution_time) VALUES (9999, 'later', true, '\\x00', 0)";
    database.run(later).await;
    let name = &database.name;
    for (url, remedy) in [
        (database.url.clone(), "run the build that wrote it, or a later one"),
        (database.url.replace(":sidehook@", ":gu3ss@"), "refuses the user or the password"),
        (database.url.replace(name, "missing"), "make it with CREATE DATABASE"),
        (format!("{}?sslmode=often", database.url), "is no address of a Postgres"),
    ] {
        let said = refused(&url);
        assert!(said.contains(remedy), "{said}");
        assert!(!said.contains("gu3ss") && !said.contains(":sidehook@"), "{said}");
    }
}

#[test]
fn the_store_in_a_file_is_migrated_too() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sidehook.db").display());
    assert_eq!(migrated(&url), "the schema is up to date\n");
}
