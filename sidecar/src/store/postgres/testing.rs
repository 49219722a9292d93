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
use url::Url;

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

    fn named(name: String) -> Self {
        let mut url = Url::parse(&server_url()).unwrap();
        url.set_path(&name);
        Self { server: server(), name, url: url.to_string() }
    }

    /// A connection beside the store's.
    pub(crate) async fn shell(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
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

fn server_url() -> String {
    let Ok(url) = std::env::var(VARIABLE) else {
        panic!("{VARIABLE} is not set: run `cargo xtask test`, which starts a Postgres");
    };
    url
}

fn server() -> PgConnectOptions {
    PgConnectOptions::from_str(&server_url()).unwrap()
}

async fn run(options: &PgConnectOptions, statements: String) {
    let mut shell = options.connect().await.unwrap();
    let shown = statements.clone();
    let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut shell).await;
    done.unwrap_or_else(|error| panic!("{shown}: {error}"));
    shell.close().await.unwrap();
}
