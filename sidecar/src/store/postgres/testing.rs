//! A database for each test, on the server that the tests are given.
//!
//! Invariant: no test sees the database of another, and none is left behind.

use std::{
    str::FromStr as _,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
};

/// Names the server; `cargo xtask test` starts one and sets it.
pub(crate) const VARIABLE: &str = "SIDEHOOK_TEST_POSTGRES";

/// A database of its own.
#[derive(Debug)]
pub(crate) struct Database {
    server: PgConnectOptions,
    pub(crate) name: String,
    pub(crate) url: String,
}

impl Database {
    /// An empty one.
    pub(crate) async fn empty() -> Self {
        Self::like("template0").await
    }

    /// A copy of another, which nobody may be connected to.
    pub(crate) async fn like(template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{count}", std::process::id());
        run(&server(), format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        Self::named(name)
    }

    /// Makes a database of this name by `fill`, unless there is one, and keeps it for other tests.
    pub(crate) async fn keep(name: &str, fill: impl AsyncFnOnce(&str)) {
        let mut shell = server().connect().await.unwrap();
        // Others may be about to make it too, in this process or another.
        run_on(&mut shell, "SELECT pg_advisory_lock(1)".to_owned()).await;
        let there = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
        let there: bool = sqlx::query_scalar(there).bind(name).fetch_one(&mut shell).await.unwrap();
        if !there {
            let making = Self::empty().await;
            fill(&making.url).await;
            let rename = format!("ALTER DATABASE {} RENAME TO {name}", making.name);
            run_on(&mut shell, rename).await;
        }
        shell.close().await.unwrap();
    }

    fn named(name: String) -> Self {
        let server = server();
        let mut url = server.to_url_lossy();
        url.set_path(&name);
        Self { server, name, url: url.to_string() }
    }

    /// A connection beside the store's.
    pub(crate) async fn shell(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// The files of a table, byte by byte, with what is still to be written to them.
    pub(crate) async fn raw(&self, table: &str) -> Vec<u8> {
        let mut shell = self.shell().await;
        run_on(&mut shell, "CHECKPOINT".to_owned()).await;
        let read = "SELECT pg_read_binary_file(pg_relation_filepath($1::regclass))";
        let read = sqlx::query_scalar(read).bind(table).fetch_one(&mut shell).await;
        shell.close().await.unwrap();
        read.unwrap()
    }

    /// Runs statements beside the store.
    pub(crate) async fn run(&self, statements: impl Into<String>) {
        run(&PgConnectOptions::from_str(&self.url).unwrap(), statements.into()).await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let server = self.server.clone();
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // Whatever runs this test's futures may not wait here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                // A server that the test has stopped keeps nothing either.
                if let Ok(mut shell) = server.connect().await {
                    let _ = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut shell).await;
                }
            });
        });
        let _ = dropping.join();
    }
}

fn server() -> PgConnectOptions {
    let Ok(url) = std::env::var(VARIABLE) else {
        panic!("{VARIABLE} is not set: run `cargo xtask test`, which starts a Postgres");
    };
    PgConnectOptions::from_str(&url).unwrap()
}

async fn run(options: &PgConnectOptions, statements: String) {
    let mut shell = options.connect().await.unwrap();
    run_on(&mut shell, statements).await;
    shell.close().await.unwrap();
}

async fn run_on(shell: &mut PgConnection, statements: String) {
    let shown = statements.clone();
    let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(shell).await;
    done.unwrap_or_else(|error| panic!("{shown}: {error}"));
}
